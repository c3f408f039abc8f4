"""
HAProxy's `crt-list`: which certificate files are shown to whom, instead of by the names in them.

A line is `FILE [OPTIONS] FILTERS`, options in brackets; both may be left out. Filters are names, wildcards of one label
(`*.example.com`), and either with `!` before it: names that a wildcard of the same line does not stand for.

Source: HAProxy `bind ... crt-list`; DFP `CRT_LIST_PATH` (contract 6.1).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from dfproxy.errors import InvalidSettings, Problem
from dfproxy.model.certificate import Listed, Source

LIST_BYTES = 1 << 20
"""
Longest list: some ten thousand lines.
"""

PROBLEMS = 20
"""
How many wrong lines are told.
"""

_NAME = re.compile(r"(?:\*\.)?[a-z0-9_](?:[a-z0-9_.-]{0,252}[a-z0-9_])?\Z", re.ASCII)
_PROTOCOLS = ("h2", "http/1.1")
_FOLLOWED = ("alpn", "ciphers")
_UNHEEDED = {
    "allow-0rtt": 0,
    "ciphersuites": 1,
    "client-sigalgs": 1,
    "curves": 1,
    "ecdhe": 1,
    "no-ca-names": 0,
    "npn": 1,
    "sigalgs": 1,
    "ssl-max-ver": 1,
    "ssl-min-ver": 1,
}
_REFUSED = ("ca-file", "ca-verify-file", "crl-file", "verify")


@dataclass(frozen=True, slots=True)
class Lines:
    """
    A list that was read.

    Attributes:
        files: where each is and how it is called there, in the order of the list, each once.
        listed: what the lines of each say.
        unheeded: options that have no effect, with their lines.
    """

    files: tuple[tuple[Source, str], ...]
    listed: dict[tuple[Source, str], tuple[Listed, ...]]
    unheeded: tuple[str, ...]

    def of(self, source: Source, file: str) -> tuple[Listed, ...]:
        """
        What the list says of a file; nothing: no client is shown it.
        """
        return self.listed.get((source, file), ())


def read_list(text: str, certs_dir: str, secrets_dir: str) -> Lines:
    """
    Read a list.

    Args:
        text: its content.
        certs_dir: folder of certificates; files without a folder are there.
        secrets_dir: folder of secrets.

    Raises:
        InvalidSettings: with every line that cannot be followed.
    """
    problems: list[Problem] = []
    unheeded: list[str] = []
    found: dict[tuple[Source, str], list[Listed]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        try:
            path, listed, ignored = _read_line(number, stripped)
        except ValueError as error:
            problems.append(Problem("--crt-list-path", f"line {number}", str(error)))
            continue
        unheeded += [f"{word} in line {number}" for word in ignored]
        found.setdefault(_place(path, certs_dir, secrets_dir), []).append(listed)
    if problems:
        raise InvalidSettings(tuple(problems[:PROBLEMS]))
    return Lines(tuple(found), {place: tuple(lines) for place, lines in found.items()}, tuple(unheeded))


def _place(path: str, certs_dir: str, secrets_dir: str) -> tuple[Source, str]:
    path = os.path.normpath(os.path.join(certs_dir, path))
    folder, file = os.path.split(path)
    if folder == os.path.normpath(certs_dir):
        return "folder", file
    if folder == os.path.normpath(secrets_dir):
        return "secret", file
    return "list", path


def _read_line(number: int, line: str) -> tuple[str, Listed, list[str]]:
    """
    Raises:
        ValueError: with the reason.
    """
    path, _, rest = line.partition("[") if "[" in line else (line.split()[0], "", "")
    options, filters = "", line[len(path) :]
    if "[" in line:
        options, closed, filters = rest.partition("]")
        if not closed or "[" in filters or "]" in filters:
            raise ValueError("the brackets of its options are not closed, or there are more than one pair")
        path = path.strip()
        if len(path.split()) != 1:
            raise ValueError("options in brackets come right after the file")
    chosen, ignored = _options(options.split())
    names, excluded = _filters(filters.split())
    return path, Listed(number, names, excluded, chosen.get("alpn", ()), "".join(chosen.get("ciphers", ()))), ignored


def _filters(words: list[str]) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """
    Names, or None where the certificate's own count; names that wildcards do not stand for.
    """
    names: dict[str, None] = {}
    excluded: dict[str, None] = {}
    for word in words:
        into = excluded if word.startswith("!") else names
        name = word.removeprefix("!").lower().rstrip(".")
        if name == "*":
            continue  # as in HAProxy: it stands for nothing
        if not _NAME.match(name):
            raise ValueError(f"{word[:100]} is no name: a host, *.domain, or one of them after !")
        into[name] = None
    return (tuple(names) if words else None), tuple(excluded)


def _options(words: list[str]) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    chosen: dict[str, tuple[str, ...]] = {}
    ignored: list[str] = []
    while words:
        name = words.pop(0)
        if name in _REFUSED:
            raise ValueError(f"option {name}: client certificates cannot be asked for by name; use CA_FILE for all")
        if name not in _FOLLOWED and name not in _UNHEEDED:
            known = ", ".join(sorted((*_FOLLOWED, *_UNHEEDED)))
            raise ValueError(f"option {name[:100]} is not known; known: {known}")
        value = ""
        if name in _FOLLOWED or _UNHEEDED[name]:
            if not words:
                raise ValueError(f"option {name} needs a value after it")
            value = words.pop(0)
        if name == "alpn":
            protocols = tuple(value.split(","))
            if not set(protocols) <= set(_PROTOCOLS):
                raise ValueError(f"alpn {value[:100]}: protocols are {' and '.join(_PROTOCOLS)}")
            chosen[name] = protocols
        elif name == "ciphers":
            chosen[name] = (value,)
        else:
            ignored.append(name)
    return chosen, ignored
