"""
Templates of a service in a running proxy, with HAProxy as the oracle: it is given the same expanded text.
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

HOST = "127.0.0.6"
"""Where HAProxy listens, on the port of dfproxy."""

REQUESTS = 300

FRONT = """{{- /* who gets what */ -}}
    # routes of {{.ServiceName}}
{{- range .ServiceDest}}
    acl url_{{$.AclName}}_{{.Index}} {{.PathType}}{{range .ServicePath}} {{.}}{{end}}{{.SrcPortAcl}}
{{- end}}
    acl beta req.cook(beta) -m found
    acl beta hdr_sub(x-a) -i BETA
    acl domain_{{.ServiceName}} hdr_beg(host) -i {{.ServiceName}}.
    use_backend {{.ServiceName}}-beta if beta url_{{.AclName}}_1 !{ method POST }
    {{if eq .ServiceName "web"}}use_backend web-new if url_{{.AclName}}_2 or domain_{{.ServiceName}}{{end}}
    use_backend {{.ServiceName}}-beta if { path_reg ^/z[0-9]+$ }
    {{if not .IsGlobal}}use_backend nowhere{{end}}
    use_backend {{.ServiceName}}-old unless { path_end .none } || { urlp(no) -m found }
"""

BACK = """
{{range $place, $dest := .ServiceDest}}
backend {{$.ServiceName}}-{{$dest.UserDef}}
    mode http
    balance roundrobin
    {{if $dest.TimeoutServer}}timeout server {{$dest.TimeoutServer}}s{{end}}
    option httplog
    http-request set-header X-Place {{$place}}-%[path]
    http-request deny deny_status 404 if { path_sub secret }
    {{range $.SetReqHeader}}http-request set-header {{.}}{{end}}
    http-response set-header X-Said {{$dest.UserDef}}
    server {{$.ServiceName}} {{$dest.OutboundHostname}}:{{$dest.Port}} check inter 2s
{{end}}
backend {{.ServiceName}}-beta
    acl deep path_sub /b/
    http-request set-path /beta%[path] if !deep
    server one 127.0.0.1:%(one)d weight 1
    server two 127.0.0.1:%(two)d weight 0
"""

HAPROXY = """
defaults
    mode http
    option forwardfor
    option http-keep-alive
    timeout connect 5s
    timeout client 20s
    timeout server 20s

frontend services
    bind %(host)s:%(port)d
    acl url_web_1 path_beg /a /b
    acl url_web_2 path_beg /c
    acl beta req.cook(beta) -m found
    acl beta hdr_sub(x-a) -i BETA
    acl domain_web hdr_beg(host) -i web.
    use_backend web-beta if beta url_web_1 !{ method POST }
    use_backend web-new if url_web_2 or domain_web
    use_backend web-beta if { path_reg ^/z[0-9]+$ }
    use_backend web-old unless { path_end .none } || { urlp(no) -m found }

backend web-old
    mode http
    balance roundrobin
    option httplog
    http-request set-header X-Place 0-%%[path]
    http-request deny deny_status 404 if { path_sub secret }
    http-request set-header X-Set yes
    http-response set-header X-Said old
    server web 127.0.0.1:%(one)d

backend web-new
    mode http
    balance roundrobin
    timeout server 30s
    option httplog
    http-request set-header X-Place 1-%%[path]
    http-request deny deny_status 404 if { path_sub secret }
    http-request set-header X-Set yes
    http-response set-header X-Said new
    server web 127.0.0.1:%(two)d

backend web-beta
    acl deep path_sub /b/
    http-request set-path /beta%%[path] if !deep
    server one 127.0.0.1:%(one)d weight 1
    server two 127.0.0.1:%(two)d weight 0
