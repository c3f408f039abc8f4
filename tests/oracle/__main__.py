"""
`make oracle`: the long look, whose counts must all be high enough.

    python -m tests.oracle [EXAMPLES [NUMBER]]      another number draws other services and requests

A difference, and whatever occurred too seldom in `LONG` examples, is a failed result; .ci/run counts it.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import reduce
from multiprocessing import get_context

from tests.oracle.search import LONG, Different, added, search
from tests.requirements import require
from tests.run import write_result

TEST = "oracle: the long look"


def main(examples: int = LONG, number: int = 1) -> int:
    """
    Look, print what was tried, and write it down as a result.

    Returns:
        The exit status.
    """
    (haproxy,) = require("haproxy")
    began = time.monotonic()
    wrong = "it was ended, or broke"
    try:
        # Two cores: what most houses need beside the others.
        with ProcessPoolExecutor(2, get_context("spawn")) as pool:
            looks = [
                pool.submit(search, haproxy, examples, number, houses) for houses in (("plain",), ("strict", "closing"))
            ]
            tried = reduce(added, [look.result() for look in looks])
        print("\n".join(tried.report()))
        short = tried.shortfalls() if examples >= LONG else []
        wrong = f"too seldom: {'; '.join(short)}" if short else ""
    except Different as error:
        print(error)
        wrong = "dfproxy and HAProxy differ: see the output"
    finally:
        write_result("oracle-long", TEST, "failed" if wrong else "passed", wrong, fresh=True)
        print(f"{wrong or 'no difference'}; {time.monotonic() - began:.0f} s", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
