"""
Wire dialogues: the proxy between a client and servers of memory, and a list of who says what.

    self.talk(
        client.sends("GET /x HTTP/1.1", "Host: a.test"),
        server.gets("GET /x HTTP/1.1", "Host: a.test", FORWARDED),
        server.sends("HTTP/1.1 200 OK", "Content-Length: 2", body="hi"),
        client.gets("HTTP/1.1 200 OK", "Content-Length: 2", body="hi"),
    )

`gets` means exactly these bytes since the last `gets`; what nobody expected is a failure as well, and so is an
exchange without exactly one ending, a server that was taken and not released, or something that stays open when the
client is gone. A failure shows the dialogue up to there and the difference line by line.

The transport is as strict as `twisted.internet.interfaces` allows: a close or half-close waits until the producer is
unregistered, nothing may be written after it, and a reset comes later, never at once.

Longer than most modules, but one thing: a stage for dialogues.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    TimeoutError,
    UserError,
)
from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol, IPushProducer
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from dfproxy.balancing.roundrobin import RoundRobin
from dfproxy.exchange.exchange import Exchange
from dfproxy.exchange.traffic import Traffic
from dfproxy.frontend.answers import answer
from dfproxy.frontend.resource import ReverseProxyResource
from dfproxy.frontend.site import ProxySite
from dfproxy.interfaces import IRequest, IServer
from dfproxy.model.ending import NO_SERVER, Ending
from dfproxy.model.match import Match
from dfproxy.model.service import Destination, Service
from dfproxy.model.settings import Limits
from dfproxy.model.snapshot import Membership, ServerAddress
from dfproxy.upstream.live import LiveBackend, LiveServer

CLIENT_HOST = "192.0.2.1"
FORWARDED = f"X-Forwarded-For: {CLIENT_HOST}"
"""
The last field of each request that a server gets.
"""

HOSTS = ("192.0.2.11", "192.0.2.12", "192.0.2.13")
"""
Where servers are, in the order in which they are made.
"""

STEP_S = 0.1
MOST_STEPS = 400  # longer waits are made of longer steps


@implementer(IPushProducer)
class Wire:
    """
    Our end of a TCP connection, without a network; the other end is what a dialogue moves.

    Args:
        clock: what happens "later" happens there.
        host: where we are.
        peer: where the other end is.

    Attributes:
        protocol: ours.
        heard: what has arrived at the other end and nobody looked at yet.
        room: how many bytes the other end takes before it is full; None: any number.
        ended: the other end sees that we send no more.
        fate: what the other end sees of the connection: `open`, `closed` or `reset`.
        paused: we do not read.
        pauses: how often we stopped reading.
        resumes: how often we began again.
        faults: what no transport should be asked.
        disconnecting: we are closing; twisted.web looks at this, though no interface has it.
    """

    limit_bytes = 65536
    quarter = 0  # resumes when so many bytes are unsent

    def __init__(self, clock: Clock, host: IPv4Address, peer: IPv4Address) -> None:
        self.clock = clock
        self.protocol: Any = None
        self.heard = b""
        self.room: int | None = None
        self.ended = False
        self.fate = "open"
        self.paused = False
        self.pauses = self.resumes = 0
        self.faults: list[str] = []
        self._host, self._peer = host, peer
        self._unsent = b""
        self._inbox: list[bytes | None] = []
        self._producer: Any = None
        self._producer_paused = False
        self.disconnecting = self._ending = False
        self._peer_closed = self._eof_seen = False
        self.connected = True

    # --- the protocol's side ---------------------------------------------------------------------------------

    def getHost(self) -> IPv4Address:
        return self._host

    def getPeer(self) -> IPv4Address:
        return self._peer

    def getHandle(self) -> Any:
        return self  # has no fileno, as a socket would

    def write(self, data: bytes) -> None:
        if type(data) is not bytes:
            self.faults.append(f"wrote a {type(data).__name__}")
        if not self.connected:
            return
        if self.disconnecting or self._ending:
            self.faults.append(f"wrote after the end: {data[:40]!r}")
            return
        self._unsent += data
        self._flush()
        if self._producer is not None and not self._producer_paused and len(self._unsent) > self.limit_bytes:
            self._producer_paused = True
            self._producer.pauseProducing()

    def writeSequence(self, data: Sequence[bytes]) -> None:
        self.write(b"".join(data))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert self._producer is None and streaming
        self._producer = producer

    def unregisterProducer(self) -> None:
        self._producer = None
        self._go_on()

    def loseConnection(self) -> None:
        self.disconnecting = True
        self._go_on()

    def loseWriteConnection(self) -> None:
        self._ending = True
        self._go_on()

    def abortConnection(self) -> None:
        self._unsent = b""
        self._lose("reset", ConnectionAborted())

    def pauseProducing(self) -> None:
        if not self.disconnecting:
            if self.paused:
                self.faults.append("paused twice")
            self.paused = True
            self.pauses += 1

    def resumeProducing(self) -> None:
        if not self.disconnecting:
            if not self.paused:
                self.faults.append("resumed without a pause")
            self.paused = False
            self.resumes += 1
            self.clock.callLater(0, self._deliver)

    # --- the other end's -------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """
        The other end sends.
        """
        self._inbox.append(data)
        self._deliver()

    def end(self) -> None:
        """
        The other end sends no more (FIN).
        """
        self._inbox.append(None)
        self._deliver()

    def close(self) -> None:
        """
        The other end is gone in good order: what is sent to it from now on is answered with a reset.
        """
        self._peer_closed = True
        self.end()

    def reset(self) -> None:
        """
        The other end breaks the connection.
        """
        if self.connected:
            self._over(ConnectionLost())

    def take(self, count: int | None) -> None:
        """
        The other end makes room for so many more bytes; None: for all from now on.
        """
        self.room = None if count is None else (self.room or 0) + count
        self._flush()
        self._go_on()

    # --- in between ------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        count = len(self._unsent) if self.room is None else min(self.room, len(self._unsent))
        if not count:
            return
        if self.room is not None:
            self.room -= count
        sent, self._unsent = self._unsent[:count], self._unsent[count:]
        if self._peer_closed:
            self.clock.callLater(0, self.reset)
        else:
            self.heard += sent

    def _go_on(self) -> None:
        if not self.connected or self.fate != "open":
            return
        if self._producer is not None:
            if self._producer_paused and len(self._unsent) <= self.quarter:
                self._producer_paused = False
                self._producer.resumeProducing()
        elif not self._unsent:
            if self.disconnecting:
                self._lose("reset" if any(self._inbox) else "closed", ConnectionDone())
            elif self._ending:
                self.ended = True

    def _deliver(self) -> None:
        while self._inbox and self.connected and not self.paused and not self.disconnecting and not self._eof_seen:
            data = self._inbox.pop(0)
            if data is not None:
                self.protocol.dataReceived(data)
            elif IHalfCloseableProtocol.providedBy(self.protocol):
                self._eof_seen = True
                self.protocol.readConnectionLost()
            else:
                self._over(ConnectionDone())

    def _lose(self, fate: str, reason: Exception) -> None:
        if self.connected and self.fate == "open":
            self.fate = fate
            self.disconnecting = True
            self.clock.callLater(0, self._over, reason)

    def _over(self, reason: Exception) -> None:
        if self.connected:
            self.connected = False
            if self.fate == "open":
                self.fate = "closed"
            producer, self._producer = self._producer, None
            if producer is not None:
                producer.stopProducing()
            self.protocol.connectionLost(Failure(reason))


class UvWire(Wire):
    """
    The same with what `dfproxy.uv` offers beyond Twisted's own transports.
    """

    def setBufferLimits(self, high: int) -> None:
        self.limit_bytes, self.quarter = high, high // 4

    def unsentBytes(self) -> int:
        return len(self._unsent)

    def fileno(self) -> int:
        return -1


class Connecting:
    """
    An attempt of `Memory` (`IConnector`).
    """

    def __init__(self, due: IDelayedCall, factory: Any) -> None:
        self._due = due
        self._factory = factory

    def stopConnecting(self) -> None:
        self._due.cancel()
        self._factory.clientConnectionFailed(self, Failure(UserError()))


class Memory(Clock):
    """
    A reactor that connects to nobody but as it is told.

    Attributes:
        attempts: where it was asked to connect to, in order.
        connections: our ends of what was connected.
        manners: host to what a connection attempt meets: `accept` (unless said), `refuse`, or `ignore`.
    """

    def __init__(self, wire: type[Wire] = UvWire) -> None:
        super().__init__()
        self.attempts: list[str] = []
        self.connections: list[Wire] = []
        self.manners: dict[str, str] = {}
        self._wire = wire

    def connectTCP(self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None) -> object:
        self.attempts.append(host)
        manner = self.manners.get(host, "accept")
        if manner == "accept":
            due = self.callLater(0, self._connect, host, port, factory)
        elif manner == "refuse":
            due = self.callLater(0, factory.clientConnectionFailed, None, Failure(ConnectionRefusedError()))
        else:
            due = self.callLater(timeout, factory.clientConnectionFailed, None, Failure(TimeoutError()))
        return Connecting(due, factory)

    def _connect(self, host: str, port: int, factory: Any) -> None:
        peer = IPv4Address("TCP", host, port)
        wire = self._wire(self, IPv4Address("TCP", "192.0.2.2", 40000 + len(self.connections)), peer)
        wire.protocol = factory.buildProtocol(peer)
        self.connections.append(wire)
        wire.protocol.makeConnection(wire)

    def settle(self) -> None:
        """
        Let everything happen that is due now.
        """
        for _ in range(20):
            self.advance(0)

    def wait(self, seconds: float) -> None:
        """
        Let time pass in small steps.
        """
        steps = min(max(round(seconds / STEP_S), 1), MOST_STEPS)
        for _ in range(steps):
            self.advance(seconds / steps)
        self.settle()


class Witness(RoundRobin):
    """
    A balancer that remembers what it was told.

    Attributes:
        told: `taken`, `released` and `failed` with the server's name, in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []
        self.known: set[IServer] = set()

    def update(self, servers: tuple[IServer, ...]) -> None:
        self.known.update(servers)
        super().update(servers)

    def taken(self, server: IServer) -> None:
        self.told.append(f"taken {server.name}")

    def released(self, server: IServer, latency_s: float, failed: bool) -> None:
        self.told.append(f"{'failed' if failed else 'released'} {server.name}")


