"""
What a leader finds open when it starts: what the one before it in the same process left (an upgrade), or sockets that
systemd opened.

Descriptors come by number, so nothing is believed that is not seen: a list from another process is none of ours, and a
number counts only if it is what the list says, a socket that listens on that very address. What is not believed is left
alone and said; what nobody claims is closed once all is running.

Source: `execve(2)`, `memfd_create(2)`; sd_listen_fds(3).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from twisted.logger import Logger

log = Logger()

VARIABLE = "DFPROXY_HERITAGE"
"""
Names the descriptor of the list. Only we ourselves set it, for one `execve`.
"""

NAME = "dfproxy-heritage"
"""
Of the file in memory that holds the list.
"""

LIST_BYTES = 16 << 20
"""
Longest list that is read.
"""

FIRST_FD = 3
"""
systemd's first socket (SD_LISTEN_FDS_START).
"""

SOCKETS = 1000
"""
Most sockets that systemd may hand over.
"""

FRONT, API = "front", "api"
"""
What a socket is for; systemd's are for either.
"""


class Door(msgspec.Struct, frozen=True):
    """
    A socket that listens.

    Attributes:
        kind: `FRONT` or `API`; empty: either.
        address: as it was configured; empty: all of IPv4.
        port: as it was configured; 0: any.
        descriptor: its number.
    """

    kind: str
    address: str
    port: int
    descriptor: int


class Old(msgspec.Struct, frozen=True):
    """
    A worker of the leader before.

    Attributes:
        number: its name in logs.
        pid: of the process, a child of this one.
        channel: our end of its channel, that it goes on accepting for; -1: it is draining already.
        errors: where what it says can be read; -1: nowhere.
    """

    number: int
    pid: int
    channel: int = -1
    errors: int = -1


class Command(msgspec.Struct, frozen=True):
    """
    How this leader was started.

    Attributes:
        program: the file that is executed.
        before: its arguments up to the name of the subcommand, and including that; the first is its own name.
        behind: those of the subcommand.
        folder: where relative paths begin.
        pid_file: that we remove at the end; empty: none, or somebody else does.
        log_file: that twistd opens, as whoever we are then; empty: none.
        options: of the subcommand, that count more than those behind it.
    """

    program: str
    before: tuple[str, ...]
    behind: tuple[str, ...]
    folder: str
    pid_file: str = ""
    log_file: str = ""
    options: dict[str, str] = {}

    def words(self, *more: str) -> list[str]:
        """
        All arguments, and further ones of the subcommand. Of options given twice the last counts.
        """
        chosen = (word for name, value in self.options.items() for word in (f"--{name}", value))
        return [*self.before, *self.behind, *chosen, *more]

    def with_option(self, name: str, value: str) -> Command:
        """
        The same with this option of the subcommand.
        """
        return msgspec.structs.replace(self, options={**self.options, name: value})


class Left(msgspec.Struct, frozen=True):
    """
    All that one leader leaves to the next.

    Attributes:
        pid: of the process that both are.
        version: of the former one.
        command: how the next one was started, for the one after it.
        doors: listening sockets.
        lock: of the state folder; -1: none.
        workers: of the former one.
        programs: what deals connections out in turn, by the number of sockets (`dfproxy.workers.spread`).
    """

    pid: int
    version: str
    command: Command
    doors: tuple[Door, ...] = ()
    lock: int = -1
    workers: tuple[Old, ...] = ()
    programs: dict[int, int] = {}


@dataclass
class Heritage:
    """
    What may be claimed.

    Attributes:
        left: what the leader before has left; None: there was none.
        doors: sockets that nobody has claimed yet, with what they are.
    """

    left: Left | None = None
    doors: list[tuple[Door, socket.socket]] = field(default_factory=list)

    def claim(self, kind: str, address: str, port: int) -> list[socket.socket]:
        """
        The sockets that listen there; the caller's from now on.

        Args:
            port: as configured; 0: those that were opened for any.
        """
        address = _bare(address)
        claimed = [
            door
            for door in self.doors
            if door[0].kind in (kind, "") and (_bare(door[0].address), door[0].port) == (address, port)
        ]
        self.doors = [door for door in self.doors if door not in claimed]
        return [opened for _, opened in claimed]

    def programs(self) -> dict[int, int]:
        """
        Descriptors of what deals connections out, by the number of sockets; the caller's from now on.
        """
        found = {}
        for count, descriptor in (self.left.programs if self.left is not None else {}).items():
            with suppress(OSError):
                if os.readlink(f"/proc/self/fd/{descriptor}") == "anon_inode:bpf-prog":
                    os.set_inheritable(descriptor, False)
                    found[count] = descriptor
        return found

    def close(self) -> None:
        """
        Let go of what nobody wants.
        """
        doors, self.doors = self.doors, []
        for door, opened in doors:
            host, port = opened.getsockname()[:2]
            log.warn("nobody listens on {host}:{port} any more: closed", host=host, port=port, kind=door.kind)
            opened.close()


def write(left: Left) -> int:
    """
    Put the list where the next leader finds it.

    Returns:
        The descriptor whose number is to be told.
    """
    descriptor = os.memfd_create(NAME)
    content = msgspec.json.encode(left)
    while content:
        content = content[os.write(descriptor, content) :]
    return descriptor


def first_variables() -> dict[str, str]:
    """
    The variables that this process was executed with: Twisted takes away those that tell of systemd's sockets when it
    looks for plugins.
    """
    try:
        content = Path("/proc/self/environ").read_bytes()
    except OSError:
        return {}
    return dict(os.fsdecode(pair).partition("=")[::2] for pair in content.split(b"\0") if pair)


def receive(environment: MutableMapping[str, str], first: Mapping[str, str] | None = None) -> Heritage:
    """
    Find what is open, and take its description out of the variables.

    Args:
        environment: those of the process.
        first: as of `first_variables`; None: none but those.
    """
    found = Heritage()
    number = environment.pop(VARIABLE, "")
    if number:
        try:
            found.left = _read(int(number))
        except (OSError, ValueError) as error:
            log.warn("{name}={number} is not believed: {why}", name=VARIABLE, number=number, why=str(error))
        else:
            found.doors = list(_believed(found.left.doors))
    announced = {}
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        announced[name] = environment.pop(name, "") or (first or {}).get(name, "")
    if announced["LISTEN_PID"] == str(os.getpid()) and announced["LISTEN_FDS"].isdecimal():
        count = min(int(announced["LISTEN_FDS"]), SOCKETS)
        found.doors += _believed(_door(FIRST_FD + place) for place in range(count))
    return found


def _read(descriptor: int) -> Left:
    """
    Raises:
        OSError: there is no such descriptor.
        ValueError: it is not the list, or not from this process.
    """
    if not os.readlink(f"/proc/self/fd/{descriptor}").startswith(f"/memfd:{NAME}"):
        raise ValueError("it is no list of ours")
    content = os.pread(descriptor, LIST_BYTES + 1, 0)
    if len(content) > LIST_BYTES:
        raise ValueError("the list is too long")
    left = msgspec.json.decode(content, type=Left)
    if left.pid != os.getpid():
        raise ValueError(f"it is for process {left.pid}")
    os.close(descriptor)
    return left


def _door(descriptor: int) -> Door:
    """
    What systemd says nothing of is read off the socket.
    """
    try:
        host, port = _name(descriptor)
    except (OSError, ValueError):
        host, port = "", 0  # told by `_believed`
    return Door("", _bare(host), port, descriptor)


def _believed(doors: Iterable[Door]) -> Iterable[tuple[Door, socket.socket]]:
    """
    Those that are what they are said to be.
    """
    for door in doors:
        try:
            host, port = _name(door.descriptor)
            if host != (door.address or _ANY) or door.port not in (0, port):
                raise ValueError(f"it listens on {host}:{port}")
            opened = socket.socket(fileno=door.descriptor)
        except (OSError, ValueError) as error:
            log.warn(
                "descriptor {number} for {address}:{port} is not taken: {why}",
                number=door.descriptor,
                address=door.address or "*",
                port=door.port,
                why=str(error),
            )
            continue
        opened.setblocking(False)
        opened.set_inheritable(False)
        yield door, opened


def _bare(address: str) -> str:
    return "" if address == _ANY else address


def _name(descriptor: int) -> tuple[str, int]:
    """
    Where a descriptor listens.

    Raises:
        OSError: it is no socket, or not open.
        ValueError: it does not listen, or not for TCP.
    """
    with socket.socket(fileno=os.dup(descriptor)) as opened:
        if opened.family not in (socket.AF_INET, socket.AF_INET6) or opened.type != socket.SOCK_STREAM:
            raise ValueError("it is no TCP socket")
        if not opened.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise ValueError("it does not listen")
        if opened.family == socket.AF_INET6 and not opened.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
            raise ValueError("it takes IPv4 as IPv6: say ListenStream=0.0.0.0:PORT, or BindIPv6Only=ipv6-only")
        host, port = opened.getsockname()[:2]
        return host, port


_ANY = "0.0.0.0"  # noqa: S104  compared, not bound
