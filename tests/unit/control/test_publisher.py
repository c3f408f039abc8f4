"""
The one door: order, batches, refusals and answers.

Longer than other modules, but one thing: one door, with all who may stand before it.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from dfproxy.control.digests import digest
from dfproxy.control.publisher import CALLERS, NAMES_S, PREPARE_S, Publisher
from dfproxy.dfp.kept import hashed
from dfproxy.errors import NotReady, Overloaded, Refused, Superseded
from dfproxy.interfaces import IDataPlane, INames, IPublisher
from dfproxy.model.certificate import Certificate
from dfproxy.model.match import Match
from dfproxy.model.service import Destination, Service
from dfproxy.model.snapshot import Change, Hold, Membership, Revision, ServerAddress
from tests.unit.api.services import service as with_users


def service(name: str, port: int = 80) -> Service:
    return Service(name, name, (Destination(0, port, Match(), "host", name),))


@implementer(IDataPlane)
class Plane:
    """
    Refuses services on port 1, dies of those on port 2, waits when told to.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.changes: list[Change] = []
        self.services: dict[str, Service] = {}
        self.prepared: Change | None = None
        self.waiting: Deferred[None] | None = None
        self.down = False

    def prepare(self, change: Change) -> Deferred[None]:
        assert self.prepared is None
        self.calls.append(f"prepare {change.revision.number}")
        if self.down:
            return fail(NotReady("no worker is up"))
        for one in change.services:
            if one.destinations[0].port == 1:
                return fail(Refused(f"{one.name} is bad"))
            if one.destinations[0].port == 2:
                return fail(ZeroDivisionError("oops"))
        self.prepared = change
        return self.waiting if self.waiting is not None else succeed(None)

    def commit(self, revision: Revision) -> Deferred[None]:
        change, self.prepared = self.prepared, None
        assert change is not None and change.revision == revision
        self.calls.append(f"commit {revision.number}")
        self.changes.append(change)
        if change.whole:
            self.services = {}
        for name in change.removed:
            del self.services[name]
        self.services.update({one.name: one for one in change.services})
        return succeed(None)

    def abort(self, revision: Revision) -> None:
        self.calls.append(f"abort {revision.number}")
        self.prepared = None

    def members(self, membership: Membership) -> None:
        pass

    def query(self, what: str, argument: Any) -> Deferred[list[Any]]:
        return succeed([])

    def hold(self) -> None:
        self.waiting = Deferred()

    def go_on(self) -> None:
        waiting, self.waiting = self.waiting, None
        assert waiting is not None
        waiting.callback(None)


