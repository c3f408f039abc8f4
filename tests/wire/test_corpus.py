"""
Every case of the corpus, through the data plane in memory.
"""

from __future__ import annotations

import re

from dfproxy.frontend.answers import answer
from tests.dialogue import Dialogue, DialogueCase
from tests.wire.cases import BODY_REFUSED, PASSES, Case
from tests.wire.requests import REQUESTS
from tests.wire.responses import RESPONSES

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
_HEAD = re.compile(rb"(?m)^[!-~]+ [!-~]+ HTTP/1\.1\r$")


def seen_by_server(dialogue: Dialogue, case: Case) -> bytes:
    """
    What the server has got of a request; it answers each one.
    """
    seen = b""
    for _ in range(3):
        for wire in dialogue.reactor.connections:
            heard, wire.heard = wire.heard, b""
            seen += heard
            if heard and wire.fate == "open":
                wire.send(OK)
        dialogue.reactor.settle()
    return seen


class RequestTests(DialogueCase):
    """
    From the client.
    """

    def judge(self, case: Case, cuts: int) -> str:
        """
        Why the verdict is not kept; empty: it is.

        Args:
            cuts: the bytes come in so many pieces.
        """
        dialogue = Dialogue()
        size = max(len(case.data) // cuts, 1)
        for start in range(0, len(case.data), size):
            dialogue.client.send(case.data[start : start + size])
            dialogue.reactor.settle()
        refused = dialogue.client.heard
        seen = seen_by_server(dialogue, case)
        told = dialogue.client.heard
        for wire in dialogue.clients:
            wire.heard = b""
        dialogue.finish()
        if isinstance(case.verdict, int):
            if seen:
                return f"the server got {seen!r}"
            return "" if refused == answer(case.verdict) else f"the client was told {refused[:80]!r}"
        if case.verdict == BODY_REFUSED:
            if refused != answer(400):
                return f"the client was told {refused[:80]!r}"
            complete = b"\r\n0\r\n" in seen or seen.endswith(b"0\r\n\r\n")
            return f"the server got a complete message: {seen!r}" if complete else ""
        heads = len(re.findall(rb"X-Forwarded-For: 192\.0\.2\.1\r\n\r\n", seen))
        if heads != case.messages:
            return f"the server saw {heads} messages: {seen!r}; the client was told {told[:80]!r}"
        if told.count(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n") != case.messages or not told.endswith(b"\r\n\r\nhi"):
            return f"the client was told {told!r}"
        if case.has not in seen and (cuts == 1 or b"chunked" not in seen.lower()):  # chunks are made anew
            return f"the server got {seen!r}"
        return f"the server got {seen!r}" if case.lacks and case.lacks in seen.lower() else ""

    def test_whole(self) -> None:
        """
        Each request has its verdict, when it comes in one piece.
        """
        found = {case.name: why for case in REQUESTS if (why := self.judge(case, 1))}
        self.assertEqual(found, {}, "\n".join(map(str, found.items())))

    def test_in_pieces(self) -> None:
        """
        And the same one when it comes in pieces, down to single bytes.
        """
        for cuts in (2, 7, 10**6):
            few = [case for case in REQUESTS if len(case.data) < 2000]
            self.assertEqual({case.name: why for case in few if (why := self.judge(case, cuts))}, {}, cuts)


class ResponseTests(DialogueCase):
    """
    From the server.
    """

    def judge(self, case: Case, cuts: int) -> str:
        """
        As for requests.
        """
        dialogue = Dialogue()
        dialogue.client.send(b"%b /x HTTP/1.1\r\nHost: a.test\r\n\r\n" % case.method)
        dialogue.reactor.settle()
        wire = dialogue.reactor.connections[0]
        wire.heard = b""
        size = max(len(case.data) // cuts, 1)
        for start in range(0, len(case.data), size):
            wire.send(case.data[start : start + size])
            dialogue.reactor.settle()
        wire.close()
        dialogue.reactor.settle()
        told, fate = dialogue.client.heard, dialogue.client.fate
        for each in (*dialogue.clients, *dialogue.reactor.connections):
            each.heard = b""
        dialogue.finish()
        if isinstance(case.verdict, int):
            return "" if told == answer(case.verdict) else f"the client was told {told[:80]!r}"
        if case.verdict == BODY_REFUSED:
            complete = told.endswith(b"0\r\n\r\n") or (fate != "reset" and answer(502) not in told)
            return f"the client got a complete answer: {told!r}" if complete else ""
        if fate == "reset" or not told.startswith(b"HTTP/1.1 "):
            return f"the client was told {told[:80]!r}, {fate}"
        if case.has not in told and (cuts == 1 or b"chunked" not in told.lower()):
            return f"the client was told {told!r}"
        return f"the client was told {told!r}" if case.lacks and case.lacks in told.lower() else ""

    def test_whole(self) -> None:
        """
        Each answer has its verdict.
        """
        self.assertEqual({case.name: why for case in RESPONSES if (why := self.judge(case, 1))}, {})

    def test_in_pieces(self) -> None:
        """
        And the same one in pieces.
        """
        for cuts in (2, 7, 10**6):
            few = [case for case in RESPONSES if len(case.data) < 2000]
            self.assertEqual({case.name: why for case in few if (why := self.judge(case, cuts))}, {}, cuts)


class CorpusTests(DialogueCase):
    """
    The list itself.
    """

    def test_size(self) -> None:
        """
        There are 150 at least, each under its own name and with its source.
        """
        cases = [*REQUESTS, *RESPONSES]
        self.assertGreaterEqual(len(cases), 150)
        self.assertEqual(len({case.name for case in cases}), len(cases))
        for case in cases:
            self.assertRegex(case.source, r"^(RFC \d{4} ?|ours$)", case.name)
            self.assertTrue(case.verdict in (PASSES, BODY_REFUSED, 400, 414, 431, 502), case.name)
