"""
Services as a swarm listener lists them (`get-services`): JSON objects of parameters.

Source: contract 3.8, 10.4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def pairs_of(entry: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """
    Parameters of an entry, as a query has them. A listener says everything as text; others may not.
    """
    for name, value in entry.items():
        if isinstance(value, bool):
            yield name, "true" if value else "false"
        elif isinstance(value, str | int | float):
            yield name, str(value)
