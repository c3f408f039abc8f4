"""
HAProxy as the oracle: it runs the `config` text of a live dfproxy, and both are asked the same.

Services are drawn by chance from few letters, so that they overlap; so are requests, many of which just miss.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
from pathlib import Path

from tests.e2e.backends import ANSWER, Backend, Script
from tests.e2e.proxy import ProxyCase, until
from tests.e2e.wire import Wire, connect
from tests.requirements import require

HOST = "127.0.0.5"
"""Where HAProxy listens, on the ports of dfproxy: a condition may name the port."""

TABLES = 14
SERVICES = 8
REQUESTS = 60

PIECES = ("/a", "/b", "/ab", "/A", "/", "/.", "x1", "a", "b", ".", "/a/b", "//", "/a.b/", "%2F")
HOSTS = ("a", "b", "ab", ".", ".", "A", "c", "-")
PATH_TYPES = (
    *("", "", "", "path_beg", "path", "path_end", "path_sub", "path_dir", "path_dom", "path_len", "path_reg"),
    *("path_beg -i", "path -i", "url", "url_beg", "url_sub", "url_end"),
)
PATH_REGEXES = ("^/a", "b$", "a[0-9]*/b", "/ab/", "(/a|/b)x1", "[.]a", "x[0-9]+", "^$")
HOST_ALGORITHMS = (
    *("", "", "", "hdr_beg(host)", "hdr(host)", "hdr_dom(host)", "hdr_end(host)", "hdr_sub(host)"),
    *("hdr_dir(host)", "hdr_reg(host)", "hdr_len(host)"),
)
HOST_REGEXES = ("^a", "b$", "a[.]b", "(a|b){2}")
STEPS: dict[str, tuple[str, ...]] = {
    "addReqHeader": (
        "X-P %[path,lower] if { path_beg /a },X-P 2",
        "X-Q %[hdr(x-a),word(1,\\,)]|%[query] if !{ hdr(x-a) -m found } or { path_sub b }",
        "X-R '%[req.fhdr(x-b)] %[src]' if { hdr(x-b) a 2 } METH_GET",
        "X-S \"%[url,regsub('(a+)','[\\1]',g)]\"",
    ),
    "setReqHeader": (
        "X-A %[base,length]",
        "X-B %[hdr(x-a,1),upper]%% unless { path_len 3:6 }",
        "X-T %[method]-%[ssl_fc]",
    ),
    "delReqHeader": ("X-A if { hdr_sub(x-a) 1 }", "X-B", "User-Agent if { path_dir b }"),
    "reqPathSearchReplace": ("/a,/z", "a,:b,c,g", "^/(a)(.*),/\\2\\1", "A,x,i"),
    "allowedMethods": ("GET,PUT", "POST"),
    "deniedMethods": ("GET", "get,PUT"),
    "httpsOnly": ("true",),
    "httpsRedirectCode": ("301", "307"),
    "redirectWhenHttpProto": ("true",),
    "redirectUnlessHttpsProto": ("true",),
}
"""What a service may do to requests, and how."""
STEPS_CHANCE = {"httpsOnly": 0.05, "deniedMethods": 0.05, "redirectUnlessHttpsProto": 0.05, "allowedMethods": 0.1}
AGENTS = ("MOZ/1", "xA By", "foo -I", "curl/8")


def words(chance: random.Random, most: int, pieces: tuple[str, ...]) -> str:
    """
    Some pieces in a row.
    """
    return "".join(chance.choice(pieces) for _ in range(chance.randint(1, most)))


def script_of(name: str) -> Script:
    """
    A server that tells its name and the head that it got.
    """

    def script(wire: Wire, backend: Backend) -> None:
        while True:
            request = wire.request()
            told = json.dumps([name, request.line, request.fields]).encode()
            wire.send((ANSWER % (len(told), told)).replace(b"\r\n", b"\r\nX-Told: 1\r\n", 1))

    return script


class OracleTests(ProxyCase):
    """
    Needs haproxy.
    """

    ports = 2

    def setUp(self) -> None:
        """
        Start a server for each destination that there may be.
        """
        (self.haproxy,) = require("haproxy")
        super().setUp()
        self.servers = {
            (service, index): self.backend(script_of(f"s{service}#{index}"))
            for service in range(SERVICES)
            for index in (0, 1)
        }

    # --- what is drawn -----------------------------------------------------------------------------------------

    def definition(self, chance: random.Random, number: int) -> dict[str, str]:
        """
        Parameters of a service with one or two destinations.
        """
        several = chance.random() < 0.4
        given: dict[str, str] = {"serviceName": f"s{number}"}
        if chance.random() < 0.5:
            given["aclName"] = chance.choice(("10-x", "2-x", "A", "a", "b", "c"))
        if chance.random() < 0.05:
            given["isDefaultBackend"] = "true"
        for name, values in STEPS.items():
            if chance.random() < STEPS_CHANCE.get(name, 0.2):
                given[name] = chance.choice(values)
        algorithm = chance.choice(HOST_ALGORITHMS)
        if algorithm:
            given["serviceDomainAlgo"] = algorithm
        for index in (0, 1) if several else (0,):
            mark = f".{index + 1}" if several else ""
            given[f"port{mark}"] = str(self.servers[number, index].port)
            given[f"outboundHostname{mark}"] = "127.0.0.1"
            form = chance.choice(PATH_TYPES)
            if form:
                given[f"pathType{mark}"] = form
            given[f"servicePath{mark}"] = ",".join(self.path(chance, form) for _ in range(chance.randint(1, 3)))
            if chance.random() < 0.2:
                given[f"servicePathExclude{mark}"] = self.path(chance, form)
            if chance.random() < 0.4:
                domains = [self.domain(chance, algorithm) for _ in range(chance.randint(1, 2))]
                given[f"serviceDomain{mark}"] = ",".join(domains)
            if chance.random() < 0.2:
                given[f"serviceHeader{mark}"] = chance.choice(("X-A:1", "X-B:a b", "X-A:1,X-B:2"))
            if chance.random() < 0.2:
                given[f"userAgent{mark}"] = chance.choice(("moz", "a b", "-i", "moz,curl"))
            if chance.random() < 0.2:
                given[f"srcPort{mark}"] = str(chance.choice(self.proxy.ports))
        return given

    def path(self, chance: random.Random, form: str) -> str:
        """
        A value for `servicePath`.
        """
        if form.endswith("_reg"):
            return chance.choice(PATH_REGEXES)
        if form.endswith("_len"):
            return str(chance.randint(1, 9))
        word = words(chance, 3, PIECES)
        return word if chance.random() < 0.2 else f"/{word.lstrip('/')}"

    def domain(self, chance: random.Random, algorithm: str) -> str:
        """
        A value for `serviceDomain`.
        """
        if algorithm.startswith("hdr_reg"):
            return chance.choice(HOST_REGEXES)
        if algorithm.startswith("hdr_len"):
            return str(chance.randint(1, 9))
        word = words(chance, 4, HOSTS)
        return f"*{word}" if chance.random() < 0.3 else word

    def request(self, chance: random.Random) -> bytes:
        """
        A request, whole.
        """
        target = "/" + words(chance, 4, PIECES) + chance.choice(("", "", "?a", "?a=/b"))
        host = words(chance, 5, HOSTS) + chance.choice(("", "", ":80"))
        lines = [f"GET {target} HTTP/1.1", f"Host: {host}", "Connection: close"]
        if chance.random() < 0.3:
            lines.append(f"X-Forwarded-Proto: {chance.choice(('http', 'https', 'HTTP', 'https, http'))}")
        for name in ("X-A", "x-b"):
            if chance.random() < 0.5:
                lines.append(f"{name}: {chance.choice(('1', 'a b', '2, 1', '11', '2', 'a b, 2'))}")
        if chance.random() < 0.6:
            lines.append(f"User-Agent: {chance.choice(AGENTS)}")
        return "".join(f"{line}\r\n" for line in (*lines, "")).encode()

    # --- the two -----------------------------------------------------------------------------------------------

    def start_haproxy(self, text: str) -> subprocess.Popen[bytes]:
        """
        HAProxy with this configuration, listening.
        """
        text = re.sub(r"bind 127\.0\.0\.1:", f"bind {HOST}:", text)
        text = re.sub(r" +pidfile .*\n", "", text)
        file = Path(self.mktemp()).absolute()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        child = subprocess.Popen(
            (self.haproxy, "-db", "-f", str(file)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

        def listens() -> bool:
            if child.poll() is not None:
                assert child.stderr is not None
                raise AssertionError(child.stderr.read().decode() + text)
            try:
                for port in self.proxy.ports:
                    connect(HOST, port).close()
            except ConnectionRefusedError:
                return False
            return True

        until(listens)
        return child

    def ask(self, host: str, port: int, request: bytes) -> tuple[int, object]:
        """
        Status, and what the server that answered saw, or where the proxy itself sends the client.
        """
        with connect(host, port) as client:
            client.send(request)
            response = client.final()
        told = json.loads(response.body) if response.get("x-told") else response.get("location")
        return response.status, told

    def test_same_as_haproxy(self) -> None:
        """
        HAProxy, with the text that dfproxy shows, sends each request to the same server, in the same words.
        """
        differences: list[object] = []
        answered = refused = denied = redirected = 0
        for table in range(TABLES):
            chance = random.Random(table)
            definitions = [self.definition(chance, number) for number in range(SERVICES)]
            for given in definitions:
                status, answer = self.proxy.call("reconfigure", **given)
                self.assertEqual(status, 200, (given, answer))
            text = self.proxy.config()
            self.assertNotIn("HAProxy cannot", text)
            child = self.start_haproxy(text)
            try:
                for _ in range(REQUESTS):
                    request, port = self.request(chance), chance.choice(self.proxy.ports)
                    ours, theirs = self.ask("127.0.0.1", port, request), self.ask(HOST, port, request)
                    if ours != theirs or ours[0] not in (200, 301, 302, 307, 403, 503):
                        differences.append((table, port, request, ours, theirs))
                    answered += ours[0] == 200
                    refused += ours[0] == 503
                    denied += ours[0] == 403
                    redirected += ours[0] in (301, 302, 307)
            finally:
                child.terminate()
                child.wait(10)
                assert child.stderr is not None
                child.stderr.close()
            for given in definitions:
                self.proxy.remove(given["serviceName"])
        self.assertEqual(differences[:3], [], f"{len(differences)} of {answered + refused}")
        # All kinds are there, or nothing is shown.
        self.assertGreater(denied, TABLES * REQUESTS / 50)
        self.assertGreater(redirected, TABLES * REQUESTS / 50)
        self.assertGreater(answered, TABLES * REQUESTS / 4)
        self.assertGreater(refused, TABLES * REQUESTS / 50)
