"""
Which context a handshake goes on with. Called within the handshake: memory only, two or three dictionary lookups, and
it never raises.

Source: RFC 6066 3 (server_name); RFC 6125 6.4.3 (a wildcard stands for one label); contract 6.1 (exact name, wildcard,
default).
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable
from typing import Any


class Names:
    """
    What is known by name now. Whoever puts something in, between two handshakes, changes the next one.

    Attributes:
        contexts: by lower-case name, wildcards as `*.example.com`.
        default: for a client that gives no name, or one that is not known; None: it is refused.
        strict: a name that is not known is refused.
        excluded: names that no wildcard stands for.
    """

    __slots__ = ("contexts", "default", "excluded", "strict")

    def __init__(self, strict: bool = False) -> None:
        self.contexts: dict[str, ssl.SSLContext] = {}
        self.default: ssl.SSLContext | None = None
        self.strict = strict
        self.excluded: frozenset[str] = frozenset()

    def find(self, name: str | None) -> ssl.SSLContext | None:
        """
        The context for a name as a client gave it; None: refuse.
        """
        if name:
            contexts = self.contexts
            name = name.lower().rstrip(".")
            found = contexts.get(name)
            if found is None and name not in self.excluded:
                found = contexts.get(f"*.{name.partition('.')[2]}")
            if found is not None:
                return found
        return None if self.strict else self.default


def chooser(names: Names) -> Callable[[Any, str | None, ssl.SSLContext], int | None]:
    """
    The callback for `SSLContext.sni_callback`.
    """
    find = names.find

    def choose(session: Any, name: str | None, base: ssl.SSLContext) -> int | None:
        session.asked_name = name
        found = find(name)
        if found is None:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        session.context = found
        return None

    return choose


def asked_name(session: object) -> str:
    """
    The name that a client has asked for in this handshake, which the `ssl` module does not tell; empty: none.
    """
    return getattr(session, "asked_name", None) or ""


def pass_over_unreadable_names() -> None:
    """
    Keep names that are no ASCII out of the log: the `ssl` module refuses such a client by itself, but not silently,
    and anybody can send one. For the process, at its start.
    """
    former = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        if not (unraisable.exc_type is UnicodeDecodeError and isinstance(unraisable.object, bytes)):
            former(unraisable)

    sys.unraisablehook = hook