class Resource(ReverseProxyResource):
    """
    Remembers the exchanges that it made.
    """

    def __init__(self, lookup: Callable[[IRequest], object], traffic: Traffic) -> None:
        super().__init__(lookup=lookup, traffic=traffic)
        self.exchanges: list[Exchange] = []

    def exchange(self, downstream: Any, request: Any) -> Exchange | None:
        made = super().exchange(downstream, request)
        if made is not None:
            self.exchanges.append(made)
        return made


def service_of(name: str = "web", host: str = "web.test", **about: Any) -> Service:
    """
    A service with one destination on port 8080 that takes every path; `about` goes to the destination.
    """
    return Service(name, name, (Destination(0, 8080, Match(), host, f"{name}-be8080_0", **about),))


class Dialogue:
    """
    A proxy of memory, and what is said through it.

    Args:
        servers: how many it has; each weighs 1.
        limits: its limits.
        wire: the kind of transport.
        about: for the destination, such as `server_timeout_s`.

    Attributes:
        reactor: its reactor.
        traffic: what its exchanges share.
        site: the factory of client connections.
        factory: the same, unless something else is to be tried.
        backend: where all requests go; None: nowhere.
        balancer: of the backend.
        client: our end of the client's connection.
        tells_arrival: as of the access log, which we are.
        endings: the words of all endings, in order.
        logged: exchanges in the order of their endings.
        names: of their servers, as lines have them.
    """

    def __init__(self, servers: int = 1, limits: Limits | None = None, wire: type[Wire] = UvWire, **about: Any) -> None:
        self.reactor = Memory(wire)
        self.logged: list[tuple[Exchange, Ending, int]] = []
        self.names: list[str] = []
        reactor: Any = self.reactor
        log: Any = self
        self.traffic = Traffic(reactor, reactor, limits or Limits(), self.reactor.seconds, log)
        self.traffic.deadlines.start()
        service = service_of(**about)
        self.balancer = Witness()
        self.backend: LiveBackend | None = LiveBackend(
            service, service.destinations[0], self.balancer, self.reactor, self.traffic.connector.try_connect
        )
        self._backend = self.backend
        self._epoch = 0
        self.members(*HOSTS[:servers])
        self.resource = Resource(lambda request: self.backend, self.traffic)
        self.tells_arrival = False
        self.site = ProxySite(self.resource)
        self.factory: Any = self.site
        self.said: list[str] = []
        self.clients: list[Wire] = []
        self._wire = wire
        self.dial()

    @property
    def client(self) -> Wire:
        return self.clients[-1]

    @property
    def endings(self) -> list[str]:
        return [ending.word for _, ending, _ in self.logged]

    def add(self, exchange: Exchange, ending: Ending, now: float) -> None:
        """
        We are the access log.
        """
        if isinstance(exchange, Exchange):  # refusals are noted as well, without an exchange
            self.logged.append((exchange, ending, exchange.status))
            self.names.append(exchange.server_name)

    def flush(self) -> None:
        """
        Nothing is kept.
        """

    def members(self, *hosts: str) -> None:
        """
        These are the servers from now on.
        """
        self._epoch += 1
        addresses = tuple(ServerAddress(host, 8080) for host in hosts)
        self._backend.members(Membership("web", 0, self._epoch, addresses))

    def servers(self) -> Sequence[LiveServer]:
        """
        Whose idle connections may stay open.
        """
        return self._backend.servers

    def dial(self) -> Wire:
        """
        Another client connects, and is the client from now on.
        """
        peer = IPv4Address("TCP", CLIENT_HOST, 50000 + len(self.clients))
        wire = self._wire(self.reactor, IPv4Address("TCP", "192.0.2.2", 80), peer)
        wire.protocol = self.factory.buildProtocol(peer)
        if wire.protocol is None:
            wire.fate = "closed"
        else:
            wire.protocol.makeConnection(wire)
        self.clients.append(wire)
        return wire

    def wire(self, side: str, number: int) -> Wire:
        """
        Our end of a connection.
        """
        wires = self.clients if side == "client" else self.reactor.connections
        if not wires:
            raise AssertionError("no connection to a server was made")
        return wires[number]

    def run(self, *steps: Step) -> None:
        """
        Take these steps.

        Raises:
            AssertionError: what had to happen did not; with the dialogue so far.
        """
        for step in steps:
            self.said.append(step.text)
            try:
                step.act(self)
                self.reactor.settle()
                step.check(self)
            except AssertionError as error:
                raise AssertionError(f"{error}\n{self.transcript()}") from None

    def transcript(self) -> str:
        """
        The dialogue so far.
        """
        return "\n".join(["the dialogue so far:", *(f"  {n:2} {text}" for n, text in enumerate(self.said, 1))])

    def finish(self) -> None:
        """
        The client goes, and nothing may be left over.
        """
        for wire in self.clients:
            wire.reset()
        self.reactor.settle()
        try:
            self._check()
        except AssertionError as error:
            raise AssertionError(f"at the end: {error}\n{self.transcript()}") from None
        finally:
            self.traffic.deadlines.stop()

    def _check(self) -> None:
        for side, wires in (("client", self.clients), ("server", self.reactor.connections)):
            for number, wire in enumerate(wires):
                same("", wire.heard, f"{side} {number} got what nobody expected")
                assert not wire.faults, f"at the transport of {side} {number}: {wire.faults}"
        for wire in self.reactor.connections:
            idle = any(wire.protocol in server.idle for server in self.servers())
            assert idle or not wire.connected or wire.fate != "open", f"{wire.getPeer().host} is left open"
        exchanges = self.resource.exchanges
        ended = [id(exchange) for exchange, _, _ in self.logged]
        assert sorted(ended) == sorted(map(id, exchanges)), f"{len(exchanges)} exchanges, {len(ended)} endings"
        told = self.balancer.told
        for server in self.balancer.known:
            taken = told.count(f"taken {server.name}")
            released = told.count(f"released {server.name}") + told.count(f"failed {server.name}")
            assert taken == released, f"{server} taken {taken} times, released {released} times"
            assert server.in_flight == 0, f"{server} has {server.in_flight} in flight"
        assert not self._backend.waiting, "somebody still waits for a server"
        assert not self.site.sessions_open and self.traffic.frontend.in_flight == 0, "a session is left"


