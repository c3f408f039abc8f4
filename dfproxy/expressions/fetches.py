"""
The sample fetches that expressions know.

Each is a row: what arguments it takes, when it can be asked, of which type it is, and a function that makes the
function that fetches. A fetch that finds nothing gives None.

Source: HAProxy manual 7.3.2 to 7.3.6; those that DFP's manual, tests and users name.
"""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from dfproxy.expressions.clientcertificates import fingerprint_of, name_of, not_after, not_before, serial_of
from dfproxy.expressions.subject import Subject, Surroundings
from dfproxy.expressions.words import InvalidExpression
from dfproxy.model.connection import VERSIONS

Kind = Literal["text", "number", "flag", "address"]
Phase = Literal["both", "request", "answer"]
Found = bytes | int | bool | None
Fetching = Callable[[Subject], Found]
Several = Callable[[Subject], list[bytes]]


@dataclass(frozen=True, slots=True)
class Fetch:
    """
    A row.

    Attributes:
        kind: of what it gives.
        phase: where it can be asked.
        make: arguments and surroundings -> the fetching function; raises `InvalidExpression`.
        least: fewest arguments.
        most: most arguments.
        several: arguments -> a function that gives all values, for conditions; None: there is only one.
    """

    kind: Kind
    phase: Phase
    make: Callable[[tuple[str, ...], Surroundings], Fetching]
    least: int = 0
    most: int = 0
    several: Callable[[tuple[str, ...]], Several] | None = None


def _plain(fetching: Fetching) -> Callable[[tuple[str, ...], Surroundings], Fetching]:
    return lambda arguments, surroundings: fetching


def _tls(subject: Subject) -> Any:
    return getattr(subject.request, "tls", None)


def _certificate(subject: Subject) -> bool:
    tls = _tls(subject)
    return tls is not None and bool(tls.certificate)


def _of_tls(name: str) -> Fetching:
    def fetch(subject: Subject) -> Found:
        tls = _tls(subject)
        value = getattr(tls, name) if tls is not None else ""
        return (value.encode() if isinstance(value, str) else value) or None

    return fetch


def _distinguished(whose: Literal["subject", "issuer"]) -> Callable[[tuple[str, ...], Surroundings], Fetching]:
    """
    `ssl_c_s_dn`, or one part of it: `ssl_c_s_dn(OU)`, `ssl_c_s_dn(OU,-1)`.
    """

    def make(arguments: tuple[str, ...], surroundings: Surroundings) -> Fetching:
        entry = arguments[0] if arguments else ""
        if whose == "subject" and not entry:
            return _of_tls("subject")
        which = _number(arguments[1]) if len(arguments) > 1 else 1
        return _of_certificate(lambda encoded: name_of(encoded, whose, entry, which))

    return make


def _of_certificate(reading: Callable[[bytes], bytes | None]) -> Fetching:
    def fetch(subject: Subject) -> Found:
        tls = _tls(subject)
        return reading(tls.certificate) if tls is not None and tls.certificate else None

    return fetch


def _verify(subject: Subject) -> Found:
    tls = _tls(subject)
    return None if tls is None else int(tls.verify_result)


def _query(subject: Subject) -> Found:
    target: bytes = subject.request.target
    _, mark, query = target.partition(b"?")
    return query if mark else None


def _base(subject: Subject) -> Found:
    hosts = subject.request.values(b"host")
    path: bytes = subject.request.path
    return (hosts[0] if hosts else b"") + path


def parts(values: list[bytes]) -> list[bytes]:
    """
    Values of a field, cut at commas outside of quotes (HAProxy `hdr`).
    """
    found: list[bytes] = []
    for value in values:
        if b"," not in value:
            found.append(value)
            continue
        start, quoted = 0, False
        for place, byte in enumerate(value):
            if byte == 34:
                quoted = not quoted
            elif byte == 44 and not quoted:
                found.append(value[start:place].strip(b" \t"))
                start = place + 1
        found.append(value[start:].strip(b" \t"))
    return found


def _request_values(name: bytes) -> Several:
    return lambda subject: subject.request.values(name)


