"""
What differs, as the API tells it.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.differences import HIDDEN, LISTED, SHOWN_CHARS, difference
from dfproxy.model.service import Service
from tests.unit.api.services import service


def told(before: dict[str, Service | None], after: dict[str, Service | None]) -> Any:
    return difference(before, after)


class DifferenceTests(SynchronousTestCase):
    def test_added_and_removed(self) -> None:
        """
        Each route that comes or goes, by its backend's name, with what it takes.
        """
        both = service("a", **{"servicePath.1": "/x", "port.1": "1", "servicePath.2": "/y", "port.2": "2"})
        one = service("a", **{"servicePath.1": "/x", "port.1": "1"})
        found = told({"a": one}, {"a": both})
        self.assertEqual(
            found["RoutesAdded"], [{"Backend": "a-be2_2", "ServiceName": "a", "Domains": [], "Paths": ["/y"]}]
        )
        self.assertEqual((found["RoutesRemoved"], found["RoutesChanged"]), ([], []))
        self.assertEqual([r["Backend"] for r in told({"a": both}, {"a": one})["RoutesRemoved"]], ["a-be2_2"])
        self.assertEqual(
            [r["Backend"] for r in told({"a": both}, {"a": None})["RoutesRemoved"]], ["a-be1_1", "a-be2_2"]
        )
        self.assertEqual(len(told({"a": None}, {"a": both})["RoutesAdded"]), 2)

    def test_changed(self) -> None:
        """
        A route that takes something else, and the parameters before and after; of what is the same nothing.
        """
        found = told(
            {"a": service("a"), "b": service("b")}, {"a": service("a", serviceDomain="x.y"), "b": service("b")}
        )
        self.assertEqual([(r["ServiceName"], r["Domains"]) for r in found["RoutesChanged"]], [("a", ["x.y"])])
        self.assertEqual(found["Parameters"], {"a": {"serviceDomain": [None, "x.y"]}})
        self.assertEqual(
            [r["ServiceName"] for r in told({"a": service("a")}, {"a": service("a", aclName="0")})["RoutesChanged"]],
            ["a"],
        )

    def test_nothing_secret(self) -> None:
        """
        Passwords are not shown, long values not whole.
        """
        found = told(
            {"a": service("a", users="bob:one")}, {"a": service("a", users="bob:two", servicePath="/" + "x" * 500)}
        )
        self.assertEqual(found["Parameters"]["a"]["users"], [HIDDEN, HIDDEN])
        self.assertEqual(len(found["Parameters"]["a"]["servicePath"][1]), SHOWN_CHARS + 3)
        self.assertNotIn("one", str(found))

    def test_bounded(self) -> None:
        """
        Of thousands of routes some are listed and the others counted.
        """
        many = {f"s{n}": service(f"s{n}") for n in range(LISTED + 7)}
        found = told(dict.fromkeys(many), dict(many))
        self.assertEqual((len(found["RoutesAdded"]), found["More"]), (LISTED, 7))
