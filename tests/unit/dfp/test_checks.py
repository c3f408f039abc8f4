"""
Parameters of checks, what they make, and what HAProxy would say.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from shutil import which
from urllib.parse import quote

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.checks import backend_lines, order_words, server_words
from dfproxy.errors import InvalidService
from dfproxy.model.checks import DRAIN, MAINT, Check, Order
from dfproxy.model.service import Destination
from tests.unit.dfp.test_reconfigure import GOOD, service


def destination(query: str) -> Destination:
    """
    Of a service with these parameters.
    """
    return service(f"{GOOD}&{query}").destinations[0]


class CheckTests(SynchronousTestCase):
    """
    From query to check.
    """

    def test_none(self) -> None:
        """
        Without parameters nothing is checked, and no server starts slowly.
        """
        plain = destination("checkPath=")
        self.assertEqual((plain.check, plain.slow_start_s), (None, 0.0))

    def test_connecting(self) -> None:
        """
        `checkTcp` has DFP's defaults: every 2 s, three failures, two successes.
        """
        self.assertEqual(destination("checkTcp=true").check, Check("", (), "", "", 2.0, 2.0, 2, 3))

    def test_given(self) -> None:
        """
        Each parameter has its place.
        """
        query = "checkPath=/health?x=1&checkStatus=200,204-205&checkBody=all ok&checkInterval=5&checkTimeout=0.5"
        wanted = Check("/health?x=1", (200, 204, 205), "all ok", "", 5.0, 0.5, 4, 1)
        found = destination(f"{query}&checkRise=4&checkFall=1&slowStart=12.5")
        self.assertEqual((found.check, found.slow_start_s), (wanted, 12.5))

    def test_timeout(self) -> None:
        """
        A check takes no longer than its interval, nor than connecting may.
        """
        waits = [destination(f"checkTcp=true&checkInterval={each}").check for each in ("0.5", "60")]
        self.assertEqual([check.timeout_s for check in waits if check is not None], [0.5, 5.0])

    def test_host(self) -> None:
        """
        The first domain is asked for.
        """
        check = destination("serviceDomain=a.test,b.test&checkPath=/").check
        self.assertEqual(check.host if check is not None else "", "a.test")
        check = destination("serviceDomain=*.b.test&checkPath=/").check
        self.assertEqual(check.host if check is not None else "?", "")

    def test_classes(self) -> None:
        """
        `2xx` means all of them.
        """
        check = destination("checkPath=/&checkStatus=2xx 404").check
        self.assertEqual(check.statuses if check is not None else (), (*range(200, 300), 404))

    def test_own_servers(self) -> None:
        """
        Where DFP gives each server a line of its own it has a check, unless that is switched off.
        """
        self.assertEqual(destination("sessionType=sticky-server").check, Check())
        self.assertEqual(destination("discoveryType=DNS").check, Check())
        self.assertIsNone(destination("sessionType=sticky-server&checkTcp=false").check)

    def test_destinations(self) -> None:
        """
        One destination may be checked otherwise than the next.
        """
        query = "serviceName=s&servicePath.1=/a&port.1=1&servicePath.2=/b&port.2=2&checkPath.2=/x"
        paths = [each.check and each.check.path for each in service(query).destinations]
        self.assertEqual(paths, [None, "/x"])

    def test_connections(self) -> None:
        """
        Servers of TCP ports are checked by connecting; there is nothing to GET.
        """
        tcp = "serviceName=s&reqMode=tcp&srcPort=5432&port=5432&checkTcp=true"
        self.assertEqual(service(tcp).destinations[0].check, Check())
        self.refused(
            "checkPath.1",
            f"{tcp}&checkPath=/x".replace("port=5432", "port.1=5432").replace("&checkPath", "&checkPath.1"),
            whole=True,
        )

    def refused(self, parameter: str, query: str, whole: bool = False) -> None:
        """
        The call is refused for this parameter, and the reason has an example where there is one.
        """
        error = self.assertRaises(InvalidService, service, query if whole else f"{GOOD}&{query}")
        self.assertIn(parameter, [problem.parameter for problem in error.problems])

    def test_wrong(self) -> None:
        """
        What is wrong is refused by name.
        """
        for parameter, value in (
            ("checkPath", "health"),
            ("checkPath", "/a b"),
            ("checkPath", "/a#b"),
            ("checkStatus", "600"),
            ("checkStatus", "300-200"),
            ("checkStatus", "ok"),
            ("checkStatus", ",".join(["200"] * 51)),
            ("checkBody", "x" * 201),
            ("checkInterval", "0"),
            ("checkInterval", "0.05"),
            ("checkInterval", "2s"),
            ("checkInterval", "3601"),
            ("checkTimeout", "0"),
            ("checkRise", "0"),
            ("checkFall", "-1"),
            ("checkFall", "1001"),
            ("checkFall", "three"),
        ):
            self.refused(
                parameter,
                f"checkPath=/&{parameter}={value}"
                if parameter != "checkPath"
                else f"checkPath={value}".replace("#", "%23"),
            )
        self.refused("slowStart", "slowStart=-1")

    def test_details_of_nothing(self) -> None:
        """
        Details without a check would do nothing, so they are refused; so are those of a GET without one.
        """
        for parameter in ("checkInterval=1", "checkRise=2", "checkStatus=200"):
            self.refused(parameter.partition("=")[0], parameter)
        self.refused("checkBody", "checkTcp=true&checkBody=x")


class TextTests(SynchronousTestCase):
    """
    The same in HAProxy's words.
    """

    def test_lines(self) -> None:
        """
        Statuses become ranges, the host and the text are single words.
        """
        check = Check("/h", (200, 201, 202, 404), 'a "b"', "x.test", 5.0, 1.0, 4, 6)
        self.assertEqual(
            backend_lines(check)[:5],
            [
                "timeout check 1000ms",
                "option httpchk",
                "http-check send meth GET uri /h ver HTTP/1.1 hdr Host x.test hdr Connection close",
                "http-check expect status 200-202,404",
                'http-check expect string a\\ \\"b\\"',
            ],
        )
        self.assertEqual(server_words(check, 10.0), " check inter 5000ms fall 6 rise 4 slowstart 10000ms")
        self.assertEqual((backend_lines(None), server_words(None, 0.0)), ([], ""))

    def test_orders(self) -> None:
        """
        Drained is weight 0, maintenance is `disabled`.
        """
        words = [
            order_words(3, order)
            for order in (
                None,
                Order("s", "h", 1, DRAIN, 5),
                Order("s", "h", 1, MAINT),
                Order("s", "h", 1, weight=1),
            )
        ]
        self.assertEqual(words, [" weight 3", " weight 0", " weight 3 disabled", ""])

    def test_haproxy_takes_it(self) -> None:
        """
        HAProxy itself accepts the text.
        """
        haproxy = which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/sbin")
        self.assertTrue(haproxy, "haproxy is needed")
        checks = (Check(), Check("/a?b", (200,), 'x "y" $z'), Check("/", host="a.test"))
        lines = [
            "defaults",
            "    mode http",
            "    timeout connect 1s",
            "    timeout client 1s",
            "    timeout server 1s",
        ]
        lines += ["frontend f", "    bind 127.0.0.1:1"]
        for number, check in enumerate(checks):
            words = server_words(check, 8.0) + order_words(1, Order("s", "h", 1, MAINT))
            lines += [f"backend b{number}", *(f"    {line}" for line in backend_lines(check))]
            lines.append(f"    server s 127.0.0.1:1{words}")
        file = Path(self.mktemp())
        file.write_text("\n".join(lines) + "\n")
        done = subprocess.run([str(haproxy), "-c", "-f", str(file)], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)


class RawTests(SynchronousTestCase):
    """
    Lines of `backendExtra` that stand for parameters.
    """

    def raw(self, text: str, more: str = "") -> Destination:
        return destination(f"backendExtra={quote(text)}{more}")

    def test_httpchk(self) -> None:
        """
        Method, path, and what `http-check` adds.
        """
        found = self.raw("option httpchk HEAD /lb\nhttp-check expect status 200-204\ntimeout check 1s").check
        self.assertEqual(found, Check("/lb", tuple(range(200, 205)), timeout_s=1.0, method="HEAD"))
        self.assertEqual(self.raw("option httpchk").check, Check("/", method="OPTIONS"))
        self.assertEqual(self.raw("option httpchk /a").check, Check("/a", method="OPTIONS"))
        sent = self.raw("option httpchk\nhttp-check send meth GET uri /s ver HTTP/1.1 hdr Host a.test").check
        self.assertEqual(sent, Check("/s", host="a.test"))
        self.assertEqual(self.raw("option tcp-check").check, Check())

    def test_given_wins(self) -> None:
        """
        A parameter beside it is what counts.
        """
        found = self.raw("option httpchk HEAD /lb\nretries 3", "&checkPath=/mine&retries=1")
        self.assertEqual((found.check, found.resilience.retries), (Check("/mine"), 1))

    def test_alone(self) -> None:
        """
        Without a kind of check the details start none, as in HAProxy.
        """
        self.assertIsNone(self.raw("timeout check 5s\nhttp-check expect status 200").check)

    def test_policy(self) -> None:
        """
        Retries and queues.
        """
        found = self.raw("retries 2\nretry-on 503 conn-failure\ntimeout queue 5s").resilience
        self.assertEqual((found.retries, found.retry_statuses, found.queue_timeout_s), (2, (503,), 5.0))

    def test_refused(self) -> None:
        """
        What checks cannot do is refused by name.
        """
        for line in ("option httpchk POST /a", "http-check expect rstatus 2..", "http-check disable-on-404"):
            with self.subTest(line):
                self.assertRaises(InvalidService, self.raw, line)
