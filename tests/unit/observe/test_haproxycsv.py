"""
Counters as HAProxy's CSV, beside what a real HAProxy writes.
"""

from __future__ import annotations

import csv as reader
import io
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.observe.haproxycsv import COLUMNS, csv
from dfproxy.observe.metrics import FIELDS
from dfproxy.observe.prometheus import Totals
from tests.requirements import require

NOTHING = (0,) * len(FIELDS)

CONFIGURATION = """\
defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
frontend services
    bind 127.0.0.1:{port}
    stats enable
    stats uri /admin?stats
    default_backend web-be8080_0
backend web-be8080_0
    server web 127.0.0.1:9
"""


def values(**counted: int) -> tuple[int, ...]:
    return tuple(counted.get(name, 0) for name in FIELDS)


def rows(*totals: Totals) -> list[dict[str, str]]:
    text = "".join(csv(totals))
    return list(reader.DictReader(io.StringIO(text.removeprefix("# "))))


class Watched(tuple[int, ...]):
    """
    Counters that tell when they are let go of.
    """

    __slots__ = ()
    gone = 0

    def __del__(self) -> None:
        Watched.gone += 1


class SliceTests(SynchronousTestCase):
    """
    Each step is short, also the one that ends it.
    """

    def test_let_go_of_in_steps(self) -> None:
        """
        What was collected for the page goes line by line: thousands at once would hold everything up.
        """
        Watched.gone = 0

        def totals() -> Iterator[Totals]:
            for number in range(200):
                yield Totals("backend", f"b{number}", "s", "", Watched(NOTHING))
                yield Totals("server", f"b{number}", "s", "x", Watched(NOTHING))

        before = most = 0
        lines = 0
        for part in csv(totals()):
            lines += part.count("\n")
            most, before = max(most, Watched.gone - before), Watched.gone
        most = max(most, Watched.gone - before)
        self.assertEqual((lines, Watched.gone), (402, 400))
        self.assertLessEqual(most, 3)


class LineTests(SynchronousTestCase):
    """
    What stands where.
    """

    def test_order(self) -> None:
        """
        Frontends, then the servers of each backend before it, whatever the order in which they come.
        """
        found = rows(
            Totals("backend", "a-be_0", "a", "", NOTHING),
            Totals("server", "a-be_0", "a", "a_0", NOTHING),
            Totals("server", "a-be_0", "a", "a_1", NOTHING),
            Totals("backend", "b-be_0", "b", "", NOTHING),
            Totals("frontend", "", "", "", NOTHING),
        )
        names = [f"{row['pxname']},{row['svname']}" for row in found]
        self.assertEqual(names, ["services,FRONTEND", "a-be_0,a_0", "a-be_0,a_1", "a-be_0,BACKEND", "b-be_0,BACKEND"])
        self.assertEqual(
            [(row["iid"], row["sid"]) for row in found[1:]], [("3", "1"), ("3", "2"), ("3", "0"), ("4", "0")]
        )

    def test_columns(self) -> None:
        """
        Each counter has its column; what a kind does not have is empty.
        """
        counted = values(**{name: 100 + place for place, name in enumerate(FIELDS)})
        at = {name: str(100 + place) for place, name in enumerate(FIELDS)}
        frontend, server, backend = rows(
            Totals("frontend", "", "", "", counted, limit=900),
            Totals("backend", "a-be_0", "a", "", counted, up=True, weight=3, active=2),
            Totals("server", "a-be_0", "a", "a_0", counted, up=False, weight=1),
        )
        for row, expected in (
            (
                frontend,
                {"stot": at["connections"], "req_tot": at["requests"], "ereq": at["request_errors"], "slim": "900"},
            ),
            (frontend, {"req_rate": at["request_rate"], "req_rate_max": at["request_rate_peak"]}),
            (frontend, {"status": "OPEN", "econ": "", "qcur": "", "dreq": at["denied"], "act": "", "rate_lim": "0"}),
            (backend, {"qcur": at["waiting"], "qmax": at["waiting_peak"], "smax": at["peak"], "stot": at["requests"]}),
            (backend, {"wredis": at["redispatches"], "rate": at["rate"], "rate_max": at["rate_peak"], "act": "2"}),
            (backend, {"status": "UP", "weight": "3", "ereq": "", "type": "1", "slim": ""}),
            (server, {"status": "DOWN", "weight": "1", "act": "", "econ": at["connect_errors"], "type": "2"}),
        ):
            self.assertEqual({name: row[name] for name in expected}, expected)

    def test_odd_names(self) -> None:
        """
        A name is one field, whatever is in it.
        """
        self.assertEqual(rows(Totals("backend", 'a,"b', "a", "", NOTHING))[1]["pxname"], 'a,"b')

    def test_nothing(self) -> None:
        """
        The frontend is there from the start.
        """
        self.assertEqual([row["pxname"] for row in rows()], ["services"])


class HAProxyTests(SynchronousTestCase):
    """
    A real HAProxy (Debian's, newer than the 1.8 whose columns these are).
    """

    def test_same_columns(self) -> None:
        """
        Our columns are its first ones, in its order, and its lines for frontend, server and backend come in ours.
        """
        (haproxy,) = require("haproxy")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        file = Path(self.mktemp())
        file.write_text(CONFIGURATION.format(port=port))
        child = subprocess.Popen((haproxy, "-db", "-f", str(file)), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(child.wait)
        self.addCleanup(child.terminate)
        deadline, text = time.monotonic() + 20, ""
        while not text and time.monotonic() < deadline:
            try:
                with urlopen(f"http://127.0.0.1:{port}/admin?stats;csv", timeout=5) as answer:
                    text = answer.read().decode()
            except OSError:
                time.sleep(0.02)
        names, *lines = text.splitlines()
        theirs = names.removeprefix("# ").rstrip(",").split(",")
        # HAProxy 2.x has dropped none and added some behind, but for those of agents and 1.9's additions among them.
        self.assertEqual(theirs[: len(COLUMNS)], COLUMNS)
        kinds = [tuple(line.split(",")[:2]) for line in lines if line]
        ours = rows(
            Totals("frontend", "", "", "", NOTHING),
            Totals("backend", "web-be8080_0", "web", "", NOTHING),
            Totals("server", "web-be8080_0", "web", "web", NOTHING),
        )
        self.assertEqual(kinds, [(row["pxname"], row["svname"]) for row in ours])
        empty = {
            column
            for line, row in zip(lines, ours)
            for column, said in zip(theirs, line.split(","))
            if said == "" and row.get(column, "") != "" and column not in ("slim", "dreq", "dresp", "weight")
        }
        self.assertEqual(empty - {"conn_rate", "conn_rate_max", "conn_tot", "rtime", "req_tot"}, set())
