"""
What one line of HAProxy configuration does: the words behind `http-request`, `http-response`, `redirect`,
`use_backend` and `monitor-uri`.

Source: HAProxy manual 4.2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from dfproxy.expressions.conditions import Holds, compile_condition
from dfproxy.expressions.converters import template
from dfproxy.expressions.fetches import Fetching, Phase, variable_name
from dfproxy.expressions.formats import Rendering, compile_format, compile_sample
from dfproxy.expressions.regex import Bounded, bounded
from dfproxy.expressions.rules import OWN_FIELDS
from dfproxy.expressions.samples import parse_sample
from dfproxy.expressions.subject import Surroundings
from dfproxy.expressions.words import InvalidExpression

REDIRECT_CODES = (301, 302, 303, 307, 308)

DENY_STATUSES = (200, 400, 401, 403, 404, 405, 408, 410, 413, 425, 429, 500, 501, 502, 503, 504)
"""
What `deny_status` may be: HAProxy's.
"""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_TYPE = re.compile(r"[ -~]{1,200}", re.ASCII)
_URI = re.compile(r"/[!-~]{0,255}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Action:
    """
    What one line does.

    Attributes:
        kind: the word behind `http-request` or `http-response`.
        holds: its condition; None: always.
        name: of a field, a variable or a backend.
        value: what is written, said or gone to.
        search: what a field or the path must contain to be replaced.
        status: of an answer of our own, or of one that is given another.
        fields: what an answer of our own has besides, name and value.
        words: flags of a redirect: `drop-query`, `append-slash`, `ignore-empty`, and how it leads elsewhere.
        fetching: what a variable is set to.
    """

    kind: str
    holds: Holds | None = None
    name: bytes = b""
    value: Rendering | bytes = b""
    search: Bounded | None = None
    status: int = 0
    fields: tuple[tuple[bytes, Rendering | bytes], ...] = ()
    words: tuple[str, ...] = ()
    fetching: Fetching | None = None


Reading = Callable[[list[str], Phase, Surroundings], Action]
"""
Takes the words of an action off the front of a list, up to its condition.
"""


def rule(
    words: Sequence[str], known: dict[str, Reading | None], phase: Phase, surroundings: Surroundings
) -> list[Action]:
    """
    The line behind `http-request` or `http-response`.

    Args:
        known: `REQUEST` or `ANSWER`.

    Returns:
        One action; none if it does nothing here.

    Raises:
        InvalidExpression: it is not understood.
    """
    name = words[0].partition("(")[0] if words else ""
    if name not in known:
        raise InvalidExpression("it does not say what is to be done, or something that is not known here")
    reading = known[name]
    if reading is None:  # nothing that concerns requests: only its condition is read
        end = next((at for at, word in enumerate(words) if word in ("if", "unless")), len(words))
        _conditional_rest(list(words[end:]), phase, surroundings)
        return []
    rest = list(words) if "(" in words[0] else list(words[1:])
    return conditional(name, rest, reading, phase, surroundings)


def conditional(
    kind: str, words: Sequence[str], reading: Reading, phase: Phase, surroundings: Surroundings
) -> list[Action]:
    """
    An action with its condition.

    Args:
        kind: what it is called, unless reading it says otherwise.
        words: behind its name.

    Raises:
        InvalidExpression: it is not understood.
    """
    rest = list(words)
    action = reading(rest, phase, surroundings)
    return [replace(action, kind=action.kind or kind, holds=_conditional_rest(rest, phase, surroundings))]


def _conditional_rest(rest: list[str], phase: Phase, surroundings: Surroundings) -> Holds | None:
    if not rest:
        return None
    if rest[0] not in ("if", "unless"):
        raise InvalidExpression("if, unless or the end is expected behind its words; a value with blanks needs quotes")
    return compile_condition(rest, phase, surroundings)


def _take(rest: list[str], what: str) -> str:
    if not rest or rest[0] in ("if", "unless"):
        raise InvalidExpression(f"{what} is missing")
    return rest.pop(0)


def _field_name(rest: list[str]) -> bytes:
    name = _take(rest, "the name of a header")
    if not _TOKEN.fullmatch(name):
        raise InvalidExpression("this is no name of a header")
    if name.lower() in OWN_FIELDS:
        raise InvalidExpression(f"{name} is written by the proxy itself")
    return name.encode()


def _set_header(rest: list[str], phase: Phase, surroundings: Surroundings) -> Action:
    name = _field_name(rest)
    text = _take(rest, "the value")
    if not text:
        raise InvalidExpression("the value is missing")  # as HAProxy has it
    return Action("", name=name, value=compile_format(text, phase, surroundings))


def _del_header(rest: list[str], phase: Phase, surroundings: Surroundings) -> Action:
    name = _field_name(rest)
    if rest and rest[0] == "-m":
        raise InvalidExpression("only whole names can be deleted, without -m")
    return Action("", name=name)


def _replace_header(rest: list[str], phase: Phase, surroundings: Surroundings) -> Action:
    name = _field_name(rest)
    return replace(_replacement(rest, phase, surroundings), name=name)


def _replacement(rest: list[str], phase: Phase, surroundings: Surroundings) -> Action:
    search = bounded(_take(rest, "the regular expression"))
    text = _take(rest, "what it is replaced with")
    value = compile_format(text, phase, surroundings)
    if isinstance(value, bytes):
        template(value, search)  # refuses references to groups that there are not
    return Action("", value=value, search=search)


def _value(rest: list[str], phase: Phase, surroundings: Surroundings) -> Action:
    return Action("", value=compile_format(_take(rest, "the value"), phase, surroundings))


def _redirect(rest: list[str], phase: Phase, surroundings: Surroundings) -> Action:
    return _redirection(rest, lambda text: compile_format(text, phase, surroundings))


def redirect_text(rest: list[str], phase: Phase, surroundings: Surroundings) -> Action:
    """
    The words behind `redirect`, whose value is no log format.
    """
    return _redirection(rest, str.encode)


def _redirection(rest: list[str], render: Callable[[str], Rendering | bytes]) -> Action:
    status, how, value = 302, "", b""  # type: tuple[int, str, Rendering | bytes]
    flags: list[str] = []
    fields: list[tuple[bytes, Rendering | bytes]] = []
    while rest and rest[0] not in ("if", "unless"):
        word = rest.pop(0)
        if word in ("location", "prefix", "scheme"):
            if how:
                raise InvalidExpression("a redirect has one of location, prefix and scheme")
            text = _take(rest, f"what follows {word}")
            if word == "scheme" and text not in ("http", "https"):
                raise InvalidExpression("the scheme of a redirect is http or https")
            how, value = word, b"" if word == "prefix" and text == "/" else render(text)
        elif word == "code":
            status = _status(rest, REDIRECT_CODES)
        elif word in ("drop-query", "append-slash", "ignore-empty"):
            flags.append(word)
        elif word in ("set-cookie", "clear-cookie"):
            fields.append((b"Set-Cookie", _cookie(_take(rest, "the cookie"), word == "clear-cookie")))
        else:
            raise InvalidExpression(
                "a redirect has location, prefix or scheme, and code, drop-query, append-slash, ignore-empty, "
                "set-cookie, clear-cookie; something else is not known"
            )
    if not how:
        raise InvalidExpression("a redirect needs location, prefix or scheme")
    return Action("redirect", value=value, status=status, fields=tuple(fields), words=(how, *flags))


def _cookie(text: str, clear: bool) -> bytes:
    name, equals, _ = text.partition("=")
    if not _TOKEN.fullmatch(name) or any(character in text for character in "; \t,"):
        raise InvalidExpression("a cookie is NAME or NAME=value")
    if clear:
        return f"{name}{equals}; path=/; Max-Age=0;".encode()
    return f"{text}; path=/;".encode()


def _status(rest: list[str], known: Iterable[int]) -> int:
    text = _take(rest, "the status")
    if text not in map(str, known):
        raise InvalidExpression(f"the status must be one of {', '.join(map(str, known))}")
    return int(text)


def _deny(rest: list[str], phase: Phase, surroundings: Surroundings) -> Action:
    status = 403
    if rest and rest[0] in ("deny_status", "status"):
        rest.pop(0)
        status = _status(rest, DENY_STATUSES)
    if rest and rest[0] in ("content-type", "string", "lf-string", "hdr"):
        return replace(_reply(rest, status, phase, surroundings), kind="return")
    if rest and rest[0] not in ("if", "unless"):
        raise InvalidExpression("deny has deny_status, content-type, string, lf-string and hdr; not files of pages")
    return Action("deny", status=status)


def _return(rest: list[str], phase: Phase, surroundings: Surroundings) -> Action:
    return _reply(rest, 200, phase, surroundings)


def _reply(rest: list[str], status: int, phase: Phase, surroundings: Surroundings) -> Action:
    """
    An answer of our own. A body without a type is no answer that HAProxy knows.
    """
    value: Rendering | bytes = b""
    kind = ""
    has_body = False
    fields: list[tuple[bytes, Rendering | bytes]] = []
    while rest and rest[0] not in ("if", "unless"):
        word = rest.pop(0)
        if word == "status":
            text = _take(rest, "the status")
            if not re.fullmatch(r"[2-5][0-9][0-9]", text) or text in ("204", "205", "304"):
                raise InvalidExpression("the status must be 200 to 599, and one that may have a body")
            status = int(text)
        elif word == "content-type":
            kind = _take(rest, "the type")
            if not _TYPE.fullmatch(kind):
                raise InvalidExpression("this is no media type")
        elif word in ("string", "lf-string"):
            text, has_body = _take(rest, "the text"), True
            value = compile_format(text, phase, surroundings) if word == "lf-string" else text.encode()
        elif word == "hdr":
            name = _field_name(rest)
            fields.append((name, compile_format(_take(rest, "the value"), phase, surroundings)))
        else:
            raise InvalidExpression("an answer has status, content-type, string, lf-string and hdr; no files")
    if has_body and not kind:
        raise InvalidExpression("a text needs its content-type, such as content-type text/plain")
    if has_body:
        fields.insert(0, (b"Content-Type", kind.encode()))
    return Action("return", value=value, status=status, fields=tuple(fields))


def _set_variable(rest: list[str], phase: Phase, surroundings: Surroundings) -> Action:
    """
    `set-var(txn.x) EXPRESSION`, `set-var-fmt(txn.x) FORMAT`.
    """
    word = _take(rest, "the name of the variable")
    name, is_format = _variable(word), word.startswith("set-var-fmt")
    text = _take(rest, "the expression")
    if is_format:
        return Action("set-var", name=name, value=compile_format(text, phase, surroundings))
    sample, _ = parse_sample(text)
    return Action("set-var", name=name, fetching=compile_sample(sample, phase, surroundings)[0])


def _unset_variable(rest: list[str], phase: Phase, surroundings: Surroundings) -> Action:
    return Action("unset-var", name=_variable(_take(rest, "the name of the variable")))


def _variable(word: str) -> bytes:
    _, opening, inner = word.partition("(")
    if not opening or not inner.endswith(")"):
        raise InvalidExpression("write the name of the variable behind it, such as set-var(txn.host)")
    return variable_name(inner[:-1])


def _allow(rest: list[str], phase: Phase, surroundings: Surroundings) -> Action:
    return Action("allow")


def _set_status(rest: list[str], phase: Phase, surroundings: Surroundings) -> Action:
    text = _take(rest, "the status")
    if not re.fullmatch(r"[2-5][0-9][0-9]", text) or text in ("204", "205", "304"):
        raise InvalidExpression("the status must be 200 to 599, and one that may have a body")
    reason = b""
    if rest and rest[0] == "reason":
        rest.pop(0)
        reason = _take(rest, "the reason").encode()
    return Action("set-status", status=int(text), value=reason)


def use_backend(rest: list[str], phase: Phase, surroundings: Surroundings) -> Action:
    """
    The name of a backend.
    """
    name = _take(rest, "the name of a backend")
    if "%" in name:
        raise InvalidExpression("the backend must be a name, nothing that is worked out for each request")
    return Action("use_backend", name=name.encode())


def monitor(words: Sequence[str]) -> Action:
    """
    The path behind `monitor-uri`, answered before all rules. HAProxy compares the whole target.

    Raises:
        InvalidExpression: it is none.
    """
    if len(words) != 1 or not _URI.fullmatch(words[0]):
        raise InvalidExpression("write monitor-uri and a path, such as monitor-uri /alive")
    wanted = words[0].encode()
    body = b"<html><body><h1>200 OK</h1>\nService ready.\n</body></html>\n"
    fields = ((b"Cache-Control", b"no-cache"), (b"Content-Type", b"text/html"))
    return Action("return", lambda subject: bool(subject.request.target == wanted), b"", body, None, 200, fields)


REQUEST: dict[str, Reading | None] = {
    "set-header": _set_header,
    "add-header": _set_header,
    "del-header": _del_header,
    "replace-header": _replace_header,
    "replace-value": _replace_header,
    "set-path": _value,
    "set-pathq": _value,
    "set-query": _value,
    "set-uri": _value,
    "replace-path": _replacement,
    "replace-pathq": _replacement,
    "replace-uri": _replacement,
    "redirect": _redirect,
    "deny": _deny,
    "return": _return,
    "set-var": _set_variable,
    "set-var-fmt": _set_variable,
    "unset-var": _unset_variable,
    "allow": _allow,
    "capture": None,
    "set-log-level": None,
    "set-nice": None,
    "strict-mode": None,
    "disable-l7-retry": None,
    "wait-for-handshake": None,
}
"""
What may follow `http-request`; None: nothing that we have.
"""

ANSWER: dict[str, Reading | None] = {
    "set-header": _set_header,
    "add-header": _set_header,
    "del-header": _del_header,
    "replace-header": _replace_header,
    "replace-value": _replace_header,
    "set-status": _set_status,
    "set-var": _set_variable,
    "set-var-fmt": _set_variable,
    "unset-var": _unset_variable,
    "allow": _allow,
    "capture": None,
    "set-log-level": None,
    "set-nice": None,
    "strict-mode": None,
}
"""
What may follow `http-response`.
"""
