"""
Tests of `dfproxy.discovery.traffic`: which destinations are busy.
"""

from __future__ import annotations

from collections.abc import Iterator

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.discovery.traffic import LOOK_S, TrafficWatch


class WatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.looks = 0
        self.told: list[tuple[str, int]] = []
        self.watch = TrafficWatch(self.clock, self.look, lambda service, index: self.told.append((service, index)))

    def look(self) -> Iterator[set[tuple[str, int]]]:
        self.looks += 1
        yield {("a", 0)}
        yield set()
        yield {("b", 2)}

    def test_pieces(self) -> None:
        """
        A look goes through all pieces, and the next one begins a second after it.
        """
        self.watch.start()
        self.clock.advance(LOOK_S / 2)
        self.assertEqual(self.told, [])
        self.clock.advance(LOOK_S / 2)
        self.assertEqual(self.told, [("a", 0), ("b", 2)])
        self.clock.advance(LOOK_S / 2)
        self.assertEqual(self.looks, 1)
        self.clock.advance(LOOK_S / 2)
        self.assertEqual((self.looks, self.told[2:]), (2, [("a", 0), ("b", 2)]))

    def test_stop(self) -> None:
        """
        Stopped anywhere, it looks no more.
        """
        self.watch.start()
        self.clock.advance(LOOK_S)
        self.watch.stop()
        self.clock.advance(LOOK_S)
        self.assertEqual((self.looks, self.clock.getDelayedCalls()), (1, []))
