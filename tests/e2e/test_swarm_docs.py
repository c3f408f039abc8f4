"""
docs/swarm.md and docs/scale.md against the code: what they name exists, and what they reckon with is so.
"""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.options import OPTIONS
from dfproxy.discovery.dns import CALM_INTERVAL_S, HOT_INTERVAL_S, HOT_S, QUESTIONS_PER_S
from dfproxy.model.settings import Limits

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = ("swarm.md", "scale.md")

OTHERS = {"CMD", "DF_NOTIFY_LABEL", "ENTRYPOINT", "HEALTHCHECK"}
"""
Words in capitals that are Docker's, or the listener's.
"""


class PageTests(SynchronousTestCase):
    """
    Each page about the Swarm.
    """

    def setUp(self) -> None:
        self.pages = {name: (ROOT / "docs" / name).read_text() for name in PAGES}

    def test_options(self) -> None:
        """
        Every option and variable that a page names exists.
        """
        variables = {option.variable for option in OPTIONS} | OTHERS
        options = {option.name for option in OPTIONS}
        docker = {"tag", "build-arg", "compose-file", "subnet", "driver"}
        for name, text in self.pages.items():
            given = set(re.findall(r"`([A-Z][A-Z_]{3,})(?:=[^`]*)?`", text))
            self.assertEqual(given - variables, set(), name)
            self.assertGreater(len(given), 2, name)
            self.assertEqual(set(re.findall(r"(?<![\w-])--([a-z][a-z-]+)", text)) - options - docker, set(), name)

    def test_metrics(self) -> None:
        """
        Every metric that a page names is one that is told.
        """
        code = "".join(file.read_text() for file in (ROOT / "dfproxy").rglob("*.py"))
        for name, text in self.pages.items():
            for metric in re.findall(r"`(dfproxy_\w+)`", text):
                # Some names are put together of a beginning and an end; the end is what tells them apart.
                self.assertTrue(metric in code or metric.removeprefix("dfproxy_") in code, f"{name}: {metric}")

    def test_links(self) -> None:
        """
        Every file that a page points to is there.
        """
        for name, text in self.pages.items():
            for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
                self.assertTrue((ROOT / "docs" / target).resolve().exists(), f"{name}: {target}")

    def test_reckoning(self) -> None:
        """
        Names asked on time, and connections kept, follow from the constants as the page reckons.
        """
        text = self.pages["scale.md"]
        self.assertEqual(HOT_S, 60.0)
        self.assertIn(f"each {HOT_INTERVAL_S:.0f} s for names with traffic in the last minute", text)
        self.assertIn(f"each {CALM_INTERVAL_S:.0f} s for others, at most {QUESTIONS_PER_S:.0f} a second", text)
        self.assertIn(f"{QUESTIONS_PER_S * HOT_INTERVAL_S:,.0f} busy names", text)
        self.assertIn(f"{QUESTIONS_PER_S * CALM_INTERVAL_S:,.0f} idle ones", text)
        kept = Limits().idle_upstreams
        self.assertIn(f"at most {kept} for each server and worker", text)
        self.assertIn(f"100 replicas of 4 workers could keep {100 * 4 * kept:,} to a lone server", text)
