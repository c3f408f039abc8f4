"""
Which routes never get a request because another one before them takes it.

An index of its own beside the tables: it asks "what lies within this pattern", where a table asks "what takes this
request". A service is compared only with those whose path or host can lie within, or around, one of its own; so the
work of a change does not grow with the number of services. Who owns one keeps it in step with what is in force; a
service that is not in it may be asked about as well.

Source: DFP's alphabetical order, in which `/digital` takes what `/digitalproduct` was published for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from dfproxy.model.match import HostPattern, Match, PathPattern
from dfproxy.model.service import Route, Service
from dfproxy.routing.covering import covers_host, covers_path, covers_rest, lets_pass
from dfproxy.routing.matcher import DOMAIN, shown, without_port
from dfproxy.routing.texts import Texts

LOOKED_AT = 5000
"""
Routes compared with those of one service at most; past it the answer says that it is not complete. A comparison takes
some 2 µs, and only who shadows thousands comes here.
"""

COMPARED = 10
"""
A comparison takes as long as so many routes of which only the place in the order is looked at.
"""

HOSTS = 2000
"""
Domains gone through one by one; with more of them the paths lead to the routes.
"""

LABELS = 32
"""
Parts of a domain that are looked at; DNS allows 127, people use six.
"""

FOUND = 20
"""
Shadows told of in each direction; more are counted only.
"""

Key = Callable[[Route], tuple[Any, ...]]
HostKey = tuple[str, bytes]

EVERY_PATH = b"/"
ODD = b""
"""
Where paths are that are neither a beginning nor a whole path.
"""

ANY_HOST: HostKey = ("any", b"")
ODD_HOST: HostKey = ("other", b"")
"""
Likewise for hosts.
"""

_DOTTED = bytes.maketrans(DOMAIN, b"." * len(DOMAIN))


@dataclass(frozen=True, slots=True)
class Shadow:
    """
    A route that gets nothing of what it was published for, or not for some of its paths and domains.

    Attributes:
        winner: the route that is before it and takes what it would take.
        loser: the route that is behind.
        paths: the paths of the loser that are lost; empty: it asks for no path.
        hosts: the domains of the loser for which they are; empty: it asks for none.
        whole: it never gets any request.
    """

    winner: Route
    loser: Route
    paths: tuple[PathPattern, ...]
    hosts: tuple[HostPattern, ...]
    whole: bool

    def text(self) -> str:
        """
        A sentence for an operator.
        """
        lost = " or ".join(shown(path.value) for path in self.paths[:5]) or "anything"
        if self.hosts:
            lost += " of " + " or ".join(shown(host.value) for host in self.hosts[:5])
        loser, winner = self.loser.destination.backend_name, self.winner
        match = winner.destination.match
        taken = " or ".join(shown(path.value) for path in match.paths[:5]) or "anything"
        if match.hosts:
            taken += " of " + " or ".join(shown(host.value) for host in match.hosts[:5])
        never = "never gets a request" if self.whole else f"never gets requests for {lost}"
        return f"{loser} {never}: {winner.destination.backend_name} ({taken}) is before it and takes them"


@dataclass(frozen=True, slots=True)
class Shadows:
    """
    What is known of one service.

    Attributes:
        over: routes of other services, or of its own, that are before its routes and take their requests.
        under: routes of other services that its routes take requests from.
        complete: False: there is more than is listed.
    """

    over: tuple[Shadow, ...] = ()
    under: tuple[Shadow, ...] = ()
    complete: bool = True

    def texts(self) -> list[str]:
        """
        A sentence for each.
        """
        return [shadow.text() for shadow in (*self.over, *self.under)]


class _Placed:
    """
    A route and its place in the order.
    """

    __slots__ = ("hosts", "match", "paths", "rank", "route")

    def __init__(self, route: Route, key: tuple[Any, ...]) -> None:
        self.route = route
        self.match = match = route.destination.match
        self.paths = _path_keys(match)
        self.hosts = _host_keys(match)
        self.rank = (key, route.service.name, route.destination.place)


class ShadowIndex:
    """
    Every route in force, by what can lie within it or around it.

    Args:
        key: an `IRouteOrderFactory`'s `key`: who is before whom.
    """

    def __init__(self, key: Key) -> None:
        self._key = key
        self._services: dict[str, tuple[_Placed, ...]] = {}
        self._paths: Texts[_Placed] = Texts()  # of all routes, whatever their host
        self._by_host: dict[HostKey, Texts[_Placed]] = {}  # by host, then by path
        # the keys of `_by_host`: by text from the front, from the back, and by each label
        self._starts: Texts[HostKey] = Texts()
        self._ends: Texts[HostKey] = Texts()
        self._labels: dict[bytes, dict[HostKey, None]] = {}

    def put(self, service: Service) -> None:
        """
        It is in force, instead of a former one of its name.
        """
        placed = tuple(self._placed(service))
        self.drop(service.name)
        self._services[service.name] = placed
        for one in placed:
            for path in one.paths:
                self._paths.put(path, one)
            for host in one.hosts:
                by_path = self._by_host.get(host)
                if by_path is None:
                    by_path = self._by_host[host] = Texts()
                    self._put_host(host)
                for path in one.paths:
                    by_path.put(path, one)

    def drop(self, name: str) -> None:
        """
        It is gone; an unknown one is fine.
        """
        for one in self._services.pop(name, ()):
            for path in one.paths:
                self._paths.drop(path, one)
            for host in one.hosts:
                by_path = self._by_host[host]
                for path in one.paths:
                    by_path.drop(path, one)
                if not by_path.values:
                    del self._by_host[host]
                    self._drop_host(host)

    def _put_host(self, host: HostKey) -> None:
        kind, text = host
        if kind in ("exact", "prefix"):
            self._starts.put(text, host)
        for end in _ends_of(host):
            self._ends.put(end, host)
        for label in _labels_of(host):
            self._labels.setdefault(label, {})[host] = None

    def _drop_host(self, host: HostKey) -> None:
        kind, text = host
        if kind in ("exact", "prefix"):
            self._starts.drop(text, host)
        for end in _ends_of(host):
            self._ends.drop(end, host)
        for label in _labels_of(host):
            held = self._labels[label]
            del held[host]
            if not held:
                del self._labels[label]

    def of(self, service: Service) -> Shadows:
        """
        What shadows this service, and what it shadows. It may be in the index, or take the place of one that is.
        """
        mine = tuple(self._placed(service))
        over, under = _Search(service.name), _Search(service.name)
        for one in mine:
            over.losers(one, self._around(one))
            under.winners(one, self._within(one))
        for at, one in enumerate(mine):
            over.among(one, mine[:at])
        return Shadows(over.found(), under.found(), over.complete and under.complete)

    def _placed(self, service: Service) -> Iterator[_Placed]:
        for destination in service.destinations:
            if destination.stream is None:  # connections are routed by port and name, see `dfproxy.routing.streams`
                route = Route(service, destination)
                yield _Placed(route, self._key(route))

    def _around(self, one: _Placed) -> Iterator[_Placed]:
        """
        Routes that may take what this one takes; some of them twice.
        """
        for by_path in self._hosts_around(one):
            for path in one.paths:
                yield from by_path.around(path)
                if path == ODD:
                    yield from by_path.at(EVERY_PATH)

    def _hosts_around(self, one: _Placed) -> Iterator[Texts[_Placed]]:
        keys: dict[HostKey, None] = {ANY_HOST: None, ODD_HOST: None}
        for kind, host in one.hosts:
            keys[kind, host] = None
            if kind in ("exact", "prefix"):
                keys.update((("prefix", host[:length]), None) for length in self._starts.lengths)
            if kind in ("exact", "suffix"):
                bare = host.rpartition(b":")[0] or host
                keys.update(
                    (("suffix", text[-length:]), None) for length in self._ends.lengths for text in (host, bare)
                )
            keys.update((("label", span), None) for span in _spans(host))
        for key in keys:
            if (found := self._by_host.get(key)) is not None:
                yield found

    def _within(self, one: _Placed) -> Iterator[_Placed]:
        """
        Routes that may be taken by this one; some of them twice.
        """
        for host in one.hosts:
            keys = self._hosts_within(host)
            places = [self._paths] if keys is None else [self._by_host[key] for key in keys if key in self._by_host]
            for by_path in places:
                for path in one.paths:
                    if path == ODD:
                        yield from by_path.at(ODD)
                    else:
                        yield from by_path.within(path)
                        if path == EVERY_PATH:
                            yield from by_path.at(ODD)

    def _hosts_within(self, host: HostKey) -> Iterable[HostKey] | None:
        """
        Hosts that may be taken by this one; None: all, or too many to go through.
        """
        kind, text = host
        if kind == "any":
            return None
        if kind == "other":
            return (host,)
        if kind == "exact":
            return (host,)
        if kind == "label":
            found = min((self._labels.get(label, {}) for label in _labels_of(host)), key=len, default={})
            return found if len(found) <= HOSTS else None
        texts, text = (self._ends, text[::-1]) if kind == "suffix" else (self._starts, text)
        return texts.within(text) if texts.count_within(text) <= HOSTS else None


class _Search:
    """
    Compares routes with others, up to a limit.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._found: dict[tuple[_Placed, _Placed], Shadow] = {}
        self._left = LOOKED_AT * COMPARED
        self.complete = True

    def losers(self, one: _Placed, candidates: Iterable[_Placed]) -> None:
        """
        Who takes what this one would take.
        """
        for other in candidates:
            if not self._goes_on():
                return
            if other.rank < one.rank and other.route.service.name != self._name:
                self._compare(other, one)

    def winners(self, one: _Placed, candidates: Iterable[_Placed]) -> None:
        """
        Whose requests this one takes.
        """
        for other in candidates:
            if not self._goes_on():
                return
            if one.rank < other.rank and other.route.service.name != self._name:
                self._compare(one, other)

    def among(self, one: _Placed, others: Iterable[_Placed]) -> None:
        """
        The same within a service.
        """
        for other in others:
            winner, loser = (one, other) if one.rank < other.rank else (other, one)
            self._compare(winner, loser)

    def found(self) -> tuple[Shadow, ...]:
        """
        By the names of backends.
        """
        return tuple(sorted(self._found.values(), key=_names))

    def _goes_on(self) -> bool:
        self._left -= 1
        if self._left < 0 or len(self._found) > FOUND:
            self.complete = False
            return False
        return True

    def _compare(self, winner: _Placed, loser: _Placed) -> None:
        if (winner, loser) in self._found:
            return
        self._left -= COMPARED - 1
        shadow = _shadow(winner, loser)
        if shadow is not None:
            self._found[winner, loser] = shadow


