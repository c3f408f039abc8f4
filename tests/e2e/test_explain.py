"""
`explain` says beforehand what then happens: the same service, the same server, the same answer; and asking changes
nothing.
"""

from __future__ import annotations

import json
from http.client import HTTPConnection
from random import Random
from typing import Any
from urllib.parse import urlencode

from tests.e2e.backends import Backend
from tests.e2e.proxy import API, ProxyCase
from tests.e2e.wire import LIMIT_S, Wire

REQUESTS = 1000
"""Random requests, as the issue wants it."""

PATHS = ("/", "/a", "/a/b", "/ab", "/digital", "/digitalproduct", "/shop", "/.well-known/acme-challenge")
HOSTS = ("acme.com", "acme.com.au", "www.acme.com", "*.acme.org", "x.test")
BALANCES = ("roundrobin", "leastconn", "random", "first", "source", "uri", "hdr(X-User)", "ewma")


def tells(wire: Wire, backend: Backend) -> None:
    """
    A server that says who it is, and which service was found.
    """
    while True:
        request = wire.request()
        service = request.get("x-service") or ""
        body = f"{backend.host}:{backend.port} {service}".encode()
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


class Caller:
    """
    Connections that are kept, to the API and to the front.
    """

    def __init__(self, case: ProxyCase) -> None:
        proxy = case.proxy
        self.api = HTTPConnection(proxy.ip, proxy.api, timeout=LIMIT_S)
        self.front = HTTPConnection(proxy.ip, proxy.port, timeout=LIMIT_S)
        case.addCleanup(self.api.close)
        case.addCleanup(self.front.close)

    def explain(self, url: str, method: str, fields: list[tuple[str, str]]) -> dict[str, Any]:
        """
        What is said beforehand.
        """
        pairs = [("url", url), ("method", method), *(("header", f"{name}: {value}") for name, value in fields)]
        self.api.request("GET", f"{API}/explain?{urlencode(pairs)}")
        response = self.api.getresponse()
        body = response.read()
        assert response.status == 200, body
        found: dict[str, Any] = json.loads(body)
        return found

    def ask(self, host: str, target: str, method: str, fields: list[tuple[str, str]]) -> tuple[int, str, str]:
        """
        What happens: status, body, Location.
        """
        self.front.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        self.front.putheader("Host", host)
        for name, value in fields:
            self.front.putheader(name, value)
        self.front.endheaders()
        response = self.front.getresponse()
        body = response.read().decode()
        return response.status, body if response.status == 200 else "", response.headers.get("Location", "")


def random_service(chance: Random, name: str, servers: list[Backend]) -> dict[str, str]:
    """
    Parameters of a service.
    """
    used = chance.sample(servers, chance.randint(1, len(servers)))
    given = {
        "serviceName": name,
        "aclName": f"{chance.randint(1, 30)}-{name}",
        "servicePath": ",".join(chance.sample(PATHS, chance.randint(1, 2))),
        "endpoints": ",".join(f"{server.host}:{server.port}*{chance.randint(1, 3)}" for server in used),
        "port": "80",
        "balance": chance.choice(BALANCES),
        "setReqHeader": f"X-Service {name}",
    }
    optional = {
        "serviceDomain": chance.choice(HOSTS),
        "serviceHeader": f"X-Version:{chance.randint(1, 2)}",
        "userAgent": "fox",
        "servicePathExclude": "/a/b",
        "pathType": chance.choice(("path_beg", "path", "path_end", "path_sub", "path_reg")),
        "sessionType": "sticky-server",
        "reqPathSearchReplace": "/a,/z",
        "deniedMethods": "PUT",
        "allowedMethods": "GET,POST",
        "httpsOnly": "true",
        "users": "me:secret",
        "redirectWhenHttpProto": "true",
        "isDefaultBackend": "true",
    }
    share = {"serviceDomain": 0.6, "httpsOnly": 0.1, "isDefaultBackend": 0.0, "users": 0.3}
    given.update({name: value for name, value in optional.items() if chance.random() < share.get(name, 0.15)})
    return given


