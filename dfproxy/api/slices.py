"""
Long answers in slices: the leader goes on with everything else while the text of ten thousand services is made.

One cooperator for all of them, so that several scrapes at once share a slice. A caller that reads slowly pauses
the making of its text; one that does not read at all is cut off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.task import CooperativeTask, Cooperator, SchedulerError, TaskStopped
from twisted.logger import Logger
from zope.interface import implementer

from dfproxy.api.access import CallQueue
from dfproxy.api.control import Control
from dfproxy.api.request import Request
from dfproxy.api.verbs import WaitingVerb

SLICE_S = 0.005
"""
How long the reactor may be kept for long answers in one turn, in seconds.
"""

PIECE_BYTES = 32768
"""
Characters written at once. An answer that is shorter is sent whole, with its length.
"""

STALL_S = 30.0
"""
How long a caller may refuse to take more, in seconds; nginx's `send_timeout` is 60, HAProxy's here 20.
"""

log = Logger()


class Slices:
    """
    Sends texts that are made piece by piece.

    Args:
        clock: where time comes from, and who calls again.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._cooperator = Cooperator(
            terminationPredicateFactory=self._slice,
            scheduler=self._soon,
        )

    def _slice(self) -> Callable[[], bool]:
        """
        Says when a slice that begins now is over.
        """
        end = self._clock.seconds() + SLICE_S
        seconds = self._clock.seconds
        return lambda: seconds() >= end

    def _soon(self, work: Callable[[], object]) -> IDelayedCall:
        return self._clock.callLater(0, work)

    async def send(self, request: Request, content_type: bytes, parts: Iterator[str]) -> None:
        """
        Write all parts as the body of a 200, and end the request; returns when that is done or the caller gone.

        If a part cannot be made before anything was written, the exception is the caller's; afterwards the
        connection is cut, so that a broken text never looks whole.
        """
        request.setHeader(b"Content-Type", content_type)
        sending = _Sending(request, parts, self._clock)
        request.notifyFinish().addErrback(sending.gone)
        sending.task = self._cooperator.cooperate(sending.steps())
        request.registerProducer(sending, True)
        ended: Deferred[Any] = sending.task.whenDone()
        try:
            await ended
        except TaskStopped:
            return
        except Exception as error:
            if not request.startedWriting:
                raise
            log.failure("a long answer broke off: {error}", error=error)
            request.loseConnection()
        finally:
            sending.close()


@implementer(IPushProducer)
class _Sending:
    """
    One long answer on its way.
    """

    task: CooperativeTask[Iterator[None]]

    def __init__(self, request: Request, parts: Iterator[str], clock: IReactorTime) -> None:
        self._request = request
        self._parts = parts
        self._clock = clock
        self._stalled: IDelayedCall | None = None
        self._listening = True

    def steps(self) -> Iterator[None]:
        """
        Make the text, one part a step.
        """
        request = self._request
        made: list[str] = []
        size = 0
        for part in self._parts:
            if part:
                made.append(part)
                size += len(part)
                if size >= PIECE_BYTES:
                    request.write("".join(made).encode())
                    made.clear()
                    size = 0
            yield None
        last = "".join(made).encode()
        if not request.startedWriting:
            request.setHeader(b"Content-Length", b"%d" % len(last))
        request.write(last)
        request.unregisterProducer()
        self._listening = False
        request.finish()

    def gone(self, reason: object) -> None:
        """
        The caller went away.
        """
        self._listening = False
        self._stop()

    def close(self) -> None:
        """
        It is over, one way or another.
        """
        self._stop_watch()
        if self._listening:
            self._listening = False
            self._request.unregisterProducer()

    def pauseProducing(self) -> None:
        """
        The caller does not take more at the moment.
        """
        if self._stalled is None:
            self._stalled = self._clock.callLater(STALL_S, self._cut)
            self.task.pause()

    def resumeProducing(self) -> None:
        """
        The caller takes more.
        """
        if self._stalled is not None:
            self._stop_watch()
            self.task.resume()

    def stopProducing(self) -> None:
        """
        The connection is going down.
        """
        self._stop()

    def _cut(self) -> None:
        """
        The caller has taken nothing for too long.
        """
        self._stalled = None
        self._stop()
        transport = self._request.transport
        if transport is not None:
            transport.abortConnection()

    def _stop(self) -> None:
        try:
            self.task.stop()
        except SchedulerError:
            # Already over: there is nothing to stop.
            return

    def _stop_watch(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None


class LongAnswer(WaitingVerb):
    """
    A verb whose answer may be long: it is sent in slices.

    Args:
        control: the parts.
        queue: where the calls wait.
        slices: how answers are sent.
    """

    def __init__(self, control: Control, queue: CallQueue, slices: Slices) -> None:
        super().__init__(control, queue)
        self._slices = slices
