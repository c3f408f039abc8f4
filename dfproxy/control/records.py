"""
The journal as bytes: changes to lines, lines back to what is in force. No file, no clock.

A line is one JSON object: a checksum over the rest of it, the version of this format, the revision that it belongs to,
and how many lines of the same change follow. A change is the run of its lines, written at once: only with its last line
has it happened. The first change of a file, its base, holds all that was in force when the file was begun.

What a reader meets in practice decides the rules: a write that was cut short leaves an incomplete change at the very
end, which nobody was promised: it goes. Anything else that is wrong is damage to something that was promised: it is
named by line and reason, and all other lines count.

Source: `design.md` 9; SQLite's and etcd's logs for checksums by record and the torn tail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from itertools import islice

import msgspec

from dfproxy.errors import JournalError
from dfproxy.model.checks import Order, Orders, with_orders
from dfproxy.model.service import Service
from dfproxy.model.snapshot import Change, Hold

VERSION = 1
"""
Of this format. A file with a later one is left alone: its lines may mean what we cannot know.
"""

DAMAGES = 1000
"""
Damages reported one by one; of more only the number is told.
"""

_HEAD = b'{"check":"'
_CHECK_CHARS = 16
_AFTER = len(_HEAD) + _CHECK_CHARS
_BODY = _AFTER + 2  # behind `",`

Reader = Callable[[tuple[tuple[str, str], ...], str], Service | None]
"""
Makes a service of its parameters and its origin; None: they make none.
"""

Part = Callable[[int, int, str], bytes]
"""
Makes one line of a change, given its revision's number, how many lines follow, and the digest, or nothing.
"""


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """
    One line without its checksum.

    Attributes:
        version: of the format.
        revision: number of the revision that the change makes.
        left: lines of the same change that follow.
        kind: `begin`, `publish`, `withdraw`, `hold`, `release`, `order`, or `mark` for a change that is durable
            elsewhere.
        name: of the service.
        service: what is published, or what a hold keeps out, or what an operator says of a server.
        of: of a hold, the revision that was gone back from.
        digest: of the revision, in the last line of a change.
        by: in the first line of a file, which dfproxy wrote it.
    """

    version: int
    revision: int
    left: int
    kind: str
    name: str = ""
    service: msgspec.Raw = msgspec.Raw(b"")
    digest: str = ""
    by: str = ""
    of: int = 0


@dataclass(frozen=True, slots=True)
class Damage:
    """
    Something in the file that is not as it was written.

    Attributes:
        line: its number, from 1.
        reason: what is wrong.
    """

    line: int
    reason: str


@dataclass(slots=True)
class Replayed:
    """
    What a file says.

    Attributes:
        services: in force, by name.
        revision: number of the last revision.
        digest: its digest as it was written; empty: nothing was.
        damages: what is wrong, up to `DAMAGES`.
        damaged: how much is wrong.
        good_bytes: up to where the file is whole; the rest is a write that was cut short.
        lines: that count.
        by: which dfproxy began the file; empty: it has no beginning.
        live_bytes: of it, what the services in force take up.
        holds: in force, by name.
        orders: in force, of services that are.
    """

    services: dict[str, Service] = field(default_factory=dict)
    revision: int = 0
    digest: str = ""
    damages: list[Damage] = field(default_factory=list)
    damaged: int = 0
    good_bytes: int = 0
    lines: int = 0
    by: str = ""
    live_bytes: int = 0
    holds: dict[str, Hold] = field(default_factory=dict)
    orders: Orders = field(default_factory=dict)

    def report(self, line: int, reason: str) -> None:
        """
        Note a damage.
        """
        self.damaged += 1
        if len(self.damages) < DAMAGES:
            self.damages.append(Damage(line, reason))


# --- writing -------------------------------------------------------------------------------------------------


def lines_of(change: Change) -> bytes:
    """
    A change, to be written at once.
    """
    revision = change.revision
    parts: list[Part] = [
        *(partial(_gone, "withdraw", name) for name in change.removed),
        *(partial(_gone, "release", name) for name in change.released),
        *_parts(change.holds, change.services, change.orders),
    ]
    if not parts:
        return _line(Line(VERSION, revision.number, 0, "mark", digest=revision.digest))
    return b"".join(_numbered(parts, len(parts), revision.number, revision.digest))


def base(
    services: tuple[Service, ...],
    number: int,
    digest: str,
    by: str,
    slice_of: int,
    holds: tuple[Hold, ...] = (),
    orders: tuple[Order, ...] = (),
) -> Iterator[bytes]:
    """
    The beginning of a file: all that is in force.

    Args:
        services: all of them.
        number: of the revision.
        digest: of the revision.
        by: which dfproxy writes.
        slice_of: lines in one piece.
        holds: all of them.
        orders: likewise.
    """
    count = len(services) + len(holds) + len(orders)
    yield _line(Line(VERSION, number, count, "begin", digest="" if count else digest, by=by))
    lines = _numbered(_parts(holds, services, orders), count, number, digest)
    while piece := b"".join(islice(lines, slice_of)):
        yield piece


def _parts(holds: Iterable[Hold], services: Iterable[Service], orders: Iterable[Order]) -> Iterator[Part]:
    yield from (partial(_held, hold) for hold in holds)
    yield from (partial(_published, service) for service in services)
    yield from (partial(_ordered, order) for order in orders)


def _numbered(parts: Iterable[Part], count: int, number: int, digest: str) -> Iterator[bytes]:
    """
    The lines of one change: each says how many follow, and the last one has the digest.
    """
    for left, part in zip(range(count - 1, -1, -1), parts):
        yield part(number, left, "" if left else digest)


def _gone(kind: str, name: str, number: int, left: int, digest: str) -> bytes:
    return _line(Line(VERSION, number, left, kind, name, digest=digest))


def _published(service: Service, number: int, left: int, digest: str) -> bytes:
    encoded = msgspec.Raw(msgspec.json.encode(service))
    return _line(Line(VERSION, number, left, "publish", service.name, encoded, digest))


def _held(hold: Hold, number: int, left: int, digest: str) -> bytes:
    encoded = msgspec.Raw(msgspec.json.encode(hold.against))
    return _line(Line(VERSION, number, left, "hold", hold.name, encoded, digest, of=hold.revision))


def _ordered(order: Order, number: int, left: int, digest: str) -> bytes:
    encoded = msgspec.Raw(msgspec.json.encode(order))
    return _line(Line(VERSION, number, left, "order", order.service, encoded, digest))


def _line(line: Line) -> bytes:
    body = msgspec.json.encode(line)[1:]
    return b'%b%b",%b\n' % (_HEAD, _check(body), body)


def _check(body: bytes) -> bytes:
    return blake2b(body, digest_size=_CHECK_CHARS // 2).hexdigest().encode("ascii")


# --- reading -------------------------------------------------------------------------------------------------

_lines = msgspec.json.Decoder(Line)
_orders = msgspec.json.Decoder(Order)
_services = msgspec.json.Decoder(Service)
_parameters = msgspec.json.Decoder(dict[str, msgspec.Raw])
_pairs = msgspec.json.Decoder(tuple[tuple[str, str], ...])


class _Wrong(Exception):
    """
    A line that is not as it was written, and why.
    """


def replay(content: bytes, read: Reader | None = None) -> Replayed:
    """
    What a file says.

    Args:
        content: all of it.
        read: makes a service of the parameters of one whose form is no longer known; None: such a one is damage.

    Raises:
        JournalError: the file is of a later version.
    """
    return _Reading(read).read(content)


class _Reading:
    """
    One reading of one file.
    """

    def __init__(self, read: Reader | None) -> None:
        self._read = read
        self._found = Replayed()
        self._change: list[Line] = []  # lines of the change that is being read
        self._places: list[tuple[int, int]] = []  # their numbers and sizes
        self._sizes: dict[str, int] = {}  # of what is in force
        self._lost = 0  # unreadable lines since the last good one

    def read(self, content: bytes) -> Replayed:
        found, change = self._found, self._change
        at = number = whole = 0
        while (end := content.find(b"\n", at)) >= 0:
            number += 1
            try:
                line = _parsed(content[at:end])
                if line.kind == "begin" and number > 1:
                    raise _Wrong("a beginning in the middle of the file")
                self._take(line, number, end + 1 - at)
            except _Wrong as wrong:
                self._lost += 1
                found.report(number, str(wrong))
            at = end + 1
            if not change:
                whole = at
        if change and change[0].kind == "begin" and self._lost < change[-1].left:
            # A base is whole before the file gets its name, so this is no write that was cut short.
            found.report(number, f"the file ends here, {change[-1].left - self._lost} lines early")
            self._finish()
            whole = at
        elif change and self._lost >= change[-1].left:
            # All its lines are there, although not all can be read: it has happened.
            self._finish()
            whole = at
        # Numbers of lost changes are not given again.
        found.revision += self._lost
        found.good_bytes = whole
        # Of a service that is lost by damage nothing holds.
        found.orders = with_orders(found.orders, [name for name in found.orders if name not in found.services], ())
        found.live_bytes = sum(self._sizes.values())
        return found

    def _take(self, line: Line, number: int, size: int) -> None:
        found, change = self._found, self._change
        lost, self._lost = self._lost, 0
        told = lost > 0
        if change:
            last = change[-1]
            goes_on = line.revision == last.revision and line.left < last.left
            missing = last.left - lost - (line.left + 1 if goes_on else 0)
            if missing > 0:
                found.report(number, f"{missing} lines before it are missing")
                told = True
            if not goes_on:
                self._finish()
        if not change and not told:
            if not found.lines and line.kind != "begin":
                found.report(number, "the beginning of the file is missing")
            elif found.lines and line.revision != found.revision + 1:
                found.report(number, f"revision {line.revision} follows {found.revision}")
        change.append(line)
        self._places.append((number, size))
        if line.left == 0:
            self._finish()

    def _finish(self) -> None:
        """
        The change has happened.
        """
        found = self._found
        for line, (number, size) in zip(self._change, self._places):
            if line.kind == "publish":
                self._sizes[line.name] = size
                try:
                    found.services[line.name] = self._service(line)
                except _Wrong as wrong:
                    found.services.pop(line.name, None)  # the former definition was replaced by one that is lost
                    found.report(number, str(wrong))
            elif line.kind == "withdraw":
                self._sizes.pop(line.name, None)
                found.services.pop(line.name, None)
                found.orders = with_orders(found.orders, (line.name,), ())
            elif line.kind == "order":
                self._order(line, number)
            elif line.kind == "hold":
                self._hold(line, number, size)
            elif line.kind == "release":
                self._sizes.pop(f"hold {line.name}", None)
                found.holds.pop(line.name, None)
            elif line.kind == "begin":
                found.by = line.by
        found.lines += len(self._change)
        found.revision = max(found.revision, self._change[-1].revision)
        found.digest = self._change[-1].digest
        self._change.clear()
        self._places.clear()

    def _hold(self, line: Line, number: int, size: int) -> None:
        self._sizes[f"hold {line.name}"] = size
        try:
            self._found.holds[line.name] = Hold(line.name, self._service(line), line.of)
        except _Wrong as wrong:
            self._found.holds.pop(line.name, None)
            self._found.report(number, str(wrong))

    def _order(self, line: Line, number: int) -> None:
        try:
            order = _orders.decode(line.service)
        except msgspec.DecodeError as error:
            self._found.report(number, f"an order for {line.name} is not understood: {error}")
            return
        self._found.orders = with_orders(self._found.orders, (), (order,))

    def _service(self, line: Line) -> Service:
        try:
            return _services.decode(line.service)
        except msgspec.ValidationError as error:
            service = self._again(line)
            if service is None or service.name != line.name:
                raise _Wrong(f"service {line.name} has a form that is not known: {error}") from error
            return service

    def _again(self, line: Line) -> Service | None:
        """
        Written by another version: what the operator gave still says what is meant.
        """
        if self._read is None:
            return None
        try:
            whole = _parameters.decode(line.service)
            origin = msgspec.json.decode(whole["origin"], type=str)
            return self._read(_pairs.decode(whole["parameters"]), origin)
        except (KeyError, msgspec.DecodeError):
            return None


_KINDS: Iterable[str] = frozenset(("begin", "publish", "withdraw", "hold", "release", "order", "mark"))


def _parsed(raw: bytes) -> Line:
    """
    One line, its checksum compared.

    Raises:
        _Wrong: it is not as it was written.
        JournalError: it is of a later version.
    """
    body = raw[_BODY:]
    if raw[: len(_HEAD)] != _HEAD or raw[_AFTER:_BODY] != b'",':
        raise _Wrong("is no record")
    if _check(body) != raw[len(_HEAD) : _AFTER]:
        raise _Wrong("its checksum does not match")
    try:
        line = _lines.decode(b"{" + body)
    except msgspec.DecodeError as error:
        raise _Wrong(f"is not understood: {error}") from error
    if line.version > VERSION:
        raise JournalError(f"it is of format {line.version}, and this version reads {VERSION} and older ones")
    if line.kind not in _KINDS:
        raise _Wrong(f"{line.kind} is not known")
    return line
