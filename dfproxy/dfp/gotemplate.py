"""
The part of Go's template language that DFP's templates are written in: fields, `range`, `if`, `with`, comparisons.

Text in, text out: no function of ours or of Go's can be called but those in `FUNCTIONS`, nothing is read or run, and
every size and number of steps has a limit. What is not known is refused by name, with its line. Values are put in as
they are: DFP escaped some of them as HTML (ODDITY-28), and ran what came out as a template once more (4.16).

Source: Go `text/template`; DFP `templateFePath`, `templateBePath`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

MOST_STEPS = 20_000
"""
Most pieces put out in one expansion; nested `range` would multiply them.
"""

LONGEST_CHARS = 65_536
"""
Longest result.
"""

DEEPEST = 16
"""
How deep `range`, `if`, `with` and parentheses may be nested.
"""

_WORD = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\\n]|\\.)*"|`[^`]*`)|(?P<number>-?[0-9]{1,18}(?![\w.]))"""
    r"""|(?P<field>(?:\$[A-Za-z_0-9]*)?(?:\.[A-Za-z_][A-Za-z_0-9]*)+|\$[A-Za-z_0-9]*|\.(?![\w]))"""
    r"""|(?P<name>[A-Za-z_][A-Za-z_0-9]*)|(?P<sign>:=|[(),=|]))""",
    re.ASCII,
)
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "'": "'"}


class InvalidTemplate(ValueError):
    """
    A template that cannot be expanded; the message names the line, and what is not known.
    """


@dataclass
class Expanded:
    """
    What came out.

    Attributes:
        text: all of it.
        fields: names of the service's fields that were asked for.
    """

    text: str
    fields: frozenset[str]


def expand(template: str, given: Mapping[str, Any]) -> Expanded:
    """
    Put the values of a service into a template.

    Args:
        template: text with `{{ }}`.
        given: fields by name; values are text, whole numbers, booleans, None, and lists and mappings of these.

    Raises:
        InvalidTemplate: it is not understood, asks for what there is not, or becomes too long.
    """
    run = _Run(given)
    run.block(_Parser(template).whole(), _Scope(given, {"$": given}))
    return Expanded("".join(run.pieces), frozenset(run.fields))


# --- parsing -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Term:
    """
    `value`; `field`, a variable with names behind it; `call` with its terms; `within`, a term with names behind it.
    """

    kind: str
    value: Any = None
    names: tuple[str, ...] = ()
    terms: tuple[_Term, ...] = ()


@dataclass
class _Node:
    """
    A piece of text; a value to put out or to keep in variables; or an action with what stands within it.
    """

    kind: str
    line: int
    text: str = ""
    term: _Term | None = None
    variables: tuple[str, ...] = ()
    body: list[_Node] = field(default_factory=list)
    otherwise: list[_Node] = field(default_factory=list)


