"""
Certificates near their end.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.discovery.expiry import LOOK_S, Expiry
from dfproxy.model.certificate import Certificate
from tests.fakes import FakePublisher

DAY = 86400.0


class ExpiryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000 * DAY)
        self.publisher = FakePublisher()
        self.expiry = Expiry(self.clock, self.publisher, self.clock.seconds)
        self.events: list[tuple[str, str, object]] = []
        globalLogPublisher.addObserver(self._note)
        self.addCleanup(globalLogPublisher.removeObserver, self._note)
        self.addCleanup(self.expiry.stop)

    def _note(self, event: dict[str, object]) -> None:
        if event.get("log_namespace") == "dfproxy.discovery.expiry":
            level: object = event["log_level"]
            self.events.append((str(getattr(level, "name", "")), str(event["file"]), event.get("days")))

    def hold(self, file: str, days: float, digest: str = "") -> None:
        expires = self.clock.seconds() + days * DAY
        self.publisher.publish((), (Certificate(file, "folder", b"", b"", "ec", (), digest or file, expires),))

    def days(self, count: float) -> None:
        for _ in range(int(count * DAY / LOOK_S)):
            self.clock.advance(LOOK_S)

    def test_warned(self) -> None:
        """
        One that is near its end is told once a day, with the days that are left; one that is over, as an error.
        """
        self.hold("far", 60)
        self.hold("near", 2.5)
        self.expiry.start()
        self.assertEqual(self.events, [("warn", "near", 2)])
        self.days(2)
        self.assertEqual(self.events[1:], [("warn", "near", 1), ("warn", "near", 0)])
        self.days(1)
        self.assertEqual(self.events[3:], [("error", "near", None)])

    def test_renewed(self) -> None:
        """
        A renewed one is not told any more.
        """
        self.hold("near", 2)
        self.expiry.start()
        self.hold("near", 90, "renewed")
        self.events.clear()
        self.days(3)
        self.assertEqual(self.events, [])

    def test_measures(self) -> None:
        """
        Each certificate's end is a metric, whatever its file is called.
        """
        self.hold('a"b', 1)
        count, ends = self.expiry.measures()
        self.assertEqual(count.samples, (("", 1),))
        self.assertEqual(ends.samples, (('{file="a\\"b",source="folder"}', 1001 * DAY),))
