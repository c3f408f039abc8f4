"""
Who is told what, in which order, whoever answers, dies or comes meanwhile.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.errors import NotReady, Refused
from dfproxy.model.checks import Verdicts
from dfproxy.model.snapshot import Change, Revision
from dfproxy.observe.cells import CellDirectory, size
from dfproxy.workers.child import State
from dfproxy.workers.definitions import PART_ITEMS, Definitions
from dfproxy.workers.messages import Part, Prepare
from dfproxy.workers.rounds import NOBODY_S, Rounds
from tests.unit.workers.children import PaperChild
from tests.unit.workers.test_definitions import members, service


class RoundsCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.cells = CellDirectory(memoryview(bytearray(size(2, 1024))), self.clock.seconds, 1024)
        self.known = Definitions(self.cells)
        self.children: set[PaperChild] = set()
        self.caught_up = 0
        self.rounds = Rounds(self.clock, self.known, self.children, self.note)  # type: ignore[arg-type]  # paper

    def note(self) -> None:
        self.caught_up += 1

    def child(self, state: State = State.READY) -> PaperChild:
        child = PaperChild(len(self.children) + 1, state)
        self.children.add(child)
        return child

    def committed(self, number: int, *names: str) -> None:
        """
        A change that all ready workers take.
        """
        ready = self.rounds.prepare(Change(Revision(number), tuple(map(service, names))))
        for _ in range(2):
            for child in self.children:
                if child.state is State.READY:
                    child.answer()
            if not self.known.revision.number == number:
                self.successResultOf(ready)
                done = self.rounds.commit(Revision(number))
        self.successResultOf(done)


class RoundTests(RoundsCase):
    """
    One change.
    """

    def test_two_phases(self) -> None:
        """
        Ready only when all are, committed only when all have confirmed.
        """
        one, two = self.child(), self.child()
        ready = self.rounds.prepare(Change(Revision(1), (service("a"),)))
        self.assertEqual((one.heard(), two.heard()), (["Part", "Prepare"], ["Part", "Prepare"]))
        one.answer()
        self.assertNoResult(ready)
        two.answer()
        self.successResultOf(ready)
        self.assertEqual(self.known.services, {})
        done = self.rounds.commit(Revision(1))
        self.assertEqual((one.heard(), two.heard()), (["Commit"], ["Commit"]))
        two.answer()
        self.assertNoResult(done)
        one.answer()
        self.successResultOf(done)
        self.assertEqual(set(self.known.services), {"a"})

    def test_refused(self) -> None:
        """
        One refusal: those that are ready are told to forget it, and the reason is passed on.
        """
        one, two = self.child(), self.child()
        ready = self.rounds.prepare(Change(Revision(1), (service("a"),)))
        one.answer()
        two.refuse("no such strategy")
        self.assertIn("no such strategy", self.failureResultOf(ready, Refused).getErrorMessage())
        self.assertEqual(one.heard(), ["Part", "Prepare", "Abort"])
        self.assertEqual(two.heard(), ["Part", "Prepare"])
        self.assertEqual(len(self.cells), 0)
        self.committed(1, "b")

    def test_dies_between(self) -> None:
        """
        A worker that dies before it answers, or between ready and commit, counts as gone.
        """
        one, two, three = self.child(), self.child(), self.child()
        ready = self.rounds.prepare(Change(Revision(1), (service("a"),)))
        self.children.discard(one)
        self.rounds.leave(one)  # type: ignore[arg-type]  # paper
        two.answer()
        three.answer()
        self.successResultOf(ready)
        self.children.discard(two)
        self.rounds.leave(two)  # type: ignore[arg-type]  # paper
        done = self.rounds.commit(Revision(1))
        self.assertNoResult(done)
        self.children.discard(three)
        self.rounds.leave(three)  # type: ignore[arg-type]  # paper
        self.successResultOf(done)
        self.assertEqual(set(self.known.services), {"a"})

    def test_nobody(self) -> None:
        """
        Without a worker a change waits for one to come, but not for ever.
        """
        ready = self.rounds.prepare(Change(Revision(1), (service("a"),)))
        self.clock.advance(NOBODY_S - 0.1)
        self.assertNoResult(ready)
        self.clock.advance(0.1)
        self.failureResultOf(ready, NotReady)
        self.rounds.prepare(Change(Revision(1), (service("a"),))).addErrback(lambda _: None)

    def test_first_to_come(self) -> None:
        """
        A change that waits for a worker is prepared in the first that comes.
        """
        ready = self.rounds.prepare(Change(Revision(1), (service("a"),)))
        child = self.child(State.LOADING)
        self.rounds.load(child)  # type: ignore[arg-type]  # paper
        child.answer()
        child.answer()
        self.assertEqual(child.heard(), ["Prepare", "Commit", "Part", "Prepare"])
        child.answer()
        self.successResultOf(ready)

    def test_all_die_of_it(self) -> None:
        """
        A change of which all workers die, twice, is given up.
        """
        one = self.child()
        ready = self.rounds.prepare(Change(Revision(1), (service("a"),)))
        for child in (one, self.child(State.LOADING)):
            if child is not one:
                self.rounds.load(child)  # type: ignore[arg-type]  # paper
                child.answer()
                child.answer()
            self.children.discard(child)
            self.rounds.leave(child)  # type: ignore[arg-type]  # paper
        self.assertIn("ended", self.failureResultOf(ready, NotReady).getErrorMessage())

    def test_aborted(self) -> None:
        """
        A ready change that cannot be recorded is forgotten everywhere.
        """
        child = self.child()
        self.rounds.prepare(Change(Revision(1), (service("a"),)))
        child.answer()
        self.rounds.abort(Revision(1))
        self.assertEqual(child.heard()[-1], "Abort")
        self.failureResultOf(self.rounds.commit(Revision(1)), RuntimeError)
        self.committed(1, "b")

    def test_too_large(self) -> None:
        """
        A service that no frame takes is refused, not sent.
        """
        child = self.child()
        huge = service("x" * (17 * 1024 * 1024))
        self.failureResultOf(self.rounds.prepare(Change(Revision(1), (huge,))), Refused)
        self.assertEqual(child.heard(), [])

    def test_limit(self) -> None:
        """
        How much a frame takes is the operator's choice: what fits alone goes alone, what does not is refused.
        """
        child = self.child()
        rounds = Rounds(self.clock, self.known, self.children, self.note, 3000)  # type: ignore[arg-type]  # paper
        self.assertNoResult(rounds.prepare(Change(Revision(1), (service("x" * 300), service("y" * 300)))))
        child.answer()
        rounds.abort(Revision(1))
        self.assertEqual(child.heard(), ["Part", "Part", "Prepare", "Abort"])
        self.failureResultOf(rounds.prepare(Change(Revision(1), (service("x" * 3000),))), Refused)


class MembersTests(RoundsCase):
    """
    Memberships beside changes.
    """

    def test_passed_on(self) -> None:
        """
        A newer list of servers of a known destination goes to all, an older one to nobody.
        """
        child = self.child()
        self.committed(1, "a")
        child.heard()
        for epoch in (3, 2):
            self.rounds.members(members("a", epoch, "h"))
        self.rounds.members(members("unknown", 4, "h"))
        self.assertEqual(child.heard(), ["Members"])

    def test_during_a_round(self) -> None:
        """
        Servers of a service that is being published reach the workers right after its commit.
        """
        child = self.child()
        ready = self.rounds.prepare(Change(Revision(1), (service("a"),), memberships=(members("a", 1, "old"),)))
        self.rounds.members(members("a", 3, "new"))
        self.rounds.members(members("a", 2, "older"))
        child.answer()
        self.successResultOf(ready)
        self.rounds.commit(Revision(1))
        self.assertNotIn("Members", child.heard())
        child.answer()
        self.assertEqual(child.said[-1].membership.servers[0].host, "new")  # type: ignore[union-attr]  # Members


class LoadTests(RoundsCase):
    """
    Workers that come.
    """

    def test_in_pieces(self) -> None:
        """
        A new worker is told all there is piece by piece; what changes meanwhile it is told after, and then it is ready.
        """
        self.child()
        self.committed(1, *(f"s{n}" for n in range(PART_ITEMS + 1)))
        child = self.child(State.LOADING)
        self.rounds.load(child)  # type: ignore[arg-type]  # paper
        self.assertEqual(child.heard(), ["Part"])
        self.rounds.members(members("s0", 9, "h"))
        self.committed(2, "later")
        self.clock.advance(0)
        self.assertEqual(child.heard(), ["Part", "Prepare", "Commit", "Members"])
        child.answer()
        child.answer()
        self.assertIs(child.state, State.LOADING)
        part, prepare = child.said[:2]
        assert isinstance(part, Part) and isinstance(prepare, Prepare)
        self.assertEqual([one.name for one in part.services], ["later"])
        self.assertFalse(prepare.whole)
        child.answer()
        child.answer()
        self.assertIs(child.state, State.READY)

    def test_taken_up_before_the_first(self) -> None:
        """
        At a start all that was in force is known before there is a worker, and the first one is told it as it comes.
        """
        whole = Change(Revision(7), (service("a"), service("b")), whole=True)
        self.successResultOf(self.rounds.prepare(whole))
        self.successResultOf(self.rounds.commit(Revision(7)))
        child = self.child(State.LOADING)
        self.rounds.load(child)  # type: ignore[arg-type]  # paper
        part, prepare = child.said[:2]
        assert isinstance(part, Part) and isinstance(prepare, Prepare)
        self.assertEqual([one.name for one in part.services], ["a", "b"])
        self.assertEqual((prepare.revision.number, prepare.whole), (7, True))

    def test_takes_part_soon(self) -> None:
        """
        With changes one after the other a new worker takes part as soon as all is on its way to it.
        """
        self.child()
        self.committed(1, "a")
        child = self.child(State.LOADING)
        self.rounds.load(child)  # type: ignore[arg-type]  # paper
        self.committed(2, "b")
        child.answer()
        child.answer()
        child.heard()
        self.rounds.prepare(Change(Revision(3), (service("c"),)))
        self.assertEqual(child.heard(), ["Part", "Prepare"])
        self.assertIs(child.state, State.READY)

    def test_cannot(self) -> None:
        """
        A new worker that cannot take what the others have is given up.
        """
        child = self.child(State.LOADING)
        self.rounds.load(child)  # type: ignore[arg-type]  # paper
        child.refuse("out of memory")
        child.answer()
        self.assertEqual(child.given_up, "out of memory")
        self.assertIs(child.state, State.LOADING)


class VerdictTests(RoundsCase):
    """
    What checks say.
    """

    def test_told(self) -> None:
        """
        Everybody is told; a new worker after all that it has to know first, and also of what came before it.
        """
        self.child()
        self.committed(1, "a")
        down = Verdicts("a", 0, 1, (("h", 80),))
        (one,) = self.children
        one.heard()
        self.rounds.verdicts(down)
        self.assertEqual(one.heard(), ["Judged"])
        self.rounds.verdicts(down)
        self.assertEqual(one.heard(), [], "once")
        new = self.child(State.LOADING)
        self.rounds.load(new)  # type: ignore[arg-type]  # paper
        self.clock.advance(0)
        self.assertEqual(new.heard(), ["Part", "Prepare", "Commit", "Judged"])
