"""
A change that is only tried.
"""

from __future__ import annotations

from typing import Any

import msgspec

from dfproxy.control.trial import MOVED, Trial, Tried, trial_of, tried_of
from dfproxy.testing import FakeRequest
from tests.unit.control.test_apply import PlaneCase, service


class TrialTests(PlaneCase):
    def ask(self, trial: Trial) -> Tried:
        (answer,) = self.successResultOf(self.plane.query("trial", trial))
        found = tried_of(answer)
        assert found is not None
        return found

    def seen(self, *paths: str) -> None:
        self.made.traffic.recent.extend(FakeRequest(target=path.encode()) for path in paths)

    def test_elsewhere(self) -> None:
        """
        Requests that would go to another destination are counted by host and path, without their queries; nothing is
        in force afterwards.
        """
        self.made.apply(service("z"), service("other"))
        self.seen("/z/1?secret", "/z/2", "/z/1", "/other", "/none")
        before = self.made.current.table
        found = self.ask(Trial((service("a", "/z/1"), service("n", "/none")), ("other",), 100))
        self.assertEqual((found.looked_at, found.elsewhere), (5, 4))
        self.assertEqual(
            [(one.path, one.before, one.after, one.count) for one in found.moved],
            [
                ("/z/1", "z-be1", "a-be1", 2),
                ("/none", "503", "n-be1", 1),
                ("/other", "other-be1", "503", 1),
            ],
        )
        self.assertIs(self.made.current.table, before)
        self.assertEqual(self.made.target("/z/1").destination.backend_name, "z-be1")  # type: ignore[union-attr]  # there is one

    def test_same_place(self) -> None:
        """
        Another definition of a destination is no other destination.
        """
        self.made.apply(service("a"))
        self.seen("/a")
        self.assertEqual(self.ask(Trial((service("a", balance="leastconn"),), (), 100)).elsewhere, 0)

    def test_last(self) -> None:
        """
        Only the latest are looked at, and only so many are listed.
        """
        self.made.apply(service("a", "/"))
        self.seen("/old", *(f"/{n}" for n in range(2 * MOVED)))
        found = self.ask(Trial((), ("a",), 2 * MOVED))
        self.assertEqual((found.looked_at, found.elsewhere, len(found.moved)), (2 * MOVED, 2 * MOVED, MOVED))
        self.assertNotIn("/old", [one.path for one in found.moved])

    def test_refused(self) -> None:
        """
        Every service that cannot be served is named with the reason, not only the first.
        """
        found = self.ask(Trial((service("a"), service("b", balance="no"), service("c", balance="none")), (), 10))
        self.assertEqual(set(found.refused), {"b", "c"})
        self.assertIn("no", found.refused["b"])

    def test_through_a_channel(self) -> None:
        """
        A question and its answer survive being sent to a worker.
        """
        trial = Trial((service("a", "/\xff"),), ("b",), 5)
        sent: Any = msgspec.msgpack.decode(msgspec.msgpack.encode(trial))
        self.assertEqual(trial_of(sent), trial)
        self.assertIsNone(tried_of(None))
