"""
Are you there: `ping`, `test`, `ready`, `successfulinitreload`.

None of these waits in the queue of calls: a health check must not fail because many services are published.

Source: contract 2.1, 2.8; `ready` is ours.
"""

from __future__ import annotations

from twisted.web.server import NOT_DONE_YET

from dfproxy.api.access import Answer, write_answer
from dfproxy.api.control import Control
from dfproxy.api.request import Request, Verb
from dfproxy.dfp import answers


class Ping(Verb):
    """
    Says only that the control plane runs, and which definitions are in force.
    """

    def __init__(self, control: Control) -> None:
        super().__init__()
        self._control = control

    def render(self, request: Request) -> int:
        """
        The same for every method.
        """
        write_answer(request, Answer(200, answers.plain("OK", "", self._control.publisher.snapshot.revision)))
        return NOT_DONE_YET


class Test(Verb):
    """
    Names its version.

    Args:
        control: what is in force.
        version: the version in its path.
    """

    def __init__(self, control: Control, version: str) -> None:
        super().__init__()
        self._control = control
        self._message = f"Test v{version}"

    def render(self, request: Request) -> int:
        """
        The same for every method.
        """
        write_answer(
            request, Answer(200, answers.plain("OK", self._message, self._control.publisher.snapshot.revision))
        )
        return NOT_DONE_YET


class Ready(Verb):
    """
    200 when nothing keeps us from serving, else 503 with what does.
    """

    def __init__(self, control: Control) -> None:
        super().__init__()
        self._control = control

    def render(self, request: Request) -> int:
        """
        The same for every method. Quarantined services are named, but the others are served: that is ready.
        """
        problems = dict(self._control.ready())
        body = {
            "Status": "NOK" if problems else "OK",
            "Message": "; ".join(f"{name}: {reason}" for name, reason in problems.items()),
            "Problems": problems,
            "Quarantined": dict(self._control.quarantined()),
        }
        write_answer(request, Answer(503 if problems else 200, body))
        return NOT_DONE_YET


class InitialReload(Verb):
    """
    Whether a swarm listener has told us its services since the start.
    """

    def __init__(self, control: Control) -> None:
        super().__init__()
        self._control = control

    def render(self, request: Request) -> bytes:
        """
        No body, whatever the method.
        """
        request.setResponseCode(200 if self._control.listener_fetched() else 500)
        return b""
