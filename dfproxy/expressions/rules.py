"""
Header rules as a whole: `X-Src %[src] if { path_beg /x }`.

Source: HAProxy `http-request|http-response add-header|set-header|del-header`; DFP `addReqHeader` and its kin.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dfproxy.expressions.conditions import Holds, compile_condition
from dfproxy.expressions.fetches import Phase
from dfproxy.expressions.formats import Rendering, compile_format
from dfproxy.expressions.subject import Surroundings
from dfproxy.expressions.words import InvalidExpression, split_words

OWN_FIELDS = frozenset(
    {
        "connection",
        "content-length",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""
Fields that say where a message ends and what becomes of its connection: the proxy writes them itself, and a rule that
changed them would let one message be taken for two.
"""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True, slots=True)
class RuleText:
    """
    A rule as words.

    Attributes:
        action: `add`, `set` or `del`.
        name: of the field.
        value: its log format; empty for `del`.
        condition: `if` or `unless` and what follows; empty: always.
    """

    action: str
    name: str
    value: str
    condition: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """
    A rule that can be run.

    Attributes:
        action: `add`, `set` or `del`.
        name: of the field, as it is written.
        lowered: in lower case.
        value: what it is set to; bytes if that is always the same.
        holds: its condition; None: always.
    """

    action: str
    name: bytes
    lowered: bytes
    value: Rendering | bytes
    holds: Holds | None


def read_rule(action: str, text: str, surroundings: Surroundings) -> RuleText:
    """
    Cut a rule into its parts.

    Raises:
        InvalidExpression: a part is missing or one too many.
    """
    words = split_words(text, surroundings.environment)
    if not words:
        raise InvalidExpression("there is no rule here; write a name" + (" and a value" if action != "del" else ""))
    name = words[0]
    if not _TOKEN.fullmatch(name):
        raise InvalidExpression(f"{name[:40]!r} is no name of a header")
    if name.lower() in OWN_FIELDS:
        raise InvalidExpression(f"{name} is written by the proxy itself")
    value = ""
    rest = words[1:]
    if action != "del":
        if not rest or not rest[0]:  # HAProxy takes an empty one for none
            raise InvalidExpression(f"the value is missing; write {name} VALUE")
        value, rest = rest[0], rest[1:]
    if rest and rest[0] not in ("if", "unless"):
        hint = "a value with blanks needs quotes" if action != "del" else "only a condition may follow"
        raise InvalidExpression(f"expected if, unless or the end at {rest[0][:40]!r}; {hint}")
    return RuleText(action, name, value, tuple(rest))


def compile_rule(action: str, text: str, phase: Phase, surroundings: Surroundings) -> CompiledRule:
    """
    Make a rule that can be run.

    Args:
        phase: `request` or `answer`.

    Raises:
        InvalidExpression: it does not parse, or names what is not known.
    """
    rule = read_rule(action, text, surroundings)
    name = rule.name.encode()
    value = compile_format(rule.value, phase, surroundings)
    holds = compile_condition(rule.condition, phase, surroundings) if rule.condition else None
    return CompiledRule(rule.action, name, name.lower(), value, holds)