class ExplainTests(ProxyCase):
    """
    In one process, so that the balancer that is asked is the one that picks.
    """

    workers = 0

    def test_says_what_then_happens(self) -> None:
        """
        1,000 random requests over random services: explained, then really asked.
        """
        chance = Random(68)
        servers = [self.backend(tells, f"127.0.0.{number}") for number in (1, 2, 3)]
        for number in range(60):
            parameters = random_service(chance, f"s{number}", servers)
            if "serviceDomain" not in parameters:  # or a few would have everything
                parameters["serviceHeader"] = f"X-Version:{number % 3 + 1}"
                parameters.pop("redirectWhenHttpProto", None)
            status, answer = self.proxy.call("reconfigure", **parameters)
            self.assertEqual(200, status, answer)
            self.addCleanup(self.proxy.remove, f"s{number}")
        caller = Caller(self)
        seen: dict[str, int] = {}
        for number in range(REQUESTS):
            host = chance.choice(HOSTS).replace("*", "www") + chance.choice(("", "", ":8080"))
            target = chance.choice(PATHS) + chance.choice(("", "/", "x", "/b", "?q=1"))
            method = chance.choice(("GET", "GET", "PUT", "DELETE"))
            fields = [
                ("X-User", f"user{number % 17}"),
                ("X-Version", chance.choice("123")),
                ("User-Agent", chance.choice(("Firefox", "curl"))),
                ("X-Forwarded-Proto", chance.choice(("http", "https", "https", "https"))),
            ]
            if chance.random() < 0.3:
                fields.append(("Cookie", f"other=1; s{chance.randrange(60)}=s{chance.randrange(60)}_1"))
            told = caller.explain(f"http://{host}{target}", method, fields)
            status, body, location = caller.ask(host, target, method, fields)
            about = (number, host, target, method, fields, told)
            self.assertEqual(told.get("Code", 200), status, about)
            if status == 200:
                server, service = told["Server"], told["Route"]["Service"]
                self.assertEqual(f"{server['Address']}:{server['Port']} {service}", body, about)
            self.assertEqual(told.get("Location", ""), location, about)
            seen[str(status)] = seen.get(str(status), 0) + 1
            for passed in told["PassedOver"]:
                self.assertTrue(passed["Failed"], about)
        self.assertEqual({"200", "302", "401", "403", "503"}, seen.keys(), seen)
        self.assertGreater(seen["200"], REQUESTS // 4, seen)

    def test_changes_nothing(self) -> None:
        """
        However often it is asked, no counter moves and the balancer stays where it is.
        """
        servers = [self.backend(tells, f"127.0.0.{number}") for number in (1, 2, 3)]
        self.proxy.publish("turns", *servers, path="/turns")
        caller = Caller(self)
        before = {name: value for name, value in self.proxy.metrics().items() if "_total" in name}
        names = {caller.explain("http://x/turns", "GET", [])["Server"]["Name"] for _ in range(20)}
        after = {name: value for name, value in self.proxy.metrics().items() if "_total" in name}
        self.assertEqual(1, len(names))
        moved = {name for name in before if before[name] != after.get(name) and "api" not in name}
        self.assertEqual(set(), {name for name in moved if "process" not in name and "scrapes" not in name})
        bodies = [caller.ask("x", "/turns", "GET", [])[1] for _ in range(6)]
        self.assertEqual(bodies[:3], bodies[3:])
        self.assertEqual(3, len(set(bodies)))

    def test_a_password_is_not_tried(self) -> None:
        """
        Right and wrong credentials are answered alike: explain is no way to guess them.
        """
        self.proxy.publish("locked", self.backend(tells), path="/locked", users="me:secret")
        caller = Caller(self)
        right = caller.explain("http://x/locked", "GET", [("Authorization", "Basic bWU6c2VjcmV0")])
        wrong = caller.explain("http://x/locked", "GET", [("Authorization", "Basic bWU6d3Jvbmc=")])
        self.assertEqual(right, wrong)
        self.assertIn("if the password is right", right["Outcome"])
        self.assertNotIn("bWU6", json.dumps(right))
        self.assertEqual("locked", right["Server"]["Name"])
        self.assertEqual(401, caller.explain("http://x/locked", "GET", [])["Code"])


class WorkersTests(ProxyCase):
    """
    With workers, of which one is asked.
    """

    def test_a_worker_is_asked(self) -> None:
        """
        The answer comes from a worker, in JSON and as text for a terminal, and a publish warns of what it shadows.
        """
        server = self.backend(tells)
        self.proxy.publish("digital", server, path="/digital", port="80")
        answer = self.proxy.publish("digitalproduct", server, path="/digitalproduct", port="80")
        [warning] = answer["Warnings"]
        self.assertIn("digitalproduct-be80_0 never gets a request: digital-be80_0 (/digital)", warning)
        self.proxy.wait_for_log(warning)
        told = Caller(self).explain("http://acme.com/digitalproduct/1", "GET", [])
        self.assertEqual(("digital", server.port), (told["Route"]["Service"], told["Server"]["Port"]))
        status, text = self.proxy.ask(f"{API}/explain?format=text&url=http://acme.com/digitalproduct/1")
        self.assertEqual(200, status)
        self.assertIn(f"sent to digital (127.0.0.1:{server.port}) of digital-be80_0", text.decode())
        self.assertNotIn("Warnings", self.proxy.publish("other", server, path="/other"))

    def test_wrong_questions(self) -> None:
        """
        What makes no sense is a 400 that names the parameter.
        """
        for query, name in (
            ("", "url"),
            ("url=x", "url"),
            ("url=ftp://x/", "url"),
            ("url=/path", "url"),
            ("url=http://x/&method=G%20T", "method"),
            ("url=http://x/&header=nothing", "header"),
            ("url=http://x/&header=A:b%0D%0AX:y", "header"),
            ("url=http://x/&port=99999", "port"),
            ("url=http://x/&client=somebody", "client"),
            ("url=http://x/&format=xml", "format"),
            ("url=http://x/&header=Transfer-Encoding:odd", "url"),
            ("url=http://" + "x" * 9000, "url"),
        ):
            status, body = self.proxy.ask(f"{API}/explain?{query}")
            self.assertEqual((400, name), (status, json.loads(body)["Problems"][0]["Parameter"]), query[:60])


class FrontTests(ProxyCase):
    """
    With lines of an operator before the choice of a route.
    """

    workers = 0
    options = (
        "--extra-frontend",
        "http-request deny if { path_beg /secret }\nhttp-request set-path /new if { path /old }",
    )

    def test_lines_before_routes(self) -> None:
        """
        What they refuse is refused, and the route is the one of the path that they have made.
        """
        server = self.backend(tells)
        self.proxy.publish("new", server, path="/new", setReqHeader="X-Service new", port="80")
        self.proxy.publish("rest", server, path="/", setReqHeader="X-Service rest", port="80")
        caller = Caller(self)
        for path, code, service in (("/secret/x", 403, ""), ("/old", 0, "new"), ("/older", 0, "rest")):
            told = caller.explain(f"http://x{path}", "GET", [])
            status, body, _ = caller.ask("x", path, "GET", [])
            self.assertEqual((code or 200, code), (status, told.get("Code", 0)), told)
            if service:
                self.assertEqual((service, service), (told["Route"]["Service"], body.rpartition(" ")[2]), told)


class SpecificOrderTests(ProxyCase):
    """
    With `--route-order specific`.
    """

    options = ("--route-order", "specific")

    def test_the_longer_path_wins(self) -> None:
        """
        Docker Flow Proxy's order gives `/digitalproduct` to `/digital`; this one does not, and nobody is warned.
        """
        server = self.backend(tells)
        for name in ("digital", "digitalproduct"):
            answer = self.proxy.publish(name, server, path=f"/{name}", setReqHeader=f"X-Service {name}")
            self.assertNotIn("Warnings", answer)
        for path, name in (
            ("/digitalproduct/1", "digitalproduct"),
            ("/digital/1", "digital"),
            ("/digitalx", "digital"),
        ):
            self.assertTrue(self.proxy.get(path).body.endswith(f" {name}".encode()), path)
            self.assertEqual(name, Caller(self).explain(f"http://x{path}", "GET", [])["Route"]["Service"])
