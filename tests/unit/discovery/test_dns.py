"""
Tests of `dfproxy.discovery.dns`: who the servers of a destination are, and when that is told.

Long, but one thing: every case needs the same clock, book of answers and data plane.
"""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher
from twisted.names import dns as wire
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from dfproxy.discovery.addresses import Answer, Verdict
from dfproxy.discovery.dns import ABSENT_S, BURST, QUESTIONS_PER_S, TOLD_AT_ONCE, Names
from dfproxy.discovery.names import DnsAddresses
from dfproxy.interfaces import INames
from dfproxy.model.match import Match
from dfproxy.model.service import Destination, Endpoint, Service
from dfproxy.model.settings import Settings
from dfproxy.model.snapshot import Membership, ServerAddress
from tests.unit.discovery.dns_server import DnsServer


class Book:
    """
    Answers from a dictionary; a name that is not in it waits until `answer`.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.questions = 0
        self.foreign = 2
        self.cost = 1
        self.known: dict[str, Answer] = {}
        self.waiting: dict[str, Deferred[Answer]] = {}
        self.asked: list[tuple[float, str]] = []
        self.stopped = False

    def ask(self, name: str) -> Deferred[Answer]:
        assert name not in self.waiting, f"{name} is being asked already"
        self.questions += self.cost
        self.asked.append((self.clock.seconds(), name))
        if name in self.known:
            return succeed(self.known[name])
        self.waiting[name] = Deferred()
        return self.waiting[name]

    def tasks_of(self, service: str) -> Deferred[Answer]:
        return succeed(self.known.get(f"tasks.{service}", ABSENT))

    def answer(self, name: str, answer: Answer) -> None:
        self.waiting.pop(name).callback(answer)

    def stop(self) -> Deferred[None]:
        self.stopped = True
        return succeed(None)


class Plane:
    """
    Notes what it is told, as a data plane: older epochs are ignored.
    """

    def __init__(self) -> None:
        self.told: list[Membership] = []

    def members(self, membership: Membership) -> None:
        self.told.append(membership)


def found(*addresses: str, certain: bool = True) -> Answer:
    return Answer(Verdict.FOUND, addresses, certain=certain)


ABSENT = Answer(Verdict.ABSENT, (), "there is no such name")
FAILED = Answer(Verdict.FAILED, (), "no answer in time")


def service(name: str, host: str = "", port: int = 80, *endpoints: Endpoint) -> Service:
    return Service(name, name, (Destination(0, port, Match(), host or name, f"{name}-be{port}_0", endpoints),))


def servers(*addresses: str, port: int = 80) -> tuple[ServerAddress, ...]:
    return tuple(ServerAddress(address, port) for address in addresses)


class NamesCase(SynchronousTestCase):
    """
    With a clock of ours.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.book = Book(self.clock)
        self.plane = Plane()
        self.names = self.make()

    def make(self, **settings: Any) -> Names:
        names = Names(self.clock, Settings(**settings), self.plane, self.book, Random(1))
        names.start()
        self.addCleanup(names.stop)
        return names

    def first(self, *services: Service) -> list[tuple[ServerAddress, ...]]:
        """
        What `first_servers` answers at once.
        """
        return [membership.servers for membership in self.successResultOf(self.names.first_servers(services))]

    def publish(self, *services: Service) -> None:
        """
        As the publisher does: ask, then keep.
        """
        self.successResultOf(self.names.first_servers(services))
        self.names.keep(services)

    def told(self) -> list[tuple[str, tuple[str, ...]]]:
        """
        Services and addresses told since the last call.
        """
        told, self.plane.told = self.plane.told, []
        return [(membership.service, tuple(server.host for server in membership.servers)) for membership in told]

    def times(self, name: str, since: float = -1.0) -> list[float]:
        return [when for when, asked in self.book.asked if asked == name and when > since]

    def run_for(self, duration_s: float, step_s: float = 0.05) -> None:
        for _ in range(round(duration_s / step_s)):
            self.clock.advance(step_s)