@dataclass(frozen=True)
class Step:
    """
    One line of a dialogue.

    Attributes:
        text: how a failure shows it.
        act: what is done.
        check: what must be so once everything due has happened.
    """

    text: str
    act: Callable[[Dialogue], object] = field(default=lambda dialogue: None)
    check: Callable[[Dialogue], object] = field(default=lambda dialogue: None)


def message(first: str | bytes, *fields: str, body: str | bytes = b"") -> bytes:
    """
    The bytes of a message: text is a head without its line ends, bytes stand for themselves.
    """
    if isinstance(first, bytes):
        return first
    body = body.encode("latin-1") if isinstance(body, str) else body
    return "\r\n".join([first, *fields, "", ""]).encode("latin-1") + body


class Party:
    """
    One end of a dialogue.

    Args:
        side: `client` or `server`.
        number: which connection, from 0; -1: the newest.
    """

    def __init__(self, side: str, number: int = -1) -> None:
        self._side = side
        self._number = number
        self._name = side if number < 0 else f"{side} {number}"

    def _wire(self, dialogue: Dialogue) -> Wire:
        return dialogue.wire(self._side, self._number)

    def _step(self, text: str, act: Callable[[Wire], object]) -> Step:
        return Step(f"{self._name} {text}", lambda dialogue: act(self._wire(dialogue)))

    def _sees(self, text: str, check: Callable[[Wire], bool]) -> Step:
        def look(dialogue: Dialogue) -> None:
            wire = self._wire(dialogue)
            state = f"{wire.fate}{', ended' if wire.ended else ''}{', paused' if wire.paused else ''}"
            assert check(wire), f"{self._name} is not {text}: {state}, {len(wire.heard)} bytes unheard"

        return Step(f"{self._name} is {text}", check=look)

    def sends(
        self, first: str | bytes, *fields: str, body: str | bytes = b"", cuts: Sequence[int] | None = None
    ) -> Step:
        """
        It sends this, in pieces that end at `cuts` if given.
        """
        data = message(first, *fields, body=body)
        places = [0, *sorted(cuts or ()), len(data)]

        def act(dialogue: Dialogue) -> None:
            for start, end in zip(places, places[1:]):
                if data[start:end]:
                    self._wire(dialogue).send(data[start:end])
                    dialogue.reactor.settle()

        return Step(f"{self._name} sends {shown(data)}", act)

    def gets(self, first: str | bytes, *fields: str, body: str | bytes = b"") -> Step:
        """
        It has got exactly this since it was last looked at.
        """
        return self._heard(message(first, *fields, body=body), lambda heard: heard)

    def gets_chunked(self, first: str | bytes, *fields: str, body: str | bytes = b"", trailers: str = "") -> Step:
        """
        It has got this head and, in chunks of whatever sizes, this whole body.
        """
        wanted = message(first, *fields) + (body.encode("latin-1") if isinstance(body, str) else body)
        return self._heard(wanted + trailers.encode() + b"(complete)", _joined)

    def _heard(self, wanted: bytes, read: Callable[[bytes], bytes]) -> Step:
        def check(dialogue: Dialogue) -> None:
            wire = self._wire(dialogue)
            heard, wire.heard = wire.heard, b""
            same(wanted, read(heard), f"{self._name} got something else")

        return Step(f"{self._name} gets {shown(wanted)}", check=check)

    def gets_answer(self, status: int, bodiless: bool = False, retry_after_s: int = 0) -> Step:
        """
        It has got our own answer of this status.
        """
        return self._heard(answer(status, bodiless, retry_after_s=retry_after_s), lambda heard: heard)

    def finds_nobody(self) -> Step:
        """
        It has been told that no server may be used, and when to come again.
        """
        return self.gets_answer(NO_SERVER.status, retry_after_s=NO_SERVER.retry_after_s)

    def gets_nothing(self) -> Step:
        """
        Nothing has come since it was last looked at.
        """
        return self._heard(b"", lambda heard: heard)

    def gets_bytes(self, count: int) -> Step:
        """
        So many bytes have come, whatever they are.
        """

        def check(dialogue: Dialogue) -> None:
            wire = self._wire(dialogue)
            heard, wire.heard = wire.heard, b""
            assert len(heard) == count, f"{self._name} got {len(heard)} bytes, not {count}: {shown(heard)}"

        return Step(f"{self._name} gets {count} bytes", check=check)

    def ends(self) -> Step:
        """
        It sends no more, but reads.
        """
        return self._step("ends", Wire.end)

    def closes(self) -> Step:
        """
        It closes: neither sends nor reads.
        """
        return self._step("closes", Wire.close)

    def resets(self) -> Step:
        """
        It breaks the connection.
        """
        return self._step("resets", Wire.reset)

    def stops_reading(self, room: int = 0) -> Step:
        """
        It takes so many more bytes and then none.
        """
        return self._step(f"stops reading after {room} bytes", lambda wire: setattr(wire, "room", room))

    def reads(self, count: int | None = None) -> Step:
        """
        It takes so many more bytes; all, if not said.
        """
        return self._step(f"reads {'on' if count is None else count}", lambda wire: wire.take(count))

    def is_open(self) -> Step:
        return self._sees("open", lambda wire: wire.fate == "open" and wire.connected and not wire.ended)

    def is_closed(self) -> Step:
        """
        We have closed it in good order, once all was sent.
        """
        return self._sees("closed", lambda wire: wire.fate == "closed")

    def is_reset(self) -> Step:
        """
        We have broken it.
        """
        return self._sees("reset", lambda wire: wire.fate == "reset")

    def is_ended(self) -> Step:
        """
        We send no more, but read.
        """
        return self._sees("ended", lambda wire: wire.fate == "open" and wire.ended)

    def is_paused(self) -> Step:
        """
        We do not read from it.
        """
        return self._sees("paused", lambda wire: wire.paused)

    def is_read(self) -> Step:
        """
        We read from it.
        """
        return self._sees("read", lambda wire: not wire.paused)


