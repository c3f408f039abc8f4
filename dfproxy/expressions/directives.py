"""
Lines of HAProxy configuration that do something to requests or answers: `acl`, `http-request`, `http-response`,
`redirect`, `use_backend`, `monitor-uri`.

Read into values that say what is done and when; `dfproxy.exchange.directives` does it. Which other lines there may be,
and which have no effect, is decided in `dfproxy.dfp.rawtext`. What is not understood refuses its whole line.

No reason given here repeats a value: raw text may hold passwords.

Source: HAProxy manual 4.2 (`acl`, `http-request`, `http-response`, `redirect`, `use_backend`, `monitor-uri`), 7.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from dfproxy.expressions.actions import (
    ANSWER,
    REQUEST,
    Action,
    conditional,
    monitor,
    redirect_text,
    rule,
    use_backend,
)
from dfproxy.expressions.conditions import NamedTest
from dfproxy.expressions.subject import Surroundings
from dfproxy.expressions.words import InvalidExpression, split_words

MOST_ACL_LINES = 64
"""
Most `acl` lines of one text: each is work on the request path.
"""

TESTED = "docs/headers.md lists what there is"

_ACL_NAME = re.compile(r"[A-Za-z0-9_.:-]+", re.ASCII)
_EXCERPT = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")


@dataclass(frozen=True, slots=True)
class Directives:
    """
    All that the lines do, each kind in its order.

    Attributes:
        request: on requests.
        redirects: after those.
        answer: on the answers of servers.
        routes: which backend is gone to, before other routes.
    """

    request: tuple[Action, ...] = ()
    redirects: tuple[Action, ...] = ()
    answer: tuple[Action, ...] = ()
    routes: tuple[Action, ...] = ()


@dataclass
class _Found:
    """
    What has been read so far.
    """

    surroundings: Surroundings
    acls: dict[str, NamedTest] = field(default_factory=dict)
    request: list[Action] = field(default_factory=list)
    redirects: list[Action] = field(default_factory=list)
    answer: list[Action] = field(default_factory=list)
    routes: list[Action] = field(default_factory=list)
    monitors: list[Action] = field(default_factory=list)


class DirectiveReader:
    """
    Reads line after line. A line that is refused leaves nothing behind.

    Args:
        surroundings: for the expressions.
    """

    def __init__(self, surroundings: Surroundings) -> None:
        self._found = _Found(surroundings)

    def read(self, line: str) -> bool:
        """
        Read one line.

        Returns:
            Whether it is one of those that do something.

        Raises:
            InvalidExpression: it is one of them, and not understood. The text repeats no values.
        """
        try:
            return self._read(line)
        except InvalidExpression as error:
            raise InvalidExpression(quiet(str(error))) from None

    def done(self) -> Directives:
        """
        What all lines do.
        """
        found = self._found
        return Directives(
            (*found.monitors, *found.request), tuple(found.redirects), tuple(found.answer), tuple(found.routes)
        )

    def _read(self, line: str) -> bool:
        found = self._found
        words = split_words(line, found.surroundings.environment)
        first = words[0] if words else ""
        surroundings = replace(found.surroundings, acls=found.acls)
        if first == "acl":
            self._acl(words[1:], surroundings)
        elif first == "http-request":
            found.request += rule(words[1:], REQUEST, "request", surroundings)
        elif first == "http-response":
            found.answer += rule(words[1:], ANSWER, "answer", surroundings)
        elif first == "redirect":
            # Literal text here, a log format in `http-request redirect`.
            found.redirects += conditional("redirect", words[1:], redirect_text, "request", surroundings)
        elif first == "use_backend":
            found.routes += conditional("use_backend", words[1:], use_backend, "request", surroundings)
        elif first == "monitor-uri":
            found.monitors.append(monitor(words[1:]))
        else:
            return False
        return True

    def _acl(self, words: Sequence[str], surroundings: Surroundings) -> None:
        """
        `acl NAME criterion [flags] values`; several of one name are alternatives.
        """
        if len(words) < 2:
            raise InvalidExpression("write acl NAME and a test, such as acl is_api path_beg /api")
        name, test = words[0], tuple(words[1:])
        if not _ACL_NAME.fullmatch(name) or name.lower() == "or":
            raise InvalidExpression("the name of an acl is made of letters, digits and - _ . :")
        if any(word in ("{", "}") for word in test):
            raise InvalidExpression("an acl has no braces; write acl is_api path_beg /api")
        acls = self._found.acls
        if sum(map(len, acls.values())) >= MOST_ACL_LINES:
            raise InvalidExpression(f"there may be {MOST_ACL_LINES} acl lines")
        named = acls.get(name) or NamedTest(surroundings)
        named.add(test)
        acls[name] = named


def read_all(lines: Iterable[str], surroundings: Surroundings) -> Directives:
    """
    What these lines do; others are passed over.

    Raises:
        InvalidExpression: one is not understood.
    """
    reader = DirectiveReader(surroundings)
    for line in lines:
        reader.read(line)
    return reader.done()


def quiet(reason: str) -> str:
    """
    A reason without excerpts of the text that it is about, but for names of what does not exist.
    """
    for start in ("there is no fetch", "there is no converter"):
        if reason.startswith(start):
            return f"{reason.partition(';')[0]}; {TESTED}"
    start, unclosed, _ = reason.partition("is not closed: ")
    if "is no test" in reason:
        return f"{reason.partition(';')[0]}; write it between braces, as {{ path_beg /x }}, or define it before: acl"
    return _EXCERPT.sub("...", start + unclosed.removesuffix(": "))


KNOWN = frozenset(
    {
        *(f"http-request {name}" for name in REQUEST),
        *(f"http-response {name}" for name in ANSWER),
        "acl",
        "redirect",
        "use_backend",
        "monitor-uri",
    }
)
"""
Every line that is read here, without its arguments.
"""

WITHOUT_EFFECT = frozenset(
    {
        *(f"http-request {name}" for name, reading in REQUEST.items() if reading is None),
        *(f"http-response {name}" for name, reading in ANSWER.items() if reading is None),
    }
)
"""
Those of them that do nothing here.
"""
