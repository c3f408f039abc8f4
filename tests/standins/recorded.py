"""
What a real Docker Flow Swarm Listener was seen to send, situation by situation, against Docker 20.10.

Each call as it was on the wire, in the order in which they came; all without a body.
"""

from __future__ import annotations

from typing import NamedTuple

RECONFIGURE = "/v1/docker-flow-proxy/reconfigure"
REMOVE = "/v1/docker-flow-proxy/remove"


class Call(NamedTuple):
    """
    One call.
    """

    method: str
    target: str


class Situation(NamedTuple):
    """
    What happened in the Swarm, and what was sent.

    Attributes:
        what: in the operator's words.
        calls: what the listener sent.
        there: services that the proxy then must have, of those of this list.
    """

    what: str
    calls: tuple[Call, ...]
    there: tuple[str, ...]


def _reconfigure(query: str, method: str = "GET") -> Call:
    return Call(method, f"{RECONFIGURE}?{query}")


def _remove(query: str, method: str = "GET") -> Call:
    return Call(method, f"{REMOVE}?{query}")


_ANCHOR = "Mixed.Case=1&distribute=true&port=8080"
_HEADER = "setReqHeader=X-A+%221+%26+2%22"

SITUATIONS = (
    Situation(
        "the listener starts: a service runs already",
        (_reconfigure("distribute=true&port=8080&replicas=3&serviceName=go-demo&servicePath=%2Fdemo"),),
        ("go-demo",),
    ),
    Situation(
        "it is asked to notify",
        (_reconfigure("distribute=true&port=8080&replicas=3&serviceName=go-demo&servicePath=%2Fdemo"),),
        ("go-demo",),
    ),
    Situation(
        "a service is created, with several paths and a label in mixed case",
        (_reconfigure(f"{_ANCHOR}&replicas=1&serviceName=anchor-a&servicePath=%2Fa%2C%2Fb+c"),),
        ("go-demo", "anchor-a"),
    ),
    Situation(
        "a label is updated",
        (_reconfigure(f"{_ANCHOR}&replicas=1&serviceName=anchor-a&servicePath=%2Fnew"),),
        ("go-demo", "anchor-a"),
    ),
    Situation(
        "scaled from 1 to 3",
        (_reconfigure(f"{_ANCHOR}&replicas=3&serviceName=anchor-a&servicePath=%2Fnew"),),
        ("go-demo", "anchor-a"),
    ),
    Situation(
        "scaled to 0",
        (_reconfigure(f"{_ANCHOR}&replicas=0&serviceName=anchor-a&servicePath=%2Fnew&{_HEADER}"),),
        ("go-demo",),
    ),
    Situation(
        "removed, after it was scaled to 0",
        (_remove(f"{_ANCHOR}&serviceName=anchor-a&servicePath=%2Fnew&{_HEADER}"),),
        ("go-demo",),
    ),
    Situation(
        "a global service with two ports, not distributed",
        (
            _reconfigure(
                "distribute=false&port.1=8080&port.2=8081&serviceName=anchor-g&servicePath.1=%2Fg&servicePath.2=%2Fh"
            ),
        ),
        ("go-demo", "anchor-g"),
    ),
    Situation(
        "part of a stack, with its short name",
        (_reconfigure("distribute=true&port=80&replicas=1&serviceName=web&servicePath=%2Fw&shortName=true"),),
        ("go-demo", "anchor-g", "web"),
    ),
    Situation(
        "removed again",
        (_remove("distribute=true&port=80&serviceName=web&servicePath=%2Fw&shortName=true"),),
        ("go-demo", "anchor-g"),
    ),
    Situation(
        "the listener starts while a service is in the middle of an update: first a remove, later a create",
        (
            _remove("distribute=true&port=80&serviceName=anchor-c&servicePath=%2Fc"),
            _reconfigure("distribute=true&port=80&replicas=1&serviceName=anchor-c&servicePath=%2Fc"),
        ),
        ("go-demo", "anchor-g", "anchor-c"),
    ),
    Situation(
        "only monitored, without a path: nothing to route",
        (_reconfigure("alertName=memlimit&distribute=true&replicas=1&serviceName=anchor-m"),),
        ("go-demo", "anchor-g", "anchor-c"),
    ),
    Situation(
        "updated twice within the interval of repeats",
        (
            _reconfigure("distribute=true&port=80&replicas=1&serviceName=anchor-r&servicePath=%2Fr1"),
            _reconfigure("distribute=true&port=80&replicas=1&serviceName=anchor-r&servicePath=%2Fr1"),
            _reconfigure("distribute=true&port=80&replicas=1&serviceName=anchor-r&servicePath=%2Fr2"),
        ),
        ("go-demo", "anchor-g", "anchor-c", "anchor-r"),
    ),
    Situation(
        "by POST, with a query in the address and a prefix before the name",
        (
            _reconfigure(
                "extra=1&distribute=true&port=8080&replicas=3&serviceName=dev_go-demo&servicePath=%2Fdemo", "POST"
            ),
        ),
        ("go-demo", "anchor-g", "anchor-c", "anchor-r", "dev_go-demo"),
    ),
    Situation(
        "removed by DELETE",
        (_remove("distribute=true&port=8080&serviceName=dev_go-demo&servicePath=%2Fdemo", "DELETE"),),
        ("go-demo", "anchor-g", "anchor-c", "anchor-r"),
    ),
    Situation(
        "with the addresses of its tasks",
        (
            _reconfigure(
                "distribute=true&nodeInfo=%5B%5B%22vm%22%2C%2210.77.1.20%22%2C%22wt2mt9ofbzzcwtw27m9yxrn93%22%5D%5D"
                "&port=80&replicas=2&scrapeNetwork=proxy&serviceName=anchor-n&servicePath=%2Fn"
            ),
        ),
        ("go-demo", "anchor-g", "anchor-c", "anchor-r", "anchor-n"),
    ),
)

GET_SERVICES = (
    {"distribute": "true", "port": "8080", "replicas": "3", "serviceName": "go-demo", "servicePath": "/demo"},
    {
        "distribute": "true",
        "nodeInfo": '[["vm","10.77.1.17","wt2mt9ofbzzcwtw27m9yxrn93"],["vm","10.77.1.16","wt2mt9ofbzzcwtw27m9yxrn93"]]',
        "port": "80",
        "replicas": "2",
        "scrapeNetwork": "proxy",
        "serviceName": "anchor-n",
        "servicePath": "/n",
    },
)
"""
What it answers when it is asked for all services.
"""