client = Party("client")
server = Party("server")


def waits(seconds: float) -> Step:
    """
    Time passes.
    """
    return Step(f"{seconds} s pass", lambda dialogue: dialogue.reactor.wait(seconds))


def connections(*hosts: str) -> Step:
    """
    These servers were asked for a connection so far, in this order.
    """

    def check(dialogue: Dialogue) -> None:
        assert dialogue.reactor.attempts == list(hosts), f"connections were asked of {dialogue.reactor.attempts}"

    return Step(f"connections were asked of {', '.join(hosts)}", check=check)


def ended(*words: str) -> Step:
    """
    The exchanges so far ended so, in this order.
    """

    def check(dialogue: Dialogue) -> None:
        assert dialogue.endings == list(words), f"endings are {dialogue.endings}"

    return Step(f"endings are {', '.join(words)}", check=check)


def server_is(manner: str, host: str = HOSTS[0]) -> Step:
    """
    From now on connecting to this server is met so: `accept`, `refuse`, `ignore`.
    """
    return Step(f"{host} will {manner}", lambda dialogue: dialogue.reactor.manners.update({host: manner}))


def members(*hosts: str) -> Step:
    """
    These are the servers from now on.
    """
    return Step(f"the servers are {', '.join(hosts) or 'none'}", lambda dialogue: dialogue.members(*hosts))


