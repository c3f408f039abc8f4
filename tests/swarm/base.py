"""
What the images are made of, without any image registry: a base of Debian packages, and wheels.

Both stay under .cache/swarm, so a second run takes seconds.
"""

from __future__ import annotations

import configparser
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.requirements import ROOT

CACHE = ROOT / ".cache" / "swarm"
BASE = CACHE / "base.tar"
WHEELS = CACHE / "wheels"

SUITE = "bookworm"
"""
The Debian whose Python is 3.11.
"""
PACKAGES = ("python3", "python3-venv")
PYTHON = "3.11"
DROPPED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "var/cache", "var/lib/apt/lists")
"""
What no container needs; half of the whole.
"""


def make_base() -> None:
    """
    A root file system with Python as a tar, as `docker import` takes it.
    """
    if BASE.exists():
        return
    print(f"base: debootstrap {SUITE} with {', '.join(PACKAGES)}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="dfproxy-base-"))
    try:
        root = folder / "root"
        command = ("debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(root))
        made = subprocess.run((*command, *mirror()), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if made.returncode:
            raise SystemExit(f"{' '.join(command)}\n{made.stdout[-2000:]}")
        for name in DROPPED:
            shutil.rmtree(root / name, ignore_errors=True)
            (root / name).mkdir(parents=True, exist_ok=True)
        part = BASE.with_suffix(".part")
        subprocess.run(("tar", "--numeric-owner", "-C", str(root), "-cf", str(part), "."), check=True)
        os.replace(part, BASE)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def mirror() -> tuple[str, ...]:
    """
    Where this machine's own packages come from, if its lists say so in the one-line form; else debootstrap's default.
    """
    for file in (Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*.list"))):
        for line in file.read_text().splitlines() if file.exists() else ():
            words = [word for word in line.split() if not word.startswith(("[", "signed-by"))]
            if len(words) >= 4 and words[0] == "deb" and words[2] == SUITE and "main" in words[3:]:
                return (words[1],)
    return ()


def make_wheels() -> None:
    """
    Wheels of all dependencies, and of what builds the package, for the base's Python.
    """
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(ROOT / "setup.cfg")
    wanted = sorted({*settings["options"]["install_requires"].split(), "setuptools>=65.5", "wheel"})
    stamp = WHEELS / ".wanted"
    digest = hashlib.sha256("\n".join(wanted).encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return
    print("wheels: pip download", flush=True)
    shutil.rmtree(WHEELS, ignore_errors=True)
    WHEELS.mkdir(parents=True)
    got = subprocess.run(
        (
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
            *("--only-binary=:all:", "--implementation=cp", f"--python-version={PYTHON}"),
            *("--dest", str(WHEELS), *wanted),
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if got.returncode:
        raise SystemExit(f"pip download: {got.stdout[-2000:]}")
    stamp.write_text(digest)
