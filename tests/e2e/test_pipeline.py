"""
What routes do to requests, with real proxies: whom they believe, whom they let in, what holds for all services, and
what `reload` reads again.
"""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import Any

import brotli

from tests.e2e.backends import Backend, answering
from tests.e2e.proxy import Proxy, ProxyCase
from tests.e2e.wire import Wire

PAGE = "HTTP/1.0 503 Service Unavailable\nContent-Type: text/html\n\n{}\n"
ALICE = "Authorization: Basic YWxpY2U6MQ==\r\n"
ALICE_NOW = "Authorization: Basic YWxpY2U6Mg==\r\n"


class TrustingTests(ProxyCase):
    """
    A proxy that believes who comes from the address that these tests come from.
    """

    options = ("--trusted-proxies", "127.0.0.1,10.0.0.0/8", "--compression-algo", "gzip", "--compression-type", "text/")

    def seen(self, head: str = "", path: str = "/") -> int:
        return self.proxy.get(path, head=head).status

    def test_networks(self) -> None:
        """
        `allowFrom` and `denyFrom` see the client behind trusted proxies, and nothing that it has written itself.
        """
        backend = self.backend(answering())
        self.proxy.publish("inner", backend, allowFrom="192.0.2.0/24", denyFrom="192.0.2.66")
        for forwarded, wanted in (
            ("192.0.2.1", 200),
            ("192.0.2.66", 403),
            ("198.51.100.1", 403),
            ("192.0.2.1, 198.51.100.1", 403),
            ("198.51.100.1, 192.0.2.1, 10.3.3.3", 200),
            ("unknown", 403),
        ):
            self.assertEqual(self.seen(f"X-Forwarded-For: {forwarded}\r\n"), wanted, forwarded)
        self.assertEqual(self.seen(), 403)
        first: Any = backend.requests[0]
        values = [value for name, value in first.fields if name == "x-forwarded-for"]
        self.assertEqual(values, ["192.0.2.1", "127.0.0.1"])

    def test_source(self) -> None:
        """
        Header rules and the strategy `source` see that client as well.
        """
        servers = [self.backend(answering(body)) for body in (b"a", b"b", b"c")]
        self.proxy.publish("web", *servers, balance="source", addReqHeader="X-Client %[src]")
        bodies = {self.proxy.get("/", head=f"X-Forwarded-For: 192.0.2.{number}\r\n").body for number in range(30)}
        self.assertEqual(len(bodies), 3)
        for _ in range(3):
            self.assertEqual(self.proxy.get("/", head="X-Forwarded-For: 192.0.2.9\r\n").body, self.who("192.0.2.9"))
        requests: list[Any] = [request for server in servers for request in server.requests]
        clients = {request.get("x-client") for request in requests}
        self.assertEqual(clients, {f"192.0.2.{number}" for number in range(30)})

    def who(self, client: str) -> bytes:
        return self.proxy.get("/", head=f"X-Forwarded-For: {client}\r\n").body

    def test_https(self) -> None:
        """
        A trusted proxy that has taken the TLS off says so: `httpsOnly` behind it does not go round in circles.
        """
        self.proxy.publish("web", self.backend(answering()), httpsOnly="true", denyHttp="true")
        self.assertEqual(self.seen(), 302)
        self.assertEqual(self.seen("X-Forwarded-Proto: https\r\n"), 200)
        self.assertEqual(self.seen("X-Forwarded-Proto: https, http\r\n"), 302)

    def test_compressed_everywhere(self) -> None:
        """
        COMPRESSION_ALGO holds for services that do not say otherwise.
        """
        text = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
        backend = self.backend(lambda wire, backend: _again(wire, backend, text))
        self.proxy.publish("web", backend)
        self.proxy.publish("plain", backend, path="/plain", compressionAlgo="identity")
        said = "Accept-Encoding: gzip\r\n"
        self.assertEqual(self.proxy.get("/", head=said).get("content-encoding"), "gzip")
        self.assertIsNone(self.proxy.get("/plain", head=said).get("content-encoding"))

    def test_brotli(self) -> None:
        """
        A browser that names it gets Brotli, each piece as it comes.
        """
        may_end = threading.Event()

        def script(wire: Wire, backend: Backend) -> None:
            wire.request()
            wire.send(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello \r\n"
            )
            may_end.wait(10)
            wire.send("5\r\nworld\r\n0\r\n\r\n")

        self.proxy.publish("web", self.backend(script), compressionAlgo="br gzip")
        client = self.client()
        client.send("GET / HTTP/1.1\r\nHost: t\r\nAccept-Encoding: gzip, deflate, br\r\n\r\n")
        self.assertEqual(client.head().get("content-encoding"), "br")
        reader = brotli.Decompressor()
        size = int(client.read_until(b"\r\n"), 16)
        self.assertEqual(reader.process(client.read(size + 2)[:-2]), b"hello ")
        may_end.set()
        rest = b""
        while size := int(client.read_until(b"\r\n"), 16):
            rest += reader.process(client.read(size + 2)[:-2])
        self.assertEqual(rest, b"world")


def _again(wire: Wire, backend: Backend, text: bytes) -> None:
    while True:
        backend.note(wire.request())
        wire.send(text)


