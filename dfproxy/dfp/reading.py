"""
What an acceptable `reconfigure` call asks for.
"""

from __future__ import annotations

from dataclasses import dataclass

from dfproxy.model.service import Service


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
    """

    name: str
    service: Service | None
    withdraws: bool
    shown: dict[str, object]
    distribute: bool
