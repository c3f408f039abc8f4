"""
What an exchange asks of the client's side, whatever its protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from dfproxy.model.ending import Ending
from dfproxy.transport import Stream
from dfproxy.upstream.http1 import ServerConnection
from dfproxy.wire.h1 import ResponseHead


class Downstream(Protocol):
    """
    The client's side of one request. Calls come in this order: any number of `interim`; then `refuse`, or `respond`
    and what follows it; nothing after `refuse`, `cut`, `end`, or `respond` with `ended`.
    """

    reserved: ServerConnection | None
    """
    A server's connection that belongs to this client; one that cannot hold one (several requests at once) has None.
    """

    def local_host(self) -> str:
        """
        The IP address that the client has connected to; empty: not known.
        """

    def reserve(self, connection: ServerConnection) -> None:
        """
        This idle connection belongs to the client: hold it for the next request, or close it.
        """

    def interim(self, head: ResponseHead) -> None:
        """
        Pass on a 1xx.
        """

    def respond(self, head: ResponseHead, pieces: Sequence[bytes], ended: bool) -> None:
        """
        Begin the response.
        """

    def body(self, pieces: Sequence[bytes]) -> None:
        """
        More of the response's body.
        """

    def end(self, pieces: Sequence[bytes], trailers: bytes) -> None:
        """
        The rest of it; `trailers` are checked field lines, or b"".
        """

    def refuse(self, ending: Ending) -> None:
        """
        Nothing has been said: give an answer of our own.
        """

    def cut(self) -> None:
        """
        The response has begun and cannot be completed: it must not look complete.
        """

    def switched(self, data: bytes) -> None:
        """
        Bytes of the tunnel from the server.
        """

    def server_half_closed(self) -> None:
        """
        No more bytes will come through the tunnel.
        """

    def splice_into(self) -> Stream | None:
        """
        The transport, if the body may go to it as it is, without framing; else None.
        """

    def splice_from(self) -> Stream | None:
        """
        The transport, if the rest of the request's body comes on it without framing; else None.
        """

    def request_progress(self, blocked: bool) -> None:
        """
        A spliced request has moved on, or (`blocked`) the server does not take more for now.
        """

    def request_passed(self) -> None:
        """
        The rest of the request's body has been taken from the transport.
        """

    def progress(self, blocked: bool) -> None:
        """
        A spliced body has moved on, or (`blocked`) the client does not take more for now.
        """

    def hold_request(self) -> None:
        """
        Stop reading the request's body (or the tunnel).
        """

    def resume_request(self) -> None:
        """
        Go on reading it.
        """
