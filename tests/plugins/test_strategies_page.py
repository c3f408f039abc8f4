"""
`docs/strategies.md` is true: what it tells the reader to write works as it says.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.control.strategies import Strategies
from dfproxy.dfp.options import OPTIONS
from tests.folders import PluginFolders

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
EXAMPLE = re.compile(r"<!-- example: (\S+) -->\n```python\n(.*?)```", re.DOTALL)


class PageTests(PluginFolders, SynchronousTestCase):
    """
    The five minutes, step by step.
    """

    def setUp(self) -> None:
        """
        The files that the reader has written by the end of the page, `{name: text}`.
        """
        super().setUp()
        self.page = (DOCS / "strategies.md").read_text(encoding="utf-8")
        self.examples = dict(EXAMPLE.findall(self.page))
        self.assertEqual(sorted(self.examples), ["nearest.py", "test_nearest.py"])

    def load_example(self) -> Strategies:
        """
        What is found with the reader's folder.
        """
        return self.load_files(nearest=self.examples["nearest.py"])

    def test_the_strategy_is_found(self) -> None:
        """
        Steps 1 to 4: the file alone makes `balance=nearest` known, and nothing is broken.
        """
        strategies = self.load_example()
        self.assertEqual(strategies.broken, ())
        self.assertEqual(strategies.parse_balance("nearest").name, "nearest")
        entry = next(entry for entry in strategies.describe() if entry["name"] == "nearest")
        self.assertEqual(entry["description"], "servers on the client's own network first")

    def test_its_tests_pass(self) -> None:
        """
        Step 5: the reader's tests run with the page's command, all of the contract among them, and pass.
        """
        [command] = re.findall(r"^\$ (.* test_nearest)$", self.page, re.MULTILINE)
        folder = Path(self.mktemp())
        (folder / "my-plugins").mkdir(parents=True)
        (folder / "my-plugins" / "nearest.py").write_text(self.examples["nearest.py"], encoding="utf-8")
        (folder / "test_nearest.py").write_text(self.examples["test_nearest.py"], encoding="utf-8")
        trial = subprocess.run(
            command.split(),
            cwd=folder,
            env={
                **os.environ,
                "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
                "PYTHONPATH": str(DOCS.parent),
            },
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual(trial.returncode, 0, trial.stdout + trial.stderr)
        self.assertIn("test_own_network_first ...", trial.stdout)
        self.assertIn("test_updates_forget_nothing ...", trial.stdout)

    def test_as_a_package(self) -> None:
        """
        The file and the page's pyproject.toml make a package; once it is installed the strategy is there.
        """
        [project] = re.findall(r"<!-- example: pyproject.toml -->\n```toml\n(.*?)```", self.page, re.DOTALL)
        folder = Path(self.mktemp()).absolute()
        (folder / "my-strategies" / "dfproxy" / "plugins").mkdir(parents=True)
        (folder / "my-strategies" / "pyproject.toml").write_text(project, encoding="utf-8")
        (folder / "my-strategies" / "dfproxy" / "plugins" / "nearest.py").write_text(self.examples["nearest.py"])
        pip = ("pip", "install", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check")
        for command in (
            (*pip, "--quiet", "--target", str(folder / "site"), str(folder / "my-strategies")),
            ("twisted", "dfproxy", "--help"),
        ):
            done = subprocess.run(
                (sys.executable, "-m", *command),
                cwd=folder,
                env={**os.environ, "PYTHONPATH": os.pathsep.join((str(DOCS.parent), str(folder / "site")))},
                capture_output=True,
                text=True,
                timeout=120,
            )
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("nearest      servers on the client's own network first", done.stdout)

    def test_its_reasons_are_given(self) -> None:
        """
        The table of faults has the words that the reader will see.
        """
        example = self.examples["nearest.py"]
        without = example.rpartition("nearest = ")[0]
        unseen = """
            from zope.interface import implementer
            from dfproxy.interfaces import IBalancerFactory

            @implementer(IBalancerFactory)
            class Nearest:
                name = description = "nearest"
                def build(self, arguments, clock, random):
                    return None

            nearest = Nearest()
        """
        unused = unseen.replace("nearest = Nearest()", "")
        self.assertIn("class Nearest is never used", self.load_files(nearest=unused).broken[0].reason)
        self.assertIn("no strategy uses class Nearest", self.load_files(nearest=without).broken[0].reason)
        self.assertIn("is not seen by the plugin search", self.load_files(nearest=unseen).broken[0].reason)
        twice = self.load_files(nearest=example, other=example)
        self.assertIn("balancer 'nearest' is already there", twice.broken[0].reason)
        hidden = self.load_files(balancers=example)
        self.assertIn("is hidden by", hidden.broken[0].reason)
        dashed = self.load_files(**{"my-nearest": example})
        self.assertIn("cannot be imported by this name", dashed.broken[0].reason)
        lost = self.load_files(nearest="\n\nimport lost_and_gone")
        self.assertRegex(lost.broken[0].reason, r"^ModuleNotFoundError: .* \(line 3\)$")
        self.flushLoggedErrors(ImportError)

    def test_its_options_exist(self) -> None:
        """
        Options that the page names are options of the program.
        """
        known = {f"--{option.name}" for option in OPTIONS} | {"--help"}
        self.assertEqual(set(re.findall(r"(?<!<!)--[a-z][a-z-]+", self.page)) - known, set())
