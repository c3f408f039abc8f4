"""
An explanation takes the way of a request, and leaves no trace; of many routes it tells of a few, in time.
"""

from __future__ import annotations

from typing import Any

from dfproxy.control.explaining import LINES, SLICE_S, WHOLE_S
from dfproxy.model.match import HostPattern, Match, PathPattern
from dfproxy.model.service import Balance, Destination, Service
from dfproxy.model.snapshot import Membership, ServerAddress
from dfproxy.model.steps import Access, HeaderRule, Redirect, Rewrite, Steps, User
from tests.dialogue import HOSTS
from tests.unit.control.test_apply import Plane, PlaneCase, members, service

A, B, C = HOSTS


def at(name: str, path: str, host: str = "", steps: Steps | None = None, is_default: bool = False) -> Service:
    """
    A service with one path, perhaps on one domain, with these steps.
    """
    hosts = (HostPattern("prefix", host.encode()),) if host else ()
    match = Match((PathPattern("prefix", path.encode()),), hosts=hosts)
    destination = Destination(0, 8080, match, name, f"{name}-be8080_0", steps=steps)
    return Service(name, name, (destination,), is_default=is_default)


class Ticking:
    """
    A clock that goes on each time it is looked at.
    """

    def __init__(self, step_s: float) -> None:
        self.step_s = step_s
        self.now = 0.0

    def __call__(self) -> float:
        self.now += self.step_s
        return self.now


def asked(
    target: str = "/", host: str = "a.test", *fields: str, method: str = "GET", tls: bool = False
) -> dict[str, Any]:
    """
    A question.
    """
    head = "\r\n".join([f"{method} {target} HTTP/1.1", f"Host: {host}", *fields, "", ""])
    return {"head": head.encode(), "port": 80, "tls": tls, "client": "192.0.2.7", "client_port": 4711}


