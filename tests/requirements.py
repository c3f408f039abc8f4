"""
What a test needs from the machine, said loudly.

A developer's machine may lack a program: the test is skipped and says which one. In CI nothing
may be lacking: with DFPROXY_REQUIRE=all a missing thing is a failure.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from unittest import SkipTest

ROOT = Path(__file__).resolve().parent.parent
"""The checkout."""

# Debian's package for a program of another name; `make test` installs them where it is root.
PACKAGES = {"nginx": "nginx-light", "ip": "iproute2", "h2load": "nghttp2-client"}


class Missing(AssertionError):
    """
    A thing that DFPROXY_REQUIRE=all wants is not here.
    """


def _lacking(reason: str) -> None:
    if os.environ.get("DFPROXY_REQUIRE") == "all":
        raise Missing(f"DFPROXY_REQUIRE=all, but {reason}")
    raise SkipTest(reason)


def find_program(name: str) -> str | None:
    """
    The path of a program, also when PATH leaves out the folders of the superuser (haproxy, nginx).
    """
    path = os.environ.get("PATH", os.defpath)
    return shutil.which(name, path=f"{path}:/usr/local/sbin:/usr/sbin:/sbin")


def require(*programs: str) -> list[str]:
    """
    Skip the calling test unless all programs are installed.

    Returns:
        Their paths, in the order asked for.

    Raises:
        SkipTest: one is missing; the reason names it and its Debian package.
        Missing: the same, where DFPROXY_REQUIRE=all.
    """
    found = {name: find_program(name) for name in programs}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        packages = " ".join(PACKAGES.get(name, name) for name in missing)
        _lacking(f"{', '.join(missing)} not installed (apt-get install {packages})")
    return [path for path in found.values() if path is not None]


def require_root() -> None:
    """
    Skip the calling test unless it runs as root (ports below 1024, changing user).
    """
    if os.geteuid() != 0:
        _lacking("this test needs root")


def require_shared(*parts: str) -> Path:
    """
    Skip the calling test unless the folder of shared material lies beside the checkout.

    Args:
        parts: a path in that folder that must exist, too.

    Returns:
        The path asked for.
    """
    path = (ROOT.parent / "shared").joinpath(*parts)
    if not path.exists():
        _lacking(f"{'/'.join(('../shared', *parts))} is not here")
    return path
