"""
Does what lines of HAProxy configuration say, as `dfproxy.expressions.directives` has read them.

Rules about requests are run one after the other; the first that answers ends it, and `allow` ends it without an
answer. What they make is checked where it could end a line or a message: a target is encoded, a field cannot hold a
line break.

Source: HAProxy manual 4.2, `http-request`, `http-response`, `redirect`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from http import HTTPStatus

from dfproxy.exchange import editing
from dfproxy.exchange.stepped import Said
from dfproxy.expressions.actions import Action
from dfproxy.expressions.conditions import Holds
from dfproxy.expressions.converters import TooLong, template
from dfproxy.expressions.formats import LONGEST_VALUE_BYTES, Rendering, unprintable
from dfproxy.expressions.regex import Bounded
from dfproxy.expressions.subject import Subject
from dfproxy.model.ending import DENIED, Ending
from dfproxy.wire.h1 import RequestHead, ResponseHead
from dfproxy.wire.headers import first, without

PAGES = frozenset({400, 401, 403, 405, 408, 413, 429, 500, 502, 503, 504})
"""
Statuses that have a page, which may be the operator's own; other refusals have one of ours.
"""

BODILESS = (204, 304)
"""
Statuses without a body (RFC 9110 6.4.1): an answer does not become such a one or cease to be.
"""

ALLOWED = Said(0, b"", b"", b"")
"""
What `allow` says: no further rule of this list.
"""

Run = Callable[[RequestHead, Subject], "Said | None"]
Done = Callable[[ResponseHead, Subject], bool]

_REFERENCE = re.compile(rb"\\(?:([0-9])|x([0-9A-Fa-f]{2})|(.))", re.DOTALL)
_COMMA = re.compile(rb'((?:[^,"]|"[^"]*"|")+)')


def compile_request(actions: Sequence[Action]) -> Run | None:
    """
    Rules about requests as one function, which changes the head in place.

    Returns:
        None if there are none. The function returns an answer of ours, or None if the request goes on; it raises
        `TooLong` where a regular expression cannot be used.
    """
    if not actions:
        return None
    rules = tuple((action.holds, _request_rule(action)) for action in actions)

    def run(request: RequestHead, subject: Subject) -> Said | None:
        for holds, act in rules:
            if holds is None or holds(subject):
                said = act(request, subject)
                if said is not None:
                    return None if said is ALLOWED else said
        return None

    return run


def compile_answer(actions: Sequence[Action]) -> Callable[[ResponseHead, Subject], None] | None:
    """
    Rules about answers as one function, which changes the head in place; None if there are none.
    """
    if not actions:
        return None
    rules: tuple[tuple[Holds | None, Done], ...] = tuple((action.holds, _answer_rule(action)) for action in actions)

    def run(head: ResponseHead, subject: Subject) -> None:
        subject.answer = head
        for holds, act in rules:
            if (holds is None or holds(subject)) and act(head, subject):
                return

    return run


def in_turn(
    first: Callable[[ResponseHead, Subject], None] | None, then: Callable[[ResponseHead, Subject], None] | None
) -> Callable[[ResponseHead, Subject], None] | None:
    """
    Two functions as one; None if there is neither.
    """
    if first is None or then is None:
        return then if first is None else first

    def run(head: ResponseHead, subject: Subject) -> None:
        first(head, subject)
        then(head, subject)

    return run


# --- requests --------------------------------------------------------------------------------------------------


def _request_rule(action: Action) -> Run:
    kind, value = action.kind, action.value
    if kind in ("deny", "return"):
        return _reply(action)
    if kind == "redirect":
        return _redirect(action)
    if kind == "allow":
        return lambda request, subject: ALLOWED
    if kind in ("set-var", "unset-var"):
        set_variable = _variable(action)
        return lambda request, subject: set_variable(subject)
    if kind.endswith("-header") or kind == "replace-value":
        return _request_field(action)
    change = _TARGETS[kind]
    if action.search is not None:
        return _replaced_target(kind, action.search, value, change)

    def step(request: RequestHead, subject: Subject) -> None:
        if request.path:  # `OPTIONS *` has none
            change(request, value if isinstance(value, bytes) else value(subject))

    return step


_TARGETS: dict[str, Callable[[RequestHead, bytes], None]] = {
    "set-path": editing.set_path,
    "set-pathq": editing.set_path_and_query,
    "set-query": editing.set_query,
    "set-uri": editing.set_target,
    "replace-path": editing.set_path,
    "replace-pathq": editing.set_path_and_query,
    "replace-uri": editing.set_target,
}


def _replaced_target(
    kind: str, search: Bounded, value: Rendering | bytes, change: Callable[[RequestHead, bytes], None]
) -> Run:
    """
    All of it becomes the replacement, if the expression is found in it.
    """
    make = _replacing(search, value)

    def step(request: RequestHead, subject: Subject) -> None:
        text = request.path
        if not text:
            return
        if kind == "replace-uri":
            text = request.target
        elif kind == "replace-pathq":
            text += b"".join(request.target.partition(b"?")[1:])
        new = make(text, subject)
        if new is not None:
            change(request, new)

    return step


def _request_field(action: Action) -> Run:
    name, value, kind = action.name, action.value, action.kind
    lowered = name.lower()
    is_host = lowered == b"host"
    if action.search is not None:
        lines = _replaced_lines(lowered, kind == "replace-value", _replacing(action.search, value))

        def replacing(request: RequestHead, subject: Subject) -> None:
            editing.rewrite(request, lambda section: lines(section, subject))
            if is_host:
                editing.host_changed(request)

        return replacing
    line = b"%b: %b\r\n" % (name, value) if isinstance(value, bytes) else b""

    def step(request: RequestHead, subject: Subject) -> None:
        if kind == "del-header":
            editing.replace(request, lowered, b"")
        else:
            made = line if isinstance(value, bytes) else b"%b: %b\r\n" % (name, value(subject))
            if kind == "add-header":
                editing.append(request, made)
            else:
                editing.replace(request, lowered, made)
        if is_host:
            editing.host_changed(request)

    return step


def _variable(action: Action) -> Callable[[Subject], None]:
    name, fetching, value = action.name.decode(), action.fetching, action.value

    def step(subject: Subject) -> None:
        found: bytes | int | None = None
        if action.kind == "set-var":
            try:
                found = (
                    fetching(subject) if fetching is not None else value if isinstance(value, bytes) else value(subject)
                )
            except TooLong:
                found = None
        if subject.variables is None:
            subject.variables = {}
        if found is None:
            # What finds nothing leaves the variable as it is (manual, `set-var`).
            if action.kind == "unset-var":
                subject.variables.pop(name, None)
        else:
            subject.variables[name] = found

    return step


def _reply(action: Action) -> Run:
    """
    An answer of ours: a refusal with its page, or what the line says.
    """
    status, value, fields = action.status, action.value, action.fields
    if action.kind == "deny" and status in PAGES:
        refusal = Said.refusal(DENIED if status == DENIED.status else Ending(DENIED.word, DENIED.flags, status))
        return lambda request, subject: refusal
    if action.kind == "deny":
        phrase = _phrase(status)
        value = b"<!DOCTYPE html>\n<html><body><h1>%d %b</h1></body></html>\n" % (status, phrase)
        fields = ((b"Cache-Control", b"no-cache"), (b"Content-Type", b"text/html"))
    line = b"HTTP/1.1 %d %b\r\n" % (status, _phrase(status))

    def step(request: RequestHead, subject: Subject) -> Said:
        made = b"".join(
            [b"%b: %b\r\n" % (name, text if isinstance(text, bytes) else text(subject)) for name, text in fields]
        )
        return Said(status, line, made, value if isinstance(value, bytes) else value(subject))

    return step


def _phrase(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b"Unknown"


def _redirect(action: Action) -> Run:
    """
    Send the client elsewhere: to a place, to this target behind a prefix, or to this host by another scheme.
    """
    how, *flags = action.words
    status, value, cookies = action.status, action.value, action.fields
    drops_query, adds_slash, ignores_empty = ("drop-query" in flags, "append-slash" in flags, "ignore-empty" in flags)
    line = b"HTTP/1.1 %d %b\r\n" % (status, _phrase(status))
    rest = b"".join([b"%b: %b\r\n" % (name, text) for name, text in cookies if isinstance(text, bytes)])
    if status in (302, 303, 307):
        rest += b"Cache-Control: no-cache\r\n"

    def step(request: RequestHead, subject: Subject) -> Said | None:
        where = value if isinstance(value, bytes) else value(subject)
        if ignores_empty and not where:
            return None
        if how != "location":
            if how == "scheme":
                where += b"://" + (first(request.section, b"host") or b"")
            path, mark, query = (request.path or b"/"), b"", b""
            _, mark, query = request.target.partition(b"?")
            if drops_query:
                where += path + (b"/" if adds_slash and path[-1:] != b"/" else b"")
            else:
                where += path + mark + query
        return Said(status, line, b"Location: %b\r\n%b" % (where, rest), b"")

    return step


# --- answers ---------------------------------------------------------------------------------------------------


def _answer_rule(action: Action) -> Done:
    """
    Returns:
        A function that says whether no further rule is to be run.
    """
    kind, name, value = action.kind, action.name, action.value
    lowered = name.lower()
    if kind == "allow":
        return lambda head, subject: True
    if kind in ("set-var", "unset-var"):
        set_variable = _variable(action)
        return lambda head, subject: set_variable(subject) is not None
    if kind == "set-status":
        return _set_status(action.status, value if isinstance(value, bytes) else b"")
    if action.search is not None:
        lines = _replaced_lines(lowered, kind == "replace-value", _replacing(action.search, value))

        def replacing(head: ResponseHead, subject: Subject) -> bool:
            try:
                head.kept = lines(head.kept, subject)
            except TooLong:
                head.kept = without(head.kept, lowered)  # nothing goes out that the rule was to change
            return False

        return replacing

    def step(head: ResponseHead, subject: Subject) -> bool:
        made = b"" if kind == "del-header" else value if isinstance(value, bytes) else value(subject)
        if kind != "add-header":
            head.kept = without(head.kept, lowered)
        if kind != "del-header":
            head.kept += b"%b: %b\r\n" % (name, made)
        return False

    return step


def _set_status(status: int, reason: bytes) -> Done:
    line = b"HTTP/1.1 %d %b\r\n" % (status, reason or _phrase(status))

    def step(head: ResponseHead, subject: Subject) -> bool:
        if head.status >= 200 and head.status not in BODILESS:
            head.status, head.line = status, line
        return False

    return step


# --- regular expressions ---------------------------------------------------------------------------------------


def _replacing(search: Bounded, value: Rendering | bytes) -> Callable[[bytes, Subject], bytes | None]:
    """
    A function of a text: what it becomes, or None if the expression is not found in it.
    """
    pattern, longest = search.pattern, search.longest_bytes
    made = template(value, search) if isinstance(value, bytes) else None

    def replaced(text: bytes, subject: Subject) -> bytes | None:
        if len(text) > longest:
            raise TooLong
        match = pattern.search(text)
        if match is None:
            return None
        new = made(match) if made is not None else _expanded(value(subject), match)  # type: ignore[operator]  # no bytes
        if len(new) > LONGEST_VALUE_BYTES:
            raise TooLong
        return unprintable(new)

    return replaced


def _expanded(replacement: bytes, match: re.Match[bytes]) -> bytes:
    """
    References in a text made for this request: one to no group is empty.
    """

    def piece(found: re.Match[bytes]) -> bytes:
        if found[1]:
            number = int(found[1])
            return (match[number] or b"") if number <= match.re.groups else b""
        return bytes([int(found[2], 16)]) if found[2] else found[3]

    return _REFERENCE.sub(piece, replacement)


def _replaced_lines(
    name: bytes, each: bool, replaced: Callable[[bytes, Subject], bytes | None]
) -> Callable[[bytes, Subject], bytes]:
    """
    A function of field lines: values of a name are replaced as a whole, or (`each`) what stands between commas.
    """
    length = len(name)

    def change(section: bytes, subject: Subject) -> bytes:
        lines = section.split(b"\r\n")
        for at, line in enumerate(lines):
            if line[length : length + 1] != b":" or line[:length].lower() != name:
                continue
            value = line[length + 1 :].strip(b" \t")
            if each:
                new: bytes | None = _COMMA.sub(lambda part: _part(part[0], subject), value)
            else:
                new = replaced(value, subject)
            if new is not None:
                lines[at] = b"%b: %b" % (line[:length], new)
        return b"\r\n".join(lines)

    def _part(part: bytes, subject: Subject) -> bytes:
        new = replaced(part.strip(b" \t"), subject)
        return part if new is None else new  # without the blanks around it, as HAProxy has it

    return change
