"""
Parameters of what a route does to requests and answers -> `Steps`.

Source: DFP `proxy/template.go` (frontend redirects, backend rules and their order).
"""

from __future__ import annotations

import ipaddress
import re
from typing import Protocol

from dfproxy.dfp.criteria import words
from dfproxy.dfp.domains import host_patterns
from dfproxy.dfp.given import Given
from dfproxy.dfp.rawtext import RawText
from dfproxy.dfp.users import MOST_USERS, service_users, wrong_hash
from dfproxy.expressions.converters import substitution
from dfproxy.expressions.fetches import Phase
from dfproxy.expressions.rules import compile_rule
from dfproxy.expressions.subject import Surroundings
from dfproxy.expressions.words import InvalidExpression, split_items
from dfproxy.model.match import Match
from dfproxy.model.settings import Settings
from dfproxy.model.steps import (
    CLOSES_SERVER,
    KEEPS_SERVER,
    Access,
    Compression,
    HeaderRule,
    Redirect,
    Rewrite,
    Steps,
)
from dfproxy.wire.networks import is_address

STICKY = "sticky-server"
"""
The `sessionType` that sets a cookie; any other one only asks for a server per task, which there is anyway.
"""

CODES = (301, 302, 303, 307, 308)
"""
What a redirect to https may have as its status; 302 unless told.
"""

MOST_RULES = 64
"""
Most rules of one kind on a service. HAProxy has no limit; each is work for each request.
"""

MOST_REWRITES = 16
"""
Most rewrites of a destination.
"""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)  # RFC 9110 section 5.6.2
_HOST = re.compile(r"[0-9A-Za-z._:\[\]-]+", re.ASCII)
_MEDIA = re.compile(r"[!#$&^_.+*/A-Za-z0-9-]+", re.ASCII)
MODES = KEEPS_SERVER + CLOSES_SERVER
"""
What `connectionMode` and `CONNECTION_MODE` may be.
"""

COMPRESSIONS = ("identity", "br", "gzip", "deflate", "raw-deflate")
"""
What `compressionAlgo` and `COMPRESSION_ALGO` may list.
"""


_REQUEST_RULES: tuple[tuple[str, str, str], ...] = (
    ("add", "addReqHeader", "addHeader"),
    ("set", "setReqHeader", "setHeader"),
    ("del", "delReqHeader", ""),
)
_ANSWER_RULES: tuple[tuple[str, str, str], ...] = (
    ("add", "addResHeader", ""),
    ("set", "setResHeader", ""),
    ("del", "delResHeader", ""),
)


class Reader(Protocol):
    """
    The reading that this is a part of (`dfproxy.dfp.reconfigure`).
    """

    given: Given
    settings: Settings
    separator: str
    raw: RawText

    def text(self, name: str, index: int = 0) -> str:
        """
        A value that may be worked with.
        """

    def words(self, name: str, index: int) -> list[str]:
        """
        The words of a list.
        """

    def problem(self, name: str, index: int, reason: str) -> None:
        """
        Note what is wrong with a value.
        """


