"""
`source`, `uri` and `hdr(name)`: the same client, address or value goes to the same server.

Consistent: servers are points on a ring, a key belongs to the next point. A server that comes or goes moves only
its own share of the keys. Ring and keys are hashed in a way that is the same in every process and on every machine
(never Python's `hash`, which each process salts), so all workers and all replicas agree.

A request without a key (no such header, no address) goes by round robin.

Source: HAProxy `balance source | uri | hdr(<name>)` with `hash-type consistent`.
"""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_right
from collections import Counter
from hashlib import blake2b
from random import Random
from struct import Struct
from zlib import crc32

from twisted.internet.interfaces import IReactorTime

from dfproxy.balancing.base import Balancer
from dfproxy.balancing.roundrobin import RoundRobin
from dfproxy.errors import InvalidBalance
from dfproxy.interfaces import IRequest, IServer

POINTS = 128
"""
Points of the heaviest server, or up to half of that (see `Ring.update`). Shares then differ by some 9 % (one
standard deviation). HAProxy has 16 for weight 1, and libketama 160.
"""

POINT_BITS = 60
"""
Size of a point: no two meet by chance, and Python compares it as fast as one of 32 bits.
"""

DIGEST = Struct(">8Q")
"""
A digest of 64 bytes is eight points.
"""

SPREAD = 0x9E3779B97F4A7C15
"""
2**64 divided by the golden ratio (Fibonacci hashing): CRC-32 gives similar keys similar patterns of bits; the product
spreads them over the ring.
"""


def points_of(name: bytes, count: int) -> list[int]:
    """
    The first points of a server. More of them are always these and further ones.

    Args:
        name: what makes it itself, the same on each machine.
        count: how many.
    """
    points: list[int] = []
    block = 0
    while len(points) < count:
        digest = blake2b(b"%s#%d" % (name, block)).digest()
        points.extend(point >> 64 - POINT_BITS for point in DIGEST.unpack(digest))
        block += 1
    return points[:count]


class Ring:
    """
    Which server a key belongs to.
    """

    __slots__ = ("_owners", "_placed", "_points")

    def __init__(self) -> None:
        self._points: list[int] = []
        self._owners: dict[int, IServer] = {}
        self._placed: dict[IServer, tuple[bytes, int]] = {}

    def update(self, servers: tuple[IServer, ...]) -> None:
        """
        Put points for new servers, take those of former ones away, leave the rest alone.

        Points follow weight relative to the highest, rounded up to a power of two: so the others keep theirs when
        one comes, goes or changes; only when the highest weight passes a power of two do all get more or fewer.
        """
        unit = 1 << (max((server.weight for server in servers), default=1) - 1).bit_length()
        wanted: dict[IServer, tuple[bytes, int]] = {}
        seen: Counter[str] = Counter()
        for server in servers:
            name = f"{server.host}:{server.port}"
            seen[name] += 1
            if seen[name] > 1:
                name += f"#{seen[name]}"  # given twice by hand: each has points of its own
            wanted[server] = name.encode(), max(1, round(POINTS * server.weight / unit))
        owners = self._owners
        before = self._placed
        gone = {server for server, placed in before.items() if wanted.get(server) != placed}
        if gone:
            self._points = [point for point in self._points if owners[point] not in gone]
            owners = {point: owner for point, owner in owners.items() if owner not in gone}
        points = self._points
        for server, placed in wanted.items():
            if before.get(server) != placed:
                for point in points_of(*placed):
                    if point not in owners:
                        owners[point] = server
                        points.append(point)
        points.sort()
        self._owners = owners
        self._placed = wanted

    def owner(self, key: bytes) -> IServer | None:
        """
        Args:
            key: not empty.

        Returns:
            None only without servers.
        """
        points = self._points
        if not points:
            return None
        place = bisect_right(points, (crc32(key) * SPREAD & 0xFFFFFFFFFFFFFFFF) >> 64 - POINT_BITS)
        return self._owners[points[place] if place < len(points) else points[0]]