class FirstServersTests(NamesCase):
    """
    What publishing is told.
    """

    def test_interface(self) -> None:
        """
        It is what the publisher expects.
        """
        verifyObject(INames, self.names)

    def test_fixed_at_once(self) -> None:
        """
        Literals and fixed names need no DNS.
        """
        self.names = self.make(names=(("fixed", ("10.0.0.2", "10.0.0.1")), ("10.0.0.9", ("127.0.0.1",))))
        self.assertEqual(
            self.first(
                service("a", "10.0.0.8"), service("b", "Fixed."), service("c", "10.0.0.9"), service("d", "[::1]")
            ),
            [servers("10.0.0.8"), servers("10.0.0.1", "10.0.0.2"), servers("127.0.0.1"), servers("::1")],
        )
        self.assertEqual(self.book.asked, [])

    def test_epochs_grow(self) -> None:
        """
        Each list has a higher epoch than all before.
        """
        services = (service("a", "10.0.0.1"), service("b", "10.0.0.1"))
        epochs = [m.epoch for _ in range(2) for m in self.successResultOf(self.names.first_servers(services))]
        self.assertEqual(epochs, sorted(set(epochs)))

    def test_endpoints(self) -> None:
        """
        Servers given by hand, literals and names mixed, each with its weight, sorted by address and each once.
        """
        self.book.known["web"] = found("10.0.0.2", "10.0.0.10")
        [found_servers] = self.first(
            service("a", "ignored", 80, Endpoint("web", 81, 3), Endpoint("10.0.0.1", 82), Endpoint("10.0.0.2", 81, 9))
        )
        self.assertEqual(
            found_servers,
            (ServerAddress("10.0.0.1", 82, 1), ServerAddress("10.0.0.10", 81, 3), ServerAddress("10.0.0.2", 81, 3)),
        )

    def test_waits_for_all_names(self) -> None:
        """
        The answer comes when the last name is known, each asked once although several destinations have it.
        """
        asked = self.names.first_servers((service("a", "x"), service("b", "y"), service("c", "x")))
        self.book.answer("x", found("10.0.0.1"))
        self.assertNoResult(asked)
        self.book.answer("y", found("10.0.0.2"))
        self.assertEqual(
            [m.servers for m in self.successResultOf(asked)],
            [servers("10.0.0.1"), servers("10.0.0.2"), servers("10.0.0.1")],
        )
        self.assertEqual([name for _, name in self.book.asked], ["x", "y"])

    def test_at_most_a_second(self) -> None:
        """
        A name that does not resolve holds publishing up for a second; it has no servers then, and gets them later.
        """
        asked = self.names.first_servers((service("a", "slow"),))
        self.clock.advance(0.99)
        self.assertNoResult(asked)
        self.clock.advance(0.01)
        self.assertEqual([m.servers for m in self.successResultOf(asked)], [()])
        self.names.keep((service("a", "slow"),))
        self.assertEqual(self.told(), [])
        self.book.answer("slow", found("10.0.0.1"))
        self.assertEqual(self.told(), [("a", ("10.0.0.1",))])

    def test_failure_is_an_answer(self) -> None:
        """
        A name that cannot be resolved does not make publishing wait, nor fail.
        """
        self.book.known["gone"] = ABSENT
        self.book.known["dark"] = FAILED
        self.assertEqual(self.first(service("a", "gone"), service("b", "dark")), [(), ()])

    def test_unknown_name_is_asked_again(self) -> None:
        """
        Publishing again after the name has appeared sees its servers, without waiting for the next round.
        """
        self.book.known["late"] = ABSENT
        self.publish(service("a", "late"))
        self.book.known["late"] = found("10.0.0.1")
        self.clock.advance(0.6)
        self.assertEqual(self.first(service("a", "late")), [servers("10.0.0.1")])

    def test_known_name_is_not_asked(self) -> None:
        """
        The thousandth service with a name that is known costs no question.
        """
        self.book.known["web"] = found("10.0.0.1")
        self.publish(service("a", "web"))
        self.assertEqual(self.first(service("b", "web")), [servers("10.0.0.1")])
        self.assertEqual(len(self.book.asked), 1)

    def test_refused_definition_is_forgotten(self) -> None:
        """
        Names of a definition that never came into force are not asked for ever.
        """
        self.book.known["typo"] = ABSENT
        self.first(service("a", "typo"))
        self.run_for(120, 1)
        self.assertLessEqual(len(self.book.asked), 2)
        self.assertEqual(self.names._names, {})


