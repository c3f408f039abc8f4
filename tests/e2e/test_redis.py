"""
A real Redis behind TCP mode.
"""

from __future__ import annotations

import random
import socket
import subprocess
import tempfile
import threading
from typing import Any

from tests.e2e.proxy import free_port, until
from tests.e2e.test_tcp import StreamCase, answers
from tests.e2e.wire import LIMIT_S
from tests.requirements import require

MIB = 1 << 20


class Redis:
    """
    A real Redis without a file, ended by its pid.
    """

    def __init__(self) -> None:
        (program,) = require("redis-server")
        self.port = free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="dfproxy-redis-")
        command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--daemonize", "no"]
        self._child = subprocess.Popen(
            [*command, "--dir", self._folder.name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(lambda: answers(self.port), what="Redis does not listen")

    def end(self) -> None:
        """
        End it.
        """
        self._child.kill()
        self._child.wait()
        self._folder.cleanup()


class Asking:
    """
    A client of Redis.

    Args:
        port: where.
    """

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), LIMIT_S)
        self._file = self._socket.makefile("rb")

    def send(self, *commands: tuple[bytes, ...]) -> None:
        """
        Send commands without waiting for answers.
        """
        parts = []
        for words in commands:
            parts.append(b"*%d\r\n" % len(words))
            parts += [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
        self._socket.sendall(b"".join(parts))

    def answer(self) -> Any:
        """
        The next answer.
        """
        line = self._file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            return None if rest == b"-1" else self._file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.answer() for _ in range(int(rest))]
        return int(rest) if kind == b":" else rest

    def ask(self, *words: bytes) -> Any:
        """
        One command and its answer.
        """
        self.send(words)
        return self.answer()

    def close(self) -> None:
        """
        Hang up.
        """
        self._file.close()
        self._socket.close()


class RedisTests(StreamCase):
    """
    A real Redis behind the proxy.
    """

    def setUp(self) -> None:
        super().setUp()
        self.redis = Redis()
        self.addCleanup(self.redis.end)
        self.port = free_port()
        self.proxy.publish(
            "redis",
            path="",
            reqMode="tcp",
            srcPort=str(self.port),
            port=str(self.redis.port),
            outboundHostname="127.0.0.1",
        )

    def client(self, port: int = 0) -> Any:
        found = Asking(port or self.port)
        self.addCleanup(found.close)
        return found

    def test_commands(self) -> None:
        """
        Small commands one by one, many without waiting, and values of megabytes both ways.
        """
        client = self.client()
        self.assertEqual([client.ask(b"SET", b"a", b"1"), client.ask(b"GET", b"a")], [b"OK", b"1"])
        client.send(*[(b"INCR", b"count")] * 20_000)
        self.assertEqual([client.answer() for _ in range(20_000)][-1], 20_000)
        value = random.Random(1).randbytes(16 * MIB)
        self.assertEqual(client.ask(b"SET", b"big", value), b"OK")
        self.assertEqual(client.ask(b"GET", b"big"), value)
        self.assertEqual(client.ask(b"GET", b"a"), b"1")

    def test_told_unasked(self) -> None:
        """
        The server may speak when it likes: publish and subscribe, with many listening.
        """
        listeners = [self.client() for _ in range(20)]
        for listener in listeners:
            self.assertEqual(listener.ask(b"SUBSCRIBE", b"news")[2], 1)
        self.assertEqual(self.client().ask(b"PUBLISH", b"news", b"hello"), 20)
        self.assertEqual([listener.answer()[2] for listener in listeners], [b"hello"] * 20)

    def test_counted(self) -> None:
        """
        Connections and bytes are seen while they run, by the service's own labels.
        """
        client = self.client()
        client.ask(b"PING")

        def counted() -> bool:
            found = self.proxy.metrics()
            named = {key: value for key, value in found.items() if 'service="redis"' in key and value}
            return all(any(wanted in key for key in named) for wanted in ("requests_total", "in_flight"))

        until(counted, what=lambda: str(self.proxy.metrics()))
        found = self.proxy.metrics()
        backend = f'{{backend="redis-be{self.redis.port}_0"}}'
        got = [found[f"haproxy_backend_bytes_{way}_total{backend}"] for way in ("in", "out")]
        self.assertEqual(got, [len(b"*1\r\n$4\r\nPING\r\n"), len(b"+PONG\r\n")])

    def test_all_at_once(self) -> None:
        """
        Many clients at once, each with its own commands, none with another's answers.
        """
        wrong: list[object] = []

        def work(number: int) -> None:
            client = Asking(self.port)
            for turn in range(50):
                word = b"%d-%d" % (number, turn)
                if client.ask(b"ECHO", word) != word:
                    wrong.append(word)
            client.close()

        workers = [threading.Thread(target=work, args=(number,)) for number in range(20)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(LIMIT_S)
        self.assertEqual(wrong, [])

    def test_changes_meanwhile(self) -> None:
        """
        A hundred changes of other services, and of this one, cut nothing and lose nothing.
        """
        client = self.client()
        client.ask(b"SELECT", b"3")
        for number in range(100):
            self.proxy.publish("other", ("127.0.0.1", 1), path=f"/{number}")
            self.proxy.publish(
                "redis",
                path="",
                reqMode="tcp",
                srcPort=str(self.port),
                port=str(self.redis.port),
                outboundHostname="127.0.0.1",
                timeoutTunnel=str(100 + number),
            )
            self.assertEqual(client.ask(b"INCR", b"turns"), number + 1)


class RedisInOneProcessTests(RedisTests):
    """
    The same with `--workers 0`, on Twisted's own reactor.
    """

    workers = 0
