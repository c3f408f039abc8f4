"""
A server that closes each connection after its second answer, without having said so.

    python -m tests.e2e.closing_server

Prints its port; ends with its standard input. A process of its own, so that it is not slowed by the clients.
"""

from __future__ import annotations

import socket
import sys
import threading

THREADS = 16


def serve(listening: socket.socket) -> None:
    """
    One connection after the other.
    """
    while True:
        sock, _ = listening.accept()
        with sock:
            for _ in range(2):
                data = b""
                while b"\r\n\r\n" not in data:
                    more = sock.recv(65536)
                    if not more:
                        break
                    data += more
                else:
                    head, _, body = data.partition(b"\r\n\r\n")
                    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                    while len(body) < length:
                        body += sock.recv(65536)
                    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (length, body))
                    continue
                break


def main() -> None:
    """
    Serve until standard input ends.
    """
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    for _ in range(THREADS):
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
