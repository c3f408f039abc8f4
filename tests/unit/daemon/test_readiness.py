"""
What makes us unready, and what makes the watchdog end us.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.daemon.readiness import Phase, Readiness


class House:
    """
    Everybody who is asked.
    """

    degraded = ""
    is_alive = True
    asking_now = False
    listener = ""
    unasked = 0

    def missing(self) -> str:
        return self.listener


class ReadinessTests(SynchronousTestCase):
    """
    `Readiness`.
    """

    def setUp(self) -> None:
        self.house = House()
        self.readiness = Readiness(self.house, self.house, self.house, self.house)

    def test_phases(self) -> None:
        """
        Ready between start and end, and at no other time.
        """
        self.assertEqual(list(self.readiness.problems()), ["start"])
        self.readiness.phase = Phase.SERVING
        self.assertEqual(self.readiness.problems(), {})
        self.readiness.phase = Phase.ENDING
        self.assertEqual(list(self.readiness.problems()), ["ending"])

    def test_problems(self) -> None:
        """
        All that is wrong is named together.
        """
        self.readiness.phase = Phase.SERVING
        self.house.degraded, self.house.asking_now, self.house.listener = "no worker is serving", True, "sl: refused"
        found = self.readiness.problems()
        self.assertEqual((found["workers"], found["listener"]), ("no worker is serving", "sl: refused"))
        self.assertEqual(set(found), {"workers", "certificates", "listener"})

    def test_names(self) -> None:
        """
        Names that are not asked yet make it unready after the start, but not those that come once it was ready.
        """
        self.readiness.phase = Phase.SERVING
        self.house.unasked = 3
        self.assertIn("3 names", self.readiness.problems()["names"])
        self.house.unasked = 0
        self.assertEqual(self.readiness.problems(), {})
        self.house.unasked = 1
        self.assertEqual(self.readiness.problems(), {})

    def test_well(self) -> None:
        """
        Without a worker that accepts it is not well, but only while it is to serve.
        """
        self.house.is_alive = False
        self.assertTrue(self.readiness.is_well())
        self.readiness.phase = Phase.SERVING
        self.assertFalse(self.readiness.is_well())
        self.house.is_alive = True
        self.assertTrue(self.readiness.is_well())
        self.house.is_alive = False
        self.readiness.phase = Phase.ENDING
        self.assertTrue(self.readiness.is_well())