class StepsReader:
    """
    The steps of one service. What all its destinations share is read once.

    Args:
        reader: the whole reading.
        name: of the service.
    """

    def __init__(self, reader: Reader, name: str) -> None:
        self._reader = reader
        self._given = reader.given
        self._surroundings = Surroundings(dict(reader.settings.environment))
        self._request_headers = self._rules(_REQUEST_RULES, "request")
        self._response_headers = self._rules(_ANSWER_RULES, "answer")
        self._access = self._users(name)
        self._closes_server = self._connection_mode()
        self._compression = self._compressing()
        self._sticky = name if reader.text("sessionType") == STICKY else ""
        self._sticky_by_address = bool(self._sticky) and self._sticky_value()

    def steps(self, index: int, match: Match, https: bool, alone: bool = False) -> Steps | None:
        """
        The steps of a destination.

        Args:
            match: of its route.
            https: it is the one for the https port, which neither redirects to https nor refuses what is plain.
            alone: there is none beside it for other ports.

        Returns:
            None if there are none.
        """
        given, reader = self._given, self._reader
        code = self._code(index)
        only = given.flag("httpsOnly", index) or reader.settings.https_only
        sticky = self._sticky if self._has_tasks(index) else ""
        found = Steps(
            redirects=self._redirects(index, match, code, only, https, alone),
            allowed_networks=self._networks("allowFrom", index),
            denied_networks=self._networks("denyFrom", index),
            https_code=code if only and not https else 0,
            request_headers=self._request_headers,
            rewrites=self._rewrites(index),
            wants_certificate=given.flag("verifyClientSsl", index),
            allowed_methods=self._methods("allowedMethods", index),
            denied_methods=self._methods("deniedMethods", index),
            denies_plain=given.flag("denyHttp", index) and not https,
            access=None if given.flag("ignoreAuthorization", index) else self._access,
            response_headers=self._response_headers,
            closes_server=self._closes_server or reader.raw.closes_server,
            sticky=sticky,
            sticky_by_address=bool(sticky) and self._sticky_by_address,
            compression=self._compression,
            raw=tuple(reader.raw.lines),
        )
        return None if found == Steps() else found

    # --- redirects ---

    def _code(self, index: int) -> int:
        text = self._reader.text("httpsRedirectCode", index)
        if not text:
            return 302
        if text not in map(str, CODES):
            self._reader.problem("httpsRedirectCode", index, f"must be one of {', '.join(map(str, CODES))}")
            return 302
        return int(text)

    def _redirects(
        self, index: int, match: Match, code: int, only: bool, https: bool, alone: bool
    ) -> tuple[Redirect, ...]:
        """
        Args:
            only: it redirects what is plain.
        """
        if https:
            return self._from_domains(index, match, True) if alone else ()
        given = self._given
        found = self._from_domains(index, match, only)
        plain = Match(paths=match.paths, hosts=match.hosts, local_port=match.local_port)
        if given.flag("redirectWhenHttpProto"):
            found += (Redirect(plain, "http", code=code),)
        if given.flag("redirectUnlessHttpsProto"):
            found += (Redirect(plain, "not-https", code=code),)
        return found

    def _from_domains(self, index: int, match: Match, https: bool) -> tuple[Redirect, ...]:
        """
        `redirectFromDomain`.

        Args:
            https: always leads to https.
        """
        reader = self._reader
        sources = words(reader.text("redirectFromDomain", index), reader.separator)
        if not sources:
            return ()
        target = next(iter(reader.words("serviceDomain", index)), "")
        if not target:
            reader.problem("redirectFromDomain", index, "needs a serviceDomain to redirect to")
            return ()
        if not _HOST.fullmatch(target) or any(host.form in ("regex", "length") for host in match.hosts[:1]):
            reader.problem("redirectFromDomain", index, "leads to the first serviceDomain, which must be a name")
            return ()
        try:
            hosts = host_patterns(sources, "prefix")
        except ValueError as error:
            reader.problem("redirectFromDomain", index, str(error))
            return ()
        return (Redirect(Match(hosts=hosts), "always", target, https, 301),) if hosts else ()

    # --- rules ---

    def _rules(self, rows: tuple[tuple[str, str, str], ...], phase: Phase) -> tuple[HeaderRule, ...]:
        found: list[HeaderRule] = []
        for action, name, former_name in rows:
            given = name if self._reader.text(name) or not former_name else former_name
            items = [item for item in split_items(self._reader.text(given), self._reader.separator) if item.strip()]
            if len(items) > MOST_RULES:
                self._reader.problem(given, 0, f"may have {MOST_RULES} rules, this has {len(items)}")
                continue
            for item in items:
                try:
                    compile_rule(action, item, phase, self._surroundings)
                except InvalidExpression as error:
                    self._reader.problem(given, 0, f"cannot have the item {item.strip()[:80]!r}: {error}")
                else:
                    found.append(HeaderRule(action, item.strip(" \t")))  # type: ignore[arg-type]  # one of the rows
        return tuple(found)

    def _rewrites(self, index: int) -> tuple[Rewrite, ...]:
        reader = self._reader
        found: list[Rewrite] = []
        if search := reader.text("reqPathSearch"):
            replacement = reader.text("reqPathReplace")
            named = "reqPathReplace" if replacement and _is_regex(search) else "reqPathSearch"
            self._rewrite(named, 0, Rewrite(search, replacement), found)
        name = "reqPathSearchReplace"
        text = reader.text(name, index)
        for pair in text.split(":") if text else ():
            parts = pair.split(",")
            if len(parts) not in (2, 3):
                reason = f"{pair[:60]!r} is no pair; write search,replacement or search,replacement,flags"
                reader.problem(name, index, reason)
                continue
            flags = parts[2].strip() if len(parts) == 3 else ""
            if set(flags) - set("ig"):
                reader.problem(name, index, f"{flags[:20]!r} are no flags; i and g are")
                continue
            self._rewrite(name, index, Rewrite(parts[0], parts[1], "i" in flags, "g" in flags), found)
        if len(found) > MOST_REWRITES:
            reader.problem(name, index, f"may have {MOST_REWRITES} pairs, this has {len(found)}")
            return ()
        return tuple(found)

    def _rewrite(self, name: str, index: int, rewrite: Rewrite, found: list[Rewrite]) -> None:
        try:
            substitution(rewrite.search, rewrite.replacement)
        except InvalidExpression as error:
            self._reader.problem(name, index, str(error))
            return
        if not rewrite.search:
            self._reader.problem(name, index, "has nothing to search for")
            return
        found.append(rewrite)

    def _methods(self, name: str, index: int) -> tuple[str, ...]:
        found = words(self._reader.text(name, index), self._reader.separator)
        for method in found:
            if not _TOKEN.fullmatch(method):
                self._reader.problem(name, index, f"{method[:40]!r} is no method; write GET or the like")
        return tuple(found)

    def _networks(self, name: str, index: int) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for word in self._reader.words(name, index):
            try:
                found[str(ipaddress.ip_network(word))] = None
            except ValueError as error:
                self._reader.problem(name, index, f"{word[:60]!r} is no network: {error}; write 10.0.0.0/8 or 10.1.2.3")
        return tuple(found)

    # --- users ---

    def _users(self, name: str) -> Access | None:
        reader, given, settings = self._reader, self._given, self._reader.settings
        users = service_users(
            reader.text("users"),
            reader.text("usersSecret"),
            given.flag("usersPassEncrypted"),
            dict(settings.user_lists),
            settings.users,
        )
        if users is None:
            return Access("defaultRealm", settings.users) if settings.users else None
        if len(users) > MOST_USERS:
            reader.problem("users", 0, f"may have {MOST_USERS} users, these are {len(users)}")
        if reader.text("users"):
            for user in users:
                if reason := wrong_hash(user):
                    reader.problem("users", 0, reason)
        return Access("".join(c for c in name if c not in '"\\') + "Realm", users)

    # --- connections and bodies ---

    def _has_tasks(self, index: int) -> bool:
        """
        Whether there can be several servers; behind a fixed address there are no tasks to stay at (ODDITY-41).
        """
        reader = self._reader
        return bool(reader.text("endpoints", index)) or not is_address(reader.text("outboundHostname", index))

    def _sticky_value(self) -> bool:
        text = self._reader.text("stickyValue")
        if text not in ("", "place", "address"):
            self._reader.problem("stickyValue", 0, "must be place or address")
        return text == "address"

    def _connection_mode(self) -> bool:
        mode = self._reader.text("connectionMode").strip().lower()
        if mode and mode not in MODES:
            self._reader.problem("connectionMode", 0, f"must be one of {', '.join(MODES)}")
        return mode in CLOSES_SERVER or self._reader.settings.connection_mode in CLOSES_SERVER

    def _compressing(self) -> Compression | None:
        """
        What the service says, else what holds for all.
        """
        everywhere = self._reader.settings.compression
        found = everywhere.algorithms if everywhere is not None else ()
        kinds = everywhere.types if everywhere is not None else ()
        try:
            if text := self._reader.text("compressionAlgo"):
                found = algorithms(text)
        except ValueError as error:
            self._reader.problem("compressionAlgo", 0, str(error))
        try:
            if text := self._reader.text("compressionType"):
                kinds = media_types(text)
        except ValueError as error:
            self._reader.problem("compressionType", 0, str(error))
        return compressed(found, kinds)


def compressed(names: tuple[str, ...], types: tuple[str, ...]) -> Compression | None:
    """
    None if that means as it is.
    """
    return Compression(names, types) if any(name != "identity" for name in names) else None


def _is_regex(text: str) -> bool:
    """
    Whether it may be searched for, so that what is wrong is wrong with the replacement.
    """
    try:
        substitution(text, "")
    except InvalidExpression:
        return False
    return True


def algorithms(text: str) -> tuple[str, ...]:
    """
    Names of ways to compress, separated by blanks; case does not matter.

    Raises:
        ValueError: one is not known.
    """
    found = tuple(dict.fromkeys(text.lower().split()))
    for name in found:
        if name not in COMPRESSIONS:
            raise ValueError(f"{name[:40]!r} is not known; known: {', '.join(COMPRESSIONS)}")
    return found


def media_types(text: str) -> tuple[str, ...]:
    """
    Beginnings of media types, separated by blanks.

    Raises:
        ValueError: one is none.
    """
    found = tuple(dict.fromkeys(text.lower().split()))
    for name in found:
        if not _MEDIA.fullmatch(name):
            raise ValueError(f"{name[:40]!r} is no media type; write text/html text/css")
    return found
