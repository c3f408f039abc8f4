"""
HAProxy's `log-format` for access lines: which of its variables are known, and what each says.

A format is compiled once, at start: whatever it names that is not known here is refused by name, so that no line ever
lacks a field that somebody relies on.

Source: HAProxy manual 8.2.4 (custom log format), 2.2 (quoting and escaping); DFP `DEBUG_HTTP_FORMAT`,
`DEBUG_TCP_FORMAT`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dfproxy.model.connection import VERSIONS, Arrival
from dfproxy.model.ending import Ending

FRONTEND = "services"
"""
What all lines call the frontend; with TLS a `~` follows.
"""

LONGEST_FIELD = 1024
"""
Longest value of one variable, in bytes.
"""

_NAME = re.compile(r"[A-Za-z]+")
_CAPTURE = re.compile(r"capture\.req\.hdr\(([0-9]{1,2})\)\Z")
_FLAGS = {"+Q": ("quoted", True), "-Q": ("quoted", False)}


class UnknownFormat(ValueError):
    """
    A format that is not understood; the text names what.
    """


@dataclass(slots=True)  # one for each line: frozen ones take twice as long to make
class Line:
    """
    What a line is made from.

    Attributes:
        exchange: `dfproxy.observe.accesslog.Finished`.
        ending: how it ended.
        now: when, in seconds of the monotonic clock.
        wall: when, in seconds since 1970: the end in JSON lines, else the beginning.
        date: the same written down, HAProxy's way.
        captured: values of captured header fields; empty where the request had none.
        surroundings: name of this machine, number of this process.
        arrival: how the request came; None: as a whole, as far as is known.
        number: how many lines this process has made before.
    """

    exchange: Any
    ending: Ending
    now: float
    wall: float
    date: str
    captured: tuple[str, ...] = ()
    surroundings: tuple[str, int] = ("", 0)
    arrival: Arrival | None = None
    number: int = 0


Field = Callable[[Line], str]


def plain_text(value: bytes, most: int = LONGEST_FIELD) -> str:
    """
    Bytes of a head inside double quotes: visible ASCII stays, the rest is escaped as JSON does.

    Args:
        most: of them.
    """
    text = value[:most].decode("latin-1")
    if '"' not in text and "\\" not in text and text.isascii() and text.isprintable():
        return text
    parts, size = [], 0
    for c in text:
        part = f"\\{c}" if c in '"\\' else c if " " <= c <= "~" else f"\\u{ord(c):04x}"
        size += len(part)
        if size > most:
            break
        parts.append(part)
    return "".join(parts)


# --- what lines say ----------------------------------------------------------------------------------------------


def request_line(line: Line) -> str:
    """
    Method, target and version, or `<BADREQ>`.
    """
    request = line.exchange.request
    if not request.method:
        return "<BADREQ>"
    return f"{plain_text(request.method, 32)} {plain_text(request.target)} {_version(line)}"


def _version(line: Line) -> str:
    return VERSIONS[getattr(line.exchange.request, "version", 1)]


def frontend_name(line: Line) -> str:
    """
    `services`, or `services~` of a client with TLS.
    """
    return FRONTEND + ("~" if getattr(line.exchange.request, "tls", None) is not None else "")


def server_name(line: Line) -> str:
    """
    The server, or `<NOSRV>`.
    """
    name: str = line.exchange.server_name
    return "<NOSRV>" if name == "-" else name


def times_ms(line: Line) -> tuple[int, int, int, int, int]:
    """
    Milliseconds of each part of it, as `TR/Tw/Tc/Tr/Ta` of HAProxy (manual 8.4).

    Returns:
        From its first byte to the end of its head, -1: there was no head that could be read. Waiting for a place at a
        server, -1: it was never to go to one. Until its connection to the server was there, 0 with one that was there
        before, -1: there was none. Until the head of the server's answer, -1: there was none. From its first byte to
        the end.
    """
    exchange = line.exchange
    started, answered = exchange.started, exchange.answered
    first = started if line.arrival is None else line.arrival.first
    reading = round((started - first) * 1e3) if exchange.request.method else -1
    queued = connecting = answering = -1
    if exchange.attempts or answered:  # a server was picked for it, or it was answered here as if by one
        queued = int(getattr(exchange, "queue_s", 0.0) * 1e3)
        if line.ending.flags[1] not in "CQ":
            connecting = int(getattr(exchange, "connect_s", 0.0) * 1e3)
    elif (queue_s := getattr(exchange, "queue_s", None)) is not None:
        queued = int(queue_s * 1e3)
    if answered:
        answering = max(int((answered - started) * 1e3) - max(queued, 0) - max(connecting, 0), 0)
    return reading, queued, connecting, answering, round((line.now - first) * 1e3)


def until_answer_ms(line: Line) -> int:
    """
    Milliseconds from the request's head to the answer's; -1: there was none.
    """
    exchange = line.exchange
    return int((exchange.answered - exchange.started) * 1e3) if exchange.answered else -1


def handshake_ms(line: Line) -> int:
    """
    Milliseconds of the TLS handshake before it.
    """
    return 0 if line.arrival is None else round(line.arrival.handshake_s * 1e3)


def idle_ms(line: Line) -> int:
    """
    Milliseconds for which the connection had waited for its first byte.
    """
    return 0 if line.arrival is None else round(line.arrival.idle_s * 1e3)


def requesting_ms(line: Line) -> int:
    """
    Milliseconds from the connection, or the answer before, to the end of its head; -1: there was none.
    """
    reading = times_ms(line)[0]
    return reading if reading < 0 else handshake_ms(line) + idle_ms(line) + reading


def total_ms(line: Line) -> int:
    """
    Milliseconds from the request's head to the end.
    """
    return int((line.now - line.exchange.started) * 1e3)


def connections(line: Line) -> tuple[int, int, int]:
    """
    Client connections of this process, exchanges under way at the backend, and at the server.
    """
    exchange = line.exchange
    traffic, backend = getattr(exchange, "traffic", None), getattr(exchange, "backend", None)
    clients = traffic.frontend.in_flight if traffic is not None else 0
    if backend is None:
        return clients, 0, 0
    server = getattr(exchange, "server", None)
    there = sum([each.in_flight for each in backend.servers])
    return clients, there, server.in_flight if server is not None else 0


def captured(line: Line) -> str:
    """
    Captured request fields in braces, or nothing if none is configured.
    """
    return "{" + "|".join(line.captured) + "}" if line.captured else ""


def _server(attribute: str) -> Field:
    def value(line: Line) -> str:
        server = getattr(line.exchange, "server", None)
        return "-" if server is None else str(getattr(server, attribute))

    return value


def _tls(attribute: str, otherwise: str) -> Field:
    def value(line: Line) -> str:
        facts = getattr(line.exchange.request, "tls", None)
        return (facts is not None and getattr(facts, attribute)) or otherwise

    return value


def _query(line: Line) -> str:
    _, mark, query = line.exchange.request.target.partition(b"?")
    return plain_text(mark + query)


def _time(form: str, is_local: bool) -> Field:
    clock = time.localtime if is_local else time.gmtime
    return lambda line: time.strftime(form, clock(int(line.wall)))


def _always(text: str) -> Field:
    return lambda line: text


COMMON: dict[str, Field] = {
    "B": lambda line: str(line.exchange.bytes_out),
    "H": lambda line: line.surroundings[0],
    "ID": _always("-"),
    "T": _time("%d/%b/%Y:%H:%M:%S +0000", False),
    "Tc": lambda line: str(times_ms(line)[2]),
    "Td": lambda line: str(max(total_ms(line) - max(until_answer_ms(line), 0), 0)),
    "Th": lambda line: str(handshake_ms(line)),
    "Tl": _time("%d/%b/%Y:%H:%M:%S %z", True),
    "Ts": lambda line: str(int(line.wall)),
    "Tt": lambda line: str(handshake_ms(line) + idle_ms(line) + times_ms(line)[4]),
    "Tw": lambda line: str(times_ms(line)[1]),
    "U": lambda line: str(line.exchange.bytes_in),
    "ac": lambda line: str(connections(line)[0]),
    "b": lambda line: line.exchange.backend_name,
    "bc": lambda line: str(connections(line)[1]),
    "bq": _always("0"),
    "ci": lambda line: line.exchange.request.client_host,
    "cp": lambda line: str(getattr(line.exchange.request, "client_port", 0)),
    "f": lambda line: FRONTEND,
    "fc": lambda line: str(connections(line)[0]),
    "fp": lambda line: str(getattr(line.exchange.request, "local_port", 0)),
    "ft": frontend_name,
    "lc": lambda line: str(line.number),
    "ms": lambda line: f"{int(line.wall % 1 * 1000):03d}",
    "pid": lambda line: str(line.surroundings[1]),
    "rc": lambda line: str(max(line.exchange.attempts - 1, 0)),
    "rt": lambda line: str(line.number),
    "s": server_name,
    "sc": lambda line: str(connections(line)[2]),
    "si": _server("host"),
    "sp": _server("port"),
    "sq": _always("0"),
    "t": lambda line: line.date,
    "ts": lambda line: line.ending.flags,
}
"""
Variables of every line.
"""

TCP: dict[str, Field] = {**COMMON, "Tc": lambda line: str(until_answer_ms(line))}
"""
Variables of lines about TCP connections.
"""

HTTP: dict[str, Field] = {
    **COMMON,
    "CC": _always("-"),
    "CS": _always("-"),
    "HM": lambda line: plain_text(line.exchange.request.method, 32),
    "HP": lambda line: plain_text(line.exchange.request.target.partition(b"?")[0]),
    "HQ": _query,
    "HU": lambda line: plain_text(line.exchange.request.target),
    "HV": _version,
    "ST": lambda line: str(line.exchange.status or -1),  # -1: the client was told nothing
    "TR": lambda line: str(times_ms(line)[0]),
    "Ta": lambda line: str(times_ms(line)[4]),
    "Ti": lambda line: str(idle_ms(line)),
    "Tq": lambda line: str(requesting_ms(line)),
    "Tr": lambda line: str(times_ms(line)[3]),
    "hr": captured,
    "hrl": lambda line: " ".join(line.captured),
    "hs": _always(""),
    "hsl": _always(""),
    "r": request_line,
    "sslc": _tls("cipher", "-"),
    "sslv": _tls("version", "-"),
    "tr": lambda line: line.date,
    "tsc": lambda line: f"{line.ending.flags}--",
}
"""
Variables of lines about requests.
"""

TEXTS = frozenset("CC CS H HM HP HQ HU HV ID b ci f ft hr hrl r s si sslc sslv".split())
"""
Variables that `%{+Q}` puts in quotes, as it does with expressions; numbers, dates and flags stay as they are.
"""

EXPRESSIONS: dict[str, Field] = {
    "src": COMMON["ci"],
    "src_port": COMMON["cp"],
    "dst_port": COMMON["fp"],
    "method": lambda line: plain_text(line.exchange.request.method, 32),
    "path": lambda line: plain_text(line.exchange.request.target.partition(b"?")[0]),
    "req.hdr(host)": lambda line: plain_text(line.exchange.request.host),
    "ssl_fc": lambda line: "1" if getattr(line.exchange.request, "tls", None) is not None else "0",
    "ssl_fc_sni": _tls("server_name", "-"),
}
"""
Expressions in `%[...]` that are known beside `capture.req.hdr(N)`.
"""


# --- formats -----------------------------------------------------------------------------------------------------


def compile_format(text: str, known: Mapping[str, Field]) -> Field:
    """
    A log format as a function.

    Args:
        text: as in a line of HAProxy's configuration: `\\ ` and quotes are read as there.
        known: variables by name, `HTTP` or `TCP`.

    Raises:
        UnknownFormat: it names what is not known, or is not well formed.
    """
    pieces: list[Field] = []
    literal = ""
    every = {"quoted": False}
    place, text = 0, _unescaped(text)
    while place < len(text):
        if text[place] != "%":
            literal += text[place]
            place += 1
            continue
        if text.startswith("%%", place):
            literal += "%"
            place += 2
            continue
        flags, place = _flags(text, place + 1)
        if text.startswith("[", place):
            field, place = _expression(text, place, known)
        else:
            match = _NAME.match(text, place)
            name = match[0] if match else text[place : place + 1]
            place += len(name)
            if name == "o":
                every.update(flags)
                continue
            if name not in known:
                names = " ".join(f"%{each}" for each in sorted(known))
                raise UnknownFormat(f"%{name} is not known; known are {names}")
            field = known[name]
            if name not in TEXTS:
                flags = {"quoted": False}
        if literal:
            pieces.append(_always(literal))
            literal = ""
        pieces.append(_quoted(field) if {**every, **flags}["quoted"] else field)
    if literal:
        pieces.append(_always(literal))
    fixed = tuple(pieces)
    return lambda line: "".join([piece(line) for piece in fixed])


def _flags(text: str, place: int) -> tuple[dict[str, bool], int]:
    if not text.startswith("{", place):
        return {}, place
    end = text.find("}", place)
    if end < 0:
        raise UnknownFormat("%{ is never closed")
    found = {}
    for flag in text[place + 1 : end].split(","):
        if flag.strip() not in _FLAGS:
            raise UnknownFormat(f"%{{{flag}}} is not known; known are +Q and -Q")
        name, value = _FLAGS[flag.strip()]
        found[name] = value
    return found, end + 1


def _expression(text: str, place: int, known: Mapping[str, Field]) -> tuple[Field, int]:
    end = text.find("]", place)
    if end < 0:
        raise UnknownFormat("%[ is never closed")
    said = text[place + 1 : end].strip()
    field = EXPRESSIONS.get(said.lower())
    number = _CAPTURE.match(said)
    if number is not None:
        at = int(number[1])
        field = lambda line: line.captured[at] if at < len(line.captured) else "-"  # noqa: E731  as those above
    if field is None or (known is TCP and said not in ("src", "src_port", "dst_port")):
        names = ", ".join(sorted([*EXPRESSIONS, "capture.req.hdr(N)"]))
        raise UnknownFormat(f"%[{said}] is not known; known are {names}")
    return field, end + 1


def _quoted(field: Field) -> Field:
    """
    In quotes; what is nothing is empty there.
    """
    return lambda line: f'"{"" if (text := field(line)) == "-" else text}"'


def _unescaped(text: str) -> str:
    """
    What HAProxy makes of a word of its configuration; blanks need not be escaped here.

    Raises:
        UnknownFormat: a quote is never closed.
    """
    made, quote, place = [], "", 0
    while place < len(text):
        c = text[place]
        place += 1
        if c == "\\" and quote != "'" and place < len(text):
            c = text[place]
            place += 1
            made.append({"n": " ", "r": " ", "t": "\t"}.get(c, c))
        elif c == quote:
            quote = ""
        elif c in "\"'" and not quote:
            quote = c
        else:
            made.append(c)
    if quote:
        raise UnknownFormat(f"a quote {quote} is never closed")
    return "".join(made)
