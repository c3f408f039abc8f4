"""
Services and requests by chance: services that overlap, requests that one of them takes, or just misses.
"""

from __future__ import annotations

import random
import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass

from tests.oracle import words
from tests.oracle.asked import Asked, Misses

Definition = dict[str, str]

SERVICES = (2, 4)
"""Fewest and most services of a table."""


@dataclass(frozen=True)
class Place:
    """
    What the oracle can bind and start.

    Attributes:
        ports: plain ones, then that with TLS.
        servers: ports of the servers of a destination, by service and index: the first, the second, and that for https.
        trusting: the client's address is believed to proxies.
    """

    ports: tuple[int, ...]
    servers: dict[tuple[int, int], tuple[int, int, int]]
    trusting: bool = False


class Drawing:
    """
    Draws one table, and then requests for it.

    Args:
        chance: decides everything.
        place: what there is.
    """

    def __init__(self, chance: random.Random, place: Place) -> None:
        self._chance = chance
        self._place = place
        self._misses = Misses(chance, place.ports)
        self._paths: list[str] = ["/", "/a"]
        self._hosts: list[str] = ["a.b"]
        self._shared: list[tuple[Definition, str, str]] = []
        self.definitions: list[Definition] = []
        for number in range(chance.randint(*SERVICES)):
            self.definitions.append(self._definition(number))

    def _is(self, probability: float) -> bool:
        # An integer of few values: of larger ones, and of floats, hypothesis likes some better than others.
        return self._chance.randrange(100) >= 100 - round(100 * probability)

    # --- services ----------------------------------------------------------------------------------------------

    def _definition(self, number: int) -> Definition:
        chance = self._chance
        given: Definition = {"serviceName": f"s{number}"}
        if self._is(0.4):
            given["aclName"] = chance.choice(("10-x", "2-x", "A", "a", "b", "c"))
        form = chance.choice((*words.HOST_FORMS, "hdr(host)", "hdr(host)")) if self._is(0.7) else ""
        if form:
            given["serviceDomainAlgo"] = form
        elif self._is(0.15):
            given["serviceDomainMatchAll"] = "true"
        self._of_service(given)
        several = self._is(0.35)
        for index in (0, 1) if several else (0,):
            shared = None
            if index == 0 and self.definitions and self._is(0.7):
                other = chance.choice(self.definitions)
                shared = self._place_in(other, self._mark_of(other))
                self._shared.append((given, *shared))
            self._destination(given, number, index, f".{index + 1}" if several else "", form, shared)
        return given

    def _mark_of(self, given: Definition) -> str:
        """
        What stands behind the names of one of its destinations.
        """
        marks = [name.removeprefix("servicePath") for name in given if name.startswith("servicePath.")]
        return self._chance.choice(marks or [""])

    def _place_in(self, given: Definition, mark: str) -> tuple[str, str]:
        """
        A path and a host that this destination takes.
        """
        path = self._path_in(given.get(f"pathType{mark}", "path_beg"), given[f"servicePath{mark}"])
        form = given.get("serviceDomainAlgo", "hdr_beg(host)")
        return path, self._host_in(form, given.get(f"serviceDomain{mark}", ""))

    def _of_service(self, given: Definition) -> None:
        chance = self._chance
        for name, probability, values in (
            ("isDefaultBackend", 0.06, ("true",)),
            ("addReqHeader", 0.12, words.REQUEST_RULES),
            ("addHeader", 0.05, words.REQUEST_RULES),
            ("setReqHeader", 0.12, words.REQUEST_RULES),
            ("setHeader", 0.05, words.REQUEST_RULES),
            ("delReqHeader", 0.1, words.DELETED),
            ("addResHeader", 0.1, words.RESPONSE_RULES),
            ("setResHeader", 0.1, words.RESPONSE_RULES),
            ("delResHeader", 0.1, words.DELETED_ANSWERS),
            ("backendExtra", 0.12, words.EXTRAS),
            ("compressionAlgo", 0.15, ("gzip", "deflate", "gzip deflate", "raw-deflate", "identity")),
            (
                "connectionMode",
                0.08,
                ("http-server-close", "httpclose", "forceclose", "http-keep-alive", "http-tunnel"),
            ),
            ("redirectWhenHttpProto", 0.06, ("true",)),
            ("redirectUnlessHttpsProto", 0.05, ("true",)),
            ("balance", 0.1, ("roundrobin", "leastconn", "random", "first", "uri", "source")),
            ("replicas", 0.05, ("2", "1")),
            ("checkResolvers", 0.05, ("true",)),
            ("discoveryType", 0.04, ("DNS",)),
        ):
            if self._is(probability):
                given[name] = chance.choice(values)
        if "compressionAlgo" in given and self._is(0.5):
            given["compressionType"] = chance.choice(("text/", "text/plain application/json", "image/"))
        if self._is(0.06):
            given["reqPathSearch"] = chance.choice(("/a", "b$", "x1"))
            given["reqPathReplace"] = chance.choice(("/z", "/a/q", "y"))
        if self._is(0.12):
            given["sessionType"] = "sticky-server"
            if self._is(0.5):
                given["stickyValue"] = chance.choice(("place", "address"))
        if self._is(0.12):
            given["users"] = chance.choice(("alice:wonderland", "alice:wonderland,bob:Builder9", "bob:Builder9"))
        elif self._is(0.04):
            given["usersSecret"] = "nobody"
        if self._is(0.03):
            given |= {"users": f"alice:{words.HASH}", "usersPassEncrypted": "true"}

    def _destination(
        self,
        given: Definition,
        number: int,
        index: int,
        mark: str,
        host_form: str,
        shared: tuple[str, str] | None,
    ) -> None:
        """
        Draw one.

        Args:
            shared: path and host that another service takes, and this one shall take, too.
        """
        chance = self._chance
        first, second, https = self._place.servers[number, index]
        form = chance.choice(chance.choice(words.PATH_FORM_GROUPS))
        if form:
            given[f"pathType{mark}"] = form
        paths = [self._path(form) for _ in range(chance.choice((1, 1, 2, 3)))]
        domains = (
            [self._domain(host_form) for _ in range(chance.choice((1, 1, 2)))]
            if self._is(0.5 if shared is None else 0.7)
            else []
        )
        if shared is not None:
            paths[0] = self._around(form, shared[0])
            if domains:
                domains[0] = self._host_around(host_form, shared[1])
        given[f"servicePath{mark}"] = ",".join(paths)
        if shared is None and self._is(0.25):
            given[f"servicePathExclude{mark}"] = self._path(form)
        if domains:
            given[f"serviceDomain{mark}"] = ",".join(domains)
            plain = all(domain.replace(".", "").replace("-", "").isalnum() for domain in domains)
            if plain and not host_form.startswith(("hdr_reg", "hdr_len")) and self._is(0.12):
                given[f"redirectFromDomain{mark}"] = ",".join(self._word(words.HOST_PIECES, 3) for _ in range(2))
        given[f"port{mark}"] = str(first)
        if self._is(0.25):
            given[f"endpoints{mark}"] = f"127.0.0.1:{first},127.0.0.1:{second}"
        else:
            given[f"outboundHostname{mark}"] = "127.0.0.1"
            if self._is(0.12):
                given[f"httpsPort{mark}"] = str(https)
                if self._is(0.7):
                    given[f"srcHttpsPort{mark}"] = str(self._place.ports[-1])
                given[f"srcPort{mark}"] = str(chance.choice(self._place.ports[:-1]))
        for name, probability, values in (
            ("serviceHeader", 0.12, ("X-A:1", "X-B:a b", "X-A:1,X-B:a b", "x-a:2")),
            ("userAgent", 0.1, tuple(words.AGENTS)),
            ("srcPort", 0.12, tuple(map(str, self._place.ports))),
            ("httpsOnly", 0.06, ("true",)),
            ("denyHttp", 0.05, ("true",)),
            ("allowedMethods", 0.08, ("GET,PUT", "POST,GET", "GET,HEAD,OPTIONS")),
            ("deniedMethods", 0.06, ("PUT", "get,POST", "DELETE,HEAD")),
            ("allowFrom", 0.08, words.NETWORKS),
            ("denyFrom", 0.06, words.NETWORKS),
            ("verifyClientSsl", 0.03, ("true",)),
            ("reqPathSearchReplace", 0.12, words.REWRITES),
            ("timeoutServer", 0.05, ("15", "30")),
            ("timeoutTunnel", 0.05, ("60",)),
            ("userDef", 0.04, ("anything",)),
        ):
            narrows = shared is not None and name in ("serviceHeader", "userAgent", "srcPort") and not self._is(0.3)
            if f"{name}{mark}" not in given and not narrows and self._is(probability):
                given[f"{name}{mark}"] = chance.choice(values)
        redirects = (f"httpsOnly{mark}", "redirectWhenHttpProto", "redirectUnlessHttpsProto")
        if any(name in given for name in redirects) and self._is(0.5):
            given[f"httpsRedirectCode{mark}"] = chance.choice(("301", "302", "303", "307", "308"))
        if ("users" in given or self._place.trusting) and self._is(0.3):
            given[f"ignoreAuthorization{mark}"] = "true"

    def _word(self, pieces: Sequence[str], most: int) -> str:
        return "".join(self._chance.choice(pieces) for _ in range(self._chance.randint(1, most)))

    def _path(self, form: str) -> str:
        """
        A value for `servicePath`: often a part of one that is there, so that both take the same requests.
        """
        chance = self._chance
        if form.endswith("_reg"):
            return chance.choice(tuple(words.PATH_REGEXES))
        known = chance.choice(self._paths) if self._is(0.6) else "/" + self._word(words.PIECES, 3).lstrip("/")
        if form.endswith("_len"):
            return str(len(known) + chance.choice((0, 0, 0, 1)))
        if form.startswith(("path_end", "url_end", "path_sub", "url_sub", "path -m", "path_di", "path_do", "url_di")):
            known = self._around(form, known)
        elif self._is(0.3):
            known += chance.choice(words.PIECES)
        elif self._is(0.3) and len(known) > 1:
            known = known[: chance.randint(1, len(known))]
        if form.startswith(("path", "url")) and not known.startswith("/") and self._is(0.2):
            known = f"/{known}"
        self._paths.append(known if known.startswith("/") else f"/{known}")
        return known

    def _around(self, form: str, path: str) -> str:
        """
        A value for `servicePath` that takes this path.
        """
        chance = self._chance
        start = chance.randint(0, len(path) - 1)
        if "_reg" in form:
            fitting = [regex for regex in words.PATH_REGEXES if re.search(regex, path)]
            return chance.choice([*fitting, f"^{path.replace('.', '[.]')}$"])
        if "_len" in form:
            return str(len(path))
        if "_end" in form:
            return path[start:]
        if "_sub" in form or " -m" in form:
            return path[start : start + chance.randint(1, 4)]
        if "_di" in form or "_do" in form:
            split = path.split("/") if "_di" in form else re.split("[/.]", path)
            return chance.choice([part for part in split if part] or ["a"])
        if "_beg" in form or not form:
            path = path[: chance.randint(1, len(path))]
        return path.swapcase() if "-i" in form and self._is(0.5) else path

    def _host_around(self, form: str, host: str) -> str:
        """
        A value for `serviceDomain` that takes this host.
        """
        chance = self._chance
        start = chance.randint(0, len(host) - 1)
        if self._is(0.25):
            plain = host.partition(":")[0]
            return f"*{plain[min(start, max(len(plain) - 1, 0)) :] or 'a'}"
        if form.startswith("hdr_reg"):
            fitting = [regex for regex in words.HOST_REGEXES if re.search(regex, host, re.IGNORECASE)]
            return chance.choice([*fitting, f"^{host.replace('.', '[.]')}$"])
        if form.startswith("hdr_len"):
            return str(len(host))
        if form.startswith("hdr_end"):
            return host[start:]
        if form.startswith("hdr_sub"):
            return host[start : start + chance.randint(1, 3)]
        if form.startswith("hdr_dom"):
            return chance.choice([part for part in re.split("[.:]", host) if part] or ["a"])
        if form.startswith("hdr_beg") or not form:
            return host[: chance.randint(1, len(host))]
        return host

    def _domain(self, form: str) -> str:
        """
        A value for `serviceDomain`.
        """
        chance = self._chance
        if form.startswith("hdr_reg"):
            return chance.choice(tuple(words.HOST_REGEXES))
        known = chance.choice(self._hosts) if self._is(0.6) else self._word(words.HOST_PIECES, 4)
        if form.startswith("hdr_len"):
            return str(len(known) + chance.choice((0, 0, 1)))
        if self._is(0.3):
            known += chance.choice(words.HOST_PIECES)
        elif self._is(0.3):
            known = known[chance.randint(0, len(known) - 1) :]
        self._hosts.append(known)
        return f"*{known}" if self._is(0.25) else known

    # --- requests ----------------------------------------------------------------------------------------------

    def request(self, near: bool) -> Asked:
        """
        One that a destination takes.

        Args:
            near: changed in one place, so that it may just miss.
        """
        chance = self._chance
        if self._shared and self._is(0.4):
            given, path, host = chance.choice(self._shared)
            mark = ".1" if "servicePath.1" in given else ""
        else:
            given = chance.choice(self.definitions)
            mark = self._mark_of(given)
            path, host = self._place_in(given, mark)
        request = self._hit(given, mark, path, host)
        if near:
            self._misses.change(request)
        return request

    def _hit(self, given: Definition, mark: str, path: str, host: str) -> Asked:
        chance, place = self._chance, self._place
        port = int(given.get(f"srcPort{mark}", 0))
        if f"srcHttpsPort{mark}" in given and self._is(0.5):
            port = int(given[f"srcHttpsPort{mark}"])
        allowed = given.get(f"allowedMethods{mark}", "")
        method = chance.choice(allowed.split(",")) if allowed and self._is(0.8) else chance.choice(words.METHODS)
        query = chance.choice(("", "", "", "?a", "?a=/b"))
        request = Asked(method, path + query, host, port or chance.choice(place.ports), chance.choice(words.CLIENTS))
        lines = request.lines
        wanted = given.get(f"serviceHeader{mark}", "")
        lines += [words.HEADERS[item] for item in wanted.split(",") if item]
        if not wanted:
            for name in ("X-A", "x-b"):
                if self._is(0.4):
                    lines.append(f"{name}: {chance.choice(('1', 'a b', '2, 1', '11', '2', 'a b, 2'))}")
        agent = given.get(f"userAgent{mark}", "")
        if agent or self._is(0.4):
            lines.append(f"User-Agent: {words.AGENTS[agent] if agent else chance.choice(tuple(words.AGENTS.values()))}")
        if self._is(0.25):
            lines.append(f"X-Forwarded-Proto: {chance.choice(('http', 'https', 'HTTP', 'https, http'))}")
        if self._is(0.6 if place.trusting else 0.1):
            forwarded = ("192.0.2.1", "10.1.1.1", "192.0.2.1, 10.0.0.1", "198.51.100.7, 127.0.0.1", "127.0.0.2")
            lines.append(f"X-Forwarded-For: {chance.choice(forwarded)}")
        if self._is(0.7 if "users" in given or place.trusting else 0.1):
            name = chance.choice(("alice", "bob", "stat"))
            password = words.PASSWORDS[name] + ("" if self._is(0.8) else "x")
            lines.append(f"Authorization: Basic {b64encode(f'{name}:{password}'.encode()).decode()}")
        if self._is(0.5 if "compressionAlgo" in given or place.trusting else 0.1):
            lines.append(f"Accept-Encoding: {chance.choice(words.ENCODINGS)}")
        if self._is(0.6):
            lines.append(f"X-Want: {chance.choice(tuple(words.WANTED))}")
        if "sessionType" in given and given.get("stickyValue") != "address" and self._is(0.6):
            cookie = f"{given['serviceName']}={given['serviceName']}_{chance.choice('012')}"
            lines.append(f"Cookie: {chance.choice(('', 'k=v; '))}{cookie}{chance.choice(('', '; l=w'))}")
        if method in ("POST", "PUT", "PATCH"):
            request.body = b"12345"[: chance.randint(0, 5)]
        if place.trusting and self._is(0.06):
            request.target = chance.choice(("/admin?stats;csv", "/admin?stats", "/admin?stat"))
            request.method, request.body = "GET", b""
        return request

    def _path_in(self, form: str, values: str) -> str:
        """
        A path that one of these values takes.
        """
        chance = self._chance
        value = chance.choice(values.split(","))
        tail = chance.choice(("", "", "/", "x1", "/b", ".a"))
        start = chance.choice(("/", "/a", "/x1/"))
        if form.endswith("_reg"):
            path = chance.choice(words.PATH_REGEXES.get(value, (_plain(value),)))
        elif form.endswith("_len"):
            path = "/" + "ab1x/.A-b"[: max(int(value) - 1, 0)]
        elif "_end" in form:
            path = start + value
        elif "_sub" in form or " -m" in form:
            path = start + value + tail
        elif "_di" in form or "_do" in form:
            path = f"{chance.choice(('', '/x'))}/{value.strip('/')}{chance.choice(('', '/', '/b'))}"
        elif "_beg" in form:
            path = value + tail
        else:
            path = value
        if "-i" in form and self._is(0.5):
            path = path.swapcase()
        return path if path.startswith("/") else f"/{path}"

    def _host_in(self, form: str, values: str) -> str:
        """
        A host that one of these values takes.
        """
        chance = self._chance
        if not values:
            return self._word(words.HOST_PIECES, 3)
        value = chance.choice(values.split(","))
        if value.startswith("*"):
            return chance.choice(("", "a", "b.c")) + value[1:] + chance.choice(("", ":80"))
        if form.startswith("hdr_reg"):
            return chance.choice(words.HOST_REGEXES.get(value, (_plain(value),)))
        if form.startswith("hdr_len"):
            return "a.bAc-ab.c"[: int(value)] or "a"
        before = chance.choice(("", "a.", "b")) if form.startswith(("hdr_end", "hdr_sub")) else ""
        after = chance.choice(("", ":80", "c")) if form.startswith(("hdr_beg", "hdr_sub")) else ""
        if form.startswith("hdr_dom"):
            before, after = chance.choice(("", "a.")), chance.choice(("", ".c", ":80"))
        return before + value + ("" if ":" in value else after)  # `words.INTENDED`: bad port


def _plain(regex: str) -> str:
    """
    What a regular expression of `_around` was made of.
    """
    return regex.strip("^$").replace("[.]", ".")
