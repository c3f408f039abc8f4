"""
Tests of `dfproxy.discovery.names` against a real DNS server on loopback.
"""

from __future__ import annotations

import os
from ipaddress import ip_interface
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.names import dns
from twisted.trial.unittest import SynchronousTestCase, TestCase

from dfproxy.discovery import names
from dfproxy.discovery.addresses import Answer, Verdict, parse_hosts
from dfproxy.discovery.names import SOCKETS_LIMIT, DnsAddresses, Watched
from dfproxy.discovery.networks import OwnNetworks
from tests.unit.discovery.dns_server import DnsServer


class DnsTests(TestCase):
    """
    Questions and answers.
    """

    def setUp(self) -> None:
        self.server = DnsServer(reactor)
        self.addCleanup(self.server.stop)
        self.zone = self.server.zone

    def make(self, in_swarm: bool = False, resolv: str = "", hosts: str = "") -> DnsAddresses:
        """
        A resolver that asks only our server.
        """
        paths = []
        for text in (resolv, hosts):
            paths.append(self.mktemp())
            with open(paths[-1], "w") as file:
                file.write(text)
        swarm = OwnNetworks(reactor, lambda: (ip_interface("10.0.0.77/8"), ip_interface("fd00::77/64")))
        made = DnsAddresses(reactor, in_swarm, (self.server.address,), *paths, networks=swarm)
        self.addCleanup(made.stop)
        return made

    @inlineCallbacks
    def assert_answer(self, asked: Deferred[Answer], *addresses: str) -> Any:
        answer = yield asked
        self.assertEqual(answer, Answer(Verdict.FOUND, addresses))

    @inlineCallbacks
    def test_all_addresses(self) -> Any:
        """
        All IPv4 addresses of a name, sorted; IPv6 is not even asked then.
        """
        self.zone.addresses["web"] = ["10.0.0.9", "10.0.0.10", "fd00::1"]
        yield self.assert_answer(self.make().ask("Web."), "10.0.0.10", "10.0.0.9")
        self.assertEqual(list(self.zone.asked), [("web", dns.A)])

    @inlineCallbacks
    def test_only_ipv6(self) -> Any:
        """
        A name that has only IPv6 addresses has these.
        """
        self.zone.addresses["web"] = ["fd00::2", "fd00::1"]
        yield self.assert_answer(self.make().ask("web"), "fd00::1", "fd00::2")

    @inlineCallbacks
    def test_alias(self) -> Any:
        """
        An alias has the addresses of what it stands for.
        """
        self.zone.addresses["real.example"] = ["10.0.0.1"]
        self.zone.aliases["alias.example"] = "real.example"
        yield self.assert_answer(self.make().ask("alias.example"), "10.0.0.1")

    @inlineCallbacks
    def test_absent(self) -> Any:
        """
        No such name, and a name without addresses, are known to be absent.
        """
        self.zone.addresses["empty"] = []
        for name in ("nobody", "empty", "a..b", "x" * 70 + ".y"):
            answer = yield self.make().ask(name)
            self.assertEqual((answer.verdict, answer.addresses), (Verdict.ABSENT, ()), name)
            self.assertNotEqual(answer.reason, "")

    @inlineCallbacks
    def test_server_in_trouble(self) -> Any:
        """
        A server that cannot answer says nothing about the name.
        """
        self.zone.broken.add("web")
        answer = yield self.make().ask("web")
        self.assertEqual(answer.verdict, Verdict.FAILED)
        self.assertIn("127.0.0.1: error 2", answer.reason)
        self.flushLoggedErrors()

    @inlineCallbacks
    def test_second_server(self) -> Any:
        """
        Where the first server does not answer, the second does.
        """
        other = DnsServer(reactor)
        self.addCleanup(other.stop)
        other.zone.all_silent = True
        self.zone.addresses["web"] = ["10.0.0.1"]
        asker = DnsAddresses(reactor, False, (other.address, self.server.address), os.devnull, os.devnull)
        self.addCleanup(asker.stop)
        yield self.assert_answer(asker.ask("web"), "10.0.0.1")

    @inlineCallbacks
    def test_long_answer(self) -> Any:
        """
        A service with many tasks does not fit a datagram: the whole list comes by TCP.
        """
        many = sorted(f"10.0.{n // 256}.{n % 256}" for n in range(300))
        self.zone.addresses["web"] = many
        yield self.assert_answer(self.make().ask("web"), *many)
        self.assertEqual(self.zone.asked["web", dns.A], 2)

    @inlineCallbacks
    def test_tasks(self) -> Any:
        """
        In a swarm the tasks of a service are its servers, not its virtual address.
        """
        self.zone.addresses.update({"web": ["10.0.0.1"], "tasks.web": ["10.0.0.3", "10.0.0.2"]})
        yield self.assert_answer(self.make(in_swarm=True).ask("web"), "10.0.0.2", "10.0.0.3")
        yield self.assert_answer(self.make().ask("web"), "10.0.0.1")

    @inlineCallbacks
    def test_no_tasks(self) -> Any:
        """
        A name that is no service of the swarm, or has a dot, is what it is.
        """
        self.zone.addresses.update({"web": ["10.0.0.1"], "a.b": ["10.0.0.2"], "tasks.a.b": ["10.0.0.3"]})
        yield self.assert_answer(self.make(in_swarm=True).ask("web"), "10.0.0.1")
        yield self.assert_answer(self.make(in_swarm=True).ask("a.b"), "10.0.0.2")

    @inlineCallbacks
    def test_foreign_tasks(self) -> Any:
        """
        A resolver that makes up addresses for names it does not know: those that no task of ours can have are dropped,
        with one warning; where nothing is left, the plain name counts, wherever it leads.
        """
        self.zone.addresses.update({"tasks.web": ["10.0.0.2", "6.6.6.6"], "tasks.out": ["6.6.6.6"], "out": ["7.7.7.7"]})
        said: list[str] = []
        globalLogPublisher.addObserver(observer := lambda event: said.append(event.get("addresses", "")))
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        asker = self.make(in_swarm=True)
        yield self.assert_answer(asker.ask("web"), "10.0.0.2")
        yield self.assert_answer(asker.ask("web"), "10.0.0.2")
        yield self.assert_answer(asker.ask("out"), "7.7.7.7")
        self.assertEqual([text for text in said if text], ["6.6.6.6", "6.6.6.6"])
        self.assertEqual(asker.foreign, 3)
        answer = yield asker.tasks_of("out")
        self.assertEqual((answer.verdict, answer.addresses), (Verdict.ABSENT, ()))
        self.assertIn("no network of ours", answer.reason)

    @inlineCallbacks
    def test_one_question_for_tasks(self) -> Any:
        """
        A service whose tasks are known is asked by one question; when it has no tasks any more, by its plain name.
        """
        self.zone.addresses.update({"web": ["10.0.0.1"], "tasks.web": ["10.0.0.2"]})
        asker = self.make(in_swarm=True)
        for _ in range(3):
            yield self.assert_answer(asker.ask("Web"), "10.0.0.2")
        self.assertEqual((self.zone.asked["web", dns.A], self.zone.asked["tasks.web", dns.A]), (1, 3))
        del self.zone.addresses["tasks.web"]
        yield self.assert_answer(asker.ask("web"), "10.0.0.1")

    @inlineCallbacks
    def test_replicas(self) -> Any:
        """
        Who wants the tasks of a service gets no other address, whatever the resolver; the hosts file comes first.
        """
        self.zone.addresses.update({"proxy": ["10.0.0.1"], "tasks.proxy": ["10.0.0.3", "10.0.0.2"]})
        yield self.assert_answer(self.make().tasks_of("Proxy"), "10.0.0.2", "10.0.0.3")
        yield self.assert_answer(self.make(hosts="9.9.9.9 tasks.proxy\n").tasks_of("proxy"), "9.9.9.9")
        del self.zone.addresses["tasks.proxy"]
        answer = yield self.make().tasks_of("proxy")
        self.assertEqual(answer.verdict, Verdict.ABSENT)

    @inlineCallbacks
    def test_tasks_unknown(self) -> Any:
        """
        If nobody can say what the tasks are, the plain name's address is marked as the lesser one.
        """
        self.zone.addresses["web"] = ["10.0.0.1"]
        self.zone.broken.add("tasks.web")
        answer = yield self.make(in_swarm=True).ask("web")
        self.assertEqual((answer.addresses, answer.certain), (("10.0.0.1",), False))
        answer = yield self.make(in_swarm=True).ask("nobody")
        self.assertEqual(answer.verdict, Verdict.ABSENT)
        self.zone.broken.add("tasks.nobody")
        answer = yield self.make(in_swarm=True).ask("nobody")
        self.assertEqual(answer.verdict, Verdict.FAILED)
        self.flushLoggedErrors()

    @inlineCallbacks
    def test_search_domains(self) -> Any:
        """
        A short name is completed as resolv.conf says.
        """
        self.zone.addresses.update({"web.b.example": ["10.0.0.1"], "x.y": ["10.0.0.2"]})
        asker = self.make(resolv="search a.example b.example\n")
        yield self.assert_answer(asker.ask("web"), "10.0.0.1")
        yield self.assert_answer(asker.ask("x.y"), "10.0.0.2")
        self.assertEqual(self.zone.asked["x.y.a.example", dns.A], 0)

    @inlineCallbacks
    def test_hosts_file(self) -> Any:
        """
        The hosts file comes before DNS, and a change of it is seen.
        """
        asker = self.make(hosts="10.9.9.9 web web.example # mine\n")
        yield self.assert_answer(asker.ask("WEB"), "10.9.9.9")
        self.assertEqual(asker.questions, 0)
        yield self.assert_answer(self.make(hosts="10.9.9.8 tasks.web\n10.9.9.9 web\n").ask("web"), "10.9.9.8")

    @inlineCallbacks
    def test_nobody_waits_behind_another(self) -> Any:
        """
        200 names whose server never answers do not delay a good one; nor do they use up the descriptors.
        """
        hanging = [f"hanging-{number}" for number in range(200)]
        self.zone.silent.update(hanging)
        self.zone.addresses["good"] = ["10.0.0.1"]
        asker = self.make()
        yield self.assert_answer(asker.ask("good"), "10.0.0.1")
        before = len(os.listdir("/proc/self/fd"))
        pending = [asker.ask(name) for name in hanging]
        took = []
        for _ in range(5):  # the machine may be busy once
            start = reactor.seconds()
            yield self.assert_answer(asker.ask("good"), "10.0.0.1")
            took.append(reactor.seconds() - start)
        self.assertLess(min(took), 0.1)
        self.assertLessEqual(len(os.listdir("/proc/self/fd")) - before, SOCKETS_LIMIT)
        yield asker.stop()
        answers = yield gatherResults(pending)
        self.assertEqual({answer.verdict for answer in answers}, {Verdict.FAILED})
        self.assertLessEqual(len(os.listdir("/proc/self/fd")), before)

    @inlineCallbacks
    def test_not_a_word(self) -> Any:
        """
        What is asked each two seconds, for every name, is not in the log.
        """
        self.zone.addresses["web"] = ["10.0.0.1"]
        asker = self.make()
        said: list[Any] = []
        globalLogPublisher.addObserver(said.append)
        self.addCleanup(globalLogPublisher.removeObserver, said.append)
        yield self.assert_answer(asker.ask("web"), "10.0.0.1")
        yield asker.stop()
        self.assertEqual(said, [])

    @inlineCallbacks
    def test_silence(self) -> Any:
        """
        A server that stays silent is asked once in each round, then the name has failed.
        """
        self.patch(names, "ROUNDS_S", (0.01, 0.02))
        self.zone.silent.add("web")
        answer = yield self.make().ask("web")
        self.assertEqual(answer, Answer(Verdict.FAILED, (), "127.0.0.1: no answer in time"))
        self.assertEqual(self.zone.asked["web", dns.A], 2)

    @inlineCallbacks
    def test_no_socket(self) -> Any:
        """
        If no socket is to be had the question fails at once, and the next one may succeed.
        """
        self.zone.addresses["web"] = ["10.0.0.1"]
        asker = DnsAddresses(reactor, False, (("::ffff:0:0%nowhere", 1),), os.devnull, os.devnull)
        answer = yield asker.ask("web")
        self.assertEqual(answer.verdict, Verdict.FAILED)
        yield asker.stop()
        answer = yield asker.ask("web")
        self.assertEqual(answer.verdict, Verdict.FAILED)


