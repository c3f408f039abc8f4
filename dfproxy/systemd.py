"""
What systemd is told: that we serve, change, end, and are well. Without systemd nothing is said.

Each message is one datagram to the socket that the service manager names. It never blocks and never fails: what cannot
be said is said once in the log.

Source: sd_notify(3), sd_watchdog_enabled(3), systemd.service(5).
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

log = Logger()

STATUS_CHARS = 200
"""
Longest status line.
"""

BEATS = 3
"""
Signs of life within the time that the watchdog gives: one that comes late must not end us.
"""


class Notifier:
    """
    Speaks to the service manager.

    Args:
        environment: variables: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`.
        pid: of this process.
        clock: `IReactorTime`.
        monotonic: seconds of CLOCK_MONOTONIC, as systemd counts them.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        pid: int,
        clock: Any,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]
        self._pid = pid
        self._monotonic = monotonic
        self._failed = False
        self._is_well: Callable[[], bool] = lambda: True
        text, meant = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "") or str(pid)
        ours = text.isascii() and text.isdigit() and meant == str(pid)
        self.watchdog_s = int(text) / 1e6 if ours else 0.0
        self._beats = LoopingCall(self._beat)
        self._beats.clock = clock

    def watch(self, is_well: Callable[[], bool]) -> None:
        """
        Give signs of life from now on, as often as the watchdog wants them, as long as this is so.
        """
        self._is_well = is_well
        if self.watchdog_s > 0 and self._address:
            self._beats.start(self.watchdog_s / BEATS)

    def ready(self, status: str) -> None:
        """
        We serve; also after a reload.
        """
        self._say("READY=1", f"MAINPID={self._pid}", _status(status))

    def reloading(self, status: str) -> None:
        """
        Another version is about to take over; `ready` follows, whatever comes of it.
        """
        self._say("RELOADING=1", f"MONOTONIC_USEC={int(self._monotonic() * 1e6)}", _status(status))

    def stopping(self, status: str) -> None:
        """
        We end.
        """
        self._say("STOPPING=1", _status(status))

    def stop(self) -> None:
        """
        No more signs of life.
        """
        if self._beats.running:
            self._beats.stop()

    def _beat(self) -> None:
        if self._is_well():
            self._say("WATCHDOG=1")

    def _say(self, *lines: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as sock:
                sock.sendto(os.fsencode("\n".join(lines)), self._address)
        except OSError as error:
            if not self._failed:
                log.warn("systemd is not told {what}: {why}", what=lines[0], why=str(error))
            self._failed = True
        else:
            self._failed = False


def _status(text: str) -> str:
    return "STATUS=" + " ".join(text.split())[:STATUS_CHARS]
