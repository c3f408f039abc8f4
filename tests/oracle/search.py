"""
Looks for a request that dfproxy and HAProxy treat differently, and counts what has been tried.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from itertools import combinations
from urllib.parse import urlencode

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from dfproxy.dfp.parameters import TABLE
from dfproxy.dfp.reconfigure import read
from dfproxy.model.match import Match
from dfproxy.model.service import Balance
from dfproxy.model.settings import Settings
from tests.oracle import words
from tests.oracle.asked import Asked
from tests.oracle.drawing import Definition, Drawing
from tests.oracle.sides import HOUSES, Made, Sides
from tests.unit.routing import naive

REQUESTS = 12
"""Requests of one example, which is one table."""

LEAST = 30
"""How often everything must have occurred in `LONG` examples."""

LONG = 2000

SHARES = {"plain": 0.6, "strict": 0.3, "closing": 0.1}
"""Which part of the examples each house gets."""

NEAR_KINDS = ("character", "case", "port", "slash")

PATH_GROUPS = {
    "path_beg": "beginning", "": "beginning", "path": "whole", "path_end": "end", "path_sub": "part",
    "path -m sub": "part", "path_dir": "word", "path_dom": "word", "path_len": "length", "path_reg": "regex",
}  # fmt: skip
HOST_GROUPS = {"hdr_beg(host)": "beginning", "": "beginning", "hdr(host)": "whole", "hdr_dir(host)": "whole"}


class Different(AssertionError):
    """
    The two have not made the same of a request.
    """


@dataclass
class Tried:
    """
    How often each thing occurred.

    Attributes:
        parameters: examples with this parameter in a service.
        path_types: with this `pathType`.
        domain_forms: with this `serviceDomainAlgo`, or a wildcard.
        overlaps: requests that two services take, by what their paths, or domains, are compared by.
        near: requests that just miss, by what was changed.
        answers: by status, or how they came about.
        requests: all of them.
    """

    parameters: Counter[str] = field(default_factory=Counter)
    path_types: Counter[str] = field(default_factory=Counter)
    domain_forms: Counter[str] = field(default_factory=Counter)
    overlaps: Counter[str] = field(default_factory=Counter)
    near: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    examples: int = 0
    requests: int = 0

    def note_table(self, definitions: list[Definition]) -> None:
        """
        One more table.
        """
        self.examples += 1
        names = {name.partition(".")[0] for each in definitions for name in each}
        self.parameters.update(names)
        values = [(name.partition(".")[0], value) for each in definitions for name, value in each.items()]
        self.path_types.update({value for name, value in values if name == "pathType"})
        forms = {value for name, value in values if name == "serviceDomainAlgo"}
        forms |= {"*" for name, value in values if name == "serviceDomain" and "*" in value}
        self.domain_forms.update(forms)

    def shortfalls(self) -> list[str]:
        """
        What occurred too seldom.
        """
        found = []
        for title, wanted, counter in self._tables():
            found += [f"{title} {name}: {counter[name]}" for name in wanted if counter[name] < LEAST]
        if 2 * self.near.total() < self.requests:
            found.append(f"near misses: {self.near.total()} of {self.requests} requests")
        return found

    def report(self) -> Iterator[str]:
        """
        Lines to print.
        """
        yield f"{self.examples} examples, {self.requests} requests, {self.near.total()} of them near misses"
        for title, wanted, counter in self._tables():
            yield f"{title}: " + ", ".join(f"{name} {counter[name]}" for name in wanted)
        yield "answers: " + ", ".join(f"{name} {count}" for name, count in sorted(self.answers.items()))
        yield "different on purpose: " + "; ".join(f"{name}: {why}" for name, why in words.INTENDED.items())

    def _tables(self) -> Iterator[tuple[str, tuple[str, ...], Counter[str]]]:
        drawn = tuple(row.name for row in TABLE if row.name not in words.NOT_DRAWN)
        yield "parameter", drawn, self.parameters
        yield "path type", words.PATH_FORMS, self.path_types
        yield "domain form", (*words.HOST_FORMS, "*"), self.domain_forms
        yield "near miss", NEAR_KINDS, self.near
        paths = sorted({*PATH_GROUPS.values(), "url", "no case"})
        hosts = ("any", "beginning", "other", "whole", "wildcard")
        pairs = [f"path {one}+{other}" for one, other in _pairs(paths)]
        pairs += [f"domain {one}+{other}" for one, other in _pairs(hosts)]
        yield "overlap", tuple(pairs), self.overlaps


def added(one: Tried, other: Tried) -> Tried:
    """
    What two looks have tried together.
    """
    return Tried(**{each.name: getattr(one, each.name) + getattr(other, each.name) for each in fields(Tried)})


def _pairs(names: list[str] | tuple[str, ...]) -> list[tuple[str, str]]:
    return [*((name, name) for name in names), *combinations(sorted(names), 2)]


# --- what overlaps -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Taker:
    """
    A destination, to count which of them would take a request. Asked in plain words that no table shares.
    """

    service: str
    match: Match
    path: str
    host: str


def takers_of(definitions: list[Definition], chosen: Settings) -> list[Taker]:
    """
    Every route.
    """
    found = []
    for each in definitions:
        service = read(list(each.items()), (), chosen, lambda text: Balance(text.partition(" ")[0])).service
        assert service is not None
        for destination in service.destinations:
            mark = f".{destination.index}" if f"servicePath.{destination.index}" in each else ""
            form = each.get(f"pathType{mark}", "")
            path = "url" if form.startswith("url") else "no case" if "-i" in form else PATH_GROUPS[form]
            domain = each.get(f"serviceDomain{mark}", "")
            host = HOST_GROUPS.get(each.get("serviceDomainAlgo", ""), "other") if domain else "any"
            found.append(Taker(service.name, destination.match, path, "wildcard" if "*" in domain else host))
    return found


def overlaps_of(takers: list[Taker], request: Asked) -> set[str]:
    """
    Kinds of pairs of services that would both take this request.
    """
    pairs = [line.partition(": ") for line in request.lines]
    asked = naive.Request(
        request.target.partition("?")[0].encode(),
        request.host.encode(),
        request.target.encode(),
        local_port=request.port,
        fields=tuple((name.lower().encode(), value.encode()) for name, _, value in pairs),
    )
    taking = [taker for taker in takers if naive.holds(taker.match, asked, {})]
    found = set()
    for one, other in combinations(taking, 2):
        if one.service != other.service:
            found.add("path " + "+".join(sorted((one.path, other.path))))
            found.add("domain " + "+".join(sorted((one.host, other.host))))
    return found


# --- the search --------------------------------------------------------------------------------------------------


def same(ours: Made, theirs: Made, request: Asked) -> bool:
    """
    Whether the two have made the same of it.
    """
    if ours.seen and ours.server != theirs.server and not _is_bound(request, ours):
        ours, theirs = _without(ours, "set-cookie"), _without(theirs, "set-cookie")
    if "Accept-Encoding: *" in request.lines:
        ours, theirs = _without(ours, "content-encoding"), _without(theirs, "content-encoding")
    return replace(ours, server=0) == replace(theirs, server=0)


def _is_bound(request: Asked, made: Made) -> bool:
    """
    Whether its cookie says which server of the service that answered.
    """
    name = made.seen[0].partition("#")[0]
    return any(re.search(rf"Cookie: (?:.*; )?{name}={name}_[01](?:;|$)", line) for line in request.lines)


def _without(made: Made, field_name: str) -> Made:
    """
    With the presence of this field, but not its value; of a cookie its name. See `words.INTENDED`: turn, any coding.
    """
    kept = [(name, value.partition("=")[0] if name == "set-cookie" else "") for name, value in made.fields]
    return replace(
        made, fields=tuple(short if short[0] == field_name else pair for pair, short in zip(made.fields, kept))
    )


def compare(sides: Sides, drawing: Drawing, tried: Tried) -> None:
    """
    One table, and its requests.

    Raises:
        Different: with all that is needed to see why.
    """
    sides.publish(drawing.definitions)
    tried.note_table(drawing.definitions)
    takers = takers_of(drawing.definitions, Settings())
    for number in range(REQUESTS):
        request = drawing.request(near=number % 2 == 1)
        ours, theirs = sides.ask(request)
        tried.requests += 1
        if request.near:
            tried.near[request.near] += 1
        tried.answers[f"{ours.status}{'' if ours.seen else ' own'}"] += 1
        tried.overlaps.update(overlaps_of(takers, request))
        if not same(ours, theirs, request):
            raise Different(told(sides, smaller(sides, drawing.definitions, request), request))


def smaller(sides: Sides, definitions: list[Definition], request: Asked) -> list[Definition]:
    """
    Without services and parameters that the difference does not need.
    """

    def differs(candidate: list[Definition]) -> bool:
        try:
            sides.publish(candidate)
        except AssertionError:
            return False
        return not same(*sides.ask(request), request)

    for each in list(definitions):
        rest = [other for other in definitions if other is not each]
        if rest and differs(rest):
            definitions = rest
    for place, each in enumerate(definitions):
        for name in list(each):
            less = {key: value for key, value in definitions[place].items() if key != name}
            candidate = [*definitions[:place], less, *definitions[place + 1 :]]
            if name != "serviceName" and differs(candidate):
                definitions = candidate
    return definitions


def told(sides: Sides, definitions: list[Definition], request: Asked) -> str:
    """
    A difference in words.
    """
    text = sides.publish(definitions)
    ours, theirs = sides.ask(request)
    calls = "\n".join(urlencode(each) for each in definitions)
    return (
        f"\n{calls}\n{request.raw!r} to port {request.port} from {request.client} ({request.near or 'no'} near miss)\n"
        f"dfproxy {ours}\nHAProxy {theirs}\n{text}"
    )


def search(haproxy: str, examples: int, number: int = 0, houses: tuple[str, ...] = tuple(HOUSES)) -> Tried:
    """
    Draw and compare.

    Args:
        haproxy: path of the program.
        examples: how many tables, of all houses together.
        number: another number draws others.

    Raises:
        Different: the two differ.
    """
    tried = Tried()
    for house in houses:
        sides = Sides(haproxy, house)
        try:
            _search(sides, max(round(examples * SHARES[house]), 1), number, tried)
        finally:
            sides.end()
    return tried


def _search(sides: Sides, examples: int, number: int, tried: Tried) -> None:
    @seed(number)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=False))
    def example(chance: random.Random) -> None:
        compare(sides, Drawing(chance, sides.place), tried)

    example()
