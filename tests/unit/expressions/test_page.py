"""
Holds docs/headers.md to what there is.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.reconfigure import read
from dfproxy.expressions.converters import CONVERTERS
from dfproxy.expressions.fetches import FETCHES, variable
from dfproxy.expressions.rules import OWN_FIELDS
from dfproxy.model.service import Balance
from dfproxy.model.settings import Settings
from tests.unit.expressions.subjects import SURROUNDINGS

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "headers.md").read_text(encoding="utf-8")
PHASES = {"both": "both", "request": "requests", "answer": "answers"}


def part(name: str) -> list[str]:
    return PAGE.partition(f"<!-- {name} -->\n")[2].partition("<!-- end -->")[0].splitlines()


class PageTests(SynchronousTestCase):
    """
    What the page lists.
    """

    def test_fetches(self) -> None:
        """
        Every fetch, its type and where it can be asked.
        """
        rows = [
            f"| `{name}{'(x)' if row.least else ''}` | {row.kind} | {PHASES[row.phase]} |"
            for name, row in sorted(FETCHES.items())
        ]
        self.assertEqual(part("fetches")[2:], rows)

    def test_converters(self) -> None:
        """
        Every converter.
        """
        self.assertEqual(part("converters"), [" ".join(f"`{name}`" for name in sorted(CONVERTERS))])

    def test_variables(self) -> None:
        """
        Variables that are named exist.
        """
        named = re.findall(r"`%([A-Za-z]+)`", PAGE)
        self.assertGreater(len(named), 15)
        self.assertEqual([name for name in named if variable(name, SURROUNDINGS) is None], [])

    def test_own_fields(self) -> None:
        """
        Fields that no rule may touch are all named.
        """
        text = PAGE.lower()
        self.assertEqual([name for name in OWN_FIELDS if f"`{name}`" not in text], [])

    def test_example(self) -> None:
        """
        The example is accepted.
        """
        example = PAGE.partition("    curl -G")[2].partition("\n\n")[0]
        values = re.findall(r'-d (\w+=\S+)|--data-urlencode "([^"]*)"', example)
        pairs = [tuple((plain or encoded).split("=", 1)) for plain, encoded in values]
        query = urlencode(pairs)
        service = read(parse_qsl(query), (), Settings(), lambda text: Balance(text)).service
        assert service is not None and service.destinations[0].steps is not None
        self.assertEqual(len(service.destinations[0].steps.request_headers), 2)
