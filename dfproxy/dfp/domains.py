"""
`serviceDomain` and `serviceDomainAlgo`: text -> host patterns.

Source: HAProxy ACL criteria `hdr*(host)`; DFP `serviceDomainAlgo`, and `*` at the beginning of a domain.
"""

from __future__ import annotations

from collections.abc import Iterable

from dfproxy.dfp.criteria import Method, check_regex, criterion
from dfproxy.dfp.pathtype import checked_length
from dfproxy.model.match import HostForm, HostPattern

MATCH_ALL = "hdr_dom(host)"
"""
What the deprecated `serviceDomainMatchAll` stands for.
"""

_FETCHES = ("hdr(host)", "req.hdr(host)")
FORMS: dict[Method, HostForm] = {
    "str": "exact",
    "beg": "prefix",
    "end": "suffix",
    "sub": "substring",
    "reg": "regex",
    "dir": "directory",
    "dom": "label",
    "len": "length",
}
"""
HAProxy's methods of comparing, in our words.
"""


def host_form(text: str) -> HostForm:
    """
    Read a `serviceDomainAlgo`, such as `hdr_beg(host)`.

    Raises:
        ValueError: unknown; the text lists what is known. `req.ssl_sni` is unknown: it is for connections that are
            not looked into (`dfproxy.dfp.streams`).
    """
    return FORMS[criterion(text, _FETCHES).method]


def host_patterns(words: Iterable[str], form: HostForm) -> tuple[HostPattern, ...]:
    """
    Make the patterns of some domains.

    A domain with `*` at its beginning is a suffix without regard to ports, for itself only: the others keep the
    service's form (in DFP one such domain changed the whole service, until the next change of another).

    Raises:
        ValueError: a bare `*`, a length that is no number, or a regular expression that does not compile.
    """
    return tuple(_pattern(word, form) for word in words)


def _pattern(word: str, form: HostForm) -> HostPattern:
    if word.startswith("*"):
        suffix = word.replace("*", "")
        if not suffix:
            raise ValueError(f"{word[:40]!r} leaves nothing to compare; to take every domain give only a servicePath")
        return HostPattern("suffix", suffix.encode().lower(), without_port=True)
    if form == "regex":
        check_regex(word)
        return HostPattern(form, word.encode())  # in lower case \S would become \s
    return HostPattern(form, checked_length(word) if form == "length" else word.encode().lower())
