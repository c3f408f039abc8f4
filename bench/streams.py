"""
TCP mode: bytes both ways, big and small, through proxies that do not look at them.
"""

from __future__ import annotations

import asyncio
import os
import time
from functools import partial
from pathlib import Path

from bench.answers import check_answer
from bench.api import Published, Refused
from bench.load import Run, run_wrk, wrk_command
from bench.machine import Bench, NotStarted, can_connect, free_port
from bench.proxies import Proxy, run_haproxy, run_nginx, start_dfproxy
from bench.report import Goal, Report
from bench.rounds import Entrants, Work, compete
from bench.servers import TARGET_BIG, Backends

GROUP = "TCP mode, requests through it per proxy-CPU-second, ratio of dfproxy"
BULK = {"HAProxy": Goal(1.3, 1.0)}
SMALL = {"HAProxy": Goal(0.7, 0.5)}
WORKS = (
    ("1 MB, 8 connections", TARGET_BIG, 8, BULK),
    ("small, 32 kept connections", "/demo/hello", 32, SMALL),
)

OPEN_WAIT_S = 5
"""Seconds until the port of a service that has been published must be open."""

# As Docker Flow Proxy has it for `reqMode=tcp`.
HAPROXY = """
global
    nbthread 1
    maxconn 8192
defaults
    mode tcp
    option dontlognull
    maxconn 8192
    timeout connect 5s
    timeout client 20s
    timeout server 20s
    timeout queue 30s
    timeout tunnel 3600s
frontend stream
    bind 127.0.0.1:{port} backlog 4096
    default_backend stream
backend stream
    server s1 127.0.0.1:{backend}
"""

STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"
"""Debian's `libnginx-mod-stream`."""

NGINX = """
load_module {module};
worker_processes 1;
daemon off;
master_process off;
pid {folder}/nginx-stream.pid;
error_log {folder}/nginx-stream-error.log;
worker_rlimit_nofile 20000;
events {{ worker_connections 8192; }}
stream {{
    upstream stream {{ server 127.0.0.1:{backend}; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        proxy_pass stream;
    }}
}}
"""


def start_haproxy_tcp(bench: Bench, backend: int) -> Proxy:
    """
    HAProxy in TCP mode.
    """
    port = free_port()
    return run_haproxy(bench, HAPROXY.format(port=port, backend=backend), port)


def start_nginx_stream(bench: Bench, backend: int) -> Proxy:
    """
    nginx with its stream module.

    Raises:
        NotStarted: the module is not installed.
    """
    if not os.path.exists(STREAM_MODULE):
        raise NotStarted(f"{Path(STREAM_MODULE).name} is not installed")
    port = free_port()
    config = NGINX.format(module=STREAM_MODULE, folder=bench.folder, port=port, backend=backend)
    return run_nginx(bench, config, port)


def start_ours(bench: Bench, backend: int) -> Proxy:
    """
    Ours, with a service in TCP mode on a port of its own.

    Raises:
        NotStarted: it does not take such a service, or does not open its port.
    """
    ours = start_dfproxy(bench, "dfproxy-tcp")
    assert ours.api is not None
    port = free_port()
    service = Published("stream", (("reqMode", "tcp"), ("srcPort", str(port))), "/")
    try:
        asyncio.run(ours.api.publish(service, backend))
    except Refused as error:
        ours.running.end()
        raise NotStarted(f"dfproxy does not take reqMode=tcp: {error.reason}") from error
    until = time.monotonic() + OPEN_WAIT_S
    while not can_connect(port):
        if time.monotonic() > until:
            ours.running.end()
            raise NotStarted("dfproxy takes reqMode=tcp, but does not open srcPort")
        time.sleep(0.05)
    return Proxy("dfproxy", port, ours.running, ours.api)


def measure(bench: Bench, report: Report, backends: Backends) -> None:
    """
    Both works in interleaved rounds.
    """
    entrants = Entrants(others=[start_haproxy_tcp(bench, backends.http)])
    entrants.join("nginx", partial(start_nginx_stream, bench, backends.http))
    entrants.join_ours(partial(start_ours, bench, backends.http))
    rounds, seconds = (1, 1) if bench.short else (5, 2)
    for what, target, connections, goals in WORKS:

        def run(proxy: Proxy, warming: bool, target: str = target, connections: int = connections) -> Run:
            if warming:
                check_answer(proxy, target)
            return run_wrk(proxy, target, connections, 1 if warming else seconds)

        shown = entrants.ours or entrants.others[0]
        command = " ".join(wrk_command(shown, target, connections, seconds))
        compete(report, Work(GROUP, what, command, goals), entrants, rounds, run)
    entrants.end()
