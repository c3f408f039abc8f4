"""
TCP mode for real: ports that come and go, servers that fail, ends and starts.
"""

from __future__ import annotations

import csv
import os
import signal
import socket
import struct
import threading

from dfproxy.control.holders import holder_of
from dfproxy.wire.proxyprotocol import read_header
from tests.e2e.backends import Backend, answering, refused_port
from tests.e2e.proxy import Proxy, ProxyCase, free_port, until
from tests.e2e.wire import LIMIT_S, Wire


def answers(port: int) -> bool:
    """
    Whether somebody accepts connections there.
    """
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def shouting(wire: Wire, backend: Backend) -> None:
    """
    Says who it is, first, then gives back what it gets until the client ends.
    """
    wire.send(b"%d\n" % backend.port)
    while data := wire.sock.recv(65536):
        wire.send(data)


def telling(wire: Wire, backend: Backend) -> None:
    """
    Reads a header of the PROXY protocol and a line, and says what they say.
    """
    start = b""
    while (found := read_header(start) if start else None) is None:
        start += wire.read(1)
    said, _ = found
    line = wire.read_until(b"\n")
    wire.send(b"%s %d %d %b" % (said.host.encode(), said.port, said.local_port, line))


def shouted(port: int) -> int:
    """
    Which server a connection to this port gets; 0: none.
    """
    with socket.create_connection(("127.0.0.1", port), LIMIT_S) as connection:
        with connection.makefile("rb") as file:
            return int(file.readline() or b"0")


class StreamCase(ProxyCase):
    """
    Publishing of connections.
    """

    def stream(self, name: str, port: int, *backends: Backend, **about: str) -> None:
        """
        Publish a service in TCP mode.
        """
        about.setdefault("reqMode", "tcp")
        self.proxy.publish(name, *backends, path="", srcPort=str(port), **about)

    def refused(self, **about: str) -> str:
        """
        Try to publish in TCP mode what is refused: why.
        """
        about.setdefault("reqMode", "tcp")
        status, answer = self.proxy.call("reconfigure", serviceName="refused", **about)
        self.assertEqual(status, 400)
        return str(answer["Message"])


