"""
What leader and workers say to each other.

Down go definitions in two phases, memberships, questions and listening sockets; up come their answers, heartbeats
and wishes. A message that answers another carries its number (see `dfproxy.workers.channel`).
"""

from __future__ import annotations

import sys
from hashlib import blake2b
from typing import Any

import msgspec

from dfproxy import __version__
from dfproxy.frontend.listeners import Slot
from dfproxy.model.certificate import Certificate
from dfproxy.model.checks import Order, Verdicts
from dfproxy.model.service import Service
from dfproxy.model.settings import Settings
from dfproxy.model.snapshot import Membership, Revision


class Begin(msgspec.Struct, frozen=True, tag=True):
    """
    First words to a new worker; answered with `Done` or `Fault`.

    Attributes:
        settings: for its whole life.
        number: its name, and the block of the shared cells that it writes.
        cells: cells of a block.
    """

    settings: Settings
    number: int
    cells: int


class Part(msgspec.Struct, frozen=True, tag=True):
    """
    A piece of the change that the next `Prepare` completes. Not answered.
    """

    services: tuple[Service, ...] = ()
    removed: tuple[str, ...] = ()
    memberships: tuple[Membership, ...] = ()
    cells: tuple[tuple[str, int, int], ...] = ()
    certificates: tuple[Certificate, ...] = ()
    removed_certificates: tuple[str, ...] = ()
    orders: tuple[Order, ...] = ()
    lifted: tuple[str, ...] = ()


class Prepare(msgspec.Struct, frozen=True, tag=True):
    """
    The parts since the last one are a change; answered with `Done` or `Refusal`.
    """

    revision: Revision
    whole: bool = False


class Commit(msgspec.Struct, frozen=True, tag=True):
    """
    Make the prepared change effective; answered with `Done`.
    """

    revision: Revision


class Abort(msgspec.Struct, frozen=True, tag=True):
    """
    Forget the prepared change, or the parts of one. Not answered.
    """

    revision: Revision


class Members(msgspec.Struct, frozen=True, tag=True):
    """
    Who serves a destination now. Not answered.
    """

    membership: Membership


class Judged(msgspec.Struct, frozen=True, tag=True):
    """
    Which servers of a destination checks have found down. Not answered.
    """

    verdicts: Verdicts


class Query(msgspec.Struct, frozen=True, tag=True):
    """
    A question; answered with `Answer`.
    """

    what: str
    argument: Any = None


class Adopt(msgspec.Struct, frozen=True, tag=True):
    """
    Accept on these sockets, whose descriptors come along in the same order; answered with `Done`.
    """

    slots: tuple[Slot, ...]


class Release(msgspec.Struct, frozen=True, tag=True):
    """
    Accept no more on the slots of these numbers; answered with `Done`.
    """

    slots: tuple[int, ...]


class Drain(msgspec.Struct, frozen=True, tag=True):
    """
    Accept nothing, let what is under way end within so many seconds, then exit. Tunnels have their own time
    (`limits.tunnel_drain_s`), and are told of with each `Beat`. Not answered.
    """

    deadline_s: float


class Done(msgspec.Struct, frozen=True, tag=True):
    """
    As asked: ready, applied, adopted or released.
    """


class Refusal(msgspec.Struct, frozen=True, tag=True):
    """
    The change cannot be applied; nothing is prepared.
    """

    reason: str


class Answer(msgspec.Struct, frozen=True, tag=True):
    """
    To a `Query`.
    """

    value: Any = None


class Beat(msgspec.Struct, frozen=True, tag=True):
    """
    The worker lives.

    Attributes:
        tunnels: upgraded connections that it still waits for, when it drains.
    """

    tunnels: int = 0


class Leaving(msgspec.Struct, frozen=True, tag=True):
    """
    The worker was told by a signal to end: it goes on accepting until it is told to `Drain`.
    """


class Resolve(msgspec.Struct, frozen=True, tag=True):
    """
    A connection to this destination failed: ask now who its servers are.
    """

    service: str
    index: int


class Ejected(msgspec.Struct, frozen=True, tag=True):
    """
    A worker leaves out a server for its answers; the leader passes it on to the others. Not answered.

    Attributes:
        pause_s: for how long, in seconds.
    """

    service: str
    index: int
    host: str
    port: int
    pause_s: float


class Fault(msgspec.Struct, frozen=True, tag=True):
    """
    The worker cannot go on and ends.
    """

    reason: str


Message = (
    Begin
    | Part
    | Prepare
    | Commit
    | Abort
    | Members
    | Judged
    | Query
    | Adopt
    | Release
    | Drain
    | Done
    | Refusal
    | Answer
    | Beat
    | Leaving
    | Resolve
    | Ejected
    | Fault
)
"""
Everything that may be said.
"""

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def encode(message: Message) -> bytes:
    """
    A message as bytes.
    """
    return _encoder.encode(message)


def decode(payload: bytes) -> Message:
    """
    The message in these bytes.

    Raises:
        ValueError: there is none.
    """
    return _decoder.decode(payload)


def build_id() -> bytes:
    """
    8 bytes that differ for builds that would misunderstand each other: version, interpreter, and shape of messages.
    """
    shape = msgspec.json.encode(msgspec.json.schema(Message), order="sorted")
    about = f"{__version__} {sys.implementation.cache_tag} {msgspec.__version__}".encode()
    return blake2b(shape + about, digest_size=8).digest()
