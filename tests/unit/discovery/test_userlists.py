"""
Users that are others while the proxy runs.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.control.publisher import Publisher
from dfproxy.dfp.reconfigure import read
from dfproxy.dfp.users import NOBODY
from dfproxy.discovery.userlists import MOST_ROUNDS, PAUSE_S, UserLists
from dfproxy.errors import InvalidSettings, Problem
from dfproxy.model.service import Balance, Service
from dfproxy.model.settings import Settings
from dfproxy.model.steps import User
from tests.fakes import FakeDataPlane, FakeNames

BEFORE = Settings(users=(User("all", "1"),), user_lists=(("team", "t:1"), ("other", "o:1")))


class UserListsTests(SynchronousTestCase):
    """
    `refresh`, with the real publisher.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.plane = FakeDataPlane()
        self.publisher = Publisher(self.plane, FakeNames(), self.clock)
        self.now = BEFORE
        self.told = 0
        self.lists = UserLists(BEFORE, lambda: self.now, self.meaning, self.publisher, self.clock, maybeDeferred)

    def meaning(self, parameters: tuple[tuple[str, str], ...], origin: str) -> Service | None:
        return read(list(parameters), (), self.lists.settings, lambda text: Balance(text)).service

    def publish(self, query: str) -> Deferred[Any]:
        found = self.meaning(tuple(parse_qsl(f"servicePath=/&port=80&{query}")), "dfp")
        assert found is not None
        return self.publisher.publish((found,))

    def users(self, name: str) -> list[str]:
        steps = self.publisher.snapshot.services[name].destinations[0].steps
        assert steps is not None and steps.access is not None
        return [user.password for user in steps.access.users]

    def tell(self) -> None:
        self.told += 1

    def refresh(self, turns: int = 3) -> tuple[str, ...]:
        done = self.lists.refresh(self.tell)
        self.clock.pump([0] * turns)
        result: tuple[str, ...] = self.successResultOf(done)
        return result

    def test_changed(self) -> None:
        """
        Services that use what has changed get the new users, the others are not touched.
        """
        for query in ("serviceName=a&usersSecret=team", "serviceName=b&usersSecret=other", "serviceName=c"):
            self.publish(query)
        self.publish("serviceName=d&ignoreAuthorization=true")
        before = dict(self.publisher.snapshot.services)
        self.now = Settings(users=(User("all", "2"),), user_lists=(("team", "t:2,u:3"), ("other", "o:1")))
        self.assertEqual(self.refresh(), ())
        self.assertEqual((self.users("a"), self.users("b"), self.users("c")), (["2", "3"], ["1"], ["2"]))
        after = self.publisher.snapshot.services
        self.assertEqual([name for name in after if after[name] is not before[name]], ["a", "c"])
        self.assertEqual((self.told, self.lists.settings.users), (1, (User("all", "2"),)))

    def test_gone(self) -> None:
        """
        A list that is not there any more lets nobody in.
        """
        self.publish("serviceName=a&usersSecret=team")
        self.now = Settings(users=BEFORE.users)
        self.refresh()
        self.assertEqual(self.users("a"), [NOBODY.password])

    def test_nothing_new(self) -> None:
        """
        With the same users nothing happens.
        """
        self.publish("serviceName=a&usersSecret=team")
        revision = self.publisher.snapshot.revision
        self.assertEqual(self.refresh(0), ())
        self.assertEqual((self.publisher.snapshot.revision, self.told), (revision, 0))
        unknown = UserLists(BEFORE, None, self.meaning, self.publisher, self.clock, maybeDeferred)
        self.assertEqual(self.successResultOf(unknown.refresh(self.tell)), ())

    def test_unreadable(self) -> None:
        """
        Secrets that cannot be read leave everything as it was, and are told.
        """
        self.publish("serviceName=a&usersSecret=team")

        def again() -> Settings:
            raise InvalidSettings((Problem("secret", "/s/dfp_users_team", "is no UTF-8 text"),))

        lists = UserLists(BEFORE, again, self.meaning, self.publisher, self.clock, maybeDeferred)
        (line,) = self.successResultOf(lists.refresh(self.tell))
        self.assertIn("/s/dfp_users_team", line)
        self.assertEqual((self.users("a"), self.told, lists.settings), (["1"], 0, BEFORE))

    def test_change_under_way(self) -> None:
        """
        A change that was asked for before and is in force later is not undone, and has the new users all the same.
        """
        self.publish("serviceName=a&usersSecret=team")
        self.plane.hold = True
        self.publish("serviceName=a&usersSecret=other&servicePath.1=/new&port.1=81")
        self.now = Settings(user_lists=(("team", "t:2"), ("other", "o:2")))
        done = self.lists.refresh(self.tell)
        self.clock.pump([0, PAUSE_S, PAUSE_S])
        self.assertNoResult(done)
        self.plane.hold = False
        self.plane.held[0].callback(None)
        self.clock.pump([PAUSE_S, 0, PAUSE_S])
        self.assertEqual(self.successResultOf(done), ())
        self.assertEqual(self.publisher.snapshot.services["a"].destinations[0].port, 81)
        self.assertEqual(self.users("a"), ["2"])

    def test_endless_change(self) -> None:
        """
        One that is never done keeps nobody waiting for ever.
        """
        self.plane.hold = True
        self.publish("serviceName=b")
        self.plane.hold = False
        self.publisher.snapshot.services["b"] = Service("b", "b", ())
        self.now = Settings(user_lists=(("team", "t:2"),))
        done = self.lists.refresh(self.tell)
        self.clock.pump([0, PAUSE_S] * (MOST_ROUNDS + 1))
        self.assertEqual(self.successResultOf(done), ())
