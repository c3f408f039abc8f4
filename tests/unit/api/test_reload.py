"""
`reload`: nothing has to be reloaded.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.api.caller import Api


class ReloadTests(SynchronousTestCase):
    def test_reload(self) -> None:
        """
        With any of its parameters, and without a listener, it is a 200 that changes nothing.
        """
        api = Api()
        for query in ("", "?recreate=true", "?fromListener=true", "?recreate=%ff"):
            said = api.call("GET", f"reload{query}")
            self.assertEqual((said.status, said.json["Status"]), (200, "OK"))
        self.assertEqual(api.publisher.calls, [])