class KeepTests(NamesCase):
    """
    What the data plane is told of definitions in force.
    """

    def test_nothing_told_twice(self) -> None:
        """
        What travelled with the change is not told again, nor is an unchanged list.
        """
        self.book.known["web"] = found("10.0.0.1")
        self.publish(service("a", "web"), service("b", "10.0.0.1"))
        self.run_for(10, 0.5)
        self.assertEqual(self.told(), [])
        self.assertGreater(len(self.book.asked), 3)

    def test_scaling(self) -> None:
        """
        Servers that come and go are told within seconds, without a call.
        """
        self.book.known["web"] = found("10.0.0.1")
        self.publish(service("a", "web"))
        self.book.known["web"] = found("10.0.0.1", "10.0.0.2")
        self.run_for(2.1)
        self.assertEqual(self.told(), [("a", ("10.0.0.1", "10.0.0.2"))])
        self.book.known["web"] = found("10.0.0.2")
        self.run_for(2.1)
        self.assertEqual(self.told(), [("a", ("10.0.0.2",))])
        (left,) = self.names.members_of("a", 0)
        self.assertEqual((left.host, left.place), ("10.0.0.2", 1))  # it keeps its place

    def test_kept_without_asking_first(self) -> None:
        """
        Who only keeps (a replay) is told of the servers all the same.
        """
        self.book.known["web"] = found("10.0.0.1")
        self.names.keep((service("a", "web"), service("b", "10.0.0.7")))
        self.assertEqual(sorted(self.told()), [("a", ("10.0.0.1",)), ("b", ("10.0.0.7",))])

    def test_replaced_definition(self) -> None:
        """
        A new definition has its own servers; the former one's name is no longer asked.
        """
        self.book.known.update(old=found("10.0.0.1"), new=found("10.0.0.2"))
        self.publish(service("a", "old"))
        self.publish(service("a", "new", 81))
        self.assertEqual(self.names.members_of("a", 0), servers("10.0.0.2", port=81))
        self.book.known["old"] = found("10.0.0.3")
        before = self.clock.seconds()
        self.run_for(70, 0.5)
        self.assertEqual(self.told(), [])
        self.assertEqual(self.times("old", before), [])

    def test_push_between_offer_and_keep(self) -> None:
        """
        If the former definition's servers change while a new one is being published, the new one's hold in the end.
        """
        self.book.known.update(old=found("10.0.0.1"), new=found("10.0.0.2"))
        self.publish(service("a", "old"))
        [offered] = self.successResultOf(self.names.first_servers((service("a", "new"),)))
        self.book.known["old"] = found("10.0.0.9")
        self.run_for(2.1)
        [pushed] = self.plane.told
        self.assertGreater(pushed.epoch, offered.epoch)
        self.names.keep((service("a", "new"),))
        self.assertEqual(len(self.plane.told), 2)
        last = self.plane.told[-1]
        self.assertGreater(last.epoch, pushed.epoch)
        self.assertEqual(last.servers, servers("10.0.0.2"))

    def test_slow_to_come_into_force(self) -> None:
        """
        However long workers take to accept a definition, its servers are not lost in between.
        """
        self.book.known["web"] = found("10.0.0.1")
        self.successResultOf(self.names.first_servers((service("a", "web"),)))
        self.run_for(50, 0.5)
        self.names.keep((service("a", "web"),))
        self.assertEqual(self.told(), [])
        self.assertEqual(self.names.members_of("a", 0), servers("10.0.0.1"))

    def test_refused_replacement(self) -> None:
        """
        A refused new definition leaves the former one's servers as they were told.
        """
        self.publish(service("a", "10.0.0.1"))
        self.successResultOf(self.names.first_servers((service("a", "10.0.0.2"),)))
        self.assertEqual(self.names.members_of("a", 0), servers("10.0.0.1"))
        self.clock.advance(61)
        self.names.keep((service("a", "10.0.0.1"),))
        self.assertEqual(self.told(), [])

    def test_destination_that_goes(self) -> None:
        """
        A destination that the new definition does not have is not told about any more.
        """
        self.book.known.update(x=found("10.0.0.1"), y=found("10.0.0.2"))
        first, second = service("a", "x").destinations[0], service("a", "y").destinations[0]
        both = Service("a", "a", (first, Destination(1, 80, Match(), "y", "b")))
        self.publish(both)
        self.publish(Service("a", "a", (second,)))
        self.book.known.update(y=found("10.0.0.3"))
        self.run_for(2.1)
        self.assertEqual(self.told(), [("a", ("10.0.0.3",))])
        self.assertEqual(self.names.members_of("a", 1), ())
        self.assertEqual([m.index for m in self.names.memberships()], [0])

    def test_forget(self) -> None:
        """
        A service that is gone is neither told about nor asked for.
        """
        self.book.known["web"] = found("10.0.0.1")
        self.publish(service("a", "web"))
        self.names.forget(("a", "never-there"))
        self.book.known["web"] = found("10.0.0.2")
        self.run_for(120, 1)
        self.assertEqual(self.told(), [])
        self.assertEqual(len(self.book.asked), 1)
        self.assertEqual((self.names.members_of("a", 0), self.names.unresolved(), self.names._names), ((), {}, {}))

    def test_forgotten_while_asked(self) -> None:
        """
        An answer for a service that has gone meanwhile harms nobody.
        """
        self.names.keep((service("a", "web"),))
        self.names.forget(("a",))
        self.book.answer("web", found("10.0.0.1"))
        self.assertEqual(self.told(), [])

    def test_memberships(self) -> None:
        """
        A new worker gets what all others were told, epochs included.
        """
        self.book.known["web"] = found("10.0.0.1")
        self.publish(service("a", "web"), service("b", "10.0.0.7"))
        self.book.known["web"] = found("10.0.0.2")
        self.run_for(2.1)
        [pushed] = self.plane.told
        self.assertIn(pushed, self.names.memberships())
        self.assertEqual(len(self.names.memberships()), 2)

    def test_stop(self) -> None:
        """
        After the stop nothing is asked or told, and nothing is left in the reactor.
        """
        self.names.keep((service("a", "web"), service("b", "10.0.0.7")))
        self.successResultOf(self.names.stop())
        self.book.answer("web", found("10.0.0.1"))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertTrue(self.book.stopped)
        self.assertEqual(self.told(), [("b", ("10.0.0.7",))])


