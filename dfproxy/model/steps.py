"""
What a destination does to requests and answers on their way: redirects, refusals, header rules, rewriting, users.

Values only, in the order in which they run; `dfproxy.exchange.steps` compiles and runs them.

Source: DFP `httpsOnly`, `addReqHeader`, `reqPathSearchReplace`, `users` and their kin; HAProxy `http-request`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal

from dfproxy.model.match import Match

KEEPS_SERVER = ("http-keep-alive", "http-tunnel")
"""
Connection modes that keep a server's connection. The second one's tunnels are not made: later requests are routed.
"""

CLOSES_SERVER = ("http-server-close", "httpclose", "forceclose")
"""
Those that close it after each answer.
"""

CLOSES_CLIENTS = ("httpclose", "forceclose")
"""
Those that as the mode of the whole proxy close the client's connection as well.
"""

_NO_TOKEN = re.compile(r"[^!#$%&'*+.^_`|~0-9A-Za-z-]")


@dataclass(frozen=True, slots=True)
class HeaderRule:
    """
    One `http-request` or `http-response` rule about a header.

    Attributes:
        action: append, replace, or remove.
        text: what follows in HAProxy's words: name, value, condition (`dfproxy.expressions`).
    """

    action: Literal["add", "set", "del"]
    text: str


@dataclass(frozen=True, slots=True)
class Rewrite:
    """
    Replace what a regular expression finds in the path.

    Attributes:
        search: regular expression, not anchored.
        replacement: what comes instead; `\\1` to `\\9` are its groups.
        ignore_case: whatever the case.
        every: all that is found, not just the first.
    """

    search: str
    replacement: str
    ignore_case: bool = False
    every: bool = False


@dataclass(frozen=True, slots=True)
class User:
    """
    Who may come in.

    Attributes:
        name: case matters.
        password: plain, or a crypt(3) hash.
        encrypted: it is a hash. One of an unknown kind lets nobody in.
    """

    name: str
    password: str = field(repr=False)
    encrypted: bool = False


@dataclass(frozen=True, slots=True)
class Access:
    """
    A password is asked for.

    Attributes:
        realm: what the client is told it is for.
        users: who may come in; nobody if empty.
    """

    realm: str
    users: tuple[User, ...]


@dataclass(frozen=True, slots=True)
class Redirect:
    """
    Sends clients elsewhere before a route is chosen. The first that matches answers, whichever service has it.

    Attributes:
        match: which requests; without its conditions about X-Forwarded-Proto.
        when: always; if X-Forwarded-Proto says `http`; or unless it says `https` or the connection is TLS.
        host: where to; empty: the same host, by https.
        secure: by https even if the client came without TLS.
        code: 301, 302, 303, 307 or 308.
    """

    match: Match
    when: Literal["always", "http", "not-https"] = "always"
    host: str = ""
    secure: bool = False
    code: int = 302


@dataclass(frozen=True, slots=True)
class Compression:
    """
    Answers are compressed for clients that can read it.

    Attributes:
        algorithms: any of `br`, `gzip`, `deflate`, `raw-deflate` and `identity` (as it is); the client's wish decides.
        types: beginnings of media types, in lower case; empty: all.
    """

    algorithms: tuple[str, ...]
    types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Steps:
    """
    All steps of one destination, in their order.

    Attributes:
        redirects: before a route is chosen.
        allowed_networks: 403 for clients from anywhere else; empty: from anywhere.
        denied_networks: 403 for clients from these.
        https_code: status of the redirect to https of what came without TLS; 0: none.
        request_headers: header rules on requests.
        rewrites: of the path, each sees what the former made.
        wants_certificate: 403 without a client certificate.
        allowed_methods: 403 for every other; empty: all are allowed.
        denied_methods: 403 for these.
        denies_plain: 403 without TLS.
        access: a password is asked for; None: none is.
        response_headers: header rules on the server's answers.
        closes_server: the server's connection is closed after each answer.
        sticky: name of the cookie that keeps a client at its server; empty: none.
        sticky_by_address: its value is a digest of the server's address, not its place.
        compression: None: none.
        raw: lines of HAProxy configuration that run after all others (`dfproxy.expressions.directives`).
    """

    redirects: tuple[Redirect, ...] = ()
    allowed_networks: tuple[str, ...] = ()
    denied_networks: tuple[str, ...] = ()
    https_code: int = 0
    request_headers: tuple[HeaderRule, ...] = ()
    rewrites: tuple[Rewrite, ...] = ()
    wants_certificate: bool = False
    allowed_methods: tuple[str, ...] = ()
    denied_methods: tuple[str, ...] = ()
    denies_plain: bool = False
    access: Access | None = None
    response_headers: tuple[HeaderRule, ...] = ()
    closes_server: bool = False
    sticky: str = ""
    sticky_by_address: bool = False
    compression: Compression | None = None
    raw: tuple[str, ...] = ()


def cookie_name(sticky: str) -> str:
    """
    The name of a cookie that keeps clients at their servers; what cannot be in one becomes `_`.
    """
    return _NO_TOKEN.sub("_", sticky)


def cookie_value(steps: Steps, host: str, port: int, place: int) -> str:
    """
    What the cookie of a server's clients holds: the same on all replicas of the proxy.

    Args:
        place: the number of the server.
    """
    if steps.sticky_by_address:
        return blake2b(f"{host}:{port}".encode(), digest_size=8).hexdigest()
    return f"{cookie_name(steps.sticky)}_{place}"
