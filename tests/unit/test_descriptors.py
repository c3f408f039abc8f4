"""
The limit of open files: raised, and judged.
"""

from __future__ import annotations

import resource
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.descriptors import CONNECTIONS, FEWEST, connections, raised, too_few


class DescriptorTests(SynchronousTestCase):
    def test_raised(self) -> None:
        """
        As far as it goes; where it cannot be raised it stays, and that is said.
        """
        with patch("resource.getrlimit", lambda which: (1000, 2000)), patch("resource.setrlimit") as asked:
            self.assertEqual(raised(), 2000)
        asked.assert_called_once_with(resource.RLIMIT_NOFILE, (2000, 2000))
        with (
            patch("resource.getrlimit", lambda which: (1000, 2000)),
            patch("resource.setrlimit", side_effect=OSError("no")),
        ):
            self.assertEqual(raised(), 1000)

    def test_connections(self) -> None:
        """
        A share of what is asked for, never none, and never more than the descriptors carry. If nothing is asked for,
        what they carry, but not any number.
        """
        for asked, workers, descriptors, each in (
            (100, 4, 20_000, 25),
            (2, 4, 20_000, 1),
            (100_000, 2, 1024, 460),
            (0, 2, 2000, 900),
            (0, 1, 1 << 30, CONNECTIONS),
            (70_000, 1, 1 << 30, 70_000),
        ):
            self.assertEqual(connections(asked, workers, descriptors), each, (asked, workers, descriptors))

    def test_too_few(self) -> None:
        """
        One line that names the limit and what raises it.
        """
        self.assertEqual(too_few(FEWEST), ())
        (problem,) = too_few(FEWEST - 1)
        self.assertEqual(problem.value, str(FEWEST - 1))
        self.assertIn(f"at least {FEWEST} are needed", problem.reason)