class AnswerTests(NamesCase):
    """
    What becomes of answers that are none.
    """

    def setUp(self) -> None:
        super().setUp()
        self.book.known["web"] = found("10.0.0.1", "10.0.0.2")
        self.publish(service("a", "web"))
        self.names.busy("a", 0)

    def test_stale_while_dns_fails(self) -> None:
        """
        While DNS does not answer, for however long, the last known servers stay.
        """
        self.book.known["web"] = FAILED
        self.run_for(600, 1)
        self.assertEqual(self.told(), [])
        self.assertEqual(self.names.members_of("a", 0), servers("10.0.0.1", "10.0.0.2"))
        self.assertEqual(self.names.unresolved(), {})

    def test_absent_for_a_while(self) -> None:
        """
        A name that is said not to exist for some time has no servers any more.
        """
        self.book.known["web"] = ABSENT
        self.run_for(ABSENT_S - 1)
        self.assertEqual(self.told(), [])
        self.run_for(5)
        self.assertEqual(self.told(), [("a", ())])
        self.assertEqual(self.names.unresolved(), {"web": "there is no such name"})

    def test_absent_for_a_moment(self) -> None:
        """
        A name that comes back, or whose absence is not confirmed, keeps its servers.
        """
        for interlude in (found("10.0.0.1", "10.0.0.2"), FAILED):
            self.book.known["web"] = ABSENT
            self.run_for(ABSENT_S - 1)
            self.book.known["web"] = interlude
            self.run_for(2.1)
        self.book.known["web"] = ABSENT
        self.run_for(ABSENT_S - 1)
        self.assertEqual(self.told(), [])

    def test_uncertain_answer(self) -> None:
        """
        The virtual address does not replace the tasks just because nobody could say what they are; without tasks
        it serves.
        """
        self.book.known["web"] = found("10.0.0.99", certain=False)
        self.run_for(2.1)
        self.assertEqual(self.told(), [])
        self.book.known["new"] = found("10.0.0.99", certain=False)
        self.assertEqual(self.first(service("b", "new")), [servers("10.0.0.99")])

    def test_words(self) -> None:
        """
        The operator is told once when a name fails, and when it is well again.
        """
        events: list[LogEvent] = []

        def note(event: LogEvent) -> None:
            if event.get("log_namespace") == "dfproxy.discovery.dns":
                events.append(event)

        globalLogPublisher.addObserver(note)
        self.addCleanup(globalLogPublisher.removeObserver, note)
        self.book.known["web"] = FAILED
        self.run_for(20)
        self.book.known["web"] = found("10.0.0.1")
        self.run_for(20)
        self.assertEqual([event["log_level"].name for event in events], ["warn", "info"])
        self.assertEqual(events[0]["reason"], "no answer in time")


