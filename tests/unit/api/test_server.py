"""
`server`: lists servers and changes single ones.
"""

from __future__ import annotations

from typing import Any

from dfproxy.errors import JournalError
from tests.unit.api.caller import Api
from tests.unit.api.replicas import Others, api_with
from tests.unit.control.test_servers import A, ServersCase


class ServerTests(ServersCase):
    """
    Calls of the API with real servers behind them.
    """

    def setUp(self) -> None:
        super().setUp()
        self.api = self.with_servers(Api())
        self.clock.advance(0)

    def with_servers(self, api: Api) -> Api:
        api.control.servers = self.servers
        api.control.publisher = self.publisher  # type: ignore[assignment]  # the real one
        return api

    def listed(self, query: str = "") -> list[dict[str, Any]]:
        said = self.api.call("GET", f"server{query}")
        self.assertEqual(said.status, 200, said.body)
        rows: list[dict[str, Any]] = said.json["Servers"]
        return rows

    def test_list(self) -> None:
        """
        All servers, those of a service, or one.
        """
        self.assertEqual([row["Address"] for row in self.listed()], ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.1:81"])
        self.assertEqual(len(self.listed("?serviceName=s")), 3)
        (row,) = self.listed("?serviceName=s&server=s_1")
        wanted = {"Server": "s_1", "State": "ready", "Weight": 1, "Used": True, "Why": "", "Backend": "s-be80_0"}
        self.assertEqual({name: row[name] for name in wanted}, wanted)
        self.assertEqual(row["Check"]["Kind"], "tcp")

    def test_changed(self) -> None:
        """
        By any of the three methods; the answer shows the servers that were meant.
        """
        for method, state in (("GET", "drain"), ("POST", "MAINT"), ("PUT", "ready")):
            said = self.api.call(method, f"server?serviceName=s&server=10.0.0.1:80&state={state}")
            self.assertEqual((said.status, said.json["Servers"][0]["State"]), (200, state.lower()))
        said = self.api.form("POST", "server", "serviceName=s&server=s_0&weight=256")
        self.assertEqual(said.json["Servers"][0]["Weight"], 256)
        self.assertEqual(self.said(), {A: ("ready", 256)})
        self.api.call("PUT", "server?serviceName=s&server=s_0&weight=default")
        self.assertEqual(self.said(), {})

    def test_wrong(self) -> None:
        """
        400 names the parameter and what would be right, and nothing has changed.
        """
        for query, parameter in (
            ("serviceName=s&server=s_0&state=off", "state"),
            ("serviceName=s&server=s_0&state=", "state"),
            ("serviceName=s&server=s_0&weight=257", "weight"),
            ("serviceName=s&server=s_0&weight=-1", "weight"),
            ("serviceName=s&server=s_0&weight=many", "weight"),
            ("serviceName=s&server=s_0&weight=99999999999999999999", "weight"),
            ("server=s_0&state=drain", "serviceName"),
            ("serviceName=s&state=drain", "server"),
            ("server=s_0", "serviceName"),
        ):
            said = self.api.call("PUT", f"server?{query}")
            self.assertEqual((said.status, said.json["Problems"][0]["Parameter"]), (400, parameter), query)
        self.assertEqual(self.said(), {})

    def test_unknown(self) -> None:
        """
        404 lists what there is.
        """
        for query, word in (
            ("serviceName=s&server=s_7&state=drain", "s_1"),
            ("serviceName=nobody&server=s_0&state=drain", "there are: s"),
            ("serviceName=nobody", "there are: s"),
            ("serviceName=s&server=s_7", "s_1"),
        ):
            said = self.api.call("GET", f"server?{query}")
            self.assertEqual((said.status, said.json["Status"]), (404, "NOK"), query)
            self.assertIn(word, said.json["Message"])

    def test_methods(self) -> None:
        """
        DELETE means nothing here.
        """
        self.assertEqual(self.api.call("DELETE", "server?serviceName=s&server=s_0&state=drain").status, 405)

    def test_not_durable(self) -> None:
        """
        What cannot be made durable is 503, and nothing has changed.
        """

        def full(change: object) -> Any:
            raise JournalError("the disk is full")

        self.publisher._record = full
        said = self.api.call("PUT", "server?serviceName=s&server=s_0&state=drain")
        self.assertEqual((said.status, self.said()), (503, {}))

    def test_config(self) -> None:
        """
        `config` shows it, in both forms.
        """
        self.api.call("PUT", "server?serviceName=s&server=s_0&state=maint&weight=5")
        shown = self.api.call("GET", "config?type=json").json["s"]["Servers"]
        self.assertEqual(shown, [{"Address": "10.0.0.1:80", "State": "maint", "Weight": 5}])

    def test_distributed(self) -> None:
        """
        Here and at every other replica; without replicas it is 500 and nothing has changed.
        """
        query = "server?serviceName=s&server=s_0&state=drain&distribute=true"
        self.assertEqual((self.api.call("PUT", query).status, self.said()), (500, {}))
        others = Others("10.9.9.1")
        said = self.with_servers(api_with(others)).call("PUT", query)
        self.assertEqual((said.status, self.said()), (200, {A: ("drain", None)}))
        ((address, method, target, *_),) = others.asked
        self.assertEqual((address, method), ("10.9.9.1", "PUT"))
        self.assertIn("distribute=false", target)
        self.assertIn("state=drain", target)
