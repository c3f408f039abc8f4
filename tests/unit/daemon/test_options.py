"""
What is refused before anything is opened.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.daemon.proxy import ProxyService
from dfproxy.errors import InvalidSettings
from dfproxy.model.service import Balance
from dfproxy.model.settings import Settings, Tls


class RefusedTests(SynchronousTestCase):
    """
    Options that can be judged only once plugins are loaded and files read.
    """

    def problems(self, **options: Any) -> list[tuple[str, str]]:
        """
        Each refused option with the reason. The reactor is none: nothing may be touched by then.
        """
        error = self.assertRaises(InvalidSettings, ProxyService, Settings(workers=0, **options), None)
        return [(problem.parameter, problem.reason) for problem in error.problems]

    def test_plugins(self) -> None:
        """
        An unknown strategy and an unknown route order are named together, each with those that there are.
        """
        order, balance = self.problems(route_order="alphabet", balance=Balance("leastcon"))
        self.assertEqual((order[0], balance[0]), ("--route-order", "--balance"))
        self.assertIn("dfp, specific", order[1])
        self.assertIn("leastconn", balance[1])

    def test_arguments(self) -> None:
        """
        So is one that is not given what it needs.
        """
        [(option, reason)] = self.problems(balance=Balance("hdr"))
        self.assertEqual(option, "--balance")
        self.assertIn("hdr", reason)

    def test_client_ca(self) -> None:
        """
        A file of authorities that cannot be read is an error at once, not at the first handshake.
        """
        missing = str(Path(self.mktemp()))
        [(option, reason)] = self.problems(tls=Tls(ca_file=missing))
        self.assertEqual((option, reason), ("--ca-file", "cannot be read: No such file or directory"))
