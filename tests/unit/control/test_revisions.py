"""
The last revisions, and the way back.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.control import revisions as module
from dfproxy.control.revisions import REVISIONS, Forgotten, Revisions, holds_of
from dfproxy.model.match import Match
from dfproxy.model.service import Destination, Service
from dfproxy.model.snapshot import Change, Hold, Revision, Snapshot


def service(name: str, port: int = 80, origin: str = "dfp") -> Service:
    return Service(name, name, (Destination(0, port, Match(), "host", name),), origin=origin)


class World:
    """
    What is in force, changed step by step.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.revisions = Revisions(lambda: self.now)
        self.snapshot = Snapshot()
        self.past = {0: self.snapshot.services}

    def change(self, *services: Service, removed: tuple[str, ...] = (), cause: str = "") -> None:
        self.now += 1
        removed = tuple(name for name in removed if name in self.snapshot.services)
        change = Change(Revision(self.snapshot.revision.number + 1), services, removed)
        before = self.snapshot
        kept = {name: each for name, each in before.services.items() if name not in removed}
        self.snapshot = Snapshot(change.revision, {**kept, **{each.name: each for each in services}})
        self.past[change.revision.number] = self.snapshot.services
        self.revisions.add(before, change, [(cause, "dfp")])

    def back(self, number: int) -> dict[str, Service]:
        found = {**self.snapshot.services, **self.revisions.back_to(number)}
        return {name: each for name, each in found.items() if each is not None}


class RevisionsTests(SynchronousTestCase):
    def test_told(self) -> None:
        """
        The latest first, each with its time, its causes, and what was before and after.
        """
        world = World()
        world.change(service("a"), cause="reconfigure")
        world.change(service("b"), removed=("a",), cause="services")
        latest, first = world.revisions.steps()
        self.assertEqual((first.revision.number, first.time_s, first.causes), (1, 1001.0, (("reconfigure", "dfp"),)))
        self.assertEqual(
            (latest.before, latest.after), ({"a": service("a"), "b": None}, {"a": None, "b": service("b")})
        )

    @given(
        st.lists(
            st.tuples(
                st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 3)), max_size=3),
                st.sets(st.sampled_from("abcd")),
            ),
            max_size=8,
        )
    )
    @settings(max_examples=60, deadline=None)
    def test_back(self, script: list[tuple[list[tuple[str, int]], set[str]]]) -> None:
        """
        Whatever has changed since, going back gives exactly what was in force then.
        """
        world = World()
        for published, removed in script:
            services = {name: service(name, port) for name, port in published}
            world.change(*services.values(), removed=tuple(removed - services.keys()))
        for number, was in world.past.items():
            self.assertEqual(world.back(number), was)

    def test_bounded(self) -> None:
        """
        Only so many are kept, and only so many definitions; what is not kept cannot be gone back to, and is said.
        """
        world = World()
        for number in range(REVISIONS + 5):
            world.change(service("a", 1 + number))
        self.assertEqual(len(world.revisions.steps()), REVISIONS)
        self.assertEqual((world.revisions.since.number, world.revisions.since_s), (5, 1005.0))
        self.assertEqual(world.back(5), world.past[5])
        for number in (4, REVISIONS + 6):
            error = self.assertRaises(Forgotten, world.revisions.back_to, number)
            self.assertIn("5 to 105", str(error))
        self.patch(module, "DEFINITIONS", 10)
        world.change(*(service(f"x{n}") for n in range(5)))
        self.assertEqual(len(world.revisions.steps()), 1)
        self.assertEqual(world.back(105), world.past[105])

    def test_begin(self) -> None:
        """
        After a restart they begin with what is in force.
        """
        world = World()
        world.change(service("a"))
        world.revisions.begin(Revision(1))
        self.assertEqual(world.revisions.steps(), ())
        self.assertEqual(world.revisions.back_to(1), {})
        self.assertRaises(Forgotten, world.revisions.back_to, 0)


class HoldsTests(SynchronousTestCase):
    def test_only_what_sources_say(self) -> None:
        """
        What somebody called about once needs no hold; what is said again and again does, against what is said now.
        """
        old, now = service("a", 1, "environment"), service("a", 2, "environment")
        present = Snapshot(Revision(7), {"a": now, "b": service("b")})
        held = holds_of({"a": old, "b": None}, present, lambda one: one.origin == "environment", 7)
        self.assertEqual(held, (Hold("a", now, 7),))

    def test_still_held(self) -> None:
        """
        Going further back keeps out what the source says, not what was held; going back to what it says needs no hold.
        """
        said, older, oldest = (service("a", port, "environment") for port in (3, 2, 1))
        present = Snapshot(Revision(8), {"a": older}, holds={"a": Hold("a", said, 7)})
        self.assertEqual(holds_of({"a": oldest}, present, lambda one: True, 8), (Hold("a", said, 8),))
        self.assertEqual(holds_of({"a": said}, present, lambda one: True, 8), ())
