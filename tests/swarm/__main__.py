"""
`make swarm-image` and `make swarm-test`.

    python -m tests.swarm image         only the images, into .cache/swarm
    python -m tests.swarm               the images, then the walk on a Swarm of two nodes
    python -m tests.swarm walk scale    only the steps whose names hold one of these words

Says why where it cannot run. All that runs, runs in namespaces of its own (processes, network, mounts, IPC), so that
whatever happens to this program, the kernel ends every daemon, container and network of it; what lies in files and
control groups is removed here.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from tests.requirements import find_program
from tests.run import write_result
from tests.swarm.base import CACHE, make_base, make_wheels

PACKAGES = {
    "dockerd": "docker.io",
    "debootstrap": "debootstrap",
    "ip": "iproute2",
    "setpriv": "util-linux",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "iptables": "iptables",
    "tar": "tar",
}
"""
Programs, and Debian's packages with them.
"""
MEMORY_MIB = 1500
"""
What two Docker daemons, two proxies and ten small servers need, in MiB of memory.
"""

GONE_S = 15.0
"""
How long the end of everything may take, in seconds.
"""


def why_not() -> str:
    """
    Why this machine cannot do it; "" if it can.
    """
    if sys.platform != "linux":
        return "it needs Linux: namespaces and Docker"
    if os.geteuid() != 0:
        return "it needs root: it makes network namespaces and runs Docker daemons in them"
    missing = sorted({package for program, package in PACKAGES.items() if find_program(program) is None})
    if missing:
        return f"programs are missing: apt-get install {' '.join(missing)}"
    available = next(
        (int(line.split()[1]) // 1024 for line in open("/proc/meminfo") if line.startswith("MemAvailable")), 0
    )
    if available < MEMORY_MIB:
        return f"it needs {MEMORY_MIB} MiB of free memory, there are {available}"
    return ""


@contextmanager
def workplace() -> Iterator[Path]:
    """
    A folder for daemons, and control groups named like it; both gone afterwards.
    """
    for place in (Path(tempfile.gettempdir()), *Path("/sys/fs/cgroup").iterdir()):
        # Of runs that were killed: their number is nobody's any more.
        for stale in place.glob("dfproxy-swarm-*-*"):
            if not Path("/proc", stale.name.split("-")[2]).exists():
                remains(Path(tempfile.gettempdir(), stale.name))
    folder = Path(tempfile.mkdtemp(prefix=f"dfproxy-swarm-{os.getpid()}-"))
    try:
        yield folder
    finally:
        # What was killed takes a moment to go.
        deadline = time.monotonic() + GONE_S
        while left := remains(folder):
            if time.monotonic() > deadline:
                print(f"these stay: {', '.join(map(str, left))}", flush=True)
                break
            time.sleep(0.2)


def remains(folder: Path) -> list[Path]:
    """
    Remove the folder and the control groups of its name.

    Returns:
        What could not be removed.
    """
    shutil.rmtree(folder, ignore_errors=True)
    left = [folder] if folder.exists() else []
    for hierarchy in (Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()):
        ours = hierarchy / folder.name
        if ours.is_dir():
            inner = sorted((path for path in ours.rglob("*") if path.is_dir()), reverse=True)
            for group in (*inner, ours):
                try:
                    group.rmdir()
                except OSError:
                    left.append(group)
    return left


def apart(folder: Path, module: str, *arguments: str) -> int:
    """
    Run a module in namespaces of its own; all that it started has ended when this returns.
    """
    command = (
        # Also if this program is killed so that it cannot do anything about it.
        *("setpriv", "--pdeathsig", "KILL"),
        *("unshare", "--net", "--mount", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc"),
        *(sys.executable, "-m", module, str(folder), *arguments),
    )
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)

    def ended(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, ended)
    try:
        return child.wait()
    finally:
        if child.poll() is None:
            # Its child is process 1 of all the others: with it they end.
            child.kill()
            child.wait()


def main(*arguments: str) -> int:
    """
    Make images, and walk.
    """
    what, *words = arguments or ("walk",)
    if what not in ("image", "walk"):
        print(__doc__)
        return 2
    reason = why_not()
    if reason:
        print(f"the Swarm test cannot run here: {reason}", flush=True)
        required = os.environ.get("DFPROXY_REQUIRE") == "all"
        write_result("swarm", "swarm: all", "failed" if required else "skipped", reason, fresh=True)
        return 1 if required else 0
    CACHE.mkdir(parents=True, exist_ok=True)
    make_base()
    make_wheels()
    with workplace() as folder:
        status = apart(folder, "tests.swarm.image")
    if status == 0 and what == "walk":
        with workplace() as folder:
            status = apart(folder, "tests.swarm.walk", *words)
    return status


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        print("ended; nothing is left running", flush=True)
        sys.exit(130)