def _answer_values(name: bytes) -> Several:
    length = len(name)

    def values(subject: Subject) -> list[bytes]:
        answer = subject.answer
        if answer is None:
            return []
        return [
            line[length + 1 :].strip(b" \t")
            for line in answer.kept.split(b"\r\n")
            if line[length : length + 1] == b":" and line[:length].lower() == name
        ]

    return values


def _field(source: Callable[[bytes], Several], whole: bool) -> Fetch:
    """
    `hdr(name[,which])` cut at commas, and `fhdr(name[,which])` not; the last unless a number says which.
    """

    def several(arguments: tuple[str, ...]) -> Several:
        values = source(arguments[0].lower().encode())
        return values if whole else lambda subject: parts(values(subject))

    def make(arguments: tuple[str, ...], surroundings: Surroundings) -> Fetching:
        every = several(arguments)
        which = _number(arguments[1]) if len(arguments) > 1 and arguments[1] else -1

        def fetch(subject: Subject) -> Found:
            values = every(subject)
            if which > 0:
                return values[which - 1] if which <= len(values) else None
            return values[which] if which and -which <= len(values) else None

        return fetch

    phase: Phase = "request" if source is _request_values else "answer"
    return Fetch("text", phase, make, 1, 2, several)


def _cookie(arguments: tuple[str, ...], surroundings: Surroundings) -> Fetching:
    name = arguments[0].encode()

    def fetch(subject: Subject) -> Found:
        for line in subject.request.values(b"cookie"):
            for pair in line.split(b";"):
                found, equals, value = pair.partition(b"=")
                if equals and found.strip(b" \t") == name:
                    return value.strip(b" \t")
        return None

    return fetch


def _environment(arguments: tuple[str, ...], surroundings: Surroundings) -> Fetching:
    value = surroundings.environment.get(arguments[0], "").encode()
    return lambda subject: value or None


def _date(arguments: tuple[str, ...], surroundings: Surroundings) -> Fetching:
    offset, now = _number(arguments[0]) if arguments else 0, surroundings.now
    return lambda subject: int(now()) + offset


def _uuid(arguments: tuple[str, ...], surroundings: Surroundings) -> Fetching:
    if arguments and arguments[0] != "4":
        raise InvalidExpression("uuid knows version 4 only")
    random = surroundings.random
    return lambda subject: str(uuid.UUID(int=random.getrandbits(128), version=4)).encode()


def _rand(arguments: tuple[str, ...], surroundings: Surroundings) -> Fetching:
    end, random = _number(arguments[0]) if arguments else 1 << 32, surroundings.random
    if end < 1:
        raise InvalidExpression("rand takes a number above 0")
    return lambda subject: random.randrange(end)


def _constant(kind: str) -> Callable[[tuple[str, ...], Surroundings], Fetching]:
    def make(arguments: tuple[str, ...], surroundings: Surroundings) -> Fetching:
        text = arguments[0]
        value: Found = _number(text) if kind == "number" else text.encode()
        if kind == "flag":
            if text not in ("0", "1", "true", "false", "yes", "no"):
                raise InvalidExpression("bool takes true or false")
            value = text in ("1", "true", "yes")
        return lambda subject: value

    return make


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InvalidExpression(f"{text[:40]!r} is no number") from None


_VARIABLE_NAME = re.compile(r"(txn|req|res)\.[A-Za-z0-9_.]{1,64}", re.ASCII)


def variable_name(text: str) -> bytes:
    """
    The name of a variable, as `set-var` and `var` have it. Each lives as long as the request and its answer.

    Raises:
        InvalidExpression: it is none, or one of the connection or the process, which there are not.
    """
    if not _VARIABLE_NAME.fullmatch(text):
        raise InvalidExpression("a variable is called txn.NAME, req.NAME or res.NAME")
    return text.encode()


def _variable(arguments: tuple[str, ...], surroundings: Surroundings) -> Fetching:
    name = variable_name(arguments[0]).decode()
    return lambda subject: None if subject.variables is None else subject.variables.get(name)


