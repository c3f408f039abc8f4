"""
`distribute=true`: what a caller is told, and what every replica of the proxy gets.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.api.distribute import LOOKUP_S, Replicas
from dfproxy.api.reconfigure import SUPERSEDED
from dfproxy.control.asking import Said, Unanswered
from dfproxy.errors import NotReady, Refused, Superseded
from tests.unit.api.replicas import REFUSED, Others, api_with

DEMO = "reconfigure?serviceName=go-demo&servicePath=/demo&port=8080&distribute=true"
VERBS = ((DEMO, "publish"), ("remove?distribute=true&serviceName=go-demo", "withdraw"))


class DistributeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.others = Others("10.0.0.2", "10.0.0.3")
        self.api = api_with(self.others)

    def test_everywhere(self) -> None:
        """
        Applied here without a hop, sent to all others with the same path, sorted parameters and distribute=false, and
        when all have it answered 200 with `Distribute` and a message that says so.
        """
        for path, change in VERBS:
            said = self.api.call("GET", path)
            self.assertEqual((said.status, said.json["Status"], said.json["Distribute"]), (200, "OK", True), path)
            self.assertEqual(said.json["ServiceName"], "go-demo")
            self.assertIn("distributed to all 3 replicas", said.json["Message"])
            self.assertEqual(self.api.publisher.calls.pop(), (change, ("go-demo",)))
        self.assertEqual([asked[0] for asked in self.others.asked], ["10.0.0.2", "10.0.0.3"] * 2)
        self.assertEqual(
            [asked[2] for asked in self.others.asked[1:3]],
            [
                "/v1/docker-flow-proxy/reconfigure?distribute=false&port=8080&serviceName=go-demo&servicePath=%2Fdemo",
                "/v1/docker-flow-proxy/remove?distribute=false&serviceName=go-demo",
            ],
        )

    def test_ends_there(self) -> None:
        """
        A call with `distribute=false` goes nowhere else, however often the parameter is given.
        """
        self.api.call("GET", f"{DEMO}&DISTRIBUTE=true&a=2&a=1&b=%C3%A4+%26")
        self.assertEqual(self.others.query(0)[:4], [("a", "2"), ("a", "1"), ("b", "ä &"), ("distribute", "false")])
        self.assertEqual([name.lower() for name, _ in self.others.query(0)].count("distribute"), 1)
        before = len(self.others.asked)
        self.assertEqual(self.api.call("GET", DEMO.replace("=true", "=false")).status, 200)
        self.assertEqual((len(self.others.asked), self.others.lookups), (before, 1))

    def test_fields(self) -> None:
        """
        Replicas get the fields that they want of their callers, and nothing that our own caller has sent of the kind.
        """
        self.others.wanted = {"Authorization": "Bearer ours"}
        self.api.call("GET", DEMO, headers=("Authorization: Bearer theirs", "Cookie: a=b"))
        self.assertEqual([asked[4] for asked in self.others.asked], [self.others.wanted] * 2)

    def test_method_and_form(self) -> None:
        """
        Method and form go along; what the form says of distribution is overruled.
        """
        form = "serviceName=go-demo&servicePath=/demo&port=8080&distribute=true"
        self.assertEqual(self.api.form("POST", "reconfigure", form).status, 200)
        _, method, target, body, headers = self.others.asked[0]
        self.assertEqual((method, body), ("POST", form.encode()))
        self.assertEqual(target, "/v1/docker-flow-proxy/reconfigure?distribute=false")
        self.assertEqual(headers, {"Content-Type": "application/x-www-form-urlencoded"})

    def test_alone(self) -> None:
        """
        The only replica is fine by itself.
        """
        self.others.addresses = ()
        for path, _ in VERBS:
            said = self.api.call("GET", path)
            self.assertEqual((said.status, said.json["Status"]), (200, "OK"))
            self.assertIn("distributed", said.json["Message"])

    def test_what_this_one_has_to_say(self) -> None:
        """
        What became of the call here is told beside: it may be that nothing did.
        """
        self.api.publisher.failure = Superseded("go-demo")
        for path, _ in VERBS:
            message = self.api.call("GET", path).json["Message"]
            self.assertEqual(message, f"{SUPERSEDED}; distributed to all 3 replicas")

    def test_nobody_knows(self) -> None:
        """
        Without the name of its tasks nothing is changed: 500, and the operator is told about SERVICE_NAME.
        """
        self.others.addresses = None
        for path, _ in VERBS:
            said = self.api.call("GET", path)
            self.assertEqual((said.status, said.json["Status"], said.json["Distribute"]), (500, "NOK", True))
            self.assertIn("SERVICE_NAME", said.json["Message"])
        self.assertEqual((self.api.publisher.calls, self.others.asked), ([], []))

    def test_invalid_goes_nowhere(self) -> None:
        """
        What is wrong is said at once, with the usual statuses; no replica hears of it.
        """
        for path, status in (
            ("reconfigure?serviceName=s&distribute=true", 409),
            ("reconfigure?serviceName=s&servicePath=/a&distribute=true", 400),
            ("reconfigure?servicePath=/a&port=1&distribute=true", 400),
            ("remove?distribute=true", 400),
            (f"{DEMO}&x=%ff", 400),
        ):
            self.assertEqual(self.api.call("GET", path).status, status, path)
        self.assertEqual((self.others.asked, self.others.lookups), ([], 0))

    def test_refused_here_goes_nowhere(self) -> None:
        """
        What this replica cannot serve, or not now, no other hears of.
        """
        for failure, status in ((Refused("no such condition"), 400), (NotReady("no worker"), 503)):
            self.api.publisher.failure = failure
            self.assertEqual(self.api.call("GET", DEMO).status, status)
        self.assertEqual(self.others.asked, [])

    def test_one_fails(self) -> None:
        """
        One replica that does not carry it out makes it a 500 that names it; all others have been told.
        """
        wrong = Said(400, b'{"Message": "port: must be a port"}')
        for answer, word in (
            (REFUSED, "connection refused"),
            (wrong, "400 port: must be a port"),
            (Said(301, b""), "301"),
        ):
            self.others.answers["10.0.0.2"] = answer
            for path, _ in VERBS:
                said = self.api.call("GET", path)
                self.assertEqual((said.status, said.json["Status"], said.json["Distribute"]), (500, "NOK", True))
                self.assertIn(f"10.0.0.2: {word}", said.json["Message"])
                self.assertNotIn("10.0.0.3", said.json["Message"])
                self.assertEqual(self.others.asked[-1][0], "10.0.0.3")
        self.assertEqual(list(self.api.publisher.snapshot.services), [])

    def test_one_has_gone(self) -> None:
        """
        A replica that does not answer and is no replica any more is not missed.
        """
        self.others.answers["10.0.0.2"] = REFUSED
        connection = self.api.connect()
        self.others.answers["10.0.0.3"] = None
        connection.send(f"GET /v1/docker-flow-proxy/{DEMO} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        self.assertEqual(connection.answers(), [])
        self.others.addresses = ("10.0.0.3",)
        self.others.held[0].callback(Said(200, b"{}"))
        self.assertEqual([said.status for said in connection.answers()], [200])

    def test_at_once(self) -> None:
        """
        All replicas are told at the same time: a slow one does not keep the change from the others.
        """
        self.others.answers["10.0.0.2"] = None
        connection = self.api.connect()
        connection.send(f"GET /v1/docker-flow-proxy/{DEMO} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        self.assertEqual([asked[0] for asked in self.others.asked], ["10.0.0.2", "10.0.0.3"])
        self.assertEqual(connection.answers(), [])
        self.others.held[0].errback(Unanswered("no answer within 10 s"))
        (said,) = connection.answers()
        self.assertEqual(said.status, 500)
        self.assertIn("10.0.0.2: no answer within 10 s", said.json["Message"])

    def test_replicas_do_not_wait_for_each_other(self) -> None:
        """
        While a hundred calls wait for other replicas, what these send here is carried out.
        """
        self.others.answers = {"10.0.0.2": None, "10.0.0.3": None}
        waiting = [self.api.connect() for _ in range(100)]
        for number, connection in enumerate(waiting):
            path = DEMO.replace("go-demo", f"s{number}")
            connection.send(f"GET /v1/docker-flow-proxy/{path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        self.assertEqual(self.api.call("GET", DEMO.replace("=true", "=false")).status, 200)

    def test_one_after_another(self) -> None:
        """
        A newer call about the same service is sent on when the older one is over everywhere, so no replica gets them in
        another order; calls about other services do not wait.
        """
        self.others.answers["10.0.0.2"] = None
        older, newer, other = (self.api.connect() for _ in range(3))
        for connection, path in ((older, "old"), (newer, "new"), (other, "x")):
            query = DEMO.replace("go-demo", "other" if path == "x" else "go-demo").replace("/demo", f"/{path}")
            connection.send(f"GET /v1/docker-flow-proxy/{query} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        paths = [dict(self.others.query(number))["servicePath"] for number in range(len(self.others.asked))]
        self.assertEqual(paths, ["/old", "/old", "/x", "/x"])
        older.lose()
        self.others.answers.clear()
        self.others.held[0].callback(Said(200, b"{}"))
        paths = [dict(self.others.query(number))["servicePath"] for number in range(4, len(self.others.asked))]
        self.assertEqual(paths, ["/new", "/new"])
        self.assertEqual([said.status for said in newer.answers()], [200])
        self.assertEqual(self.api.control.replicas._turns.keys(), {"other"})  # type: ignore[union-attr]  # it is there

    def test_unreadable_answer(self) -> None:
        """
        A refusal that is no JSON is told by its status.
        """
        for body in (b"<html>", b"[]", b"{}", b"\xff", b'{"Message": null}'):
            self.others.answers["10.0.0.2"] = Said(502, body)
            self.assertIn("10.0.0.2: 502", self.api.call("GET", DEMO).json["Message"])


class LookupTests(SynchronousTestCase):
    """
    How often it is asked who the replicas are.
    """

    def setUp(self) -> None:
        self.others = Others("10.0.0.2")
        self.api = api_with(self.others)
        control = self.api.control.replicas
        assert control is not None
        self.replicas: Replicas = control

    def test_burst(self) -> None:
        """
        Hundreds of callers at once share one question, and so do those just after.
        """
        self.others.slow = []
        asked = [self.replicas.others() for _ in range(300)]
        self.assertEqual(len(self.others.slow), 1)
        self.others.slow[0].callback(("10.0.0.9",))
        self.assertEqual({self.successResultOf(each) for each in asked}, {("10.0.0.9",)})
        self.assertEqual(self.successResultOf(self.replicas.others()), ("10.0.0.9",))
        self.assertEqual(self.others.lookups, 1)

    def test_soon_again(self) -> None:
        """
        A replica that was added is known half a second later.
        """
        self.assertEqual(self.successResultOf(self.replicas.others()), ("10.0.0.2",))
        self.others.addresses = ("10.0.0.2", "10.0.0.3")
        self.api.clock.advance(LOOKUP_S)
        self.assertEqual(self.successResultOf(self.replicas.others()), ("10.0.0.2", "10.0.0.3"))

    def test_failure_is_not_kept(self) -> None:
        """
        That nobody knew is no reason not to ask again.
        """
        self.others.addresses = None
        self.failureResultOf(self.replicas.others())
        self.others.addresses = ("10.0.0.2",)
        self.assertEqual(self.successResultOf(self.replicas.others()), ("10.0.0.2",))
