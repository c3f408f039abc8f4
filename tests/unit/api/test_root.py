"""
The tree of the API: paths, versions, slashes, methods.
"""

from __future__ import annotations

from treq.testing import StubTreq
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.api.root import make_root
from dfproxy.model.settings import Limits, Settings
from tests.unit.api.caller import Api

VERBS = "reconfigure remove reload config certs ping ready successfulinitreload metrics strategies cert".split()


class TreeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.api = Api()

    def test_unknown_paths(self) -> None:
        """
        A path that is no verb is a 404 in plain text, also below a verb, above it, and in a version that is none.
        """
        for path in (
            "/",
            "/v1",
            "/v1/",
            "/v1/docker-flow-proxy",
            "/v1/docker-flow-proxy/",
            "/v1/docker-flow-proxy/nothing",
            "/v1/docker-flow-proxy/nothing/",
            "/v1/docker-flow-proxy/ping/more",
            "/v1/docker-flow-proxy/ping//",
            "//v1/docker-flow-proxy/ping",
            "//evil.test/",
            "/v2/docker-flow-proxy/reconfigure",
            "/V1/docker-flow-proxy/ping",
            "/v1/docker-flow-proxy/ping%2F",
            "/%ff%00",
            "/admin?stats",
        ):
            said = self.api.call("GET", path)
            self.assertEqual((said.status, path), (404, path))
            self.assertEqual(said.headers["content-type"], "text/plain; charset=utf-8")

    def test_slash(self) -> None:
        """
        A slash too many is answered by the way to the path without it, and the query stays as it was.
        """
        said = self.api.call("GET", "reconfigure/?serviceName=m4&servicePath=/m4&port=80&x=%2F+/")
        self.assertEqual(said.status, 301)
        self.assertEqual(
            said.headers["location"],
            "/v1/docker-flow-proxy/reconfigure?serviceName=m4&servicePath=/m4&port=80&x=%2F+/",
        )
        self.assertEqual(self.api.publisher.calls, [])
        for verb in VERBS:
            said = self.api.call("GET", f"{verb}/")
            self.assertEqual((said.status, said.headers["location"]), (301, f"/v1/docker-flow-proxy/{verb}"))
        self.assertEqual(self.api.call("POST", "/v2/test/").headers["location"], "/v2/test")
        self.assertEqual(self.api.call("GET", "/metrics/").headers["location"], "/metrics")

    def test_any_method(self) -> None:
        """
        Every path answers every method alike, except `cert`.
        """
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"):
            self.assertEqual(self.api.call(method, "ping").status, 200)
            self.assertEqual(self.api.call(method, "remove?serviceName=s").status, 200)
            self.assertEqual(self.api.call(method, "/metrics").status, 200)
            self.assertEqual(self.api.call(method, "nothing").status, 404)

    def test_head(self) -> None:
        """
        HEAD says what GET would, without its body.
        """
        got, headed = self.api.call("GET", "ping"), self.api.call("HEAD", "ping")
        self.assertEqual(headed.body, b"")
        self.assertEqual(got.headers["content-length"], headed.headers["content-length"])

    def test_absolute_form(self) -> None:
        """
        A target with scheme and host is the same call.
        """
        self.assertEqual(self.api.call("GET", "/x").status, 404)
        connection = self.api.connect()
        connection.send(b"GET http://proxy:8080/v1/test HTTP/1.1\r\nHost: proxy\r\n\r\n")
        self.assertEqual(connection.answers()[0].json["Message"], "Test v1")

    def test_many_calls(self) -> None:
        """
        How many calls are under way and how many wait is the operator's choice; one more is a 429.
        """
        self.api = Api(settings=Settings(limits=Limits(api_calls=1, api_queue=1)))
        self.api.publisher.publish = lambda *_, **__: Deferred()
        connections = [self.api.connect() for _ in range(3)]
        for number, connection in enumerate(connections):
            path = f"/v1/docker-flow-proxy/reconfigure?serviceName=s{number}&servicePath=/s&port=1"
            connection.protocol.dataReceived(f"GET {path} HTTP/1.1\r\nHost: api\r\n\r\n".encode())
        self.assertEqual([bool(connection.wire.value()) for connection in connections], [False, False, True])
        self.assertEqual(connections[2].answers()[0].status, 429)

    def test_mounted(self) -> None:
        """
        The tree works in any twisted.web site: treq's own traversal finds the verbs and reads their answers.
        """
        stub = StubTreq(make_root(self.api.control))
        response = self.successResultOf(stub.get("http://api.test/v1/docker-flow-proxy/ping"))
        self.assertEqual(response.code, 200)
        self.assertEqual(self.successResultOf(stub.json_content(response))["Status"], "OK")
        response = self.successResultOf(
            stub.post("http://api.test/v1/docker-flow-proxy/remove", data={"serviceName": "s"})
        )
        self.assertEqual(self.successResultOf(stub.json_content(response))["ServiceName"], "s")
        self.assertEqual(self.api.publisher.calls, [("withdraw", ("s",))])
