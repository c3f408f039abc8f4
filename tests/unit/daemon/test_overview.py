"""
What the leader tells of routes and figures, with workers that have counted by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.control.apply import FRONTEND_CELL
from dfproxy.control.counting import EJECTED
from dfproxy.control.servers import Look
from dfproxy.daemon.overview import Overview
from dfproxy.model.service import Service
from dfproxy.model.snapshot import ServerAddress, Snapshot
from dfproxy.observe.metrics import FIELDS
from tests.unit.api.services import service

REQUESTS = FIELDS.index("requests")


def row(requests: int, ejected: int = 0) -> tuple[int, ...]:
    values = [0] * len(FIELDS)
    values[REQUESTS], values[EJECTED] = requests, ejected
    return tuple(values)


class Paper:
    """
    Everybody who is asked: what is published, who the servers are, how they are, and what was counted.
    """

    def __init__(self, *services: Service) -> None:
        self.snapshot = Snapshot(services={each.name: each for each in services})
        self.members: dict[tuple[str, int], tuple[ServerAddress, ...]] = {}
        self.counted: dict[Any, tuple[int, ...]] = {FRONTEND_CELL: row(100)}
        self.cells = self

    def members_of(self, name: str, index: int) -> tuple[ServerAddress, ...]:
        return self.members.get((name, index), ())

    def number(self, key: Any) -> Any:
        return key

    def totals(self, cell: Any) -> tuple[int, ...]:
        return self.counted.get(cell, row(0))

    def look(self, key: tuple[str, int], server: ServerAddress, left_out: int) -> Look:
        return Look("DOWN" if left_out else "UP", not left_out, server.weight)

    def overview(self, order: Callable[[Any], Any] = attrgetter("service.name")) -> Overview:
        paper: Any = self
        return Overview(paper, order, 7, paper, paper, paper)


class OverviewTests(SynchronousTestCase):
    """
    `Overview`.
    """

    def test_totals(self) -> None:
        """
        A backend is the sum of its servers and of what reached none; a server that is left out counts, but is not up.
        """
        paper = Paper(service("a"))
        paper.members["a", 0] = (ServerAddress("10.0.0.1", 80, 3), ServerAddress("10.0.0.2", 80, 5))
        paper.counted["a", 0] = row(1)
        paper.counted["a", 0, "10.0.0.1", 80] = row(10)
        paper.counted["a", 0, "10.0.0.2", 80] = row(20, ejected=2)
        front, backend, first, second = paper.overview().totals()
        self.assertEqual((front.kind, front.values[REQUESTS], front.limit), ("frontend", 100, 7))
        self.assertEqual((backend.kind, backend.values[REQUESTS]), ("backend", 31))
        self.assertEqual((backend.up, backend.weight, backend.active), (True, 3, 1))
        self.assertEqual((first.server, first.values[REQUESTS], first.up, first.weight), ("a_0", 10, True, 3))
        self.assertEqual((second.server, second.values[REQUESTS], second.up, second.state), ("a_1", 20, False, "DOWN"))

    def test_no_servers(self) -> None:
        """
        A backend whose servers are not known is there, and not up.
        """
        _, backend = Paper(service("a")).overview().totals()
        self.assertEqual((backend.up, backend.weight, backend.active), (False, 0, 0))

    def test_routes(self) -> None:
        """
        Routes come in the order in which they are tried, with their backends; the default one is told apart.
        """
        paper = Paper(service("b"), service("c", isDefaultBackend="true"), service("a"))
        routes, default = paper.overview().routes()
        self.assertEqual([route.service.name for route, _ in routes], ["a", "b", "c"])
        self.assertEqual([backend for _, backend in routes], [r.destination.backend_name for r, _ in routes])
        assert default is not None
        self.assertEqual(default.service.name, "c")
        self.assertIsNone(Paper(service("a")).overview().routes()[1])

    def test_streams(self) -> None:
        """
        What takes whole connections is no route, but is counted.
        """
        paper = Paper(service("a", reqMode="tcp", srcPort="4321", port="80"))
        self.assertEqual(list(paper.overview().routes()[0]), [])
        self.assertEqual([each.kind for each in paper.overview().totals()], ["frontend", "backend"])
