"""
Strategies, one's own among them, metrics and the access log, with workers.
"""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from textwrap import dedent

from tests.e2e.backends import Backend, answering, refused_port
from tests.e2e.proxy import API, ProxyCase, until

FOLDER = Path(tempfile.mkdtemp(prefix="dfproxy-plugins-"))
"""Where the strategies of these tests are dropped in."""
atexit.register(shutil.rmtree, FOLDER)

(FOLDER / "dropped_in.py").write_text(
    dedent(
        f'''
        import os
        import sys

        from dfproxy.balancing.base import Balancer, Strategy


        class Last(Balancer):
            """Always the last server."""

            def pick(self, request):
                return self.servers[-1] if self.servers else None


        class Fussy(Balancer):
            """Can be built in all workers but one: making a folder succeeds once."""

            def __init__(self, arguments, clock, random):
                super().__init__((), clock, random)
                if "worker" in sys.argv[0]:
                    try:
                        os.mkdir({str(FOLDER / "taken")!r})
                    except FileExistsError:
                        return
                    raise RuntimeError("not in this one")

            def pick(self, request):
                return self.servers[0] if self.servers else None


        class Nonsense(Balancer):
            """Picks a name, no server."""

            def pick(self, request):
                return "10.0.0.1:80"


        class Raising(Balancer):
            """Raises at each request."""

            def pick(self, request):
                raise ZeroDivisionError("pick is broken")


        last = Strategy("last", "the last one, always", Last)
        fussy = Strategy("fussy", "not everywhere", Fussy)
        raising = Strategy("raising", "never", Raising)
        nonsense = Strategy("nonsense", "picks a name", Nonsense)
        '''
    )
)