class TasksTests(NamesCase):
    """
    Tasks of Swarm services.
    """

    def test_fixed(self) -> None:
        """
        A name given for tasks stands for them, and for the service where that is asked by its tasks.
        """
        names = self.make(names=(("tasks.proxy", ("127.0.0.3", "127.0.0.2")), ("both", ("127.0.0.9",))))
        answer = self.successResultOf(names.tasks_of("Proxy"))
        self.assertEqual(answer, found("127.0.0.3", "127.0.0.2"))
        [membership] = self.successResultOf(names.first_servers((service("s", "proxy"),)))
        self.assertEqual(membership.servers, servers("127.0.0.2", "127.0.0.3"))
        self.assertEqual(self.book.asked, [])

    def test_asked(self) -> None:
        """
        Other names are asked; the plain name is no replacement.
        """
        self.book.known.update({"proxy": found("10.0.0.1"), "tasks.two": found("10.0.0.2")})
        self.assertEqual(self.successResultOf(self.names.tasks_of("proxy")), ABSENT)
        self.assertEqual(self.successResultOf(self.names.tasks_of("two")), found("10.0.0.2"))


class GoneTests(NamesCase):
    """
    Services that nobody knows any more.
    """

    def test_gone(self) -> None:
        """
        The time counts from when the last of its names was first said not to exist.
        """
        self.book.known.update(a=ABSENT, b=found("10.0.0.1"))
        self.publish(service("s", "", 80, Endpoint("a", 80), Endpoint("b", 80)))
        self.run_for(30, 0.5)
        self.assertEqual(self.names.gone_s("s"), 0.0)
        self.book.known["b"] = ABSENT
        self.run_for(40, 0.5)
        self.assertTrue(37 < self.names.gone_s("s") <= 40, self.names.gone_s("s"))
        self.book.known["a"] = found("10.0.0.2")
        self.run_for(31, 0.5)
        self.assertEqual(self.names.gone_s("s"), 0.0)

    def test_not_gone(self) -> None:
        """
        That DNS fails, a fixed address, and a service that is not in force say nothing.
        """
        self.book.known.update(dark=FAILED)
        self.publish(service("d", "dark"), service("l", "10.0.0.1"))
        self.run_for(40, 0.5)
        self.assertEqual([self.names.gone_s(name) for name in ("d", "l", "nobody")], [0.0, 0.0, 0.0])

    def test_failure_begins_anew(self) -> None:
        """
        Once DNS has failed, the time begins anew: nobody knows what was in between.
        """
        self.book.known.update(a=ABSENT)
        self.publish(service("s", "a"))
        self.run_for(40, 0.5)
        self.book.known.update(a=FAILED)
        self.run_for(31, 0.5)
        self.assertEqual(self.names.gone_s("s"), 0.0)
        self.book.known.update(a=ABSENT)
        self.run_for(31, 0.5)
        self.assertTrue(0 < self.names.gone_s("s") < 32)


