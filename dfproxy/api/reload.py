"""
`reload`: DFP makes HAProxy read its configuration again. Here nothing has to be: what was accepted is in force.

Source: contract 2.5.
"""

from __future__ import annotations

from dfproxy.api.access import Answer, CallQueue
from dfproxy.api.control import Control
from dfproxy.api.request import Request, Verb
from dfproxy.dfp import answers


class Reload(Verb):
    """
    Accepts `recreate` and `fromListener` and has nothing to do. Without a listener DFP answers 200, too.
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
        return Answer(200, answers.plain("OK", "", self._control.publisher.snapshot.revision))
