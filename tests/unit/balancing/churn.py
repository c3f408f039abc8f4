"""
Servers that come and go, for the strategies whose shares follow weights exactly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from hypothesis import strategies as st

from dfproxy.interfaces import IBalancer
from dfproxy.testing import FakeRequest, FakeServer, fake_servers

CROWD = 6
"""How many servers take part."""

steps = st.lists(
    st.tuples(
        st.sets(st.integers(2, CROWD - 1)),  # who is there besides the two that always are
        st.integers(0, 40),  # how many requests then come
    ),
    min_size=1,
    max_size=12,
)
weights = st.lists(st.integers(1, 8), min_size=CROWD, max_size=CROWD)


def serve(balancer: IBalancer) -> FakeServer:
    """
    One request from pick to end.
    """
    server = balancer.pick(FakeRequest())
    assert isinstance(server, FakeServer)
    server.in_flight += 1
    balancer.taken(server)
    server.in_flight -= 1
    balancer.released(server, 0.01, False)
    return server


def shares_follow_weights(
    make: Callable[[], IBalancer], weights: list[int], steps: list[tuple[set[int], int]]
) -> list[str]:
    """
    Play one history.

    While nobody comes or goes each server's count is at most 1 + n * w/W from its due share, where n is the number
    of servers and w/W its part of the weights. Over the whole history two servers that were always there are never
    more than one turn of each apart.

    Returns:
        What was not so.
    """
    balancer = make()
    servers = fake_servers(weights)
    total: Counter[FakeServer] = Counter()
    wrong = []
    for passing, count in steps:
        present = tuple(servers[i] for i in range(CROWD) if i < 2 or i in passing)
        balancer.update(present)
        got = Counter(serve(balancer) for _ in range(count))
        total += got
        sum_of_weights = sum(server.weight for server in present)
        for server in present:
            part = server.weight / sum_of_weights
            if abs(got[server] - count * part) > 1 + len(present) * part + 1e-6:
                wrong.append(f"{server} got {got[server]} of {count}, due were {count * part}")
        if set(got) - set(present):
            wrong.append(f"picked {set(got) - set(present)}, of whom nobody is there")
    one, other = servers[:2]
    apart = abs(total[one] / one.weight - total[other] / other.weight)
    if apart > 1 / one.weight + 1 / other.weight + 1e-6:
        wrong.append(f"{one} and {other} got {total[one]} and {total[other]}")
    return wrong