def _names(shadow: Shadow) -> tuple[str, str]:
    return shadow.loser.destination.backend_name, shadow.winner.destination.backend_name


def _path_keys(match: Match) -> tuple[bytes, ...]:
    """
    The texts of its paths, in lower case.
    """
    if not match.paths:
        return (EVERY_PATH,)
    simple = ("exact", "prefix")
    keys = (p.value.lower() if p.form in simple and not p.whole_target else ODD for p in match.paths)
    return tuple(dict.fromkeys(keys))


def _host_keys(match: Match) -> tuple[HostKey, ...]:
    if not match.hosts:
        return (ANY_HOST,)
    return tuple(dict.fromkeys(map(_host_key, match.hosts)))


def _host_key(host: HostPattern) -> HostKey:
    value = host.value.lower()
    if host.form == "label":
        return "label", value.strip(DOMAIN)
    if host.form == "suffix" or (host.form in ("exact", "prefix") and not host.without_port):
        return host.form, value
    return ODD_HOST


def _ends_of(host: HostKey) -> set[bytes]:
    """
    What it ends with, written backwards: as it is, and without a port.
    """
    kind, text = host
    if kind == "suffix":
        return {text[::-1]}
    return {text[::-1], without_port(text)[::-1]} if kind == "exact" else set()


