"""
`reload`: DFP makes HAProxy read its configuration again. Here nothing has to be: what was accepted is in force.

With `fromListener=true` every swarm listener is asked to announce all its services again; they come as calls of their
own, later.

Source: contract 2.5 (ODDITY-05).
"""

from __future__ import annotations

from dfproxy.api.access import Answer, CallQueue, parameters
from dfproxy.api.control import Control
from dfproxy.api.request import Request, Verb
from dfproxy.dfp import answers


class Reload(Verb):
    """
    200, or 500 if a listener does not do what it is asked. `recreate` has nothing to do.
    """

    def __init__(self, control: Control, queue: CallQueue) -> None:
        super().__init__()
        self._control = control
        self._queue = queue

    def render(self, request: Request) -> int:
        """
        The same for every method.
        """
        return self._queue.render(request, self._reload)

    async def _reload(self, request: Request) -> Answer:
        control = self._control
        failures: tuple[str, ...] = ()
        if parameters(request).flag("fromListener"):
            failures = await control.notify()
        revision = control.publisher.snapshot.revision
        if failures:
            return Answer(500, answers.plain("NOK", "; ".join(failures), revision))
        return Answer(200, answers.plain("OK", "", revision))
