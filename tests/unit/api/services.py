"""
Services made the way callers make them.
"""

from __future__ import annotations

from dfproxy.dfp.reconfigure import read
from dfproxy.model.service import Service
from dfproxy.model.settings import Settings
from dfproxy.model.snapshot import Revision, Snapshot
from tests.fakes import FakeStrategies


def service(name: str, **parameters: str) -> Service:
    """
    A service with a path, a domain and a port, unless told otherwise.
    """
    given = {"serviceName": name, "servicePath": f"/{name}", "port": "8080", **parameters}
    found = read(tuple(given.items()), (), Settings(), FakeStrategies().parse_balance).service
    if found is None:
        raise AssertionError(f"{name} is to be withdrawn")
    return found


def snapshot(*services: Service) -> Snapshot:
    """
    These are in force.
    """
    return Snapshot(Revision(len(services), f"{len(services):032x}"), {each.name: each for each in services})
