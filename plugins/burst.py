"""
Example of a strategy: `burst(N)` stays at one server for N requests, then goes on to the next.

For servers that gain from similar work in a row, such as batches or warm caches. Copy this file, change the class,
and you have a strategy of your own; docs/strategies.md leads through it.
"""

from __future__ import annotations

from random import Random

from twisted.internet.interfaces import IReactorTime

from dfproxy.balancing.base import Balancer, Strategy
from dfproxy.errors import InvalidBalance
from dfproxy.interfaces import IRequest, IServer

DEFAULT_LENGTH = 10
"""
Requests in a row, if the operator gives no number. Weight counts: a server of weight 2 gets twice as many.
"""


class Burst(Balancer):
    """
    One of these is made for each backend, in each worker, so attributes of it are all the state you need.
    """

    # Called once for each backend. What it raises as InvalidBalance is the operator's answer to a publish call,
    # so say what would be right. A strategy without arguments leaves this method out.
    def __init__(self, arguments: tuple[str, ...], clock: IReactorTime, random: Random) -> None:
        super().__init__((), clock, random)
        words = arguments or (str(DEFAULT_LENGTH),)
        if len(words) != 1 or not words[0].isdecimal() or int(words[0]) < 1:
            raise InvalidBalance(f"takes a number above 0, such as burst(10), but got {' '.join(words)!r}")
        self.length = int(words[0])
        self.current: IServer | None = None
        self.left = 0

    # Called when servers come, go, or change their health or weight. `self.servers` are those that may be used,
    # sorted by address. Servers that stay are the same objects, so it is safe to remember one; but see to it that
    # one which has gone is not picked any more.
    def update(self, servers: tuple[IServer, ...]) -> None:
        super().update(servers)
        if self.current not in servers:
            self.current = None
            self.left = 0

    # Called for each request: no waiting, no files, no sockets; best, no loop over all servers.
    def pick(self, request: IRequest) -> IServer | None:
        if not self.servers:
            return None
        if self.left == 0:
            place = self.servers.index(self.current) + 1 if self.current is not None else 0
            self.current = self.servers[place % len(self.servers)]
            self.left = self.length * self.current.weight
        self.left -= 1
        return self.current

    # `taken(server)` and `released(server, latency_s, failed)` tell when an exchange starts and ends. Override
    # them if you count or measure; the proxy does not even call them if you don't.


# The object at the end is what is found: its name is what `balance=` takes.
burst = Strategy("burst", "N requests in a row to one server, then the next; burst(N)", Burst)