class RecallTests(NamesCase):
    """
    A start that knows what was known before.
    """

    def test_without_dns(self) -> None:
        """
        Servers known before are told at once and stay while DNS does not answer; an answer replaces them.
        """
        self.names.recall({"a": ("10.0.0.1",), "B": ("10.0.0.2", "10.0.0.3")})
        self.names.keep((service("a"), service("b"), service("c")))
        self.assertEqual(self.told(), [("a", ("10.0.0.1",)), ("b", ("10.0.0.2", "10.0.0.3"))])
        self.assertEqual(self.names.known(), {"a": ("10.0.0.1",), "b": ("10.0.0.2", "10.0.0.3")})
        self.assertEqual(sorted(name for _, name in self.book.asked), ["a", "b", "c"])
        self.book.answer("a", FAILED)
        self.assertEqual(self.told(), [])
        self.book.answer("b", found("10.0.0.4", certain=False))
        self.assertEqual(self.told(), [("b", ("10.0.0.4",))])

    def test_gone_meanwhile(self) -> None:
        """
        A name that no longer exists loses its old servers as it would have without the restart.
        """
        self.names.recall({"a": ("10.0.0.1",)})
        self.names.keep((service("a"),))
        self.told()
        self.book.known["a"] = ABSENT
        self.book.answer("a", ABSENT)
        self.run_for(ABSENT_S + 4)
        self.assertEqual(self.told(), [("a", ())])

    def test_publishing_does_not_wait(self) -> None:
        """
        What is published right after the start has the servers known before; a minute later old knowledge is void.
        """
        self.names.recall({"a": ("10.0.0.1",), "b": ("10.0.0.2",)})
        self.assertEqual(self.first(service("a")), [servers("10.0.0.1")])
        self.clock.advance(61)
        self.assertNoResult(self.names.first_servers((service("b"),)))


class MeasureTests(NamesCase):
    """
    What `/metrics` is told.
    """

    def measured(self) -> dict[str, float]:
        return {measure.name + end: value for measure in self.names.measures() for end, value in measure.samples}

    def test_measures(self) -> None:
        """
        Names, those without address, questions, failures, dropped addresses, and how late names are asked.
        """
        self.book.known.update(a=found("10.0.0.1"), b=FAILED)
        self.publish(service("a"), service("b"))
        measured = self.measured()
        self.assertEqual(measured["dfproxy_dns_names"], 2)
        self.assertEqual(measured["dfproxy_dns_names_unresolved"], 1)
        self.assertEqual(measured["dfproxy_dns_questions_total"], 2)
        self.assertEqual(measured["dfproxy_dns_failures_total"], 1)
        self.assertEqual(measured["dfproxy_dns_foreign_addresses_total"], 2)
        self.assertEqual(measured["dfproxy_dns_lateness_seconds_count"], 2)
        self.assertEqual(measured["dfproxy_dns_lateness_seconds_sum"], 0)

    def test_lateness(self) -> None:
        """
        A thousand new names at once are asked at the allowed rate; that they wait is told, and passes.
        """
        many = tuple(service(f"s{number}") for number in range(1000))
        for each in many:
            self.book.known[each.name] = found("10.0.0.1")
        self.names.first_servers(many)
        self.names.keep(many)
        self.assertEqual(self.names.unasked, 1000 - BURST)
        self.run_for(1)
        self.assertAlmostEqual(self.measured()["dfproxy_dns_overdue_seconds"], 1.0)
        self.run_for(3)
        measured = self.measured()
        self.assertEqual(self.names.unasked, 0)
        self.assertGreater(measured["dfproxy_dns_lateness_seconds_sum"], 500)


