"""
How the text of an option becomes a value: one small parser for each kind.

Each takes the text as given and raises `ValueError` with a reason for the operator: what is wrong, what would be right.
Nothing here knows which option it is parsing for. Somewhat long, but one thing: the kinds of values that options have.

Source: DFP's variables; HAProxy `bind`, `balance`, time format.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address, ip_network

from dfproxy.model.listener import Listener
from dfproxy.model.service import Balance
from dfproxy.model.settings import Tls
from dfproxy.observe.accesslog import FORMATS
from dfproxy.observe.logformat import HTTP, TCP, Field, UnknownFormat, compile_format

Parser = Callable[[str], object]

LONGEST_S = 2147483.0
"""
Longest time, in seconds: HAProxy counts milliseconds in 31 bits (24.8 days).
"""

LISTENER_PORT = 8080
"""
Where Docker Flow Swarm Listener listens.
"""

_UNITS_S = {"": 1.0, "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_UNITS_BYTES = {"": 1, "b": 1, "k": 1 << 10, "kib": 1 << 10, "m": 1 << 20, "mib": 1 << 20, "g": 1 << 30, "gib": 1 << 30}
_NUMBER = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\Z")
_WORD = re.compile(r"[A-Za-z0-9_-]+\Z")
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\Z")
_BALANCE = re.compile(r"([A-Za-z0-9_-]+)(?:\(([^()]*)\))?((?:\s+[^\s()]+)*)\Z")
_YES = frozenset(("1", "t", "true", "on", "yes"))
_NO = frozenset(("0", "f", "false", "off", "no"))
_HOST_FORMS = ("beg", "dir", "dom", "end", "len", "reg", "sub")

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")

LONGEST_CAPTURES = 800
"""
Bytes of captured fields in one access line, all together: with the rest they fit into a line.
"""

BIND_WORDS = {
    "accept-proxy": 0,
    "defer-accept": 0,
    "tfo": 0,
    "transparent": 0,
    "v4v6": 0,
    "v6only": 0,
    "ssl": 0,
    "no-sslv3": 0,
    "no-tlsv10": 0,
    "no-tlsv11": 0,
    "no-tlsv12": 0,
    "no-tls-tickets": 0,
    "strict-sni": 0,
    "allow-0rtt": 0,
    "alpn": 1,
    "npn": 1,
    "backlog": 1,
    "ca-file": 1,
    "ciphers": 1,
    "ciphersuites": 1,
    "crt": 1,
    "curves": 1,
    "ecdhe": 1,
    "id": 1,
    "interface": 1,
    "maxconn": 1,
    "mss": 1,
    "name": 1,
    "nice": 1,
    "process": 1,
    "ssl-max-ver": 1,
    "ssl-min-ver": 1,
    "tcp-ut": 1,
    "verify": 1,
}
"""
Words that may follow a port, and how many words each takes with it (HAProxy `bind`).
"""

BIND_INSTEAD = {
    **dict.fromkeys(("alpn", "npn"), "ENABLE_H2"),
    **dict.fromkeys(("ciphers", "ciphersuites"), "SSL_BIND_CIPHERS"),
    **dict.fromkeys(("curves", "ecdhe", "ssl-max-ver", "ssl-min-ver"), "SSL_BIND_OPTIONS"),
    **dict.fromkeys(("no-sslv3", "no-tlsv10", "no-tlsv11", "no-tlsv12"), "SSL_BIND_OPTIONS"),
    **dict.fromkeys(("no-tls-tickets", "strict-sni"), "SSL_BIND_OPTIONS"),
    "crt": "CERTS_DIR",
    "maxconn": "MAX_CONNECTIONS",
}
"""
Words behind one port that have no effect here, and what says the same for all ports.
"""

TLS_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
"""
Versions of TLS, from the lowest to the highest; they sort as text.
"""

TLS_WORDS = {
    "allow-0rtt": 0,
    "alpn": 1,
    "ciphersuites": 1,
    "client-sigalgs": 1,
    "curves": 1,
    "ecdhe": 1,
    "force-tlsv10": 0,
    "force-tlsv11": 0,
    "force-tlsv12": 0,
    "force-tlsv13": 0,
    "no-ca-names": 0,
    "no-sslv3": 0,
    "no-tls-tickets": 0,
    "no-tlsv10": 0,
    "no-tlsv11": 0,
    "no-tlsv12": 0,
    "no-tlsv13": 0,
    "prefer-client-ciphers": 0,
    "sigalgs": 1,
    "ssl-max-ver": 1,
    "ssl-min-ver": 1,
    "strict-sni": 0,
}
"""
Words of `SSL_BIND_OPTIONS`, and how many words each takes with it.
"""


def text(value: str) -> str:
    """
    Any text without control characters.
    """
    if any(ord(c) < 32 or ord(c) == 127 for c in value):
        raise ValueError("holds control characters")
    return value


def lines(value: str) -> str:
    """
    Any text; lines may end in it.
    """
    text(value.replace("\n", " ").replace("\r", " ").replace("\t", " "))
    return value


def switch(value: str) -> bool:
    """
    Yes or no, as DFP and HAProxy users write it.
    """
    word = value.strip().lower()
    if word in _YES:
        return True
    if word in _NO:
        return False
    raise ValueError("is neither true nor false")


def word_of(*known: str) -> Callable[[str], str]:
    """
    One of these words, in any case.
    """

    def parse(value: str) -> str:
        word = value.strip().lower()
        if word not in known:
            raise ValueError(f"is not known; known: {', '.join(known)}")
        return word

    return parse


def word(value: str) -> str:
    """
    The name of something: letters, digits, `-`, `_`.
    """
    if not _WORD.match(value.strip()):
        raise ValueError("is no name: letters, digits, - and _ only")
    return value.strip()


def count(low: int, high: int) -> Callable[[str], int]:
    """
    A whole number of a range.
    """

    def parse(value: str) -> int:
        digits = value.strip()
        if not (digits.isascii() and digits.isdigit()):
            raise ValueError(f"is no whole number; give {low} to {high}")
        number = int(digits) if len(digits) < 20 else high + 1
        if not low <= number <= high:
            raise ValueError(f"is out of range; give {low} to {high}")
        return number

    return parse


def workers(value: str) -> int | None:
    """
    Number of data-plane processes; None stands for `auto`.
    """
    if value.strip().lower() == "auto":
        return None
    try:
        return count(0, 256)(value)
    except ValueError as error:
        raise ValueError(f"{error}, or auto") from None


def seconds(low: float = 0.001, high: float = LONGEST_S) -> Callable[[str], float]:
    """
    A time in seconds; `ms`, `s`, `min`, `h` and `d` may follow the number.
    """

    def parse(value: str) -> float:
        found = _NUMBER.match(value.strip())
        unit = found[2].lower() if found else ""
        if unit == "m":
            # DFP appends an s, so 5m is read as 5 ms there; who writes it means minutes.
            raise ValueError("has a doubtful unit; write min for minutes or ms for milliseconds")
        if found is None or unit not in _UNITS_S:
            raise ValueError("is no time; give seconds, such as 20 or 1.5, or 500ms, 5min, 1h")
        time_s = float(found[1]) * _UNITS_S[unit]
        if not low <= time_s <= high:
            raise ValueError(f"is out of range; give {low:g} to {high:.0f} seconds")
        return time_s

    return parse


def size(low: int, high: int) -> Callable[[str], int]:
    """
    A number of bytes; `k` (KiB), `m` or `g` may follow the number.
    """

    def parse(value: str) -> int:
        found = _NUMBER.match(value.strip())
        if found is None or found[2].lower() not in _UNITS_BYTES:
            raise ValueError("is no size; give bytes, such as 16384, or 16k, 1m")
        number = float(found[1]) * _UNITS_BYTES[found[2].lower()]
        if not low <= number <= high:
            raise ValueError(f"is out of range; give {low} to {high} bytes")
        return int(number)

    return parse


def address(value: str) -> str:
    """
    An IP address; empty: all.
    """
    stripped = value.strip()
    if not stripped:
        return ""
    return _ip(stripped.removeprefix("[").removesuffix("]"))


def addresses(value: str) -> tuple[str, ...]:
    """
    IP addresses, separated by commas; `*` and nothing: all.
    """
    items = [item.strip() for item in value.split(",") if item.strip()]
    return tuple("" if item == "*" else address(item) for item in items)


def _ip(value: str) -> str:
    try:
        return str(ip_address(value))
    except ValueError:
        raise ValueError(f"{value} is no IP address") from None


def networks(value: str) -> tuple[str, ...]:
    """
    IP networks, separated by commas: `10.0.0.0/8,192.168.1.1`.
    """
    found = []
    for item in filter(None, (part.strip() for part in value.split(","))):
        try:
            found.append(str(ip_network(item, strict=False)))
        except ValueError:
            raise ValueError(f"{item} is no network; give such as 10.0.0.0/8") from None
    return tuple(found)


def path(value: str) -> str:
    """
    The path of a file or folder.
    """
    if not value.strip():
        raise ValueError("is no path")
    return text(value)


def optional_path(value: str) -> str:
    """
    The path of a file, or nothing for none.
    """
    return text(value)


def globs(value: str) -> tuple[str, ...]:
    """
    Patterns of file names, separated by commas; `*` is any text.
    """
    return tuple(item for item in (part.strip() for part in text(value).split(",")) if item)


def tls_options(value: str) -> Tls:
    """
    Words of HAProxy's `ssl-default-bind-options`, as far as they are about `Tls`.

    A word of HAProxy's that cannot be followed is in `Tls.unheeded`; one that asks for what would then be missing
    (`verify`, a version that nobody speaks any more) is refused.

    Source: DFP `SSL_BIND_OPTIONS`.
    """
    words = text(value).split()
    found: dict[str, object] = {}
    lowest, unheeded = "", []
    while words:
        name = words.pop(0)
        takes = TLS_WORDS.get(name)
        if takes is None:
            raise ValueError(f"{name} is not known; known: {', '.join(sorted(TLS_WORDS))}")
        if takes and not words:
            raise ValueError(f"{name} needs a value after it")
        argument = words.pop(0) if takes else ""
        if argument == "TLSv1.0":
            argument = "TLSv1"  # HAProxy's name of it
        if name in ("ssl-min-ver", "ssl-max-ver"):
            if argument not in TLS_VERSIONS:
                raise ValueError(f"{name} {argument}: is none of {', '.join(TLS_VERSIONS)}")
            found["min_version" if name == "ssl-min-ver" else "max_version"] = argument
        elif name in ("no-tlsv10", "no-tlsv11", "no-tlsv12"):
            lowest = max(lowest, TLS_VERSIONS[int(name[-1]) + 1])
        elif name == "no-tlsv13":
            found["max_version"] = "TLSv1.2"
        elif name.startswith("force-"):
            found["min_version"] = found["max_version"] = TLS_VERSIONS[int(name[-1])]  # force-tlsv12
        elif name == "no-tls-tickets":
            found["tickets"] = False
        elif name == "prefer-client-ciphers":
            found["server_order"] = False
        elif name == "strict-sni":
            found["strict_sni"] = True
        elif name in ("curves", "ecdhe") and ":" not in argument:
            found["curve"] = argument
        elif name != "no-sslv3":
            unheeded.append(f"{name} {argument}".rstrip())
    if "min_version" not in found:
        found["min_version"] = max(lowest, Tls().min_version)
    if found.get("max_version") and str(found["max_version"]) < str(found["min_version"]):
        raise ValueError("leaves no version: the highest is below the lowest")
    return Tls(**found, unheeded=tuple(unheeded))  # type: ignore[arg-type]  # gathered above, each in its type


def url(value: str) -> str:
    """
    Where an API is: `unix:///var/run/docker.sock`, `tcp://host:2375`, `http://...`, `https://...`; empty: nowhere.
    """
    if value and not re.match(r"(unix|tcp|http|https)://[^\s]+\Z", value):
        raise ValueError("is no address of an API; give such as unix:///var/run/docker.sock or http://host:2375")
    return value


def separator(value: str) -> str:
    """
    What separates list items: any text without control characters.
    """
    if not value:
        raise ValueError("is empty; give what separates the items of a list, such as a comma")
    return text(value)


def milliseconds(value: str) -> float:
    """
    A whole number of milliseconds, above 0.

    Returns:
        Seconds.
    """
    return int(count(1, int(LONGEST_S) * 1000)(value)) / 1000


def host(value: str) -> str:
    """
    The name of a host or service.
    """
    stripped = value.strip()
    if not _NAME.match(stripped):
        raise ValueError("is no name: letters, digits, -, _ and dots only")
    return stripped


def hosts(value: str) -> tuple[tuple[str, int], ...]:
    """
    Hosts with ports, separated by commas: `swarm-listener`, `listener:8081`, `[fd00::1]:8080`; port 8080 unless given.

    Source: DFP `LISTENER_ADDRESS`, whose port was fixed when fetching and not when asking for notices.
    """
    found = []
    for item in filter(None, (part.strip() for part in text(value).split(","))):
        name, colon, port = item.rpartition(":")
        if not colon or item.endswith("]"):
            name, port = item, str(LISTENER_PORT)
        try:
            name = _ip(name[1:-1]) if name.startswith("[") else host(name)
            found.append((name, count(1, 65535)(port)))
        except ValueError as error:
            raise ValueError(f"{item}: {error}; give host or host:port") from None
    return tuple(dict.fromkeys(found))


def ports(value: str) -> tuple[Listener, ...]:
    """
    Ports of the data plane, separated by commas: `<port>[ <bind options>][:ssl]`, such as `80,443 accept-proxy:ssl`.

    Returns:
        Listeners without an address yet.

    Source: DFP `DEFAULT_PORTS`, `BIND_PORTS`: `:ssl` may stand anywhere in an item.
    """
    return tuple(_listener(item) for item in value.split(",") if item.strip())


def _listener(item: str) -> Listener:
    words = text(item).replace(":ssl", " ").split()
    if not words:
        raise ValueError("an item has :ssl and no port; write such as 443:ssl")
    try:
        port = count(0, 65535)(words[0])
    except ValueError as error:
        raise ValueError(f"port {words[0]} {error}") from None
    options = words[1:]
    at = 0
    while at < len(options):
        takes = BIND_WORDS.get(options[at])
        if takes is None:
            raise ValueError(f"port {port}: {options[at]} is no bind option; known: {', '.join(sorted(BIND_WORDS))}")
        if at + takes >= len(options):
            raise ValueError(f"port {port}: {options[at]} needs a value after it")
        if options[at] == "ca-file" or options[at : at + 2] in (["verify", "optional"], ["verify", "required"]):
            # To pass over it would let everybody in.
            raise ValueError(f"port {port}: {options[at]} is not for one port; client certificates: --ca-file")
        if options[at] == "interface":  # likewise: it would be open on all of them
            raise ValueError(f"port {port}: interface is not for one port; addresses of all: --bind-address")
        at += 1 + takes
    plain = tuple(word for word in options if word != "ssl")
    return Listener("", port, tls=":ssl" in item or "ssl" in options, options=plain)


def unheeded(listeners: Iterable[Listener]) -> list[str]:
    """
    A line for each bind option that would change something and has no effect here.
    """
    found = []
    for listener in listeners:
        at = 0
        while at < len(listener.options):
            name = listener.options[at]
            if name in BIND_INSTEAD:
                found.append(
                    f"port {listener.port}: {name} has no effect for one port; {BIND_INSTEAD[name]} is for all"
                )
            at += 1 + BIND_WORDS[name]
    return found


def balance(value: str) -> Balance:
    """
    A strategy with its words: `leastconn`, `hdr(X-User)`, `uri depth 3`. Whether there is one is found out later.

    Source: HAProxy `balance`.
    """
    found = _BALANCE.match(text(value).strip())
    if found is None:
        raise ValueError("is no strategy; write such as leastconn, hdr(X-User) or uri depth 3")
    inner = () if found[2] is None or not found[2].strip() else tuple(part.strip() for part in found[2].split(","))
    return Balance(found[1], inner + tuple(found[3].split()))


def host_form(value: str) -> str:
    """
    How domains are compared: `hdr_beg(host)` and its relatives.

    Source: DFP `SERVICE_DOMAIN_ALGO`, contract 4.4.
    """
    form = "".join(value.split())
    if form.lower() in ("hdr(host)", "req.ssl_sni", *(f"hdr_{form}(host)" for form in _HOST_FORMS)):
        return form.lower()
    raise ValueError(f"is not known; known: hdr(host), {', '.join(f'hdr_{form}(host)' for form in _HOST_FORMS)}")


def access_log(value: str) -> tuple[str, str]:
    """
    Where access lines go, and how they look.

    `off`; `json` or `httplog` for standard output; `-` or a path for JSON there; `httplog:/path` for both.

    Returns:
        Path (empty: off, `-`: standard output) and `json` or `httplog`.
    """
    stripped = text(value).strip()
    if stripped.lower() in ("", "off", "none"):
        return "", "json"
    form, colon, where = stripped.partition(":")
    if form not in FORMATS:
        form, colon, where = "json", ":", stripped
    if not colon:
        where = "-"
    if where != "-" and "/" not in where:
        raise ValueError("is not known; give off, json, httplog, -, a path with a slash, or json:PATH, httplog:PATH")
    return where, form


def captured(value: str) -> tuple[tuple[str, int], ...]:
    """
    Header fields that access lines show: `Name:length,...` (DFP `CAPTURE_REQUEST_HEADER`).
    """
    found = []
    for item in filter(None, map(str.strip, text(value).split(","))):
        name, _, length = item.partition(":")
        if not _TOKEN.match(name) or not re.fullmatch("[0-9]{1,9}", length) or not int(length):
            raise ValueError("is not NAME:LENGTH,..., such as User-Agent:64,Referer:100")
        found.append((name, int(length)))
    if sum(length for _, length in found) > LONGEST_CAPTURES:
        raise ValueError(f"has lengths that are more than {LONGEST_CAPTURES} bytes together")
    return tuple(found)


def stats_uri(value: str) -> str:
    """
    What the address of the statistics begins with.
    """
    if not re.fullmatch(r"/[!-~]*", value):
        raise ValueError("is not a path, such as /admin?stats")
    return value


def http_format(value: str) -> str:
    """
    A log format of HTTP access lines; compiled where they are written.
    """
    return _log_format(value, HTTP)


def tcp_format(value: str) -> str:
    """
    The same of TCP.
    """
    return _log_format(value, TCP)


def _log_format(value: str, known: Mapping[str, Field]) -> str:
    try:
        compile_format(text(value), known)
    except UnknownFormat as error:
        raise ValueError(str(error)) from error
    return value


def fixed_name(value: str) -> tuple[str, tuple[str, ...]]:
    """
    Addresses of a name: `NAME=ADDR[,ADDR...]`.

    Returns:
        Name in lower case without a last dot, and its IP addresses as given.
    """
    name, equals, given = value.strip().partition("=")
    if not equals or not _NAME.match(name.rstrip(".")):
        raise ValueError("is not NAME=ADDR[,ADDR...]")
    found = addresses(given)
    if not found or "" in found:
        raise ValueError("is not NAME=ADDR[,ADDR...]: no IP address")
    return name.rstrip(".").lower(), found


def query(value: str) -> str:
    """
    A service as the query of a reconfigure call: `serviceName=x&servicePath=/x&port=80`.
    """
    stripped = text(value).strip().removeprefix("?")
    names = {pair.partition("=")[0].lower() for pair in stripped.split("&") if pair.partition("=")[2]}
    if "servicename" not in names:
        raise ValueError("is no service; write a query such as serviceName=go-demo&servicePath=/demo&port=8080")
    return stripped
