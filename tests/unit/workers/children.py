"""
Workers without processes: what the leader says to them is kept, and they answer when the test says so.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from dfproxy.model.snapshot import Change, Membership
from dfproxy.workers.child import LATE_S, State
from dfproxy.workers.messages import Done, Message, Refusal, decode


class PaperChild:
    """
    What rounds and seats see of `dfproxy.workers.child.Child`.
    """

    def __init__(self, number: int, state: State = State.READY) -> None:
        self.number = number
        self.state = state
        self.told = False
        self.loaded = False
        self.owed = 0
        self.backlog: list[Change] = []
        self.missed: dict[tuple[str, int], Membership] = {}
        self.unsent_bytes = 0
        self.said: list[Message] = []
        self.open: list[Deferred[Message]] = []
        self.given_up = ""

    def send(self, payload: bytes) -> None:
        self.said.append(decode(payload))

    def ask(
        self, question: bytes | Message, within_s: float = LATE_S, descriptors: tuple[int, ...] = ()
    ) -> Deferred[Message]:
        self.said.append(decode(question) if isinstance(question, bytes) else question)
        answer: Deferred[Message] = Deferred()
        self.open.append(answer)
        return answer

    def give_up(self, reason: str) -> None:
        self.given_up = reason

    def answer(self, message: Message | None = None) -> None:
        """
        Answer the oldest question.
        """
        self.open.pop(0).callback(message if message is not None else Done())

    def refuse(self, reason: str) -> None:
        self.answer(Refusal(reason))

    def heard(self) -> list[str]:
        """
        Names of what it was told, and forget them.
        """
        said, self.said = self.said, []
        return [type(message).__name__ for message in said]