@implementer(INames)
class Names:
    """
    Knows every name at once, except those that start with `slow`, until told.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[str, ...]]] = []
        self.waiting: list[Deferred[tuple[Membership, ...]]] = []

    def first_servers(self, services: tuple[Service, ...]) -> Deferred[tuple[Membership, ...]]:
        self.calls.append(("ask", tuple(one.name for one in services)))
        if services[0].name.startswith("slow"):
            answer: Deferred[tuple[Membership, ...]] = Deferred()
            self.waiting.append(answer)
            return answer
        return succeed(tuple(Membership(one.name, 0, 5, (ServerAddress("10.0.0.1", 80),)) for one in services))

    def keep(self, services: tuple[Service, ...]) -> None:
        self.calls.append(("keep", tuple(one.name for one in services)))

    def forget(self, names: tuple[str, ...]) -> None:
        self.calls.append(("forget", names))


class PublisherCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.plane = Plane()
        self.names = Names()
        self.clock = Clock()
        self.publisher = Publisher(self.plane, self.names, self.clock)


class OneCallerTests(PublisherCase):
    """
    One change at a time.
    """

    def test_interfaces(self) -> None:
        """
        It is what the API and discovery expect; so are the fakes.
        """
        verifyObject(IPublisher, self.publisher)
        verifyObject(IDataPlane, self.plane)
        verifyObject(INames, self.names)

    def test_publish(self) -> None:
        """
        Names first, then the two phases, then the answer with the revision; names are told to keep it.
        """
        revision = self.successResultOf(self.publisher.publish((service("a"),)))
        self.assertEqual(revision, self.publisher.snapshot.revision)
        self.assertEqual(revision.number, 1)
        self.assertEqual(self.plane.calls, ["prepare 1", "commit 1"])
        self.assertEqual(self.names.calls, [("ask", ("a",)), ("keep", ("a",))])
        self.assertEqual(self.plane.changes[0].memberships[0].servers[0].host, "10.0.0.1")

    def test_equal(self) -> None:
        """
        Publishing what is in force is answered at once, without a round or a new revision.
        """
        first = self.successResultOf(self.publisher.publish((service("a"),)))
        self.assertEqual(self.successResultOf(self.publisher.publish((service("a"),))), first)
        self.assertEqual(self.successResultOf(self.publisher.publish(())), first)
        self.assertEqual(len(self.plane.changes), 1)

    def test_withdraw(self) -> None:
        """
        A withdrawn service goes; one that never was is fine; the digest is that of nothing again.
        """
        self.successResultOf(self.publisher.publish((service("a"),)))
        revision = self.successResultOf(self.publisher.withdraw(("a", "never")))
        self.assertEqual(self.plane.services, {})
        self.assertEqual(revision.digest, "0" * 32)
        self.assertEqual(self.names.calls[-1], ("forget", ("a",)))
        self.assertEqual(self.successResultOf(self.publisher.withdraw(("a",))), revision)

    def test_refused(self) -> None:
        """
        A refusal reaches the caller with its reason; all is as it was, and the name is forgotten.
        """
        before = self.publisher.snapshot
        error = self.failureResultOf(self.publisher.publish((service("a"), service("b", 1))), Refused)
        self.assertIn("b is bad", error.getErrorMessage())
        self.assertIs(self.publisher.snapshot, before)
        self.assertEqual(self.names.calls[-1], ("forget", ("a", "b")))

    def test_broken(self) -> None:
        """
        A data plane that raises instead of refusing has refused.
        """
        error = self.failureResultOf(self.publisher.publish((service("a", 2),)), Refused)
        self.assertIn("ZeroDivisionError: oops", error.getErrorMessage())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_never_ready(self) -> None:
        """
        A change that never gets ready is given up, and the next one goes its way.
        """
        self.plane.hold()
        answer = self.publisher.publish((service("a"),))
        self.clock.advance(PREPARE_S)
        self.failureResultOf(answer, NotReady)
        self.assertEqual(self.plane.calls, ["prepare 1", "abort 1"])
        self.plane.waiting = None
        self.successResultOf(self.publisher.publish((service("b"),)))

    def test_unknown_names(self) -> None:
        """
        Names that do not come in time hold up nobody else, and their own change only so long.
        """
        slow = self.publisher.publish((service("slow"),))
        self.successResultOf(self.publisher.publish((service("quick"),)))
        self.assertNoResult(slow)
        self.clock.advance(NAMES_S)
        self.assertEqual(self.successResultOf(slow).number, 2)


class RecordTests(PublisherCase):
    """
    The journal's place.
    """

    def setUp(self) -> None:
        super().setUp()
        self.recording: Deferred[None] = Deferred()
        self.recorded: list[Change] = []
        self.publisher = Publisher(self.plane, self.names, self.clock, self.record)

    def record(self, change: Change) -> Deferred[None]:
        self.recorded.append(change)
        return self.recording

    def test_between(self) -> None:
        """
        Nothing is committed before it is durable.
        """
        answer = self.publisher.publish((service("a"),))
        self.assertEqual(self.plane.calls, ["prepare 1"])
        self.recording.callback(None)
        self.successResultOf(answer)
        self.assertEqual(self.plane.calls, ["prepare 1", "commit 1"])

    def test_refused_is_not_recorded(self) -> None:
        """
        What is refused never reaches the journal.
        """
        self.failureResultOf(self.publisher.publish((service("a", 1),)), Refused)
        self.assertEqual(self.recorded, [])

    def test_disk_full(self) -> None:
        """
        What cannot be recorded is not put in force.
        """
        answer = self.publisher.publish((service("a"),))
        self.recording.errback(OSError("disk full"))
        self.failureResultOf(answer, OSError)
        self.assertEqual(self.plane.calls, ["prepare 1", "abort 1"])
        self.assertEqual(self.publisher.snapshot.services, {})
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)


class BatchTests(PublisherCase):
    """
    Many callers at once.
    """

    def test_one_round(self) -> None:
        """
        All that come while a change is under way share one round.
        """
        self.plane.hold()
        answers = [self.publisher.publish((service(f"s{n}"),)) for n in range(100)]
        self.plane.go_on()
        self.assertEqual({self.successResultOf(answer).number for answer in answers}, {1, 2})
        self.assertEqual(self.plane.calls, ["prepare 1", "commit 1", "prepare 2", "commit 2"])

    def test_superseded(self) -> None:
        """
        The last change of a name wins; earlier callers are told, except those who wanted the same.
        """
        self.plane.hold()
        first = self.publisher.publish((service("other"),))
        answers = [self.publisher.publish((service("a", port),)) for port in (81, 82, 83, 82)]
        self.plane.go_on()
        self.successResultOf(first)
        self.failureResultOf(answers[0], Superseded)
        self.successResultOf(answers[1])
        self.failureResultOf(answers[2], Superseded)
        self.successResultOf(answers[3])
        self.assertEqual(self.plane.services["a"], service("a", 82))
        self.assertEqual(len(self.plane.changes[1].services), 1)

    def test_partly_superseded(self) -> None:
        """
        Of a change of several services only those that came again are left out; its caller is told it is in force.
        """
        self.plane.hold()
        self.publisher.publish((service("other"),))
        many = self.publisher.publish((service("a"), service("b")))
        one = self.publisher.publish((service("a", 81),))
        self.plane.go_on()
        self.assertEqual(self.successResultOf(many), self.successResultOf(one))
        self.assertEqual(self.plane.services["a"], service("a", 81))
        self.assertEqual(self.plane.services["b"], service("b"))

    def test_bad_one_among_many(self) -> None:
        """
        One bad service among a hundred is refused alone, with few rounds.
        """
        self.plane.hold()
        self.publisher.publish((service("other"),))
        answers = [self.publisher.publish((service(f"s{n}", 1 if n == 37 else 80),)) for n in range(100)]
        self.plane.go_on()
        error = self.failureResultOf(answers.pop(37), Refused)
        self.assertIn("s37 is bad", error.getErrorMessage())
        for answer in answers:
            self.successResultOf(answer)
        self.assertEqual(len(self.plane.services), 100)
        self.assertLess(len(self.plane.calls), 40)

    def test_nobody_there(self) -> None:
        """
        With no worker up all are told, once: it is no caller's fault.
        """
        self.plane.hold()
        first = self.publisher.publish((service("other"),))
        answers = [self.publisher.publish((service(f"s{n}"),)) for n in range(10)]
        self.plane.down = True
        self.plane.go_on()
        self.successResultOf(first)
        for answer in answers:
            self.failureResultOf(answer, NotReady)
        self.assertEqual(len(self.plane.calls), 3)

    def test_equal_while_another_waits(self) -> None:
        """
        Publishing again what is in force undoes a change of the same name that was asked for just before.
        """
        self.successResultOf(self.publisher.publish((service("a"),)))
        self.plane.hold()
        self.publisher.publish((service("other"),))
        changed = self.publisher.publish((service("a", 81),))
        again = self.publisher.publish((service("a"),))
        self.assertNoResult(again)
        self.plane.go_on()
        self.failureResultOf(changed, Superseded)
        self.successResultOf(again)
        self.assertEqual(self.plane.services["a"], service("a"))

    def test_slow_names_do_not_turn_time_back(self) -> None:
        """
        A change whose names come late does not undo a later change of the same service.
        """
        early = self.publisher.publish((service("slow-x"), service("a", 81)))
        late = self.publisher.publish((service("a", 82),))
        self.successResultOf(late)
        self.names.waiting[0].callback(())
        self.successResultOf(early)
        self.assertEqual(self.plane.services["a"], service("a", 82))
        self.assertIn("slow-x", self.plane.services)

    def test_too_many_callers(self) -> None:
        """
        Above the limit callers are sent away at once; when the others are answered there is room again.
        """
        self.plane.hold()
        answers = [self.publisher.publish((service(f"s{n}"),)) for n in range(CALLERS)]
        self.failureResultOf(self.publisher.publish((service("one more"),)), Overloaded)
        self.plane.go_on()
        for answer in answers:
            self.successResultOf(answer)
        self.successResultOf(self.publisher.publish((service("one more"),)))

    def test_few_callers(self) -> None:
        """
        How many may wait is the operator's choice.
        """
        publisher = Publisher(self.plane, self.names, self.clock, waiting=1)
        self.plane.hold()
        answer = publisher.publish((service("a"),))
        self.failureResultOf(publisher.publish((service("b"),)), Overloaded)
        self.plane.go_on()
        self.successResultOf(answer)

    def test_answered_caller_publishes(self) -> None:
        """
        A caller may publish again from its answer.
        """
        again: list[Deferred[Revision]] = []
        answer = self.publisher.publish((service("a"),))
        answer.addCallback(lambda _: again.append(self.publisher.publish((service("b"),))))
        self.assertEqual(self.successResultOf(again[0]).number, 2)


class RestoreTests(PublisherCase):
    """
    What was in force before.
    """

    def test_restored(self) -> None:
        """
        All services in one whole change under their old number; publishing meanwhile waits.
        """
        self.plane.hold()
        restored = self.publisher.restore((service("a"), service("b")), 41)
        after = self.publisher.publish((service("c"),))
        self.assertNoResult(after)
        self.plane.go_on()
        self.assertEqual(self.successResultOf(restored).number, 41)
        self.assertEqual(self.successResultOf(after).number, 42)
        self.assertTrue(self.plane.changes[0].whole)
        self.assertEqual(set(self.plane.services), {"a", "b", "c"})


class DigestTests(PublisherCase):
    """
    The digest of a revision.
    """

    @settings(max_examples=40, deadline=None)
    @given(
        st.lists(
            st.tuples(st.sampled_from("abcd"), st.integers(80, 82) | st.none()),
            max_size=12,
        )
    )
    def test_independent_of_the_way(self, steps: list[tuple[str, int | None]]) -> None:
        """
        It depends only on what is in force: kept up step by step it equals the sum over all services.
        """
        self.setUp()
        for name, port in steps:
            change = (
                self.publisher.withdraw((name,)) if port is None else self.publisher.publish((service(name, port),))
            )
            self.successResultOf(change)
        in_force = self.publisher.snapshot
        self.assertEqual(in_force.services, self.plane.services)
        expected = sum(digest(one) for one in in_force.services.values()) % 2**128
        self.assertEqual(in_force.revision.digest, f"{expected:032x}")


def certificate(file: str, digest: str = "1") -> Certificate:
    return Certificate(file, "folder", b"", b"", "ec", (f"{file}.test",), digest, 0.0)


class CertificateTests(PublisherCase):
    """
    Certificates take the same way as services.
    """

    def publish(self, *certificates: Certificate, services: tuple[Service, ...] = ()) -> Deferred[Revision]:
        return self.publisher.publish(services, certificates)

    def test_publish(self) -> None:
        """
        A certificate is prepared and committed like a service, is in the snapshot, and counts in its hash.
        """
        before = self.publisher.snapshot.revision
        revision = self.successResultOf(self.publish(certificate("a")))
        self.assertEqual(self.plane.changes[0].certificates, (certificate("a"),))
        self.assertEqual(self.publisher.snapshot.certificates, {"folder/a": certificate("a")})
        self.assertNotEqual(revision.digest, before.digest)

    def test_with_its_service(self) -> None:
        """
        A service and its certificate are one change: if the service is refused the certificate is not in force either.
        """
        self.failureResultOf(self.publish(certificate("a"), services=(service("x", 1),)), Refused)
        self.assertEqual(self.publisher.snapshot.certificates, {})
        self.successResultOf(self.publish(certificate("a"), services=(service("x"),)))
        change = self.plane.changes[0]
        self.assertEqual((change.services, change.certificates), ((service("x"),), (certificate("a"),)))

    def test_the_same_again(self) -> None:
        """
        A certificate that is in force already changes nothing; one of the same file with other content does.
        """
        self.successResultOf(self.publish(certificate("a")))
        self.successResultOf(self.publish(certificate("a")))
        self.assertEqual(self.publisher.snapshot.revision.number, 1)
        self.successResultOf(self.publish(certificate("a", "2")))
        self.assertEqual(self.publisher.snapshot.certificates, {"folder/a": certificate("a", "2")})

    def test_withdraw(self) -> None:
        """
        One that goes is named to the data plane, leaves the services alone, and the hash is as it was before it.
        """
        before = self.successResultOf(self.publish(services=(service("x"),)))
        self.successResultOf(self.publish(certificate("a")))
        after = self.successResultOf(self.publisher.withdraw(("folder/a", "folder/b")))
        self.assertEqual(self.plane.changes[-1].removed_certificates, ("folder/a",))
        self.assertEqual(self.plane.changes[-1].removed, ())
        self.assertEqual(after.digest, before.digest)
        self.assertNotIn(("forget", ("folder/a",)), self.names.calls)

    def test_last_one_counts(self) -> None:
        """
        Of two that wait for the same file the later one is put in force, and the earlier caller is told so.
        """
        self.plane.hold()
        first = self.publish(certificate("other"))
        lost, won = self.publish(certificate("a", "1")), self.publish(certificate("a", "2"))
        self.plane.go_on()
        self.successResultOf(first)
        self.failureResultOf(lost, Superseded)
        self.successResultOf(won)
        self.assertEqual(self.publisher.snapshot.certificates["folder/a"].digest, "2")

    def test_restored(self) -> None:
        """
        Certificates that were read before services are restored stay.
        """
        self.successResultOf(self.publish(certificate("a")))
        self.successResultOf(self.publisher.restore((service("x"),), 9))
        self.assertEqual(self.plane.changes[-1].certificates, (certificate("a"),))
        self.assertEqual(set(self.publisher.snapshot.certificates), {"folder/a"})


class KeptTests(SynchronousTestCase):
    """
    What was kept with hashes of passwords is given again with the passwords.
    """

    def setUp(self) -> None:
        self.verdicts: list[Deferred[list[bool]]] = []
        self.told: list[tuple[int, list[tuple[str, str]]]] = []
        self.plane, self.clock = Plane(), Clock()
        self.publisher = Publisher(
            self.plane,
            Names(),
            self.clock,
            recognise=self.recognise,
            told=lambda before, change, causes: self.told.append((change.revision.number, causes)),
        )
        self.kept = hashed(with_users("web", users="bob:secret"), lambda user: "$6$saltsalt$" + "x" * 86)
        self.successResultOf(self.publisher.restore((self.kept,), 7, ()))

    def recognise(self, pairs: list[tuple[Service, Service]]) -> Deferred[list[bool]]:
        self.assertEqual([kept for _, kept in pairs], [self.kept])
        self.verdicts.append(Deferred())
        return self.verdicts[-1]

    def test_the_same(self) -> None:
        """
        The same password is no change; what is in force stays as it is.
        """
        answer = self.publisher.publish((with_users("web", users="bob:secret"),))
        self.assertNoResult(answer)
        self.verdicts[0].callback([True])
        self.assertEqual(self.successResultOf(answer).number, 7)
        self.assertIs(self.publisher.snapshot.services["web"], self.kept)
        self.assertEqual(self.told, [])

    def test_another(self) -> None:
        """
        Another password is a change; and so is whatever else differs, which asks for no verdict.
        """
        answer = self.publisher.publish((with_users("web", users="bob:other"),), cause="why")
        self.verdicts[0].callback([False])
        self.assertEqual(self.successResultOf(answer).number, 8)
        self.assertEqual(self.told, [(8, [("why", "dfp")])])
        self.successResultOf(self.publisher.publish((with_users("web", users="eve:secret"),)))
        self.assertEqual(len(self.verdicts), 1)

    def test_overtaken(self) -> None:
        """
        Who comes later wins, also over who is still being recognised.
        """
        first = self.publisher.publish((with_users("web", users="bob:other"),))
        second = self.publisher.publish((with_users("web", users="eve:later"),))
        self.successResultOf(second)
        self.verdicts[0].callback([False])
        self.failureResultOf(first, Superseded)
        self.assertEqual(self.publisher.snapshot.services["web"], with_users("web", users="eve:later"))

    def test_no_verdict(self) -> None:
        """
        A verdict that does not come, or fails, does not keep the change: it counts as another password.
        """
        answer = self.publisher.publish((with_users("web", users="bob:secret"),))
        self.clock.advance(NAMES_S + 1)
        self.assertEqual(self.successResultOf(answer).number, 8)


class AtOnceTests(PublisherCase):
    """
    Several services put in force and taken away in one step.
    """

    def test_one_revision(self) -> None:
        """
        One change, one revision; refused, nothing of it is there.
        """
        self.successResultOf(self.publisher.publish((service("old"), service("both"))))
        answer = self.publisher.change((service("new"), service("both", 81)), ("old", "unknown"))
        self.assertEqual(self.successResultOf(answer).number, 2)
        self.assertEqual(set(self.plane.services), {"new", "both"})
        before = self.publisher.snapshot
        self.failureResultOf(self.publisher.change((service("x"), service("y", 1)), ("new",)), Refused)
        self.assertEqual(self.publisher.snapshot, before)

    def test_hold_and_race(self) -> None:
        """
        A source that repeats itself in the very moment of an undo does not win over it.
        """
        old, now = service("s", 81), service("s", 82)
        self.successResultOf(self.publisher.publish((old,)))
        self.successResultOf(self.publisher.publish((now,)))
        self.plane.hold()
        undo = self.publisher.change((old,), holds=(Hold("s", now, 2),))
        repeated = self.publisher.publish((now,))
        self.plane.go_on()
        self.successResultOf(undo)
        self.assertEqual(self.successResultOf(repeated).number, 3)
        self.assertEqual(self.publisher.snapshot.services["s"], old)
        self.assertEqual(set(self.publisher.snapshot.holds), {"s"})