def dials() -> Step:
    """
    Another client comes, and is `client` from now on.
    """
    return Step("another client connects", Dialogue.dial)


def shown(data: bytes) -> str:
    """
    Bytes for a line of a transcript.
    """
    return repr(data) if len(data) < 300 else f"{data[:200]!r}... ({len(data)} bytes)"


def same(wanted: bytes | str, got: bytes, text: str) -> None:
    """
    Compare bytes.

    Raises:
        AssertionError: they differ; with the difference line by line.
    """
    wanted = wanted.encode() if isinstance(wanted, str) else wanted
    if wanted == got:
        return
    before, after = ([shown(line) for line in data.splitlines(keepends=True)] for data in (wanted, got))
    lines = [line.rstrip("\n") for line in difflib.ndiff(before, after) if not line.startswith("?")]
    raise AssertionError("\n".join([f"{text} (- wanted, + got):", *lines]))


def _joined(data: bytes) -> bytes:
    """
    A message whose body is in chunks, with the chunks joined, what follows the last one, and whether that was all.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    body = b""
    while True:
        size, line_end, rest = rest.partition(b"\r\n")
        if not line_end:
            return head + end + body + b"(cut)"
        count = int(size, 16)
        if not count:
            break
        body += rest[:count]
        if rest[count : count + 2] != b"\r\n":
            return head + end + body + b"(cut)"
        rest = rest[count + 2 :]
    trailers, complete, more = (b"\r\n" + rest).partition(b"\r\n\r\n")
    return head + end + body + trailers[2:] + (b"(complete)" if complete else b"(cut)") + more


class DialogueCase(SynchronousTestCase):
    """
    A test that talks through the proxy.
    """

    def talk(self, *steps: Step, **options: Any) -> Dialogue:
        """
        One whole dialogue; options are `Dialogue`'s.
        """
        dialogue = Dialogue(**options)
        try:
            dialogue.run(*steps)
        except BaseException:
            dialogue.traffic.deadlines.stop()
            raise
        dialogue.finish()
        self.assertEqual(self.flushLoggedErrors(), [])
        return dialogue


def pieces(data: bytes, cuts: Sequence[int]) -> Iterator[bytes]:
    """
    The bytes cut at these places.
    """
    places = [0, *sorted(cuts), len(data)]
    for start, stop in zip(places, places[1:]):
        if data[start:stop]:
            yield data[start:stop]