class RhythmTests(NamesCase):
    """
    When names are asked.
    """

    def test_calm_and_hot(self) -> None:
        """
        New names and those with traffic are asked about each 2 s, all others about each 30 s.
        """
        self.book.known["web"] = found("10.0.0.1")
        self.publish(service("a", "web"))
        self.run_for(60, 0.1)
        self.assertTrue(28 <= len(self.times("web")) <= 40, len(self.times("web")))
        calm_from = self.clock.seconds()
        self.run_for(300, 0.1)
        self.assertTrue(9 <= len(self.times("web", calm_from)) <= 14, len(self.times("web", calm_from)))
        hot_from = self.clock.seconds()
        self.names.busy("a", 0)
        self.run_for(2.1, 0.1)
        self.assertEqual(len(self.times("web", hot_from)), 1)
        self.run_for(57.9, 0.1)
        self.assertTrue(28 <= len(self.times("web", hot_from)) <= 40)

    def test_spread(self) -> None:
        """
        Names learned together are not asked together for ever.
        """
        many = [service(f"s{number}") for number in range(40)]
        self.book.known.update({one.name: found("10.0.0.1") for one in many})
        self.publish(*many)
        self.run_for(300, 0.1)
        last = {name: when for when, name in self.book.asked}
        self.assertGreater(max(last.values()) - min(last.values()), 10)

    def test_failed_connect(self) -> None:
        """
        When a connect fails the name is asked at once, but not for each of a thousand failures.
        """
        self.book.known["web"] = found("10.0.0.1")
        self.publish(service("a", "web"))
        self.run_for(100, 1)
        before = self.clock.seconds()
        self.book.known["web"] = found("10.0.0.2")
        for _ in range(1000):
            self.names.ask_now("a", 0)
        self.assertEqual(self.told(), [("a", ("10.0.0.2",))])
        self.assertEqual(len([when for when, _ in self.book.asked if when >= before]), 1)
        for _ in range(40):
            self.names.ask_now("a", 0)
            self.clock.advance(0.05)
        self.assertLessEqual(len([when for when, _ in self.book.asked if when >= before]), 5)

    def test_failed_connect_while_asking(self) -> None:
        """
        A failure during a question leads to another one: the answer under way may be the old one.
        """
        self.names.keep((service("a", "web"),))
        self.names.ask_now("a", 0)
        self.book.answer("web", found("10.0.0.1"))
        self.run_for(0.55)
        self.assertEqual(len(self.book.asked), 2)

    def test_unknown_destination(self) -> None:
        """
        Hints about what is not known, or needs no DNS, are nothing.
        """
        self.publish(service("a", "10.0.0.1"))
        for name in ("a", "nobody"):
            self.names.ask_now(name, 0)
            self.names.busy(name, 0)
        self.assertEqual(self.book.asked, [])

    def test_rate(self) -> None:
        """
        Never more than 500 questions a second, whatever happens, also if a name costs several.
        """
        for cost in (1, 4):
            self.setUp()
            self.book.cost = cost
            many = [service(f"s{number}") for number in range(3000)]
            self.book.known.update({one.name: found("10.0.0.1") for one in many})
            self.names.keep(tuple(many))
            start = self.clock.seconds()
            for _ in range(40):
                self.clock.advance(0.05)
                elapsed = self.clock.seconds() - start
                self.assertLessEqual(self.book.questions, QUESTIONS_PER_S * elapsed + BURST + cost)
            self.assertGreater(self.book.questions, QUESTIONS_PER_S * 1.8)

    def test_every_name_gets_its_turn(self) -> None:
        """
        With thousands of names all are known in the end.
        """
        many = [service(f"s{number}") for number in range(2000)]
        self.book.known.update({one.name: found("10.0.0.1") for one in many})
        self.names.keep(tuple(many))
        self.run_for(10)
        self.assertEqual(self.names.unresolved(), {})
        self.assertEqual(len({name for _, name in self.book.asked}), 2000)


