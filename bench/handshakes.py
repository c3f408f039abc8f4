"""
`openssl s_time`: one full TLS handshake after the other, each on a connection of its own, without a request.

It does not load the proxy fully, and need not: what counts is the proxy's CPU time for each.
"""

from __future__ import annotations

import re

from bench.load import LoadFailed, Run, run_client
from bench.machine import find_program
from bench.proxies import Proxy


def handshake_command(proxy: Proxy, seconds: int) -> list[str]:
    """
    The command of a run: TLS 1.3 as all of them prefer, no session is resumed.
    """
    return [find_program("openssl"), "s_time", "-connect", f"127.0.0.1:{proxy.port}", "-new", "-time", str(seconds)]


def read_handshakes(said: str) -> tuple[int, int]:
    """
    How many handshakes were made, and in how many seconds.

    Raises:
        ValueError: none, or the text is another.
    """
    counted = re.search(r"^(\d+) connections in (\d+) real seconds", said, re.M)
    if counted is None or counted[1] == "0":
        raise ValueError(f"no handshakes: {said}")
    return int(counted[1]), int(counted[2])


def run_handshakes(proxy: Proxy, seconds: int) -> Run:
    """
    Make handshakes and take the proxy's CPU time.

    Raises:
        LoadFailed: one failed; s_time ends with the first.
    """
    said, used = run_client(proxy, handshake_command(proxy, seconds), seconds)
    try:
        count, took = read_handshakes(said)
    except ValueError as error:
        raise LoadFailed(f"{proxy.name}: s_time: {error}") from error
    return Run(count, used, took)
