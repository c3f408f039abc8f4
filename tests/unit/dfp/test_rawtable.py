"""
The table of HAProxy's directives, and the page made of it.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qsl

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.options import OPTIONS
from dfproxy.dfp.parameters import TABLE
from dfproxy.dfp.rawtable import BOTH, ROWS, markdown, row_of
from dfproxy.dfp.rawtext import read_raw
from dfproxy.dfp.reconfigure import read
from dfproxy.dfp.settings import read_settings
from dfproxy.expressions.directives import KNOWN, WITHOUT_EFFECT
from dfproxy.expressions.subject import Surroundings
from dfproxy.model.service import Balance
from dfproxy.model.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
KEYWORDS = [
    line
    for line in (Path(__file__).parent / "haproxy-keywords.txt").read_text(encoding="ascii").splitlines()
    if not line.startswith("#")
]
KEEPS_OUT = re.compile(r"deny|auth|tarpit|reject|block|silent-drop|\ballow\b")
"""What keeps somebody out, or says who is let in."""


class TableTests(SynchronousTestCase):
    """
    Every directive that HAProxy has.
    """

    def test_every_keyword(self) -> None:
        """
        Each keyword of HAProxy's proxy sections is known by name, wherever it stands: it works, or has nothing to do
        and that is said, or is refused and the refusal names it.
        """
        self.assertGreater(len(KEYWORDS), 350)
        silent = []
        for keyword in KEYWORDS:
            for place in BOTH:
                found = read_raw(f"{keyword} \1", place, Surroundings(), lambda text: Balance(text), "/errorfiles")
                self.assertEqual(found.lines, [], (keyword, place))  # no keyword takes a control character
                found = read_raw(keyword, place, Surroundings(), lambda text: Balance(text), "/errorfiles")
                row = row_of(keyword.split(), place)
                if row is None or (found.problems and row.name not in found.problems[0]):
                    silent.append((keyword, place, found))
                elif found.lines and row.fate == "noted" and row.name not in found.notes[0]:
                    silent.append((keyword, place, found))
                elif row.fate == "refused" and not found.problems:
                    silent.append((keyword, place, found))
        self.assertEqual(silent, [])

    def test_nothing_that_keeps_out_is_dropped(self) -> None:
        """
        What keeps somebody out works or is refused; it never has "nothing to do".
        """
        kept = [row for row in ROWS if KEEPS_OUT.search(row.name) and "allbackups" not in row.name]
        self.assertGreater(len(kept), 15)
        self.assertEqual([row.name for row in kept if row.fate == "noted"], [])
        for place in BOTH:
            for line in (
                "http-request tarpit",
                "http-request auth",
                "block if TRUE",
                "reqdeny ^x",
                "tcp-request content",
            ):
                found = read_raw(line, place, Surroundings(), lambda text: Balance(text), "")
                self.assertEqual((len(found.problems), found.lines), (1, []), line)

    def test_once(self) -> None:
        """
        No directive has two meanings at one place.
        """
        places = [(row.name, place) for row in ROWS for place in row.places]
        self.assertEqual(len(places), len(set(places)))

    def test_agrees_with_what_is_read(self) -> None:
        """
        What the language of rules knows stands in the table as working, or as having nothing to do, and nothing else
        does.
        """
        rules = {row.name: row.fate for row in ROWS if row.name.startswith(("http-request", "http-response"))}
        for name in KNOWN:
            fates = {row.fate for row in ROWS if row.name == name and row.fate != "refused"}
            self.assertEqual(fates, {"noted" if name in WITHOUT_EFFECT else "works"}, name)
        self.assertEqual(
            {name for name, fate in rules.items() if fate != "refused"}, {n for n in KNOWN if "http-" in n}
        )

    def test_names_exist(self) -> None:
        """
        Variables and parameters that a text sends its reader to are there.
        """
        variables = {option.variable for option in OPTIONS}
        parameters = {row.name for row in TABLE}
        text = " ".join(row.text for row in ROWS)
        named = set(re.findall(r"\b[A-Z][A-Z]+(?:_[A-Z]+)+\b", text))
        self.assertGreater(len(named), 15)
        self.assertEqual(named - variables, set())
        camel = set(re.findall(r"\b[a-z]+[A-Z][A-Za-z]+\b", text))
        self.assertGreater(len(camel), 8)
        self.assertEqual(camel - parameters, set())


class PageTests(SynchronousTestCase):
    """
    docs/rawtext.md.
    """

    def test_current(self) -> None:
        """
        It says what the table says.
        """
        page = (ROOT / "docs" / "rawtext.md").read_text(encoding="utf-8")
        self.assertEqual(page, markdown(), "run: python -m dfproxy.dfp.rawtable > docs/rawtext.md")

    def test_examples(self) -> None:
        """
        Its examples are accepted and have their effects.
        """
        page = markdown()
        match = re.search(r"com\.df\.backendExtra=([^']*)'", page)
        assert match is not None
        query = [*parse_qsl("serviceName=web&servicePath=/&port=80"), ("backendExtra", match[1])]
        service = read(query, (), Settings(), lambda text: Balance(text)).service
        assert service is not None and service.destinations[0].steps is not None
        self.assertEqual(len(service.destinations[0].steps.raw), 1)
        block = page.partition("EXTRA_FRONTEND: >-\n")[2].partition("\n\n")[0]
        settings = read_settings({}, {"EXTRA_FRONTEND": " ".join(block.split()), "HOME": "/root"}, {})
        self.assertEqual(len(settings.front_lines), 3)
