"""
The files in `plugins/`: found, sound, listed, and doing what they say.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from shutil import copy

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.control.strategies import Strategies
from dfproxy.errors import InvalidBalance
from dfproxy.model.match import HostPattern, Match, PathPattern
from dfproxy.model.service import Destination, Route, Service
from dfproxy.testing import (
    BalancerContract,
    FakeRequest,
    RouteConditionContract,
    RouteOrderContract,
    fake_servers,
)
from tests.folders import PluginFolders

PLUGINS = Path(__file__).resolve().parent.parent.parent / "plugins"


class Examples(PluginFolders):
    """
    Loads all examples, as `--plugins` does.
    """

    strategies: Strategies

    def setUp(self) -> None:
        """
        From a copy: the plugin search writes its cache beside them.
        """
        super().setUp()
        folder = self.folder()
        for file in PLUGINS.glob("*.py"):
            copy(file, folder)
        self.strategies = self.load(folder)


class ExamplesTests(Examples, SynchronousTestCase):
    """
    All of them.
    """

    def test_each_is_found(self) -> None:
        """
        Each file offers something, and none is broken.
        """
        self.assertEqual(self.strategies.broken, ())
        found = {Path(file).name for file in self.strategies.files.values()}
        self.assertLessEqual({file.name for file in PLUGINS.glob("*.py")}, found)

    def test_each_is_listed(self) -> None:
        """
        The list for readers names each file and what it is called.
        """
        readme = (PLUGINS / "README.md").read_text(encoding="utf-8")
        for (_, name), file in self.strategies.files.items():
            if (PLUGINS / Path(file).name).exists():
                self.assertIn(f"[{Path(file).name}]({Path(file).name})", readme)
                self.assertIn(f"`{name}", readme)

    def test_each_is_tested(self) -> None:
        """
        An example that nobody holds to its contract would be noticed here.
        """
        self.assertEqual(
            {file.stem for file in PLUGINS.glob("*.py")},
            {"burst", "most_conditions", "has_query"},
            "add a contract test to this module",
        )


class TestBurst(Examples, BalancerContract, SynchronousTestCase):
    """
    The strategy.
    """

    arguments = ("3",)
    follows_weights = True
    tolerance = 0.05

    def setUp(self) -> None:
        """
        As it is found.
        """
        super().setUp()
        self.factory = self.strategies.balancers["burst"]

    def test_in_bursts(self) -> None:
        """
        So many in a row for each unit of weight, then the next; a burst goes on after an update.
        """
        servers = fake_servers([1, 2])
        balancer = self.strategies.build(self.strategies.parse_balance("burst(3)"), Clock(), Random(1))
        balancer.update(servers)
        picked = [balancer.pick(FakeRequest()) for _ in range(2)]
        balancer.update(servers)
        picked += [balancer.pick(FakeRequest()) for _ in range(16)]
        self.assertEqual(picked, ([servers[0]] * 3 + [servers[1]] * 6) * 2)

    def test_bad_length(self) -> None:
        """
        A length that is none is refused with an example.
        """
        for text in ("burst(0)", "burst(x)", "burst(1,2)", "burst -1"):
            error = self.assertRaises(InvalidBalance, self.strategies.parse_balance, text)
            self.assertIn("burst(10)", str(error))


class TestMostConditions(Examples, RouteOrderContract, SynchronousTestCase):
    """
    The order.
    """

    def setUp(self) -> None:
        """
        As it is found.
        """
        super().setUp()
        self.factory = self.strategies.orders["most-conditions"]

    def test_more_conditions_first(self) -> None:
        """
        Domain and path before domain alone, this before nothing; among equals by name.
        """

        def key(name: str, match: Match) -> tuple[object, ...]:
            destination = Destination(0, 80, match, name, name)
            return self.factory.key(Route(Service(name, name, (destination,)), destination))

        host, path = HostPattern("exact", b"a"), PathPattern("prefix", b"/a")
        keys = [
            key("z", Match(paths=(path,), hosts=(host,))),
            key("a", Match(hosts=(host,))),
            key("b", Match(paths=(path, path))),
            key("a", Match()),
        ]
        self.assertEqual(keys, sorted(keys))  # type: ignore[type-var]  # keys hold any sortable


class TestHasQuery(Examples, RouteConditionContract, SynchronousTestCase):
    """
    The condition.
    """

    values = ("debug", "trace")
    accepted = tuple(
        FakeRequest(target=target) for target in (b"/?debug", b"/a?x=1&trace=2", b"/?debug=", b"*?debug", b"/?a?&trace")
    )
    rejected = tuple(
        FakeRequest(target=target) for target in (b"/", b"/debug", b"/?debugger=1", b"/?x=debug", b"/?", b"")
    )
    invalid = ((), ("",), ("a=b",), ("a", "b&c"))

    def setUp(self) -> None:
        """
        As it is found.
        """
        super().setUp()
        self.factory = self.strategies.conditions["has-query"]
