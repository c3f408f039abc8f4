"""
Passthrough by name beside termination on one port, with OpenSSL behind the proxy; and the commands of docs/tcp.md.
"""

from __future__ import annotations

import random
import re
import socket
import ssl
import subprocess
import threading
from pathlib import Path

from tests.certificates import known
from tests.e2e.proxy import free_port, until
from tests.e2e.test_tcp import answers
from tests.e2e.tls import TlsCase, TlsPort, common_name
from tests.e2e.wire import LIMIT_S
from tests.requirements import ROOT, require
from tests.unit.wire.test_clienthello import message, names, records, said


class PageTests(TlsCase):
    """
    docs/tcp.md.
    """

    def test_commands(self) -> None:
        """
        Its commands do what it says, one after the other; only ports are others here.
        """
        page = (ROOT / "docs" / "tcp.md").read_text()
        blocks = re.findall(r"^```sh\n(.*?)^```$", page, re.M | re.S)
        commands = "".join(blocks).splitlines()
        self.assertEqual(len(commands), 4)
        ports = {"8080": self.proxy.api, "=6379&p": free_port(), "=443": self.tls.port, "=6380": free_port()}
        for command in commands:
            for written, port in ports.items():
                command = command.replace(written, re.sub(r"\d+", str(port), written))
            done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=LIMIT_S, check=True)
            self.assertIn('"Status":"OK"', done.stdout, command)
        config = self.proxy.config()
        for wanted in ("cache-a", "cache-b", "redis", "db"):
            self.proxy.remove(wanted)
        fronts = [f"frontend tcpFE_{ports[key]}\n" for key in ("=6379&p", "=6380", "=443")]
        self.assertEqual([front for front in fronts if front not in config], [])
        self.assertIn("\nbackend cache\n    mode tcp\n    balance leastconn\n", config)


