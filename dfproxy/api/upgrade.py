"""
`upgrade`: the process becomes the version that is installed now, with other workers, and no port is closed.

Ours: DFP is replaced by the orchestrator, and so is dfproxy in a container; this is for hosts.

Source: `dfproxy.workers.succession`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred

from dfproxy.api.access import Answer, parameters, refusal
from dfproxy.api.request import Request
from dfproxy.api.verbs import WaitingVerb
from dfproxy.dfp import answers
from dfproxy.errors import NotUpgraded

WORKERS = 256
"""
Most workers that may be asked for, as `--workers` has it.
"""


class Proof(Protocol):
    """
    What is known of the version that takes over.
    """

    version: str
    workers: int


Upgrade = Callable[["int | None"], "Deferred[Proof]"]
"""
Given the number of workers (None: as the options say) proves that the new version starts, and becomes it after that.
Fails with `NotUpgraded`.
"""


class UpgradeVerb(WaitingVerb):
    """
    200 it starts, and takes over right after this answer; 400 a parameter; 405 other methods than POST; 409 not now, or
    not here; 500 it does not start, and the version that runs goes on.
    """

    methods = (b"POST",)  # reading must not change anything
    otherwise = "upgrade replaces the program that runs: use POST, as in curl -X POST"

    async def _answer(self, request: Request) -> Answer:
        control = self._control
        given = parameters(request)
        for name, value in (*given.query, *given.form):
            if name.lower() != "workers":
                return _wrong(name, value, "is no parameter of upgrade; workers is")
        text = given.value("workers")
        if text and not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= WORKERS):
            return _wrong("workers", text, f"must be a number from 1 to {WORKERS}")
        if control.upgrade is None:
            return refusal(409, "this process cannot become another version of itself")
        try:
            proof = await control.upgrade(int(text) if text else None)
        except NotUpgraded as error:
            return refusal(500 if error.possible else 409, str(error))
        message = f"version {proof.version} starts, and takes over now with {proof.workers} workers"
        told = answers.plain_short("OK", message, control.publisher.snapshot.revision)
        return Answer(200, told | {"Version": proof.version, "Workers": proof.workers})


def _wrong(name: str, value: str, reason: str) -> Answer:
    problem = {"Parameter": name[:100], "Value": value[:100], "Reason": reason, "Example": "workers=4"}
    return Answer(400, {"Status": "NOK", "Message": f"{name[:100]}={value[:100]} {reason}", "Problems": [problem]})
