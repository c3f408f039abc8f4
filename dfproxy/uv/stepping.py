"""
Runs uvloop's coroutines without a Task.

uvloop makes its transports in coroutines that wait for one or two futures at most. A Task for each of them would cost
more than the rest of accepting a connection; sending into the coroutine by hand does the same.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable, Coroutine
from typing import Any


def at_once(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """
    Run a coroutine that has nothing to wait for.

    Args:
        coroutine: such as `loop.create_server(..., sock=...)`.

    Returns:
        What the coroutine returns.

    Raises:
        RuntimeError: it waits after all.
    """
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    coroutine.close()
    raise RuntimeError(f"{coroutine!r} waits")


class Steps:
    """
    One coroutine under way.
    """

    __slots__ = ("_coroutine", "_done", "_failed", "_waiter")

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, Any],
        failed: Callable[[Exception], None],
        done: Callable[[Any], None] | None = None,
    ) -> None:
        """
        Run to the first wait.

        Args:
            coroutine: waits only for asyncio futures.
            failed: told what the coroutine raised, possibly before this returns.
            done: told what it returned; None where the transport's `connection_made` tells enough.
        """
        self._coroutine: Coroutine[Any, Any, Any] | None = coroutine
        self._failed = failed
        self._done = done
        self._waiter: Future[Any] | None = None
        self._step(None)

    def _step(self, waiter: Future[Any] | None) -> None:
        coroutine = self._coroutine
        if coroutine is None:
            if waiter is not None and not waiter.cancelled():
                # Asked for, so that asyncio does not report an exception that nobody saw.
                waiter.exception()
            return
        try:
            self._waiter = waiter = coroutine.send(None)
        except StopIteration as end:
            self._coroutine = self._waiter = None
            if self._done is not None:
                self._done(end.value)
        except Exception as problem:  # noqa: BLE001  # handed on whole
            self._coroutine = self._waiter = None
            self._failed(problem)
        else:
            # What a Task does to show that the future is being waited for.
            waiter._asyncio_future_blocking = False
            waiter.add_done_callback(self._step)

    def cancel(self) -> None:
        """
        Give up; uvloop closes the transport it was opening. Nothing is told to `failed`.
        """
        coroutine, self._coroutine = self._coroutine, None
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.cancel()
        if coroutine is not None:
            coroutine.close()