"""
"""What the templates make, as a HAProxy of DFP would be given it."""

PIECES = ("/a", "/b", "/b/", "/c", "/d", "/z1", "/z12", "/z", "/secret", ".none", "/A", "x")


def script_of(name: str) -> Script:
    """
    A server that tells its name and the head that it got.
    """

    def script(wire: Wire, backend: Backend) -> None:
        while True:
            request = wire.request()
            told = json.dumps([name, request.line, request.fields]).encode()
            wire.send(ANSWER % (len(told), told))

    return script


class TemplateTests(ProxyCase):
    """
    A service with templates for everything.
    """

    def setUp(self) -> None:
        """
        Two servers and the files.
        """
        super().setUp()
        self.one = self.backend(script_of("one"))
        self.two = self.backend(script_of("two"))
        self.ports = {"one": self.one.port, "two": self.two.port}
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(parents=True)
        self.front, self.back = folder / "web-fe.tmpl", folder / "web-be.tmpl"
        self.front.write_text(FRONT)
        self.back.write_text(BACK.replace("%(one)d", str(self.one.port)).replace("%(two)d", str(self.two.port)))
        self.given = {
            "serviceName": "web",
            "servicePath.1": "/a,/b",
            "port.1": str(self.one.port),
            "userDef.1": "old",
            "servicePath.2": "/c",
            "port.2": str(self.two.port),
            "userDef.2": "new",
            "timeoutServer.2": "30",
            "outboundHostname": "127.0.0.1",
            "setReqHeader": "X-Set yes",
            "templateFePath": str(self.front),
            "templateBePath": str(self.back),
        }

    def ask(self, host: str, request: bytes) -> tuple[int, object, str | None]:
        """
        Status, what the server saw, and a field of the answer.
        """
        with connect(host, self.proxy.port) as client:
            client.send(request)
            response = client.final()
        if response.status != 200:
            return response.status, None, None
        name, line, fields = json.loads(response.body)
        return 200, (name, line, sorted(f for f in fields if f[0].lower() != "connection")), response.get("x-said")

    def get(self, path: str, *fields: str) -> tuple[int, object, str | None]:
        """
        Ask dfproxy for a path.
        """
        lines = [f"GET {path} HTTP/1.1", "Host: x", "Connection: close", *fields, "", ""]
        return self.ask("127.0.0.1", "\r\n".join(lines).encode())

    def request(self, chance: random.Random) -> bytes:
        """
        A request, whole.
        """
        path = "".join(chance.choice(PIECES) for _ in range(chance.randint(1, 3)))
        target = "/" * (path[0] != "/") + path + chance.choice(("", "", "", "?no", "?no=1", "?a=b"))
        method = chance.choice(("GET", "GET", "POST"))
        host = chance.choice(("web.test", "WEB.x:81", "webs.test", "a.test", "a.test"))
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close"]
        lines += ["Content-Length: 0"] * (method == "POST")
        lines += [line for line in ("Cookie: a=1; beta=", "X-A: mybeta", "X-A: gamma") if chance.random() < 0.3]
        return "".join(f"{line}\r\n" for line in (*lines, "")).encode()

    def compare(self, haproxy: str, text: str) -> dict[object, int]:
        """
        The same requests to dfproxy and to HAProxy with this configuration: how often each answer came.
        """
        file = Path(self.mktemp()).absolute()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        child = subprocess.Popen((haproxy, "-db", "-f", str(file)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert child.stderr is not None

        def listens() -> bool:
            if child.poll() is not None:
                assert child.stderr is not None
                raise AssertionError(child.stderr.read().decode() + text)
            try:
                connect(HOST, self.proxy.port).close()
            except ConnectionRefusedError:
                return False
            return True

        seen: dict[object, int] = {}
        chance = random.Random(6)
        try:
            until(listens)
            for _ in range(REQUESTS):
                request = self.request(chance)
                ours, theirs = self.ask("127.0.0.1", request), self.ask(HOST, request)
                self.assertEqual(ours, theirs, request)
                kind = (ours[0], ours[1][0] if isinstance(ours[1], tuple) else None, ours[2])
                seen[kind] = seen.get(kind, 0) + 1
        finally:
            child.terminate()
            child.wait(10)
            child.stderr.close()
        return seen

    def test_same_as_haproxy(self) -> None:
        """
        HAProxy with the text that the templates make, and with the text of `config`, does what dfproxy does.
        """
        (haproxy,) = require("haproxy")
        status, answer = self.proxy.call("reconfigure", **self.given)
        self.assertEqual(status, 200, answer)
        seen = self.compare(haproxy, HAPROXY % (self.ports | {"host": HOST, "port": self.proxy.port}))
        wanted = {(200, "one", "old"), (200, "two", "new"), (200, "one", None), (404, None, None), (503, None, None)}
        self.assertEqual(set(seen), wanted)
        self.assertGreater(min(seen.values()), 5, seen)
        text = re.sub(r" +pidfile .*\n", "", self.proxy.config().replace("bind 127.0.0.1:", f"bind {HOST}:"))
        self.assertEqual(self.compare(haproxy, text), seen)

    def test_listed_and_removed(self) -> None:
        """
        Such a service is listed and can be taken away, which DFP could not; `explain` names its condition.
        """
        self.assertEqual(self.proxy.call("reconfigure", **self.given)[0], 200)
        listed = self.proxy.call("config", type="json")[1]["web"]
        self.assertEqual(listed["TemplateFePath"], str(self.front))
        explained = self.proxy.call("explain", url="http://x/c")[1]
        self.assertEqual(explained["Backend"], "web-new")
        self.assertIn("haproxy-lines", json.dumps(explained["Route"]))
        self.assertEqual(self.proxy.call("remove", serviceName="web")[0], 200)
        self.assertEqual(self.get("/a")[0], 503)

    def test_text_is_kept(self) -> None:
        """
        What was read goes on until the service is published again; a template that is wrong then changes nothing.
        """
        self.assertEqual(self.proxy.call("reconfigure", **self.given)[0], 200)
        self.front.write_text("acl all path_beg /\nuse_backend web-new if all\n")
        self.assertEqual(self.get("/a")[2], "old")
        self.assertEqual(self.proxy.call("reconfigure", **self.given)[0], 200)
        self.assertEqual(self.get("/a")[2], "new")
        for text, reason in (
            ("use_backend web-new\nhttp-request deny", "line 2 of what it makes, http-request: concerns all services"),
            ("use_backend web-new if { rand(2) 1 }", "not known when a route is chosen"),
            ("use_backend web-none", "leads to backend web-none, which the service has not"),
            ("{{.Nothing}}", "line 1: there is no field Nothing here"),
            ("x" * 70_000, "larger than 65536 bytes"),
        ):
            self.front.write_text(text)
            status, answer = self.proxy.call("reconfigure", **self.given)
            self.assertEqual(status, 400, text[:80])
            self.assertIn(reason, answer["Message"])
            self.assertEqual(answer["Problems"][0]["Parameter"], "templateFePath")
        self.front.unlink()
        status, answer = self.proxy.call("reconfigure", **self.given)
        self.assertEqual(status, 400)
        self.assertIn(f"{self.front} cannot be read: No such file or directory", answer["Message"])
        self.assertEqual(self.get("/a")[2], "new")

    def test_secrets_are_not_read(self) -> None:
        """
        Whoever may publish learns nothing of what lies beside the proxy.
        """
        for path in ("/proc/self/environ", "/dev/zero", "/run/secrets/dfp_users", "/", "/tmp/../etc/passwd", "etc/x"):
            status, answer = self.proxy.call("reconfigure", **(self.given | {"templateFePath": path}))
            self.assertEqual(status, 400, path)
            self.assertNotIn("root", answer["Message"])
        self.assertEqual(self.get("/a")[0], 503)
