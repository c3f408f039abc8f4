"""
What failures in a row say.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.health.outlier import Record


class RecordTests(SynchronousTestCase):
    """
    `Record`.
    """

    def test_three_in_a_row(self) -> None:
        """
        The third failure in a row ejects, once; a success in between forgives.
        """
        record = Record()
        self.assertEqual([record.failed(), record.failed()], [False, False])
        self.assertFalse(record.succeeded())
        self.assertEqual([record.failed() for _ in range(4)], [False, False, True, False])
        self.assertTrue(record.ejected)

    def test_pauses(self) -> None:
        """
        Pauses between trials double from a second up to thirty, and start again after a return.
        """
        record = Record()
        for _ in range(3):
            record.failed()
        pauses = [record.pause_s]
        for _ in range(7):
            record.trial_failed()
            pauses.append(record.pause_s)
        self.assertEqual(pauses, [1, 2, 4, 8, 16, 30, 30, 30])
        self.assertTrue(record.succeeded())
        self.assertEqual((record.ejected, record.failures, record.pause_s), (False, 0, 1))
        self.assertFalse(record.succeeded())
