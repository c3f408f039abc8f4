"""
Watching sockets of our own, over real ones.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.polling import BROKEN, ENDED, READ, WRITE, Poller
from dfproxy.uv.reactor import UvReactor
from tests.unit.turning import Turning


class PollerTests(SynchronousTestCase):
    """
    `Poller`.
    """

    def setUp(self) -> None:
        self.reactor = Turning()
        self.poller = Poller(self.reactor)
        self.told: list[int] = []
        self.one, self.other = socket.socketpair()
        self.addCleanup(self.one.close)
        self.addCleanup(self.other.close)
        self.one.setblocking(False)
        self.number = self.one.fileno()
        self.addCleanup(lambda: self.poller.forget(self.number))

    def test_news(self) -> None:
        """
        Told once of each news: that it can be written to, that there is something to read, that the other side ended.
        """
        self.poller.watch(self.number, self.told.append)
        self.reactor.turn()
        self.reactor.turn()
        self.assertEqual(self.told, [WRITE])
        self.other.send(b"x")
        self.reactor.turn()
        self.reactor.turn()
        self.assertEqual(self.told.pop(), READ | WRITE)
        self.other.shutdown(socket.SHUT_WR)
        self.reactor.turn()
        self.assertTrue(self.told.pop() & ENDED)
        self.assertFalse(ENDED & (READ | WRITE))
        self.assertTrue(ENDED & BROKEN)

    def test_costs_nothing(self) -> None:
        """
        Without sockets there is nothing to watch for the reactor, and no descriptor.
        """
        before = len(os.listdir("/proc/self/fd"))
        self.poller.watch(self.number, self.told.append)
        self.assertEqual(self.reactor.readers, [self.poller])
        self.poller.forget(self.number)
        self.poller.forget(self.number)
        self.assertEqual((self.reactor.readers, len(os.listdir("/proc/self/fd"))), ([], before))
        self.poller.watch(self.number, self.told.append)
        self.reactor.turn()
        self.assertEqual(self.told, [WRITE])

    def test_fault_of_one(self) -> None:
        """
        Who raises is logged and told no more; all others are.
        """

        def raises(mask: int) -> None:
            raise ZeroDivisionError("oops")

        third, fourth = socket.socketpair()
        with third, fourth:
            self.poller.watch(self.number, raises)
            self.poller.watch(third.fileno(), self.told.append)
            self.reactor.turn()
            self.other.send(b"x")
            fourth.send(b"x")
            self.reactor.turn()
            self.assertEqual(self.told, [WRITE, READ | WRITE])
            self.poller.forget(third.fileno())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_forgotten_meanwhile(self) -> None:
        """
        Of two with news the first one may have the second one forgotten.
        """
        third, fourth = socket.socketpair()
        with third, fourth:
            numbers = {self.number, third.fileno()}
            told = []

            def forgets(number: int) -> Any:
                return lambda mask: (told.append(number), self.poller.forget(*(numbers - {number})))

            for number in numbers:
                self.poller.watch(number, forgets(number))
            self.reactor.turn()
            self.assertEqual(len(told), 1)
            self.poller.forget(told[0])

    def test_later(self) -> None:
        """
        What is put off comes in the next turn, all of it, whoever raises.
        """
        self.poller.later(lambda: [][1])
        self.poller.later(lambda: self.told.append(1))
        self.assertEqual(self.told, [])
        self.reactor.advance(0)
        self.assertEqual(self.told, [1])
        self.flushLoggedErrors(IndexError)

    def test_end_of_reactor(self) -> None:
        """
        When the reactor ends nothing stays open.
        """
        before = len(os.listdir("/proc/self/fd"))
        self.poller.watch(self.number, self.told.append)
        self.poller.connectionLost(None)  # type: ignore[arg-type]  # not looked at
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)

    def test_on_uv(self) -> None:
        """
        The uv reactor calls it without anything between.
        """
        reactor: Any = UvReactor()
        self.addCleanup(reactor.loop.close)
        poller = Poller(reactor)
        poller.watch(
            self.number, lambda mask: (self.told.append(mask), poller.forget(self.number), reactor.loop.stop())
        )
        reactor.loop.run_forever()
        self.assertEqual(self.told, [WRITE])
