"""
Statistics of a real proxy: the page and its CSV on the data plane, the numbers on the API, and access lines.
"""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
from html.parser import HTMLParser
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.backends import answering, refused_port
from tests.e2e.proxy import API, Proxy, ProxyCase, free_port, until
from tests.requirements import require

CREDENTIALS = ("--stats-user", "me", "--stats-pass", "pass-word")


def rows_of(text: str) -> dict[tuple[str, str], dict[str, str]]:
    """
    Lines of a CSV by proxy and server.
    """
    found = csv.DictReader(io.StringIO(text.removeprefix("# ")))
    return {(row["pxname"], row["svname"]): row for row in found}


class Table(HTMLParser):
    """
    First cells of the rows of a page.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self._first = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self._first = tag == "td" and self.get_starttag_text() == "<td>" and self._first or tag == "tr"

    def handle_data(self, data: str) -> None:
        if self._first and self.lasttag == "td":
            self.names.append(data)
            self._first = False


class SharedTests(ProxyCase):
    """
    On the ports of the data plane, by two workers.
    """

    options = CREDENTIALS

    def curl(self, target: str, *options: str) -> tuple[int, str]:
        (curl,) = require("curl")
        url = f"http://127.0.0.1:{self.proxy.port}{target}"
        command = (curl, "-s", "--globoff", "-m", "20", "-w", "\n%{http_code}", *options, url)
        said = subprocess.run(command, capture_output=True, check=True).stdout.decode()
        body, _, status = said.rpartition("\n")
        return int(status), body

    def test_password(self) -> None:
        """
        401 without it, the page and the CSV with it; nothing that it answers or logs holds the password.
        """
        start = self.proxy.logged
        for options in ((), ("-u", "me:wrong"), ("-u", "you:pass-word")):
            self.assertEqual(self.curl("/admin?stats", *options)[0], 401)
        self.proxy.publish("a", self.backend(answering(b"x")), path="/a")
        status, page = self.curl("/admin?stats", "-u", "me:pass-word")
        self.assertEqual((status, {"services", "a"} <= set(Table(page).names)), (200, True), page)
        status, text = self.curl("/admin?stats;csv", "-u", "me:pass-word")
        self.assertEqual((status, rows_of(text)["services", "FRONTEND"]["status"]), (200, "OPEN"))
        for told in (page, text, self.proxy.config(), self.proxy.log(start), self.proxy.ask("/metrics")[1].decode()):
            self.assertNotIn("pass-word", told)

    def test_summed(self) -> None:
        """
        Whichever worker is asked tells what all have counted, and so does the API; a change and the death of a worker
        take nothing away.
        """
        server = self.backend(answering(b"x"))
        self.proxy.publish("b", server, path="/b")
        for _ in range(20):
            self.assertEqual(self.proxy.get("/b").status, 200)
        name = ("b-be0_0", "b")

        def counts() -> set[str]:
            found = set()
            for _ in range(8):  # connections, and so workers, take turns
                rows = rows_of(self.curl("/admin?stats;csv", "-u", "me:pass-word")[1])
                found |= {row["stot"] for (_, server_name), row in rows.items() if server_name == name[1]}
            return found

        until(lambda: counts() == {"20"}, what=lambda: str(counts()))

        def most_requests() -> int:
            rows = rows_of(self.curl("/admin?stats;csv", "-u", "me:pass-word")[1])
            return int(rows["services", "FRONTEND"]["req_rate_max"])

        until(lambda: most_requests() > 0)
        self.proxy.publish("b", server, path="/b", reqPathSearch="x", reqPathReplace="y")
        os.kill(self.proxy.worker_pids()[0], signal.SIGKILL)
        until(lambda: counts() == {"20"}, what=lambda: str(counts()))
        self.assertEqual(
            rows_of(self.proxy.ask(f"{API}/metrics")[1].decode()).keys() >= {("services", "FRONTEND")}, True
        )

    def test_left_out(self) -> None:
        """
        A server that takes no connections is DOWN for all, whichever worker is asked, and in `haproxy_server_up`.
        """
        self.proxy.publish("c", ("127.0.0.1", refused_port()), self.backend(answering(b"x")), path="/c")
        for _ in range(30):
            self.proxy.get("/c")
        found = until(
            lambda: {name: value for name, value in self.proxy.metrics().items() if name.startswith("haproxy_server_up")
                     and value == 0},
        )  # fmt: skip
        self.assertEqual(len(found), 1)
        for _ in range(4):
            rows = rows_of(self.curl("/admin?stats;csv", "-u", "me:pass-word")[1])
            said = sorted(row["status"] for (_, name), row in rows.items() if name.startswith("c_"))
            self.assertEqual(said, ["DOWN", "UP"])
        redispatched = [value for name, value in self.proxy.metrics().items() if "server_redispatch_warnings" in name]
        self.assertGreater(sum(redispatched), 0)

    def test_scraped(self) -> None:
        """
        Prometheus' own parser reads the scrape; `service=` tells of one service only.
        """
        self.proxy.publish("d", self.backend(answering(b"x")), path="/d")
        self.proxy.publish("e", self.backend(answering(b"x")), path="/e")
        body = self.proxy.ask("/metrics?service=d")[1].decode()
        samples = [sample for family in text_string_to_metric_families(body) for sample in family.samples]
        services = {sample.labels["service"] for sample in samples if "service" in sample.labels}
        self.assertEqual(services, {"d"})
        names = {sample.name for sample in samples}
        self.assertIn("haproxy_backend_current_queue", names)


class AloneTests(ProxyCase):
    """
    On a port of their own, without password, with lines as DFP writes them.
    """

    port_of_statistics = free_port()
    options = (
        "--stats-user", "none", "--stats-pass", "none", "--stats-port", str(port_of_statistics), "--debug", "true",
        "--debug-http-format", "%ci %ST %b/%s %hr %{+Q}r", "--capture-request-header", "X-Who:5",
    )  # fmt: skip

    def test_alone(self) -> None:
        """
        There only, and there nothing else.
        """
        with self.proxy.connect(self.port_of_statistics) as client:
            client.send("GET /admin?stats;norefresh HTTP/1.1\r\nHost: x\r\n\r\n")
            found = client.final()
            self.assertEqual((found.status, b"Statistics" in found.body), (200, True))
            client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertEqual(client.final().status, 503)
        self.assertEqual(self.proxy.get("/admin?stats").status, 503)

    def test_lines(self) -> None:
        """
        The operator's format, DFP's prefix, and fields as they came, before rules change them.
        """
        self.proxy.publish("f", self.backend(answering(b"x")), path="/f", delReqHeader="X-Who")
        self.proxy.get("/f?q", head="X-Who: somebody\r\n")
        line = self.proxy.wait_for_log("HAPRoxy: 127.0.0.1 200 f-be")
        self.assertTrue(line.endswith('{someb} "GET /f?q HTTP/1.1"'), line)


class JsonTests(ProxyCase):
    """
    Failures only, as JSON, in one process.
    """

    options = ("--access-log", "json", "--debug-errors-only", "true", "--stats-user", "none", "--stats-pass", "x")
    workers = 0

    def test_failures_only(self) -> None:
        """
        What went well leaves no line.
        """
        self.proxy.publish("g", self.backend(answering(b"x")), path="/g")
        self.assertEqual((self.proxy.get("/g").status, self.proxy.get("/none").status), (200, 503))
        line = json.loads(self.proxy.wait_for_log('"target":"/none"'))
        self.assertEqual((line["status"], line["ending"]), (503, "no_route"))
        self.assertNotIn('"target":"/g"', self.proxy.log(self._logged))

    def test_shown(self) -> None:
        """
        One process has the page too.
        """
        self.assertIn(b"Statistics", self.proxy.get("/admin?stats").body)


class ManyTests(ProxyCase):
    """
    Many services.
    """

    options = ("--stats-user", "none", "--stats-pass", "none")

    def test_nobody_waits(self) -> None:
        """
        A page of a thousand services is whole, and meanwhile requests are answered as ever.
        """
        pairs = "".join(
            f"--service=serviceName=s{n}&servicePath=/s{n}&port=1&endpoints=127.0.0.1:1\n" for n in range(1000)
        )
        proxy = Proxy(*self.options, *pairs.split())
        self.addCleanup(proxy.end)
        with proxy.connect() as client:
            client.send("GET /admin?stats;csv HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            body = client.final().body.decode()
        self.assertEqual(len(rows_of(body)), 2001)
