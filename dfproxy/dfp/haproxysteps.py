"""
The steps of routes as HAProxy configuration: user lists, redirects of the frontend, rules of backends.

Passwords are never shown: the hashes in the text are of nothing.

Source: HAProxy manual 4.2 (`http-request`, `http-response`, `compression`), 3.4 (userlists); DFP `proxy/template.go`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from dfproxy.dfp.haproxytext import LINE_WORDS, Names, acl_lines, comment, word
from dfproxy.expressions.rules import RuleText, read_rule
from dfproxy.expressions.subject import Surroundings
from dfproxy.expressions.words import InvalidExpression
from dfproxy.model.match import Match
from dfproxy.model.service import Route
from dfproxy.model.settings import Settings
from dfproxy.model.snapshot import ServerAddress
from dfproxy.model.steps import Access, Compression, HeaderRule, Redirect, Rewrite, Steps, cookie_name, cookie_value

HIDDEN = "$5$hidden$hidden"
"""
Stands for every password: a hash of nothing.
"""

CHALLENGES = "/.well-known/acme-challenge/"

OURS = "br"
"""
A way to compress that HAProxy does not have.
"""

HOPS = 8
"""
Proxies in a row that the text looks behind. HAProxy cannot stop at something that is no address, as we do.
"""

_INNER = re.compile("[A-Za-z0-9_-][A-Za-z0-9_/-]*")
"""
Searches that never find the beginning of a path.
"""

_ORDER = {"always": 0, "http": 1, "not-https": 2}


class StepsText:
    """
    The parts of a configuration that come from steps.

    Args:
        settings: for what rules may ask.
        routes: every route, in the order in which they win.

    Attributes:
        list_names: names of lists of users that are taken.
    """

    def __init__(self, settings: Settings, routes: Iterable[Route]) -> None:
        self._routes = tuple(routes)
        self._surroundings = Surroundings(dict(settings.environment))
        self._tls = any(listener.tls for listener in settings.listeners)
        self._plain = "!{ ssl_fc } !{ var(txn.https) -m bool }" if settings.trusted_proxies else "!{ ssl_fc }"
        self._lists: dict[Access, str] = {}
        self.list_names = Names()
        for route in self._routes:
            access = route.destination.steps.access if route.destination.steps is not None else None
            if access is not None and access not in self._lists:
                self._lists[access] = self.list_names.take(access.realm.removesuffix("Realm") + "Users")

    def user_lists(self) -> Iterator[str]:
        """
        A section for each list of users.
        """
        for access, name in self._lists.items():
            yield f"userlist {name}\n    # passwords are not shown: this one lets nobody in\n"
            yield from (f"    user {word(user.name)} password {word(HIDDEN)}\n" for user in access.users)
            yield "\n"

    def redirects(self, stems: Names) -> Iterator[str]:
        """
        Redirects before routes, in their order.

        Args:
            stems: names of ACLs that are taken.
        """
        services: dict[str, list[tuple[Redirect, Route]]] = {}
        for route in self._routes:
            steps = route.destination.steps
            if steps is not None:
                found = services.setdefault(route.service.name, [])
                found += [(redirect, route) for redirect in steps.redirects]
        challenged = f" !{{ path_beg {CHALLENGES} }}" if self._serves_challenges() else ""
        for pairs in services.values():
            for redirect, route in sorted(pairs, key=lambda pair: _ORDER[pair[0].when]):
                stem = stems.take(f"redirect_{route.service.order_name}_{route.destination.index}")
                yield from (f"    {line}\n" for line in _redirect(redirect, stem, challenged, self._plain))

    def _serves_challenges(self) -> bool:
        return any(
            path.value.lower().startswith(b"/.well-known") for r in self._routes for path in r.destination.match.paths
        )

    def backend(self, route: Route) -> list[str]:
        """
        Lines of a backend.
        """
        steps = route.destination.steps or Steps()
        lines = []
        if steps.closes_server:
            lines.append("option http-server-close")
        if steps.sticky:
            lines.append(f"cookie {cookie_name(steps.sticky)} insert indirect")
        if steps.compression is not None:
            lines += _compression(steps.compression)
        lines += _networks(steps)
        if steps.https_code:
            lines.append(f"http-request redirect scheme https code {steps.https_code} if {self._plain}")
        if self._tls:
            lines.append("http-request add-header X-Forwarded-Proto https if { ssl_fc }")
        lines += [self._rule("http-request", rule) for rule in steps.request_headers]
        lines += [_rewrite(rewrite) for rewrite in steps.rewrites]
        if steps.wants_certificate:
            lines.append("http-request deny if !{ ssl_c_used }")
        if steps.allowed_methods:
            lines += _methods("!", steps.allowed_methods)
        if steps.denied_methods:
            lines += _methods("", steps.denied_methods)
        if steps.denies_plain:
            lines.append(f"http-request deny if {self._plain}")
        if steps.access is not None:
            test = f"!{{ http_auth({self._lists[steps.access]}) }}"
            lines.append(f"http-request auth realm {word(steps.access.realm)} if {test}")
            lines.append("http-request del-header Authorization")
        lines += [self._rule("http-response", rule) for rule in steps.response_headers]
        return lines

    def cookie(self, route: Route, server: ServerAddress, position: int) -> str:
        """
        What follows a server's line where clients are kept at theirs.

        Args:
            position: of the server in its list.
        """
        steps = route.destination.steps
        if steps is None or not steps.sticky:
            return ""
        place = position if server.place < 0 else server.place
        return f" cookie {word(cookie_value(steps, server.host, server.port, place))}"

    def _rule(self, start: str, rule: HeaderRule) -> str:
        try:
            read = read_rule(rule.action, rule.text, self._surroundings)
        except InvalidExpression as error:  # it was read before: only the variables may be others
            return f"# {comment(rule.text)}: {comment(str(error))}"
        line = _rule(start, read)
        if "http_auth_group(" in line:
            return f"# {comment(line)}: there is no such list of users"
        return line


def _rule(start: str, rule: RuleText) -> str:
    words = [rule.name] if rule.action == "del" else [rule.name, rule.value]
    return f"{start} {rule.action}-header {' '.join(map(word, (*words, *rule.condition)))}"


def _rewrite(rewrite: Rewrite) -> str:
    """
    `set-path` with `regsub`, whose arguments stand in quotes of their own within the word. Where the path could lose
    its slash it is taken off and put on again: here each path has one, whatever was replaced.
    """
    flags = ("i" if rewrite.ignore_case else "") + ("g" if rewrite.every else "")
    texts = (rewrite.search, rewrite.replacement)
    if any("'" in text for text in texts):
        return f"# {comment(f'rewrite {texts}')}: HAProxy cannot have such quotes here"
    arguments = ",".join([f"'{text}'" for text in texts] + ([flags] if flags else []))
    if rewrite.replacement.startswith("/") or _INNER.fullmatch(rewrite.search):
        return f"http-request set-path {word(f'%[path,regsub({arguments})]')}"
    again = "regsub('^/','')"
    return f"http-request set-path {word(f'/%[path,regsub({arguments}),{again}]')}"


def trusting(proxies: Sequence[str]) -> list[str]:
    """
    Lines of a frontend that find out whom a request is from, one proxy after the other.

    Args:
        proxies: networks of those that are believed.
    """
    if not proxies:
        return []
    lines = ["http-request set-var(txn.peer) src"]
    for start in range(0, len(proxies), LINE_WORDS):
        lines.append(f"acl trusted_proxies src {' '.join(map(word, proxies[start : start + LINE_WORDS]))}")
    said = "{ req.hdr(x-forwarded-proto,-1) -m str -i https }"
    lines.append(f"http-request set-var(txn.https) bool(true) if trusted_proxies {said}")
    for hop in range(1, HOPS + 1):
        lines.append(f"http-request set-src req.hdr(x-forwarded-for,-{hop}) if trusted_proxies")
    return lines


def _compression(compression: Compression) -> list[str]:
    lines = []
    if OURS in compression.algorithms:
        lines.append(f"# compression algo {OURS}, which HAProxy does not have")
    if known := [word(name) for name in compression.algorithms if name != OURS]:
        lines.append(f"compression algo {' '.join(known)}")
        if compression.types:
            lines.append(f"compression type {' '.join(map(word, compression.types))}")
    return lines


def _networks(steps: Steps) -> list[str]:
    """
    First of all rules; several lines of one ACL are alternatives.
    """
    lines = []
    for name, networks, negation in (("denied", steps.denied_networks, ""), ("allowed", steps.allowed_networks, "!")):
        for start in range(0, len(networks), LINE_WORDS):
            lines.append(f"acl {name}_clients src {' '.join(map(word, networks[start : start + LINE_WORDS]))}")
        if networks:
            lines.append(f"http-request deny if {negation}{name}_clients")
    return lines


def _methods(negation: str, methods: tuple[str, ...]) -> list[str]:
    """
    One line: several would each refuse what the others allow.
    """
    return [f"http-request deny if {negation}{{ method{_flags_end(methods[0])} {' '.join(map(word, methods))} }}"]


def _flags_end(pattern: str) -> str:
    """
    What must stand before a pattern that would be taken for a flag.
    """
    return " --" if pattern.startswith("-") else ""


def _redirect(redirect: Redirect, stem: str, challenged: str, plain: str) -> Iterator[str]:
    conditions: list[str] = []
    for name, found in _acls(redirect.match, stem):
        if isinstance(found, str):
            yield f"# {comment(stem)}: HAProxy cannot: {comment(found)}"
            return
        yield from found
        conditions.append(name)
    if redirect.when == "http":
        conditions.append("{ hdr(X-Forwarded-Proto) http }")
    elif redirect.when == "not-https":
        conditions.append(f"!{{ hdr(X-Forwarded-Proto) https }} {plain}")
    if not redirect.host:
        yield f"http-request redirect scheme https code {redirect.code} if {' '.join(conditions)}{challenged}"
        return
    host = redirect.host.partition(":")[0]
    conditions.append(f"!{{ req.hdr(host),host_only -m str -i{_flags_end(host)} {word(host)} }}")
    rest = f"code {redirect.code} if {' '.join(conditions)}{challenged}"
    if not redirect.secure:
        yield f"http-request redirect prefix {word('http://' + redirect.host)} {rest} {plain}"
    yield f"http-request redirect prefix {word('https://' + redirect.host)} {rest}"


def _acls(match: Match, stem: str) -> Iterator[tuple[str, list[str] | str]]:
    if match.paths:
        yield f"url_{stem}", acl_lines(f"url_{stem}", match.paths)
    if match.hosts:
        yield f"domain_{stem}", acl_lines(f"domain_{stem}", match.hosts)
    if match.local_port:
        yield f"srcPort_{stem}", [f"acl srcPort_{stem} dst_port {match.local_port}"]
