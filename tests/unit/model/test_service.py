"""
Services as values.
"""

from __future__ import annotations

from dataclasses import fields, replace

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.model.match import Match
from dfproxy.model.service import HTTPS_INDEX, Balance, Destination, Service


def destination(index: int) -> Destination:
    return Destination(index, 8080, Match(), "web", f"web-be8080_{index}")


class DestinationTests(SynchronousTestCase):
    """
    `Destination`.
    """

    def test_place(self) -> None:
        """
        Destinations are in the order of their indexes; the one that `httpsPort` makes comes right behind its own.
        """
        indexes = (0, 1, 2, 10)
        made = [destination(index) for index in (*indexes, *(index + HTTPS_INDEX for index in indexes))]
        ordered = [each.index for each in sorted(made, key=lambda each: each.place)]
        self.assertEqual(ordered, [number for index in indexes for number in (index, index + HTTPS_INDEX)])


class ServiceTests(SynchronousTestCase):
    """
    `Service`.
    """

    def test_defaults(self) -> None:
        """
        Nothing said: round robin, as DFP has it, and not the default backend; published by a call.
        """
        service = Service("web", "web", (destination(0),))
        self.assertEqual((service.balance, service.is_default, service.origin), (Balance("roundrobin"), False, "dfp"))

    def test_publishing_again(self) -> None:
        """
        The same definition made again is equal, so that publishing it changes nothing; any other one is not.
        """
        service = Service("web", "web", (destination(0),))
        self.assertEqual(service, Service("web", "web", (destination(0),)))
        self.assertNotEqual(service, replace(service, balance=Balance("first")))
        self.assertNotEqual(service, replace(service, destinations=(destination(1),)))
        self.assertTrue({field.name for field in fields(Service)} >= {"name", "order_name", "parameters"})
