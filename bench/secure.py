"""
TLS and HTTP/2 towards clients; plain HTTP/1.1 on kept connections to the server.

The same self-signed certificate for all, each proxy's own defaults for the rest: with these clients all choose TLS 1.3,
X25519 and AES-256-GCM, but Caddy AES-128-GCM.
"""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

from bench.answers import check_answer
from bench.caddy import start_caddy
from bench.certificates import KEYS, make_bundle
from bench.envoy import start_envoy
from bench.h2load import h2load_command, run_h2load
from bench.handshakes import handshake_command, run_handshakes
from bench.load import Run, run_wrk, wrk_command
from bench.machine import Bench
from bench.proxies import Proxy, start_dfproxy, start_haproxy, start_nginx
from bench.report import Goal, Report
from bench.rounds import Entrants, Work, compete
from bench.servers import Backends
from bench.throughput import SERVICE

KEPT = {"HAProxy": Goal(0.7, 0.45)}
HANDSHAKES = {"P-256": {"HAProxy": Goal(0.4, 0.25)}, "RSA 2048": {"HAProxy": Goal(0.8, 0.6)}}
HTTP2 = {"HAProxy": Goal(0.4, 0.2), "Envoy": Goal(2, 1), "Caddy": Goal(3, 1.5)}

TLS_GROUP = "TLS to clients, per proxy-CPU-second, ratio of dfproxy"
HTTP2_GROUP = "HTTP/2 to clients, requests per proxy-CPU-second, ratio of dfproxy"
TARGET = "/demo/hello"
CONNECTIONS = 32
H2_CONNECTIONS = 8
H2_STREAMS = 8


def start_all(bench: Bench, backends: Backends, bundle: Path) -> Entrants:
    """
    Ours with one service for everything, HAProxy and nginx.
    """
    ours = start_dfproxy(bench, f"dfproxy-{bundle.stem}", bundle=bundle)
    assert ours.api is not None
    asyncio.run(ours.api.publish(SERVICE, backends.http))
    return Entrants(ours, [start(bench, backends.http, bundle) for start in (start_haproxy, start_nginx)])


def measure(bench: Bench, report: Report, backends: Backends) -> None:
    """
    Small requests on kept connections, with the usual kind of key; full handshakes with both.
    """
    for key in KEYS:
        entrants = start_all(bench, backends, make_bundle(bench, key))
        if key == "P-256":
            compete_kept(bench, report, entrants)
        compete_handshakes(bench, report, entrants, key)
        entrants.end()


def measure_http2(bench: Bench, report: Report, backends: Backends) -> None:
    """
    HTTP/2, also against Envoy and Caddy.
    """
    bundle = make_bundle(bench, "P-256")
    entrants = start_all(bench, backends, bundle)
    entrants.join("Envoy", partial(start_envoy, bench, backends.http, bundle))
    entrants.join("Caddy", partial(start_caddy, bench, backends.http, bundle))
    compete_http2(bench, report, entrants)
    entrants.end()


def compete_kept(bench: Bench, report: Report, entrants: Entrants) -> None:
    """
    Small GETs over HTTP/1.1 on connections that are kept.
    """
    rounds, seconds = (1, 1) if bench.short else (5, 2)
    assert entrants.ours is not None

    def run(proxy: Proxy, warming: bool) -> Run:
        if warming:
            check_answer(proxy, TARGET)
        return run_wrk(proxy, TARGET, CONNECTIONS, 1 if warming else seconds)

    command = " ".join(wrk_command(entrants.ours, TARGET, CONNECTIONS, seconds))
    what = f"small GET over TLS, {CONNECTIONS} kept connections"
    compete(report, Work(TLS_GROUP, what, command, KEPT), entrants, rounds, run)


def compete_handshakes(bench: Bench, report: Report, entrants: Entrants, key: str) -> None:
    """
    Full handshakes. They ask for nothing: that there is an answer behind them is seen when warming.
    """
    rounds, seconds = (1, 1) if bench.short else (3, 2)
    assert entrants.ours is not None

    def run(proxy: Proxy, warming: bool) -> Run:
        if warming:
            check_answer(proxy, TARGET)
        return run_handshakes(proxy, 1 if warming else seconds)

    command = " ".join(handshake_command(entrants.ours, seconds))
    work = Work(TLS_GROUP, f"full handshakes, {key}", command, HANDSHAKES[key], "handshake")
    compete(report, work, entrants, rounds, run)


def compete_http2(bench: Bench, report: Report, entrants: Entrants) -> None:
    """
    Small GETs over HTTP/2.
    """
    rounds, seconds = (1, 1) if bench.short else (5, 2)
    assert entrants.ours is not None

    def run(proxy: Proxy, warming: bool) -> Run:
        if warming:
            check_answer(proxy, TARGET)
        return run_h2load(proxy, TARGET, H2_CONNECTIONS, H2_STREAMS, 1 if warming else seconds)

    command = " ".join(h2load_command(entrants.ours, TARGET, H2_CONNECTIONS, H2_STREAMS, seconds))
    what = f"small GET, {H2_CONNECTIONS} connections x {H2_STREAMS} streams"
    compete(report, Work(HTTP2_GROUP, what, command, HTTP2), entrants, rounds, run)
