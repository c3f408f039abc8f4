"""
`make conformance`: asks a fresh proxy what a real Docker Flow Proxy was asked, and reports what differs.

The cases and the harness that asks them are material shared by several projects and lie beside the checkout, in
../shared/conformance (or where DFPROXY_CONFORMANCE says). Where they are not, this says so and ends well: the other
tests of this repository stand on their own.

Options of the harness can be given: `python -m tests.conformance --only paths`.

Everything happens in a network namespace of its own where the kernel lets us (ports 80, 443 and names in
/etc/hosts without touching the machine), else on high ports of loopback without the cases that need these.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parent.parent
HARNESS = Path(os.environ.get("DFPROXY_CONFORMANCE", ROOT.parent / "shared" / "conformance"))
API = "http://127.0.0.1:8080"
READY_WAIT_S = 30
RUN_LIMIT_S = 360
INSIDE = "--inside-namespace"


def can_isolate() -> bool:
    """
    Whether this user may have a network and mount namespace.
    """
    command = ("unshare", "--user", "--map-root-user", "--net", "--mount", "true")
    return shutil.which("unshare") is not None and subprocess.run(command, capture_output=True).returncode == 0


def harness(*arguments: str) -> list[str]:
    return [sys.executable, str(HARNESS / "observe.py"), *arguments]


def wait_until_ready(proxy: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + READY_WAIT_S
    while time.monotonic() < deadline and proxy.poll() is None:
        try:
            with urlopen(f"{API}/v1/docker-flow-proxy/ping", timeout=2):
                return True
        except (URLError, OSError):
            time.sleep(0.1)
    return False


def run(http: int, https: int, environment: dict[str, str], asked: list[str], options: list[str]) -> int:
    """
    Start a fresh proxy, run the harness against it, end it.

    Args:
        http: port that the harness calls plain.
        https: port that it calls with TLS.
        environment: what the proxy is started with.
        asked: options of the harness that tell it what this machine can do.
        options: options of the caller.

    Returns:
        Exit status of the harness: 0 all the same, 1 differences, 2 could not start.
    """
    urls = ["--http", f"http://127.0.0.1:{http}", "--https", f"https://127.0.0.1:{https}"]
    printed = subprocess.run(harness("--print-settings", *urls), capture_output=True, text=True, check=True).stdout
    secrets = {}
    for line in printed.splitlines():
        if line.startswith("# secret file "):
            name, _, text = line.removeprefix("# secret file ").partition(": ")
            secrets[Path(name).name] = text
        name, equals, value = line.removeprefix("export ").partition("=")
        if equals and name.strip().isidentifier():
            environment[name.strip()] = value.strip().strip("'\"")
    with tempfile.TemporaryDirectory(prefix="dfproxy-conformance-") as folder:
        twistd = str(Path(sys.executable).parent / "twistd")
        ports = f"{http},{https}:ssl"
        command = [twistd, "--nodaemon", "--pidfile", f"{folder}/pid", "dfproxy", "--ip", "127.0.0.1"]
        # One process: some cases count turns.
        command += ["--default-ports", ports, "--workers", "1", "--state-dir", f"{folder}/state"]
        command += ["--timeout-tunnel-drain", "1"]
        command += ["--certs-dir", f"{folder}/certs", "--secrets-dir", f"{folder}/secrets"]
        for name in ("certs", "secrets"):
            Path(folder, name).mkdir()
        for name, text in secrets.items():
            Path(folder, "secrets", name).write_text(text)
        with open(f"{folder}/log", "wb") as log:
            proxy = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            if not wait_until_ready(proxy):
                print(f"conformance: the proxy did not answer on {API} within {READY_WAIT_S} s")
                print("\n".join(Path(folder, "log").read_text(errors="replace").splitlines()[-15:]))
                return 2
            try:
                return subprocess.run(
                    harness("--api", API, *urls, "--secret", *asked, *options),
                    stdin=subprocess.DEVNULL,
                    timeout=RUN_LIMIT_S,
                ).returncode
            except subprocess.TimeoutExpired:
                print(f"conformance: not done within {RUN_LIMIT_S} s")
                return 2
        finally:
            proxy.terminate()
            try:
                proxy.wait(15)
            except subprocess.TimeoutExpired:
                proxy.kill()
                proxy.wait()


def run_inside(options: list[str]) -> int:
    """
    In the namespace: the harness's names in /etc/hosts, and the ports 80 and 443.
    """
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.NamedTemporaryFile("w", suffix=".hosts") as hosts:
        hosts.write(subprocess.run(harness("--print-hosts"), capture_output=True, text=True, check=True).stdout)
        hosts.flush()
        subprocess.run(["mount", "--bind", hosts.name, "/etc/hosts"], check=True)
        return run(80, 443, {}, ["--dns"], options)


def main(*options: str) -> int:
    """
    Run the cases, if they are here.

    Returns:
        0 if all is the same or the harness is not here, 1 if something differs, 2 if it could not be asked.
    """
    if options[:1] == (INSIDE,):
        return run_inside(list(options[1:]))
    if not (HARNESS / "observe.py").exists():
        print("conformance: the recorded cases are not here (../shared/conformance, or DFPROXY_CONFORMANCE=folder)")
        return 0
    if can_isolate():
        inside = [sys.executable, "-m", "tests.conformance", INSIDE, *options]
        status = subprocess.run(
            ["unshare", "--user", "--map-root-user", "--net", "--mount", *inside], cwd=ROOT, stdin=subprocess.DEVNULL
        ).returncode
    else:
        print("conformance: no network namespace here; cases that need names or port 443 are skipped")
        status = run(18000, 18001, {}, [], list(options))
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
