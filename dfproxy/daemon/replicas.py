"""
Where the other replicas of this proxy are: the tasks of its own Swarm service, without this one.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred

from dfproxy.api.distribute import NoReplicas
from dfproxy.discovery.addresses import Answer, Verdict


class Tasks(Protocol):
    """
    Who knows the tasks of Swarm services.
    """

    def tasks_of(self, service: str) -> Deferred[Answer]:
        """
        Their addresses.
        """


class Ours(Protocol):
    """
    Who knows our own addresses.
    """

    def is_ours(self, address: str, bound: str = "") -> bool:
        """
        Whether that is one of them, for who listens on `bound`.
        """


def other_replicas(service: str, bound: str, names: Tasks, networks: Ours) -> Deferred[tuple[str, ...]]:
    """
    Ask for them.

    Args:
        service: the Swarm service of this proxy.
        bound: address that the API listens on.
        names: knows the tasks of services.
        networks: knows which addresses are ours.

    Returns:
        Deferred: their addresses. Fails with `NoReplicas`.
    """

    def known(answer: Answer) -> tuple[str, ...]:
        if answer.verdict is not Verdict.FOUND:
            raise NoReplicas(
                f"no replicas known by tasks.{service}: {answer.reason or 'no answer'}; nothing has changed; "
                "set SERVICE_NAME to the Swarm service of this proxy, <stack>_<service>, or say distribute=false"
            )
        return tuple(address for address in answer.addresses if not networks.is_ours(address, bound))

    return names.tasks_of(service).addCallback(known)
