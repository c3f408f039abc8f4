"""
The `backend` sections that a template makes: where the servers are, and lines that are read as `backendExtra` is.

Source: DFP `templateBePath`, contract 4.16; HAProxy manual 4.2 (proxy keywords), 5.2 (`server`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from dfproxy.dfp.checks import LEAST_INTERVAL_S, LONGEST_INTERVAL_S, MOST_IN_A_ROW
from dfproxy.dfp.endpoints import MAX_WEIGHT, endpoint
from dfproxy.dfp.rawtable import names
from dfproxy.dfp.rawtext import MOST_LINES, RawText, read_raw, seconds_of, split_lines
from dfproxy.dfp.steps import Reader
from dfproxy.expressions.directives import quiet
from dfproxy.expressions.subject import Surroundings
from dfproxy.expressions.words import InvalidExpression, split_words
from dfproxy.model.checks import Check
from dfproxy.model.service import Balance, Endpoint, ServerTls

FRONT, BACK = "templateFePath", "templateBePath"

MOST_BACKENDS = 10
"""
Most `backend` sections of a template, as many as a service can have destinations.
"""

MOST_SERVERS = 100
"""
Most `server` lines of a section.
"""

_SECTIONS = frozenset(
    {
        "frontend",
        "listen",
        "defaults",
        "global",
        "userlist",
        "resolvers",
        "peers",
        "cache",
        "program",
        "mailers",
        "ring",
    }
)
_CALLED = _SECTIONS | {"backend", *names()}

NAME = re.compile(r"[A-Za-z0-9_.:-]{1,128}", re.ASCII)
"""
What tests and backends may be called.
"""

_NUMBER = re.compile(r"line ([0-9]+)", re.ASCII)
_TAKES = {
    "weight": True,
    "check": False,
    "inter": True,
    "rise": True,
    "fall": True,
    "ssl": False,
    "verify": True,
    "send-proxy": False,
    "send-proxy-v2": False,
    "resolvers": True,
    "init-addr": True,
    "resolve-prefer": True,
    "resolve-opts": True,
}
"""
Words of a server that are understood, and whether a value follows. Names are always resolved while running.
"""

_INSTEAD = {
    "cookie": "write sessionType=sticky-server",
    "maxconn": "write maxConnections",
    "sni": "write backendTls=true and backendServerName",
    "ca-file": "write backendTls=true and backendCa",
    "crt": "write backendTls=true and backendCertificate",
    "backup": "write balance=first, by which further servers are spares",
    "disabled": "leave the line out",
}


class TemplateReader(Reader, Protocol):
    """
    The reading that this is a part of (`dfproxy.dfp.reconfigure`).
    """

    modes: dict[int, str]
    parse_balance: Callable[[str], Balance]
    read_template: Callable[[str], str]


@dataclass
class Section:
    """
    A `backend` of a template.

    Attributes:
        name: as it is led to.
        endpoints: its servers.
        tls: with its servers; None: plainly.
        announce: version of the PROXY protocol; 0: none.
        check: how its servers are checked; None: they are not.
        raw: its other lines, understood.
        lines: the same as they came, with their numbers.
        kinds: with TLS or not, `announce` and `check` of each server: there may be one kind.
    """

    name: str
    endpoints: list[Endpoint] = field(default_factory=list)
    tls: ServerTls | None = None
    announce: int = 0
    check: Check | None = None
    raw: RawText = field(default_factory=RawText)
    lines: list[tuple[int, str]] = field(default_factory=list)
    kinds: set[tuple[bool, int, Check | None]] = field(default_factory=set)


def numbered(reader: TemplateReader, name: str, text: str) -> list[tuple[int, str]]:
    """
    Lines that say something, with their numbers.
    """
    lines = [pair for pair in enumerate(split_lines(text, False), 1) if pair[1] and not pair[1].startswith("#")]
    if len(lines) > MOST_LINES:
        reader.problem(name, 0, f"may have {MOST_LINES} lines, this has {len(lines)}")
        return []
    return lines


def surroundings(reader: TemplateReader) -> Surroundings:
    return Surroundings(dict(reader.settings.environment))


def called(words: Sequence[str]) -> str:
    """
    The directive of a line, if it is one of HAProxy's, else empty: a caller names any file as a template, and must not
    be told what stands in it.
    """
    return words[0] if words and words[0] in _CALLED else ""


def sections_of(reader: TemplateReader, text: str, notes: list[str]) -> dict[str, Section]:
    """
    The sections by name; none if something is wrong, which is noted at the reader.

    Args:
        text: what the template makes.
        notes: what has no effect, and why, is added to these.
    """
    sections: dict[str, Section] = {}
    wrong = False

    def refuse(number: int, reason: str) -> None:
        nonlocal wrong
        wrong = True
        reader.problem(BACK, 0, f"line {number} of what it makes, {reason}")

    section: Section | None = None
    for number, line in numbered(reader, BACK, text):
        words: list[str] = []
        try:
            words = split_words(line, dict(reader.settings.environment))
            if not words:
                continue
            if words[0] == "backend":
                section = None
                section = _begun(words, sections)
            elif words[0] in _SECTIONS:
                section = None
                raise InvalidExpression("this section cannot be in a template")
            elif section is None:
                raise InvalidExpression("stands behind no backend line that is understood")
            elif words[0] in ("server", "server-template"):
                _server(words, section, reader.settings.limits.connect_timeout_s)
            elif words[0] == "default-server":
                raise InvalidExpression("write its words behind each server")
            else:
                section.lines.append((number, line))
        except InvalidExpression as error:
            refuse(number, f"{called(words) or 'this'}: {quiet(str(error))}")
    for section in sections.values():
        wrong = not _complete(reader, section, notes) or wrong
    if not sections and not wrong:
        wrong = True
        reader.problem(BACK, 0, "makes no backend section")
    return {} if wrong else sections


def _begun(words: Sequence[str], sections: dict[str, Section]) -> Section:
    if len(words) != 2 or not NAME.fullmatch(words[1]):
        raise InvalidExpression("write backend and a name of letters, digits and - _ . :")
    if words[1] in sections:
        raise InvalidExpression(f"{words[1]} is there twice")
    if len(sections) == MOST_BACKENDS:
        raise InvalidExpression(f"a service may have {MOST_BACKENDS} backends")
    return sections.setdefault(words[1], Section(words[1]))


def _server(words: Sequence[str], section: Section, connect_timeout_s: float) -> None:
    """
    `server NAME HOST:PORT ...` or `server-template PREFIX COUNT HOST:PORT ...`.

    Args:
        connect_timeout_s: a check takes no longer.
    """
    is_several = words[0] == "server-template"
    start = 4 if is_several else 3
    server = endpoint(words[start - 1]) if len(words) >= start and "*" not in words[start - 1] else None
    if server is None:
        raise InvalidExpression(f"write {words[0]} NAME {'COUNT ' if is_several else ''}host:port")
    said = _options(list(words[start:]))
    if "ssl" in said and said.get("verify") != "none":
        raise InvalidExpression("ssl without verify none: leave it out and write backendTls=true, which verifies")
    if any((each.host, each.port) == (server.host, server.port) for each in section.endpoints):
        raise InvalidExpression("this server is there twice; write its weight instead")
    if len(section.endpoints) == MOST_SERVERS:
        raise InvalidExpression(f"a backend may have {MOST_SERVERS} servers")
    section.endpoints.append(replace(server, weight=_number(said, "weight", 0, MAX_WEIGHT, 1)))
    section.tls = ServerTls(verify=False) if "ssl" in said else None
    section.announce = 2 if "send-proxy-v2" in said else 1 if "send-proxy" in said else 0
    section.check = _check(said, connect_timeout_s)
    section.kinds.add(("ssl" in said, section.announce, section.check))
    if len(section.kinds) > 1:
        raise InvalidExpression("ssl, send-proxy and checks must be the same for all servers of a backend")


def _options(rest: list[str]) -> dict[str, str]:
    """
    Words behind an address, with their values.
    """
    said: dict[str, str] = {}
    while rest:
        word = rest.pop(0)
        if word in _INSTEAD:
            raise InvalidExpression(f"{word} is not done here: {_INSTEAD[word]}")
        if word not in _TAKES:
            shown = word if re.fullmatch(r"[a-z][a-z0-9-]{0,29}", word) else "what follows the address"
            raise InvalidExpression(f"{shown} is not known here; known: {', '.join(_TAKES)}")
        if _TAKES[word] and not rest:
            raise InvalidExpression(f"{word} needs a value")
        said[word] = rest.pop(0) if _TAKES[word] else ""
    return said


def _number(said: Mapping[str, str], word: str, least: int, most: int, otherwise: int) -> int:
    text = said.get(word, str(otherwise))
    if not re.fullmatch(r"[0-9]{1,6}", text) or not least <= int(text) <= most:
        raise InvalidExpression(f"{word} takes a number, {least} to {most}")
    return int(text)


def _check(said: Mapping[str, str], connect_timeout_s: float) -> Check | None:
    """
    By connecting; what else is to be asked, `checkPath` says.
    """
    usual = Check()
    interval_s = seconds_of([said["inter"]]) if "inter" in said else usual.interval_s
    if not LEAST_INTERVAL_S <= interval_s <= LONGEST_INTERVAL_S:
        raise InvalidExpression(f"inter takes a time from {LEAST_INTERVAL_S:g}s to {LONGEST_INTERVAL_S:.0f}s")
    rise = _number(said, "rise", 1, MOST_IN_A_ROW, usual.rise)
    fall = _number(said, "fall", 1, MOST_IN_A_ROW, usual.fall)
    if "check" not in said:
        return None
    timeout_s = min(interval_s, connect_timeout_s)
    return Check(interval_s=interval_s, timeout_s=timeout_s, rise=rise, fall=fall)


def _complete(reader: TemplateReader, section: Section, notes: list[str]) -> bool:
    """
    Understand the other lines of a section; False if something is wrong.
    """
    text = "\n".join(line for _, line in section.lines)
    numbers = [number for number, _ in section.lines]

    def place(match: re.Match[str]) -> str:
        at = int(match[1]) - 1
        return f"line {numbers[at]} of what it makes" if at < len(numbers) else match[0]

    settings = reader.settings
    raw = section.raw = read_raw(text, "backend", surroundings(reader), reader.parse_balance, settings.errorfiles_dir)
    for problem in raw.problems:
        reader.problem(BACK, 0, _NUMBER.sub(place, problem, count=1))
    notes += [f"{BACK}: {_NUMBER.sub(place, note, count=1)}" for note in raw.notes]
    is_right = not raw.problems
    if raw.parameters:
        names = ", ".join(raw.parameters)
        notes.append(f"{BACK}: lines for checks, retries and queues have no effect here; write {names}")
    if not section.endpoints:
        reader.problem(BACK, 0, f"backend {section.name} has no server line")
        is_right = False
    elif not any(each.weight for each in section.endpoints):
        reader.problem(BACK, 0, f"backend {section.name} gives every server the weight 0")
        is_right = False
    return is_right
