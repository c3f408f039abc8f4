"""
Starts three demo backends and the proxy, says what to try, and ends all of it on Ctrl-C.

Needs no root: the API is 127.0.0.1:8080, the front 127.0.0.1:8000, the backends are 127.0.0.2, .3 and .4
on port 8080 (all of 127.0.0.0/8 is loopback). What follows on the command line goes to the proxy.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from urllib.error import URLError
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".demo" / "state"
BACKENDS = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
PORT = "8080"
API = "http://localhost:8080/v1/docker-flow-proxy"
READY_WAIT_S = 30
"""Seconds until the API must answer: several times what a start takes on a slow machine."""
END_WAIT_S = 10
"""Seconds for a graceful end, after which a process is killed."""

TO_TRY = """
The proxy runs: its API on port 8080, its front on port 8000. In another terminal:

  curl "localhost:8080/v1/docker-flow-proxy/reconfigure?serviceName=go-demo&servicePath=/demo&port=8080"
  curl -i localhost:8000/demo/hello
  curl localhost:8080/v1/docker-flow-proxy/config

Ask the second one several times: X-Backend goes round three servers. Then take the service away:

  curl "localhost:8080/v1/docker-flow-proxy/remove?serviceName=go-demo"

Ctrl-C ends it all.
"""


class Stopped(Exception):
    """
    Ctrl-C, SIGTERM or SIGHUP.
    """


def on_signal(number: int, frame: FrameType | None) -> None:
    raise Stopped


def start(*command: str) -> subprocess.Popen[bytes]:
    """
    Start a child that Ctrl-C of the terminal does not reach: we end it ourselves, in order.
    """
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, start_new_session=True)


def start_backend(host: str) -> subprocess.Popen[bytes]:
    """
    Start one backend and wait until it listens.

    Raises:
        SystemExit: it could not, most likely since the address is in use.
    """
    command = (sys.executable, "-m", "demo.backend", host, PORT)
    child = subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert child.stdout is not None and child.stderr is not None
    if child.stdout.readline() != b"listening\n":
        said = child.stderr.read().decode(errors="replace").strip().split("\n")[-1]
        child.wait()
        raise SystemExit(f"the backend on {host}:{PORT} did not start: {said}")
    return child


def wait_until_ready(proxy: subprocess.Popen[bytes]) -> None:
    """
    Wait until the API answers.

    Raises:
        SystemExit: the proxy ended, or does not answer.
    """
    deadline = time.monotonic() + READY_WAIT_S
    while time.monotonic() < deadline:
        if (status := proxy.poll()) is not None:
            raise SystemExit(f"the proxy ended at its start with status {status}; it says why above")
        try:
            with urlopen(f"{API}/ping", timeout=2):
                return
        except (URLError, OSError):
            time.sleep(0.1)
    raise SystemExit(f"the proxy did not answer on {API}/ping within {READY_WAIT_S} s")


def end(children: list[subprocess.Popen[bytes]]) -> None:
    """
    End all children, the last one started first.
    """
    for child in reversed(children):
        if child.poll() is None:
            child.terminate()
        try:
            child.wait(END_WAIT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def main(*options: str) -> int:
    """
    Run the demo until Ctrl-C.

    Args:
        options: further options of the proxy.

    Returns:
        Exit status: 0 after Ctrl-C, 1 when something ended by itself.
    """
    # Also SIGINT: a shell starts what it puts into the background with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)
    # Each demo begins with nothing published, whatever the last one has left.
    shutil.rmtree(STATE, ignore_errors=True)
    STATE.mkdir(parents=True)
    children: list[subprocess.Popen[bytes]] = []
    twistd = Path(sys.executable).parent / "twistd"
    try:
        for host in BACKENDS:
            children.append(start_backend(host))
        proxy = start(
            *(str(twistd), "--nodaemon", "--pidfile", str(STATE.parent / "twistd.pid"), "dfproxy"),
            *("--ip", "127.0.0.1", "--default-ports", "8000", "--resolve", f"go-demo={','.join(BACKENDS)}"),
            *("--state-dir", str(STATE), "--timeout-tunnel-drain", "1", *options),
        )
        children.append(proxy)
        wait_until_ready(proxy)
        print(TO_TRY, flush=True)
        # An end of the proxy is the end of the demo.
        os.waitid(os.P_PID, proxy.pid, os.WEXITED | os.WNOWAIT)
        print("the proxy ended by itself", flush=True)
        return 1
    except Stopped:
        print("\nending", flush=True)
        return 0
    finally:
        # A second Ctrl-C must not leave half of them.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        end(children)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
