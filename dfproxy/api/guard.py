"""
Who may call: by the network that a call comes from, and by the token that it carries.

Decided when the head of a call is here: nobody who may not call gets a body in, a place in a queue, or an answer that
tells more than why. What only says that the proxy runs is open to everybody: whoever checks that (Docker, a balancer)
has no token, and a proxy that is thought dead is stopped.

Source: RFC 9110 sections 11.6 (401), 15.5.4 (403).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from dfproxy.control.tokens import Tokens
from dfproxy.wire.networks import Networks

OPEN = frozenset(
    (
        b"/v1/docker-flow-proxy/ping",
        b"/v1/docker-flow-proxy/ready",
        b"/v1/docker-flow-proxy/successfulinitreload",
        b"/v1/test",
        b"/v2/test",
    )
)
"""
Paths that everybody may ask for. Compared as they came: what is written in another way is not among them.
"""


@dataclass(frozen=True, slots=True)
class Denied:
    """
    Why a call is not let in.

    Attributes:
        status: 401 or 403.
        message: for the caller.
    """

    status: int
    message: str


NOT_FROM_HERE = "calls from {address} are not allowed; --api-allow (API_ALLOW) names the networks that may call"
NO_TOKEN = "the call carries no token; send Authorization: Bearer <token>, with a token of --api-token-file"
WRONG_TOKEN = "the token is not one of --api-token-file"


class Guard:
    """
    Lets calls in, or says why not.

    Args:
        networks: from where calls may come; empty: from everywhere.
        tokens: what they have to carry.
    """

    def __init__(self, networks: tuple[str, ...], tokens: Tokens) -> None:
        self._networks = Networks(networks) if networks else None
        self._tokens = tokens

    @property
    def is_open(self) -> bool:
        """
        Whether everybody may call.
        """
        return self._networks is None and not self._tokens.wanted

    def denied(self, target: bytes, address: str, authorizations: Sequence[bytes]) -> Denied | None:
        """
        Why a call is not let in; None: it is.

        Args:
            target: path and query, as they came.
            address: that the call comes from; no field can say another one.
            authorizations: values of its Authorization fields.
        """
        if self.is_open or target.partition(b"?")[0] in OPEN:
            return None
        if self._networks is not None and address not in self._networks:
            return Denied(403, NOT_FROM_HERE.format(address=address))
        if not self._tokens.wanted:
            return None
        if not authorizations:
            return Denied(401, NO_TOKEN)
        # Two of them would be read in one way here and in another by what stands before us.
        if len(authorizations) > 1 or not self._tokens.accepts(authorizations[0]):
            return Denied(401, WRONG_TOKEN)
        return None


def exposed(address: str, guard: Guard) -> bool:
    """
    Whether an API that binds this address can be called from other machines, by whoever reaches it.
    """
    return guard.is_open and not (bool(address) and ip_address(address).is_loopback)