class PassthroughTests(TlsCase):
    """
    Passthrough by name and termination on one port.
    """

    certificates = {"a.pem": known("ours.test").bundle}

    def setUp(self) -> None:
        super().setUp()
        self.served()

    def openssl_server(self, name: str) -> int:
        """
        A real `openssl s_server` with a certificate of its own, which answers HTTP.
        """
        (openssl,) = require("openssl")
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        (folder / "pair.pem").write_bytes(known(name).bundle)
        port = free_port()
        child = subprocess.Popen(
            [openssl, "s_server", "-accept", f"127.0.0.1:{port}", "-cert", str(folder / "pair.pem"), "-www", "-quiet"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        until(lambda: answers(port))
        return port

    def through(self, name: str, behind: int, front: int = 0, **about: str) -> None:
        """
        Publish a server that ends TLS itself.
        """
        about.setdefault("serviceDomain", name)
        path = about.pop("servicePath", "")
        src_port = str(front or self.tls.port)
        self.proxy.publish(name, ("127.0.0.1", behind), path=path, reqMode="sni", srcPort=src_port, **about)

    def test_side_by_side(self) -> None:
        """
        Who asks for the service's name shakes hands with the server itself; everybody else with us, HTTP included.
        """
        self.through("theirs.test", self.openssl_server("theirs.test"))
        for _ in range(5):
            self.assertEqual(self.tls.shown("theirs.test"), "theirs.test")
            self.assertEqual(self.tls.shown("THEIRS.test"), "theirs.test")
            self.assertEqual(self.tls.shown("ours.test"), "ours.test")
            self.assertEqual(self.tls.shown(None), "ours.test")
        self.assertEqual(self.tls.get("/", "ours.test").body, b"hello")
        self.assertIn(b"s_server", self.tls.get("/", "theirs.test").body)
        self.assertIn("CN = theirs.test", self.tls.openssl("-servername", "theirs.test"))
        self.assertIn("CN = ours.test", self.tls.openssl("-servername", "other.test", "-tls1_2"))
        self.proxy.remove("theirs.test")
        self.assertEqual(self.tls.shown("theirs.test"), "ours.test")
        self.assertEqual(self.proxy.get().body, b"hello")

    def test_no_handshake_fails(self) -> None:
        """
        While passthrough comes and goes no handshake of others fails, and none is answered by the wrong side.
        """
        behind = self.openssl_server("theirs.test")
        over = threading.Event()
        wrong: list[object] = []
        done: list[str] = []

        def shake() -> None:
            while not over.is_set():
                try:
                    done.append(self.tls.shown("ours.test"))
                except OSError as error:
                    wrong.append(error)

        workers = [threading.Thread(target=shake) for _ in range(3)]
        for worker in workers:
            worker.start()
        for _ in range(15):
            self.through("theirs.test", behind)
            self.assertEqual(self.tls.shown("theirs.test"), "theirs.test")
            self.proxy.remove("theirs.test")
        over.set()
        for worker in workers:
            worker.join(LIMIT_S)
        self.assertEqual((wrong, set(done)), ([], {"ours.test"}))

    def test_own_port(self) -> None:
        """
        On a port of its own: by DFP's criteria too, with a whole handshake and its bytes; nobody else gets an answer.
        """
        one, two = self.openssl_server("one.test"), self.openssl_server("two.test")
        front = free_port()
        self.through("one", one, front, servicePath="one.", pathType="req_ssl_sni -i -m beg", serviceDomain="")
        self.proxy.publish(
            "two", ("127.0.0.1", two), path="", reqMode="tcp", srcPort=str(front), serviceDomain="*.two.test"
        )
        port = TlsPort(self.proxy, front)
        self.assertEqual([port.shown("one.test"), port.shown("a.two.test")], ["one.test", "two.test"])
        for name in ("two.test", "x.test", None):
            self.assertRaises(OSError, port.shown, name)
        self.assertIn(b"s_server", port.get("/", "one.test").body)

    def test_hostile(self) -> None:
        """
        Handshakes that stall, ask ten thousand names, speak garbage or end in the middle: none holds up the others, and
        nothing of it is an exception.
        """
        front = free_port()
        self.through("theirs.test", self.openssl_server("theirs.test"), front)
        self.through("here.test", self.openssl_server("here.test"))
        chance = random.Random(5)
        whole = said("theirs.test")
        many = records(message(names(*[b"n%d.test" % number for number in range(10_000)][:1200])))
        stalled = [
            socket.create_connection(("127.0.0.1", port), LIMIT_S) for port in (front, self.tls.port) for _ in range(30)
        ]
        for number, connection in enumerate(stalled):
            connection.sendall(whole[: number % len(whole)])
        for port in (front, self.tls.port):
            for data in (
                b"\x16",
                b"\x16\3\1",
                many,
                whole[:-1],
                chance.randbytes(5000),
                b"\x16\3\1\x40\0" + bytes(20000),
            ):
                with socket.create_connection(("127.0.0.1", port), LIMIT_S) as connection:
                    try:
                        connection.sendall(data)
                        connection.shutdown(socket.SHUT_WR)
                        while connection.recv(65536):
                            pass
                    except OSError:
                        pass  # a reset is an answer as well
        self.assertEqual(TlsPort(self.proxy, front).shown("theirs.test"), "theirs.test")
        self.assertEqual([self.tls.shown("here.test"), self.tls.shown("ours.test")], ["here.test", "ours.test"])
        for connection in stalled:
            connection.close()
        until(lambda: TlsPort(self.proxy, front).shown("theirs.test") == "theirs.test")

    def test_as_haproxy(self) -> None:
        """
        HAProxy with our own text sends each name to the server to which we send it.
        """
        (haproxy,) = require("haproxy")
        front = free_port()
        wanted = {name: self.openssl_server(name) for name in ("a.test", "b.test", "c.test", "rest.test")}
        self.through("a", wanted["a.test"], front, serviceDomain="a.test,*.a.test")
        self.through(
            "b", wanted["b.test"], front, servicePath="^b[0-9]+\\.", pathType="req_ssl_sni -i -m reg", serviceDomain=""
        )
        self.through("here", wanted["c.test"], serviceDomain="c.test")
        self.proxy.publish("rest", ("127.0.0.1", wanted["rest.test"]), path="", reqMode="tcp", srcPort=str(front))
        ports = {port: free_port() for port in (front, self.tls.port, self.proxy.port)}
        text = re.sub(
            r"(bind 127\.0\.0\.1:)(\d+)", lambda found: found[1] + str(ports[int(found[2])]), self.proxy.config()
        )
        file = Path(self.mktemp()).absolute()
        file.write_text(text.replace("    pidfile /var/run/haproxy.pid\n", ""))
        child = subprocess.Popen(
            [haproxy, "-db", "-f", str(file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        until(lambda: answers(ports[front]))
        for name in ("a.test", "x.A.test", "b1.test", "b.test", "c.test", "other", None):
            ours, theirs = (TlsPort(self.proxy, port).shown(name) for port in (front, ports[front]))
            self.assertEqual(ours, theirs, name)
        for name in ("c.test", "a.test", "ours.test", None):
            ours, theirs = (TlsPort(self.proxy, port).shown(name) for port in (self.tls.port, ports[self.tls.port]))
            self.assertEqual(ours, theirs, name)

    def test_end_to_end(self) -> None:
        """
        What is passed through is verified by the client against the server's own certificate, and by no other.
        """
        pair = known("theirs.test")
        self.through("theirs.test", self.openssl_server("theirs.test"))
        trusting = ssl.create_default_context(cadata=pair.bundle.decode())
        sock = socket.create_connection(("127.0.0.1", self.tls.port), LIMIT_S)
        with trusting.wrap_socket(sock, server_hostname="theirs.test") as connection:
            self.assertEqual(common_name(connection.getpeercert(True) or b""), "theirs.test")
        sock = socket.create_connection(("127.0.0.1", self.tls.port), LIMIT_S)
        self.assertRaises(ssl.SSLError, trusting.wrap_socket, sock, server_hostname="ours.test")
        sock.close()