class UntrustingTests(ProxyCase):
    """
    A proxy that believes nobody.
    """

    def test_nobody_is_believed(self) -> None:
        """
        X-Forwarded-For opens no door, X-Forwarded-Proto neither.
        """
        self.proxy.publish("inner", self.backend(answering()), allowFrom="192.0.2.0/24")
        self.assertEqual(self.proxy.get("/", head="X-Forwarded-For: 192.0.2.1\r\n").status, 403)
        self.proxy.publish("inner", self.backend(answering()), denyHttp="true")
        self.assertEqual(self.proxy.get("/", head="X-Forwarded-Proto: https\r\n").status, 403)

    def test_one_task_replaced(self) -> None:
        """
        Of three sticky tasks one is replaced: the clients of the other two stay, its own get the new one.
        """
        names = (b"a", b"b", b"c", b"d")
        tasks = {name: self.backend(answering(name)) for name in names}
        sticky = {"sessionType": "sticky-server"}
        self.proxy.publish("web", *(tasks[name] for name in names[:3]), **sticky)
        cookies: dict[bytes, str] = {}
        while len(cookies) < 3:
            answer = self.proxy.get("/")
            cookies[answer.body] = (answer.get("set-cookie") or "").partition(";")[0]
        self.assertEqual(sorted(cookies.values()), ["web=web_0", "web=web_1", "web=web_2"])
        self.proxy.publish("web", tasks[b"a"], tasks[b"c"], **sticky)
        self.proxy.publish("web", tasks[b"d"], tasks[b"a"], tasks[b"c"], **sticky)
        for name, cookie in cookies.items():
            answer = self.proxy.get("/", head=f"Cookie: {cookie}\r\n")
            self.assertEqual(answer.body, b"d" if name == b"b" else name)
            self.assertIsNone(answer.get("set-cookie"))


class SettingTests(ProxyCase):
    """
    Proxies of their own.
    """

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="dfproxy-pipeline-"))
        self.addCleanup(_remove, self.folder)

    def start(self, *options: str, **environment: str) -> Proxy:
        proxy = Proxy(*options, workers=1, environment=environment)
        self.addCleanup(proxy.end)
        return proxy

    def test_httpclose(self) -> None:
        """
        CONNECTION_MODE=httpclose closes the client's connection after each answer, and the server's.
        """
        backend = self.backend(answering())
        proxy = self.start(CONNECTION_MODE="httpclose")
        proxy.publish("web", backend)
        for _ in range(2):
            with proxy.connect() as client:
                client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                answer = client.response()
                self.assertEqual((answer.status, answer.get("connection")), (200, "close"))
                self.assertEqual(client.rest(), b"")
        self.assertEqual(backend.accepted, 2)

    def test_declared(self) -> None:
        """
        Services of variables, with passwords in a file and in a secret; what is misspelled is in the log.
        """
        backend = self.backend(answering())
        (self.folder / "users").write_text("alice:1\n")
        (self.folder / "dfp_dfp_service_1_users").write_text("alice:2\n")
        proxy = self.start(
            SECRETS_DIR=str(self.folder),
            DFP_SERVICE_SERVICE_NAME="one",
            DFP_SERVICE_SERVICE_PATH="/one",
            DFP_SERVICE_ENDPOINTS=f"127.0.0.1:{backend.port}",
            DFP_SERVICE_USERS_FILE=str(self.folder / "users"),
            DFP_SERVICE_SERVICE_PAHT="/two",
            DFP_SERVICE_1_SERVICE_NAME="two",
            DFP_SERVICE_1_SERVICE_PATH="/two",
            DFP_SERVICE_1_ENDPOINTS=f"127.0.0.1:{backend.port}",
        )
        self.assertEqual([proxy.get("/one", head=head).status for head in ("", ALICE, ALICE_NOW)], [401, 200, 401])
        self.assertEqual([proxy.get("/two", head=head).status for head in ("", ALICE, ALICE_NOW)], [401, 401, 200])
        proxy.wait_for_log("DFP_SERVICE_SERVICE_PAHT: there is no such parameter")

    def test_reload(self) -> None:
        """
        Error pages and users are read again; what cannot be used is told, and all else goes on.
        """
        (self.folder / "503.http").write_text(PAGE.format("first"))
        (self.folder / "dfp_users_team").write_text("alice:1")
        (self.folder / "dfp_users").write_text("all:1")
        proxy = self.start("--errorfiles", str(self.folder), "--secrets-dir", str(self.folder))
        proxy.publish("web", self.backend(answering()), path="/web", usersSecret="team")
        proxy.publish("open", self.backend(answering()), path="/open")
        self.assertEqual(proxy.get("/none").body, b"first\n")
        self.assertEqual([proxy.get("/web", head=head).status for head in (ALICE, ALICE_NOW)], [200, 401])
        self.assertEqual(proxy.get("/open").status, 401)
        (self.folder / "503.http").write_text(PAGE.format("second"))
        (self.folder / "403.http").write_text("nonsense")
        (self.folder / "dfp_users_team").write_text("alice:2")
        (self.folder / "dfp_users").unlink()
        status, answer = proxy.call("reload")
        self.assertEqual((status, answer["Status"]), (200, "OK"))
        self.assertIn("403.http is not used", answer["Message"])
        self.assertEqual(proxy.get("/none").body, b"second\n")
        self.assertEqual([proxy.get("/web", head=head).status for head in (ALICE, ALICE_NOW)], [401, 200])
        self.assertEqual(proxy.get("/open").status, 200)
        self.assertEqual(
            proxy.call("reconfigure", serviceName="new", servicePath="/n", port="1", usersSecret="team")[0], 200
        )
        self.assertEqual(proxy.get("/n", head=ALICE).status, 401)
        (self.folder / "dfp_users_team").write_bytes(b"\xff")
        status, answer = proxy.call("reload")
        self.assertIn("dfp_users_team: is no UTF-8 text", answer["Message"])
        self.assertEqual(proxy.get("/web", head=ALICE_NOW).status, 200)


def _remove(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
