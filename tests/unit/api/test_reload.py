"""
`reload`: nothing has to be reloaded.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.api.caller import Api


class ReloadTests(SynchronousTestCase):
    def test_reload(self) -> None:
        """
        With any of its parameters, and without a listener, it is a 200 that changes nothing.
        """
        api = Api()
        for query in ("", "?recreate=true", "?fromListener=true", "?recreate=maybe"):
            said = api.call("GET", f"reload{query}")
            self.assertEqual((said.status, said.json["Status"]), (200, "OK"))
        self.assertEqual(api.publisher.calls, [])

    def test_files(self) -> None:
        """
        The files of certificates are looked at again; one that is none is told, and is no failure.
        """
        api = Api(more={"read_files": lambda: succeed(("/certs/x holds no private key", "/certs/y is empty"))})
        said = api.call("GET", "reload?recreate=true")
        self.assertEqual((said.status, said.json["Status"]), (200, "OK"))
        self.assertEqual(said.json["Message"], "/certs/x holds no private key; /certs/y is empty")

    def test_from_listener(self) -> None:
        """
        The listeners are asked to announce everything again: 200 when all will, 500 with what went wrong; without
        `fromListener` nobody is asked.
        """
        asked: list[int] = []
        failures: tuple[str, ...] = ()

        def notify() -> Deferred[tuple[str, ...]]:
            asked.append(1)
            return succeed(failures)

        api = Api(more={"notify": notify})
        self.assertEqual(api.call("GET", "reload?fromListener=false").status, 200)
        self.assertEqual(asked, [])
        said = api.call("GET", "reload?fromListener=true&recreate=true")
        self.assertEqual((said.status, said.json["Status"]), (200, "OK"))
        failures = ("a:8080: connection refused", "b:8080: status 500")
        said = api.call("GET", "reload?fromListener=true")
        self.assertEqual((said.status, said.json["Status"]), (500, "NOK"))
        self.assertEqual(said.json["Message"], "a:8080: connection refused; b:8080: status 500")
        self.assertEqual(len(asked), 2)