def _parameters(arguments: tuple[str, ...]) -> Several:
    name = arguments[0].encode()

    def values(subject: Subject) -> list[bytes]:
        query = _query(subject)
        if not isinstance(query, bytes):
            return []
        pairs = (pair.partition(b"=") for pair in query.split(b"&"))
        return [value for found, equals, value in pairs if equals and found == name]

    return values


def _parameter(arguments: tuple[str, ...], surroundings: Surroundings) -> Fetching:
    every = _parameters(arguments)

    def fetch(subject: Subject) -> Found:
        values = every(subject)
        return values[0] if values else None

    return fetch


def _count(arguments: tuple[str, ...], surroundings: Surroundings) -> Fetching:
    every = _request_values(arguments[0].lower().encode())
    return lambda subject: len(parts(every(subject)))


def _path_and_query(subject: Subject) -> Found:
    path: bytes = subject.request.path
    query = _query(subject)
    return path + b"?" + query if isinstance(query, bytes) else path or None


def _nothing(arguments: tuple[str, ...], surroundings: Surroundings) -> Fetching:
    return lambda subject: None


FETCHES: dict[str, Fetch] = {
    "src": Fetch("address", "both", _plain(lambda s: s.request.client_host.encode() or None)),
    "src_port": Fetch("number", "both", _plain(lambda s: getattr(s.request, "client_port", 0))),
    "dst": Fetch("address", "both", _plain(lambda s: s.local_address.encode() or None)),
    "dst_port": Fetch("number", "both", _plain(lambda s: s.request.local_port)),
    "ssl_fc": Fetch("flag", "both", _plain(lambda s: _tls(s) is not None)),
    "ssl_fc_sni": Fetch("text", "both", _plain(_of_tls("server_name"))),
    "ssl_fc_has_crt": Fetch("flag", "both", _plain(_certificate)),
    "ssl_c_used": Fetch("flag", "both", _plain(_certificate)),
    "ssl_c_verify": Fetch("number", "both", _plain(_verify)),
    "ssl_fc_protocol": Fetch("text", "both", _plain(_of_tls("version"))),
    "ssl_fc_cipher": Fetch("text", "both", _plain(_of_tls("cipher"))),
    "ssl_c_s_dn": Fetch("text", "both", _distinguished("subject"), 0, 2),
    "ssl_c_i_dn": Fetch("text", "both", _distinguished("issuer"), 0, 2),
    "ssl_c_serial": Fetch("text", "both", _plain(_of_certificate(serial_of))),
    "ssl_c_sha1": Fetch("text", "both", _plain(_of_certificate(fingerprint_of))),
    "ssl_c_notbefore": Fetch("text", "both", _plain(_of_certificate(not_before))),
    "ssl_c_notafter": Fetch("text", "both", _plain(_of_certificate(not_after))),
    "ssl_c_der": Fetch("text", "both", _plain(_of_tls("certificate"))),
    "env": Fetch("text", "both", _environment, 1, 1),
    "date": Fetch("number", "both", _date, 0, 1),
    "uuid": Fetch("text", "both", _uuid, 0, 1),
    "rand": Fetch("number", "both", _rand, 0, 1),
    "str": Fetch("text", "both", _constant("text"), 1, 1),
    "int": Fetch("number", "both", _constant("number"), 1, 1),
    "bool": Fetch("flag", "both", _constant("flag"), 1, 1),
    "always_true": Fetch("flag", "both", _plain(lambda s: True)),
    "always_false": Fetch("flag", "both", _plain(lambda s: False)),
    "method": Fetch("text", "both", _plain(lambda s: s.request.method)),
    "path": Fetch("text", "request", _plain(lambda s: s.request.path or None)),
    "url": Fetch("text", "request", _plain(lambda s: s.request.target)),
    "query": Fetch("text", "request", _plain(_query)),
    "base": Fetch("text", "request", _plain(_base)),
    "hdr": _field(_request_values, whole=False),
    "req.hdr": _field(_request_values, whole=False),
    "req.fhdr": _field(_request_values, whole=True),
    "cook": Fetch("text", "request", _cookie, 1, 1),
    "req.cook": Fetch("text", "request", _cookie, 1, 1),
    "urlp": Fetch("text", "request", _parameter, 1, 1, _parameters),
    "url_param": Fetch("text", "request", _parameter, 1, 1, _parameters),
    "hdr_cnt": Fetch("number", "request", _count, 1, 1),
    "req.hdr_cnt": Fetch("number", "request", _count, 1, 1),
    "pathq": Fetch("text", "request", _plain(_path_and_query)),
    "var": Fetch("text", "both", _variable, 1, 1),
    "res.hdr": _field(_answer_values, whole=False),
    "res.fhdr": _field(_answer_values, whole=True),
    "status": Fetch("number", "answer", _plain(lambda s: s.answer.status if s.answer is not None else None)),
    # Groups of a user list; DFP's lists have none, so nobody is ever in one.
    "http_auth_group": Fetch("text", "request", _nothing, 1, 1),
}
"""
Name to row.
"""

