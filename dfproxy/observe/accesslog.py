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
from dfproxy.model.ending import Ending

BLOCK_BYTES = 4096
"""
Longest write: pipes take this much in one piece (pipe(7) PIPE_BUF), so lines of several workers do not mix.
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
        style: one of `FORMATS`.
        write: takes a block of whole lines; false if it could not just now.
        wall_clock: seconds since 1970.
        stamp: writes such a time down, in seconds' precision: `Callable[[int, str], str]` of time and style.

    Attributes:
        lost: lines that nobody took.
    """

    def __init__(
        self,
        style: str,
        write: Callable[[bytes], bool],
        wall_clock: Callable[[], float],
        stamp: Callable[[int, str], str],
    ) -> None:
        self._write = write
        self._wall_clock = wall_clock
        self._stamp = stamp
        self._style = style
        self._line = _json_line if style == "json" else _httplog_line
        self._lines: list[bytes] = []
        self._second = -1
        self._date = ""
        self.lost = 0

    def add(self, exchange: Finished, ending: Ending, now: float) -> None:
        """
        Take note of an exchange.

        Args:
            now: seconds of the monotonic clock that `started` is of.
        """
        wall = self._wall_clock()
        second = int(wall)
        if second != self._second:
            self._second = second
            self._date = self._stamp(second, self._style)
        date = self._date % int(wall % 1 * 1000)
        self._lines.append(self._line(exchange, ending, now, date))

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


METHOD, HOST, TARGET = 32, 512, 1024
"""
Longest of each in a line, in bytes: together with the rest they fit into a block. HAProxy cuts lines at 1024.
"""


def _text(value: bytes, most: int) -> str:
    """
    Bytes of a head inside double quotes: visible ASCII stays, the rest is escaped as JSON does.
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


def _json_line(exchange: Finished, ending: Ending, now: float, date: str) -> bytes:
    request = exchange.request
    latency = f"{(exchange.answered - exchange.started) * 1e3:.3f}" if exchange.answered else "null"
    return (
        f'{{"time":"{date}","client":"{request.client_host}","method":"{_text(request.method, METHOD)}",'
        f'"host":"{_text(request.host, HOST)}","target":"{_text(request.target, TARGET)}","status":{exchange.status},'
        f'"backend":"{exchange.backend_name}","server":"{exchange.server_name}","ending":"{ending.word}",'
        f'"attempts":{exchange.attempts},"bytes_in":{exchange.bytes_in},"bytes_out":{exchange.bytes_out},'
        f'"latency_ms":{latency},"total_ms":{(now - exchange.started) * 1e3:.3f}}}\n'
    ).encode()


def _httplog_line(exchange: Finished, ending: Ending, now: float, date: str) -> bytes:
    request = exchange.request
    answered = int((exchange.answered - exchange.started) * 1e3) if exchange.answered else -1
    total = int((now - exchange.started) * 1e3)
    server = exchange.server_name if exchange.server_name != "-" else "<NOSRV>"
    line = f"{_text(request.method, METHOD)} {_text(request.target, TARGET)} HTTP/1.1" if request.method else "<BADREQ>"
    return (
        f"{request.client_host}:{getattr(request, 'client_port', 0)} [{date}] services "
        f"{exchange.backend_name}/{server} 0/0/0/{answered}/{total} {exchange.status} {exchange.bytes_out} - - "
        f'{ending.flags}-- 0/0/0/0/{max(exchange.attempts - 1, 0)} 0/0 "{line}"\n'
    ).encode()
