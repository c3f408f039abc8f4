"""
The same dialogues without workers, on Twisted's own reactor; and which transports carry traffic.
"""

from __future__ import annotations

from tests.e2e.dialogues import Dialogues
from tests.e2e.proxy import ProxyCase


class OneProcessTests(Dialogues, ProxyCase):
    """
    Everything in one process (`--workers 0`), on epoll.
    """

    workers = 0
