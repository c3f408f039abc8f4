"""
What an acceptable `reconfigure` call asks for.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dfproxy.model.service import Service

DIGEST = "sha256:"
"""
What stands instead of a certificate where parameters are kept: this, and the SHA-256 of the file in hexadecimal.
"""


@dataclass(frozen=True, slots=True)
class Reading:
    """
    An acceptable call.

    Attributes:
        name: of the service.
        service: what is to be published; None if it is to be withdrawn.
        withdraws: `replicas=0`, or it is for another instance: the service of this name goes.
        shown: DFP's JSON object of the service, as an accepted answer shows it.
        distribute: the call is to be sent on to every replica.
        certificate: what it brings with it: name of the file, and PEM, not looked at; None: nothing. Of the service's
            parameters only its digest is kept, after `DIGEST`.
        notes: what of it has no effect, and why.
    """

    name: str
    service: Service | None
    withdraws: bool
    shown: dict[str, object]
    distribute: bool
    certificate: tuple[str, bytes] | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()