class _Parser:
    """
    A template as a tree.
    """

    def __init__(self, template: str) -> None:
        self._tokens = list(_tokens(template))
        self._at = 0

    def whole(self) -> list[_Node]:
        found, end, line = self._block(0)
        if end:
            _refuse(line, f"{end} ends nothing")
        return found

    def _block(self, depth: int) -> tuple[list[_Node], str, int]:
        """
        Nodes up to `end`, `else`, or the end of the text: which, and its line.
        """
        found: list[_Node] = []
        while self._at < len(self._tokens):
            line, is_action, text = self._tokens[self._at]
            self._at += 1
            if not is_action:
                found.append(_Node("put", line, text=text))
                continue
            word = text.split(None, 1)[0] if text.strip() else ""
            if word in ("end", "else"):
                return found, " ".join(text.split()), line
            if word in ("if", "range", "with"):
                found.append(self._nested(word, text, line, depth + 1))
            elif text.startswith("/*"):
                if not text.endswith("*/"):
                    _refuse(line, "a comment is not closed")
            else:
                words = _Words(text, line)
                variables = words.variables()
                found.append(_Node("keep" if variables else "value", line, term=words.last(), variables=variables))
        return found, "", self._tokens[-1][0] if self._tokens else 1

    def _nested(self, word: str, text: str, line: int, depth: int) -> _Node:
        if depth > DEEPEST:
            _refuse(line, f"actions may be nested {DEEPEST} deep")
        words = _Words(text[text.index(word) + len(word) :], line)
        variables = words.variables()
        if len(variables) > (2 if word == "range" else 1):
            _refuse(line, f"{word} takes fewer variables")
        node = _Node(word, line, term=words.last(), variables=variables)
        node.body, end, at = self._block(depth)
        if end == "else":
            node.otherwise, end, at = self._block(depth)
        elif end.startswith("else if "):
            node.otherwise = [self._nested("if", end.removeprefix("else "), at, depth + 1)]
            return node  # the inner one has taken the end
        if end != "end":
            _refuse(at if end else line, f"{end} is not understood" if end else f"{word} has no end")
        return node


def _tokens(template: str) -> Iterator[tuple[int, bool, str]]:
    """
    Pieces in their order: line, whether it is an action, text. `-` at a brace takes blanks and lines away.
    """
    place, line, trims = 0, 1, False
    while (start := template.find("{{", place)) >= 0:
        before, end = template[place:start], template.find("}}", start)
        action = template[start + 2 : end]
        trims_before = action[:1] == "-" and action[1:2].isspace()
        yield line, False, _trimmed(before, trims, trims_before)
        line += before.count("\n")
        if end < 0:
            _refuse(line, "{{ is not closed")
        trims = action[-1:] == "-" and action[-2:-1].isspace()
        yield line, True, action[trims_before : len(action) - trims].strip()
        line += action.count("\n")
        place = end + 2
    yield line, False, _trimmed(template[place:], trims, False)


def _trimmed(text: str, left: bool, right: bool) -> str:
    text = text.lstrip(" \t\r\n") if left else text
    return text.rstrip(" \t\r\n") if right else text


class _Words:
    """
    What stands within an action.
    """

    def __init__(self, text: str, line: int) -> None:
        self._line = line
        self._words: list[tuple[str, str]] = []
        place = 0
        while text[place:].strip():
            match = _WORD.match(text, place)
            if match is None:
                _refuse(line, f"{_excerpt(text[place:])} is not understood")
            assert match.lastgroup is not None
            kind, word = match.lastgroup, match[match.lastgroup]
            is_behind = kind == "field" and word[0] == "." != word and text[place - 1 : place] == ")"
            self._words.append(("names" if is_behind and match[0] == word else kind, word))
            place = match.end()

    def variables(self) -> tuple[str, ...]:
        """
        Names before `:=`; none if nothing is kept.
        """
        if ("sign", ":=") not in self._words:
            if ("sign", "=") in self._words:
                _refuse(self._line, "variables are not changed; write :=")
            return ()
        end = self._words.index(("sign", ":="))
        names = [text for kind, text in self._words[:end] if (kind, text) != ("sign", ",")]
        if not names or any(not re.fullmatch(r"\$[A-Za-z_0-9]+", name) for name in names) or end != 2 * len(names) - 1:
            _refuse(self._line, "before := there must be a variable, such as $name")
        del self._words[: end + 1]
        return tuple(names)

    def last(self) -> _Term:
        """
        All that is left, one value.
        """
        found = self._call(0)
        if self._words:
            _refuse(self._line, f"{_excerpt(self._words[0][1])} is not understood here")
        return found

    def _call(self, depth: int) -> _Term:
        if self._words and self._words[0][0] == "name" and self._words[0][1] not in ("true", "false", "nil"):
            name = self._words.pop(0)[1]
            if name not in FUNCTIONS:
                _refuse(self._line, f"function {_excerpt(name)} is not known; known: {', '.join(sorted(FUNCTIONS))}")
            terms = []
            while self._words and self._words[0] != ("sign", ")"):
                terms.append(self._term(depth))
            least, most = FUNCTIONS[name].takes
            if not least <= len(terms) <= most:
                _refuse(self._line, f"function {name} takes {least} values" + (" or more" if most > least else ""))
            return _Term("call", name, terms=tuple(terms))
        return self._term(depth)

    def _term(self, depth: int) -> _Term:
        if not self._words:
            _refuse(self._line, "a value is missing")
        if depth > DEEPEST:
            _refuse(self._line, f"parentheses may be nested {DEEPEST} deep")
        kind, text = self._words.pop(0)
        if kind == "text":
            return _Term("value", text[1:-1] if text[0] == "`" else _ESCAPE.sub(_unescaped, text[1:-1]))
        if kind == "number":
            return _Term("value", int(text))
        if kind == "name" and text in ("true", "false"):
            return _Term("value", text == "true")
        if kind == "field":
            variable, *names = text.split(".")
            return _Term("field", variable, tuple(name for name in names if name))
        if (kind, text) == ("sign", "("):
            found = self._call(depth + 1)
            if not self._words or self._words.pop(0) != ("sign", ")"):
                _refuse(self._line, "a parenthesis is not closed")
            if self._words and self._words[0][0] == "names":
                return _Term("within", names=tuple(self._words.pop(0)[1][1:].split(".")), terms=(found,))
            return found
        _refuse(self._line, f"{_excerpt(text)} is not understood here")


