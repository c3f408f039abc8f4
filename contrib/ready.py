"""
The image's health check: asks the proxy beside it whether it is ready; exit status 0 if it is.

    python -IS contrib/ready.py

Only the `socket` module is loaded, so a check costs a few hundredths of a CPU second. `HEALTHCHECK=false`, a word of
Docker Flow Proxy, makes it always succeed; `PORT` and `IP` say where the API is. Each is looked for as the proxy does:
on its command line (that of process 1: `--port`), in a secret (`dfp_port`), in the file that `PORT_FILE` names, in the
environment.
"""

from __future__ import annotations

import os
import socket
import sys

PATH = "/v1/docker-flow-proxy/ready"
COMMAND = "/proc/1/cmdline"
"""
The command line of the proxy, which is the container's first process.
"""
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


def options(command: str) -> dict[str, str]:
    """
    What stands on the command line of the proxy, by the names of the variables.

    Args:
        command: file with the words of the process, a zero byte after each; another program's has nothing for us.
    """
    try:
        with open(command, encoding="utf-8", errors="replace") as file:
            words = file.read().split("\0")
    except OSError:
        return {}
    found: dict[str, str] = {}
    if "dfproxy" not in words:
        return found
    words = words[words.index("dfproxy") + 1 :]
    for word, following in zip(words, words[1:] + [""]):
        name, equals, value = word.partition("=")
        if name in ("--ip", "--port"):
            found[name[2:].upper()] = value if equals else following
    return found


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


def main(command: str = COMMAND) -> int:
    """
    Ask, and say what was said.
    """
    told = options(command)
    try:
        if given("HEALTHCHECK", "true").lower() in NO:
            return 0
        host = told.get("IP") or given("IP", "0.0.0.0")
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        status, body = ask(host, int(told.get("PORT") or given("PORT", "8080")))
    except (OSError, ValueError) as error:
        sys.stdout.write(f"no answer: {error}\n")
        return 1
    sys.stdout.write(f"{status} {body}\n")
    return 0 if status == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
