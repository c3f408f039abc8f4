"""
Where access lines go: a file that is appended to, or standard output; never waited for.
"""

from __future__ import annotations

import os
import select
import time


class LogFile:
    """
    An open log.

    Args:
        path: a file, made if there is none; `-`: standard output.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = 1 if path == "-" else os.open(path, flags, 0o640)
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLOUT)

    def write(self, block: bytes) -> bool:
        """
        Write whole lines, at most PIPE_BUF bytes together, if that can be done without waiting.

        Returns:
            Whether they were written.
        """
        try:
            ready = self._poll.poll(0)
            return bool(ready) and os.write(self._descriptor, block) == len(block)
        except OSError:
            return False


def stamp(second: int, style: str) -> str:
    """
    A time written down, with `%03d` where the milliseconds go.

    Args:
        second: since 1970.
        style: `json` (RFC 3339, UTC) or `httplog` (HAProxy's, local time).
    """
    if style == "json":
        return time.strftime("%Y-%m-%dT%H:%M:%S.%%03dZ", time.gmtime(second))
    return time.strftime("%d/%b/%Y:%H:%M:%S.%%03d", time.localtime(second))
