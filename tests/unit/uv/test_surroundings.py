"""
Tests of the words between uvloop and Twisted.
"""

from __future__ import annotations

import socket

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.uv.surroundings import address_of, discard, failure_of, told


class SurroundingsTests(SynchronousTestCase):
    """
    Addresses, failures, calls into protocols.
    """

    def test_addresses(self) -> None:
        """
        Addresses are Twisted's, and a link-local one names its interface.
        """
        index = socket.if_nametoindex("lo")
        self.assertEqual(address_of(("192.0.2.1", 80)), IPv4Address("TCP", "192.0.2.1", 80))
        self.assertEqual(address_of(("::1", 80, 0, 0)), IPv6Address("TCP", "::1", 80))
        self.assertEqual(address_of(("fe80::1", 80, 0, index)), IPv6Address("TCP", "fe80::1%lo", 80, 0, index))

    def test_told(self) -> None:
        """
        What a protocol raises comes back as a failure and is logged; otherwise nothing comes back.
        """
        problem = ValueError("broken")

        def fail(argument: object) -> None:
            raise problem

        self.assertIsNone(told(discard, b"data"))
        failure = told(fail, b"data")
        assert failure is not None
        self.assertIs(failure.value, problem)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_failure_keeps_traceback(self) -> None:
        """
        A wrapped exception still says where it was raised.
        """
        try:
            raise ValueError("here")
        except ValueError as problem:
            self.assertIn("test_failure_keeps_traceback", failure_of(problem).getTraceback())
