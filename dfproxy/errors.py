"""
Every exception of dfproxy, by whose fault it is.
"""

from __future__ import annotations

import os.path
import traceback
from dataclasses import dataclass

OWN = os.path.join(os.path.dirname(__file__), "")
PLUGINS = os.path.join(OWN, "plugins", "")
"""
Where our modules are, and those among them that may be anybody's.
"""


class DfproxyError(Exception):
    """
    Root of all our exceptions.
    """


@dataclass(frozen=True, slots=True)
class Problem:
    """
    One thing that is wrong with an input.

    Attributes:
        parameter: its name, as the caller spelled it.
        value: what was given; never a secret.
        reason: what is wrong, and what would be right.
        example: a right one, as `parameter=value`; empty: none is known.
    """

    parameter: str
    value: str
    reason: str
    example: str = ""


class InvalidService(DfproxyError):
    """
    Parameters that do not make a service.

    Args:
        problems: everything that is wrong, not only the first thing.
        nothing_to_route: the only fault is that there is neither path nor domain (DFP answers 409).
    """

    def __init__(self, problems: tuple[Problem, ...], nothing_to_route: bool = False) -> None:
        super().__init__("; ".join(map(_sentence, problems)))
        self.problems = problems
        self.nothing_to_route = nothing_to_route


def _sentence(problem: Problem) -> str:
    example = f" (for example {problem.example})" if problem.example else ""
    return f"{problem.parameter}: {problem.reason}{example}"


class InvalidSettings(DfproxyError):
    """
    Options that cannot be used: one line for each, for the operator at start.
    """

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(
            "\n".join(
                f"{p.parameter}={p.value}: {p.reason}" if p.value else f"{p.parameter}: {p.reason}" for p in problems
            )
        )
        self.problems = problems


class InvalidRoute(DfproxyError):
    """
    A match that cannot be compiled, such as a regular expression that does not parse.
    """


class InvalidBalance(DfproxyError):
    """
    A strategy that is not known, or arguments that it does not take. The text lists what is known.
    """


class InvalidPick(DfproxyError):
    """
    A strategy of a plugin chose what is none of its servers: an author's fault, for the log.
    """


class InvalidCertificate(DfproxyError):
    """
    A bundle that cannot serve: it does not parse, or its key belongs to another certificate. The text never shows it.
    """


class Refused(DfproxyError):
    """
    A data plane cannot apply a change; nothing has changed.
    """


class NotReady(Refused):
    """
    No data plane is there to take a change, whichever it is; nothing has changed.
    """


class Superseded(DfproxyError):
    """
    A later change of the same service in the same batch has replaced this one.
    """


class Claimed(DfproxyError):
    """
    A name belongs to another origin: to what was declared at start, say, and not to callers of the API.
    """


class JournalError(DfproxyError):
    """
    What is to be durable cannot be made so, or not be read; nothing has changed. The text says why.
    """


class NotUpgraded(DfproxyError):
    """
    The version that runs goes on, and nothing has changed.

    Args:
        reason: for the operator.
        possible: another try with the same process may do; False: not now, or never.
    """

    def __init__(self, reason: str, possible: bool = True) -> None:
        super().__init__(reason)
        self.possible = possible


class Overloaded(DfproxyError):
    """
    A bounded queue is full; try again later.
    """


class ClientProtocolError(DfproxyError):
    """
    What a client sent is not acceptable HTTP.

    Args:
        status: the answer it gets: 400, 408, 413, 414, 431, 505.
        reason: for the log; never sent.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class ServerProtocolError(DfproxyError):
    """
    What a server sent is not acceptable HTTP (502).
    """


def said_of(error: BaseException) -> str:
    """
    One line about an exception of a plugin, for its author: kind, text, and the last line of code that is not ours.
    """
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename.startswith(PLUGINS) or not frame.filename.startswith(OWN):
            return f"{text} ({os.path.basename(frame.filename)}, line {frame.lineno})"
    return text
