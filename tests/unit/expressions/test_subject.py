"""
What expressions are evaluated on.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.expressions.subject import Subject, Surroundings
from tests.unit.expressions.subjects import subject


class SubjectTests(SynchronousTestCase):
    """
    One request.
    """

    def test_local_address(self) -> None:
        """
        The transport of the client's side knows what the client connected to; without one nobody does.
        """

        class Client:
            transport: Any = StringTransport(hostAddress=IPv4Address("TCP", "192.0.2.9", 80))

        request = subject().request
        self.assertEqual(Subject(request, "b", Client()).local_address, "192.0.2.9")
        self.assertEqual(Subject(request, "b").local_address, "")

    def test_no_answer_yet(self) -> None:
        """
        At first there is neither an answer nor a server.
        """
        self.assertEqual((subject().answer, subject().server), (None, None))

    def test_surroundings(self) -> None:
        """
        Unless told otherwise nothing is around.
        """
        self.assertEqual((dict(Surroundings().environment), Surroundings().hostname), ({}, ""))
