"""
Raw HAProxy text in a running proxy, with HAProxy as the oracle: it is given the same lines by dfproxy's `config`.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
from pathlib import Path

from tests.e2e.backends import ANSWER, Backend, Script
from tests.e2e.proxy import Proxy, ProxyCase, until
from tests.e2e.wire import Wire, connect
from tests.requirements import require

HOST = "127.0.0.6"
"""Where HAProxy listens, on the ports of dfproxy."""

REQUESTS = 150

FRONT = "\n".join(
    (
        "monitor-uri /alive",
        "capture request header User-Agent len 64",
        "option http-buffer-request",
        "acl old hdr(host) -i old.test",
        "acl api path_beg /api/",
        "acl api path -i /API",
        "acl marked hdr_cnt(x-a) ge 2",
        "http-request set-log-level silent if api",
        "http-request redirect prefix https://new.test code 301 drop-query if old !api",
        "http-request deny deny_status 429 if marked { method PUT }",
        'http-request return status 203 content-type text/plain lf-string "here: %[path]" if { path_end .txt }',
        "http-request set-var(txn.first) path,field(2,/)",
        "http-request set-header X-First %[var(txn.first)] if { var(txn.first) -m found }",
        "http-request replace-path /v[0-9]+/(.*) /\\1",
        "http-request set-header Host b.test if { hdr_beg(host) b. }",
        "http-request add-header X-Q %[urlp(q)] if { urlp(q) -m len gt 1 }",
        "redirect location /elsewhere code 303 if { path /gone }",
        "use_backend two-be8002_0 if { path_beg /api/two }",
        "use_backend nowhere if { path_beg /nowhere }",
        'http-response set-header X-Front "%[var(txn.first)] %[res.hdr(x-told)]"',
        "http-response del-header X-Gone",
    )
)

EXTRAS = tuple(
    "\n".join(lines)
    for lines in (
        ("http-request set-header X-Extra yes",),
        (
            "acl b path_sub b",
            "http-request deny if b { method POST PUT }",
            "http-request deny deny_status 404 unless !b or { hdr(x-a) 1 }",
        ),
        (
            "acl late path_beg /a",
            "http-request deny deny_status 404 if late",
            "acl late path_beg /b",
            "http-request set-header X-Late 1 if !late { path_beg /c } or { path_beg /d }",
        ),
        ("http-request set-query a=%[path]&%[query]", "http-request set-path /pre%[path]"),
        (
            "http-request replace-header X-A (.)(.*) \\2\\1",
            "http-request replace-value X-B ([a-z]) <\\1>",
            "http-request del-header X-First",
        ),
        (
            "http-request replace-pathq (.*)a(.*) \\1A\\2 if { path_beg /a }",
            "http-request set-uri /uri%[pathq] if { path_beg /b }",
            "http-request set-query %[hdr(none)] if { path_beg /c }",
            "http-request set-query ?z=1 if { path_beg /d }",
        ),
        (
            "redirect prefix /moved code 307 if { path_beg /c }",
            "redirect scheme https drop-query append-slash if { path_beg /d }",
            "http-request redirect location /l%[path]?%[query] set-cookie SEEN=1 if { path_beg /e }",
        ),
        (
            "http-request allow if { hdr(x-a) 1 }",
            "http-request return status 418 content-type text/plain string no if { path_beg /a }",
        ),
        (
            "http-response set-status 202 reason Fine if { res.hdr(x-told) 1 }",
            "http-response replace-header X-Gone (.*) \\1\\1",
            "http-response set-header X-Kind %[status]",
            "http-response add-header X-Var %[var(txn.first)]",
        ),
        (
            "option httpchk HEAD /",
            "timeout server 30s",
            "balance leastconn",
            "option http-server-close",
            "http-reuse never",
        ),
    )
)

PIECES = (
    "/a",
    "/b",
    "/c",
    "/d",
    "/e",
    "/api",
    "/api/two",
    "/API",
    "/v1",
    "/v12",
    ".txt",
    "/gone",
    "/nowhere",
    "/x",
    "/",
)


def script_of(name: str) -> Script:
    """
    A server that tells its name and the head that it got.
    """

    def script(wire: Wire, backend: Backend) -> None:
        while True:
            request = wire.request()
            told = json.dumps([name, request.line, request.fields]).encode()
            answer = ANSWER % (len(told), told)
            wire.send(answer.replace(b"\r\n", b"\r\nX-Told: 1\r\nX-Gone: g\r\n", 1))

    return script


class RawTextTests(ProxyCase):
    """
    Needs haproxy.
    """

    options = ("--extra-frontend", FRONT)

    def setUp(self) -> None:
        """
        Two servers: one for the service that changes, one that lines of the frontend lead to.
        """
        (self.haproxy,) = require("haproxy")
        super().setUp()
        self.one = self.backend(script_of("one"))
        self.two = self.backend(script_of("two"))

    def ask(self, host: str, request: bytes) -> object:
        """
        Status, where the client is sent, what the server saw or what was said, and fields of the answer.
        """
        with connect(host, self.proxy.port) as client:
            client.send(request)
            response = client.final()
        told = json.loads(response.body) if response.get("x-told") else None
        if told is not None:  # says what becomes of the connection, at a place of its own in each
            told[2] = [field for field in told[2] if field[0].lower() != "connection"]
        if told is None and response.status in (203, 418):
            told = response.body
        names = (
            "location",
            "x-front",
            "x-gone",
            "x-kind",
            "x-var",
            "set-cookie",
            "content-type" if not told else "x-told",
        )
        fields = [response.get(name) for name in names] if told is not None or response.get("location") else None
        return response.status, told, fields

    def request(self, chance: random.Random) -> bytes:
        """
        A request, whole.
        """
        path = "".join(chance.choice(PIECES) for _ in range(chance.randint(1, 3)))
        target = "/" * (path[0] != "/") + path + chance.choice(("", "", "?q", "?q=1", "?q=22&x=a", "?"))
        method = chance.choice(("GET", "GET", "POST", "PUT"))
        lines = [f"{method} {target} HTTP/1.1", f"Host: {chance.choice(('a.test', 'old.test', 'b.x', 'OLD.test:81'))}"]
        lines += ["Connection: close", *(["Content-Length: 0"] if method != "GET" else [])]
        for name in ("X-A", "x-a", "X-B"):
            if chance.random() < 0.5:
                lines.append(f"{name}: {chance.choice(('1', 'ab', 'a, b', 'a b,1'))}")
        return "".join(f"{line}\r\n" for line in (*lines, "")).encode()

    def started(self, text: str) -> subprocess.Popen[bytes]:
        """
        HAProxy with this configuration, listening.
        """
        text = re.sub(r" +pidfile .*\n", "", re.sub(r"bind 127\.0\.0\.1:", f"bind {HOST}:", text))
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
                connect(HOST, self.proxy.port).close()
            except ConnectionRefusedError:
                return False
            return True

        until(listens)
        return child

    def test_same_as_haproxy(self) -> None:
        """
        With the same lines in front and behind, both give the same answers, and the servers the same requests.
        """
        status, answer = self.proxy.call(
            "reconfigure",
            serviceName="two",
            servicePath="/never",
            port="8002",
            endpoints=f"127.0.0.1:{self.two.port}",
        )
        self.assertEqual(status, 200, answer)
        differences: list[object] = []
        seen: dict[object, int] = {}
        for number, extra in enumerate(EXTRAS):
            chance = random.Random(number)
            status, answer = self.proxy.call(
                "reconfigure",
                serviceName="one",
                servicePath="/",
                port=str(self.one.port),
                outboundHostname="127.0.0.1",
                backendExtra=extra,
            )
            self.assertEqual((status, answer["BackendExtra"]), (200, extra))
            child = self.started(self.proxy.config())
            try:
                for _ in range(REQUESTS):
                    request = self.request(chance)
                    ours, theirs = self.ask("127.0.0.1", request), self.ask(HOST, request)
                    if ours != theirs:
                        differences.append((extra, request, ours, theirs))
                    seen[ours[0]] = seen.get(ours[0], 0) + 1  # type: ignore[index]  # a tuple
            finally:
                child.terminate()
                child.wait(10)
                assert child.stderr is not None
                child.stderr.close()
        self.assertEqual(differences[:3], [], f"{len(differences)} of {sum(seen.values())}: {seen}")
        self.assertEqual(set(seen) - {200, 202, 203, 301, 302, 303, 307, 403, 404, 418, 429, 503}, set())
        self.assertGreater(min(seen.values()), 1, seen)

    def test_without_services(self) -> None:
        """
        The lines in front hold for requests that no service takes, and before there is any service.
        """
        self.assertEqual(self.ask("127.0.0.1", b"GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n")[1], b"here: /a.txt")  # type: ignore[index]  # a tuple
        with self.client() as client:
            client.send(b"GET /alive HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertEqual((client.final().status), 200)

    def test_http2(self) -> None:
        """
        Over HTTP/2 the lines do the same: one Host, the one that was set; answers of their own, and changed ones.
        """
        (curl,) = require("curl")
        given = {"serviceName": "one", "servicePath": "/", "port": str(self.one.port), "outboundHostname": "127.0.0.1"}
        self.assertEqual(
            self.proxy.call("reconfigure", **given, backendExtra="http-request set-header X-Extra 1")[0], 200
        )

        def asked(path: str) -> str:
            url = f"http://127.0.0.1:{self.proxy.port}{path}"
            command = (
                curl,
                "--silent",
                "--include",
                "--max-time",
                "20",
                "--http2-prior-knowledge",
                "-H",
                "Host: b.x",
                url,
            )
            return subprocess.run(command, capture_output=True, timeout=30, check=True).stdout.decode()

        said = asked("/v1/x?q=22")
        self.assertIn("HTTP/2 200", said)
        self.assertIn("x-front: v1 1", said.lower())
        self.assertNotIn("x-gone", said.lower())
        _, line, fields = json.loads(said.partition("\r\n\r\n")[2])
        self.assertEqual(line, "GET /x?q=22 HTTP/1.1")
        named = {name: [value for other, value in fields if other == name] for name in ("host", "x-q", "x-extra")}
        self.assertEqual(named, {"host": ["b.test"], "x-q": ["22"], "x-extra": ["1"]})
        self.assertIn("HTTP/2 203", asked("/a.txt"))
        self.assertIn("HTTP/2 200", asked("/alive"))

    def test_refused(self) -> None:
        """
        A directive that is not done is named, its values are not repeated, and the former definition goes on.
        """
        given = {"serviceName": "one", "servicePath": "/", "port": str(self.one.port), "outboundHostname": "127.0.0.1"}
        self.assertEqual(self.proxy.call("reconfigure", **given)[0], 200)
        extra = "http-request set-header X-Key s3cret\nstick-table type ip size 1m\nhttp-request deny if s3cret x"
        status, answer = self.proxy.call("reconfigure", **given, backendExtra=extra)
        self.assertEqual(status, 400)
        text = json.dumps(answer)
        self.assertIn("line 2, stick-table", text)
        self.assertEqual(self.ask("127.0.0.1", b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")[0], 200)  # type: ignore[index]  # a tuple

    def test_notes(self) -> None:
        """
        What has nothing to do is accepted, and the answer says so.
        """
        status, answer = self.proxy.call(
            "reconfigure",
            serviceName="one",
            servicePath="/",
            port=str(self.one.port),
            outboundHostname="127.0.0.1",
            backendExtra="option ssl-hello-chk",
        )
        self.assertEqual(status, 200)
        self.assertIn("line 1, option ssl-hello-chk, has no effect", str(answer["Warnings"]))


class StartTests(ProxyCase):
    """
    `EXTRA_FRONTEND` that cannot be followed.
    """

    def test_refused(self) -> None:
        """
        The proxy does not start, and says in a line for each what is wrong, without repeating values.
        """
        environment = {"EXTRA_FRONTEND": "http-request tarpit if TRUE,http-request set-header X-Key s3cret x"}
        error = self.assertRaises(AssertionError, Proxy, environment=environment)
        text = str(error)
        self.assertIn("line 1, http-request tarpit: it would hold connections", text)
        self.assertIn("line 2, http-request set-header", text)
        self.assertNotIn("s3cret", text)
