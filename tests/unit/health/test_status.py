"""
States of servers, and who may be used.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.health.status import TRANSITIONS, Event, State, Status, bound, tables, usable, why_unused
from dfproxy.model.checks import DRAIN, MAINT, READY, STANDINGS
from tests.requirements import ROOT


@dataclass(frozen=True)
class Server:
    """
    A server to be judged.
    """

    name: str = "a"
    weight: int = 1
    standing: str = READY
    down: bool = False
    unreachable: bool = False
    suspended: bool = False


def after(results: str, rise: int = 2, fall: int = 3) -> Status:
    """
    What a row of results makes; `+` is a success.
    """
    status = Status()
    for result in results:
        status.result(result == "+", rise, fall)
    return status


class StatusTests(SynchronousTestCase):
    """
    Results in, states out.
    """

    def test_every_move(self) -> None:
        """
        Every state knows what every event makes of it.
        """
        self.assertEqual(set(TRANSITIONS), set(product(State, Event)))

    def test_begins_up(self) -> None:
        """
        A server that nobody has checked is used.
        """
        self.assertTrue(Status().is_up)

    def test_down_after_fall(self) -> None:
        """
        Three failures in a row, no fewer, and not with a success between.
        """
        for results, state in (
            ("-", State.FAILING),
            ("--", State.FAILING),
            ("--+", State.UP),
            ("--+--", State.FAILING),
            ("---", State.DOWN),
            ("-----", State.DOWN),
        ):
            self.assertEqual(after(results).state, state, results)

    def test_up_after_rise(self) -> None:
        """
        Two successes in a row bring it back, and not with a failure between.
        """
        for results, state in (
            ("---+", State.RECOVERING),
            ("---+-", State.DOWN),
            ("---+-+", State.RECOVERING),
            ("---++", State.UP),
        ):
            self.assertEqual(after(results).state, state, results)

    def test_one_is_enough(self) -> None:
        """
        With 1 and 1 each result decides.
        """
        self.assertEqual(after("-", 1, 1).state, State.DOWN)
        self.assertEqual(after("-+", 1, 1).state, State.UP)

    def test_words(self) -> None:
        """
        As HAProxy says it.
        """
        words = [after(results).words(2, 3) for results in ("", "+", "-", "--", "---", "---+", "---++")]
        self.assertEqual(words, ["UP", "UP", "UP 2/3", "UP 1/3", "DOWN", "DOWN 1/2", "UP"])

    @given(st.lists(st.booleans(), max_size=40), st.integers(1, 5), st.integers(1, 5))
    def test_as_told_in_a_row(self, results: list[bool], rise: int, fall: int) -> None:
        """
        Whatever comes: it is down after `fall` failures in a row until `rise` successes in a row, and each change is
        told once.
        """
        status, is_up = Status(), True
        for number, passed in enumerate(results, 1):
            changed = status.result(passed, rise, fall)
            last = results[:number]
            if is_up and len(last) >= fall and not any(last[-fall:]):
                expected = False
            elif not is_up and len(last) >= rise and all(last[-rise:]):
                expected = True
            else:
                expected = is_up
            self.assertEqual((status.is_up, changed), (expected, expected is not is_up))
            is_up = expected


class UsableTests(SynchronousTestCase):
    """
    Who may be used.
    """

    def names(self, *servers: Server) -> tuple[str, bool]:
        found, last_resort = usable(servers)
        return "".join(server.name for server in found), last_resort

    def test_all_well(self) -> None:
        """
        All are used.
        """
        self.assertEqual(self.names(Server("a"), Server("b")), ("ab", False))

    def test_left_out(self) -> None:
        """
        Not used: who is down, drained, switched off, without weight, unreachable or suspended.
        """
        for name, wrong in (
            ("standing", MAINT),
            ("standing", DRAIN),
            ("down", True),
            ("weight", 0),
            ("unreachable", True),
            ("suspended", True),
        ):
            self.assertEqual(self.names(Server("a", **{name: wrong}), Server("b")), ("b", False), name)  # type: ignore[arg-type]  # by name

    def test_none_left_here(self) -> None:
        """
        Ejection here never overrides the operator or checks: those that they allow are used, and no others.
        """
        servers = Server("a", unreachable=True), Server("b", suspended=True, unreachable=True), Server("c", down=True)
        self.assertEqual(self.names(*servers), ("ab", False))

    def test_last_resort(self) -> None:
        """
        None allowed: all but those in maintenance are, and it is said.
        """
        servers = Server("a", down=True), Server("b", standing=DRAIN), Server("c", standing=MAINT)
        self.assertEqual(self.names(*servers), ("ab", True))
        self.assertEqual(self.names(Server("c", standing=MAINT)), ("", False))

    def test_bound(self) -> None:
        """
        A drained server, or one without weight, keeps the clients that are bound to it, while it works.
        """
        servers = (
            Server("a", standing=DRAIN),
            Server("b", weight=0),
            Server("c"),
            Server("d", standing=DRAIN, down=True),
            Server("e", standing=MAINT),
        )
        self.assertEqual("".join(server.name for server in bound(servers)), "ab")

    def test_why(self) -> None:
        """
        The reason is the one that counts most.
        """
        self.assertIn("maint", why_unused(MAINT, 0, State.DOWN))
        self.assertIn("drain", why_unused(DRAIN, 1, State.DOWN))
        self.assertIn("weight", why_unused(READY, 0, State.UP))
        self.assertIn("checks fail", why_unused(READY, 1, State.DOWN))
        self.assertIn("too few", why_unused(READY, 1, State.RECOVERING))
        self.assertEqual(why_unused(READY, 1, State.FAILING), "")
        self.assertEqual(why_unused(READY, 1, None), "")

    @given(
        st.lists(
            st.builds(
                Server,
                st.just("x"),
                st.integers(0, 2),
                st.sampled_from(STANDINGS),
                st.booleans(),
                st.booleans(),
                st.booleans(),
            ),
            max_size=6,
        )
    )
    def test_always(self, servers: list[Server]) -> None:
        """
        Maintenance and weight 0 are never used, a server that may be is, and nobody is left without need.
        """
        found, last_resort = usable(servers)
        self.assertFalse([server for server in found if server.standing == MAINT or not server.weight])
        allowed = [server for server in servers if not server.down and server.standing == READY and server.weight]
        self.assertEqual(last_resort, not allowed and bool(found))
        if allowed:
            self.assertTrue(found)
            self.assertFalse([server for server in found if server.down or server.standing != READY])
        else:
            self.assertEqual(len(found), sum(server.standing != MAINT and server.weight > 0 for server in servers))


class PageTests(SynchronousTestCase):
    """
    What the manual says.
    """

    def test_tables(self) -> None:
        """
        docs/health.md has the tables of the code.
        """
        page = (ROOT / "docs" / "health.md").read_text(encoding="utf-8")
        self.assertIn("\n".join(tables()), page, "run: python -m dfproxy.health.status, and put it into docs/health.md")
