"""
`make bench`: all measurements, or those named: python -m bench [--short] [--write-doc] [NAME...].

Exit status 0 if all ran, also where a figure misses its floor: that is printed, and judged by people. BENCH_SHORT=1 in
the environment is --short: a glance of under four minutes, for CI.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import time
import traceback
from types import FrameType

from bench import changes, faults, profile, routes, secure, streams, throughput, unused
from bench.machine import ROOT, Bench, NotStarted
from bench.report import Report
from bench.servers import start_backends

PARTS = {
    "throughput": throughput.measure,
    "tls": secure.measure,
    "http2": secure.measure_http2,
    "tcp": streams.measure,
    "routes": routes.measure,
    "unused": unused.measure,
    "changes": changes.measure,
    "open": changes.measure_open,
    "faults": faults.measure,
    "profile": profile.measure,
}
PAGE = ROOT / "docs" / "performance.md"


def on_signal(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(*arguments: str) -> int:
    """
    Measure.

    Returns:
        Exit status: 0 if everything ran, 1 if something could not, 2 for a wrong command line.
    """
    short = "--short" in arguments or os.environ.get("BENCH_SHORT") == "1"
    write = "--write-doc" in arguments
    names = [a for a in arguments if not a.startswith("--")] or list(PARTS)
    unknown = [a for a in arguments if a not in PARTS and a not in ("--short", "--write-doc")]
    if unknown:
        print(f"{unknown[0]}: no such part; there are {', '.join(PARTS)}")
        return 2
    signal.signal(signal.SIGTERM, on_signal)
    # 500 callers at once, each with a connection.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536) if hard > 0 else 65536, hard))
    folder = ROOT / ".bench"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    report = Report()
    failed = []
    began = time.monotonic()
    bench = Bench(folder, short)
    try:
        with bench.stack:
            backends = start_backends(bench)
            for name in names:
                try:
                    PARTS[name](bench, report, backends)
                except NotStarted as error:
                    print(f"\n{name}: could not be measured: {error}", flush=True)
                    failed.append(name)
                except Exception:  # noqa: BLE001  one part that fails must not take the others' figures along
                    print(f"\n{name}: failed", flush=True)
                    traceback.print_exc()
                    failed.append(name)
    except NotStarted as error:
        print(f"bench: {error}")
        return 1
    except KeyboardInterrupt:
        print("ended")
        return 130
    print(f"\n{len(report.results)} figures in {time.monotonic() - began:.0f} s", flush=True)
    for result in report.unmeasured():
        print(f"not measured: {result.group}: {result.what}: {result.more}")
    for result in report.below_floor():
        print(f"below the floor: {result.group}: {result.what}: {result.shown()}")
    if failed:
        print(f"not measured: {', '.join(failed)}")
        return 1
    if write:
        report.write_page(PAGE)
        print(f"written: {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