class ExplainingTests(PlaneCase):
    """
    What is said of one request.
    """

    def told(self, *question: str, plane: Plane | None = None, **more: Any) -> dict[str, Any]:
        """
        The answer, however many slices it takes.
        """
        made = plane or self.made
        answers: list[Any] = []
        made.plane.query("explain", asked(*question, **more)).addCallback(answers.append)
        for _ in range(1000):
            if answers:
                break
            self.turn(made)
        [[answer]] = answers
        assert isinstance(answer, dict)
        return answer

    def turn(self, made: Plane) -> None:
        """
        The reactor goes round once.
        """
        clock: Any = made.traffic.clock
        clock.advance(0)

    def one(self, *services: Service) -> None:
        """
        Put these in force, each with one server.
        """
        addresses = (ServerAddress(A, 8080),)
        self.made.apply(*services, memberships=[Membership(each.name, 0, 1, addresses) for each in services])

    def test_server_and_balancer(self) -> None:
        """
        The server that is next, again and again: the balancer stays where it is.
        """
        self.made.apply(service("a"), memberships=[members("a", A, B, C)])
        told = [self.told("/a") for _ in range(3)]
        self.assertEqual(told[0], told[2])
        self.assertEqual("balance=roundrobin", told[0]["Why"])
        self.assertEqual(3, told[0]["UsableServers"])
        picked = self.made.target("/a")
        assert picked is not None
        self.assertEqual(told[0]["Server"]["Address"], picked.pick(None).host)  # type: ignore[arg-type,union-attr]  # roundrobin looks at no request
        self.assertNotEqual(told[0]["Server"], self.told("/a")["Server"])

    def test_nothing_is_counted(self) -> None:
        """
        Neither at the backend nor at the frontend.
        """
        self.one(at("a", "/"))
        self.made.traffic.dirty.clear()
        before = [tally.values() for tally in (self.made.traffic.frontend, *self.made.servers())]
        self.told("/")
        self.assertEqual(before, [tally.values() for tally in (self.made.traffic.frontend, *self.made.servers())])
        self.assertEqual([], self.made.traffic.dirty)

    def test_no_server(self) -> None:
        """
        A route without servers is a 503, with the reason.
        """
        self.made.apply(service("a"))
        told = self.told("/a")
        self.assertEqual((503, None, "no server is known"), (told["Code"], told["Server"], told["Why"]))

    def test_nobody(self) -> None:
        """
        Without a route: a 503, and each route that was passed over with the condition that failed.
        """
        self.one(at("a", "/x"), at("b", "/y", "b.test"))
        told = self.told("/z")
        self.assertEqual((503, None), (told["Code"], told["Route"]))
        failed = [[verdict["Condition"] for verdict in one["Failed"]] for one in told["PassedOver"]]
        self.assertEqual([["path"], ["path", "host"]], failed)

    def test_default(self) -> None:
        """
        The default takes what no route does, and is said to be that.
        """
        self.one(at("a", "/x"), at("d", "/d", is_default=True))
        told = self.told("/z")
        self.assertEqual(("d", True), (told["Route"]["Service"], told["Route"]["Default"]))
        self.assertEqual(2, len(told["PassedOver"]))
        self.assertFalse(self.told("/d")["Route"]["Default"])

    def test_redirect_before_routes(self) -> None:
        """
        A redirect of another service comes first, and is named with where it leads.
        """
        old = Redirect(Match(hosts=(HostPattern("prefix", b"old.test"),)), host="new.test", code=301)
        self.one(at("a", "/"), at("r", "/r", steps=Steps(redirects=(old,))))
        told = self.told("/x?q=1", "old.test")
        self.assertEqual((301, "http://new.test/x?q=1"), (told["Code"], told["Location"]))
        self.assertIn("a redirect of r, which comes before the choice of a route", told["Outcome"])

    def test_steps(self) -> None:
        """
        What the steps of a route do: header rules and rewriting, or a refusal.
        """
        steps = Steps(
            request_headers=(HeaderRule("set", "X-A one"), HeaderRule("del", "X-Gone")),
            rewrites=(Rewrite("^/a", "/b"),),
            denied_methods=("PUT",),
        )
        self.one(at("a", "/a", steps=steps))
        told = self.told("/a/1?q", "a.test", "X-Gone: y")
        self.assertEqual(
            ["request header removed: X-Gone: y", "request header added: X-A: one", "target becomes /b/1?q"],
            told["Effects"],
        )
        parameters = [step["Parameter"] for step in told["Route"]["Steps"]]
        self.assertEqual(["setReqHeader", "delReqHeader", "reqPathSearchReplace", "deniedMethods"], parameters)
        refused = self.told("/a/1", method="PUT")
        self.assertEqual(403, refused["Code"])
        self.assertNotIn("Server", refused)

    def test_secrets(self) -> None:
        """
        Neither passwords of users nor credentials of the request are shown, nor whether these are right.
        """
        access = Access("aRealm", (User("me", "secret"),))
        rule = HeaderRule("set", "Authorization %[str(topsecret)]")
        headed = Steps(request_headers=(rule,))
        self.one(at("a", "/a", steps=Steps(access=access, sticky="a")), at("b", "/b", steps=headed))
        right, wrong = ("Authorization: Basic bWU6c2VjcmV0", "Authorization: Basic bWU6d3Jvbmc=")
        told = self.told("/a", "a.test", right, "Cookie: a=a_0")
        self.assertEqual(told, self.told("/a", "a.test", wrong, "Cookie: a=a_0"))
        self.assertEqual(("a", "its cookie"), (told["Server"]["Name"], told["Why"]))
        self.assertNotIn("Code", told)
        self.assertNotIn("secret", repr(told))
        self.assertEqual(401, self.told("/a")["Code"])
        self.assertIn("request header added: Authorization: ...", self.told("/b")["Effects"])

    def test_sticky(self) -> None:
        """
        A cookie leads to its server, whatever the balancer would do.
        """
        one = at("a", "/", steps=Steps(sticky="a"))
        self.made.apply(one, memberships=[members("a", A, B, C, index=0)])
        for place in range(3):
            told = self.told("/", "a.test", f"Cookie: x=1; a=a_{place}")
            self.assertEqual((f"a_{place}", "its cookie"), (told["Server"]["Name"], told["Why"]))
        self.assertEqual("balance=roundrobin", self.told("/", "a.test", "Cookie: a=a_7")["Why"])

    def test_tls(self) -> None:
        """
        With TLS what asks for it passes, and the header of TLS is among what is done.
        """
        self.one(at("a", "/a", steps=Steps(https_code=302)))
        self.assertEqual(302, self.told("/a")["Code"])
        self.assertIn("request header added: X-Forwarded-Proto: https", self.told("/a", tls=True)["Effects"])

    def test_a_strategy_that_cannot_be_foreseen(self) -> None:
        """
        Then no server is named, but it is no 503 either.
        """
        made = Plane(self.load_files(odd=ODD))
        self.addCleanup(made.traffic.deadlines.stop)
        odd = Service("a", "a", service("a").destinations, Balance("odd"))
        made.apply(odd, memberships=[members("a", A, B)])
        told = self.told("/a", plane=made)
        self.assertIsNone(told["Server"])
        self.assertIn("cannot be asked without changing it", told["Why"])
        self.assertNotIn("Code", told)

    def test_a_strategy_that_fails(self) -> None:
        """
        Then the answer is the 503 that a request gets, and why.
        """
        made = Plane(self.load_files(faulty=FAULTY))
        self.addCleanup(made.traffic.deadlines.stop)
        faulty = Service("a", "a", service("a").destinations, Balance("faulty"))
        made.apply(faulty, memberships=[members("a", A, B)])
        told = self.told("/a", plane=made)
        self.assertIsNone(told["Server"])
        self.assertEqual("the strategy picks 'b', which is none of its servers", told["Why"])
        self.assertEqual(503, told["Code"])

    def test_servers_are_not_copied(self) -> None:
        """
        A strategy that remembers a server which has gone is asked on a copy that remembers the same one.
        """
        made = Plane(self.load_files(keeping=KEEPING))
        self.addCleanup(made.traffic.deadlines.stop)
        made.apply(Service("a", "a", service("a").destinations, Balance("keeping")), memberships=[members("a", A, B)])
        gone = made.servers()[0]
        made.plane.members(members("a", B, epoch=9))
        told = self.told("/a", plane=made)
        self.assertEqual((B, "balance=keeping"), (told["Server"]["Address"], told["Why"]))
        backend = made.target("/a")
        assert backend is not None
        self.assertEqual([gone, made.servers()[0]], backend.balancer.seen)  # type: ignore[attr-defined]  # our own

    def test_many_routes(self) -> None:
        """
        Of thousands of routes those that came close are listed; the answer stays short, and takes several slices.
        """
        self.made.traffic.monotonic = Ticking(SLICE_S / 20)
        self.one(*(at(f"s{number:04}", f"/s{number}/") for number in range(400)), at("near", "/other", "a.test"))
        answers: list[Any] = []
        self.made.plane.query("explain", asked("/z")).addCallback(answers.append)
        self.assertEqual([], answers, "not in one go")
        for _ in range(500):
            self.turn(self.made)
        [[told]] = answers
        self.assertEqual(["near"], [one["Service"] for one in told["PassedOver"]])
        self.assertEqual((400, 0), (told["LeftOut"], told["NotLookedAt"]))

    def test_in_time(self) -> None:
        """
        When there is no more time, what was looked at by then is told.
        """
        self.made.traffic.monotonic = Ticking(WHOLE_S / 20)
        self.one(*(at(f"s{number:04}", "/z", f"h{number}.test") for number in range(100)))
        told = self.told("/z")
        self.assertLess(50, told["NotLookedAt"])
        self.assertGreater(100, told["NotLookedAt"])
        self.assertEqual(100 - told["NotLookedAt"], len(told["PassedOver"]))

    def test_bad_heads(self) -> None:
        """
        What would be refused at once is told as that.
        """
        told = self.told("/", "a.test", "Content-Length: 1", "Content-Length: 2")
        self.assertEqual(400, told["Code"])

    def test_long_heads(self) -> None:
        """
        However many fields are changed, some are shown.
        """
        rules = tuple(HeaderRule("set", f"X-{number} y") for number in range(90))
        self.one(at("a", "/", steps=Steps(request_headers=rules)))
        self.assertEqual(LINES, len(self.told("/")["Effects"]))


KEEPING = """
    from dfproxy.balancing.base import Balancer, Strategy

    class Keeping(Balancer):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.seen = []

        def update(self, servers):
            super().update(servers)
            self.seen += servers[:1]

        def pick(self, request):
            assert self.seen[0].backend is self.servers[0].backend
            return self.servers[0]

    keeping = Strategy("keeping", "remembers all", Keeping)
"""

ODD = """
    from dfproxy.balancing.base import Balancer, Strategy

    class Odd(Balancer):
        def update(self, servers):
            super().update(servers)
            self.turns = iter(server for server in servers * 100)

        def pick(self, request):
            return next(self.turns)

    odd = Strategy("odd", "keeps what cannot be copied", Odd)
"""

FAULTY = """
    from dfproxy.balancing.base import Balancer, Strategy

    class Faulty(Balancer):
        def pick(self, request):
            return "b"

    faulty = Strategy("faulty", "picks a name", Faulty)
"""
