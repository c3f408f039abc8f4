"""
Templates of a service: what `templateFePath` and `templateBePath` name, expanded and understood.

The frontend part decides which requests each backend gets, instead of paths and domains: its `acl` and `use_backend`
lines become the condition of routes (`dfproxy.model.match.FRONT_LINES`). The backend part says where the servers are
and what is done with requests: its `server` lines become endpoints, the rest is read as `backendExtra` is
(`dfproxy.dfp.rawtext`). Anything else is refused by name and line. What parameters ask for is done as well, before the
lines of the template, unless the template itself writes it out (`WRITTEN_BY`).

Source: DFP `proxy/template.go`, contract 4.16; HAProxy manual 4.2 (`acl`, `use_backend`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from dfproxy.dfp.answers import service_object
from dfproxy.dfp.gotemplate import Expanded, InvalidTemplate, expand
from dfproxy.dfp.rawtable import row_of
from dfproxy.dfp.templateback import BACK, FRONT, Section, TemplateReader, called, numbered, sections_of, surroundings
from dfproxy.expressions.directives import DirectiveReader, quiet
from dfproxy.expressions.fetches import SUFFIXED
from dfproxy.expressions.words import InvalidExpression, split_words
from dfproxy.model.match import FRONT_LINES, Condition, Match
from dfproxy.model.service import Balance, Destination
from dfproxy.model.steps import Steps

UNASKED = frozenset({"dst", "rand", "uuid", "date", "env", "var", "http_auth_group"})
"""
Fetches that cannot be asked when a route is chosen: of these nothing is known yet, or each time something else.
"""

WRITTEN_BY = {
    "AddReqHeader": ("request_headers", "add"),
    "AddHeader": ("request_headers", "add"),
    "SetReqHeader": ("request_headers", "set"),
    "SetHeader": ("request_headers", "set"),
    "DelReqHeader": ("request_headers", "del"),
    "AddResHeader": ("response_headers", "add"),
    "SetResHeader": ("response_headers", "set"),
    "DelResHeader": ("response_headers", "del"),
    "ReqPathSearch": ("rewrites", ""),
    "ReqPathSearchReplace": ("rewrites", ""),
    "ReqPathSearchReplaceFormatted": ("rewrites", ""),
    "BackendExtra": ("raw", ""),
}
"""
Fields that a backend part which asks for them writes out itself: the parameter behind them is left to it.
"""

_PATH = re.compile(r"/[^\0-\x1f\x7f]*")


@dataclass
class Templated:
    """
    What a service's templates make of it.

    Attributes:
        destinations: instead of those of its parameters.
        balance: of its backends; None: none is named.
        notes: what has no effect, and why.
    """

    destinations: tuple[Destination, ...]
    balance: Balance | None = None
    notes: list[str] = field(default_factory=list)


def unreadable(path: str) -> str:
    """
    The reading of files where there are none.

    Raises:
        InvalidTemplate: always.
    """
    raise InvalidTemplate("templates are files beside the proxy, and cannot be read from here")


def templated(reader: TemplateReader, destinations: tuple[Destination, ...], order_name: str) -> Templated:
    """
    Apply the templates of a service. Total: what is wrong is noted at the reader.

    Args:
        destinations: as the parameters make them.
        order_name: the service's.
    """
    found = Templated(destinations)
    if not (reader.text(FRONT) or reader.text(BACK)):
        return found
    for index in reader.given.indexes:
        if reader.modes[index] != "http":
            reader.problem("reqMode", index, f"must be http: {FRONT} and {BACK} make routes of requests")
            return found
    fields = _fields(reader, order_name)
    front = _expanded(reader, FRONT, fields)
    back = _expanded(reader, BACK, fields)
    lines = _front(reader, front) if front is not None else None
    sections = sections_of(reader, back.text, found.notes) if back is not None else None
    if (reader.text(FRONT) and not lines) or (reader.text(BACK) and not sections):
        return found
    if back is not None:
        destinations = tuple(_without_written(each, back.fields) for each in destinations)
    found.destinations = _joined(reader, destinations, lines, sections, found)
    return found


def _fields(reader: TemplateReader, order_name: str) -> Mapping[str, object]:
    """
    The service as a template sees it: DFP's names, and no passwords.
    """
    return service_object(reader.given, reader.settings) | {"AclName": order_name}


def _expanded(reader: TemplateReader, name: str, fields: Mapping[str, object]) -> Expanded | None:
    path = reader.text(name)
    if not path:
        return None
    if not _PATH.fullmatch(path) or ".." in path.split("/"):
        reader.problem(name, 0, "must be the whole path of a file, without ..")
        return None
    try:
        return expand(reader.read_template(path), fields)
    except InvalidTemplate as error:
        reader.problem(name, 0, str(error))
        return None


# --- frontend ------------------------------------------------------------------------------------------------


def _front(reader: TemplateReader, expanded: Expanded) -> list[str]:
    """
    The `acl` and `use_backend` lines; none if something is wrong.
    """
    lines = numbered(reader, FRONT, expanded.text)
    directives = DirectiveReader(surroundings(reader))
    wrong = False
    for number, line in lines:
        words: list[str] = []
        try:
            words = split_words(line, dict(reader.settings.environment))
            _check_front(words, line)
            directives.read(line)
        except InvalidExpression as error:
            wrong = True
            first = called(words)
            reader.problem(FRONT, 0, f"line {number} of what it makes{f', {first}' * bool(first)}: {quiet(str(error))}")
    if not wrong and not any(line.split()[0] == "use_backend" for _, line in lines):
        wrong = True
        reader.problem(FRONT, 0, "makes no use_backend line: no request would get to the service")
    return [] if wrong else [line for _, line in lines]


def _check_front(words: Sequence[str], line: str) -> None:
    """
    Whether this is a line that chooses routes.

    Raises:
        InvalidExpression: it is not.
    """
    if not words or words[0] not in ("acl", "use_backend"):
        row = row_of(list(words), "frontend") if words else None
        if row is None:
            raise InvalidExpression("is not known; acl and use_backend are")
        if row.fate == "refused":
            raise InvalidExpression(row.text)
        raise InvalidExpression(f"concerns all services: write it into {BACK}, or into EXTRA_FRONTEND")
    if words != split_words(line, {}):
        raise InvalidExpression("variables of the environment cannot be asked when a route is chosen")
    if words[0] == "acl":
        asked = words[2:3]
    else:
        asked = [word for before, word in zip(words, words[1:]) if before in ("{", "!{")]
    for word in asked:
        name = re.split(r"[(,]", word, maxsplit=1)[0]
        if SUFFIXED.get(name, (name,))[0] in UNASKED:
            raise InvalidExpression("it asks for something that is not known when a route is chosen")


# --- both ----------------------------------------------------------------------------------------------------


def _without_written(destination: Destination, fields: frozenset[str]) -> Destination:
    """
    A destination without what a template writes out that asks for these fields.
    """
    steps = destination.steps
    if steps is None:
        return destination
    for name in fields & WRITTEN_BY.keys():
        step, action = WRITTEN_BY[name]
        if step == "request_headers":
            steps = replace(steps, request_headers=tuple(r for r in steps.request_headers if r.action != action))
        elif step == "response_headers":
            steps = replace(steps, response_headers=tuple(r for r in steps.response_headers if r.action != action))
        elif step == "rewrites":
            steps = replace(steps, rewrites=())
        else:
            steps = replace(steps, raw=())
    return replace(destination, steps=None if steps == Steps() else steps)


def _joined(
    reader: TemplateReader,
    destinations: tuple[Destination, ...],
    lines: list[str] | None,
    sections: dict[str, Section] | None,
    found: Templated,
) -> tuple[Destination, ...]:
    """
    Destinations with the routes of the frontend part and the servers of the backend part, as far as there are these.
    """
    by_name = {destination.backend_name: destination for destination in destinations}
    if sections is not None:
        names = list(sections) if lines is not None else list(by_name)
        missing = [name for name in names if name not in sections]
        if missing:
            reader.problem(BACK, 0, f"makes no backend {missing[0]}, which the routes of the service lead to")
            return destinations
        _balance(reader, sections, found)
        made = _with_servers(reader, destinations, by_name, [sections[name] for name in names])
        found.notes += [f"{BACK}: no route leads to backend {name}" for name in sections if name not in names]
    else:
        made = list(destinations)
    if lines is None:
        return tuple(made)
    wanted = list(dict.fromkeys(line.split()[1] for line in lines if line.split()[0] == "use_backend"))
    known = [destination.backend_name for destination in made]
    for name in wanted:
        if name not in known:
            reader.problem(FRONT, 0, f"leads to backend {name}, which the service has not; it has {', '.join(known)}")
            return destinations
    found.notes += [f"{FRONT}: no line leads to backend {name}" for name in known if name not in wanted]
    return tuple(
        replace(each, match=Match(conditions=(Condition(FRONT_LINES, (each.backend_name, *lines)),)))
        for each in made
        if each.backend_name in wanted
    )


def _balance(reader: TemplateReader, sections: Mapping[str, Section], found: Templated) -> None:
    said = [section.raw.balance for section in sections.values()]
    strategies = {each or reader.settings.balance for each in said}
    if len(strategies) > 1:
        reader.problem(BACK, 0, "must have the same balance in every backend: a service has one")
    if any(said):
        found.balance = next(iter(strategies))


def _with_servers(
    reader: TemplateReader,
    destinations: tuple[Destination, ...],
    by_name: Mapping[str, Destination],
    sections: Sequence[Section],
) -> list[Destination]:
    """
    One destination for each section. What parameters ask of it is that of the destination of the same name, else of the
    one at the same place if there are as many, else what all destinations have in common.
    """
    if all(section.name in by_name for section in sections):
        return [_with_section(by_name[section.name], section, by_name[section.name].index) for section in sections]
    bases: Sequence[Destination] = destinations
    if len(destinations) != len(sections):
        common = _common(destinations)
        if common is None:
            count = f"makes {len(sections)} backends for {len(destinations)} destinations, whose parameters differ"
            reader.problem(BACK, 0, f"{count}: make as many, or call them {', '.join(by_name)}")
            return list(destinations)
        bases = [common] * len(sections)
    if len(sections) == 1:
        return [_with_section(bases[0], sections[0], destinations[0].index)]
    return [_with_section(base, section, place) for place, (base, section) in enumerate(zip(bases, sections), 1)]


def _common(destinations: tuple[Destination, ...]) -> Destination | None:
    """
    What all destinations do alike, and all their redirects; None if they do not do the same. Where they are and how
    long they may be silent is the template's to say.
    """
    plain = [_plain(destination) for destination in destinations]
    if any(each != plain[0] for each in plain):
        return None
    steps = plain[0].steps or Steps()
    redirects = [redirect for each in destinations if each.steps is not None for redirect in each.steps.redirects]
    steps = replace(steps, redirects=tuple(dict.fromkeys(redirects)))
    found = destinations[0] if len(destinations) == 1 else plain[0]
    return replace(found, host=destinations[0].host, steps=None if steps == Steps() else steps)


def _plain(destination: Destination) -> Destination:
    steps = replace(destination.steps or Steps(), redirects=())
    bare = replace(destination, index=0, port=0, match=Match(), host="", backend_name="", endpoints=(), steps=steps)
    return replace(bare, server_timeout_s=None, tunnel_timeout_s=None)


def _with_section(base: Destination, section: Section, index: int) -> Destination:
    raw, first, tls = section.raw, section.endpoints[0], section.tls or base.tls
    if tls is not None and tls.verify and tls.server_name == base.host:
        tls = replace(tls, server_name=first.host)
    is_single = len(section.endpoints) == 1
    steps = base.steps or Steps()
    steps = replace(steps, raw=(*steps.raw, *raw.lines), closes_server=steps.closes_server or raw.closes_server)
    return replace(
        base,
        index=index,
        port=first.port,
        host=first.host,
        backend_name=section.name,
        endpoints=() if is_single else tuple(section.endpoints),
        server_timeout_s=raw.times_s.get("timeout server", base.server_timeout_s),
        tunnel_timeout_s=raw.times_s.get("timeout tunnel", base.tunnel_timeout_s),
        tls=tls,
        announce=section.announce or base.announce,
        check=base.check or section.check,
        steps=None if steps == Steps() else steps,
    )
