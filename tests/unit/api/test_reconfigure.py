"""
`reconfigure`: which status an operator or the swarm listener gets, and what is in force afterwards.
"""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.control.publisher import Publisher
from dfproxy.dfp.parameters import TABLE
from dfproxy.errors import Claimed, DfproxyError, JournalError, NotReady, Overloaded, Refused, Superseded
from dfproxy.model.settings import Settings
from tests.fakes import FakeDataPlane, FakeNames
from tests.unit.api.caller import Api, Connection

DEMO = "reconfigure?serviceName=go-demo&servicePath=/demo&port=8080"


class AcceptedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.api = Api()

    def test_published(self) -> None:
        """
        A service with path and port is in force when 200 is said, and the answer shows it and the revision.
        """
        said = self.api.call("GET", DEMO)
        self.assertEqual(said.status, 200)
        self.assertEqual(said.headers["content-type"], "application/json")
        self.assertEqual(int(said.headers["content-length"]), len(said.body))
        self.assertEqual((said.json["Status"], said.json["Message"]), ("OK", ""))
        self.assertEqual(said.json["ServiceName"], "go-demo")
        self.assertEqual(said.json["ServiceDest"][0]["ServicePath"], ["/demo"])
        self.assertEqual(said.json["Revision"]["Number"], 1)
        self.assertEqual(list(self.api.publisher.snapshot.services), ["go-demo"])

    def test_not_before_in_force(self) -> None:
        """
        While the data planes have not confirmed, nothing is said.
        """
        self.api.publisher.hold = True
        connection = self.api.connect()
        connection.send(f"GET /v1/docker-flow-proxy/{DEMO} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        self.assertEqual(connection.answers(), [])
        self.api.publisher.release()
        self.assertEqual([said.status for said in connection.answers()], [200])

    def test_methods_and_forms(self) -> None:
        """
        Query or form, GET, POST, PUT or DELETE: the same service. The query counts more than the form.
        """
        for method in ("GET", "POST", "PUT", "DELETE"):
            self.assertEqual(self.api.call(method, DEMO).status, 200)
        form = "serviceName=go-demo&servicePath=/form&port=8080"
        for method in ("POST", "PUT"):
            said = self.api.form(method, "reconfigure", form)
            self.assertEqual((said.status, said.json["ServiceDest"][0]["ServicePath"]), (200, ["/form"]))
        said = self.api.form("POST", "reconfigure?servicePath=/query", form)
        self.assertEqual(said.json["ServiceDest"][0]["ServicePath"], ["/query"])

    def test_decoding(self) -> None:
        """
        `+` and `%20` are blanks, and names match in any case.
        """
        said = self.api.call("GET", "reconfigure?servicename=go-demo&SERVICEPATH=/a+b%20c&port=1")
        self.assertEqual(said.status, 200)
        self.assertEqual(said.json["ServiceDest"][0]["ServicePath"], ["/a b c"])

    def test_unknown_parameters(self) -> None:
        """
        Parameters that we do not know are ignored: the listener forwards every label.
        """
        self.assertEqual(self.api.call("GET", f"{DEMO}&noSuchParam=1&letsencrypt.host=a.b&=x&&y").status, 200)

    def test_no_replicas(self) -> None:
        """
        `replicas=0` takes the service away and is a 200.
        """
        self.api.call("GET", DEMO)
        said = self.api.call("GET", f"{DEMO}&replicas=0")
        self.assertEqual((said.status, said.json["Status"]), (200, "OK"))
        self.assertEqual(self.api.publisher.calls[-1], ("withdraw", ("go-demo",)))
        self.assertEqual(self.api.publisher.snapshot.services, {})

    def test_other_instance(self) -> None:
        """
        A service for another instance is left out with a 200, and the answer says why, also that of a dry run.
        """
        api = Api(settings=Settings(instance_name="inner", filter_instances=True))
        for query in (DEMO, f"{DEMO}&proxyInstanceName=outer", f"{DEMO}&proxyInstanceName=outer&dryRun=true"):
            said = api.call("GET", query)
            self.assertEqual(said.status, 200, query)
            self.assertTrue(said.json["Warnings"][0].startswith("not published here: "), query)
        self.assertNotIn("Warnings", api.call("GET", f"{DEMO}&proxyInstanceName=INNER").json)
        self.assertNotIn("Warnings", api.call("GET", f"{DEMO}&proxyInstanceName=inner&replicas=0").json)

    def test_superseded(self) -> None:
        """
        A definition that a newer one has overtaken is done as far as its caller is concerned; the answer tells.
        """
        self.api.publisher.failure = Superseded("go-demo")
        said = self.api.call("GET", DEMO)
        self.assertEqual((said.status, said.json["Status"]), (200, "OK"))
        self.assertIn("in force instead", said.json["Message"])

    def test_no_secret_is_shown(self) -> None:
        """
        What is secret is blank in the answer, also in that of a refusal.
        """
        said = self.api.call("GET", f"{DEMO}&users=ann:hidden1&serviceCert=hidden2")
        self.assertNotIn(b"hidden", said.body)


class RefusedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.api = Api()

    def refused(self, path: str, status: int) -> str:
        said = self.api.call("GET", path)
        self.assertEqual((said.status, said.json["Status"]), (status, "NOK"), path)
        self.assertNotEqual(said.json["Message"], "")
        self.assertEqual(said.headers["content-type"], "application/json")
        return str(said.json["Message"])

    def test_mandatory(self) -> None:
        """
        Without name or port 400, naming it; without anything to route 409, which the listener takes as done.
        """
        self.assertIn("serviceName", self.refused("reconfigure", 400))
        self.assertIn("serviceName", self.refused("reconfigure?servicePath=/demo&port=1", 400))
        self.refused("reconfigure?serviceName=e1", 409)
        self.assertIn("port", self.refused("reconfigure?serviceName=e1&servicePath=/demo", 400))
        self.assertIn("port", self.refused("reconfigure?serviceName=e1&servicePath=/demo&port=", 400))
        self.refused("reconfigure?serviceName=e1&reqMode=tcp&port=1", 400)
        self.refused("reconfigure?serviceName=e1&reqMode=tcp&srcPort=1", 400)
        self.assertEqual(self.api.publisher.calls, [])

    def test_wrong_values(self) -> None:
        """
        What cannot be read is a 400 at once, and the former definition stays in force.
        """
        self.api.call("GET", DEMO)
        before = self.api.publisher.snapshot
        self.assertIn("pathType", self.refused(f"{DEMO}&pathType=no_such", 400))
        self.assertIn("port", self.refused("reconfigure?serviceName=go-demo&servicePath=/x&port=http1", 400))
        self.assertIn("balance", self.refused(f"{DEMO}&balance=no_such", 400))
        self.assertIn("replicas", self.refused(f"{DEMO}&replicas=two", 400))
        self.assertIn("UTF-8", self.refused(f"{DEMO}&x=%ff", 400))
        self.assertIn("2000", self.refused(f"{DEMO}{'&a' * 2000}", 400))
        self.assertIs(self.api.publisher.snapshot, before)

    def test_distribute(self) -> None:
        """
        A proxy that has no replicas refuses `distribute=true`, naming it; `false` is fine.
        """
        self.assertIn("distribute", self.refused(f"{DEMO}&distribute=true", 500))
        self.assertIn("distribute", self.refused(f"{DEMO}&replicas=0&distribute=true", 500))
        self.assertEqual(self.api.publisher.calls, [])
        self.assertEqual(self.api.call("GET", f"{DEMO}&distribute=false").status, 200)

    def test_data_plane_refuses(self) -> None:
        """
        What a data plane cannot serve is the caller's 400, with its reason.
        """
        self.api.publisher.failure = Refused("regular expression ( does not parse")
        self.assertIn("does not parse", self.refused(DEMO, 400))

    def test_overloaded(self) -> None:
        """
        Too many changes at once, or no worker that could take one: 503, and when to come again.
        """
        for failure in (Overloaded(""), NotReady("no worker is alive")):
            self.api.publisher.failure = failure
            said = self.api.call("GET", DEMO)
            self.assertEqual((said.status, said.headers["retry-after"], said.json["Status"]), (503, "1", "NOK"))

    def test_not_durable(self) -> None:
        """
        A disk that is full refuses changes: 503 with the reason, and when to come again.
        """
        for call in (DEMO, "remove?serviceName=go-demo"):
            self.api.publisher.failure = JournalError("cannot be made durable: the disk is full")
            said = self.api.call("GET", call)
            self.assertEqual((said.status, said.headers["retry-after"], said.json["Status"]), (503, "1", "NOK"))
            self.assertIn("the disk is full", said.json["Message"])

    def test_claimed(self) -> None:
        """
        A name of another origin is a 409, which no swarm listener repeats, with the reason.
        """
        for call in (DEMO, "remove?serviceName=go-demo"):
            self.api.publisher.failure = Claimed("go-demo belongs to another origin")
            said = self.api.call("GET", call)
            self.assertEqual((said.status, said.json["Status"]), (409, "NOK"))
            self.assertIn("another origin", said.json["Message"])

    def test_our_own_fault(self) -> None:
        """
        A failure that is not the caller's is a 500 and an error in the log; what is unexpected is not told outside.
        """
        self.api.publisher.failure = DfproxyError("the journal cannot be written: disk full")
        self.assertIn("disk full", self.refused(DEMO, 500))
        self.api.publisher.failure = ZeroDivisionError("hidden")
        self.assertNotIn("hidden", self.refused(DEMO, 500))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class AbortedTests(SynchronousTestCase):
    def test_begun_is_finished(self) -> None:
        """
        A caller that hangs up does not undo a change that has begun, and nothing is logged as an error.
        """
        api = Api()
        api.publisher.hold = True
        connection = api.connect()
        connection.send(f"GET /v1/docker-flow-proxy/{DEMO} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        connection.lose()
        api.publisher.release()
        self.assertEqual(list(api.publisher.snapshot.services), ["go-demo"])
        api.publisher.hold = False
        self.assertEqual(api.call("GET", "remove?serviceName=go-demo").status, 200)

    def test_repeated(self) -> None:
        """
        The listener cancels a call and sends a newer one: both happen, in order.
        """
        api = Api()
        api.publisher.hold = True
        first, second = api.connect(), api.connect()
        first.send(f"GET /v1/docker-flow-proxy/{DEMO} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        first.lose()
        second.send(f"GET /v1/docker-flow-proxy/{DEMO}&servicePath.1=/new HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        api.publisher.release()
        api.publisher.release()
        self.assertEqual([said.status for said in second.answers()], [200])
        (service,) = api.publisher.snapshot.services.values()
        self.assertIn(("servicePath.1", "/new"), service.parameters)


class PublisherTests(SynchronousTestCase):
    """
    With the real publisher behind the API.
    """

    def setUp(self) -> None:
        self.data_plane, clock, names = FakeDataPlane(), Clock(), FakeNames()
        publisher = Publisher(self.data_plane, names, clock)
        self.api = Api(publisher=publisher, data_plane=self.data_plane, names=names, clock=clock)

    def ask(self, path: str) -> Connection:
        connection = self.api.connect()
        connection.send(f"GET /v1/docker-flow-proxy/{path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        return connection

    def prepared(self) -> int:
        return sum(what == "prepare" for what, _ in self.data_plane.calls)

    def test_burst(self) -> None:
        """
        A listener that announces 120 services at once: all are in force and answered, in a few rounds.
        """
        self.data_plane.hold = True
        asked = [self.ask(f"reconfigure?serviceName=s{n}&servicePath=/s{n}&port=1") for n in range(120)]
        while self.data_plane.held:
            self.data_plane.held.pop().callback(None)
        self.assertEqual([each.answers()[0].status for each in asked], [200] * 120)
        self.assertEqual(len(self.api.publisher.snapshot.services), 120)
        self.assertLess(self.prepared(), 15)

    def test_one_name(self) -> None:
        """
        Several definitions of one name at once: each caller is told 200, and the one overtaken is told so.
        """
        self.data_plane.hold = True
        asked = [self.ask(f"reconfigure?serviceName=s&servicePath=/{n}&port=1") for n in range(3)]
        while self.data_plane.held:
            self.data_plane.held.pop().callback(None)
        said = [each.answers()[0] for each in asked]
        self.assertEqual([each.status for each in said], [200] * 3)
        self.assertEqual([bool(each.json["Message"]) for each in said], [False, True, False])
        (service,) = self.api.publisher.snapshot.services.values()
        self.assertIn(("servicePath", "/2"), service.parameters)

    def test_refused(self) -> None:
        """
        What the data plane refuses is a 400, and the former definition stays in force and in `config`.
        """
        self.api.call("GET", DEMO)
        self.data_plane.failure = Refused("go-demo: no such condition")
        said = self.api.call("GET", f"{DEMO}&servicePath=/other&servicePath.1=/new")
        self.assertEqual((said.status, said.json["Message"]), (400, "go-demo: no such condition"))
        shown = self.api.call("GET", "config?type=json").json
        self.assertEqual(shown["go-demo"]["ServiceDest"][0]["ServicePath"], ["/demo"])

    def test_same_again(self) -> None:
        """
        The same definition again is a 200 with the same revision: nothing has to be done.
        """
        first = self.api.call("GET", DEMO).json["Revision"]
        self.assertEqual(self.api.call("GET", DEMO).json["Revision"], first)
        self.assertEqual(self.prepared(), 1)


NAMES = st.sampled_from([row.name for row in TABLE] + ["serviceName", "port", "servicePath", "nonsense", ""])
SUFFIXES = st.sampled_from(["", "", "", ".1", ".2", ".10", ".11", ".x", "."])
VALUES = st.one_of(
    st.sampled_from(["s", "/demo", "8080", "true", "0", "-1", "a,b", "hdr_dom(host)", "path_reg", "^(a|b)+$", "x:y"]),
    st.text(max_size=30),
    st.binary(max_size=12),
)


@st.composite
def queries(draw: st.DrawFn) -> bytes:
    """
    Something that looks like a query, and often is none.
    """
    pieces = []
    for _ in range(draw(st.integers(0, 8))):
        value = draw(VALUES)
        raw = value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
        shown = draw(st.sampled_from(["quoted", "raw"]))
        if shown == "quoted":
            text = b"".join(b"%%%02x" % byte for byte in raw)
        else:
            text = bytes(byte for byte in raw if byte not in b"\r\n \t\x00#")
        pieces.append(draw(NAMES).encode() + draw(SUFFIXES).encode() + b"=" + text)
    return b"&".join(pieces)


class AnythingTests(SynchronousTestCase):
    @settings(max_examples=75, deadline=None)
    @given(queries(), queries(), st.sampled_from([b"GET", b"POST", b"PUT", b"DELETE", b"X"]))
    @example(b"serviceName=s&servicePath=/&port=1", b"\xff", b"POST")
    @example(b"serviceName=s&replicas=0", b"", b"GET")
    def test_no_input_breaks_it(self, query: bytes, form: bytes, method: bytes) -> None:
        """
        Whatever is asked, it is never a 500, and after a refusal everything is as it was.
        """
        api = Api()
        api.call("GET", DEMO)
        before, calls = api.publisher.snapshot, list(api.publisher.calls)
        for verb in (b"reconfigure", b"remove", b"config"):
            connection = api.connect()
            connection.send(
                b"%s /v1/docker-flow-proxy/%s?%s HTTP/1.1\r\nHost: a\r\n" % (method, verb, query)
                + b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n" % len(form)
                + form
            )
            (said,) = connection.answers((method.decode(),))
            self.assertLess(said.status, 500)
            if said.status >= 400:
                self.assertIs(api.publisher.snapshot, before)
                self.assertEqual(api.publisher.calls, calls)
            before, calls = api.publisher.snapshot, list(api.publisher.calls)