class PortTests(StreamCase):
    """
    Ports come with services, and go with the last one.
    """

    def test_comes_and_goes(self) -> None:
        """
        Open when the call is answered, in every worker; closed with the last service, while what runs goes on; and
        open again at once.
        """
        one, two = self.backend(shouting), self.backend(shouting)
        port = free_port()
        self.assertFalse(answers(port))
        self.stream("one", port, one)
        self.assertEqual({shouted(port) for _ in range(20)}, {one.port})
        self.stream("two", port, two)  # the last one of several takes all
        self.assertEqual({shouted(port) for _ in range(20)}, {two.port})
        running = self.client(port)
        running.read_until(b"\n")
        self.proxy.remove("two")
        self.assertEqual({shouted(port) for _ in range(20)}, {one.port})
        self.proxy.remove("one")
        self.assertFalse(answers(port))
        running.send(b"still there")
        self.assertEqual(running.read(11), b"still there")
        for _ in range(5):
            self.stream("one", port, one)
            self.assertEqual(shouted(port), one.port)
            self.proxy.remove("one")
            self.assertFalse(answers(port))

    def test_moves(self) -> None:
        """
        Another `srcPort`: the new one opens and the old one closes with the same call.
        """
        server = self.backend(shouting)
        former, later = free_port(), free_port()
        self.stream("s", former, server)
        self.stream("s", later, server)
        self.assertEqual((answers(former), shouted(later)), (False, server.port))

    def test_taken(self) -> None:
        """
        A port that somebody has: 400 at once, which says whose it is; nothing changes, also nothing of the other
        destinations, and a definition in force goes on.
        """
        server = self.backend(shouting)
        port, free = free_port(), free_port()
        self.stream("refused", port, server)
        with socket.create_server(("127.0.0.1", 0)) as other:
            taken = other.getsockname()[1]
            about = {"endpoints": f"127.0.0.1:{server.port}", "srcPort.1": str(free), "port.1": "1"}
            why = self.refused(**about, **{"srcPort.2": str(taken), "port.2": "1"})
            holder = holder_of(taken)
        self.assertIn(f"srcPort={taken} of refused cannot be bound: Address already in use (held by {holder})", why)
        self.assertFalse(answers(free))
        self.assertEqual(shouted(port), server.port)
        api = self.refused(endpoints=f"127.0.0.1:{server.port}", srcPort=str(self.proxy.api))
        self.assertIn(f"twistd (pid {self.proxy.pid})", api)
        shared = self.refused(endpoints=f"127.0.0.1:{server.port}", srcPort=str(self.proxy.port))
        self.assertIn("give serviceDomain", shared)

    def test_fifty_at_once(self) -> None:
        """
        Fifty services published at once: each is there when its own call is answered.
        """
        server = self.backend(shouting)
        ports = [free_port() for _ in range(50)]
        found: dict[int, int] = {}

        def publish(number: int) -> None:
            self.stream(f"s{number}", ports[number], server)
            found[number] = shouted(ports[number])

        callers = [threading.Thread(target=publish, args=(number,)) for number in range(50)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(30)
        self.assertEqual(found, dict.fromkeys(range(50), server.port))

    def test_many(self) -> None:
        """
        Two hundred connections at once, and none stays behind.
        """
        server = self.backend(shouting)
        port = free_port()
        self.stream("s", port, server)
        self.assertEqual(shouted(port), server.port)
        before = self.proxy.sockets()
        open_now = [socket.create_connection(("127.0.0.1", port), LIMIT_S) for _ in range(200)]
        for number, connection in enumerate(open_now):
            connection.sendall(b"%d\n" % number)
            with connection.makefile("rb") as file:
                self.assertEqual([int(file.readline()), int(file.readline())], [server.port, number])
        for connection in open_now[::2]:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        for connection in open_now:
            connection.close()
        until(lambda: self.proxy.sockets() <= before, what=lambda: f"{self.proxy.sockets()} sockets, before {before}")


class PortInOneProcessTests(PortTests):
    """
    The same with `--workers 0`.
    """

    workers = 0


class ServerTests(StreamCase):
    """
    Several servers, those that fail, and groups.
    """

    def test_shares(self) -> None:
        """
        Connections are dealt out, and a server that is gone costs nobody anything.
        """
        one, two = self.backend(shouting), self.backend(shouting)
        port = free_port()
        self.stream("s", port, one, two)
        self.assertEqual({shouted(port) for _ in range(20)}, {one.port, two.port})
        one.close()
        self.assertEqual({shouted(port) for _ in range(40)}, {two.port})

    def test_nobody(self) -> None:
        """
        No server that answers: the client is let go without a byte, and no other service notices.
        """
        port = free_port()
        self.proxy.publish("s", ("127.0.0.1", refused_port()), path="", reqMode="tcp", srcPort=str(port))
        http = self.backend(answering(b"fine"))
        self.proxy.publish("http", http)
        with socket.create_connection(("127.0.0.1", port), LIMIT_S) as connection:
            self.assertEqual(self.proxy.get().body, b"fine")
            self.assertEqual(connection.recv(1), b"")

    def test_send_proxy(self) -> None:
        """
        A server that wants to know is told whose connection it gets, before the client's first byte.
        """
        server = self.backend(telling)
        port = free_port()
        for version in ("v1", "v2"):
            self.stream("s", port, server, sendProxy=version)
            with socket.create_connection(("127.0.0.1", port), LIMIT_S) as connection:
                connection.sendall(b"hello\n")
                with connection.makefile("rb") as file:
                    told = file.readline()
                here = connection.getsockname()
                self.assertEqual(told, b"%s %d %d hello\n" % (here[0].encode(), here[1], port))

    def test_group(self) -> None:
        """
        Two services in one group are one pool behind the first one's port; a member that goes takes its servers along.
        """
        one, two, three = (self.backend(shouting) for _ in range(3))
        port, other = free_port(), free_port()
        self.stream("a", port, one, two, serviceGroup="g", balanceGroup="roundrobin")
        self.stream("b", other, three, serviceGroup="g")
        self.assertEqual({shouted(port) for _ in range(30)}, {one.port, two.port, three.port})
        self.assertFalse(answers(other))
        self.proxy.remove("b")
        self.assertEqual({shouted(port) for _ in range(30)}, {one.port, two.port})


class LifeTests(StreamCase):
    """
    Ends and starts.
    """

    def own(self, *options: str, workers: int = 2, former: Proxy | None = None) -> Proxy:
        self.proxy = Proxy(*options, workers=workers, former=former)
        self._logged = 0
        self.addCleanup(self.proxy.end)
        return self.proxy

    def setUp(self) -> None:
        self.addCleanup(lambda: self._look_at_log())
        self.own("--timeout-tunnel-drain", "20")
        self.server = self.backend(shouting)
        self.front = free_port()
        self.stream("s", self.front, self.server)

    def _look_at_log(self) -> None:
        self.assertNotIn("Traceback", self.proxy.log())

    def test_drain(self) -> None:
        """
        An end lets connections finish, as tunnels.
        """
        running = self.client(self.front)
        running.read_until(b"\n")
        self.proxy.signal(signal.SIGTERM)
        self.proxy.wait_for_log("waiting for 1 tunnels")
        running.send(b"go on")
        self.assertEqual(running.read(5), b"go on")
        running.close()
        self.assertEqual(self.proxy.wait(), -signal.SIGTERM)

    def test_logged(self) -> None:
        """
        A line for each connection that is over, in HAProxy's words, with the name that was asked for in JSON.
        """
        for form, wanted in (
            ("httplog", rf" s-be{self.server.port}_0/s \d+/\d+/\d+ \d+ -- "),
            ("json", '"bytes_in":5'),
        ):
            proxy = self.own("--access-log", form)
            port = free_port()
            self.stream("s", port, self.server)
            with socket.create_connection(("127.0.0.1", port), LIMIT_S) as connection:
                connection.sendall(b"hello")
                connection.shutdown(socket.SHUT_WR)
                with connection.makefile("rb") as file:
                    self.assertEqual(file.read(), b"%d\nhello" % self.server.port)
            line = until(
                lambda proxy=proxy: [each for each in proxy.log().splitlines() if f"s-be{self.server.port}_0" in each]
            )[0]
            self.assertRegex(line, wanted)
            proxy.end()

    def test_own_form_and_statistics(self) -> None:
        """
        `DEBUG_TCP_FORMAT` is the form of lines about connections, and the statistics count them like requests.
        """
        proxy = self.own(
            *("--debug", "true", "--debug-tcp-format", "told %ci %b/%s %B %ts"),
            *("--stats-user", "none", "--stats-pass", "none"),
        )
        port = free_port()
        self.stream("s", port, self.server)
        for _ in range(3):
            self.assertEqual(shouted(port), self.server.port)
        name = f"s-be{self.server.port}_0"
        lines = until(
            lambda: found if len(found := [each for each in proxy.log().splitlines() if "told " in each]) == 3 else None
        )
        self.assertRegex(lines[0], rf"told 127\.0\.0\.1 {name}/s \d+ ")

        def counted() -> dict[str, dict[str, str]] | None:
            with self.client() as client:
                client.send("GET /admin?stats;csv HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                text = client.final().body.decode()
            rows = {
                row["svname"]: row
                for row in csv.DictReader(text.removeprefix("# ").splitlines())
                if row["pxname"] == name
            }
            return rows if rows.get("BACKEND", {}).get("stot") == "3" else None

        rows = until(counted)
        self.assertEqual((rows["s"]["stot"], rows["s"]["scur"], rows["s"]["status"]), ("3", "0", "UP"))
        self.assertGreater(int(rows["BACKEND"]["bout"]), 0)

    def test_killed_worker(self) -> None:
        """
        A worker dies: what was on it is cut, and the port goes on in another one, also a port that opened late.
        """
        for pid in self.proxy.worker_pids()[:1]:
            os.kill(pid, signal.SIGKILL)
        self.assertEqual({shouted(self.front) for _ in range(20)}, {self.server.port})
        later = free_port()
        self.stream("later", later, self.server)
        until(lambda: len(self.proxy.worker_pids()) == 2)
        os.kill(self.proxy.worker_pids()[0], signal.SIGKILL)
        self.assertEqual({shouted(port) for port in (self.front, later) for _ in range(10)}, {self.server.port})

    def test_started_again(self) -> None:
        """
        After a kill -9 of everything the ports are there again; one that somebody else took meanwhile comes later, and
        costs the others nothing.
        """
        other = free_port()
        self.stream("other", other, self.server)
        former = self.proxy
        former.kill_leader()
        until(lambda: not answers(other))
        with socket.create_server(("127.0.0.1", other)):
            self.own(former=former)
            self.assertEqual(until(lambda: answers(self.front) and shouted(self.front)), self.server.port)
            self.proxy.wait_for_log(f"srcPort={other} of other cannot be bound")
        until(lambda: answers(other) and shouted(other) == self.server.port)
