"""
Which server a balancer would pick for a request, without a trace: for showing, never for requests.

A strategy that knows says so itself, by a method `peek`; of any other a copy is asked. Chance is set back, so the next
pick is the one that was shown, if nothing happens in between.
"""

from __future__ import annotations

from copy import deepcopy
from random import Random
from typing import Any, cast

from dfproxy.interfaces import IBalancer, IRequest, IServer

COPIED_SERVERS = 200
"""
With more servers a balancer is not copied: the data plane would stand still meanwhile.
"""


class Unforeseen(Exception):
    """
    Nobody can say; the text says why.
    """


class Failed(Unforeseen):
    """
    The strategy raises, or picks what is none of its servers: so it does for a request, too.
    """


def preview(balancer: IBalancer, request: IRequest, random: Random, kept: tuple[object, ...]) -> IServer | None:
    """
    What `pick` would answer now.

    Args:
        balancer: not changed.
        request: what is asked for.
        random: the chance that it was built with; not changed either.
        kept: what is not copied with it: its servers and its clock.

    Raises:
        Unforeseen: it cannot be copied.
        Failed: it fails.
    """
    state = random.getstate()
    try:
        ask = getattr(balancer, "peek", None)
        if not callable(ask):
            ask = _copy(balancer, random, kept).pick
        server = cast("IServer | None", ask(request))
    except Unforeseen:
        raise
    except Exception as error:  # foreign code, which may raise anything
        raise Failed(f"the strategy fails: {type(error).__name__}: {error}") from error
    finally:
        random.setstate(state)
    if server is not None and server not in kept:
        raise Failed(f"the strategy picks {server!r}, which is none of its servers")
    return server


def _copy(balancer: IBalancer, random: Random, kept: tuple[object, ...]) -> IBalancer:
    if len(kept) > COPIED_SERVERS:
        raise Unforeseen("too many servers to foresee what this strategy does")
    memo: dict[int, Any] = {id(thing): thing for thing in (*kept, random)}
    try:
        return deepcopy(balancer, memo)
    except Exception as error:  # foreign code: whatever it raises, it only means that nothing is foreseen
        raise Unforeseen(f"the strategy cannot be asked without changing it: {type(error).__name__}") from error
