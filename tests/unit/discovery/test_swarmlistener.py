"""
Tests of `dfproxy.discovery.swarmlistener`: what becomes of a swarm listener's full answers.

Long, but one thing: every case needs the same clock, listener, names and publisher.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail, inlineCallbacks, succeed
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase, TestCase

from dfproxy.control.asking import Asking, Said, Unanswered
from dfproxy.dfp.reading import Reading
from dfproxy.dfp.reconfigure import read
from dfproxy.discovery.addresses import Answer, Verdict
from dfproxy.discovery.swarmlistener import FIRST_PAUSE_S, GONE_S, LOOK_S, PREFIX, SwarmListener
from dfproxy.errors import Claimed, NotReady, Refused, Superseded
from dfproxy.model.service import Service
from dfproxy.model.settings import Settings
from dfproxy.model.snapshot import Revision
from tests.fakes import FakePublisher, FakeStrategies
from tests.standins.recorded import GET_SERVICES
from tests.standins.swarmlistener import SwarmListenerStandIn

Entry = dict[str, Any]


def entry(name: str, **more: Any) -> Entry:
    return {"distribute": "true", "port": "80", "replicas": "1", "serviceName": name, "servicePath": f"/{name}"} | more


class Network:
    """
    Listeners, as `Asking`, and names.

    Attributes:
        lists: what each host lists; an exception is raised, `Said` is said as it is, None waits in `held`.
        gone: for how long names are gone.
        addresses: of hosts; those that are not here have one address.
    """

    def __init__(self) -> None:
        self.lists: dict[str, list[Entry] | Exception | Said | None] = {}
        self.asked: list[str] = []
        self.held: list[Deferred[Said]] = []
        self.gone: dict[str, float] = {}
        self.asked_now: list[tuple[str, int]] = []
        self.addresses: dict[str, Answer] = {}

    def ask(self, method: str, url: str, limit_s: float, limit_bytes: int) -> Deferred[Said]:
        parts = urlsplit(url)
        assert method == "GET" and parts.path.startswith(PREFIX), url
        self.asked.append(f"{parts.netloc}{parts.path.removeprefix(PREFIX)}")
        answer = self.lists.get(parts.hostname or "", [])
        if answer is None:
            self.held.append(Deferred())
            return self.held[-1]
        if isinstance(answer, Exception):
            return fail(answer)
        return succeed(answer if isinstance(answer, Said) else said(*answer))

    def addresses_of(self, host: str) -> Deferred[Answer]:
        return succeed(self.addresses.get(host, Answer(Verdict.FOUND, (host,))))

    def gone_s(self, service: str) -> float:
        return self.gone.get(service, 0.0)

    def ask_now(self, service: str, index: int) -> None:
        self.asked_now.append((service, index))


def said(*entries: Entry) -> Said:
    return Said(200, json.dumps(entries).encode())


def parse(pairs: Any) -> Reading:
    return read(pairs, (), Settings(), FakeStrategies().parse_balance)


class ListenerCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.network = Network()
        self.publisher = FakePublisher()
        self.logged: list[str] = []
        observer = lambda event: self.logged.append((event.get("log_format") or "").format(**event))  # noqa: E731  short
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def make(self, *hosts: str, **settings: Any) -> SwarmListener:
        chosen = Settings(swarm_listeners=tuple((host, 8080) for host in hosts or ("a",)), **settings)
        network: Any = self.network
        made = SwarmListener(self.clock, chosen, network, network, self.publisher, parse)
        self.addCleanup(made.stop)
        return made

    def begin(self, *hosts: str, **settings: Any) -> SwarmListener:
        made = self.make(*hosts, **settings)
        made.start()
        self.clock.advance(0)
        return made

    def there(self) -> list[str]:
        return sorted(self.publisher.snapshot.services)


class FetchTests(ListenerCase):
    """
    All services, at the start.
    """

    def test_at_once(self) -> None:
        """
        Asked at once, and all that is listed comes into force with one change, without being sent on.
        """
        self.network.lists["a"] = [entry("x"), entry("y", replicas="3"), *GET_SERVICES]
        listener = self.make()
        self.assertFalse(listener.fetched())
        listener.start()
        self.clock.advance(0)
        self.assertEqual(self.publisher.calls, [("publish", ("x", "y", "go-demo", "anchor-n"))])
        self.assertEqual(self.network.asked, ["a:8080/get-services"])
        self.assertTrue(listener.fetched())
        self.assertEqual(listener.missing(), "")
        self.assertEqual(listener.owned(), {"x", "y", "go-demo", "anchor-n"})

    def test_not_before_it_is_in_force(self) -> None:
        """
        It counts as fetched when the services are in force, not before.
        """
        self.network.lists["a"] = [entry("x")]
        self.publisher.hold = True
        listener = self.begin()
        self.assertFalse(listener.fetched())
        self.publisher.release()
        self.assertTrue(listener.fetched())

    def test_nothing_runs(self) -> None:
        """
        An empty list is an answer.
        """
        self.assertTrue(self.begin().fetched())
        self.assertEqual(self.publisher.calls, [])

    def test_backing_off(self) -> None:
        """
        Asked again soon, then slower, at last each interval, until it answers; then no more.
        """
        self.network.lists["a"] = Unanswered("connection refused")
        listener = self.begin(reload_interval_s=1.0)
        self.assertEqual(listener.missing(), "a:8080: connection refused")
        times = []
        for step in range(400):
            if len(self.network.asked) > len(times):
                times.append(step * 0.025)
            self.clock.advance(0.025)
        self.assertEqual([round(second - first, 1) for first, second in zip(times, times[1:])][:4], [0.3, 0.5, 1, 1])
        self.assertLess(len(times), 14)
        self.network.lists["a"] = [entry("x")]
        self.clock.advance(1.1)
        self.assertTrue(listener.fetched())
        before = len(self.network.asked)
        self.clock.pump([1.0] * 30)
        self.assertEqual((len(self.network.asked), self.there()), (before, ["x"]))

    def test_said_once(self) -> None:
        """
        The same reason again and again is logged once.
        """
        self.network.lists["a"] = Unanswered("connection refused")
        self.begin(reload_interval_s=1.0)
        self.clock.pump([0.5] * 20)
        self.assertEqual(len([line for line in self.logged if "connection refused" in line]), 1)

    def test_bad_answers(self) -> None:
        """
        Another status, and what is no list of services, is no answer; it is asked again.
        """
        for answer in (Said(500, b"[]"), Said(200, b"{}"), Said(200, b"[1]"), Said(200, b"<html>"), Said(200, b"\xff")):
            self.network.lists["a"] = answer
            listener = self.begin()
            self.assertFalse(listener.fetched(), answer)
            self.assertNotEqual(listener.missing(), "")
            self.network.lists["a"] = [entry("x")]
            self.clock.advance(FIRST_PAUSE_S)
            self.assertTrue(listener.fetched(), answer)
            listener.stop()

    def test_bad_entries(self) -> None:
        """
        What makes no service is left out and named; all others serve. What has no route is nobody's fault.
        """
        self.network.lists["a"] = [
            entry("x"),
            entry("bad", port="http"),
            entry("", servicePath="/z"),
            {"serviceName": "monitored", "alertName": "a"},
            entry("y", **{"some.list": [1], "port": 81, "isDefaultBackend": True}),
        ]
        listener = self.begin()
        self.assertEqual(self.there(), ["x", "y"])
        self.assertTrue(self.publisher.snapshot.services["y"].is_default)
        self.assertTrue(listener.fetched())
        self.assertEqual(len([line for line in self.logged if "left out: bad: port" in line]), 1)
        self.assertEqual(len([line for line in self.logged if "(without a name)" in line]), 1)
        self.assertEqual([line for line in self.logged if "monitored" in line], [])

    def test_refused_entries(self) -> None:
        """
        What no worker can serve is left out and named, wherever it stands; all others serve.
        """
        publisher = self.publisher
        publish = publisher.publish

        def strict(services: tuple[Service, ...], cause: str) -> Deferred[Revision]:
            wrong = [service.name for service in services if service.name.startswith("bad")]
            return fail(Refused(f"{wrong[0]}: no such condition")) if wrong else publish(services)

        publisher.publish = strict  # type: ignore[method-assign]  # a data plane that refuses some
        self.network.lists["a"] = [entry(f"s{n}") for n in range(20)] + [entry("bad1"), entry("t"), entry("bad2")]
        listener = self.begin()
        self.assertEqual(len(self.there()), 21)
        self.assertTrue(listener.fetched())
        self.assertEqual(len([line for line in self.logged if "left out: bad" in line]), 2)

    def test_names_of_others(self) -> None:
        """
        A name that a variable has published is left out and named, all others serve; it is not withdrawn either.
        """
        mine = parse(list(entry("mine").items())).service
        assert mine is not None
        self.successResultOf(self.publisher.publish((replace(mine, origin="environment"),)))
        publish = self.publisher.publish

        def strict(services: tuple[Service, ...], cause: str) -> Deferred[Revision]:
            claimed = any(service.name == "mine" for service in services)
            return fail(Claimed("mine belongs to another origin")) if claimed else publish(services)

        self.publisher.publish = strict  # type: ignore[method-assign]  # as the real one refuses such a change
        self.network.lists["a"] = [entry("x"), entry("mine"), entry("y")]
        self.assertTrue(self.begin(repeat_reload=True).fetched())
        self.assertEqual(self.there(), ["mine", "x", "y"])
        self.assertEqual(len([line for line in self.logged if "left out: mine: mine belongs" in line]), 1)
        self.network.lists["a"] = [entry("mine", replicas="0")]
        self.network.gone["mine"] = 10 * GONE_S
        self.clock.advance(5)
        self.network.lists["a"] = []
        self.clock.pump([1.0] * 30)
        self.assertIn("mine", self.there())

    def test_former_definition_stays(self) -> None:
        """
        A definition that became wrong leaves the former one in force.
        """
        self.network.lists["a"] = [entry("x")]
        self.begin(repeat_reload=True)
        self.network.lists["a"] = [entry("x", port="wrong")]
        self.network.gone["x"] = 2 * GONE_S
        self.clock.pump([1.0] * 30)
        self.assertEqual(self.there(), ["x"])

    def test_no_worker_yet(self) -> None:
        """
        While no worker is ready it is asked again.
        """
        self.network.lists["a"] = [entry("x")]
        self.publisher.failure = NotReady("no worker is ready")
        listener = self.begin()
        self.assertIn("no worker is ready", listener.missing())
        self.publisher.failure = None
        self.clock.advance(FIRST_PAUSE_S)
        self.assertEqual((listener.fetched(), self.there()), (True, ["x"]))

    def test_overtaken(self) -> None:
        """
        That newer calls have overtaken all of it is as good.
        """
        self.network.lists["a"] = [entry("x")]
        self.publisher.failure = Superseded("x")
        self.assertTrue(self.begin().fetched())

    def test_scaled_to_nothing(self) -> None:
        """
        A service listed with no replicas is withdrawn.
        """
        self.network.lists["a"] = [entry("x"), entry("y")]
        self.begin(repeat_reload=True)
        self.network.lists["a"] = [entry("x", replicas="0"), entry("y"), entry("z", replicas="0")]
        self.clock.advance(5)
        self.assertEqual((self.there(), self.publisher.calls[-1]), (["y"], ("withdraw", ("x",))))

    def test_many(self) -> None:
        """
        Two thousand services are one change, read in slices.
        """
        self.network.lists["a"] = [entry(f"s{number}") for number in range(2000)]
        ticking = iter(range(1, 1_000_000))
        self.clock.seconds = lambda: next(ticking) * 0.001  # type: ignore[method-assign]  # time passes while reading
        self.make().start()
        for _ in range(3000):
            self.clock.advance(0)
        self.assertEqual([len(names) for _, names in self.publisher.calls], [2000])

    def test_several_addresses(self) -> None:
        """
        A listener with several tasks is asked at one after another; without an address the reason is told.
        """
        self.network.addresses["swarm-listener"] = Answer(Verdict.FOUND, ("10.0.0.1", "10.0.0.2", "fd00::1"))
        self.network.lists.update({"10.0.0.1": Unanswered("connection refused"), "10.0.0.2": Said(500, b"")})
        self.network.lists["fd00::1"] = [entry("x")]
        self.assertTrue(self.begin("swarm-listener").fetched())
        self.assertEqual(
            self.network.asked, [f"{host}:8080/get-services" for host in ("10.0.0.1", "10.0.0.2", "[fd00::1]")]
        )
        self.network.addresses["nobody"] = Answer(Verdict.ABSENT, (), "there is no such name")
        self.assertEqual(self.begin("nobody").missing(), "nobody:8080: there is no such name")

    def test_stop(self) -> None:
        """
        Stopped, it asks no more, and what is answered then changes nothing.
        """
        self.network.lists["a"] = None
        listener = self.begin()
        listener.stop()
        self.network.held[0].callback(said(entry("x")))
        self.assertEqual((self.there(), self.clock.getDelayedCalls()), ([], []))


class RecallTests(ListenerCase):
    """
    A start after another one.
    """

    def test_owned_before(self) -> None:
        """
        What a listener had listed before the start is still its own: it is looked at when the answer lacks it.
        """
        self.network.lists["a"] = [entry("x")]
        listener = self.make()
        listener.recall(("x", "old"))
        listener.start()
        self.clock.advance(0)
        self.assertEqual(listener.owned(), {"x", "old"})


class RepeatTests(ListenerCase):
    """
    Asking again, and several listeners.
    """

    def test_repeat(self) -> None:
        """
        With REPEAT_RELOAD it is asked each interval for ever: a lost create is healed, the rest stays as it is.
        """
        self.network.lists["a"] = [entry("x"), entry("y")]
        self.begin(repeat_reload=True, reload_interval_s=2.0)
        self.successResultOf(self.publisher.withdraw(("y",)))
        before = self.publisher.snapshot.services["x"]
        self.clock.advance(2)
        self.assertEqual(self.there(), ["x", "y"])
        self.assertIs(self.publisher.snapshot.services["x"], before)
        self.network.lists["a"] = Unanswered("no answer within 10 s")
        self.clock.pump([1.0] * 10)
        self.assertEqual((self.there(), len(self.network.asked)), (["x", "y"], 7))

    def test_several(self) -> None:
        """
        Several are each asked until their answer, never again; one that does not answer is given up after its attempts.
        """
        self.network.lists.update({"a": [entry("x")], "b": Unanswered("connection refused")})
        listener = self.begin("a", "b", reload_interval_s=0.5, reload_attempts=3, repeat_reload=True)
        self.assertTrue(listener.fetched())
        self.clock.pump([0.25] * 40)
        self.assertEqual(self.network.asked.count("a:8080/get-services"), 1)
        self.assertEqual(self.network.asked.count("b:8080/get-services"), 4)
        self.assertTrue(any("not asked any more" in line for line in self.logged))


class NewerTests(ListenerCase):
    """
    Calls of the API while a listener answers.
    """

    def test_call_while_asked(self) -> None:
        """
        An answer that was asked for before a call does not undo it, neither a change nor a removal.
        """
        self.network.lists["a"] = None
        listener = self.begin()
        listener.noted(["x"])
        newer = parse(list(entry("x", servicePath="/newer").items())).service
        assert newer is not None
        self.successResultOf(self.publisher.publish((newer,)))
        listener.noted(("removed", "scaled"))
        self.network.held[0].callback(said(entry("x"), entry("removed"), entry("other"), entry("scaled", replicas="0")))
        self.assertEqual(self.there(), ["other", "x"])
        self.assertIs(self.publisher.snapshot.services["x"], newer)

    def test_call_before(self) -> None:
        """
        A call before the question is older than the answer.
        """
        listener = self.make()
        listener.noted(["x"])
        self.network.lists["a"] = [entry("x")]
        listener.start()
        self.clock.advance(0)
        self.assertEqual(self.there(), ["x"])


class GoneTests(ListenerCase):
    """
    When a service goes that no listener lists any more.
    """

    def setUp(self) -> None:
        super().setUp()
        self.network.lists["a"] = [entry("x"), entry("y")]
        self.listener = self.begin(repeat_reload=True)
        by_hand = parse(list(entry("hand").items())).service
        assert by_hand is not None
        self.successResultOf(self.publisher.publish((by_hand,)))
        self.network.gone["hand"] = 10 * GONE_S

    def run_for(self, duration_s: float) -> None:
        self.clock.pump([0.5] * round(2 * duration_s))

    def test_absent_and_gone(self) -> None:
        """
        Absent from a full answer and its name gone for a minute: withdrawn, after its name was asked once more. What a
        listener never listed stays whatever becomes of its name.
        """
        self.network.lists["a"] = [entry("y")]
        self.run_for(10)
        self.assertEqual(self.there(), ["hand", "x", "y"])
        self.network.gone["x"] = GONE_S - 1
        self.run_for(10)
        self.assertEqual(self.there(), ["hand", "x", "y"])
        self.network.gone["x"] = GONE_S
        self.run_for(2.5 * LOOK_S)
        self.assertEqual(self.there(), ["hand", "y"])
        self.assertEqual(self.network.asked_now, [("x", 0)])

    def test_absent_alone(self) -> None:
        """
        Absence alone withdraws nothing: the listener leaves out services in the middle of an update.
        """
        self.network.lists["a"] = []
        self.run_for(200)
        self.assertEqual(self.there(), ["hand", "x", "y"])

    def test_gone_alone(self) -> None:
        """
        Nor does a name that is gone while the listener lists the service.
        """
        self.network.gone.update(x=10 * GONE_S, y=10 * GONE_S)
        self.run_for(200)
        self.assertEqual(self.there(), ["hand", "x", "y"])

    def test_back_at_the_last_moment(self) -> None:
        """
        A name that is there again when it is asked once more saves the service.
        """
        self.network.lists["a"] = [entry("y")]
        self.network.gone["x"] = GONE_S
        self.run_for(5)
        self.clock.advance(LOOK_S)
        if ("x", 0) in self.network.asked_now:
            self.network.gone["x"] = 0.0
        self.run_for(30)
        self.assertEqual(self.there(), ["hand", "x", "y"])

    def test_called_about_since(self) -> None:
        """
        A call about it is newer than the answer that lacked it.
        """
        self.network.lists["a"] = [entry("y")]
        self.clock.advance(5)
        self.network.lists["a"] = Unanswered("connection refused")
        self.listener.noted(["x"])
        self.network.gone["x"] = 10 * GONE_S
        self.run_for(60)
        self.assertEqual(self.there(), ["hand", "x", "y"])

    def test_another_listener(self) -> None:
        """
        What another listener lists stays.
        """
        self.listener.stop()
        self.network.lists.update({"a": [entry("x")], "b": [entry("x")]})
        listener = self.make("a", "b")
        listener.start()
        self.clock.advance(0)
        self.network.gone["x"] = 10 * GONE_S
        self.network.lists["a"] = []
        listener._fetch(listener._listeners[0])
        self.run_for(30)
        self.assertIn("x", self.there())


class NotifyTests(ListenerCase):
    """
    `reload?fromListener=true`.
    """

    def test_notify(self) -> None:
        """
        Every listener is asked; those that fail are named with the reason.
        """
        self.network.lists.update(
            {"a": Said(200, b"{}"), "b": Unanswered("no answer within 10 s"), "c": Said(500, b"")}
        )
        self.assertEqual(self.successResultOf(self.make("a").notify()), ())
        self.assertEqual(
            self.successResultOf(self.make("a", "b", "c").notify()),
            ("b:8080: no answer within 10 s", "c:8080: it answers 500"),
        )
        self.assertEqual(self.network.asked[-3:], [f"{host}:8080/notify-services" for host in "abc"])

    def test_nobody(self) -> None:
        """
        Without listeners there is nobody to ask, and nothing is missing.
        """
        network: Any = self.network
        listener = SwarmListener(self.clock, Settings(), network, network, self.publisher, parse)
        listener.start()
        self.assertEqual(self.successResultOf(listener.notify()), ())
        self.assertEqual((listener.missing(), listener.fetched(), listener.measures()), ("", False, ()))
        self.assertEqual(self.clock.getDelayedCalls(), [])


class MeasureTests(ListenerCase):
    def test_measures(self) -> None:
        """
        Answers, failures, services and what is left out are told for each listener.
        """
        self.network.lists.update({"a": [entry("x"), entry("bad", port="x")], "b": Unanswered("connection refused")})
        listener = self.begin("a", "b")
        measured = {m.name + end: value for m in listener.measures() for end, value in m.samples}
        self.assertEqual(measured['dfproxy_listener_fetched{address="a:8080"}'], 1)
        self.assertEqual(measured['dfproxy_listener_fetched{address="b:8080"}'], 0)
        self.assertEqual(measured['dfproxy_listener_services{address="a:8080"}'], 2)
        self.assertEqual(measured['dfproxy_listener_failures_total{address="b:8080"}'], 1)
        self.assertEqual(measured["dfproxy_listener_left_out"], 1)


class RealTests(TestCase):
    """
    Over real sockets, with the stand-in for the listener.
    """

    @inlineCallbacks
    def test_fetch_and_notify(self) -> Any:
        """
        Services are fetched from a listener that fails first, and it notifies when asked.
        """
        standin = SwarmListenerStandIn()
        self.addCleanup(standin.close)
        standin.create("x", servicePath="/x", port="80")
        standin.status = 500
        network: Any = Network()
        publisher, asking = FakePublisher(), Asking(reactor)
        settings = Settings(swarm_listeners=((standin.host, standin.port),), reload_interval_s=0.05)
        listener = SwarmListener(reactor, settings, asking, network, publisher, parse)
        listener.start()
        while not listener.missing().endswith("it answers 500"):
            yield self.pause()
        standin.status = 200
        while not listener.fetched():
            yield self.pause()
        self.assertEqual(list(publisher.snapshot.services), ["x"])
        failures = yield listener.notify()
        self.assertEqual(failures, ())
        self.assertEqual(standin.asked[-1], f"{PREFIX}/notify-services")
        listener.stop()
        yield asking.close()
        yield self.pause()

    def pause(self) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        reactor.callLater(0.01, done.callback, None)  # type: ignore[attr-defined]  # the reactor is a module to mypy
        return done
