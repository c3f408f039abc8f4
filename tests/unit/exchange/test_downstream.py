"""
The client's side as an exchange knows it: whoever is one takes every call.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.exchange.downstream import Downstream
from dfproxy.frontend.http1 import Http1Session
from dfproxy.frontend.resource import _Rendered


def calls(kind: type) -> Iterator[tuple[str, list[str]]]:
    """
    Methods of a class and the names of their parameters.
    """
    for name, method in inspect.getmembers(kind, inspect.isfunction):
        if not name.startswith("_"):
            yield name, list(inspect.signature(method).parameters)


class DownstreamTests(SynchronousTestCase):
    """
    `Downstream`.
    """

    def test_who_is_one(self) -> None:
        """
        A session and a request in a twisted.web tree take each call with the same parameters.
        """
        wanted = dict(calls(Downstream))
        self.assertGreater(len(wanted), 10)
        for kind in (Http1Session, _Rendered):
            offered = dict(calls(kind))
            self.assertEqual({name: offered.get(name) for name in wanted}, wanted, kind)
