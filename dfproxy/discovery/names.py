"""
Asks DNS for the addresses of names; no question waits behind another's.

Each question is a datagram of its own with its own deadline, by the UDP and TCP clients of `twisted.names`. What a
name's servers are, and when it is asked, is decided in `dfproxy.discovery.dns`.

Source: RFC 1035 section 4.2, RFC 2181 section 9 (truncation); contract 4.11 (`tasks.<service>`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from random import Random
from typing import Any, Generic, TypeVar, cast

from twisted.internet.defer import Deferred, fail, gatherResults, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, connectProtocol
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.names import dns
from twisted.python.failure import Failure

from dfproxy.discovery.addresses import (
    Answer,
    ResolverFile,
    Verdict,
    forms,
    has_tasks_form,
    parse_hosts,
    parse_resolv_conf,
    preferred,
    usual_form,
)
from dfproxy.discovery.datagrams import QuietPort
from dfproxy.discovery.networks import OwnNetworks

ROUNDS_S = (0.4, 1.0, 2.0)
"""
How long each server is given, in each round over all servers. libc waits 5 s twice; a first servers' list may take only
one second in all, and a lost datagram should fit in.
"""

TCP_TIMEOUT_S = 3.0
"""
For a truncated answer asked again over TCP, connecting included in each half.
"""

SOCKETS_LIMIT = 64
"""
UDP sockets open at once. Below it each question has a random port of its own (RFC 5452); above it sockets are shared,
so that hanging questions cannot use up the descriptors.
"""

TASKS_KNOWN = 20_000
"""
Names remembered to have tasks: the services of two large Swarms.
"""

WARNED = 1000
"""
Names remembered to have been warned of.
"""

RECHECK_S = 1.0
"""
How often a file is looked at for changes, in seconds, at most.
"""

FILE_LIMIT_BYTES = 4 << 20
"""
Largest hosts file that is read: ad blockers' lists are about 3 MB.
"""

T = TypeVar("T")

# The library's own annotations leave these out; mypy takes their calls for untyped otherwise.
_connect_protocol: Any = connectProtocol
_TcpQuestions: Any = dns.DNSProtocol
_UdpQuestions: Any = dns.DNSDatagramProtocol
_timed_out: Any = dns.DNSQueryTimeoutError
_no_socket: Any = CannotListenError

log = Logger()


class Watched(Generic[T]):
    """
    A file's parsed content, read again when the file has changed; a file that cannot be read counts as empty.
    """

    def __init__(self, clock: Any, path: str, parse: Callable[[str], T]) -> None:
        self._clock = clock
        self._path = path
        self._parse = parse
        self._checked_at: float | None = None
        self._seen: tuple[int, int, int] | None = None
        self._value = parse("")

    @property
    def value(self) -> T:
        """
        What the file says now, or said a second ago.
        """
        now = self._clock.seconds()
        if self._checked_at is None or now - self._checked_at >= RECHECK_S:
            self._checked_at = now
            self._look()
        return self._value

    def _look(self) -> None:
        try:
            found = os.stat(self._path)
            seen = (found.st_mtime_ns, found.st_size, found.st_ino)
            if seen == self._seen:
                return
            with open(self._path, "rb") as file:
                text = file.read(FILE_LIMIT_BYTES).decode("utf-8", "replace")
            self._seen = seen
        except OSError as error:
            if self._seen is not None:
                log.warn("{path} cannot be read: {reason}", path=self._path, reason=error.strerror)
            self._seen, text = None, ""
        self._value = self._parse(text)


class DnsAddresses:
    """
    Finds the addresses of a name: hosts file first, then DNS.

    Attributes:
        questions: datagrams sent so far, for who keeps a rate.
        foreign: addresses dropped so far, since no task can have them.
    """

    def __init__(
        self,
        reactor: Any,
        in_swarm: bool = False,
        servers: tuple[tuple[str, int], ...] = (),
        resolv_conf: str = "/etc/resolv.conf",
        hosts: str = "/etc/hosts",
        random: Random | None = None,
        networks: OwnNetworks | None = None,
    ) -> None:
        """
        Args:
            reactor: provides time, UDP and TCP.
            in_swarm: ask for `tasks.<name>` whatever the resolver.
            servers: `(host, port)` to ask instead of those of resolv.conf.
            resolv_conf: path of the file that names servers, search domains and `ndots`.
            hosts: path of the file with fixed names.
            random: only source of chance; None: seeded by the system.
            networks: where tasks are; None: the networks of this machine.
        """
        self.questions = 0
        self.foreign = 0
        self._networks = networks or OwnNetworks(reactor)
        self._have_tasks: dict[str, None] = {}
        self._warned: dict[str, tuple[str, ...]] = {}
        self._reactor = reactor
        self._in_swarm = in_swarm
        self._servers = servers
        self._resolv_conf = Watched(reactor, resolv_conf, parse_resolv_conf)
        self._hosts = Watched(reactor, hosts, parse_hosts)
        self._sockets = _Sockets(reactor, random or Random())

    def ask(self, name: str) -> Deferred[Answer]:
        """
        Learn the addresses of a name; its `tasks.` form counts more where there is one.

        Returns:
            Deferred: an `Answer`, within some seconds. Never fails.
        """
        try:
            name = name.encode("idna").decode("ascii")
        except UnicodeError as error:
            return succeed(Answer(Verdict.ABSENT, (), f"is no name: {error}"))
        hosts = self._hosts.value
        tasks_listed = hosts.get(f"tasks.{usual_form(name)}") if "." not in name else None
        listed = tasks_listed or hosts.get(usual_form(name))
        if listed:
            return succeed(Answer(Verdict.FOUND, listed))
        file = self._resolv_conf.value
        if self._servers:
            file = ResolverFile(self._servers, file.search, file.ndots)
        plain = _Search(self, forms(name, file), file.servers)
        if not has_tasks_form(name, file, self._in_swarm):
            return plain.start()
        tasks = self._tasks(usual_form(name), file.servers)
        if usual_form(name) not in self._have_tasks:
            # Side by side: Docker hands names that it does not know to outer servers, which may never answer.
            return gatherResults([tasks, plain.start()]).addCallback(_better)

        def known(answer: Answer) -> Answer | Deferred[Answer]:
            if answer.verdict is Verdict.FOUND:
                return answer
            return plain.start().addCallback(lambda other: _better([answer, other]))

        # What had tasks the last time is asked with one question, not two.
        return tasks.addCallback(known)

    def tasks_of(self, service: str) -> Deferred[Answer]:
        """
        Learn the addresses of the tasks of a Swarm service, and nothing less.

        Returns:
            Deferred: an `Answer`, within some seconds. Never fails.
        """
        name = usual_form(service)
        listed = self._hosts.value.get(f"tasks.{name}")
        if listed:
            return succeed(Answer(Verdict.FOUND, listed))
        return self._tasks(name, self._servers or self._resolv_conf.value.servers)

    def _tasks(self, name: str, servers: tuple[tuple[str, int], ...]) -> Deferred[Answer]:
        """
        Ask for `tasks.<name>`; addresses outside of our networks are none of its tasks.
        """

        def known(answer: Answer) -> Answer:
            kept = tuple(address for address in answer.addresses if self._networks.holds(address))
            dropped = tuple(address for address in answer.addresses if address not in kept)
            self.foreign += len(dropped)
            if dropped and self._warned.get(name) != dropped:
                if len(self._warned) >= WARNED:
                    self._warned.clear()
                self._warned[name] = dropped
                log.warn(
                    "tasks.{name}: {addresses} dropped: not in a network of ours, so no task of the Swarm",
                    name=name,
                    addresses=", ".join(dropped[:10]),
                )
            if kept:
                if len(self._have_tasks) >= TASKS_KNOWN:
                    self._have_tasks.clear()
                self._have_tasks[name] = None
                return Answer(answer.verdict, kept, answer.reason, answer.certain)
            self._have_tasks.pop(name, None)
            if dropped:
                return Answer(Verdict.ABSENT, (), "its addresses are in no network of ours")
            return answer

        return _Search(self, (f"tasks.{name}",), servers).start().addCallback(known)

    def stop(self) -> Deferred[None]:
        """
        Close all sockets. Questions under way end as failed.
        """
        self._sockets.stop()
        return succeed(None)

    def _question(self, name: str, kind: int, server: tuple[str, int], timeout_s: float) -> Deferred[dns.Message]:
        """
        Put one question to one server, by UDP and, if the answer was cut, again by TCP.
        """
        self.questions += 1
        query = dns.Query(name, kind, dns.IN)
        asked = self._sockets.query(server, query, timeout_s)

        def answered(message: dns.Message) -> dns.Message | Deferred[dns.Message]:
            return self._by_tcp(server, query) if message.trunc else message

        return asked.addCallback(answered)

    def _by_tcp(self, server: tuple[str, int], query: dns.Query) -> Deferred[dns.Message]:
        self.questions += 1
        endpoint_of = TCP6ClientEndpoint if ":" in server[0] else TCP4ClientEndpoint
        endpoint = endpoint_of(self._reactor, server[0], server[1], timeout=TCP_TIMEOUT_S)

        def connected(protocol: dns.DNSProtocol) -> Deferred[dns.Message]:
            def close(result: Any) -> Any:
                if protocol.transport is not None:
                    protocol.transport.loseConnection()
                return result

            asked: Deferred[dns.Message] = protocol.query([query], TCP_TIMEOUT_S)
            return asked.addBoth(close)

        connecting: Deferred[dns.DNSProtocol] = _connect_protocol(
            endpoint, _TcpQuestions(_Nobody(), reactor=self._reactor)
        )
        return connecting.addCallback(connected)


def _better(answers: list[Answer]) -> Answer:
    """
    Of the answers for `tasks.<name>` and the plain name the one that counts.
    """
    tasks, plain = answers
    if tasks.verdict is Verdict.FOUND:
        return tasks
    if tasks.verdict is Verdict.ABSENT or plain.verdict is Verdict.FAILED:
        return plain
    # No word about the tasks. The plain name is better than nothing, but must not replace a list of tasks.
    reason = plain.reason or tasks.reason
    if plain.verdict is Verdict.ABSENT:
        return Answer(Verdict.FAILED, (), tasks.reason, certain=False)
    return Answer(plain.verdict, plain.addresses, reason, certain=False)


class _Search:
    """
    One name through its forms, address families, rounds and servers, until somebody answers.
    """

    def __init__(self, asker: DnsAddresses, forms: tuple[str, ...], servers: tuple[tuple[str, int], ...]) -> None:
        self._asker = asker
        self._forms = forms
        self._servers = servers
        self._done: Deferred[Answer] = Deferred()
        self._failure: Answer | None = None
        self._absence = Answer(Verdict.ABSENT, (), "there is no such name")

    def start(self) -> Deferred[Answer]:
        self._next_form(0)
        return self._done

    def _next_form(self, at: int) -> None:
        if at == len(self._forms):
            self._done.callback(self._failure or self._absence)
            return
        self._try(at, dns.A, 0)

    def _try(self, at: int, kind: int, attempt: int) -> None:
        """
        Ask one server; the next one if it has no answer, round by round.
        """
        turn, server = divmod(attempt, len(self._servers))
        if turn == len(ROUNDS_S):
            # The forms that are left would wait just as long for the same servers.
            self._done.callback(self._failure or Answer(Verdict.FAILED, (), "no server answers"))
            return
        asked = self._asker._question(self._forms[at], kind, self._servers[server], ROUNDS_S[turn])
        where = (at, kind, attempt)
        asked.addCallbacks(self._answered, self._unanswered, callbackArgs=where, errbackArgs=where)
        asked.addErrback(self._broken)

    def _unanswered(self, failure: Failure, at: int, kind: int, attempt: int) -> None:
        host = self._servers[attempt % len(self._servers)][0]
        reason = (
            "no answer in time" if isinstance(failure.value, dns.DNSQueryTimeoutError) else failure.getErrorMessage()
        )
        self._failure = Answer(Verdict.FAILED, (), f"{host}: {reason}")
        if isinstance(failure.value, CannotListenError):
            # No socket to be had: trying at once again would only turn in circles.
            self._done.callback(self._failure)
            return
        self._try(at, kind, attempt + 1)

    def _answered(self, message: dns.Message, at: int, kind: int, attempt: int) -> None:
        name = self._forms[at]
        host = self._servers[attempt % len(self._servers)][0]
        if message.rCode == dns.ENAME:
            self._next_form(at + 1)
        elif message.rCode != dns.OK or not _is_about(message, name, kind):
            said = f"error {message.rCode}" if message.rCode != dns.OK else "an answer to another question"
            self._failure = Answer(Verdict.FAILED, (), f"{host}: {said}")
            # A server that refuses will do so again at once: one round is enough for those.
            if attempt + 1 < len(self._servers):
                self._try(at, kind, attempt + 1)
            else:
                self._next_form(at + 1)
        elif found := _addresses(message, name, kind):
            self._done.callback(Answer(Verdict.FOUND, found))
        elif kind == dns.A:
            self._try(at, dns.AAAA, 0)
        else:
            self._absence = Answer(Verdict.ABSENT, (), "the name has no address")
            self._next_form(at + 1)

    def _broken(self, failure: Failure) -> None:
        """
        A message that even `twisted.names` accepted, and that we stumble over.
        """
        log.failure("answer for {name} is not understood", failure=failure, name=self._forms[0])
        if not self._done.called:
            self._done.callback(Answer(Verdict.FAILED, (), failure.getErrorMessage()))


def _is_about(message: dns.Message, name: str, kind: int) -> bool:
    """
    Whether this answers our question, and not another one with the same number.
    """
    return any(query.type == kind and _text(query.name) == name for query in message.queries)


def _text(name: dns.Name | None) -> str:
    return "" if name is None else usual_form(name.name.decode("ascii", "replace"))


def _addresses(message: dns.Message, name: str, kind: int) -> tuple[str, ...]:
    """
    Addresses of the name, also by way of aliases (RFC 1034 section 3.6.2).
    """
    aliases: dict[str, str] = {}
    found: dict[str, list[str]] = {}
    for record in message.answers:
        owner, payload = _text(record.name), cast(Any, record.payload)
        if isinstance(payload, dns.Record_CNAME):
            aliases[owner] = _text(payload.name)
        elif record.type == kind and isinstance(payload, dns.Record_A | dns.Record_AAAA):
            address = IPv4Address(payload.address) if kind == dns.A else IPv6Address(payload.address)
            found.setdefault(owner, []).append(str(address))
    for _ in aliases:
        if name in found:
            break
        name = aliases.get(name, name)
    return preferred(found.get(name, []))


class _Nobody:
    """
    Controller of the library's protocols; told of what we need not know.
    """

    def messageReceived(self, message: dns.Message, protocol: object, address: object = None) -> None:
        """
        An answer that came too late, or that nobody asked for.
        """

    def connectionMade(self, protocol: object) -> None:
        """
        A TCP connection is there.
        """

    def connectionLost(self, protocol: object) -> None:
        """
        A TCP connection is gone.
        """


class _Sockets:
    """
    UDP sockets with questions on them; each closes with its last question.
    """

    def __init__(self, reactor: Any, random: Random) -> None:
        self._reactor = reactor
        self._random = random
        # Protocols of UDP questions, each with a QuietPort as its transport.
        self._open: dict[bool, list[Any]] = {False: [], True: []}
        self._stopped = False

    def query(self, server: tuple[str, int], query: dns.Query, timeout_s: float) -> Deferred[dns.Message]:
        """
        Put one question; the Deferred fails with `DNSQueryTimeoutError`, or if there is no socket.
        """
        if self._stopped:
            return fail(_no_socket("", 0, OSError("stopped")))
        v6 = ":" in server[0]
        protocols = self._open[v6]
        if len(protocols) < SOCKETS_LIMIT:
            protocol = _UdpQuestions(_Nobody(), reactor=self._reactor)
            protocol.noisy = False
            try:
                QuietPort(self._reactor, protocol, v6)
            except CannotListenError:
                return fail()
            protocols.append(protocol)
        else:
            protocol = self._random.choice(protocols)

        def ended(result: Any) -> Any:
            if not protocol.liveMessages and protocol in protocols:
                protocols.remove(protocol)
                protocol.transport.close()
            return result

        asked: Deferred[dns.Message] = protocol.query(server, [query], timeout_s)
        return asked.addBoth(ended)

    def stop(self) -> None:
        """
        Close every socket; its questions fail.
        """
        self._stopped = True
        for protocols in self._open.values():
            for protocol in list(protocols):
                protocols.remove(protocol)
                questions = list(protocol.liveMessages.items())
                protocol.transport.close()
                for number, (answered, deadline) in questions:
                    deadline.cancel()
                    answered.errback(_timed_out(number))
