"""
Generated services and requests that nearly or just match each other: few letters, many overlaps.
"""

from __future__ import annotations

from hypothesis import strategies as st

from dfproxy.model.match import Condition, HostPattern, Match, PathPattern
from tests.unit.routing.naive import Request, service

PIECES = (b"a", b"b", b"ab", b"A", b"/", b"/", b".", b"x1", b"?q", b"")
HOST_PIECES = (b"a", b"b", b"ab", b".", b".", b"A", b":80", b"c")
REGEXES = (
    b"^/a",
    b"b$",
    b"a[0-9]*/b",
    b"/ab/",
    b"(?:/a|/b)x1",
    rb"\.a",
    b"(?i)/AB",
    b"x[0-9]+",
    b"ab(?=/)",
    b".",
    b"(/a/b)+",
    b"^$",
)

words = st.lists(st.sampled_from(PIECES), max_size=4).map(b"".join)
paths = st.one_of(st.just(b"/"), words.map(lambda word: b"/" + word), st.just(b"/.well-known/a"))
hosts = st.lists(st.sampled_from(HOST_PIECES), min_size=1, max_size=5).map(b"".join)


def _path_pattern(form: str, value: bytes, number: int, ignore_case: bool, whole_target: bool) -> PathPattern:
    if form == "regex":
        value = REGEXES[number % len(REGEXES)]
    if form == "length":
        value = b"%d" % number
    return PathPattern(form, value, ignore_case, whole_target)  # type: ignore[arg-type]  # drawn from the forms


path_patterns = st.builds(
    _path_pattern,
    st.sampled_from(
        (
            "prefix",
            "prefix",
            "prefix",
            "exact",
            "suffix",
            "substring",
            "regex",
            "regex",
            "directory",
            "domain",
            "length",
        )
    ),
    st.one_of(paths, paths, words),
    st.integers(0, 11),
    st.sampled_from((False, False, True)),
    st.sampled_from((False, False, False, True)),
)


def _host_pattern(form: str, value: bytes, number: int, bare: bool) -> HostPattern:
    if form == "regex":
        value = (b"^a", rb"\.b", b"a+b", b"c$", b"[ab]", rb"ab\.(a|b)")[number % 6]
    if form == "length":
        value = b"%d" % number
    return HostPattern(form, value.lower(), bare)  # type: ignore[arg-type]  # drawn from the forms


host_patterns = st.builds(
    _host_pattern,
    st.sampled_from(
        ("prefix", "prefix", "suffix", "suffix", "exact", "label", "substring", "regex", "directory", "length")
    ),
    st.one_of(hosts, hosts, hosts.map(lambda host: b"." + host), st.just(b"")),
    st.integers(0, 9),
    st.booleans(),
)

matches = st.builds(
    Match,
    paths=st.lists(path_patterns, max_size=3).map(tuple),
    excluded=st.one_of(st.just(()), st.just(()), st.lists(path_patterns, max_size=1).map(tuple)),
    hosts=st.one_of(st.just(()), st.lists(host_patterns, max_size=3).map(tuple)),
    headers=st.sampled_from(((), (), (), ((b"x-a", b"1"),), ((b"x-a", b"1"), (b"x-b", b"2")))),
    user_agents=st.sampled_from(((), (), (), (b"fox",), (b"curl", b"fox"))),
    local_port=st.sampled_from((0, 0, 0, 80, 443)),
    conditions=st.sampled_from(((), (), (), (Condition("method", ("GET",)),), (Condition("broken"),))),
)


services = st.builds(
    lambda name, order_name, found, is_default: service(name, *found, order_name=order_name, is_default=is_default),
    st.sampled_from("abcdefgh"),
    st.sampled_from(("a", "b", "B", "10-x", "2-x", "\xe9")),
    st.lists(matches, min_size=1, max_size=3),
    st.sampled_from((False, False, False, True)),
)
"""
Services with one to three destinations; so few names that they replace each other.
"""


def _request(
    path: bytes, query: bytes, host: bytes, port: int, fields: list[tuple[bytes, bytes]], method: bytes
) -> Request:
    path = path.split(b"?")[0]
    return Request(path, host, (path or b"*") + query, method, local_port=port, fields=tuple(fields))


requests = st.builds(
    _request,
    st.one_of(paths, paths, st.just(b"")),
    st.sampled_from((b"", b"?q", b"?a/b")),
    st.one_of(
        hosts,
        hosts,
        st.just(b""),
        st.lists(hosts, min_size=1, max_size=3).map(b" , ".join),
        st.just(b"[a::b]:80"),
        st.just(b"ab.a:80"),
    ),
    st.sampled_from((80, 443, 8080)),
    st.lists(
        st.sampled_from(
            (
                (b"x-a", b"1"),
                (b"x-a", b"0, 1"),
                (b"x-b", b"2,3"),
                (b"x-b", b"22"),
                (b"user-agent", b"Firefox"),
                (b"user-agent", b"CURL/8"),
            )
        ),
        max_size=3,
    ),
    st.sampled_from((b"GET", b"PUT")),
)
