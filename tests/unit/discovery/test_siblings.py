"""
Certificates of other replicas.
"""

from __future__ import annotations

import json
import os
from typing import Any

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.control.asking import Said, Unanswered
from dfproxy.control.certificates import Certificates
from dfproxy.discovery.siblings import SIBLINGS, Siblings
from dfproxy.errors import DfproxyError, Refused
from tests.certificates import known, make
from tests.fakes import FakePublisher


def listed(*certificates: tuple[str, bytes]) -> Said:
    """
    A list as Docker Flow Proxy writes it.
    """
    entries = [
        {"ServicePort": "", "ProxyServiceName": name, "CertsDir": "/certs", "CertContent": content.decode()}
        for name, content in certificates
    ]
    return Said(200, json.dumps({"Status": "OK", "Message": "", "Certs": entries}).encode())


class Network:
    """
    Answers by address; an exception is raised.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Said | Exception] = {}
        self.asked: list[str] = []
        self.fields: list[dict[str, str]] = []

    def others(self) -> Deferred[tuple[str, ...]]:
        return succeed(tuple(self.answers))

    def ask(self, method: str, url: str, limit_s: float, limit_bytes: int, headers: dict[str, str]) -> Deferred[Said]:
        self.asked.append(url)
        self.fields.append(headers)
        address = url.removeprefix("http://").partition("]" if "[" in url else ":")[0].strip("[")
        answer = self.answers[address]
        return fail(answer) if isinstance(answer, Exception) else succeed(answer)


class SiblingsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = os.path.abspath(self.mktemp())
        self.publisher = FakePublisher()
        self.network = Network()
        certificates = Certificates(self.folder, self.publisher, maybeDeferred)
        asking: Any = self.network
        self.wanted: dict[str, str] = {}
        self.siblings = Siblings(
            self.network.others,
            asking,
            lambda: 8080,
            self.publisher,
            certificates,
            maybeDeferred,
            lambda: self.wanted,
        )

    def fetch(self) -> int:
        return int(self.successResultOf(self.siblings.fetch()))

    def test_longest_list(self) -> None:
        """
        The longest list counts; what is in it is in force and in the folder afterwards.
        """
        one, two = ("a", known("a.test").bundle), ("b", known("b.test").bundle)
        self.network.answers = {"10.0.0.2": listed(one), "10.0.0.3": listed(one, two), "fd00::4": listed()}
        self.assertEqual(self.fetch(), 2)
        self.assertEqual(sorted(os.listdir(self.folder)), ["a", "b"])
        self.assertIn("http://[fd00::4]:8080/v1/docker-flow-proxy/certs", self.network.asked)

    def test_fields(self) -> None:
        """
        Each is asked with the fields that replicas want of their callers.
        """
        self.network.answers = {"10.0.0.2": listed(), "10.0.0.3": listed()}
        self.wanted = {"Authorization": "Bearer x"}
        self.fetch()
        self.assertEqual(self.network.fields, [self.wanted] * 2)

    def test_nobody(self) -> None:
        """
        Outside of a Swarm, and alone in one, nobody is asked.
        """
        self.assertEqual(self.fetch(), 0)
        self.network.others = lambda: fail(DfproxyError("no tasks"))  # type: ignore[method-assign]  # another answer
        self.siblings._others = self.network.others
        self.assertEqual((self.fetch(), self.network.asked), (0, []))

    def test_bad_answers(self) -> None:
        """
        Whatever siblings answer, the proxy starts; what can be used of it is.
        """
        good = ("a", known("a.test").bundle)
        self.network.answers = {
            "10.0.0.2": Unanswered("no answer within 3 s"),
            "10.0.0.3": Said(500, b""),
            "10.0.0.4": Said(200, b"no JSON"),
            "10.0.0.5": Said(200, b'{"Certs": null}'),
            "10.0.0.6": Said(200, b'{"Certs": [1]}'),
            "10.0.0.7": listed(good, ("../b", known("b.test").bundle), ("c", b"rubbish"), ("d", b"")),
        }
        self.assertEqual(self.fetch(), 1)
        self.assertEqual(os.listdir(self.folder), ["a"])
        self.assertFalse(self.siblings.asking_now)

    def test_refused(self) -> None:
        """
        A certificate that our workers cannot use keeps nothing else from starting.
        """
        self.publisher.failure = Refused("no")
        self.network.answers = {"10.0.0.2": listed(("a", known("a.test").bundle))}
        self.assertEqual(self.fetch(), 0)

    def test_newer_one_stays(self) -> None:
        """
        One of ours is replaced only by one that expires later.
        """
        old, new = make("a.test", days=100), make("a.test", days=200)
        for pair, count in ((old, 1), (new, 1), (old, 0)):
            self.network.answers = {"10.0.0.2": listed(("a", pair.bundle))}
            self.assertEqual(self.fetch(), count)
        with open(os.path.join(self.folder, "a"), "rb") as file:
            self.assertEqual(file.read(), new.bundle)

    def test_few_are_asked(self) -> None:
        """
        In a large Swarm not all are asked.
        """
        self.network.answers = {f"10.0.0.{number}": listed() for number in range(1, 60)}
        self.fetch()
        self.assertEqual(len(self.network.asked), SIBLINGS)
