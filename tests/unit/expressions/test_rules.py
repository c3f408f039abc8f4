"""
Header rules as a whole.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.expressions.rules import OWN_FIELDS, RuleText, compile_rule, read_rule
from dfproxy.expressions.words import InvalidExpression
from tests.unit.expressions.subjects import SURROUNDINGS, subject


class RuleTests(SynchronousTestCase):
    """
    What is read, and what is refused.
    """

    def test_read(self) -> None:
        """
        Name, value and condition.
        """
        self.assertEqual(
            read_rule("set", " X-A 'a b' if { src ::1 }", SURROUNDINGS),
            RuleText("set", "X-A", "a b", ("if", "{", "src", "::1", "}")),
        )
        self.assertEqual(read_rule("del", "X-A", SURROUNDINGS), RuleText("del", "X-A", "", ()))

    def test_compiled(self) -> None:
        """
        A constant is ready; a condition is asked.
        """
        rule = compile_rule("add", "X-A 1 if METH_POST", "request", SURROUNDINGS)
        self.assertEqual((rule.action, rule.name, rule.lowered, rule.value), ("add", b"X-A", b"x-a", b"1"))
        assert rule.holds is not None
        self.assertFalse(rule.holds(subject()))

    def test_refused(self) -> None:
        """
        Missing parts, one too many, names that are none.
        """
        for action, text in (
            ("add", ""), ("add", "X"), ("set", "X a b"), ("del", "X a"), ("add", "X: a"), ("add", "X\u00e9 a"),
            ("set", "X 'a"), ("set", 'X ""'), ("set", "X %[nope]"), ("set", "X a if"),
            ("del", "# X"), ("add", "X a unless { x }"),
        ):  # fmt: skip
            self.assertRaises(InvalidExpression, compile_rule, action, text, "request", SURROUNDINGS)

    def test_framing_is_ours(self) -> None:
        """
        Nobody sets or removes what says where a message ends.
        """
        for name in OWN_FIELDS:
            for action in ("add", "set", "del"):
                text = name.title() + ("" if action == "del" else " 1")
                error = self.assertRaises(InvalidExpression, read_rule, action, text, SURROUNDINGS)
                self.assertIn("itself", str(error))
