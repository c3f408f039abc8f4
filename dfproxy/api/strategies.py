"""
Which strategies `balance=` may name. Ours; DFP has none.
"""

from __future__ import annotations

from twisted.web.server import NOT_DONE_YET

from dfproxy.api.access import Answer, write_answer
from dfproxy.api.control import Control
from dfproxy.api.request import Request, Verb


class StrategyList(Verb):
    """
    Every strategy found, with its description, and the one that is used where none is named.
    """

    def __init__(self, control: Control) -> None:
        super().__init__()
        self._control = control

    def render(self, request: Request) -> int:
        """
        The same for every method.
        """
        body = {
            "Status": "OK",
            "Message": "",
            "Default": self._control.settings.balance.name,
            "Strategies": self._control.strategies.describe(),
        }
        write_answer(request, Answer(200, body))
        return NOT_DONE_YET
