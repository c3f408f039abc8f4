"""
Tests of `dfproxy.discovery.addresses`: what the files say and what is asked.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.discovery.addresses import (
    ResolverFile,
    forms,
    has_tasks_form,
    literal,
    parse_hosts,
    parse_resolv_conf,
    preferred,
)

DOCKER = ResolverFile((("127.0.0.11", 53),), ("corp.example",), 0)


class FileTests(SynchronousTestCase):
    """
    resolv.conf and hosts.
    """

    def test_resolv_conf(self) -> None:
        """
        Servers, search domains and options, comments and nonsense aside.
        """
        text = (
            "# made by Docker\nnameserver 127.0.0.11 ; inner\nnameserver fe80::1%eth0\nnameserver x\n"
            "domain old.example\nsearch A.example. b.example\noptions edns0 ndots:0 timeout:1\nsortlist\n"
        )
        read = parse_resolv_conf(text)
        self.assertEqual(read, ResolverFile((("127.0.0.11", 53), ("fe80::1", 53)), ("a.example", "b.example"), 0))
        self.assertTrue(read.is_docker)

    def test_empty_resolv_conf(self) -> None:
        """
        Without a server the own machine is asked, as libc does.
        """
        self.assertEqual(parse_resolv_conf(""), ResolverFile((("127.0.0.1", 53),)))
        self.assertFalse(parse_resolv_conf("").is_docker)

    def test_at_most_three_servers(self) -> None:
        """
        As in libc the first three servers count.
        """
        text = "".join(f"nameserver 10.0.0.{number}\n" for number in range(9))
        self.assertEqual([host for host, _ in parse_resolv_conf(text).servers], ["10.0.0.0", "10.0.0.1", "10.0.0.2"])

    def test_hosts(self) -> None:
        """
        A name may have several addresses; IPv4 first, others only where there is no IPv4.
        """
        text = "127.0.0.1\tlocalhost\n::1 localhost ip6\n10.0.0.2 A. b # c\n10.0.0.1 a\nx y\n\n10.0.0.3\n"
        self.assertEqual(
            parse_hosts(text),
            {"localhost": ("127.0.0.1",), "ip6": ("::1",), "a": ("10.0.0.1", "10.0.0.2"), "b": ("10.0.0.2",)},
        )


class NameTests(SynchronousTestCase):
    """
    Names and literals.
    """

    def test_literals(self) -> None:
        """
        Addresses in every spelling, and nothing else.
        """
        self.assertEqual(literal("10.0.0.1"), "10.0.0.1")
        self.assertEqual(literal("[FD00::0:1]"), "fd00::1")
        for name in ("web", "1.2.3", "10.0.0.1.nip.io", "", "010.0.0.1"):
            self.assertEqual(literal(name), "")

    def test_preferred(self) -> None:
        """
        Each address once, IPv4 where there is any.
        """
        self.assertEqual(preferred(["10.0.0.2", "::1", "10.0.0.1", "10.0.0.2"]), ("10.0.0.1", "10.0.0.2"))
        self.assertEqual(preferred(["::2", "::1"]), ("::1", "::2"))

    def test_forms(self) -> None:
        """
        Short names are completed first, long ones last; where Docker answers a name is asked as it is first.
        """
        file = ResolverFile((), ("a.example", "b.example"), 1)
        self.assertEqual(forms("web", file), ("web.a.example", "web.b.example", "web"))
        self.assertEqual(forms("web.x", file), ("web.x", "web.x.a.example", "web.x.b.example"))
        self.assertEqual(forms("Web.", file), ("web",))
        self.assertEqual(forms("web", DOCKER), ("web", "web.corp.example"))

    def test_tasks_form(self) -> None:
        """
        `tasks.` is asked of Docker or where the operator says so, and only for names without a dot.
        """
        self.assertTrue(has_tasks_form("web", DOCKER, False))
        self.assertTrue(has_tasks_form("web", ResolverFile(), True))
        self.assertFalse(has_tasks_form("web", ResolverFile(), False))
        self.assertFalse(has_tasks_form("tasks.web", DOCKER, True))
