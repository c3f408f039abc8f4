"""
Dialogues with routes that have steps.
"""

from __future__ import annotations

from random import Random
from typing import Any

from dfproxy.exchange.passwords import Verifier
from dfproxy.exchange.steps import Tools, compile_steps
from dfproxy.expressions.subject import Surroundings
from dfproxy.model.connection import TlsFacts
from dfproxy.model.steps import Steps
from tests.dialogue import Dialogue, Step

SURROUNDINGS = Surroundings({"COLOUR": "blue"}, "proxy1", 42, lambda: 1700000000.0, Random(1))


def route_has(steps: Steps, verifier: Verifier | None = None) -> Step:
    """
    The one route has these steps from now on.
    """

    def act(dialogue: Dialogue) -> None:
        backend = dialogue.backend
        assert backend is not None
        compiled = compile_steps(steps, "web", Tools(SURROUNDINGS, verifier or Verifier.at_once()))
        backend.define(backend.service, backend.destination, compiled)

    return Step(f"the route has {steps}", act)


def by_tls(facts: TlsFacts) -> Step:
    """
    Further clients speak TLS.
    """

    def act(dialogue: Dialogue) -> None:
        resource: Any = dialogue.resource
        exchange = resource.exchange

        def told(downstream: Any, request: Any) -> Any:
            request.tls = facts
            return exchange(downstream, request)

        resource.exchange = told
        session: Any = dialogue.client.protocol
        session._forwarded = b"X-Forwarded-Proto: https\r\n" + session._forwarded

    return Step("the client speaks TLS", act)
