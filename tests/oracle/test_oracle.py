"""
HAProxy, with the text that dfproxy shows, treats each request as dfproxy does: a short look.
"""

from __future__ import annotations

import random
import sys

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.parameters import TABLE
from tests.oracle import words
from tests.oracle.drawing import SERVICES, Drawing, Place
from tests.oracle.search import NEAR_KINDS, search
from tests.requirements import require

EXAMPLES = 200
"""Tables of the short look; `make oracle` takes ten times as many."""


class OracleTests(SynchronousTestCase):
    """
    Needs haproxy.
    """

    def test_same_as_haproxy(self) -> None:
        """
        The same backend, the same status, the same words to the server and to the client.
        """
        (haproxy,) = require("haproxy")
        tried = search(haproxy, EXAMPLES)
        sys.stdout.write("".join(f"{line}\n" for line in tried.report()))
        for status in ("200", "301 own", "302 own", "401 own", "403 own", "503 own", "404"):
            self.assertGreater(tried.answers[status], 10, status)
        self.assertEqual(set(tried.near), set(NEAR_KINDS))
        self.assertGreater(len(tried.overlaps), 40)

    def test_everything_is_drawn(self) -> None:
        """
        Each parameter that there is is drawn, or it is said why not.
        """
        drawn: set[str] = set()
        servers = {(service, index): (1, 2, 3) for service in range(SERVICES[1]) for index in (0, 1)}
        for number in range(400):
            drawing = Drawing(random.Random(number), Place((80, 81, 443), servers, number % 2 == 0))
            drawn |= {name.partition(".")[0] for each in drawing.definitions for name in each}
        self.assertEqual(drawn & set(words.NOT_DRAWN), set())
        self.assertEqual({row.name for row in TABLE} - drawn - set(words.NOT_DRAWN), set())
