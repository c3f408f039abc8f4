"""
What one match is said to take of another one, it does take; and for plain forms nothing is left out.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.model.match import Condition, HostPattern, Match, PathPattern
from dfproxy.routing.covering import covers_host, covers_path, covers_rest, lets_pass
from tests.unit.routing.naive import Request, host_holds, path_holds
from tests.unit.routing.strategies import host_patterns, hosts, path_patterns, requests

PLAIN_PATHS = st.builds(
    PathPattern,
    st.sampled_from(("prefix", "exact")),
    st.lists(st.sampled_from((b"a", b"b", b"/")), max_size=3).map(lambda pieces: b"/" + b"".join(pieces)),
)
PLAIN_HOSTS = st.builds(
    HostPattern,
    st.sampled_from(("prefix", "exact", "suffix", "label")),
    hosts.map(lambda host: host.lower().strip(b".:").partition(b":")[0].strip(b".") or b"a"),
    st.just(False),
) | hosts.map(lambda host: HostPattern("suffix", host.lower().partition(b":")[0] or b".a", True))


def path_samples(pattern: PathPattern) -> list[bytes]:
    """
    Paths that it takes: the shortest, and one that nothing else names.
    """
    return [pattern.value] if pattern.form == "exact" else [pattern.value, pattern.value + b"~q"]


def host_samples(pattern: HostPattern) -> list[bytes]:
    """
    The same for hosts.
    """
    value = pattern.value
    if pattern.without_port:
        return [value, b"q~" + value, value + b":99", b"q~" + value + b":99"]
    return {
        "exact": [value],
        "prefix": [value, value + b"~q"],
        "suffix": [value, b"q~" + value],
        "label": [value, b"q~." + value, value + b".~q", b"q~." + value + b".~q"],
    }[pattern.form]


class PathTests(SynchronousTestCase):
    """
    Paths.
    """

    @settings(max_examples=160, deadline=None)
    @given(path_patterns, path_patterns, requests)
    def test_nothing_is_claimed_that_is_not_so(self, one: PathPattern, other: PathPattern, request: Request) -> None:
        """
        A request that the second pattern takes is taken by the first, if that is said to cover it.
        """
        if covers_path(one, other) and path_holds(other, request):
            self.assertTrue(path_holds(one, request), (one, other, request))

    @settings(max_examples=160, deadline=None)
    @given(PLAIN_PATHS, PLAIN_PATHS)
    def test_plain_forms_are_exact(self, one: PathPattern, other: PathPattern) -> None:
        """
        A prefix or whole path covers another one exactly if it takes each path that the other takes.
        """
        takes_all = all(path_holds(one, Request(path=path)) for path in path_samples(other))
        self.assertEqual(takes_all, covers_path(one, other))

    def test_digital(self) -> None:
        """
        The example that Docker Flow Proxy's users know.
        """
        short, long = PathPattern("prefix", b"/digital"), PathPattern("prefix", b"/digitalproduct")
        self.assertTrue(covers_path(short, long))
        self.assertFalse(covers_path(long, short))

    def test_no_perhaps_for_regular_expressions(self) -> None:
        """
        Nothing is guessed of a regular expression; but each path lies below `/`.
        """
        regex = PathPattern("regex", b"^/a")
        self.assertFalse(covers_path(regex, PathPattern("prefix", b"/abc")))
        self.assertFalse(covers_path(PathPattern("prefix", b"/a"), regex))
        self.assertTrue(covers_path(PathPattern("prefix", b"/"), regex))
        self.assertTrue(covers_path(regex, PathPattern("regex", b"^/a")))

    def test_case(self) -> None:
        """
        What minds case covers what does not only where there are no letters.
        """
        self.assertFalse(covers_path(PathPattern("prefix", b"/a"), PathPattern("prefix", b"/ab", True)))
        self.assertTrue(covers_path(PathPattern("prefix", b"/1"), PathPattern("prefix", b"/12", True)))
        self.assertTrue(covers_path(PathPattern("prefix", b"/A", True), PathPattern("prefix", b"/ab")))


class HostTests(SynchronousTestCase):
    """
    Hosts.
    """

    @settings(max_examples=240, deadline=None)
    @given(host_patterns, host_patterns, hosts)
    def test_nothing_is_claimed_that_is_not_so(self, one: HostPattern, other: HostPattern, host: bytes) -> None:
        """
        As for paths.
        """
        if covers_host(one, other):
            for sample in (host, other.value, host + other.value, other.value + host, other.value + b":80"):
                request = Request(host=sample)
                if host_holds(other, request):
                    self.assertTrue(host_holds(one, request), (one, other, sample))

    @settings(max_examples=240, deadline=None)
    @given(PLAIN_HOSTS, PLAIN_HOSTS)
    def test_plain_forms_are_exact(self, one: HostPattern, other: HostPattern) -> None:
        """
        As for paths.
        """
        takes_all = all(host_holds(one, Request(host=host)) for host in host_samples(other))
        self.assertEqual(takes_all, covers_host(one, other), (one, other))

    def test_longer_domain(self) -> None:
        """
        Docker Flow Proxy compares the beginning of the Host: a domain takes what another one with more behind it was
        published for.
        """
        self.assertTrue(covers_host(HostPattern("prefix", b"acme.com"), HostPattern("prefix", b"acme.com.au")))


class RestTests(SynchronousTestCase):
    """
    Everything else.
    """

    def test_conditions(self) -> None:
        """
        A match with a condition covers only those that have it as well.
        """
        get = (Condition("method", ("GET",)),)
        for fields in (
            {"local_port": 443},
            {"headers": ((b"x-a", b"1"),)},
            {"user_agents": (b"fox",)},
            {"conditions": get},
        ):
            with_it = Match(**fields)  # type: ignore[arg-type]  # each as its field wants it
            self.assertFalse(covers_rest(with_it, Match()), fields)
            self.assertTrue(covers_rest(Match(), with_it), fields)
            self.assertTrue(covers_rest(with_it, with_it), fields)

    def test_agents(self) -> None:
        """
        A longer part of a name of an agent contains the shorter one.
        """
        self.assertTrue(covers_rest(Match(user_agents=(b"fox",)), Match(user_agents=(b"firefox",))))
        self.assertFalse(covers_rest(Match(user_agents=(b"fox",)), Match(user_agents=(b"firefox", b"curl"))))

    def test_excluded(self) -> None:
        """
        A path that the first excludes, or something below it, is not lost to it.
        """
        excluded = (PathPattern("prefix", b"/a/private"),)
        for path, passes in ((b"/a", False), (b"/a/private/x", False), (b"/a/public", True), (b"/b", True)):
            self.assertEqual(passes, lets_pass(excluded, PathPattern("prefix", path), ()), path)
        self.assertTrue(lets_pass(excluded, PathPattern("prefix", b"/a"), (PathPattern("prefix", b"/a/p"),)))
