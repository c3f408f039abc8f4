"""
The door of the API: how many calls at once, what they may bring along, and how a refusal is said.

What a call means is left to the verbs; when bytes are too many or too slow is `dfproxy.api.channel`'s.

Source: DFP's contract (answers are JSON with `Status` and `Message`); RFC 6585 section 4 (429).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET

from dfproxy.api.request import Request
from dfproxy.errors import Claimed, DfproxyError, JournalError, NotReady, Overloaded

PATIENCE_S = 0.05
"""
After this many seconds a call that is still under way waits for somebody else, such as a name server, and lets the next
one begin: fifty names that are never answered must not stop all other changes. It still counts among those that wait.
"""

RETRY_AFTER_S = 1
"""
What a refused caller is told to wait, in seconds.
"""

PARAMETERS = 2000
"""
Names in one query or form; ten indexes of some thirty parameters are 300.
"""

_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True", "on"))

log = Logger()


class BadCall(DfproxyError):
    """
    A request that no verb can make sense of; the text is for the caller (400).
    """


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What a caller is told.

    Attributes:
        status: HTTP status.
        body: JSON-able; empty: none is sent.
        retry_after_s: when to come again, in seconds; 0: nothing is said.
    """

    status: int
    body: dict[str, Any]
    retry_after_s: int = 0


def refusal(status: int, message: str, retry_after_s: int = 0) -> Answer:
    """
    A refusal that is not about a service.
    """
    return Answer(status, {"Status": "NOK", "Message": message}, retry_after_s)


def write_answer(request: Request, answer: Answer) -> None:
    """
    Send it, and end the request.
    """
    body = msgspec.json.encode(answer.body) if answer.body else b""
    request.setResponseCode(answer.status)
    request.setHeader(b"Content-Type", b"application/json")
    request.setHeader(b"Content-Length", b"%d" % len(body))
    if answer.retry_after_s:
        request.setHeader(b"Retry-After", b"%d" % answer.retry_after_s)
    request.write(body)
    request.finish()


def explained(failure: Failure) -> Answer:
    """
    The answer to a call that ended with an exception that its verb does not know.
    """
    error = failure.value
    if isinstance(error, BadCall):
        return refusal(400, str(error))
    if isinstance(error, Claimed):
        return refusal(409, str(error))  # not 400: a swarm listener would ask again and again
    if isinstance(error, Overloaded | NotReady | JournalError):
        return refusal(503, str(error) or "not now; try again later", RETRY_AFTER_S)
    if isinstance(error, DfproxyError):
        log.error("a control call failed: {error}", error=error)
        return refusal(500, str(error))
    log.failure("a control call failed", failure=failure)
    return refusal(500, "internal error; the log says more")


@dataclass(frozen=True, slots=True)
class Parameters:
    """
    What a call brought along, decoded, in order, names as they were spelled.

    Attributes:
        query: pairs of the query string.
        form: pairs of a form body; empty if there is none.
    """

    query: tuple[tuple[str, str], ...]
    form: tuple[tuple[str, str], ...]

    def value(self, name: str) -> str:
        """
        One service-level value, whatever the case of its name; empty if it is absent.

        The last one given counts, and the query counts more than a form.

        Source: contract 3.1 (gorilla/schema over Go's `Request.Form`).
        """
        wanted = name.lower()
        for pairs in (self.query, self.form):
            for given, value in reversed(pairs):
                if value and given.lower() == wanted:
                    return value
        return ""

    def flag(self, name: str) -> bool:
        """
        A boolean value; anything that is not clearly true is false.
        """
        return self.value(name) in _TRUE


def parameters(request: Request) -> Parameters:
    """
    Decode the query and, if there is one, the form.

    Raises:
        BadCall: too many, or not UTF-8.
    """
    _, _, query = request.uri.partition(b"?")
    form = b""
    kind = request.getHeader(b"Content-Type") or b""
    if kind.partition(b";")[0].strip().lower() == b"application/x-www-form-urlencoded":
        form = body_of(request)
    return Parameters(_pairs(query, "query"), _pairs(form, "form"))


def body_of(request: Request) -> bytes:
    """
    The whole body; its size was limited when it came.
    """
    content = request.content
    if content is None:
        return b""
    content.seek(0)
    return content.read()


