"""
h2load: HTTP/2 over TLS, several connections with several streams each.
"""

from __future__ import annotations

import re

from bench.certificates import NAME
from bench.load import LoadFailed, Run, run_client
from bench.machine import find_program
from bench.proxies import Proxy


def h2load_command(proxy: Proxy, target: str, connections: int, streams: int, seconds: int) -> list[str]:
    """
    The command of a run. It asks by the name of the certificate; who negotiates something else than h2 fails.
    """
    options = ["-t1", f"-c{connections}", f"-m{streams}", f"-D{seconds}", "--npn-list=h2"]
    address = f"--connect-to=127.0.0.1:{proxy.port}"
    return [find_program("h2load"), *options, address, f"https://{NAME}:{proxy.port}{target}"]


def read_h2load(said: str) -> int:
    """
    How many requests were answered with success.

    Raises:
        ValueError: some were not, or no HTTP/2 was spoken.
    """
    if "Application protocol: h2\n" not in said:
        raise ValueError("no HTTP/2 was negotiated")
    counted = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", said)
    statuses = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", said)
    if counted is None or statuses is None:
        raise ValueError(f"not understood: {said}")
    succeeded, *broken = (int(n) for n in counted.groups())
    _, *wrong = (int(n) for n in statuses.groups())
    if sum(broken) or sum(wrong) or not succeeded:
        raise ValueError(f"{succeeded} answers, {sum(wrong)} of a wrong status, {sum(broken)} failed")
    return succeeded


def run_h2load(proxy: Proxy, target: str, connections: int, streams: int, seconds: int) -> Run:
    """
    Load a proxy and take its CPU time.

    Raises:
        LoadFailed: requests failed.
    """
    said, used = run_client(proxy, h2load_command(proxy, target, connections, streams, seconds), seconds)
    try:
        return Run(read_h2load(said), used, seconds)
    except ValueError as error:
        raise LoadFailed(f"{proxy.name}: h2load: {error}") from error
