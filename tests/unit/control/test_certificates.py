"""
Certificates that come in while running: into the folder and into force, or neither.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from dfproxy.control.certificates import BROUGHT_BYTES, Certificates, CertifyingPublisher, checked, is_bare
from dfproxy.dfp.reading import DIGEST, Reading
from dfproxy.errors import InvalidCertificate, InvalidService, Refused
from dfproxy.interfaces import IPublisher
from dfproxy.model.match import Match
from dfproxy.model.service import Destination, Service
from tests.certificates import known, make
from tests.fakes import FakePublisher


def bringing(name: str, file: str, content: bytes) -> Reading:
    digest = DIGEST + checked(file, content).digest if content.startswith(b"-") else "x"
    service = Service(name, name, (Destination(0, 80, Match(), "h", name),), parameters=(("serviceCert", digest),))
    return Reading(name, service, False, {}, False, (file, content))


class CertificatesCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = os.path.abspath(self.mktemp())
        self.publisher = FakePublisher()
        self.certificates = Certificates(self.folder, self.publisher, maybeDeferred)

    def files(self) -> dict[str, bytes]:
        found = {}
        for name in os.listdir(self.folder):
            with open(os.path.join(self.folder, name), "rb") as file:
                found[name] = file.read()
        return found


class PutTests(CertificatesCase):
    """
    One that is stored.
    """

    def test_stored(self) -> None:
        """
        The file is the content as it came; a later one replaces it.
        """
        for pair in (known("demo.test"), known("other.test")):
            self.successResultOf(self.certificates.put(("x", pair.bundle)))
            self.assertEqual(self.files(), {"x": pair.bundle})
        self.assertEqual(self.publisher.snapshot.certificates["folder/x"].names, ("other.test",))

    def test_file_is_the_last_in_force(self) -> None:
        """
        Of two that are stored at the same time the file is that of the one that came into force last.
        """
        self.publisher.hold = True
        first = self.certificates.put(("x", known("demo.test").bundle))
        second = self.certificates.put(("x", known("other.test").bundle))
        self.assertEqual(self.certificates.storing["x"], 2)
        self.publisher.release()
        self.publisher.release()
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertEqual(self.files(), {"x": known("other.test").bundle})
        self.assertEqual((dict(self.certificates.storing), self.certificates.stored), ({}, {"x": 2}))

    def test_not_before(self) -> None:
        """
        Until it is in force the former file stays under its name; a refused one leaves nothing.
        """
        self.successResultOf(self.certificates.put(("x", known("demo.test").bundle)))
        self.publisher.hold = True
        waiting = self.certificates.put(("x", known("other.test").bundle))
        self.assertEqual(self.files()["x"], known("demo.test").bundle)
        self.publisher.release()
        self.successResultOf(waiting)
        self.publisher.failure = Refused("no")
        self.failureResultOf(self.certificates.put(("x", known("demo.test").bundle)), Refused)
        self.assertEqual(self.files(), {"x": known("other.test").bundle})

    def test_all_or_none(self) -> None:
        """
        Several at once: if one cannot be used none is.
        """
        both = self.certificates.put(("x", known("demo.test").bundle), ("y", b"rubbish"))
        self.failureResultOf(both, InvalidCertificate)
        self.assertEqual(self.publisher.calls, [])

    def test_told(self) -> None:
        """
        The log says for which names it is in force, and until when it is good: an expired one is stored like others.
        """
        said: list[str] = []

        def observe(event: Any) -> None:
            if event["log_namespace"] == "dfproxy.control.certificates":
                said.append(formatEvent(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        self.successResultOf(self.certificates.put(("x", make("old.test", days=30).bundle)))
        self.assertEqual(said, ["certificate x is in force for old.test; it is good until 2026-01-31 00:00 UTC"])

    def test_same_again(self) -> None:
        """
        One that is in force already is not written again.
        """
        for _ in range(2):
            self.successResultOf(self.certificates.put(("x", known("demo.test").bundle)))
        self.assertEqual(self.certificates.count, 1)

    def test_names(self) -> None:
        """
        Bare names only.
        """
        for name in ("demo.pem", "*.demo.test", "a b", "ü"):
            self.assertTrue(is_bare(name), name)
        for name in ("", ".", "..", ".x", "a/b", "a\0", "a\n", "x" * 201, "ü" * 150):
            self.assertFalse(is_bare(name), name)


class BroughtTests(CertificatesCase):
    """
    One that a service brings.
    """

    def setUp(self) -> None:
        super().setUp()
        self.door = CertifyingPublisher(self.publisher, self.certificates)

    def publish(self, *readings: Reading) -> Deferred[Any]:
        for reading in readings:
            self.certificates.bring(reading)
        return self.door.publish(tuple(reading.service for reading in readings if reading.service))

    def test_interface(self) -> None:
        """
        It is a door like the real one.
        """
        verifyObject(IPublisher, self.door)

    def test_together(self) -> None:
        """
        Service and certificate are published in one change; the file is there afterwards.
        """
        self.successResultOf(self.publish(bringing("s", "s.test", known("s.test").bundle)))
        self.assertEqual(self.publisher.calls, [("publish", ("s", "folder/s.test"))])
        self.assertEqual(self.files(), {"s.test": known("s.test").bundle})

    def test_broken(self) -> None:
        """
        A broken one is a problem of the parameter, without its text.
        """
        error = self.assertRaises(InvalidService, self.certificates.bring, bringing("s", "s.test", b"hidden"))
        self.assertEqual(error.problems[0].parameter, "serviceCert")
        self.assertNotIn("hidden", str(error))

    def test_tried_again(self) -> None:
        """
        A refused change may be tried again, in parts, and still brings its certificates.
        """
        one, two = (bringing(name, name, known(f"{name}.test").bundle) for name in ("one", "two"))
        self.publisher.failure = Refused("one of them")
        self.failureResultOf(self.publish(one, two), Refused)
        self.publisher.failure = None
        assert one.service is not None and two.service is not None
        self.successResultOf(self.door.publish((one.service,)))
        self.successResultOf(self.door.publish((two.service,)))
        self.assertEqual(set(self.files()), {"one", "two"})

    def test_without(self) -> None:
        """
        Services without one pass as they are; nothing is written.
        """
        self.successResultOf(self.door.publish((Service("s", "s", ()),)))
        self.successResultOf(self.door.withdraw(("s",)))
        self.assertEqual(self.publisher.calls, [("publish", ("s",)), ("withdraw", ("s",))])
        self.assertFalse(os.path.exists(self.folder))

    def test_unwritable(self) -> None:
        """
        A folder that cannot be written refuses the service: it would be without its certificate after a restart.
        """
        self.certificates.folder = "/proc/none"
        failure = self.failureResultOf(self.publish(bringing("s", "s.test", known("s.test").bundle)), Refused)
        self.assertIn("serviceCert: cannot be written to /proc/none", failure.getErrorMessage())
        self.assertEqual(self.publisher.calls, [])

    def test_bounded(self) -> None:
        """
        What is brought and never published is forgotten before it fills the memory.
        """
        bundle = known("s.test").bundle
        content = bundle + b"#" * (500_000 - len(bundle))
        count = BROUGHT_BYTES // len(content) + 5
        readings = [bringing(f"s{number}", "s.test", content) for number in range(count)]
        for reading in readings:
            self.certificates.bring(reading)
        kept = [each for each in readings if each.service and self.certificates.brought_by((each.service,))]
        self.assertEqual(kept, readings[-(BROUGHT_BYTES // len(content)) :])
