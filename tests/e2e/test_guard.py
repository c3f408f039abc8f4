"""
The control API when it is protected: real replicas with a token, callers from other networks, what is said at start.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

from twisted.trial.unittest import SynchronousTestCase

from tests.certificates import known
from tests.e2e.backends import Backend, answering
from tests.e2e.proxy import API, TWISTD, Proxy, free_port, until
from tests.requirements import ROOT

TOKEN, NEXT = "t0ken-0123456789abcdef", "n3xt-0123456789abcdef"


def ask(
    proxy: Proxy, target: str, token: str = "", method: str = "GET", body: bytes | None = None, source: str = ""
) -> tuple[int, bytes]:
    """
    One call.

    Args:
        token: that it carries; empty: none.
        source: loopback address that it comes from; empty: the usual one.
    """
    connection = HTTPConnection(proxy.ip, proxy.api, timeout=10, source_address=(source, 0) if source else None)
    try:
        connection.request(method, target, body, {"Authorization": f"Bearer {token}"} if token else {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


class ReplicaTests(SynchronousTestCase):
    """
    Two replicas with the same token, known to each other as `tasks.proxy`.
    """

    def setUp(self) -> None:
        self.backend = Backend(answering(b"hello"))
        self.addCleanup(self.backend.close)
        self.folder = Path(tempfile.mkdtemp(prefix="dfproxy-e2e-"))
        self.file = self.folder / "token"
        self.addCleanup(self.folder.rmdir)
        self.addCleanup(self.file.unlink)
        self.file.write_text(f"{TOKEN}\n")
        self.port = free_port("127.0.0.2")
        self.one = self.replica("127.0.0.2")

    def replica(self, ip: str) -> Proxy:
        folder = tempfile.TemporaryDirectory(prefix="dfproxy-e2e-")
        self.addCleanup(folder.cleanup)
        options = ("--resolve", "tasks.proxy=127.0.0.2,127.0.0.3", "--certs-dir", folder.name)
        proxy = Proxy(*options, "--api-token-file", str(self.file), ip=ip, api_port=self.port, workers=0)
        self.addCleanup(proxy.end)
        return proxy

    def query(self, verb: str, name: str = "go-demo") -> str:
        parameters = {"serviceName": name, "servicePath": f"/{name}", "endpoints": f"127.0.0.1:{self.backend.port}"}
        return f"{API}/{verb}?{urlencode({**parameters, 'distribute': 'true'})}"

    def test_replicas(self) -> None:
        """
        They let each other in: a call goes everywhere, and a new one is told the certificates of the other. Callers
        without the token get nothing, and it is shown nowhere.
        """
        bundle = known("guard.test").bundle
        status, said = ask(self.one, f"{API}/cert?certName=guard.pem", TOKEN, "PUT", bundle)
        self.assertEqual(status, 200, said)
        two = self.replica("127.0.0.3")
        # Told by the other, without its key: that is shown to addresses of replicas only, and both call from another.
        two.wait_for_log("certificate guard.pem of a sibling")
        status, said = ask(self.one, self.query("reconfigure"), TOKEN)
        self.assertEqual(status, 200, said)
        self.assertIn("all 2 replicas", json.loads(said)["Message"])
        shown = [said]
        for proxy in (self.one, two):
            self.assertEqual(proxy.get("/go-demo").body, b"hello")
            for target in (f"{API}/config?type=json", f"{API}/config", "/metrics", f"{API}/certs", f"{API}/revisions"):
                self.assertEqual(ask(proxy, target)[0], 401, target)
                self.assertEqual(ask(proxy, target, TOKEN + "x")[0], 401, target)
                status, body = ask(proxy, target, TOKEN)
                self.assertEqual(status, 200, target)
                shown.append(body)
            self.assertEqual(ask(proxy, self.query("remove"))[0], 401)
            self.assertEqual(proxy.get("/go-demo").body, b"hello")
            self.assertEqual([ask(proxy, f"{API}/{verb}")[0] for verb in ("ping", "ready")], [200, 200])
            self.assertIn(b'dfproxy_api_calls_denied_total{code="401"}', shown[-3])
            shown += [proxy.log().encode(), Path(f"/proc/{proxy.pid}/cmdline").read_bytes()]
        shown += [file.read_bytes() for file in self.one.folder.rglob("*") if file.is_file()]
        for text in shown:
            self.assertNotIn(TOKEN.encode(), text)

    def test_replaced(self) -> None:
        """
        A token is replaced without a moment in which replicas refuse each other: both are accepted, the first is sent.
        """
        two = self.replica("127.0.0.3")
        for content, wanted in (
            (f"{TOKEN}\n{NEXT}", (TOKEN, NEXT)),
            (f"{NEXT}\n{TOKEN}", (TOKEN, NEXT)),
            (NEXT, (NEXT,)),
        ):
            self.file.write_text(content)
            for number, proxy in enumerate((self.one, two)):
                self.assertEqual(ask(proxy, f"{API}/reload", wanted[0] if len(wanted) > 1 else TOKEN)[0], 200)
                for token in wanted:
                    status, said = ask(self.one, self.query("reconfigure", f"s{number}"), token)
                    if proxy is two or len(wanted) > 1:
                        self.assertEqual(status, 200, said)
        self.assertEqual(ask(self.one, f"{API}/config", TOKEN)[0], 401)
        self.file.write_text("short")
        status, said = ask(self.one, f"{API}/reload", NEXT)
        self.assertIn("the tokens of before stay in force", json.loads(said)["Message"])
        self.assertEqual(ask(self.one, f"{API}/config", NEXT)[0], 200)


class NetworkTests(SynchronousTestCase):
    def test_networks(self) -> None:
        """
        Callers from other networks may only ask whether the proxy runs.
        """
        proxy = Proxy("--api-allow", "127.0.0.8/30, 10.0.0.0/8", workers=0)
        self.addCleanup(proxy.end)
        for source, status in (("127.0.0.8", 200), ("127.0.0.11", 200), ("127.0.0.12", 403), ("127.0.0.1", 403)):
            self.assertEqual(ask(proxy, f"{API}/config", source=source)[0], status, source)
            self.assertEqual(ask(proxy, f"{API}/ready", source=source)[0], 200, source)
        said = json.loads(ask(proxy, f"{API}/config", source="127.0.0.12")[1])
        self.assertIn("calls from 127.0.0.12 are not allowed; --api-allow", said["Message"])


class CrowdTests(SynchronousTestCase):
    def test_crowd(self) -> None:
        """
        A crowd that only connects, or never ends its call, keeps nobody from calling.
        """
        proxy = Proxy("--api-connections", "20", workers=0)
        self.addCleanup(proxy.end)
        crowd = []
        for number in range(100):
            sock = socket.create_connection(("127.0.0.1", proxy.api), 10)
            self.addCleanup(sock.close)
            sock.sendall(b"GET /v1/docker-flow-proxy/config HTTP/1.1\r\nHost: a\r\n" if number % 2 else b"")
            crowd.append(sock)
        for number in range(5):
            begun = time.monotonic()
            query = urlencode({"serviceName": f"s{number}", "servicePath": f"/s{number}", "endpoints": "127.0.0.1:9"})
            self.assertEqual(ask(proxy, f"{API}/reconfigure?{query}")[0], 200)
            self.assertLess(time.monotonic() - begun, 1)
        measured = proxy.metrics()
        self.assertLessEqual(measured["dfproxy_api_connections"], 20)
        self.assertGreaterEqual(measured["dfproxy_api_connections_displaced_total"], 80)
        self.assertEqual(measured["dfproxy_api_connections_refused_total"], 0)
        try:
            left = crowd[0].recv(1)
        except ConnectionResetError:
            left = b""
        self.assertEqual(left, b"")  # the first to come was the first to go


class StartTests(SynchronousTestCase):
    """
    What an operator is told at start.
    """

    def refused(self, *options: str, wrapper: tuple[str, ...] = ()) -> list[str]:
        """
        Lines on standard error of a proxy that does not start.
        """
        with tempfile.TemporaryDirectory(prefix="dfproxy-e2e-") as folder:
            own = ("--ip", "127.0.0.1", "--port", "0", "--bind-address", "127.0.0.1", "--state-dir", f"{folder}/state")
            fronts = ("--default-ports", str(free_port()))
            done = subprocess.run(
                (
                    *wrapper,
                    TWISTD,
                    "--nodaemon",
                    "--pidfile=",
                    "dfproxy",
                    *own,
                    *fronts,
                    *options,
                ),
                cwd=ROOT,
                capture_output=True,
                timeout=30,
                text=True,
            )
        self.assertEqual(done.returncode, 1, done.stderr)
        return [line for line in done.stderr.splitlines() if line.startswith("dfproxy: ")]

    def test_warned(self) -> None:
        """
        An API that other machines can reach, and that nothing protects, is warned of; one on loopback is not.
        """
        for ip, options, warned in (
            ("0.0.0.0", (), True),
            ("0.0.0.0", ("--api-allow", "127.0.0.0/8"), False),
            ("127.0.0.1", (), False),
        ):
            proxy = Proxy(*options, ip=ip, workers=0)
            self.addCleanup(proxy.end)
            until(lambda proxy=proxy: proxy.ask(f"{API}/ready")[0] == 200)
            self.assertEqual("can change all routes" in proxy.log(), warned, (ip, options))

    def test_token_files(self) -> None:
        """
        A file without a token is an error at start, and of --check-config: nothing is open by mistake.
        """
        with tempfile.NamedTemporaryFile("w", prefix="dfproxy-e2e-") as file:
            file.write("tooshort")
            file.flush()
            for path, reason in (("/no/such/file", "cannot be read: No such file"), (file.name, "token 1 has 8 char")):
                (line,) = self.refused("--api-token-file", path)
                self.assertIn(f"--api-token-file={path}: {reason}", line)
                checked = subprocess.run(
                    (sys.executable, TWISTD, "dfproxy", "--check-config", "--api-token-file", path),
                    cwd=ROOT,
                    capture_output=True,
                    timeout=30,
                    text=True,
                )
                self.assertIn(f"problem: --api-token-file={path}: {reason}", checked.stdout)
                self.assertNotIn("tooshort", line + checked.stdout)

    def test_few_descriptors(self) -> None:
        """
        A limit of open files with which nothing could be served is named, with what raises it, in one line.
        """
        for workers in ("0", "2"):
            (line,) = self.refused("--workers", workers, wrapper=("prlimit", "--nofile=100:255"))
            self.assertIn(
                "limit of open files (ulimit -n)=255: so many files may be open, and at least 256 are needed", line
            )


class ConsoleTests(SynchronousTestCase):
    def test_console(self) -> None:
        """
        The command `dfproxy` sends the token of its file; without one it tells what the API says.
        """
        with tempfile.NamedTemporaryFile("w", prefix="dfproxy-e2e-") as file:
            file.write(TOKEN)
            file.flush()
            proxy = Proxy("--api-token-file", file.name, workers=0)
            self.addCleanup(proxy.end)
            command = (sys.executable, "-m", "dfproxy.console.main", "publish", "a", "servicePath=/a", "port=80")
            more = ("--api", f"127.0.0.1:{proxy.api}")
            for options, status, words in (
                ((), 1, "refused (401): the call carries no token"),
                (("--api-token-file", file.name), 0, "a is in force"),
                (("--api-token-file", "/no/such"), 2, "cannot be read"),
            ):
                done = subprocess.run(
                    (*command, *more, *options), cwd=ROOT, capture_output=True, timeout=30, text=True, check=False
                )
                self.assertEqual((done.returncode, words in done.stdout + done.stderr), (status, True), done)
                self.assertNotIn(TOKEN, done.stdout + done.stderr)
