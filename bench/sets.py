"""
The four sets of 10,000 services: what Swarm operators have, and what makes tables slow.

Deterministic: the same services in each run. In each set three routes are asked for, which nothing before them shadows:
the first, the middle and the last in the order in which the proxy looks at them (byte order of names, services with the
path `/` after all others).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from bench.api import Published

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789-"
REGEX_ROUTES = 200

# Nothing that is made at random begins with its first letter: a prefix form cannot shadow what is asked for.
OWN = "zz."


@dataclass(frozen=True, slots=True)
class ServiceSet:
    """
    Services, and the requests that are measured.

    Attributes:
        name: as tables call it.
        services: in the order they are published.
        asked: place to the service that a request there takes.
        unmatched: target and host of a request that no service takes.
    """

    name: str
    services: tuple[Published, ...]
    asked: tuple[tuple[str, Published], ...]
    unmatched: tuple[str, str]


def _word(random: Random, length: int) -> str:
    return random.choice(LETTERS[:25]) + "".join(random.choice(LETTERS) for _ in range(length - 1))


def _distinct(make: Callable[[int], str], lengths: range, count: int, random: Random) -> list[str]:
    """
    Different texts of all the lengths; where the short ones are used up, longer ones.
    """
    found: dict[str, None] = {}
    tries = 0
    while len(found) < count:
        length = lengths[len(found) % len(lengths)] if tries < 20 else random.choice(lengths[len(lengths) // 2 :])
        before = len(found)
        found.setdefault(make(length))
        tries = 0 if len(found) > before else tries + 1
    return list(found)


def _by_path(name: str, path: str) -> Published:
    return Published(name, (("servicePath", path),), f"{path}")


def _by_domain(name: str, domain: str, path: str = "/") -> Published:
    host = domain.replace("*", "any", 1)
    return Published(name, (("serviceDomain", domain), ("servicePath", path)), f"{path}", host)


def _paths(count: int, random: Random) -> list[Published]:
    texts = _distinct(lambda n: "/" + _word(random, n - 1), range(2, 61), count, random)
    return [_by_path(f"path-{i:05}", text) for i, text in enumerate(texts)]


def _domains(count: int, random: Random, path: str = "/") -> list[Published]:
    texts = _distinct(lambda n: f"{_word(random, n - 3)}.io", range(5, 61), count, random)
    # One in ten is a wildcard.
    return [_by_domain(f"site-{i:05}", f"*.{text}" if i % 10 == 9 else text, path) for i, text in enumerate(texts)]


def _placed(services: list[Published], make: Callable[[str, str], Published]) -> list[tuple[str, Published]]:
    """
    Routes that are asked for, with names that sort before, amid and after those of the services.
    """
    names = sorted(service.name for service in services)
    middle = f"{names[len(names) // 2]}-middle"
    return [
        (place, make(name, place)) for place, name in (("first", "00-first"), ("middle", middle), ("last", "zz-last"))
    ]


def make_sets(count: int) -> list[ServiceSet]:
    """
    The sets.

    Args:
        count: services of each.
    """
    sets = []
    random = Random(1)

    services = _paths(count - 3, random)
    asked = _placed(services, lambda name, place: _by_path(name, f"/{OWN}{place}/of/a/usual/length"))
    sets.append(
        ServiceSet("paths", (*services, *(s for _, s in asked)), tuple(asked), (f"/{OWN}none/of/them", "bench"))
    )

    services = _domains(count - 3, random)
    asked = _placed(services, lambda name, place: _by_domain(name, f"{OWN}{place}.usual.example.com"))
    everything = (*services, *(s for _, s in asked))
    sets.append(ServiceSet("domains", everything, tuple(asked), ("/", f"{OWN}none.example.com")))

    half = (count - 3 - REGEX_ROUTES) // 2 if count > 2 * REGEX_ROUTES else (count - 3) // 3
    regexes = min(REGEX_ROUTES, count // 3)
    services = _paths(half, random) + _domains(half, random)
    for i in range(regexes):
        path = f"^/re{i}/[0-9]+/{_word(random, 6)}$"
        services.append(Published(f"regex-{i:05}", (("servicePath", path), ("pathType", "path_reg")), "/"))
    asked = _placed(services, lambda name, place: _by_path(name, f"/{OWN}{place}/of/a/usual/length"))
    everything = (*services, *(s for _, s in asked))
    sets.append(ServiceSet("mixed, 200 regex", everything, tuple(asked), (f"/{OWN}none", "bench")))

    hosts = _distinct(lambda n: f"{_word(random, n - 3)}.io", range(5, 61), max(1, (count - 3) // 10), random)
    services = []
    for i, host in enumerate(hosts):
        for j in range(10):
            services.append(_by_domain(f"site-{i:05}-{j}", host, f"/area{j}/"))
    asked = _placed(services, lambda name, place: _by_domain(name, f"{OWN}{place}.usual.example.com", "/area5/"))
    everything = (*services, *(s for _, s in asked))
    sets.append(ServiceSet("domains x 10 paths", everything, tuple(asked), ("/area5/", f"{OWN}none.example.com")))
    return sets
