"""
The steps of a destination in the operator's words: each by the parameter that made it.

Source: contract 3.3, 3.4, 4.6 (the order).
"""

from __future__ import annotations

from dataclasses import fields

from dfproxy.dfp.haproxyraw import without_secrets
from dfproxy.model.steps import HeaderRule, Rewrite, Steps

SHOWN_CHARS = 200
"""
Longest text shown of one step.
"""


def step_texts(steps: Steps | None) -> list[tuple[str, str]]:
    """
    What a destination does to requests and answers, in the order in which it is done.

    Returns:
        Parameter and meaning of each step; no secrets.
    """
    if steps is None:
        return []
    said: list[tuple[str, str]] = []
    plain = Steps()
    for field in fields(Steps):
        value = getattr(steps, field.name)
        if value == getattr(plain, field.name) or field.name in _ELSEWHERE:
            continue
        if field.name == "access":
            users = len(steps.access.users) if steps.access is not None else 0
            realm = steps.access.realm if steps.access is not None else ""
            said.append(("users", f"401 for realm {realm} unless the password of one of {users} users is given"))
        elif field.name == "sticky":
            kind = "a digest of the server's address" if steps.sticky_by_address else "the server's place"
            said.append(("sessionType", f"the cookie {steps.sticky} keeps the client at its server: it holds {kind}"))
        elif field.name == "compression":
            # Whatever its fields are: words and beginnings of media types.
            said.append(("compressionAlgo", _cut(f"answers are compressed: {value!r}")))
        elif field.name in ("request_headers", "response_headers"):
            said += [_header(rule, "Req" if field.name == "request_headers" else "Res") for rule in value]
        elif field.name == "raw":
            said += [("backendExtra", _cut(without_secrets(line))) for line in value]
        elif field.name == "rewrites":
            said += [_rewrite(rule) for rule in value]
        else:
            name, text = _TEXTS.get(field.name, (field.name, "{}"))
            shown = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
            said.append((name, _cut(text.format(shown))))
    return said


_ELSEWHERE = ("redirects", "sticky_by_address")
"""
Redirects are no steps of a route: they come before one is chosen.
"""

_TEXTS = {
    "allowed_networks": ("allowFrom", "403 for clients from anywhere but {}"),
    "denied_networks": ("denyFrom", "403 for clients from {}"),
    "https_code": ("httpsOnly", "{} to https for what came without TLS"),
    "wants_certificate": ("verifyClientSsl", "403 without a client certificate"),
    "allowed_methods": ("allowedMethods", "403 for every method but {}"),
    "denied_methods": ("deniedMethods", "403 for the methods {}"),
    "denies_plain": ("denyHttp", "403 without TLS"),
    "closes_server": ("connectionMode", "the server's connection is closed after each answer"),
}


def _header(rule: HeaderRule, side: str) -> tuple[str, str]:
    return f"{rule.action}{side}Header", _cut(rule.text)


def _rewrite(rule: Rewrite) -> tuple[str, str]:
    which = "every" if rule.every else "the first"
    case = ", whatever the case" if rule.ignore_case else ""
    return "reqPathSearchReplace", _cut(f"{which} {rule.search!r} in the path becomes {rule.replacement!r}{case}")


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "..."
