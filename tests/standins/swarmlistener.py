"""
A stand-in for Docker Flow Swarm Listener: lists services, and announces those that come, change and go.

Behaves as the real one was seen to (`tests.standins.recorded`): parameters sorted and form-encoded, `distribute=true`
unless labelled, 200 and 409 are success for a create and only 200 for a remove, anything else is repeated after an
interval; a newer event of a service drops the connection of the older one's call. Threads, so that tests of any kind
can use it.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterable
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlencode, urlsplit

PREFIX = "/v1/docker-flow-swarm-listener"

Labels = dict[str, str]


class SwarmListenerStandIn:
    """
    Listens when made; `close` ends it.

    Args:
        proxies: base addresses told of services, such as `http://127.0.0.1:8080/v1/docker-flow-proxy`.
        retries: repeats of a call that failed.
        interval_s: between two of them.
        host: loopback address.
        port: 0: any that is free.

    Attributes:
        services: parameters of what runs, by name.
        status: what `get-services` answers instead of 200.
        body: what it answers instead of the list.
        asked: paths it was asked for.
        sent: targets and the statuses they were answered with; 0: no answer, -1: dropped by us.
    """

    def __init__(
        self,
        proxies: Iterable[str] = (),
        retries: int = 3,
        interval_s: float = 0.05,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.proxies = tuple(proxies)
        self.retries = retries
        self.interval_s = interval_s
        self.services: dict[str, Labels] = {}
        self.status = 200
        self.body: bytes | None = None
        self.asked: list[str] = []
        self.sent: list[tuple[str, int]] = []
        self.changed = threading.Condition()
        self.answering = threading.Event()
        self.answering.set()
        self._calls: dict[str, _Announcement] = {}
        self._threads: list[threading.Thread] = []
        self._over = threading.Event()
        self._server = _Server((host, port), _Asked)
        self._server.standin = self
        self.host = host
        self.port: int = self._server.server_address[1]
        self._serving = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._serving.start()

    # --- what happens in the Swarm

    def create(self, name: str, announce: bool = True, **labels: str) -> None:
        """
        A service runs, or is another now.
        """
        self.services[name] = {"distribute": "true", "replicas": "1", **labels, "serviceName": name}
        if announce:
            self._announce("reconfigure", name, self.services[name])

    def remove(self, name: str, announce: bool = True) -> None:
        """
        A service is gone.
        """
        labels = self.services.pop(name)
        if announce:
            self._announce("remove", name, {key: labels[key] for key in labels if key not in ("replicas", "nodeInfo")})

    def announce_all(self) -> None:
        """
        As at its start, and when it is asked to notify.
        """
        for name, labels in list(self.services.items()):
            self._announce("reconfigure", name, labels)

    # --- announcing

    def _announce(self, verb: str, name: str, labels: Labels) -> None:
        former = self._calls.get(name)
        if former is not None:
            former.drop()
        announcement = self._calls[name] = _Announcement(self, verb, labels)
        for proxy in self.proxies:
            thread = threading.Thread(target=announcement.tell, args=(proxy,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def note(self, target: str, status: int) -> None:
        """
        A call has ended.
        """
        with self.changed:
            self.sent.append((target, status))
            self.changed.notify_all()

    def until(self, wanted: Any, within_s: float = 10.0) -> None:
        """
        Wait until something holds that changes when a call ends or a question comes.
        """
        with self.changed:
            if not self.changed.wait_for(wanted, within_s):
                raise AssertionError(f"not within {within_s} s; sent: {self.sent!r:.1000}, asked: {self.asked!r:.500}")

    def close(self) -> None:
        """
        End it and everything it does.
        """
        self._over.set()
        self.answering.set()
        for call in list(self._calls.values()):
            call.drop()
        for thread in self._threads:
            thread.join(10)
        self._server.shutdown()
        self._server.server_close()
        self._serving.join(10)

    def wait_interval(self) -> bool:
        """
        The pause before a repeat; whether there is to be one.
        """
        return not self._over.wait(self.interval_s)


class _Announcement:
    """
    One event of one service, told to each proxy until that has taken it.
    """

    def __init__(self, standin: SwarmListenerStandIn, verb: str, labels: Labels) -> None:
        self._standin = standin
        self._verb = verb
        self._query = urlencode(sorted(labels.items()))
        self._dropped = False
        self._sending = threading.Lock()
        self._sockets: set[socket.socket] = set()

    def drop(self) -> None:
        """
        Something newer has happened: cut what is under way, so that nothing is sent after the newer event's call.
        """
        with self._sending:
            self._dropped = True
            for sock in list(self._sockets):
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # it has just ended by itself

    def tell(self, proxy: str) -> None:
        """
        Call until it has worked.
        """
        parts = urlsplit(proxy)
        target = f"{parts.path}/{self._verb}?{self._query}"
        fine = (200, 409) if self._verb == "reconfigure" else (200,)
        for _ in range(1 + self._standin.retries):
            if self._dropped:
                return
            status = self._call(str(parts.hostname), int(parts.port or 80), target)
            self._standin.note(target, -1 if self._dropped else status)
            if status in fine or not self._standin.wait_interval():
                return

    def _call(self, host: str, port: int, target: str) -> int:
        connection = HTTPConnection(host, port, timeout=30)
        sock = None
        try:
            connection.connect()
            sock = connection.sock
            with self._sending:
                if self._dropped:
                    return -1
                self._sockets.add(sock)
                connection.request(
                    "GET", target, headers={"User-Agent": "Go-http-client/1.1", "Accept-Encoding": "gzip"}
                )
            response = connection.getresponse()
            response.read()
            return response.status
        except (OSError, ValueError):
            return 0
        except Exception:  # noqa: BLE001  http.client has a zoo of them; none is an answer
            return 0
        finally:
            self._sockets.discard(sock)  # type: ignore[arg-type]  # None is never in it
            connection.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    standin: SwarmListenerStandIn


class _Asked(BaseHTTPRequestHandler):
    """
    Its own API.
    """

    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """
        `get-services`, `notify-services`, `ping`.
        """
        standin = self.server.standin
        with standin.changed:
            standin.asked.append(self.path)
            standin.changed.notify_all()
        standin.answering.wait(30)
        what = self.path.removeprefix(PREFIX).partition("?")[0]
        if what == "/get-services":
            # The real one sorts nothing; parameters are flat and all text.
            listed = json.dumps(list(standin.services.values())).encode()
            self._say(standin.status, listed if standin.body is None else standin.body)
        elif what == "/notify-services":
            self._say(standin.status, b'{"Status":"OK"}')
            if standin.status == 200:
                standin.announce_all()
        elif what == "/ping":
            self._say(200, b'{"Status":"OK"}')
        else:
            self._say(404, b"404 page not found\n")

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """
        Nothing is printed.
        """
