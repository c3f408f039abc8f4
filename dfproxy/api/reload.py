"""
`reload`: DFP makes HAProxy read its configuration again. Here what was accepted is in force; files are looked at again:
certificates, error pages, and secrets with users.

With `fromListener=true` every swarm listener is asked to announce all its services again; they come as calls of their
own, later.

Source: contract 2.5 (ODDITY-05).
"""

from __future__ import annotations

from dfproxy.api.access import Answer, parameters
from dfproxy.api.request import Request
from dfproxy.api.verbs import WaitingVerb
from dfproxy.dfp import answers

MESSAGE_CHARS = 2000
"""
How much is told of files that cannot be used; the log has all.
"""


class Reload(WaitingVerb):
    """
    200, or 500 if a listener does not do what it is asked. A file that cannot be used is no failure; it is told.
    """

    async def _answer(self, request: Request) -> Answer:
        control = self._control
        failures: tuple[str, ...] = ()
        message = ""
        if parameters(request).flag("fromListener"):
            failures = await control.notify()
        else:
            message = "; ".join(await control.read_files())[:MESSAGE_CHARS]
        revision = control.publisher.snapshot.revision
        if failures:
            return Answer(500, answers.plain("NOK", "; ".join(failures), revision))
        return Answer(200, answers.plain("OK", message, revision))
