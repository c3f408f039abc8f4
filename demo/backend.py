"""
A stand-in for the go-demo image: answers `hello, world!` on /demo/hello.

    python -m demo.backend 127.0.0.2 8080

Each answer names the server in X-Backend, so that the balancing is seen. Standard library only: it is
also what the demo shows, a server that knows nothing of the proxy.
"""

from __future__ import annotations

import signal
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class GoDemo(BaseHTTPRequestHandler):
    """
    One connection of a client, which is the proxy.
    """

    protocol_version = "HTTP/1.1"
    # Head and body are two writes; without this the second waits for an acknowledgement of the first.
    disable_nagle_algorithm = True
    timeout = 60

    def do_GET(self) -> None:
        """
        Answer GET and HEAD.
        """
        found = self.path.partition("?")[0] in ("/demo/hello", "/demo/hello/")
        body = b"hello, world!\n" if found else b"not found\n"
        self.send_response(200 if found else 404)
        assert isinstance(self.server, Server)
        self.send_header("X-Backend", self.server.label)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """
        The same answer; what was sent is read and forgotten.
        """
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """
        Stay silent: the terminal is the proxy's.
        """


class Server(ThreadingHTTPServer):
    """
    The listening socket.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, host: str, port: int) -> None:
        super().__init__((host, port), GoDemo)
        # In a container every server has the same address to listen on; its name is the container's.
        self.label = f"{host}:{port}" if host != "0.0.0.0" else socket.gethostname()


def main(host: str, port: str) -> None:
    """
    Serve until the process is ended.
    """
    # As process 1 of a container it would not even notice SIGTERM. Ends at once, requests or not, as the real one does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Server(host, int(port)) as server:
        print("listening", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
