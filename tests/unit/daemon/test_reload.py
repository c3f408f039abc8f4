"""
What is read again, and what is said of what cannot be used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.daemon.reload import FileReload
from dfproxy.errors import InvalidSettings, Problem
from tests.unit.api.services import service, snapshot


class House:
    """
    Everybody who reads.
    """

    def __init__(self) -> None:
        self.asked: list[object] = []
        self.broken = False

    def again(self) -> Deferred[tuple[str, ...]]:
        return succeed(("a.pem: no key",))

    def refresh(self, told: Callable[[], None]) -> Deferred[tuple[str, ...]]:
        told()
        return succeed(("users: none",))

    def read(self) -> None:
        self.asked.append("tokens")
        if self.broken:
            raise InvalidSettings((Problem("--api-token-file", "/t", "cannot be read"),))

    def ask_now(self, name: str, index: int) -> None:
        self.asked.append((name, index))

    def query(self, what: str, argument: object) -> Deferred[list[Any]]:
        return succeed([["503.http: too long"], None, ["503.http: too long"]])


class FileReloadTests(SynchronousTestCase):
    """
    `FileReload`.
    """

    def read(self, house: House) -> tuple[str, ...]:
        fake: Any = house
        told: Callable[[], None] = lambda: house.asked.append("told")  # noqa: E731  short
        reload = FileReload(fake, fake, fake, fake, fake, lambda: snapshot(service("a")), maybeDeferred, told)
        return self.successResultOf(reload.again())

    def test_all(self) -> None:
        """
        Everything is read, names are asked, and what two workers say alike is said once.
        """
        house = House()
        self.assertEqual(self.read(house), ("a.pem: no key", "users: none", "503.http: too long"))
        self.assertEqual(house.asked, ["told", "tokens", ("a", 0)])

    def test_tokens(self) -> None:
        """
        Tokens that cannot be read are said, and all else is read all the same.
        """
        house = House()
        house.broken = True
        found = self.read(house)
        self.assertEqual(len(found), 4)
        self.assertIn("the tokens of before stay in force", found[2])
        self.assertIn(("a", 0), house.asked)
