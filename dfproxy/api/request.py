"""
What the API uses of twisted.web, with types; Twisted itself has few there.
"""

from __future__ import annotations

from typing import IO, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, ITCPTransport
from twisted.web import resource


class Request(Protocol):
    """
    One call, as twisted.web hands it over. Nothing here may be called once `notifyFinish` has failed.

    Attributes:
        method: such as `b"GET"`; in the caller's case.
        uri: path and query as they came.
        postpath: unquoted parts of the path that are not yet used up.
        content: the body; None once the connection is gone.
        startedWriting: whether the head of the answer is sent.
        transport: the connection.
    """

    method: bytes
    uri: bytes
    postpath: list[bytes]
    content: IO[bytes] | None
    startedWriting: int
    transport: ITCPTransport | None

    def getHeader(self, key: bytes) -> bytes | None:
        """
        The last value of a field.
        """

    def setHeader(self, name: bytes, value: bytes) -> None:
        """
        Replace a field of the answer.
        """

    def setResponseCode(self, code: int) -> None:
        """
        The status of the answer.
        """

    def write(self, data: bytes) -> None:
        """
        Send a piece of the answer; the first one sends its head.
        """

    def finish(self) -> None:
        """
        The answer is complete.
        """

    def notifyFinish(self) -> Deferred[None]:
        """
        Fires when the answer is complete; fails when the caller is gone before.
        """

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        """
        Be told when the caller does not take more.
        """

    def unregisterProducer(self) -> None:
        """
        The opposite.
        """

    def loseConnection(self) -> None:
        """
        Close it, without completing the answer.
        """


class Verb(resource.Resource):
    """
    Something that answers at exactly one path, whatever the method.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's has no annotations
