"""
Raw text in the shown configuration: where DFP had it, as it was given.

Lines that have nothing to do here, and those that HAProxy 2.6 does not know any more, stand in comments. Values of
headers that carry passwords are not shown.

Source: DFP `proxy/template.go` (`ExtraFrontend`, `BackendExtra`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from dfproxy.dfp.haproxytext import comment, word
from dfproxy.dfp.rawtable import Place, row_of
from dfproxy.expressions.words import InvalidExpression, split_words

HIDDEN = "hidden"
"""
Stands for values that are not shown.
"""

_SAID_ANYWAY = frozenset(
    (
        "errorfile",
        "option httpchk",
        "http-check",
        "option tcp-check",
        "timeout check",
        "timeout queue",
        "retries",
        "retry-on",
    )
)
"""
What the lines of parameters say already.
"""

_SENSITIVE = re.compile(r"authorization|cookie|password|passwd|secret|token|api-?key", re.IGNORECASE)


def raw_lines(lines: Sequence[str], place: Place) -> Iterator[str]:
    """
    Lines of a section.

    Args:
        lines: as accepted (`dfproxy.dfp.rawtext`).
    """
    for line in lines:
        try:
            words = split_words(line, {})
        except InvalidExpression:  # with an empty environment nothing more is wrong than before
            words = []
        row = row_of([each for each in words if each != "no"], place) if words else None
        shown = without_secrets(line)
        if row is None or row.fate != "works" or row.gone or row.name in _SAID_ANYWAY:
            yield f"# {comment(shown)}"
        else:
            yield shown


def front_lines(lines: Sequence[str], stem: str, backends: Mapping[str, str]) -> Iterator[str]:
    """
    The lines by which a template chooses routes. Their tests have names of their own, so that those of two services do
    not become one.

    Args:
        lines: `acl` and `use_backend` lines, as accepted (`dfproxy.dfp.templates`).
        stem: what the names of the tests begin with.
        backends: by the names that the template has for them, those that they have here.
    """
    split = [words for words in (split_words(line, {}) for line in lines) if len(words) > 1]
    tests = {words[1] for words in split if words[0] == "acl"}
    for first, name, *rest in split:
        if first == "acl":
            yield " ".join(("acl", f"{stem}:{name}", *map(word, rest)))
            continue
        found, in_test = [], False
        for each in rest:
            plain = each.lstrip("!")
            in_test = plain == "{" or (in_test and plain != "}")
            found.append(word(each) if in_test or plain not in tests else f"{each.removesuffix(plain)}{stem}:{plain}")
        yield " ".join(("use_backend", backends.get(name, name), *found))


def led_to(lines: Sequence[str], known: Collection[str]) -> list[str]:
    """
    Backends that `use_backend` lines lead to and that are not there.

    Args:
        known: names of those that are.
    """
    found: dict[str, None] = {}
    for line in lines:
        words = line.split()
        if words[:1] == ["use_backend"] and len(words) > 1 and words[1] not in known:
            found[words[1]] = None
    return list(found)


def without_secrets(line: str) -> str:
    """
    The line; the value of a header whose name says that it carries a password is not shown.
    """
    try:
        words = split_words(line, {})
    except InvalidExpression:  # as above
        return line
    if len(words) < 4 or words[0] not in ("http-request", "http-response") or not _SENSITIVE.search(words[2]):
        return line
    at = {"set-header": 3, "add-header": 3, "replace-header": 4, "replace-value": 4}.get(words[1])
    if at is None or at >= len(words):
        return line
    return " ".join([*words[:2], *map(word, [*words[2:at], HIDDEN, *words[at + 1 :]])])
