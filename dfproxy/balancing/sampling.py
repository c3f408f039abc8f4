"""
`random` and `ewma`: draw two servers by chance, take the better one.

Two choices are nearly as even as looking at all, and many workers or proxies that do not know of each other
don't all run to the same best server (Mitzenmacher, "The power of two choices in randomized load balancing").

- `random` compares exchanges under way for the weight.
- `ewma` compares expected waiting: recent latency times exchanges under way, for the weight. A worse latency counts
  at once, a better one little by little.

Source: HAProxy `balance random`; Finagle's `PeakEwma`.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from math import exp
from random import Random

from twisted.internet.interfaces import IReactorTime

from dfproxy.balancing.base import Balancer
from dfproxy.errors import InvalidBalance
from dfproxy.interfaces import IRequest, IServer

DRAWS_LIMIT = 16
"""
Most draws that `random(N)` takes; each costs time at each request, and two do nearly all of the good.
"""

DECAY_S = 10.0
"""
Time in which a remembered latency loses its weight to 1/e, in seconds. Finagle's and Linkerd's default.
"""

FIRST_LATENCY_S = 0.03
"""
What is assumed of servers as long as none has been measured, in seconds. Linkerd's default.
"""

FAILED_LATENCY_S = 1.0
"""
What a fault of the server counts as, in seconds: a server that refuses at once must not look fast.
"""

EPOCH_S = 50 * DECAY_S
"""
How long levels may grow before they are set back, in seconds; e**50 is far from the end of a float.
"""

LEAST_LEVEL = 1e-12
"""
Levels never decay to nothing, or load would not count any more. Seconds on the scale of the epoch's begin.
"""


class Draws(Balancer):
    """
    Drawing servers by weight.
    """

    __slots__ = ("_bounds", "_chance", "_count", "_total")

    def __init__(
        self,
        arguments: tuple[str, ...] = (),
        clock: IReactorTime | None = None,
        random: Random | None = None,
    ) -> None:
        random = random or Random()
        super().__init__(arguments, clock, random)
        self._chance = random.random
        self._count = 0
        self._bounds: list[int] | None = None
        self._total = 0

    def update(self, servers: tuple[IServer, ...]) -> None:
        """
        Equal weights are the usual case, for which a draw is one multiplication.
        """
        super().update(servers)
        self._count = len(servers)
        weights = [server.weight for server in servers]
        self._bounds = list(accumulate(weights)) if len(set(weights)) > 1 else None
        self._total = sum(weights)

    def peek(self, request: IRequest) -> IServer | None:
        """
        What `pick` would answer now (`dfproxy.balancing.preview`).
        """
        assert self.random is not None
        state = self.random.getstate()
        server = self.pick(request)
        self.random.setstate(state)
        return server

    def _draw(self) -> int:
        """
        Index of a server, drawn by weight. Not to be called without servers.
        """
        bounds = self._bounds
        if bounds is None:
            return int(self._chance() * self._count)
        return bisect_right(bounds, self._chance() * self._total)

    def _two(self) -> tuple[int, int]:
        """
        Two draws. With equal weights they differ whenever they can; with unequal ones they are independent, or
        the light servers of a small backend would be compared, and win, far too often.
        """
        bounds = self._bounds
        chance = self._chance
        if bounds is None:
            count = self._count
            one = int(chance() * count)
            two = int(chance() * (count - 1))
            return one, two + 1 if two >= one and count > 1 else two
        total = self._total
        return bisect_right(bounds, chance() * total), bisect_right(bounds, chance() * total)


class TwoChoices(Draws):
    """
    The one with fewer exchanges under way for its weight; the first drawn, if equal.

    Args:
        arguments: none, or how many draws: `random(3)`.
    """

    __slots__ = ("_draws",)

    def __init__(
        self,
        arguments: tuple[str, ...] = (),
        clock: IReactorTime | None = None,
        random: Random | None = None,
    ) -> None:
        super().__init__((), clock, random)
        if len(arguments) > 1 or not all(word.isascii() and word.isdecimal() for word in arguments):
            raise InvalidBalance(f"takes one number of draws, such as random(2), but got {' '.join(arguments)!r}")
        self._draws = int(arguments[0]) if arguments else 2
        if not 1 <= self._draws <= DRAWS_LIMIT:
            raise InvalidBalance(f"takes 1 to {DRAWS_LIMIT} draws, but got {self._draws}")

    def pick(self, request: IRequest) -> IServer | None:
        """
        The better of the draws.
        """
        servers = self.servers
        if not servers:
            return None
        if self._draws != 2:
            return min((servers[self._draw()] for _ in range(self._draws)), key=_load)
        one, two = self._two()
        first = servers[one]
        second = servers[two]
        if (second.in_flight + second.elsewhere) * first.weight < (first.in_flight + first.elsewhere) * second.weight:
            return second
        return first


def _load(server: IServer) -> float:
    """
    Exchanges under way for its weight.
    """
    load: float = (server.in_flight + server.elsewhere) / server.weight
    return load


class Latency:
    """
    How long a server takes.

    Attributes:
        level: decaying average of its latency in seconds, times e**(age of the epoch / DECAY_S). All levels decay
            alike, so on this scale none has to be touched while nothing happens, and a pick needs no clock.
        stamp: age of the epoch at the last measurement, in seconds.
    """

    __slots__ = ("level", "stamp")

    def __init__(self, level: float, stamp: float) -> None:
        self.level = level
        self.stamp = stamp


class PeakEwma(Draws):
    """
    The one that will probably answer sooner.

    A server that was slow is asked again when its latency has decayed below what the others are expected to take.
    """

    __slots__ = ("_epoch", "_known", "_latencies")

    def __init__(
        self,
        arguments: tuple[str, ...] = (),
        clock: IReactorTime | None = None,
        random: Random | None = None,
    ) -> None:
        super().__init__(arguments, clock, random)
        self._known: dict[IServer, Latency] = {}
        self._latencies: list[Latency] = []
        self._epoch = self._seconds()

    def update(self, servers: tuple[IServer, ...]) -> None:
        """
        A new server is taken to be as fast as the others are on average: neither flooded nor shunned.
        """
        super().update(servers)
        known = {server: self._known[server] for server in servers if server in self._known}
        age = self._age()
        if known:
            level = sum(latency.level for latency in known.values()) / len(known)
        else:
            level = FIRST_LATENCY_S * exp(age / DECAY_S)
        self._latencies = [known.get(server) or Latency(level, age) for server in servers]
        self._known = dict(zip(servers, self._latencies))

    def pick(self, request: IRequest) -> IServer | None:
        """
        The one of two with the lower expected waiting; the first drawn, if equal.
        """
        servers = self.servers
        if not servers:
            return None
        one, two = self._two()
        latencies = self._latencies
        first = servers[one]
        second = servers[two]
        first_wait = latencies[one].level * (first.in_flight + first.elsewhere + 1) * second.weight
        if latencies[two].level * (second.in_flight + second.elsewhere + 1) * first.weight < first_wait:
            return second
        return first

    def released(self, server: IServer, latency_s: float, failed: bool) -> None:
        """
        Learn from an exchange. One without an answer that was not the server's fault says nothing.
        """
        latency = self._known.get(server)
        if latency is None or (latency_s <= 0.0 and not failed):
            return
        if failed and latency_s < FAILED_LATENCY_S:
            latency_s = FAILED_LATENCY_S
        age = self._age()
        growth = exp(age / DECAY_S)
        sample = latency_s * growth
        if sample > latency.level:
            latency.level = sample
        else:
            latency.level += sample * (1.0 - exp((latency.stamp - age) / DECAY_S))
        latency.stamp = age

    def _seconds(self) -> float:
        return self.clock.seconds() if self.clock is not None else 0.0

    def _age(self) -> float:
        """
        Age of the epoch in seconds. Begins a new one when it is old.
        """
        age = self._seconds() - self._epoch
        if age > EPOCH_S:
            shrink = exp(-age / DECAY_S)
            for latency in self._latencies:
                latency.level = max(latency.level * shrink, LEAST_LEVEL)
                latency.stamp -= age
            self._epoch += age
            age = 0.0
        return age
