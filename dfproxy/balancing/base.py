"""
What every strategy shares: a balancer whose notifications are empty, and the factory that makes it a plugin.

A strategy's author derives from `Balancer`, writes `pick`, and names the class in a `Strategy`.
Everything that is asked of a balancer stands in `dfproxy.interfaces.IBalancer`.
"""

from __future__ import annotations

from random import Random
from typing import Protocol, cast

from twisted.internet.interfaces import IReactorTime
from twisted.plugin import IPlugin
from zope.interface import implementer

from dfproxy.errors import InvalidBalance
from dfproxy.interfaces import IBalancer, IBalancerFactory, IRequest, IServer


@implementer(IBalancer)
class Balancer:
    """
    A balancer without an opinion: keeps the list of servers, ignores what it is told of their work.

    The request path sees when `taken` or `released` are these empty ones and then does not call them.

    Args:
        arguments: words after the strategy's name. None are accepted here; a class that takes some overrides this
            method and hands on the rest.
        clock: where time comes from; only what needs it may be without.
        random: where chance comes from, the same.

    Attributes:
        servers: those that may be used now, sorted by address; may be empty.

    Raises:
        InvalidBalance: there are arguments.
    """

    __slots__ = ("clock", "random", "servers")

    def __init__(
        self,
        arguments: tuple[str, ...] = (),
        clock: IReactorTime | None = None,
        random: Random | None = None,
    ) -> None:
        if arguments:
            raise InvalidBalance(f"takes no arguments, but got {' '.join(arguments)!r}")
        self.clock = clock
        self.random = random
        self.servers: tuple[IServer, ...] = ()

    def update(self, servers: tuple[IServer, ...]) -> None:
        """
        Remember the servers. Who overrides this calls it, or sets `servers` in its own way.
        """
        self.servers = servers

    def pick(self, request: IRequest) -> IServer | None:
        """
        The one method that a strategy must write.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say which server to pick")  # an author's fault

    def taken(self, server: IServer) -> None:
        """
        Nothing to do here.
        """

    def released(self, server: IServer, latency_s: float, failed: bool) -> None:
        """
        Nothing to do here.
        """


class Maker(Protocol):
    """
    Makes a balancer from a strategy's arguments; every subclass of `Balancer` is one.
    """

    def __call__(self, arguments: tuple[str, ...], clock: IReactorTime, random: Random, /) -> IBalancer: ...


@implementer(IPlugin, IBalancerFactory)
class Strategy:
    """
    Registers a balancer class: an instance of this at the top of a plugin module is a strategy.

    Args:
        name: what `balance=` calls it; letters, digits, `-` and `_`.
        description: one line for `--help`.
        maker: the balancer's class, or a function of its three arguments.
    """

    def __init__(self, name: str, description: str, maker: Maker) -> None:
        self.name = name
        self.description = description
        self._maker = maker

    def build(self, arguments: tuple[str, ...], clock: object, random: object) -> IBalancer:
        """
        Make a balancer for one backend; see `IBalancerFactory.build`.
        """
        return self._maker(arguments, cast(IReactorTime, clock), cast(Random, random))
