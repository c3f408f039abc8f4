"""
Parameters of a `reconfigure` call -> a checked `Service`, or everything that is wrong with them.

Which value counts is decided in `given`; what a value means, and which rule of DFP's list comes first, here.

Longer than modules should be, and still one thing: one reading, whose parts find problems in the same values.

Source: DFP `server/server.go`, `proxy/util.go`, `proxy/types.go`; HAProxy's ACL language for the matches.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from hashlib import sha256

from dfproxy.dfp import answers
from dfproxy.dfp.checks import check, slow_start_s
from dfproxy.dfp.criteria import headers, words
from dfproxy.dfp.domains import MATCH_ALL, host_form, host_patterns
from dfproxy.dfp.endpoints import MAX_WEIGHT, endpoint, is_host
from dfproxy.dfp.given import Given, Value, flag, integer, is_flag, items
from dfproxy.dfp.hints import impossible_paths, slips
from dfproxy.dfp.parameters import BY_NAME, LIST_ITEMS, Parameter, example_of
from dfproxy.dfp.pathtype import path_criterion, path_patterns
from dfproxy.dfp.rawtext import RawText, read_raw
from dfproxy.dfp.reading import DIGEST, Reading
from dfproxy.dfp.resilience import resilience
from dfproxy.dfp.servertls import announce, server_tls
from dfproxy.dfp.steps import StepsReader
from dfproxy.dfp.streams import read_stream
from dfproxy.dfp.templates import templated, unreadable
from dfproxy.errors import InvalidBalance, InvalidRoute, InvalidService, Problem
from dfproxy.expressions.subject import Surroundings
from dfproxy.model.match import FRONT_LINES, Condition, HostPattern, Match, PathPattern
from dfproxy.model.service import HTTPS_INDEX, Balance, Destination, Endpoint, Service
from dfproxy.model.settings import Settings

ECHOED_CHARS = 200
"""
How much of a wrong value a refusal repeats.
"""

MAX_HEADERS = 32
"""
Most `serviceHeader` conditions of a destination. HAProxy takes 64 words in a `use_backend` line.
"""

MAX_TIMEOUT_S = 2_147_483
"""
Longest time-out in seconds; HAProxy counts milliseconds in 31 bits.
"""

MAX_CONDITIONS = 16
"""
Most `condition` items of a destination: each is a call on the request path.
"""

HTTP_PORT, HTTPS_PORT = 80, 443
"""
What `srcPort` and `srcHttpsPort` are with `httpsPort` when they are not given.
"""

_MODES = ("http", "tcp", "sni")
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,7}(\.[0-9]{1,3})?", re.ASCII)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)  # RFC 9110 section 5.6.2
_PLUGIN_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


__all__ = ["Reading", "name_of", "read"]


def name_of(query: Sequence[tuple[str, str]], form: Sequence[tuple[str, str]]) -> str:
    """
    The `serviceName` of a call, or an empty string. Never raises; the name is not checked.
    """
    return Given(query, form).text("serviceName")


FOREIGN = "not published here: FILTER_PROXY_INSTANCE_NAME wants proxyInstanceName="
"""
Told of a service that is for another instance of the proxy; the name of ours follows.
"""


def read(
    query: Sequence[tuple[str, str]],
    form: Sequence[tuple[str, str]],
    settings: Settings,
    parse_balance: Callable[[str], Balance],
    check_condition: Callable[[Condition], object] = bool,
    read_template: Callable[[str], str] = unreadable,
) -> Reading:
    """
    Read the parameters of one call.

    Args:
        query: decoded pairs of the query, in their order.
        form: decoded pairs of a form body; the query goes before it.
        settings: for the separator and what holds without a parameter.
        parse_balance: reads a `balance` value; raises `InvalidBalance`.
        check_condition: sees that there is such a condition; raises `InvalidRoute`.
        read_template: the text of a file; raises `dfproxy.dfp.gotemplate.InvalidTemplate`.

    Raises:
        InvalidService: with every problem. `nothing_to_route` if there is only neither path nor domain (409).
    """
    reading = _Reader(Given(query, form), settings, parse_balance, check_condition, read_template).read()
    unknown = slips(name for name, _ in (*query, *form))
    return replace(reading, notes=(*reading.notes, *unknown)) if unknown else reading


class _Reader:
    """
    One reading. Collects problems instead of stopping at the first one.
    """

    def __init__(
        self,
        given: Given,
        settings: Settings,
        parse_balance: Callable[[str], Balance],
        check_condition: Callable[[Condition], object],
        read_template: Callable[[str], str],
    ) -> None:
        self.given = given
        self.settings = settings
        self.parse_balance = parse_balance
        self.check_condition = check_condition
        self.read_template = read_template
        self.separator = settings.separator or ","
        self.problems: dict[Problem, None] = {}  # ordered, each once: a fall-back value is read for each destination
        self.mandatory: dict[Problem, None] = {}  # rows 1, 3 and 4 of DFP's list, and values that are no text
        self.unrouted: dict[int, Problem] = {}  # row 2, by destination
        self.later: dict[Problem, None] = {}
        self.unusable: set[Value] = set()
        self.raw = RawText()

    def read(self) -> Reading:
        given = self.given
        if not given.value("serviceName"):
            self.mandatory[Problem("serviceName", "", "is missing; give the name of the service")] = None
        self.modes = {index: self.mode(index) for index in given.indexes}
        for row, _, value in given:
            self.check(row, value)
        name = self.name("serviceName")
        order_name = self.name("aclName") or name
        self.raw = self.raw_text()
        steps = StepsReader(self, name)
        self.templated = templated(self, self.destinations(name, order_name, steps), order_name)
        destinations = self.templated.destinations
        balance = self.balance()
        replicas = self.replicas()
        withdraws = replicas == 0 or self.is_foreign()
        self.refuse(withdraws)
        certificate, parameters = self.certificate(name)
        service = Service(name, order_name, destinations, balance, given.flag("isDefaultBackend"), parameters)
        shown = answers.service_object(given, self.settings)
        if withdraws:
            foreign = (f"{FOREIGN}{self.settings.instance_name}",) if self.is_foreign() else ()
            return Reading(name, None, True, shown, given.flag("distribute"), notes=foreign)
        return Reading(name, service, False, shown, given.flag("distribute"), certificate, self.notes())

    def refuse(self, withdraws: bool) -> None:
        """
        Raise if anything is wrong.

        A service that is to go needs only what DFP asks for: what else is wrong with it no longer matters. A service
        without route has no effects, so what is not supported yet does not matter there.
        """
        relevant = {} if withdraws else self.problems
        if self.given.indexes[0] in self.unrouted and not self.mandatory and not relevant:
            raise InvalidService(_with_examples(self.unrouted.values()), nothing_to_route=True)
        later = {} if withdraws else self.later
        problems = (*self.mandatory, *self.unrouted.values(), *relevant, *later)
        if problems:
            raise InvalidService(_with_examples(problems))

    # --- any value ---

    def problem(self, name: str, index: int, reason: str) -> None:
        """
        Note what is wrong with a value.
        """
        self.problems[self.about(name, index, reason)] = None

    def about(self, name: str, index: int, reason: str) -> Problem:
        value = self.given.value(name, index)
        return Problem(self.given.spelled(name, index), _echo(BY_NAME[name], value), reason)

    def check(self, row: Parameter, value: Value) -> None:
        """
        What holds for every value: its size, its characters, and whether it works yet.
        """
        if len(value.text) > row.limit_chars:
            reason = f"is too long: {len(value.text)} characters of at most {row.limit_chars}"
        elif row.kind == "list" and _count(value.text, self.separator) > LIST_ITEMS:
            reason = f"has too many items: {_count(value.text, self.separator)} of at most {LIST_ITEMS}"
        elif not _is_text(value.text, row.lines):
            reason = "must be UTF-8 without control characters, such as line breaks"
        else:
            if self.has_effect(row, value):
                self.later[Problem(value.spelled, _echo(row, value), row.refusal)] = None
            return
        self.unusable.add(value)
        self.mandatory[Problem(value.spelled, _echo(row, value), reason)] = None

    def has_effect(self, row: Parameter, value: Value) -> bool:
        """
        Whether this is a value of something that comes later and would do something.
        """
        if row.supported or (row.only_with and not any(self.given.text(name) for name in row.only_with)):
            return False
        # A value without index counts nowhere if every destination has its own.
        where = [index for index in self.given.indexes if self.given.value(row.name, index) is value]
        if not any(self.modes[index] in row.modes for index in where):
            return False
        if row.kind == "flag":
            return flag(row, value.text)
        if row.kind == "number":
            return (integer(value.text) or 0) > 0
        return value.text.lower() not in row.harmless and any(items(value.text, self.separator))

    def text(self, name: str, index: int = 0) -> str:
        """
        A value that may be worked with; empty if there is none.
        """
        value = self.given.value(name, index)
        if value and value.text:
            return value.text if value not in self.unusable else ""
        return self.raw.parameters.get(name, "")

    def words(self, name: str, index: int) -> list[str]:
        """
        The words of a list, of which there must be one if it is given at all.
        """
        found = words(self.text(name, index), self.separator)
        if self.text(name, index) and not found:
            self.problem(name, index, "lists nothing; give a value or leave it out")
        return found

    # --- the service ---

    def name(self, parameter: str) -> str:
        """
        `serviceName` and `aclName`: what may stand in a name.
        """
        text = self.text(parameter)
        if any(character.isspace() or character == "/" for character in text):
            self.lacks(parameter, 0, "must not hold blanks or slashes")
        return text

    def replicas(self) -> int | None:
        """
        None for a global service. In DFP text that is no number took the service away.
        """
        text = self.text("replicas")
        found = integer(text) if text else None
        if text and found is None:
            self.problem("replicas", 0, "must be a whole number; 0 takes the service away")
        return found

    def certificate(self, name: str) -> tuple[tuple[str, bytes] | None, tuple[tuple[str, str], ...]]:
        """
        `serviceCert` as a file, and all parameters with its digest in its place: a key is kept nowhere but in its file.

        The file is called as the first domain of the first destination, else as the service (DFP).
        """
        parameters = self.given.parameters()
        text = self.text("serviceCert").replace("\\n", "\n")
        if not text or text.startswith(DIGEST):
            return None, parameters
        domains = words(self.text("serviceDomain", self.given.indexes[0]), self.separator)
        content = text.encode()
        digest = DIGEST + sha256(content).hexdigest()
        kept = tuple((key, digest if key == "serviceCert" else value) for key, value in parameters)
        return ((domains[0] if domains else name).lstrip("."), content), kept

    def is_foreign(self) -> bool:
        """
        Whether the service is for another instance. DFP left a former definition in force; here it goes (contract 8.5).
        """
        settings = self.settings
        return settings.filter_instances and self.text("proxyInstanceName").lower() != settings.instance_name.lower()

    def balance(self) -> Balance:
        text = self.text("balance")
        written = self.templated.balance or self.raw.balance
        if written is not None:
            return written
        if not text:
            return self.settings.balance
        try:
            return self.parse_balance(text)
        except InvalidBalance as error:
            self.problem("balance", 0, str(error))
            return self.settings.balance

    def notes(self) -> tuple[str, ...]:
        """
        What of the parameters has no effect, and why.
        """
        found = [f"backendExtra: {note}" for note in self.raw.notes] + list(dict.fromkeys(self.templated.notes))
        for row, _, value in self.given:
            # DFP takes these for what they are not, and stacks have them: they are told, not refused.
            if row.kind == "flag" and not is_flag(row, value.text):
                reason = "is neither true nor false and counts as false"
            elif row.kind == "number" and row.name != "replicas" and integer(value.text) is None:
                reason = "is no number and counts as none"
            elif row.name == "serviceHeader" and (dropped := self.dropped(value)):
                found.append(f"{value.spelled}: {dropped} of its items have not exactly one ':' and are ignored")
                continue
            else:
                continue
            found.append(f"{value.spelled}: {_echo(row, value)!r} {reason} (for example {example_of(value.spelled)})")
        return (*found, *impossible_paths(self.templated.destinations))

    def dropped(self, value: Value) -> int:
        """
        How many items of a `serviceHeader` are none (`dfproxy.dfp.criteria.headers`).
        """
        return sum(item.count(":") != 1 for item in items(value.text, self.separator) if item.strip())

    def raw_text(self) -> RawText:
        """
        `backendExtra`, which says more than parameters can.
        """
        settings = self.settings
        surroundings = Surroundings(dict(settings.environment))
        text = self.text("backendExtra")
        found = read_raw(text, "backend", surroundings, self.parse_balance, settings.errorfiles_dir)
        for problem in found.problems:
            self.problem("backendExtra", 0, problem)
        return found

    # --- a destination ---

    def mode(self, index: int) -> str:
        return self.given.text("reqMode", index).lower() or "http"

    def destinations(self, name: str, order_name: str, steps: StepsReader) -> tuple[Destination, ...]:
        """
        Those for the https port first: what no route takes never goes there (DFP's `default_backend`).
        """
        plain, secure = [], []
        for index in self.given.indexes:
            destination = self.destination(index, name, order_name)
            https_port = self.https_port(index)
            if self.modes[index] == "http":
                if https_port:
                    secure.append(self.secure(destination, https_port, order_name, steps))
                destination = replace(destination, steps=steps.steps(index, destination.match, False))
            else:
                for parameter in ("allowFrom", "denyFrom"):
                    if self.text(parameter, index):  # to pass over it would let everybody in
                        self.problem(parameter, index, "works with reqMode=http only")
            if destination.port or not https_port:
                plain.append(destination)
        return (*secure, *plain)

    def destination(self, index: int, name: str, order_name: str) -> Destination:
        endpoints = self.endpoints(index)
        port = self.port(index) or (endpoints[0].port if endpoints else 0)
        self.check_mandatory(index, port)
        host = self.host(index) or name
        stream = read_stream(self, index, self.modes[index]) if self.modes[index] in ("tcp", "sni") else None
        match = Match() if stream else self.match(index)
        return Destination(
            index,
            port,
            match,
            host,
            f"{order_name}-be{port}_{index}",
            endpoints,
            self.raw.times_s.get("timeout server", self.seconds("timeoutServer", index)),
            self.raw.times_s.get("timeout tunnel", self.seconds("timeoutTunnel", index)),
            tls=server_tls(self, index, host) if self.modes[index] == "http" else None,
            announce=announce(self, index),
            stream=stream,
            resilience=resilience(self, index),
            check=check(self, index, match, stream is not None, self.settings.limits.connect_timeout_s),
            slow_start_s=slow_start_s(self, index),
        )

    def secure(self, plain: Destination, port: int, order_name: str, steps: StepsReader) -> Destination:
        """
        The destination for what came in on the https port: the same servers on another port of theirs.
        """
        index = plain.index
        match = replace(plain.match, local_port=self.local_port(index, "srcHttpsPort") or HTTPS_PORT)
        return replace(
            plain,
            index=HTTPS_INDEX + index,
            port=port,
            match=match,
            backend_name=f"https-{order_name}-be{port}_{index}",
            endpoints=tuple(replace(endpoint, port=port) for endpoint in plain.endpoints),
            steps=steps.steps(index, match, True, alone=not plain.port),
        )

    def https_port(self, index: int) -> int:
        port = self.given.number("httpsPort", index)
        if port > 65535:
            self.problem("httpsPort", index, "must be a port, 1 to 65535")
            return 0
        return port

    def check_mandatory(self, index: int, port: int) -> None:
        """
        Rows 2 to 4 of DFP's list, but for every destination: DFP looked at the first only.
        """
        given, mode = self.given, self.modes[index]
        if mode not in _MODES:
            self.problem("reqMode", index, "must be http, tcp or sni")
        elif mode != "http":
            if given.number("srcPort", index) == 0:
                self.lacks("srcPort", index, f"must be the port to listen on with reqMode={mode}")
        elif not given.value("servicePath", index) and not given.value("serviceDomain", index):
            reason = "is missing; give servicePath or serviceDomain"
            self.unrouted[index] = Problem(given.spelled("servicePath", index), "", reason)
            return
        if not port and not given.value("port", index) and not given.number("httpsPort", index):
            self.lacks("port", index, "is missing; give the port that the servers listen on")

    def lacks(self, name: str, index: int, reason: str) -> None:
        self.mandatory[self.about(name, index, reason)] = None

    def match(self, index: int) -> Match:
        paths, excluded = self.paths(index)
        return Match(
            paths,
            excluded,
            self.hosts(index),
            self.headers(index),
            tuple(word.encode().lower() for word in self.words("userAgent", index)),
            self.local_port(index),
            self.conditions(index),
        )

    def paths(self, index: int) -> tuple[tuple[PathPattern, ...], tuple[PathPattern, ...]]:
        try:
            kind = path_criterion(self.text("pathType", index))
        except ValueError as error:
            self.problem("pathType", index, str(error))
            return (), ()
        found = []
        for name in ("servicePath", "servicePathExclude"):
            wanted = self.words(name, index) if name == "servicePath" else words(self.text(name, index), self.separator)
            if name == "servicePath" and not self.given.value(name, index) and self.given.value("serviceDomain", index):
                wanted = ["/"]
            try:
                found.append(path_patterns(wanted, kind))
            except ValueError as error:
                self.problem(name, index, str(error))
                found.append(())
        return found[0], found[1]

    def hosts(self, index: int) -> tuple[HostPattern, ...]:
        asked = "serviceDomainAlgo"
        if not self.given.value("serviceDomain", index) and not self.text(asked):
            return ()
        text = MATCH_ALL if self.given.flag("serviceDomainMatchAll") else self.text(asked) or self.settings.host_form
        try:
            form = host_form(text)
        except ValueError as error:
            self.problem(asked, 0, str(error))
            return ()
        try:
            return host_patterns(self.words("serviceDomain", index), form)
        except ValueError as error:
            self.problem("serviceDomain", index, str(error))
            return ()

    def headers(self, index: int) -> tuple[tuple[bytes, bytes], ...]:
        found = headers(self.text("serviceHeader", index), self.separator)
        if len(found) > MAX_HEADERS:
            self.problem("serviceHeader", index, f"may have {MAX_HEADERS} items, this has {len(found)}")
            return ()
        for name, value in found.items():
            if not _TOKEN.fullmatch(name):
                self.problem("serviceHeader", index, f"{name[:40]!r} is no name of a header")
            elif not value:
                self.problem("serviceHeader", index, f"{name[:40]} needs a value, as in {name[:40]}:3")
        return tuple((name.encode().lower(), value.encode()) for name, value in found.items())

    def conditions(self, index: int) -> tuple[Condition, ...]:
        found = [item for item in items(self.text("condition", index), self.separator) if item]
        if len(found) > MAX_CONDITIONS:
            self.problem("condition", index, f"may have {MAX_CONDITIONS} items, this has {len(found)}")
            return ()
        conditions = []
        for item in found:
            name, colon, values = item.partition(":")
            if not _PLUGIN_NAME.fullmatch(name.strip()) or name.strip() == FRONT_LINES:
                self.problem("condition", index, f"{item[:40]!r} is no condition; write name or name:value|value")
                continue
            condition = Condition(name.strip(), tuple(values.split("|")) if colon else ())
            try:
                self.check_condition(condition)
            except InvalidRoute as error:
                self.problem("condition", index, str(error))
            conditions.append(condition)
        return tuple(conditions)

    def local_port(self, index: int, name: str = "srcPort") -> int:
        """
        The port that clients connect to; with `httpsPort` 80 unless something else is given.
        """
        port = self.given.number(name, index)
        if port > 65535:
            self.problem(name, index, "must be a port, 1 to 65535")
        return port or (HTTP_PORT if name == "srcPort" and self.given.number("httpsPort", index) else 0)

    def port(self, index: int) -> int:
        """
        0 if there is none, or none that can be used.
        """
        text = self.text("port", index)
        if not text:
            return 0
        if not _PORT.fullmatch(text) or not 1 <= int(text) <= 65535:
            self.problem("port", index, "must be a port, 1 to 65535")
            return 0
        return int(text)

    def host(self, index: int) -> str:
        text = self.text("outboundHostname", index)
        if text and not is_host(text):
            self.problem("outboundHostname", index, "must be a host name or an IP address")
        return text

    def seconds(self, name: str, index: int) -> float | None:
        text = self.text(name, index)
        if not text:
            return None
        if not _SECONDS.fullmatch(text) or not 0 < float(text) <= MAX_TIMEOUT_S:
            self.problem(name, index, f"must be seconds above 0, at most {MAX_TIMEOUT_S}")
            return None
        return float(text)

    def endpoints(self, index: int) -> tuple[Endpoint, ...]:
        found: dict[tuple[str, int], Endpoint] = {}
        for item in words(self.text("endpoints", index), self.separator):
            found_one = endpoint(item)
            if found_one is None:
                right = f"write host:port or host:port*weight (0 to {MAX_WEIGHT})"
                self.problem("endpoints", index, f"{item[:60]!r} is no server; {right}")
                return ()
            if (found_one.host, found_one.port) in found:
                self.problem("endpoints", index, f"{item[:60]!r} is listed twice; use a weight instead")
            found[found_one.host, found_one.port] = found_one
        if found and not any(endpoint.weight for endpoint in found.values()):
            self.problem("endpoints", index, "gives every server the weight 0")
        return tuple(found.values())


def _with_examples(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """
    Each with a right value of the parameter, as the caller spelled it.
    """
    return tuple(replace(problem, example=example_of(problem.parameter)) for problem in problems)


def _count(text: str, separator: str) -> int:
    """
    How many items a list has at most, empty ones included.
    """
    return 1 + text.count(separator) + (text.count(" ") if separator != " " else 0)


def _is_text(text: str, lines: bool) -> bool:
    """
    Whether every character is one: no surrogate (what was not UTF-8), no control character.

    Args:
        lines: line breaks and tabs are fine.
    """
    return text.isprintable() or not any(
        unicodedata.category(character) in ("Cc", "Cs") and not (lines and character in "\r\n\t") for character in text
    )


def _echo(row: Parameter, value: Value | None) -> str:
    """
    What a refusal repeats of a value: a beginning, no secret, and nothing that is no text.
    """
    if value is None or row.secret or row.quiet:
        return ""
    text = value.text.encode("utf-8", "replace").decode()
    return text if len(text) <= ECHOED_CHARS else text[:ECHOED_CHARS] + "..."
