"""
Error pages and the statistics page as HAProxy configuration, which HAProxy itself must take.
"""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.haproxy import render
from dfproxy.dfp.haproxyanswers import PAGE_BYTES, page_lines
from dfproxy.model.listener import Listener
from dfproxy.model.settings import Settings, Statistics
from dfproxy.model.snapshot import Revision
from tests.requirements import require

SETTINGS = Settings(listeners=(Listener("127.0.0.1", 18080),))
SECRET = Statistics("/admin?stats", "stat 'x", "pass # word")


def text_of(statistics: Statistics | None, pages: dict[int, tuple[str, int]] | None = None) -> str:
    chosen = replace(SETTINGS, statistics=statistics)
    return "".join(render(chosen, [], None, lambda name, index: (), Revision(), pages=pages or {}))


class PageTests(SynchronousTestCase):
    """
    Error pages.
    """

    def test_pages(self) -> None:
        """
        What HAProxy can use is named, what it cannot stands in a comment with the reason.
        """
        self.assertEqual(
            list(page_lines({503: ("/a b/503.http", 10), 401: ("/y", 10), 400: ("/x", PAGE_BYTES)})),
            ["errorfile 400 /x", "errorfile 401 /y", r"errorfile 503 /a\ b/503.http"],
        )
        for status, size, reason in ((414, 1, "no page"), (502, PAGE_BYTES + 1, "too long")):
            (line,) = page_lines({status: ("/x\ny", size)})
            self.assertTrue(line.startswith(f"# errorfile {status} /x"), line)
            self.assertIn(reason, line)
            self.assertNotIn("\n", line)


class StatisticsTests(SynchronousTestCase):
    """
    The statistics page.
    """

    def test_secret(self) -> None:
        """
        Name and password are not shown, and what is shown lets nobody in.
        """
        text = text_of(SECRET)
        for part in ("stat ", "pass ", "'x"):
            self.assertNotIn(part, text)
        self.assertIn("    stats http-request auth realm Strictly\\ Private if !{ http_auth(StatisticsUsers) }\n", text)
        self.assertIn("userlist StatisticsUsers\n", text)
        self.assertLess(text.index("userlist"), text.index("frontend services"))

    def test_open(self) -> None:
        """
        For everybody; or none at all.
        """
        text = text_of(Statistics("/s", is_open=True))
        self.assertIn("    stats uri /s\n", text)
        self.assertNotIn("auth", text)
        self.assertNotIn("stats", text_of(None))

    def test_own_port(self) -> None:
        """
        On a port of its own it is nowhere else.
        """
        alone = replace(SECRET, listeners=(Listener("", 9000, statistics=True), Listener("::1", 9000, statistics=True)))
        before, frontend, after = text_of(alone).partition("\nfrontend stats\n")
        self.assertTrue(frontend)
        self.assertNotIn("stats uri", before)
        self.assertIn("    bind *:9000\n    bind [::1]:9000\n    stats enable\n", after)

    def test_haproxy_takes_it(self) -> None:
        """
        All of it.
        """
        (haproxy,) = require("haproxy")
        page = Path(self.mktemp())
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_bytes(b"HTTP/1.0 503 Oh\nContent-Type: text/html\n\n" + b"x" * (PAGE_BYTES - 42))
        pages = {status: (str(page.absolute()), page.stat().st_size) for status in (401, 414, 503)}
        alone = replace(SECRET, uri="/a b?c#d", listeners=(Listener("127.0.0.1", 19000, statistics=True),))
        for statistics in (SECRET, alone, Statistics("/s", is_open=True)):
            file = page.with_suffix(".cfg")
            file.write_text(text_of(statistics, pages))
            done = subprocess.run([haproxy, "-c", "-f", file], capture_output=True, text=True, timeout=20, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