SUFFIXED = {
    f"{base}_{method}": (base, method)
    for base in ("path", "url", "base", "hdr", "cook", "urlp")
    for method in ("beg", "end", "sub", "dir", "dom", "len", "reg")
}
"""
ACL criteria: `path_beg` is the fetch `path` compared with `-m beg` (manual 7.1).
"""


def variable(name: str, surroundings: Surroundings) -> Callable[[Subject], bytes] | None:
    """
    A log-format variable such as `ci` of `%ci`; None if there is no such one.

    Source: HAProxy manual 8.2.4.
    """
    now, hostname = surroundings.now, surroundings.hostname.encode()
    process = str(surroundings.process).encode()
    table: dict[str, Callable[[Subject], bytes]] = {
        "ci": lambda s: s.request.client_host.encode(),
        "cp": lambda s: b"%d" % getattr(s.request, "client_port", 0),
        "fi": lambda s: s.local_address.encode(),
        "fp": lambda s: b"%d" % s.request.local_port,
        "H": lambda s: hostname,
        "HM": lambda s: s.request.method,
        "HP": lambda s: s.request.path,
        "HQ": lambda s: b"?" + query if isinstance(query := _query(s), bytes) else b"",
        "HU": lambda s: s.request.target,
        "HV": lambda s: VERSIONS[getattr(s.request, "version", 1)].encode(),
        "b": lambda s: s.backend.encode(),
        "f": lambda s: b"services",
        "ft": lambda s: b"services~" if _tls(s) is not None else b"services",
        "s": lambda s: s.server.name.encode() if s.server is not None else b"<NOSRV>",
        "si": lambda s: s.server.host.encode() if s.server is not None else b"",
        "sp": lambda s: b"%d" % s.server.port if s.server is not None else b"0",
        "ID": lambda s: b"-",
        "Ts": lambda s: b"%d" % now(),
        "pid": lambda s: process,
    }
    if name == "rt":
        counter = iter(range(1 << 62))
        return lambda s: b"%d" % next(counter)
    if name in ("t", "T"):
        return lambda s: _stamp(now())
    return table.get(name)


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def _stamp(seconds: float) -> bytes:
    """
    As HAProxy's `%t`, in UTC: `24/Nov/2026:21:09:00.123`.
    """
    at = utc(seconds)
    milliseconds = int(seconds * 1000) % 1000
    return f"{at[2]:02}/{_MONTHS[at[1] - 1]}/{at[0]}:{at[3]:02}:{at[4]:02}:{at[5]:02}.{milliseconds:03}".encode()


def utc(seconds: float) -> tuple[int, int, int, int, int, int, int]:
    """
    Year, month, day, hour, minute, second, day of the week (Monday is 0).
    """
    at = datetime.fromtimestamp(seconds, UTC)
    return at.year, at.month, at.day, at.hour, at.minute, at.second, at.weekday()


def http_date(seconds: int) -> bytes:
    """
    RFC 9110 5.6.7.
    """
    at = utc(seconds)
    return (f"{_DAYS[at[6]]}, {at[2]:02} {_MONTHS[at[1] - 1]} {at[0]} {at[3]:02}:{at[4]:02}:{at[5]:02} GMT").encode()


def base64_of(value: bytes) -> bytes:
    """
    RFC 4648 section 4.
    """
    return base64.b64encode(value)