class ManyTests(NamesCase):
    """
    Ten thousand destinations.
    """

    def test_one_name_for_all(self) -> None:
        """
        Publishing one more service does not touch the others; a change of their common name reaches all, in slices.
        """
        self.book.known["web"] = found("10.0.0.1")
        many = tuple(service(f"s{number}", "web") for number in range(10_000))
        self.publish(*many)
        web = self.names._names["web"]
        asked = len(self.book.asked)
        self.publish(service("one-more", "web"))
        self.assertEqual((len(self.book.asked), len(web.users), self.told()), (asked, 10_001, []))
        self.clock.advance(1)
        self.book.known["web"] = found("10.0.0.2")
        self.names.ask_now("s0", 0)
        self.assertEqual(len(self.plane.told), TOLD_AT_ONCE)
        self.clock.advance(0)
        self.assertEqual({host for _, hosts in self.told() for host in hosts}, {"10.0.0.2"})
        self.assertEqual({m.servers for m in self.names.memberships()}, {servers("10.0.0.2")})


class RealTests(TestCase):
    """
    With a real DNS server and the real reactor.
    """

    def setUp(self) -> None:
        self.server = DnsServer(reactor)
        self.addCleanup(self.server.stop)

    @inlineCallbacks
    def test_servers_from_dns(self) -> Any:
        """
        A published name has the servers that DNS tells, and follows it after a failed connect.
        """
        self.server.zone.addresses["tasks.web"] = ["127.0.0.2", "127.0.0.1"]
        plane = Plane()
        asker = DnsAddresses(reactor, True, (self.server.address,), "/dev/null", "/dev/null")
        names = Names(reactor, Settings(in_swarm=True), plane, asker)
        names.start()
        self.addCleanup(names.stop)
        [first] = yield names.first_servers((service("web"),))
        self.assertEqual(first.servers, servers("127.0.0.1", "127.0.0.2"))
        names.keep((service("web"),))
        told: Deferred[Membership] = Deferred()
        plane.members = told.callback  # type: ignore[method-assign]  # wait for the push instead of noting it
        self.server.zone.addresses["tasks.web"] = ["127.0.0.3"]
        names.ask_now("web", 0)
        membership = yield told.addTimeout(5, reactor)
        self.assertEqual(membership.servers, servers("127.0.0.3"))
        self.assertGreater(self.server.zone.asked["tasks.web", wire.A], 1)

    @inlineCallbacks
    def test_hanging_names(self) -> Any:
        """
        Publishing a good name is quick while 200 published names hang.
        """
        hanging = tuple(service(f"hanging-{number}") for number in range(200))
        self.server.zone.silent.update(one.name for one in hanging)
        asker = DnsAddresses(reactor, False, (self.server.address,), "/dev/null", "/dev/null")
        names = Names(reactor, Settings(), Plane(), asker)
        names.start()
        self.addCleanup(names.stop)
        waited = yield names.first_servers(hanging)
        self.assertEqual({m.servers for m in waited}, {()})
        names.keep(hanging)
        took = []
        for number in range(5):  # the machine may be busy once
            self.server.zone.addresses[f"good-{number}"] = ["10.0.0.1"]
            start = reactor.seconds()
            [first] = yield names.first_servers((service(f"good-{number}"),))
            self.assertEqual(first.servers, servers("10.0.0.1"))
            took.append(reactor.seconds() - start)
        self.assertLess(min(took), 0.1)
