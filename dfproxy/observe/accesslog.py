"""
One line for each exchange that is over: as JSON, or as HAProxy's `option httplog` writes it.

Lines are made at once, kept for at most a tenth of a second, and written together. A reader who does not keep up loses
lines, never holds up traffic; what was lost is counted.

Source: HAProxy configuration manual 8.2.3; DFP `DEBUG`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from dfproxy.interfaces import IRequest
from dfproxy.model.connection import Arrival
from dfproxy.model.ending import Ending
from dfproxy.model.settings import AccessLines
from dfproxy.observe.logformat import (
    HTTP,
    TCP,
    Line,
    captured,
    compile_format,
    connections,
    frontend_name,
    plain_text,
    request_line,
    server_name,
    times_ms,
)

BLOCK_BYTES = 4096
"""
Longest write: pipes take this much in one piece (pipe(7) PIPE_BUF), so lines of several workers do not mix.
"""

TCPLOG = "%ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %B %ts %ac/%fc/%bc/%sc/%rc %sq/%bq"
"""
Lines about connections unless said otherwise (HAProxy `option tcplog`).
"""

FORMATS = ("json", "httplog")


class Finished(Protocol):
    """
    What a line is made from: an exchange that is over.

    Attributes:
        status: what the client was told; 0 if nothing.
        bytes_in: bytes of the request's body.
        bytes_out: bytes of the answer, as far as known.
        started: when the request's head was complete, in seconds of the monotonic clock.
        answered: when the answer's head came; 0.0 if never.
        attempts: connections and sends that were tried.
    """

    status: int
    bytes_in: int
    bytes_out: int
    started: float
    answered: float
    attempts: int

    @property
    def request(self) -> IRequest:
        """
        Its head.
        """

    @property
    def backend_name(self) -> str:
        """
        Which backend.
        """

    @property
    def server_name(self) -> str:
        """
        Which server, or `-`.
        """


class AccessLog:
    """
    Collects lines and writes them in blocks.

    Args:
        look: how lines look, and which are written.
        write: takes a block of whole lines; false if it could not just now.
        wall_clock: seconds since 1970.
        stamp: writes such a time down, in seconds' precision: `Callable[[int, str], str]` of time and style.
        surroundings: name of this machine, number of this process.

    Attributes:
        tells_arrival: lines tell how requests came: clients' sides of exchanges should know it as their `arrival`
            (`dfproxy.model.connection.Arrival`).
        lost: lines that nobody took.
    """

    def __init__(
        self,
        look: AccessLines,
        write: Callable[[bytes], bool],
        wall_clock: Callable[[], float],
        stamp: Callable[[int, str], str],
        surroundings: tuple[str, int] = ("", 0),
    ) -> None:
        self._write = write
        self._wall_clock = wall_clock
        self._stamp = stamp
        self._style = look.form
        self.tells_arrival = look.form != "json"
        self._prefix = look.prefix
        self._errors_only = look.errors_only
        self._surroundings = surroundings
        self._line: Callable[[Line], str] = _json_line if look.form == "json" else _httplog_line
        self._connection_line: Callable[[Line], str] = self._line
        if look.form != "json":
            if look.http:
                self._line = compile_format(look.http, HTTP)
            self._connection_line = compile_format(look.tcp or TCPLOG, TCP)
        self._lines: list[bytes] = []
        self._second = -1
        self._date = ""
        self._made = 0
        self.lost = 0

    def add(self, exchange: Finished, ending: Ending, now: float) -> None:
        """
        Take note of an exchange.

        Args:
            now: seconds of the monotonic clock that `started` is of.
        """
        if self._errors_only and is_normal(exchange, ending):
            return
        wall = self._wall_clock()
        arrival = None
        if self.tells_arrival:
            arrival = getattr(getattr(exchange, "downstream", None), "arrival", None) or Arrival(exchange.started)
            wall -= now - arrival.first  # HAProxy's lines have the time when the request began
        second = int(wall)
        if second != self._second:
            self._second = second
            self._date = self._stamp(second, self._style)
        date = self._date % int(wall % 1 * 1000)
        fields = getattr(exchange.request, "captured", None)
        shown = tuple([plain_text(value, 2 * len(value)) for value in fields]) if fields else ()
        # Whole connections are told in their own words.
        make = self._connection_line if getattr(exchange, "is_tunnel", False) else self._line
        line = make(Line(exchange, ending, now, wall, date, shown, self._surroundings, arrival, self._made))
        self._made += 1
        self._lines.append(f"{self._prefix}{line}".encode()[: BLOCK_BYTES - 1] + b"\n")

    def flush(self) -> None:
        """
        Write what has been collected.
        """
        lines, self._lines = self._lines, []
        start = 0
        while start < len(lines):
            end, size = start + 1, len(lines[start])
            while end < len(lines) and size + len(lines[end]) <= BLOCK_BYTES:
                size += len(lines[end])
                end += 1
            if not self._write(b"".join(lines[start:end])):
                self.lost += len(lines) - start
                return
            start = end


def is_normal(exchange: Finished, ending: Ending) -> bool:
    """
    Nothing went wrong: no error, no time-out, no retry, no answer from 500 on.

    Source: HAProxy `option dontlog-normal`.
    """
    return ending.flags[0] in "-L" and exchange.attempts <= 1 and exchange.status < 500


METHOD, HOST, TARGET = 32, 512, 1024
"""
Longest of each in a line, in bytes: together with the rest they fit into a block. HAProxy cuts lines at 1024.
"""


def _json_line(line: Line) -> str:
    exchange, ending, request = line.exchange, line.ending, line.exchange.request
    latency = f"{(exchange.answered - exchange.started) * 1e3:.3f}" if exchange.answered else "null"
    shown = ',"captured":[' + ",".join(f'"{value}"' for value in line.captured) + "]" if line.captured else ""
    return (
        f'{{"time":"{line.date}","client":"{request.client_host}","method":"{plain_text(request.method, METHOD)}",'
        f'"host":"{plain_text(request.host, HOST)}","target":"{plain_text(request.target, TARGET)}",'
        f'"status":{exchange.status},'
        f'"backend":"{exchange.backend_name}","server":"{exchange.server_name}","ending":"{ending.word}",'
        f'"attempts":{exchange.attempts},"bytes_in":{exchange.bytes_in},"bytes_out":{exchange.bytes_out},'
        f'"latency_ms":{latency},"total_ms":{(line.now - exchange.started) * 1e3:.3f}{shown}}}'
    )


def _httplog_line(line: Line) -> str:
    exchange, request = line.exchange, line.exchange.request
    clients, there, at_server = connections(line)
    reading, queued, connecting, answering, active = times_ms(line)
    fields = f"{captured(line)} " if line.captured else ""
    return (
        f"{request.client_host}:{getattr(request, 'client_port', 0)} [{line.date}] {frontend_name(line)} "
        f"{exchange.backend_name}/{server_name(line)} "
        f"{reading}/{queued}/{connecting}/{answering}/{active} "
        f"{exchange.status or -1} {exchange.bytes_out} - - {line.ending.flags}-- "
        f"{clients}/{clients}/{there}/{at_server}/{max(exchange.attempts - 1, 0)} 0/0 "
        f'{fields}"{request_line(line)}"'
    )
