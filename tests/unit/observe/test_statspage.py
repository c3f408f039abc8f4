"""
The statistics as a page.
"""

from __future__ import annotations

from html.parser import HTMLParser

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.observe.metrics import FIELDS
from dfproxy.observe.prometheus import Totals
from dfproxy.observe.statspage import About, page

ABOUT = About("/admin?stats", "1.2.3", "host-1", 42)
VOID = ("meta", "link", "br")


class Reader(HTMLParser):
    """
    Rows of the table, and whether every element is closed in its turn.
    """

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[tuple[str, list[str]]] = []
        self.links: list[str] = []
        self.refresh = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "meta":
            self.refresh += given.get("http-equiv") or ""
        if tag == "a":
            self.links.append(given.get("href") or "")
        if tag == "tr":
            self.rows.append((given.get("class") or "", []))
        if tag in ("td", "th"):
            self.rows[-1][1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][1][-1] += data


def values(**counted: int) -> tuple[int, ...]:
    return tuple(counted.get(name, 0) for name in FIELDS)


def read(*totals: Totals, about: About = ABOUT) -> Reader:
    reader = Reader()
    reader.feed("".join(page(totals, about)))
    reader.close()
    assert reader.open == [], reader.open
    return reader


class PageTests(SynchronousTestCase):
    """
    What a browser sees.
    """

    def test_rows(self) -> None:
        """
        One row for each frontend, server and backend; every row has the columns of the head; who is down is marked.
        """
        found = read(
            Totals("frontend", "", "", "", values(connections=5, requests=9, denied=2)),
            Totals("backend", "a-be_0", "a", "", values(requests=4, latency_us=8000), up=True, weight=2, active=1),
            Totals("server", "a-be_0", "a", "a_1", values(requests=4, retries=3), up=False, weight=1),
        )
        heads, names, *rows = found.rows
        self.assertEqual([kind for kind, _ in rows], ["frontend up", "server down", "backend up"])
        self.assertEqual([cells[0] for _, cells in rows], ["services", "a_1", "a-be_0"])
        self.assertEqual({len(cells) for _, cells in rows}, {2 + len(names[1]) + 3})
        frontend, server, backend = (dict(zip(["", "", *names[1]], cells)) for _, cells in rows)
        self.assertEqual((frontend["Total"], server["Total"], server["Retries"]), ("5", "4", "3"))
        self.assertEqual((rows[1][1][1], rows[1][1][-3:]), ("DOWN", ["0.0", "1", ""]))
        self.assertEqual((rows[2][1][1], rows[2][1][-3:]), ("UP", ["2.0", "2", "1"]))
        self.assertIn("Sessions", heads[1])
        self.assertEqual(backend["Retries"], "0")

    def test_links(self) -> None:
        """
        The CSV, and with or without refresh.
        """
        found = read()
        self.assertEqual((found.links, found.refresh), (["/admin?stats;csv", "/admin?stats;norefresh"], "refresh"))
        still = read(about=About("/admin?stats", "1", "h", 1, refreshes=False))
        self.assertEqual((still.links, still.refresh), (["/admin?stats;csv", "/admin?stats"], ""))

    def test_escaped(self) -> None:
        """
        Names, host and address are text.
        """
        bad = '"><script>x</script>&amp;'
        text = "".join(page((Totals("server", "a", "a", bad, values()),), About(bad, bad, bad, 1)))
        self.assertNotIn("<script", text)
        self.assertEqual(read(Totals("server", "a", "a", bad, values())).rows[-1][1][0], bad)
