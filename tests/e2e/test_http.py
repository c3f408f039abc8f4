"""
HTTP/1.1 between real clients and real servers, with workers.
"""

from __future__ import annotations

from tests.e2e.dialogues import Dialogues
from tests.e2e.proxy import ProxyCase


class DialogueTests(Dialogues, ProxyCase):
    """
    The dialogues, carried by workers on the uv reactor.
    """
