"""
The proxies under measurement, each with one process that carries requests, on one processor.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.api import Api
from bench.machine import PROXY_CPU, Bench, Running, can_connect, find_program, free_port

# What a default Docker Flow Proxy gives HAProxy: keep-alive both sides, X-Forwarded-For, its time-outs.
HAPROXY = """
global
    nbthread 1
    maxconn 8192
defaults
    mode http
    option http-keep-alive
    option forwardfor
    option dontlognull
    maxconn 8192
    timeout connect 5s
    timeout client 20s
    timeout server 20s
    timeout queue 30s
    timeout http-request 5s
    timeout http-keep-alive 15s
    timeout tunnel 3600s
frontend services
    bind 127.0.0.1:{port} backlog 4096{tls}
    acl url_bench path_beg /
    use_backend bench if url_bench
backend bench
    server b1 127.0.0.1:{backend}
"""

NGINX = """
worker_processes 1;
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
worker_rlimit_nofile 20000;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    keepalive_requests 100000000;
    upstream bench {{ server 127.0.0.1:{backend}; keepalive 512; keepalive_requests 100000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096{tls};
        location / {{
            proxy_pass http://bench;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Connection "";
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Proxy:
    """
    A running proxy.

    Attributes:
        name: as tables call it.
        port: of loopback, where clients go.
        running: its processes.
        api: how it is told of services; None where it is configured by file.
        scheme: what is spoken on that port: http or https.
    """

    name: str
    port: int
    running: Running
    api: Api | None = None
    scheme: str = "http"


def scheme_of(bundle: Path | None) -> str:
    """
    What a proxy speaks that is given this certificate, or none.
    """
    return "https" if bundle else "http"


def start_haproxy(bench: Bench, backend: int, bundle: Path | None = None) -> Proxy:
    """
    HAProxy of Debian.

    Args:
        bundle: certificate and key; then it speaks TLS, as on a port of Docker Flow Proxy with `:ssl`.
    """
    tls = f" ssl crt {bundle} alpn h2,http/1.1" if bundle else ""
    return run_haproxy(bench, HAPROXY.format(port=(port := free_port()), backend=backend, tls=tls), port, bundle)


def run_haproxy(bench: Bench, config: str, port: int, bundle: Path | None = None) -> Proxy:
    """
    HAProxy of Debian with a configuration, which listens on a port.
    """
    name = f"haproxy-{port}"
    file = bench.folder / f"{name}.cfg"
    file.write_text(config)
    running = bench.start(name, [find_program("haproxy"), "-db", "-f", str(file)], PROXY_CPU)
    running.wait_for(lambda: can_connect(port))
    return Proxy("HAProxy", port, running, scheme=scheme_of(bundle))


def start_nginx(bench: Bench, backend: int, bundle: Path | None = None) -> Proxy:
    """
    Debian's nginx as a proxy.

    Args:
        bundle: certificate and key; then it speaks TLS, and HTTP/2 with who wants it.
    """
    # TLS 1.3 as in Debian's nginx.conf; without this line 1.22 has none.
    tls = f" ssl http2; ssl_certificate {bundle}; ssl_certificate_key {bundle}; ssl_protocols TLSv1.2 TLSv1.3"
    tls = tls if bundle else ""
    port = free_port()
    return run_nginx(bench, NGINX.format(folder=bench.folder, port=port, backend=backend, tls=tls), port, bundle)


def run_nginx(bench: Bench, config: str, port: int, bundle: Path | None = None) -> Proxy:
    """
    Debian's nginx with a configuration, which listens on a port.
    """
    name = f"nginx-{port}"
    file = bench.folder / f"{name}.conf"
    file.write_text(config)
    running = bench.start(name, [find_program("nginx"), "-c", str(file)], PROXY_CPU)
    running.wait_for(lambda: can_connect(port))
    return Proxy("nginx", port, running, scheme=scheme_of(bundle))


def start_stock(bench: Bench, backend: int) -> Proxy:
    """
    Twisted's ReverseProxyResource.
    """
    port = free_port()
    running = bench.start("stock", [sys.executable, "-m", "bench.stock", str(port), str(backend)], PROXY_CPU)
    running.wait_for(lambda: can_connect(port))
    return Proxy("stock", port, running)


def start_dfproxy(
    bench: Bench,
    name: str = "dfproxy",
    workers: int = 1,
    twistd: tuple[str, ...] = (),
    options: tuple[str, ...] = (),
    bundle: Path | None = None,
) -> Proxy:
    """
    Us, by `twistd`, as an operator starts it.

    Args:
        name: for its files; several can run at once.
        workers: data-plane processes.
        twistd: further options of twistd itself.
        options: further options of ours.
        bundle: certificate and key; then the port speaks TLS.
    """
    port, api_port = free_port(), free_port()
    folder = bench.folder / name
    folder.mkdir(exist_ok=True)
    program = Path(sys.executable).parent / "twistd"
    (folder / "certs").mkdir(exist_ok=True)
    if bundle:
        shutil.copy(bundle, folder / "certs")
    ours = ["--ip", "127.0.0.1", "--port", str(api_port), "--bind-address", "127.0.0.1"]
    ours += ["--default-ports", f"{port}:ssl" if bundle else str(port), "--certs-dir", str(folder / "certs")]
    ours += ["--workers", str(workers), "--state-dir", str(folder / "state"), "--timeout-tunnel-drain", "1", *options]
    command = [str(program), "--nodaemon", "--pidfile", str(folder / "pid"), *twistd, "dfproxy", *ours]
    running = bench.start(name, command, PROXY_CPU)
    api = Api(api_port)
    running.wait_for(lambda: api.is_up() and can_connect(port))
    return Proxy("dfproxy", port, running, api, scheme_of(bundle))
