"""
Builds a uv reactor for Twisted's conformance suites, which find it by its dotted name.
"""

from __future__ import annotations

from typing import Any

from dfproxy.uv.reactor import UvReactor


def UV(builder: Any) -> UvReactor:
    """
    Make a reactor on a loop of its own, closed after the test.

    Args:
        builder: the test case.
    """
    reactor = UvReactor()
    builder.addCleanup(reactor.loop.close)
    return reactor
