"""
Field lines taken out of a section, as it stands in a head.

Source: RFC 9112 section 5.
"""

from __future__ import annotations


def without(section: bytes, name: bytes) -> bytes:
    """
    The section without the fields of a name; the very same object if there is none.

    Args:
        section: field lines, each ending in CRLF.
        name: in lower case.
    """
    lowered = b"\n" + section.lower()
    mark = b"\n%b:" % name
    start = lowered.find(mark)
    while start >= 0:
        end = lowered.find(b"\n", start + 1)
        section = section[:start] + section[end:]
        lowered = lowered[:start] + lowered[end:]
        start = lowered.find(mark, start)
    return section


def first(section: bytes, name: bytes) -> bytes | None:
    """
    Value of the first field of a name, without surrounding blanks; None if there is none.

    Args:
        name: in lower case.
    """
    lowered = b"\n" + section.lower()
    start = lowered.find(b"\n%b:" % name)
    if start < 0:
        return None
    start += len(name) + 1
    return section[start : section.find(b"\r", start)].strip(b" \t")
