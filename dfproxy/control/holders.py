"""
Who has a port: for the operator who cannot have it.

Looks where Linux tells it, as far as we may read there; what others run stays unknown without privileges. Off the
usual path: only when a port could not be bound.

Source: proc(5), `/proc/net/tcp`, `/proc/<pid>/fd`.
"""

from __future__ import annotations

import os
from pathlib import Path

LOOKED_AT = 4096
"""
Most processes that are looked at, so that a refusal does not take long on a large machine.
"""

_LISTENS = "0A"


def holder_of(port: int, proc: Path = Path("/proc")) -> str:
    """
    Name and number of the process that listens on a port, such as `redis-server (pid 71)`; empty: unknown.
    """
    links = {f"socket:[{inode}]" for inode in _inodes(port, proc)}
    if not links:
        return ""
    looked = 0
    for entry in _entries(proc):
        if not entry.name.isdecimal():
            continue
        looked += 1
        if looked > LOOKED_AT:
            break
        for descriptor in _entries(Path(entry) / "fd"):
            try:
                if os.readlink(descriptor) in links:
                    return f"{(Path(entry) / 'comm').read_text(errors='replace').strip()} (pid {entry.name})"
            except OSError:
                continue  # closed or ended meanwhile
    return ""


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []  # not ours to see


def _inodes(port: int, proc: Path) -> set[str]:
    found = set()
    for name in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / name).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if len(words) > 9 and words[3] == _LISTENS and words[1].rpartition(":")[2] == f"{port:04X}":
                found.add(words[9])
    return found
