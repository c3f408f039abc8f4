"""
Verbs whose calls wait for their turn, and which methods they take.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from twisted.web.server import NOT_DONE_YET

from dfproxy.api.access import Answer, CallQueue, Parameters, write_answer
from dfproxy.api.control import Control
from dfproxy.api.distribute import NO_REPLICAS, NoReplicas, Passed, sent_on, turn
from dfproxy.api.request import Request, Verb


class WaitingVerb(Verb):
    """
    A verb whose calls wait in a queue. Who extends it writes `_answer`.

    Args:
        control: what the API calls.
        queue: where calls wait.

    Attributes:
        methods: those that it takes; empty: all, since the swarm listener may be told to use any.
        otherwise: told to who uses another one.
    """

    methods: tuple[bytes, ...] = ()
    otherwise = ""

    def __init__(self, control: Control, queue: CallQueue) -> None:
        super().__init__()
        self._control = control
        self._queue = queue

    def render(self, request: Request) -> int | bytes:
        """
        405 for a method that is not taken, else the answer in its turn.
        """
        if self.methods and request.method not in self.methods:
            return only(request, self.methods, self.otherwise)
        return self._turn(request).render(request, self._answer)

    def _turn(self, request: Request) -> CallQueue:
        return self._queue

    async def _answer(self, request: Request) -> Answer | None:
        raise NotImplementedError  # each verb has its own


class DistributedVerb(WaitingVerb):
    """
    One whose calls may be sent on to all replicas; these wait by themselves (`dfproxy.api.distribute`).

    Args:
        control: what the API calls.
        queue: for calls that end here.
        everywhere: for calls that are sent on.
    """

    def __init__(self, control: Control, queue: CallQueue, everywhere: CallQueue) -> None:
        super().__init__(control, queue)
        self._sent_on = everywhere

    def _turn(self, request: Request) -> CallQueue:
        return turn(request, self._queue, self._sent_on)

    async def _everywhere(
        self,
        call: tuple[Request, Parameters],
        names: Iterable[str],
        here: Callable[[], Awaitable[Answer]],
        refused: Callable[[str], Answer],
    ) -> Answer:
        """
        Carry a call out here, then at every other replica, once every earlier call about the same is over.

        Args:
            call: with its parameters.
            names: what it is about.
            here: carries it out here; what is refused here goes nowhere, and is the answer.
            refused: the answer if it cannot be carried out everywhere, with the reason.
        """
        replicas = self._control.replicas
        if replicas is None:
            return refused(NO_REPLICAS)
        passed = Passed.of(*call)

        async def everywhere() -> Answer:
            try:
                others = await replicas.others()
            except NoReplicas as error:
                return refused(str(error))
            answer = await here()
            if answer.status >= 300:
                return answer
            failure = await replicas.send_on(others, passed)
            if failure:
                return refused(failure)
            return Answer(200, answer.body | {"Message": sent_on(1 + len(others), answer.body.get("Message"))})

        return await replicas.in_turns(names, everywhere)


def only(request: Request, methods: tuple[bytes, ...], message: str) -> int:
    """
    Another method is wanted.
    """
    request.setHeader(b"Allow", b", ".join(methods))
    write_answer(request, Answer(405, {"Status": "NOK", "Message": message}))
    return NOT_DONE_YET
