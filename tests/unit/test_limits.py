"""
docs/security.md: its tables of limits have every limit there is, with the value it has.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.api.guard import OPEN
from dfproxy.dfp.options import OPTIONS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "security.md"

ROW = re.compile(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \|$", re.M)


def rows() -> dict[str, tuple[str, str]]:
    """
    First cell of each row of the tables of limits -> its value, its reason.
    """
    _, _, text = PAGE.read_text().partition("## Every limit")
    return {name: (value.strip(), reason.strip()) for name, value, reason in ROW.findall(text)}


class PageTests(SynchronousTestCase):
    def test_options(self) -> None:
        """
        Every option that bounds something is there with its default, and no other.
        """
        documented = {name[2:]: value for name, (value, _) in rows().items() if name.startswith("--")}
        self.assertEqual(
            documented, {option.name: option.default for option in OPTIONS if option.target.startswith("limits.")}
        )

    def test_fixed(self) -> None:
        """
        What is fixed has the value that the page says.
        """
        fixed = {name: value for name, (value, _) in rows().items() if not name.startswith("--")}
        self.assertGreater(len(fixed), 20)
        for name, value in fixed.items():
            module, _, constant = name.rpartition(".")
            self.assertEqual(float(getattr(importlib.import_module(module), constant)), float(value), name)

    def test_reasons(self) -> None:
        """
        Each has a reason.
        """
        for name, (_, reason) in rows().items():
            self.assertGreater(len(reason.split()), 2, name)

    def test_open_paths(self) -> None:
        """
        The paths that are open to everybody are those that the page names.
        """
        (line,) = re.findall(r"Open to everybody at all times.*?`/metrics` is not", PAGE.read_text(), re.S)
        named = set(re.findall(r"`(/v[^`]+)`", line))
        self.assertEqual(named, {path.decode() for path in OPEN})
