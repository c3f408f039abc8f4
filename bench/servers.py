"""
What stands behind the proxies: nginx for plain requests, a small server for connections that stay open.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

from bench.machine import OTHER_CPU, Bench, can_connect, find_program, free_port

SMALL = b"hello, world!\n"
BIG = bytes(range(250)) * 4000
"""1 MB."""
TARGET_BIG = "/big"

NGINX = """
worker_processes 1;
daemon off;
master_process off;
pid {folder}/backend.pid;
error_log {folder}/backend-error.log;
worker_rlimit_nofile 20000;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {folder}/backend-tmp;
    keepalive_timeout 600s;
    keepalive_requests 100000000;
    sendfile on;
    tcp_nopush on;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        default_type text/plain;
        location {big} {{ root {folder}; }}
        location / {{ return 200 "hello, world!\\n"; }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Backends:
    """
    Ports of loopback.

    Attributes:
        http: nginx: 14 bytes everywhere, 1 MB on /big.
        upgrade: answers 101 to everything, then sends back what it gets.
    """

    http: int
    upgrade: int


def start_backends(bench: Bench) -> Backends:
    """
    Start both on the processor that the proxy is not on.
    """
    http, upgrade = free_port(), free_port()
    (bench.folder / TARGET_BIG.lstrip("/")).write_bytes(BIG)
    config = bench.folder / "backend.conf"
    config.write_text(NGINX.format(folder=bench.folder, port=http, big=TARGET_BIG))
    nginx = bench.start("backend", [find_program("nginx"), "-c", str(config)], OTHER_CPU)
    nginx.wait_for(lambda: can_connect(http))
    echo = bench.start("upgrade", [sys.executable, "-m", "bench.servers", str(upgrade)], OTHER_CPU)
    echo.wait_for(lambda: can_connect(upgrade))
    return Backends(http, upgrade)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """
    Switch protocols as asked, then send back what comes.
    """
    try:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        return  # a probe, or a client that is gone
    finally:
        writer.close()


async def serve(port: int) -> None:
    """
    Serve until the process is ended.
    """
    server = await asyncio.start_server(echo, "127.0.0.1", port, backlog=1024)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
