"""
`distribute=true`: a call is carried out here and then sent on to every other replica of the proxy.

The replicas are the tasks of the proxy's own Swarm service. Here first: what this replica refuses goes nowhere. Then to
all others at once, each with the same method, path and body and `distribute=false`, so that it ends there.

Calls about one service are carried out one after another, each everywhere, in the order in which they came: else an
older one could arrive at some replica after a newer one.

Calls that are sent on have a queue of their own: two replicas that send on to each other would otherwise hold all
places that the other one needs, and wait for each other.

Source: contract 8.2.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from twisted.internet.defer import Deferred, DeferredList, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from dfproxy.api.access import Answer, BadCall, CallQueue, Parameters, body_of, parameters
from dfproxy.api.request import Request
from dfproxy.control.asking import Asking, Said, Unanswered
from dfproxy.errors import DfproxyError

REPLICA_S = 10.0
"""
How long a replica may take for its answer, in seconds. A name that does not resolve costs it one second, a worker that
is late two.
"""

ANSWER_BYTES = 1 << 20
"""
Longest answer of a replica; one repeats the parameters of the call.
"""

LOOKUP_S = 0.5
"""
How long the addresses of replicas are used without asking again, in seconds: a listener that starts makes hundreds of
calls at once.
"""

SHOWN_CHARS = 200
"""
How much of a replica's refusal is repeated.
"""

NO_REPLICAS = "this proxy has no replicas; say distribute=false"
"""
Told by an API that was put together without replicas.
"""

log = Logger()


class NoReplicas(DfproxyError):
    """
    It is not known which replicas there are, or what they say; the text is for the caller.
    """


@dataclass(frozen=True, slots=True)
class Passed:
    """
    A call as it is sent on. Made when the call comes: its caller, and with it the body, may go at any time.

    Attributes:
        method: such as `GET`.
        target: path and query.
        body: as it came.
        headers: what the body is.
    """

    method: str
    target: str
    body: bytes
    headers: dict[str, str]

    @classmethod
    def of(cls, request: Request, given: Parameters) -> Passed:
        """
        Args:
            request: the call as it came.
            given: its parameters.
        """
        pairs = [(name, value) for name, value in given.query if name.lower() != "distribute"]
        # Sorted by name only, as Go does: of repeated values the order counts.
        query = urlencode(sorted([*pairs, ("distribute", "false")], key=lambda pair: pair[0]))
        path = request.uri.partition(b"?")[0].decode("ascii", "replace")
        kind = request.getHeader(b"Content-Type")
        headers = {"Content-Type": kind.decode("latin-1")} if kind else {}
        return cls(request.method.decode("ascii", "replace"), f"{path}?{query}", body_of(request), headers)


class Replicas:
    """
    The other replicas of the proxy.

    Args:
        clock: where time comes from.
        lookup: asks for their addresses, without ours; fails with `NoReplicas`.
        asking: puts the questions.
        port: where the API of every replica listens.
        fields: header fields that every replica wants of its callers.
    """

    def __init__(
        self,
        clock: IReactorTime,
        lookup: Callable[[], Deferred[tuple[str, ...]]],
        asking: Asking,
        port: Callable[[], int],
        fields: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._fields = fields
        self._clock = clock
        self._lookup = lookup
        self._asking = asking
        self._port = port
        self._known: tuple[str, ...] | None = None
        self._known_at = 0.0
        self._waiting: list[Deferred[tuple[str, ...]]] | None = None
        self._turns: dict[str, DeferredLock] = {}

    def others(self) -> Deferred[tuple[str, ...]]:
        """
        Addresses of all others, as known now or half a second ago; callers that come together share a question.

        Returns:
            Deferred: may be empty. Fails with `NoReplicas`.
        """
        answer: Deferred[tuple[str, ...]] = Deferred()
        if self._known is not None and self._clock.seconds() - self._known_at < LOOKUP_S:
            answer.callback(self._known)
        elif self._waiting is not None:
            self._waiting.append(answer)
        else:
            self._waiting = [answer]
            self._lookup().addBoth(self._found)
        return answer

    def _found(self, result: tuple[str, ...] | Failure) -> None:
        waiting, self._waiting = self._waiting or [], None
        if not isinstance(result, Failure):
            self._known, self._known_at = result, self._clock.seconds()
        for answer in waiting:
            answer.callback(result)

    async def in_turns(self, names: Iterable[str], work: Callable[[], Awaitable[Answer]]) -> Answer:
        """
        Do this when every earlier call about any of these services is over.
        """
        held: list[tuple[str, DeferredLock]] = []
        try:
            for name in sorted(set(names)):  # in one order, or two callers could wait for each other
                turn = self._turns.setdefault(name, DeferredLock())
                await turn.acquire()
                held.append((name, turn))
            return await work()
        finally:
            for name, turn in held:
                turn.release()
                if not turn.locked:
                    self._turns.pop(name, None)

    async def send_on(self, others: tuple[str, ...], call: Passed) -> str:
        """
        Send a call on.

        Args:
            others: where to.
            call: what.

        Returns:
            Empty if all have carried it out, else which have not and why.
        """
        failed = await self._tell(others, call)
        if failed:
            # Who has gone meanwhile is no replica any more; what it does not know harms nobody.
            self._known = None
            try:
                still = await self.others()
            except NoReplicas:
                still = others
            failed = {address: reason for address, reason in failed.items() if address in still}
        if not failed:
            return ""
        said = "; ".join(f"{address}: {reason}" for address, reason in failed.items())
        log.warn("not carried out by every replica: {said}", said=said)
        return f"not carried out by every replica: {said}"

    async def _tell(self, others: tuple[str, ...], call: Passed) -> dict[str, str]:
        """
        Returns:
            Why, for each address that has not carried it out.
        """
        return {address: said for address, said in await self._ask(others, call, ANSWER_BYTES) if isinstance(said, str)}

    async def texts(self, call: Passed, limit_bytes: int) -> list[str]:
        """
        What all others say to a question.

        Args:
            call: the question.
            limit_bytes: longest answer of one of them.

        Raises:
            NoReplicas: it is not known which there are, or one has not answered.
        """
        told = await self._ask(await self.others(), call, limit_bytes)
        failed = [f"{address}: {said}" for address, said in told if isinstance(said, str)]
        if failed:
            raise NoReplicas(f"not answered by every replica: {'; '.join(failed)}")
        return [said.body.decode("utf-8", "replace") for _, said in told if isinstance(said, Said)]

    async def _ask(self, others: tuple[str, ...], call: Passed, limit_bytes: int) -> list[tuple[str, Said | str]]:
        """
        Returns:
            Each address with its answer, or with why there is none.
        """
        port, headers = self._port(), {**call.headers, **self._fields()}
        asked: list[Deferred[Said]] = []
        for address in others:
            host = f"[{address}]" if ":" in address else address
            url = f"http://{host}:{port}{call.target}"
            asked.append(self._asking.ask(call.method, url, REPLICA_S, limit_bytes, call.body, headers))
        told: list[tuple[bool, Any]] = await DeferredList(asked, consumeErrors=True)
        found: list[tuple[str, Said | str]] = []
        for address, (answered, said) in zip(others, told, strict=True):
            if not answered:
                found.append((address, str(said.value) if said.check(Unanswered) else said.getErrorMessage()))
            elif said.status >= 300:
                found.append((address, f"{said.status} {_message(said.body)}".rstrip()))
            else:
                found.append((address, said))
        return found


def _message(body: bytes) -> str:
    """
    What a replica's refusal says, as far as it can be read.
    """
    try:
        said = json.loads(body)["Message"]
    except (ValueError, KeyError, TypeError):
        return ""
    return str(said)[:SHOWN_CHARS]


def sent_on(count: int, here: object) -> str:
    """
    Told to a caller whose call all replicas have carried out.

    Args:
        count: how many, with this one.
        here: what this one had to say.
    """
    text = f"distributed to all {count} replicas" if count > 1 else "distributed: this is the only replica"
    return f"{here}; {text}" if here else text


def turn(request: Request, here: CallQueue, everywhere: CallQueue) -> CallQueue:
    """
    The queue that a call waits in.
    """
    try:
        return everywhere if parameters(request).flag("distribute") else here
    except BadCall:
        return here
