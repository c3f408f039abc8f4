"""
A server in a process of its own, so that it can be killed and stopped.

    python -m tests.faults.server PORT [MODE]      prints a line when it listens

What it answers for `/NAME/NUMBER/SIZE` follows from these alone, so that a client can tell whether it got what it
asked for. Modes: `good`; `slow`, a third of a second later; `reset`, which breaks off one answer in four, half before
its first byte and half in the middle.
"""

from __future__ import annotations

import hashlib
import signal
import socket
import struct
import sys
import threading
import time


def body_of(target: str) -> bytes:
    """
    The body that belongs to a target.
    """
    size = int(target.rpartition("/")[2])
    seed = hashlib.sha256(target.encode()).digest()
    return (seed * (size // len(seed) + 1))[:size]


def serve(connection: socket.socket, mode: str, count: list[int]) -> None:
    """
    Answer what comes on one connection.
    """
    buffer = b""
    with connection:
        while True:
            while b"\r\n\r\n" not in buffer:
                data = connection.recv(65536)
                if not data:
                    return
                buffer += data
            head, _, buffer = buffer.partition(b"\r\n\r\n")
            body = body_of(head.split(b" ", 2)[1].decode())
            if mode == "slow":
                time.sleep(0.3)
            answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            count[0] += 1
            if mode == "reset" and count[0] % 4 == 0:
                if count[0] % 8:
                    connection.sendall(answer[: len(answer) // 2])
                    time.sleep(0.02)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            connection.sendall(answer)


def quietly(connection: socket.socket, mode: str, count: list[int]) -> None:
    """
    The same, whatever the other side does.
    """
    try:
        serve(connection, mode, count)
    except OSError:
        return


def main(port: str, mode: str = "good") -> None:
    """
    Listen until the end, on one of the addresses that the test uses.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    host, _, number = port.rpartition(":")
    listening = socket.create_server((host or "127.0.0.1", int(number)), backlog=512)
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    count = [0]
    while True:
        connection, _ = listening.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=quietly, args=(connection, mode, count), daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