def _pairs(text: bytes, where: str) -> tuple[tuple[str, str], ...]:
    """
    Form decoding: `+` is a blank, `%xx` a byte, and what is not valid stays as it is.
    """
    pieces = text.split(b"&", PARAMETERS + 1)
    if len(pieces) > PARAMETERS:
        raise BadCall(f"more than {PARAMETERS} parameters in the {where}")
    try:
        return tuple((_decoded(name), _decoded(value)) for name, _, value in (p.partition(b"=") for p in pieces if p))
    except UnicodeDecodeError:
        raise BadCall(f"the {where} is not UTF-8") from None


def _decoded(text: bytes) -> str:
    return unquote_to_bytes(text.replace(b"+", b" ")).decode("utf-8")


Work = Callable[[Request], Coroutine[Deferred[Any], Any, "Answer | None"]]
"""
What a verb does with a request: gives the answer, or None if it has written one itself. Once begun it is
finished, whether or not the caller still listens.
"""


class _Call:
    """
    One call from its arrival to its answer.
    """

    __slots__ = ("aside", "listening", "request", "turn", "work")

    def __init__(self, request: Request, work: Work) -> None:
        self.request = request
        self.work = work
        self.listening = True
        self.aside = False
        self.turn: IDelayedCall | None = None


class CallQueue:
    """
    Lets some calls run, lets some wait, refuses the rest.

    Args:
        running: calls under way at once.
        waiting: calls that wait, for their turn or (with a clock) for somebody else.
        clock: lets the next one begin when a call takes long; None: each keeps its place to its end.
    """

    def __init__(self, running: int, waiting: int, clock: IReactorTime | None = None) -> None:
        self._clock = clock
        self._aside = 0
        self._running_limit = running
        self._waiting_limit = waiting
        self._waiting: OrderedDict[_Call, None] = OrderedDict()
        self._starting = False
        self.running = 0

    @property
    def waiting(self) -> int:
        """
        Calls that wait for their turn.
        """
        return len(self._waiting)

    def render(self, request: Request, work: Work) -> int:
        """
        Do the work when it is this request's turn, first come, first served; what a resource's `render` returns.

        A caller that goes away while it waits is forgotten: nothing of its call has begun.
        """
        if self.running >= self._running_limit and len(self._waiting) + self._aside >= self._waiting_limit:
            write_answer(request, refusal(429, "too many calls; try again later", RETRY_AFTER_S))
            return NOT_DONE_YET
        call = _Call(request, work)
        self._waiting[call] = None
        request.notifyFinish().addErrback(self._gone, call)
        self._start()
        return NOT_DONE_YET

    def _gone(self, reason: Failure, call: _Call) -> None:
        """
        The caller went away.
        """
        call.listening = False
        self._waiting.pop(call, None)

    def _start(self) -> None:
        """
        Start what may start.
        """
        # Works may end before `_begin` returns and come back here: the loop that is under way goes on then,
        # or two thousand waiting calls would be two thousand frames.
        if self._starting:
            return
        self._starting = True
        try:
            while self._waiting and self.running < self._running_limit:
                call, _ = self._waiting.popitem(last=False)
                self.running += 1
                if self._clock is not None:
                    call.turn = self._clock.callLater(PATIENCE_S, self._step_aside, call)
                Deferred.fromCoroutine(call.work(call.request)).addErrback(explained).addCallback(
                    self._ended, call
                ).addErrback(_unsaid)
        finally:
            self._starting = False

    def _step_aside(self, call: _Call) -> None:
        """
        It takes long: let the next one in, unless there are too many of its kind.
        """
        call.turn = None
        if self._aside < self._waiting_limit:
            call.aside = True
            self._aside += 1
            self.running -= 1
            self._start()

    def _ended(self, answer: Answer | None, call: _Call) -> None:
        """
        Say it to whoever still listens, and let the next one in.
        """
        if call.turn is not None:
            call.turn.cancel()
        if call.aside:
            self._aside -= 1
        else:
            self.running -= 1
        try:
            if answer is not None and call.listening:
                write_answer(call.request, answer)
        finally:
            self._start()


def _unsaid(failure: Failure) -> None:
    """
    An answer could not be written.
    """
    log.failure("a control call was not answered", failure=failure)