def _unescaped(match: re.Match[str]) -> str:
    return _ESCAPES.get(match[1], match[0])


def _refuse(line: int, reason: str) -> NoReturn:
    raise InvalidTemplate(f"line {line}: {reason}")


def _excerpt(text: str) -> str:
    """
    What is not understood, as far as it is a name; templates may hold anything.
    """
    match = re.match(r"[$.]?[A-Za-z_][A-Za-z_0-9.]{0,39}|\W", text.strip(), re.ASCII)
    return match[0] if match else "this"


# --- running -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Scope:
    """
    What `.` is, and variables by name.
    """

    dot: Any
    variables: dict[str, Any]


class _Run:
    """
    One expansion.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given
        self._left = MOST_STEPS
        self._chars = 0
        self.pieces: list[str] = []
        self.fields: set[str] = set()

    def block(self, nodes: Sequence[_Node], scope: _Scope) -> None:
        """
        Put out what these nodes say. Variables that they make end with them.
        """
        scope = _Scope(scope.dot, dict(scope.variables))
        for node in nodes:
            self._left -= 1
            if self._left < 0:
                _refuse(node.line, f"the template takes more than {MOST_STEPS} steps")
            if node.kind == "put":
                self._put(node.text, node.line)
                continue
            assert node.term is not None
            value = self._value(node.term, scope, node.line)
            if node.kind == "value":
                self._put(_shown(value, node.line), node.line)
            elif node.kind == "keep":
                if len(node.variables) != 1:
                    _refuse(node.line, "only range has two variables")
                scope.variables[node.variables[0]] = value
            else:
                self._nested(node, value, scope)

    def _nested(self, node: _Node, value: Any, scope: _Scope) -> None:
        if node.kind != "range":
            if not _is_true(value):
                self.block(node.otherwise, scope)
                return
            inner = _Scope(value if node.kind == "with" else scope.dot, dict(scope.variables))
            inner.variables.update(dict.fromkeys(node.variables, value))
            self.block(node.body, inner)
            return
        if value is not None and not isinstance(value, list | tuple | Mapping):
            _refuse(node.line, "range needs a list")
        items = sorted(value.items()) if isinstance(value, Mapping) else list(enumerate(value or ()))
        for key, item in items:
            inner = _Scope(item, dict(scope.variables))
            inner.variables.update(zip(node.variables, (key, item) if len(node.variables) == 2 else (item,)))
            self.block(node.body, inner)
        if not items:
            self.block(node.otherwise, scope)

    def _put(self, text: str, line: int) -> None:
        self._chars += len(text)
        if self._chars > LONGEST_CHARS:
            _refuse(line, f"what comes out is longer than {LONGEST_CHARS} characters")
        self.pieces.append(text)

    def _value(self, term: _Term, scope: _Scope, line: int) -> Any:
        if term.kind == "value":
            return term.value
        if term.kind == "field":
            if term.value and term.value not in scope.variables:
                _refuse(line, f"variable {_excerpt(term.value)} is not known")
            return self._named(scope.variables[term.value] if term.value else scope.dot, term.names, line)
        if term.kind == "within":
            return self._named(self._value(term.terms[0], scope, line), term.names, line)
        function = FUNCTIONS[term.value]
        if term.value in ("and", "or"):  # Go 1.18: the first that decides
            value: Any = None
            for each in term.terms:
                value = self._value(each, scope, line)
                if _is_true(value) is (term.value == "or"):
                    break
            return value
        values = [self._value(each, scope, line) for each in term.terms]
        try:
            return function.run(*values)
        except (TypeError, IndexError, KeyError) as error:
            raise InvalidTemplate(f"line {line}: {term.value} cannot be had of these values") from error

    def _named(self, value: Any, names: Sequence[str], line: int) -> Any:
        for name in names:
            if not isinstance(value, Mapping) or name not in value:
                known = f"; known: {', '.join(sorted(value))}" if isinstance(value, Mapping) else ""
                _refuse(line, f"there is no field {name[:40]} here{known}")
            self.fields.add(name)
            value = value[name]
        return value


def _is_true(value: Any) -> bool:
    """
    Go's: neither false, nought, empty nor nothing.
    """
    return bool(value)


def _shown(value: Any, line: int) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, list | tuple) and all(isinstance(item, str | int) for item in value):
        return f"[{' '.join(map(str, value))}]"
    _refuse(line, "this is no text; write range, or one of its fields")


@dataclass(frozen=True, slots=True)
class Function:
    """
    What a template may call.

    Attributes:
        takes: fewest and most values.
        run: raises `TypeError` where Go refuses the types.
    """

    takes: tuple[int, int]
    run: Callable[..., Any]


def _alike(first: Any, *others: Any) -> None:
    """
    Go compares text with text, numbers with numbers.
    """
    for value in (first, *others):
        if type(value) is not type(first) or not isinstance(value, str | int):
            raise TypeError("of different types")


def _equal(first: Any, *others: Any) -> bool:
    _alike(first, *others)
    return first in others


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def run(one: Any, other: Any) -> bool:
        _alike(one, other)
        return compare(one, other)

    return run


def _index(value: Any, place: Any) -> Any:
    if isinstance(value, list | tuple) and (not isinstance(place, int) or place < 0):
        raise IndexError("outside")
    return value[place]


FUNCTIONS: dict[str, Function] = {
    "and": Function((1, 16), lambda *values: None),
    "or": Function((1, 16), lambda *values: None),
    "not": Function((1, 1), lambda value: not _is_true(value)),
    "eq": Function((2, 16), _equal),
    "ne": Function((2, 2), _ordered(lambda one, other: bool(one != other))),
    "lt": Function((2, 2), _ordered(lambda one, other: bool(one < other))),
    "le": Function((2, 2), _ordered(lambda one, other: bool(one <= other))),
    "gt": Function((2, 2), _ordered(lambda one, other: bool(one > other))),
    "ge": Function((2, 2), _ordered(lambda one, other: bool(one >= other))),
    "len": Function((1, 1), lambda value: 0 if value is None else len(value)),
    "index": Function((2, 2), _index),
}
"""
All there are.
"""
