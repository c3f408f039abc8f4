"""
`explain`: where a request would go, and why, without sending it.

`GET .../explain?url=http://host/path&method=GET&header=Name:value&port=443&client=10.0.0.7`. A worker is asked, which
carries the request through everything that decides about it. JSON, or lines for a terminal (`format=text`, or
`Accept: text/plain`).

Source: ours; `dfproxy.control.explaining`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any, cast
from urllib.parse import quote, urlsplit

from twisted.internet.defer import Deferred

from dfproxy.api.access import Answer, Parameters, parameters, refusal
from dfproxy.api.control import Control
from dfproxy.api.request import Request
from dfproxy.api.verbs import WaitingVerb
from dfproxy.errors import ClientProtocolError, Problem
from dfproxy.wire.h1 import request_head

EXAMPLE = "url=http://acme.com/demo/hello"

URL_CHARS = 8192
"""
Longest URL; a request line of that length would be refused anyway (414).
"""

HEADERS = 100
"""
Most headers of the request that is explained.
"""

_AS_THEY_ARE = "!\"$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
"""
Characters of a target that are sent as they were given; the rest is encoded, as browsers do it.
"""

_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,40}", re.ASCII)
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}", re.ASCII)
_LINE_END = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class WrongQuestion(Exception):
    """
    A parameter that is missing or makes no sense.
    """

    def __init__(self, name: str, value: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.problem = Problem(name, value[:200], reason)


class Explain(WaitingVerb):
    """
    200 the explanation, also of a request that would be refused; 400 a parameter that makes no sense; 503 no worker
    has answered in time.
    """

    async def _answer(self, request: Request) -> Answer | None:
        control = self._control
        try:
            given = parameters(request)
            as_text = _wants_text(request, given)
            asked = question(given, control)
        except WrongQuestion as error:
            problem = error.problem
            listed = {"Parameter": problem.parameter, "Value": problem.value, "Reason": problem.reason}
            return Answer(400, {"Status": "NOK", "Message": str(error), "Problems": [listed]})
        answers = await cast("Deferred[list[Any]]", control.data_plane.query("explain", asked))
        found = next((answer for answer in answers if isinstance(answer, dict)), None)
        if found is None:
            return refusal(503, "no worker has answered in time; try again", 1)
        revision = control.publisher.snapshot.revision
        told = {
            "Request": {
                "Method": asked["head"].split(b" ", 1)[0].decode(),
                "Url": given.value("url"),
                "Port": asked["port"],
                "Tls": asked["tls"],
                "Client": asked["client"],
            },
            **found,
        }
        if as_text:
            _write_text(request, "".join(f"{line}\n" for line in lines(told)))
            return None
        return Answer(
            200,
            {"Status": "OK", "Message": found.get("Outcome", "")}
            | told
            | {"Revision": {"Number": revision.number, "Hash": revision.digest}},
        )


def question(given: Parameters, control: Control) -> dict[str, Any]:
    """
    What the data plane is asked.

    Raises:
        WrongQuestion: a parameter makes no sense.
    """
    url = given.value("url")
    if not url:
        raise WrongQuestion("url", "", f"is missing; give what would be asked for, such as {EXAMPLE}")
    if len(url) > URL_CHARS:
        raise WrongQuestion("url", url, f"is longer than {URL_CHARS} characters")
    fields = _fields(given)
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError as error:
        raise WrongQuestion("url", url, f"is no URL: {error}") from error
    if parts.scheme not in ("http", "https", "") or not (host or url.startswith("/")):
        raise WrongQuestion("url", url, f"must be a URL of http or https, or a path; write {EXAMPLE}")
    tls = parts.scheme == "https" if not given.value("tls") else given.flag("tls")
    target = (quote(parts.path, _AS_THEY_ARE) or "/") + (f"?{quote(parts.query, _AS_THEY_ARE)}" if parts.query else "")
    if not any(name.lower() == "host" for name, _ in fields):
        if not host:
            raise WrongQuestion("url", url, f"has no host, and there is no header=Host:...; write {EXAMPLE}")
        fields.insert(0, ("Host", _host(url, host)))
    method = given.value("method") or "GET"
    if not _METHOD.fullmatch(method):
        raise WrongQuestion("method", method, "is no method, such as GET")
    head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields) + "\r\n"
    encoded = head.encode()
    limits = control.settings.limits
    try:
        request_head(encoded, 0, limits.request_head_bytes, limits.fields)
    except ClientProtocolError as error:
        raise WrongQuestion("url", url, f"such a request is answered {error.status} at once: {error}") from error
    client, client_port = _client(given)
    return {
        "head": encoded,
        "port": _port(given, control, tls),
        "tls": tls,
        "client": client,
        "client_port": client_port,
    }


def _host(url: str, host: str) -> str:
    """
    What stands in the Host field: names that are not ASCII as DNS has them.
    """
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode()
    except UnicodeError as error:
        raise WrongQuestion("url", url, f"its host is no name: {error}") from error


def _fields(given: Parameters) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in (*given.query, *given.form):
        if name.lower() != "header" or not value:
            continue
        field, colon, text = value.partition(":")
        if not colon or not _NAME.fullmatch(field):
            raise WrongQuestion("header", value, "must be a name and a value, such as header=X-Version:2")
        if _LINE_END.search(text):
            raise WrongQuestion("header", value, "has a line break or another control character")
        found.append((field, text.strip()))
        if len(found) > HEADERS:
            raise WrongQuestion("header", value, f"is given more than {HEADERS} times")
    return found


def _port(given: Parameters, control: Control, tls: bool) -> int:
    """
    The listener that the client has connected to: unless it is said, the usual one, or the first of its kind.
    """
    text = given.value("port")
    if text:
        if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535):
            raise WrongQuestion("port", text, "must be the port of a listener, 1 to 65535")
        return int(text)
    usual = 443 if tls else 80
    listeners = control.settings.listeners
    ports = [listener.port for listener in listeners if listener.tls == tls] or [each.port for each in listeners]
    return usual if usual in ports or not ports else ports[0]


def _client(given: Parameters) -> tuple[str, int]:
    text = given.value("client") or "127.0.0.1"
    host, port = text, "40000"
    if text.count(":") == 1:
        host, _, port = text.partition(":")
    elif text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") or port
    try:
        address = str(ip_address(host))
    except ValueError:
        raise WrongQuestion("client", text, "must be an IP address, such as 10.0.0.7 or 10.0.0.7:4711") from None
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        raise WrongQuestion("client", text, "has no port behind its colon, 0 to 65535")
    return address, int(port)


def _wants_text(request: Request, given: Parameters) -> bool:
    wanted = given.value("format").lower()
    if wanted not in ("", "json", "text"):
        raise WrongQuestion("format", wanted, "must be json or text")
    accept = request.getHeader(b"Accept") or b""
    return wanted == "text" or (not wanted and accept.split(b",")[0].split(b";")[0].strip() == b"text/plain")


def _write_text(request: Request, text: str) -> None:
    body = text.encode("utf-8", "replace")
    request.setResponseCode(200)
    request.setHeader(b"Content-Type", b"text/plain; charset=utf-8")
    request.setHeader(b"Content-Length", b"%d" % len(body))
    request.write(body)
    request.finish()


def lines(told: dict[str, Any]) -> Iterator[str]:
    """
    The explanation for people.
    """
    asked = told["Request"]
    tls = " with TLS" if asked["Tls"] else ""
    yield f"{asked['Method']} {asked['Url']} from {asked['Client']} on port {asked['Port']}{tls}"
    yield f"  {told.get('Outcome', '')}"
    route = told.get("Route")
    if route:
        default = ", the default: no route takes the request" if route["Default"] else ""
        yield f"route {route['Backend']} of service {route['Service']}{default}"
        for verdict in route["Conditions"]:
            yield f"  {_verdict(verdict)}"
        for step in route["Steps"]:
            yield f"  {step['Parameter']}: {step['Does']}"
    for effect in told.get("Effects") or ():
        yield f"  {effect}"
    if "Server" in told:
        server = told["Server"]
        usable = f"{told['UsableServers']} of {told['Servers']} may be used"
        named = f"{server['Name']} {server['Address']}:{server['Port']}" if server else "none"
        yield f"server {named}: {told['Why']}; {usable}"
    passed = told.get("PassedOver") or ()
    if passed:
        yield "passed over:"
    for one in passed:
        yield f"  {one['Backend']}: {'; '.join(_verdict(verdict) for verdict in one['Failed'])}"
    if left := told.get("LeftOut"):
        yield f"  and {left} more routes that were not as close"


def _verdict(verdict: dict[str, Any]) -> str:
    sign = "yes" if verdict["Holds"] else "no"
    has = f", is {verdict['Found']}" if verdict["Found"] else ""
    return f"{sign}: {verdict['Condition']} {verdict['Wanted']}{has}"