def _labels_of(host: HostKey) -> Iterable[bytes]:
    """
    Its labels; none if nothing is known of it.
    """
    if host in (ANY_HOST, ODD_HOST):
        return ()
    return {label for label in host[1].translate(_DOTTED).split(b".") if label}


def _spans(host: bytes) -> Iterator[bytes]:
    """
    Everything in a host that stands between two delimiters.
    """
    cuts = [-1, *(at for at, byte in enumerate(host) if byte in DOMAIN), len(host)][:LABELS]
    for number, start in enumerate(cuts):
        for end in cuts[number + 1 :]:
            yield host[start + 1 : end]


def _shadow(winner: _Placed, loser: _Placed) -> Shadow | None:
    """
    What the loser loses to the winner; None if that is nothing, or not certain.
    """
    takes, wants = winner.match, loser.match
    if not covers_rest(takes, wants):
        return None
    hosts = wants.hosts
    if takes.hosts:
        hosts = tuple(host for host in wants.hosts if any(covers_host(one, host) for one in takes.hosts))
        if not hosts:
            return None
    paths = wants.paths
    if takes.paths:
        paths = tuple(path for path in wants.paths if any(covers_path(one, path) for one in takes.paths))
    if takes.excluded:
        if not wants.paths:
            return None
        paths = tuple(path for path in paths if lets_pass(takes.excluded, path, wants.excluded))
    if (takes.paths or wants.paths) and not paths:
        return None
    whole = len(hosts) == len(wants.hosts) and len(paths) == len(wants.paths)
    return Shadow(winner.route, loser.route, paths, hosts, whole)