class ForeignAnswerTests(SynchronousTestCase):
    """
    What in an answer counts.
    """

    def message(self, *records: dns.RRHeader, asked: str = "web", kind: int = dns.A) -> dns.Message:
        """
        An answer with these records.
        """
        message = dns.Message()
        message.queries = [dns.Query(asked, kind, dns.IN)]
        message.answers = list(records)
        return message

    def test_records_of_other_names(self) -> None:
        """
        Addresses that belong to another name are not ours.
        """
        mine = dns.RRHeader("Web", dns.A, payload=dns.Record_A("10.0.0.1"))
        other = dns.RRHeader("evil", dns.A, payload=dns.Record_A("6.6.6.6"))
        self.assertEqual(names._addresses(self.message(mine, other), "web", dns.A), ("10.0.0.1",))
        self.assertEqual(names._addresses(self.message(other), "web", dns.A), ())

    def test_aliases_in_a_circle(self) -> None:
        """
        Aliases that lead nowhere end.
        """
        one = dns.RRHeader("web", dns.CNAME, payload=dns.Record_CNAME("b"))
        two = dns.RRHeader("b", dns.CNAME, payload=dns.Record_CNAME("web"))
        self.assertEqual(names._addresses(self.message(one, two), "web", dns.A), ())

    def test_another_question(self) -> None:
        """
        An answer to another question is none.
        """
        self.assertTrue(names._is_about(self.message(asked="WEB"), "web", dns.A))
        self.assertFalse(names._is_about(self.message(asked="other"), "web", dns.A))
        self.assertFalse(names._is_about(self.message(kind=dns.AAAA), "web", dns.A))


class WatchedTests(SynchronousTestCase):
    """
    Files that may change.
    """

    def test_change_is_seen(self) -> None:
        """
        A changed file is read again, a second later at the latest; one that is gone counts as empty.
        """
        clock, path = Clock(), self.mktemp()
        with open(path, "w") as file:
            file.write("10.0.0.1 a\n")
        watched = Watched(clock, path, parse_hosts)
        self.assertEqual(watched.value, {"a": ("10.0.0.1",)})
        with open(path, "w") as file:
            file.write("10.0.0.22 a\n")
        self.assertEqual(watched.value, {"a": ("10.0.0.1",)})
        clock.advance(1)
        self.assertEqual(watched.value, {"a": ("10.0.0.22",)})
        os.unlink(path)
        clock.advance(1)
        self.assertEqual(watched.value, {})

    def test_unchanged_file_is_not_read(self) -> None:
        """
        Looking at a file that did not change costs one call.
        """
        clock, path, reads = Clock(), self.mktemp(), []
        with open(path, "w") as file:
            file.write("x")
        watched: Watched[None] = Watched(clock, path, reads.append)
        for _ in range(3):
            self.assertIsNone(watched.value)
            clock.advance(1)
        self.assertEqual(reads, ["", "x"])
