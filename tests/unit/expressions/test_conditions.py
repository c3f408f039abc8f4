"""
Conditions of rules.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.expressions.conditions import compile_condition
from dfproxy.expressions.words import InvalidExpression
from dfproxy.model.connection import TlsFacts
from tests.unit.expressions.subjects import SURROUNDINGS, subject


def holds(text: str, *fields: str, tls: TlsFacts | None = None, line: str = "GET /a/b.c?x=1&y HTTP/1.1") -> bool:
    return compile_condition(text.split(), "request", SURROUNDINGS)(subject(*fields, tls=tls, line=line))


class ConditionTests(SynchronousTestCase):
    """
    What holds.
    """

    def all_hold(self, *texts: str, fields: tuple[str, ...] = ()) -> None:
        for text in texts:
            self.assertTrue(holds(f"if {text}", *fields), text)
            self.assertFalse(holds(f"unless {text}", *fields), text)

    def none_holds(self, *texts: str, fields: tuple[str, ...] = ()) -> None:
        for text in texts:
            self.assertFalse(holds(f"if {text}", *fields), text)

    def test_and_or_not(self) -> None:
        """
        Side by side all must hold; `or` and `||` begin another alternative; `!` turns one around.
        """
        yes, no = "{ path_beg /a }", "{ path_beg /z }"
        self.all_hold(
            f"{yes} {yes}", f"{no} or {yes}", f"{no} || {yes} {yes}", f"!{no}", f"! {no}", f"{yes} !{no}", f"!!{yes}"
        )
        self.none_holds(f"{yes} {no}", f"{no} or {no}", f"!{yes}", f"{yes} !{yes} or {no}")

    def test_methods(self) -> None:
        """
        Every way to compare, by suffix, by flag, with and without case.
        """
        self.all_hold(
            "{ path /a/b.c }", "{ path_beg /a }", "{ path_end .c }", "{ path_sub /b }", "{ path_dir b.c }",
            "{ path_dom b }", "{ path_len 6 }",
            "{ path_len 5:7 }", "{ path_reg ^/[a-z]/ }", "{ path -m beg /a }", "{ path -i /A/B.C }",
            "{ path_beg -i /A }", "{ path_reg -i ^/A }", "{ path,upper /A/B.C }", "{ url_sub x=1 }",
            "{ path /no /a/b.c }", "{ base_beg Web.Test }", "{ path -- /a/b.c }", "{ query -m found }",
        )  # fmt: skip
        self.none_holds("{ path /A/b.c }", "{ path_beg b }", "{ path_dir b }", "{ path_len 5 }", "{ path_dom /?.: }")

    def test_fields(self) -> None:
        """
        Any value of a field will do, unless a number says which.
        """
        fields = ("X: a, b", "X: c")
        self.all_hold(
            "{ hdr(X) b }", "{ hdr(x,1) a }", "{ hdr(X),upper B }", "{ hdr_beg(host) -i web. }", "{ hdr(X) -m found }",
            "{ req.fhdr(X) c }", fields=fields,
        )  # fmt: skip
        self.none_holds("{ hdr(X) d }", "{ hdr(x,1) b }", "{ hdr(Y) -m found }", "{ hdr(Y) a }", fields=fields)

    def test_numbers(self) -> None:
        """
        Numbers, ranges and comparisons.
        """
        self.all_hold(
            "{ dst_port 80 }", "{ dst_port 1:99 }", "{ dst_port 81 80 }", "{ src_port gt 1000 }",
            "{ src_port ge 4000 }",
            "{ src_port lt 4001 }", "{ path,length eq 6 }", "{ hdr(X) -m int 5 }", fields=("X: 5",),
        )  # fmt: skip
        self.none_holds("{ dst_port 81 }", "{ dst_port 90:99 }", "{ src_port le 10 }", "{ hdr(Y) -m int 5 }")

    def test_networks(self) -> None:
        """
        Addresses and networks.
        """
        self.all_hold("{ src 192.0.2.0/24 }", "{ src 10.0.0.1 192.0.2.1 }", "{ hdr(X) -m ip ::1 }", fields=("X: ::1",))
        self.none_holds("{ src 192.0.3.0/24 }", "{ hdr(X) -m ip 10.0.0.0/8 }", fields=("X: nobody",))

    def test_flags(self) -> None:
        """
        Values of flags are ignored, as HAProxy does.
        """
        self.assertTrue(holds("if { ssl_fc }", tls=TlsFacts()))
        self.assertTrue(holds("if { ssl_c_used 0 }", tls=TlsFacts(certificate=b"x")))
        self.none_holds("{ ssl_fc }", "{ ssl_c_used }", "{ always_false }")

    def test_predefined(self) -> None:
        """
        HAProxy's own names.
        """
        self.all_hold("METH_GET", "!METH_POST", "TRUE", "!LOCALHOST", "FALSE or TRUE")

    def test_too_long(self) -> None:
        """
        What must not be searched does not match.
        """
        field = "X: " + "a" * 6000
        self.assertFalse(holds("if { hdr(X) -m reg .*x.*y }", field))

    def test_refused(self) -> None:
        """
        What does not parse or names what is not known.
        """
        for text in (
            "", "{ }", "{ path /a", "path_beg /a", "{path /a}", "or { path /a }", "{ path /a } or", "!",
            "{ path /a } !",
            "{ path }", "{ hdr(host) }", "{ nope x }", "{ path -m nope /a }", "{ path -x /a }", "{ path -m }",
            "{ dst_port x }", "{ dst_port eq }", "{ src x }", "{ path_reg ( }", "{ path_reg (a+)+ }", "{ path_len x }",
            "{ status 200 }", "{ path,nope a }", "myacl", " ".join(["TRUE"] * 33),
        ):  # fmt: skip
            words = ["if", *text.split()]
            self.assertRaises(InvalidExpression, compile_condition, words, "request", SURROUNDINGS)

    @settings(max_examples=100, deadline=None)
    @given(
        st.lists(st.sampled_from(["{", "}", "!", "!{", "or", "||", "path_beg", "/a", "-i", "-m", "str", "src", "TRUE"]))
    )
    def test_total(self, words: list[str]) -> None:
        """
        Any words give a predicate or a refusal.
        """
        try:
            made = compile_condition(["if", *words], "request", SURROUNDINGS)
        except InvalidExpression:
            return
        self.assertIn(made(subject()), (True, False))