class Hashing(Balancer):
    """
    Picks by a key of the request.
    """

    __slots__ = ("_ring", "_turns")

    def __init__(
        self,
        arguments: tuple[str, ...] = (),
        clock: IReactorTime | None = None,
        random: Random | None = None,
    ) -> None:
        super().__init__(arguments, clock, random)
        self._ring = Ring()
        self._turns = RoundRobin((), clock, random)

    @abstractmethod
    def key(self, request: IRequest) -> bytes:
        """
        What decides; empty: nothing does.
        """

    def update(self, servers: tuple[IServer, ...]) -> None:
        """
        Both ways of picking know all servers.
        """
        super().update(servers)
        self._ring.update(servers)
        self._turns.update(servers)

    def pick(self, request: IRequest) -> IServer | None:
        """
        The owner of the request's key.
        """
        key = self.key(request)
        return self._ring.owner(key) if key else self._turns.pick(request)

    def peek(self, request: IRequest) -> IServer | None:
        """
        What `pick` would answer now (`dfproxy.balancing.preview`).
        """
        key = self.key(request)
        return self._ring.owner(key) if key else self._turns.peek(request)


class Source(Hashing):
    """
    By the client's address.
    """

    __slots__ = ()

    def key(self, request: IRequest) -> bytes:
        """
        The address as text.
        """
        host: str = request.client_host
        return host.encode()


class Header(Hashing):
    """
    By the first value of a field.

    Args:
        arguments: the name of the field: `hdr(X-User)`.
    """

    __slots__ = ("_name",)

    def __init__(
        self,
        arguments: tuple[str, ...] = (),
        clock: IReactorTime | None = None,
        random: Random | None = None,
    ) -> None:
        super().__init__((), clock, random)
        if len(arguments) != 1 or not arguments[0].isascii():
            raise InvalidBalance(f"takes the name of one header, such as hdr(X-User), but got {' '.join(arguments)!r}")
        self._name = arguments[0].lower().encode()

    def key(self, request: IRequest) -> bytes:
        """
        The whole value, as it came.
        """
        values = request.values(self._name)
        return values[0] if values else b""


class Uri(Hashing):
    """
    By the path, or by a part of it; good for servers that cache.

    Args:
        arguments: any of `whole` (the query counts, too), `depth N` (only the first N directories), `len N` (only
            the first N bytes).
    """

    __slots__ = ("_cut", "_depth", "_length", "_whole")

    def __init__(
        self,
        arguments: tuple[str, ...] = (),
        clock: IReactorTime | None = None,
        random: Random | None = None,
    ) -> None:
        super().__init__((), clock, random)
        self._whole = False
        numbers = {"depth": 0, "len": 0}
        words = iter(arguments)
        for word in words:
            if word == "whole":
                self._whole = True
            elif word in numbers:
                number = next(words, "")
                if not (number.isascii() and number.isdecimal() and int(number) > 0):
                    raise InvalidBalance(f"{word} takes a number above 0, such as uri {word} 3, but got {number!r}")
                numbers[word] = int(number)
            elif word != "path-only":  # HAProxy's word for what is always so here
                raise InvalidBalance(f"takes whole, depth N and len N, but got {word!r}")
        self._depth = numbers["depth"]
        self._length = numbers["len"]
        self._cut = self._whole or bool(self._depth) or bool(self._length)

    def key(self, request: IRequest) -> bytes:
        """
        The path, cut as the arguments say.
        """
        path: bytes = request.path
        return self._part(request, path) if self._cut else path

    def _part(self, request: IRequest, path: bytes) -> bytes:
        if self._whole:
            query = request.target.find(b"?")
            if query >= 0:
                path += request.target[query:]
        if self._length:
            path = path[: self._length]
        if self._depth:
            # The slash that opens one directory too many ends it: `/a/b/c` to depth 1 is `/a`.
            end = -1
            for _ in range(self._depth + 1):
                end = path.find(b"/", end + 1)
                if end < 0:
                    return path
            path = path[:end]
        return path
