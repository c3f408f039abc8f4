"""
The image's health check: asks the proxy beside it whether it is ready; exit status 0 if it is.

    python -IS contrib/ready.py

Only the `socket` module is loaded, so a check costs a few hundredths of a CPU second. `HEALTHCHECK=false`, a word of
Docker Flow Proxy, makes it always succeed; `PORT` and `IP` say where the API is. Each is looked for as the proxy does:
in a secret (`dfp_port`), in the file that `PORT_FILE` names, in the environment.
"""

from __future__ import annotations

import os
import socket
import sys

PATH = "/v1/docker-flow-proxy/ready"
TIMEOUT_S = 4.0
"""
Seconds for the whole question: a second less than Docker gives the check.
"""
LONGEST_BYTES = 1024
"""
What is read of a secret, at most.
"""
NO = ("false", "0", "f", "no", "off")
"""
What switches the check off: what the proxy takes for no.
"""
ANSWER_BYTES = 65536
"""
What is read of the answer, at most; Docker keeps the first 4096.
"""


def ask(host: str, port: int) -> tuple[int, str]:
    """
    Put the question.

    Returns:
        The status, and the body.

    Raises:
        OSError: nobody answers in time.
        ValueError: the answer is none of HTTP.
    """
    with socket.create_connection((host, port), TIMEOUT_S) as connection:
        connection.sendall(f"GET {PATH} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        answer = b""
        while len(answer) < ANSWER_BYTES and (piece := connection.recv(ANSWER_BYTES)):
            answer += piece
    head, _, body = answer.decode("utf-8", "replace").partition("\r\n\r\n")
    words = head.split(None, 2)
    if len(words) < 2 or not words[0].startswith("HTTP/"):
        raise ValueError("what answers does not speak HTTP")
    return int(words[1]), body.strip()


def given(name: str, default: str) -> str:
    """
    What an operator has said of this.
    """
    secret = os.path.join(os.environ.get("SECRETS_DIR") or "/run/secrets", f"dfp_{name.lower()}")
    for path in (secret, os.environ.get(f"{name}_FILE")):
        if path and os.path.isfile(path):
            with open(path, encoding="utf-8") as file:
                text = file.read(LONGEST_BYTES).strip()
            if text:
                return text
    return os.environ.get(name) or default


def main() -> int:
    """
    Ask, and say what was said.
    """
    try:
        if given("HEALTHCHECK", "true").lower() in NO:
            return 0
        host = given("IP", "0.0.0.0")
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        status, body = ask(host, int(given("PORT", "8080")))
    except (OSError, ValueError) as error:
        sys.stdout.write(f"no answer: {error}\n")
        return 1
    sys.stdout.write(f"{status} {body}\n")
    return 0 if status == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