class StrategyTests(ProxyCase):
    """
    Two workers with a folder of strategies.
    """

    options = ("--plugins", str(FOLDER), "--access-log", f"json:{FOLDER}/access.json")

    def naming(self, *names: str) -> list[Backend]:
        """
        Servers that answer their names.
        """
        return [self.backend(answering(name.encode())) for name in names]

    def ask(self, path: str, count: int, clients: int = 4) -> Counter[str]:
        """
        How often each body is answered, over several connections.
        """
        told: Counter[str] = Counter()
        for _ in range(clients):
            with self.proxy.connect() as client:
                for _ in range(count // clients):
                    client.send(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
                    told[client.response().body.decode()] += 1
        return told

    def test_dropped_in(self) -> None:
        """
        A strategy in one file of a `--plugins` folder works in every worker, is listed, and may be changed while
        running.
        """
        servers = self.naming("one", "two", "three")
        servers.sort(key=lambda server: server.port)
        last = {"one", "two", "three"}
        self.proxy.publish("a", *servers, path="/a", balance="last")
        told = self.ask("/a", 40, clients=10)
        self.assertEqual(len(told), 1)
        self.assertLessEqual(set(told), last)
        listed = json.loads(self.proxy.ask(f"{API}/strategies")[1])["Strategies"]
        (found,) = [row for row in listed if row["name"] == "last"]
        self.assertEqual(found["description"], "the last one, always")
        self.assertTrue(found["file"].endswith("dropped_in.py"), found)
        self.proxy.publish("a", *servers, path="/a", balance="roundrobin")
        self.assertEqual(set(self.ask("/a", 40, clients=2)), last)
        self.assertEqual(set(self.ask("/a", 3, clients=1).values()), {1})

    def test_built_in(self) -> None:
        """
        Every built-in strategy serves, and does with servers what its name says.
        """
        servers = self.naming("one", "two", "three")
        pairs = ",".join(f"127.0.0.1:{server.port}*{weight}" for server, weight in zip(servers, (2, 1, 1)))
        for balance in ("roundrobin", "leastconn", "random", "first", "source", "uri", "hdr(x-user)", "ewma"):
            self.proxy.publish("a", path="/a", endpoints=pairs, balance=balance)
            told = self.ask("/a", 80, clients=1)
            if balance in ("first", "source", "uri"):
                self.assertEqual(len(told), 1, balance)
            if balance == "roundrobin":
                self.assertEqual(told, {"one": 40, "two": 20, "three": 20})
            self.assertEqual(sum(told.values()), 80)
            self.assertLessEqual(set(told), {"one", "two", "three"}, balance)
        self.proxy.publish("a", path="/a", endpoints=pairs, balance="hdr(x-user)")
        by_user = [{self.proxy.get("/a", head=f"X-User: {user}\r\n").body for _ in range(6)} for user in range(12)]
        self.assertEqual([len(bodies) for bodies in by_user], [1] * 12, "the same on every worker")
        self.assertGreater(len(set().union(*by_user)), 1)

    def test_build_raises_in_one_worker(self) -> None:
        """
        A strategy that cannot be built in one worker: the call is refused with the reason, and no worker has changed.
        """
        one, two = self.naming("one", "two")
        self.proxy.publish("a", one, path="/a")
        before = self.proxy.config()
        pids = self.proxy.worker_pids()
        status, answer = self.proxy.call(
            "reconfigure", serviceName="a", servicePath="/a", balance="fussy", endpoints=f"127.0.0.1:{two.port}"
        )
        self.assertTrue((FOLDER / "taken").exists())
        self.assertEqual((status, answer["Status"]), (400, "NOK"))
        self.assertIn("not in this one", answer["Message"])
        self.assertEqual(self.proxy.config(), before)
        self.assertEqual(self.proxy.worker_pids(), pids)
        self.assertEqual(self.ask("/a", 32, clients=16), {"one": 32})
        # Now that it can be built in all of them.
        self.proxy.publish("a", two, path="/a", balance="fussy")
        self.assertEqual(self.ask("/a", 32, clients=16), {"two": 32})
        (FOLDER / "taken").rmdir()

    def test_pick_raises(self) -> None:
        """
        A strategy that raises at each request, or picks what is no server, breaks its own service only, and says so in
        the log.
        """
        one, two = self.naming("one", "two")
        self.proxy.publish("b", two, path="/b")
        pids = self.proxy.worker_pids()
        for balance, said in (("raising", "pick is broken"), ("nonsense", "picked '10.0.0.1:80'")):
            self.proxy.publish("a", one, path="/a", balance=balance)
            for _ in range(10):
                self.assertEqual(self.proxy.get("/a").status, 503)
                self.assertEqual(self.proxy.get("/b").body, b"two")
            self.proxy.wait_for_log(said, start=self._logged)
        self.assertEqual(self.proxy.worker_pids(), pids)
        self.proxy.publish("a", one, path="/a")
        self.assertEqual(self.ask("/a", 32, clients=16), {"one": 32})
        self._logged = self.proxy.logged  # the tracebacks were asked for

    def test_unknown(self) -> None:
        """
        An unknown strategy is a 400 that lists the known ones; wrong arguments say what is right.
        """
        before = self.proxy.config()
        status, answer = self.proxy.call(
            "reconfigure", serviceName="a", servicePath="/a", balance="nothing", endpoints="127.0.0.1:80"
        )
        self.assertEqual(status, 400)
        for name in ("roundrobin", "leastconn", "random", "first", "source", "uri", "hdr", "last"):
            self.assertIn(name, answer["Message"])
        status, answer = self.proxy.call(
            "reconfigure", serviceName="a", servicePath="/a", balance="hdr", endpoints="127.0.0.1:80"
        )
        self.assertEqual(status, 400)
        self.assertIn("hdr", answer["Message"])
        self.assertEqual(self.proxy.config(), before)

    def test_counted_and_logged(self) -> None:
        """
        `/metrics` and the access log tell of every request, whichever worker had it.
        """
        log = FOLDER / "access.json"
        (good,) = self.naming("good")
        self.proxy.publish("m", good, path="/m")
        self.proxy.publish(
            "dead", ("127.0.0.1", refused_port()), ("127.0.0.2", refused_port("127.0.0.2")), path="/dead"
        )
        self.ask("/m", 30, clients=10)
        with self.proxy.connect() as client:
            client.send('POST /m?x=%20"y HTTP/1.1\r\nHost: Test:1\r\nContent-Length: 7\r\n\r\n1234567')
            client.response()
        self.assertEqual(self.proxy.get("/dead").status, 503)
        self.assertEqual(self.proxy.get("/nowhere").status, 503)
        with self.proxy.connect() as client:
            client.send("no request\r\n\r\n")
            client.response()

        def lines() -> list[dict[str, object]]:
            rows = map(json.loads, log.read_text().splitlines() if log.exists() else ())
            return [row for row in rows if row["target"] != "/a"]  # of other tests

        until(lambda: len(lines()) >= 34, 5, lambda: str(lines()))
        rows = lines()
        found = Counter((row["target"], row["status"], row["ending"]) for row in rows)
        backend = f"m-be{good.port}_0"
        self.assertEqual(
            found,
            {
                ("/m", 200, "complete"): 30,
                ('/m?x=%20"y', 200, "complete"): 1,
                ("/dead", 503, "connect_failed"): 1,
                ("/nowhere", 503, "no_route"): 1,
                ("", 400, "bad_request"): 1,
            },
        )
        (post,) = [row for row in rows if row["method"] == "POST"]
        self.assertEqual((post["host"], post["bytes_in"], post["bytes_out"]), ("test:1", 7, 4))
        self.assertEqual((post["client"], post["backend"], post["server"]), ("127.0.0.1", backend, "m"))
        until(lambda: self.proxy.metrics().get(f'dfproxy_requests_total{{service="m",backend="{backend}"}}') == 31, 5)
        metrics = self.proxy.metrics()
        labels = f'service="m",backend="{backend}"'
        self.assertEqual(metrics[f'dfproxy_responses_total{{{labels},code="2xx"}}'], 31)
        self.assertEqual(metrics[f"dfproxy_requests_in_flight{{{labels}}}"], 0)
        self.assertEqual(metrics[f"dfproxy_response_latency_seconds_count{{{labels}}}"], 31)
        self.assertGreater(metrics[f"dfproxy_response_latency_seconds_sum{{{labels}}}"], 0)
        self.assertEqual(metrics[f'haproxy_backend_bytes_in_total{{backend="{backend}"}}'], 7)
        dead = [
            value for name, value in metrics.items() if name.startswith('dfproxy_connect_errors_total{service="dead"')
        ]
        self.assertGreaterEqual(sum(dead), 2)
