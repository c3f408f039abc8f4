"""
A running Docker Flow Proxy's services, read as this proxy would read them: what is accepted, what is refused, and what
will behave otherwise.

Two shapes are understood: the object that DFP answers to `config?type=json`, and the list that its swarm listener
answers to `get-services`. The first has lost something (wildcards of domains, what templates made); what cannot be
known is said.

Source: contract 2.6, 2.10, 10.4; the register of oddities, contract 13.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dfproxy.dfp.given import Given
from dfproxy.dfp.parameters import BY_LOWER_NAME, DESTINATION_ROWS, MAX_INDEX, SERVICE_ROWS
from dfproxy.dfp.reconfigure import read
from dfproxy.dfp.templates import unreadable
from dfproxy.errors import InvalidService, Problem
from dfproxy.model.match import Condition
from dfproxy.model.service import Balance, Service
from dfproxy.model.settings import Settings

SERVICES = 20_000
"""
Most services that are read; twice what the proxy is made for.
"""

NOBODY = "dummyUser"
"""
Who DFP lets in where no user is left: nobody, as the password is chance.
"""

Pairs = list[tuple[str, str]]


class UnknownShape(ValueError):
    """
    Neither of the two shapes; the text says what was found instead.
    """


@dataclass(frozen=True, slots=True)
class Difference:
    """
    Something that this proxy does otherwise than DFP, where a service uses it.

    Attributes:
        oddity: its number in docs/migration.md.
        concerns: whether a service uses it.
        text: what will be otherwise.
    """

    oddity: int
    concerns: Callable[[Given], bool]
    text: str


@dataclass(slots=True)
class Found:
    """
    What becomes of one service.

    Attributes:
        name: of the service.
        service: as it would be in force; None: it would not be.
        problems: why it is refused.
        skipped: why it is nothing to route, as in DFP; empty: it is.
        differences: what will be otherwise.
        notes: what could not be known from what was read.
    """

    name: str
    service: Service | None = None
    problems: tuple[Problem, ...] = ()
    skipped: str = ""
    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def services_of(content: object, separator: str = ",") -> Iterator[tuple[Pairs, list[str]]]:
    """
    The parameters of each service, and what could not be known of it.

    Args:
        content: decoded JSON of either shape.
        separator: between the items of a list.

    Raises:
        UnknownShape: of neither, or more than `SERVICES`.
    """
    if isinstance(content, Mapping) and {"Status", "Message"} <= content.keys():
        raise UnknownShape(
            f"an answer with Status {content['Status']!r} is no list of services: {content['Message']!r}"
        )
    if not isinstance(content, list | Mapping):
        raise UnknownShape(f"neither an object of services nor a list of them, but {type(content).__name__}")
    if len(content) > SERVICES:
        raise UnknownShape(f"{len(content)} services are more than {SERVICES}")
    if isinstance(content, list):
        for entry in content:
            if not isinstance(entry, Mapping):
                raise UnknownShape("a list of the swarm listener has objects of parameters, this has something else")
            yield [(str(name), _text(value, separator)) for name, value in entry.items() if value is not None], []
        return
    for name, service in content.items():
        if not isinstance(service, Mapping):
            raise UnknownShape(f"{str(name)[:40]!r} is no service: config?type=json has an object for each")
        yield parameters_of(str(name), service, separator)


def parameters_of(name: str, service: Mapping[str, Any], separator: str = ",") -> tuple[Pairs, list[str]]:
    """
    The parameters that make a service of DFP's JSON.

    Args:
        name: its key.
        service: its object; missing keys are zero values.
        separator: between the items of a list.

    Returns:
        Parameters, and what could not be known.
    """
    pairs: Pairs = [("serviceName", name)]
    notes: list[str] = []
    for row in SERVICE_ROWS:
        if row.name not in _NOT_FROM_JSON and (text := _text(service.get(row.json_key), separator)):
            pairs.append((row.name, text))
    if service.get("AclName") == name:
        pairs = [pair for pair in pairs if pair[0] != "aclName"]
    pairs += _users(service, notes)
    if not service.get("IsGlobal") and (replicas := service.get("Replicas")):
        pairs.append(("replicas", str(replicas)))
    if service.get("ServiceCert"):
        notes.append("its serviceCert is not read: its file in the folder of certificates goes on")
    destinations = _objects(service.get("ServiceDest"))
    if len(destinations) > MAX_INDEX:
        notes.append(f"only {MAX_INDEX} of its {len(destinations)} destinations can be given")
    several = len(destinations) > 1 or any(one.get("Index") for one in destinations)
    for number, one in enumerate(destinations[:MAX_INDEX], 1):
        pairs += _destination(one, f".{number}" if several else "", separator, notes)
    return pairs, notes


_NOT_FROM_JSON = {"serviceName", "users", "usersPassEncrypted", "usersSecret", "replicas", "serviceCert", "distribute"}
_DERIVED = {"PathType": "path_beg", "ReqMode": "http"}
"""
What DFP shows of a destination that was given nothing.
"""


def _destination(one: Mapping[str, Any], suffix: str, separator: str, notes: list[str]) -> Pairs:
    pairs: Pairs = []
    https = _text(one.get("HttpsPort"), separator).isdigit()
    for row in DESTINATION_ROWS:
        value = one.get(row.json_key)
        if row.name == "userAgent" and isinstance(value, Mapping):
            value = value.get("Value")
        if row.name == "serviceHeader" and isinstance(value, Mapping):
            value = [f"{name}:{text}" for name, text in value.items()]
        if value == _DERIVED.get(row.json_key) or (
            https and (row.name, value) in (("srcPort", 80), ("srcHttpsPort", 443))
        ):
            continue
        if row.name == "servicePath" and value == ["/"] and one.get("ServiceDomain"):
            continue  # what a domain without path becomes
        if text := _text(value, separator):
            pairs.append((row.name + suffix, text))
    for domain in _text(one.get("ServiceDomain"), separator).split(separator):
        if domain.startswith("."):
            notes.append(f"the domain {domain} may have been *{domain}: DFP forgets the asterisk; see its label")
    return pairs


def _users(service: Mapping[str, Any], notes: list[str]) -> Pairs:
    users = _objects(service.get("Users"))
    if not users:
        return []
    if any(one.get("Username") == NOBODY for one in users):
        notes.append("its list of users could not be read there: everybody is answered 401, here as well")
        return [("users", f"{NOBODY}:")]
    if any(not one.get("Password") for one in users):
        notes.append(
            "passwords of its users are not shown where they were read: users or usersSecret must be given again"
        )
        return [("users", ",".join(f"{one.get('Username')}:not-shown" for one in users))]
    pairs = [("users", ",".join(f"{one.get('Username')}:{one['Password']}" for one in users))]
    if any(one.get("PassEncrypted") for one in users):
        pairs.append(("usersPassEncrypted", "true"))
    return pairs


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _text(value: object, separator: str) -> str:
    """
    A value as a call would give it; empty: it is DFP's zero value.
    """
    if isinstance(value, bool):
        return "true" if value else ""
    if isinstance(value, list):
        return separator.join(map(str, value))
    if isinstance(value, int | float):
        return str(value) if value else ""
    return value if isinstance(value, str) else ""


def judged(
    pairs: Pairs,
    notes: list[str],
    settings: Settings,
    parse_balance: Callable[[str], Balance],
    check_condition: Callable[[Condition], object] = bool,
    read_template: Callable[[str], str] = unreadable,
) -> Found:
    """
    What would become of a service if it were published here.

    Args:
        pairs: its parameters.
        notes: what could not be known.
        settings: as this proxy would run with.
        parse_balance: reads a `balance` value.
        check_condition: looks at a `condition`.
        read_template: the text of a file.
    """
    given = Given(pairs, ())
    found = Found(given.text("serviceName") or "?", notes=list(notes))
    try:
        reading = read(pairs, (), settings, parse_balance, check_condition, read_template)
    except InvalidService as error:
        if error.nothing_to_route:
            found.skipped = "nothing to route: no path and no domain (409, which the swarm listener takes as done)"
        else:
            found.problems = error.problems
    else:
        found.service = reading.service
        if reading.service is None:
            found.skipped = "is taken away: replicas=0, or it is for another instance of the proxy"
    found.differences = [one for one in DIFFERENCES if one.concerns(given)]
    found.notes += _unknown(pairs)
    return found


def _unknown(pairs: Pairs) -> list[str]:
    """
    Names that neither proxy knows, as far as they look like slips: labels of others have a dot or a known beginning.
    """
    strange = [
        name
        for name, _ in pairs
        if (base := name.partition(".")[0].lower()) not in BY_LOWER_NAME and base not in _OTHERS and "." not in name
    ]
    return [f"{name} is no parameter, and ignored, as DFP ignored it" for name in strange[:10] if not _is_alert(name)]


def _is_alert(name: str) -> bool:
    return name.lower().startswith(("alert", "scrape", "monitor"))


_OTHERS = {"nodeinfo", "distribute", "notify", "shortname", "servicecolor", "skipcheck", "mode", "usetlsconfig"}
"""
What the swarm listener adds, what its other listeners look at, and what DFP itself had stopped to look at.
"""


# --- what is otherwise -----------------------------------------------------------------------------------------


def _any(name: str) -> Callable[[Given], bool]:
    return lambda given: any(given.value(name, index) is not None for index in given.indexes)


def _flag(name: str) -> Callable[[Given], bool]:
    return lambda given: any(given.flag(name, index) for index in given.indexes)


def _both(*conditions: Callable[[Given], bool]) -> Callable[[Given], bool]:
    return lambda given: all(condition(given) for condition in conditions)


def _contains(characters: str, *names: str) -> Callable[[Given], bool]:
    return lambda given: any(
        character in given.text(name, index) for name in names for index in given.indexes for character in characters
    )


def _several(given: Given) -> bool:
    return len(given.indexes) > 1


def _mode(mode: str) -> Callable[[Given], bool]:
    return lambda given: any(given.text("reqMode", index).lower() == mode for index in given.indexes)


def _opts_out(given: Given) -> bool:
    return given.flag("httpsOnly") and any(
        index and given.value("httpsOnly", index) is not None and not given.flag("httpsOnly", index)
        for index in given.indexes
    )


def _starred(given: Given) -> bool:
    return any(
        word.strip().startswith("*")
        for index in given.indexes
        for word in given.text("serviceDomain", index).split(",")
    )


def _mixed_case(given: Given) -> bool:
    return any((mode := given.text("reqMode", index)) != mode.lower() for index in given.indexes)


def _criterion_words(given: Given) -> bool:
    return any(
        any(word in given.text("pathType", index) for word in ("_reg", "_sub", "sni"))
        and "," in given.text("servicePath", index)
        for index in given.indexes
    )


DIFFERENCES: tuple[Difference, ...] = (
    Difference(13, _opts_out, "httpsOnly.N=false now counts against httpsOnly=true; DFP ignored it"),
    Difference(
        14, _flag("checkResolvers"), "checkResolvers has no effect: names are asked for all the time, for all services"
    ),
    Difference(15, _mixed_case, "reqMode is read in any case; DFP half understood capital letters"),
    Difference(
        19,
        _both(_any("httpsPort"), _any("serviceHeader")),
        "serviceHeader also counts for what came in on the https port",
    ),
    Difference(20, _criterion_words, "words of pathType are no longer patterns besides the paths"),
    Difference(
        21, _starred, "the wildcard of a domain goes on working, without regard to ports, and for that domain only"
    ),
    Difference(22, _both(_several, _any("serviceHeader")), "each destination has its own serviceHeader"),
    Difference(23, _any("redirectFromDomain"), "redirectFromDomain goes to https where the client came with TLS"),
    Difference(
        25,
        _flag("redirectUnlessHttpsProto"),
        "redirectUnlessHttpsProto lets clients pass that speak TLS with the proxy",
    ),
    Difference(27, _any("users"), "users of the service count instead of the global ones, not besides them"),
    Difference(
        28,
        _contains("+&<>'\"()", "reqPathSearchReplace"),
        "regular expressions of rewrites mean what they say: no HTML, groups work",
    ),
    Difference(
        29,
        _contains("%", "addReqHeader", "setReqHeader", "addResHeader", "setResHeader"),
        "commas within %[...] and quotes no longer cut a header rule",
    ),
    Difference(30, _any("discoveryType"), "each address of the name is a server of its own"),
    Difference(31, _any("sessionType"), "clients stay at their servers also when tasks move"),
    Difference(32, _any("compressionAlgo"), "compression is this service's alone; DFP compressed all services then"),
    Difference(
        33,
        _both(_mode("tcp"), _any("serviceDomain")),
        "the name in the TLS greeting is waited for; a Host in plain text is not looked at",
    ),
    Difference(34, _both(_mode("sni"), _any("aclName")), "an aclName does not break reqMode=sni any more"),
)
"""
By oddity. Those of the API and the start concern no single service; docs/migration.md has all.
"""
