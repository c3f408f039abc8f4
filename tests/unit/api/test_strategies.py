"""
Which strategies there are.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.api.caller import Api


class StrategyTests(SynchronousTestCase):
    def test_list(self) -> None:
        """
        Every strategy with its description, and which one is used where none is named.
        """
        said = Api().call("GET", "strategies")
        self.assertEqual((said.status, said.json["Default"]), (200, "roundrobin"))
        self.assertEqual(said.json["Strategies"], [{"name": "roundrobin", "description": "Each in turn."}])
