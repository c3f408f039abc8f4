"""
Each form of a pattern means what HAProxy's criterion of that name means.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from dfproxy.errors import InvalidRoute
from dfproxy.interfaces import IRequest, IRouteConditionFactory
from dfproxy.model.match import Condition, HostPattern, Match, PathPattern
from dfproxy.routing.matcher import (
    agent_check,
    all_of,
    header_check,
    host_check,
    host_parts,
    path_check,
    plugin_check,
    rest_checks,
    text_test,
    without_port,
)
from tests.unit.routing.naive import Request, compares

FORMS = ("exact", "prefix", "suffix", "substring", "directory", "domain", "label")


@implementer(IRouteConditionFactory)
class Picky:
    """
    Refuses, fails or answers, as its value says.
    """

    name = "picky"
    description = "for tests"

    def compile(self, values: tuple[str, ...]) -> Callable[[IRequest], bool]:
        """
        As `IRouteConditionFactory`.
        """
        if values == ("refuse",):
            raise InvalidRoute("picky refuses")
        if values == ("nothing",):
            return None  # type: ignore[return-value]  # a wrong plugin
        number = int(values[0])
        return lambda request: bool(10 // number)


class TextTests(SynchronousTestCase):
    """
    One value against one text.
    """

    @settings(max_examples=160, deadline=None)
    @given(
        st.sampled_from(FORMS),
        st.text(alphabet="aA/.?:", max_size=4).map(str.encode),
        st.text(alphabet="aA/.?:", max_size=8).map(str.encode),
        st.booleans(),
    )
    def test_forms(self, form: str, value: bytes, text: bytes, ignore_case: bool) -> None:
        """
        Every form answers as its plain definition, with and without regard to case.
        """
        test = text_test(form, value, ignore_case)
        self.assertEqual(test is not None and test(text), compares(form, value, text, ignore_case))

    def test_examples(self) -> None:
        """
        What the documentation of each criterion says.
        """
        for form, value, text, expected in (
            ("prefix", b"/demo", b"/demonstration", True),
            ("prefix", b"/demo", b"/Demo", False),
            ("exact", b"/demo", b"/demo/", False),
            ("suffix", b".php", b"/a.php", True),
            ("substring", b"mo", b"/demo/", True),
            ("regex", b"v[0-9]", b"/x/v1", True),
            ("regex", b"^v[0-9]", b"/x/v1", False),
            ("directory", b"v1", b"/x/v1/y", True),
            ("directory", b"/x/v1/", b"/x/v1", True),
            ("directory", b"v1", b"/x/v1.2", False),
            ("domain", b"v1", b"/x/v1.2", True),
            ("label", b"acme.com", b"www.acme.com:80", True),
            ("label", b"acme.com", b"www.xacme.com", False),
            ("length", b"4", b"/abc", True),
            ("length", b"4", b"/abcd", False),
        ):
            test = text_test(form, value, False)
            assert test is not None
            self.assertEqual(test(text), expected, (form, value, text))

    def test_empty(self) -> None:
        """
        An empty item of a list matches nothing, in no form.
        """
        for form in (*FORMS, "regex", "length"):
            self.assertIsNone(text_test(form, b"", False))
        self.assertIsNone(text_test("directory", b"/", False))

    def test_refused(self) -> None:
        """
        A broken regular expression and a length that is no number are named to the operator.
        """
        self.assertIn("a(b", str(self.assertRaises(InvalidRoute, text_test, "regex", b"a(b", False)))
        self.assertIn("x9", str(self.assertRaises(InvalidRoute, text_test, "length", b"x9", False)))
        self.assertRaises(InvalidRoute, text_test, "sideways", b"x", False)
        self.assertRaises(InvalidRoute, text_test, "regex", b"^/(a+)+$", False)

    def test_long_text(self) -> None:
        """
        A regular expression is not run on a text so long that it would hold up every other request.
        """
        test = text_test("regex", b"foo.*bar.*baz", False)
        assert test is not None
        self.assertTrue(test(b"/foo/bar/baz"))
        begun = time.process_time()
        self.assertFalse(test(b"foo" * 1000 + b"bar" * 1000))
        self.assertLess(time.process_time() - begun, 0.5)


class PathTests(SynchronousTestCase):
    """
    Path conditions.
    """

    def test_any(self) -> None:
        """
        One of several is enough; those of the whole target see the query, the others don't.
        """
        check = path_check((PathPattern("suffix", b"q=1", whole_target=True), PathPattern("suffix", b".php")))
        assert check is not None
        self.assertTrue(check(Request(b"/a.php", target=b"/a.php?x")))
        self.assertTrue(check(Request(b"/", target=b"/?q=1")))
        self.assertFalse(check(Request(b"/q=1", target=b"/q=1?x")))
        self.assertIsNone(path_check((PathPattern("prefix", b""),)))

    def test_no_path(self) -> None:
        """
        `OPTIONS *` has no path: even an expression that takes everything does not match it.
        """
        every = PathPattern("regex", b".*")
        for patterns in ((every,), (every, every)):
            check = path_check(patterns)
            assert check is not None
            self.assertFalse(check(Request(b"", target=b"*")))
            self.assertTrue(check(Request(b"/", target=b"/")))


class HostTests(SynchronousTestCase):
    """
    Host conditions.
    """

    def test_parts(self) -> None:
        """
        Each part between commas counts, in lower case, empty ones do not.
        """
        self.assertEqual(host_parts(b"A.com, ,b.COM\t,"), [b"a.com", b"b.com"])
        self.assertEqual(host_parts(b""), [])

    def test_port(self) -> None:
        """
        The port goes; the colons of an IPv6 address stay.
        """
        for host, bare in (
            (b"a.com:80", b"a.com"),
            (b"a.com:", b"a.com"),
            (b"a.com", b"a.com"),
            (b"a.com:http", b"a.com:http"),
            (b"[::1]:80", b"[::1]"),
            (b"[::1]", b"[::1]"),
            (b"::1", b"::1"),
        ):
            self.assertEqual(without_port(host), bare)

    def test_nothing_but_a_port(self) -> None:
        """
        A Host that is a port alone is no host: nothing is compared with what is left of it.
        """
        bare = host_check(
            (HostPattern("length", b"0", without_port=True), HostPattern("regex", b".*", without_port=True))
        )
        whole = host_check((HostPattern("length", b"3"),))
        assert bare is not None and whole is not None
        self.assertFalse(bare(Request(host=b":80")))
        self.assertTrue(whole(Request(host=b":80")))

    def test_any_part(self) -> None:
        """
        A pattern may hold for any part; the port counts unless the pattern drops it.
        """
        check = host_check((HostPattern("exact", b"a.com"),))
        bare = host_check((HostPattern("exact", b"a.com", without_port=True),))
        assert check is not None and bare is not None
        self.assertTrue(check(Request(host=b"x, A.com")))
        self.assertFalse(check(Request(host=b"a.com:80")))
        self.assertTrue(bare(Request(host=b"x, a.com:80")))
        self.assertIsNone(host_check((HostPattern("suffix", b""),)))


class RestTests(SynchronousTestCase):
    """
    The other conditions.
    """

    def test_header(self) -> None:
        """
        The value equals a whole part of any such field; case counts in the value, not in the name.
        """
        check = header_check(b"X-Kind", b"one")
        self.assertTrue(check(Request(fields=((b"x-kind", b"two"), (b"x-kind", b"zero , one")))))
        for value in (b"One", b"ones", b"one two", b"on,e"):
            self.assertFalse(check(Request(fields=((b"x-kind", value),))), value)
        self.assertFalse(header_check(b"x-kind", b"a,b")(Request(fields=((b"x-kind", b"a,b"),))))

    def test_agent(self) -> None:
        """
        Any of the agents, anywhere in any User-Agent, in any case.
        """
        check = agent_check((b"fox", b"curl"))
        self.assertTrue(check(Request(fields=((b"user-agent", b"x"), (b"user-agent", b"FireFOX/1")))))
        self.assertFalse(check(Request(fields=((b"user-agent", b"wget"),))))
        self.assertFalse(check(Request()))

    def test_plugin(self) -> None:
        """
        An unknown condition is refused with those that are known, its refusal is passed on, its failure is named.
        """
        known = {"picky": Picky(), "other": Picky()}
        for condition, text in (
            (Condition("nosuch"), "known: other, picky"),
            (Condition("picky", ("refuse",)), "picky refuses"),
            (Condition("picky", ("x",)), "with base 10: 'x' (test_matcher.py, line "),
            (Condition("picky", ("nothing",)), "picky"),
        ):
            self.assertIn(text, str(self.assertRaises(InvalidRoute, plugin_check, condition, known)))
        self.assertTrue(plugin_check(Condition("picky", ("5",)), known)(Request()))

    def test_plugin_that_fails(self) -> None:
        """
        A condition that raises has not matched; the first time it is logged, with its name and values.
        """
        said: list[Any] = []
        globalLogPublisher.addObserver(said.append)
        self.addCleanup(globalLogPublisher.removeObserver, said.append)
        check = plugin_check(Condition("picky", ("0", "a")), {"picky": Picky()})
        self.assertEqual([check(Request()) for _ in range(3)], [False] * 3)
        self.assertEqual(["picky:0|a"], [event["name"] for event in said])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_all(self) -> None:
        """
        All conditions must hold, however many there are; none at all costs nothing.
        """
        match = Match(
            excluded=(PathPattern("prefix", b"/no"),),
            headers=((b"a", b"1"), (b"b", b"2")),
            user_agents=(b"fox",),
            local_port=80,
        )
        check = all_of(rest_checks(match, {}))
        assert check is not None
        fields = ((b"a", b"1"), (b"b", b"2"), (b"user-agent", b"fox"))
        self.assertTrue(check(Request(fields=fields)))
        self.assertFalse(check(Request(b"/no/x", fields=fields)))
        self.assertFalse(check(Request(fields=fields, local_port=81)))
        for missing in range(3):
            self.assertFalse(check(Request(fields=fields[:missing] + fields[missing + 1 :])))
        self.assertIsNone(all_of(rest_checks(Match(), {})))
