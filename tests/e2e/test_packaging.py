"""
`twistd dfproxy --help` works however the package got onto the machine.

Nothing is downloaded: the fresh environments see the dependencies of this one, but not this checkout.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.requirements import ROOT

LIMIT_S = 120
"""Seconds for one command: building a wheel takes a few."""

COPIED = ("dfproxy", "twisted", "setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")


def run(*command: str, cwd: Path, **environment: str) -> str:
    """
    Run a command that has to succeed, without what this process's environment says of Python.

    Returns:
        What it printed.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "PIP_"))}
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**kept, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
    )
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}")
    return done.stdout


class PackagingTests(SynchronousTestCase):
    """
    A wheel, an editable install, a bare checkout.
    """

    def setUp(self) -> None:
        """
        Copy the tree, so that building leaves nothing in the real one.
        """
        self.folder = Path(tempfile.mkdtemp(prefix="dfproxy-packaging-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.tree = self.folder / "tree"
        self.tree.mkdir()
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "dropin.cache")
                shutil.copytree(source, self.tree / name, ignore=ignored)
            else:
                shutil.copy(source, self.tree / name)

    def fresh_environment(self) -> Path:
        """
        A new virtual environment that has the dependencies of this one, but no dfproxy.

        Returns:
            Its python.
        """
        place = self.folder / "venv"
        run(sys.executable, "-m", "venv", "--without-pip", str(place), cwd=self.folder)
        site = next((place / "lib").glob("python*/site-packages"))
        ours = Path(sysconfig.get_path("purelib"))
        for entry in ours.iterdir():
            if "dfproxy" not in entry.name and entry.name not in ("__pycache__", "twisted"):
                (site / entry.name).symlink_to(entry)
        # Twisted gets a folder of its own: the wheel puts its plugin into it. dropin.cache knows other plugins.
        shutil.copytree(ours / "twisted", site / "twisted", ignore=shutil.ignore_patterns("dropin.cache", "test"))
        return place / "bin" / "python"

    def check_help(self, python: Path, cwd: Path, **environment: str) -> None:
        """
        Twistd lists us and prints our options.
        """
        twistd = Path(sysconfig.get_path("scripts")) / "twistd"
        printed = run(str(python), str(twistd), "dfproxy", "--help", cwd=cwd, **environment)
        for option in ("--ip", "--default-ports", "--workers", "--state-dir", "--plugins", "--resolve"):
            self.assertIn(option, printed)
        self.assertIn("roundrobin", printed)

    def test_wheel(self) -> None:
        """
        A wheel installed into a fresh environment gives `twistd dfproxy`, and ships types and plugin.
        """
        build = ("-m", "build", "--wheel", "--no-isolation", "--outdir", str(self.folder / "dist"), ".")
        run(sys.executable, *build, cwd=self.tree)
        (wheel,) = (self.folder / "dist").glob("*.whl")
        names = set(zipfile.ZipFile(wheel).namelist())
        self.assertIn("twisted/plugins/dfproxy_plugin.py", names)
        self.assertIn("dfproxy/py.typed", names)
        (entry_points,) = (name for name in names if name.endswith("entry_points.txt"))
        self.assertIn(b"dfproxy = dfproxy.console.main:main", zipfile.ZipFile(wheel).read(entry_points))
        self.assertNotIn("twisted/__init__.py", names)
        self.assertEqual([name for name in names if name.split("/")[0] in ("tests", "bench", "demo", "docs")], [])
        modules = {str(file.relative_to(ROOT)) for file in (ROOT / "dfproxy").rglob("*.py")}
        self.assertEqual(modules - names, set())

        python = self.fresh_environment()
        site = next((self.folder / "venv" / "lib").glob("python*/site-packages"))
        pip = ("-m", "pip", "install", "--no-deps", "--no-index", "--quiet", "--target", str(self.folder / "unpacked"))
        run(sys.executable, *pip, str(wheel), cwd=self.folder)
        shutil.copytree(self.folder / "unpacked", site, dirs_exist_ok=True, symlinks=True)
        where = run(str(python), "-c", "import dfproxy; print(dfproxy.__file__)", cwd=self.folder)
        self.assertIn(str(site), where)
        self.check_help(python, self.folder)

    def test_editable(self) -> None:
        """
        An editable install gives `twistd dfproxy` from any folder.
        """
        python = self.fresh_environment()
        options = ("--no-deps", "--no-index", "--no-build-isolation", "--quiet", "--disable-pip-version-check")
        run(str(python), "-m", "pip", "install", *options, "--editable", str(self.tree), cwd=self.folder)
        where = run(str(python), "-c", "import dfproxy; print(dfproxy.__file__)", cwd=self.folder)
        self.assertIn(str(self.tree), where)
        self.check_help(python, self.folder)

    def test_checkout(self) -> None:
        """
        A bare checkout gives `twistd dfproxy` with PYTHONPATH=. and nothing installed.
        """
        self.check_help(self.fresh_environment(), self.tree, PYTHONPATH=".")
