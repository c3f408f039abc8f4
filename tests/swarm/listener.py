"""
A stand-in for Docker Flow Swarm Listener: watches the services of a Swarm and tells the proxy of those that ask for it.

Runs in a container with the daemon's socket, on the standard library alone. It sends what a real listener was seen to
send (parameters sorted, `replicas` unless global, `distribute=true` unless labelled, repeats until it is answered 200,
a newer change of a service takes the place of an older one); it looks each second where the real one is told by events,
and knows nothing of nodes.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import urlopen

SOCKET = "/var/run/docker.sock"
PREFIX = "com.df."
LOOK_S = 1.0

Parameters = dict[str, str]


class Daemon(http.client.HTTPConnection):
    """
    A connection to the daemon's socket.
    """

    def connect(self) -> None:
        """
        To the file, not to a host.
        """
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(SOCKET)


def ask(path: str) -> Any:
    """
    The daemon's answer to a GET.

    Raises:
        OSError: it does not answer, or not with 200.
    """
    connection = Daemon("docker")
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise OSError(f"{path}: {answer.status}")
        return json.loads(body)
    finally:
        connection.close()


def look(label: str) -> dict[str, tuple[Parameters, bool]]:
    """
    Services with the label, by their ID: create parameters, and whether all tasks run.
    """
    filters = quote(json.dumps({"label": [label]}))
    found = {}
    for service in ask(f"/v1.41/services?status=true&filters={filters}"):
        spec, status = service["Spec"], service.get("ServiceStatus") or {}
        labels = {k[len(PREFIX) :]: v for k, v in spec["Labels"].items() if k.startswith(PREFIX) and k != label}
        parameters = {name: value for name, value in labels.items() if name}
        name = spec["Name"]
        if parameters.get("shortName") == "true":
            name = name.removeprefix(spec["Labels"].get("com.docker.stack.namespace", "") + "_")
        parameters["serviceName"] = name
        parameters.setdefault("distribute", "true")
        replicated = spec["Mode"].get("Replicated")
        if replicated is not None:
            parameters["replicas"] = str(replicated.get("Replicas", 1))
        running = 0 < status.get("DesiredTasks", 0) <= status.get("RunningTasks", 0)
        found[service["ID"]] = (parameters, running)
    return found


class Listener:
    """
    What was told, and what is being told.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self.label = environment.get("DF_NOTIFY_LABEL", "com.df.notify")
        self.create = environment.get("DF_NOTIFY_CREATE_SERVICE_URL", "")
        self.remove = environment.get("DF_NOTIFY_REMOVE_SERVICE_URL", "")
        self.retry = int(environment.get("DF_RETRY", "50"))
        self.interval_s = float(environment.get("DF_RETRY_INTERVAL", "5"))
        self.told: dict[str, Parameters] = {}
        self.turn: dict[str, int] = {}

    def watch(self) -> None:
        """
        Look again and again; tell what is new, changed or gone.
        """
        while True:
            try:
                found = look(self.label)
            except (OSError, ValueError) as error:
                print(f"the daemon does not answer: {error}")
            else:
                self.compare({name: parameters for name, (parameters, _) in found.items()})
            time.sleep(LOOK_S)

    def compare(self, found: dict[str, Parameters]) -> None:
        """
        Tell the difference to what was told.
        """
        for identity, parameters in found.items():
            if self.told.get(identity) != parameters:
                self.tell(identity, self.create, parameters)
        for identity in self.told.keys() - found.keys():
            parameters = {name: value for name, value in self.told[identity].items() if name != "replicas"}
            self.tell(identity, self.remove, parameters)
        self.told = found

    def tell(self, identity: str, urls: str, parameters: Parameters) -> None:
        """
        Tell all addresses, each by a thread of its own.
        """
        self.turn[identity] = turn = self.turn.get(identity, 0) + 1
        for url in filter(None, urls.split(",")):
            query = "&".join(filter(None, (urlsplit(url).query, urlencode(sorted(parameters.items())))))
            target = f"{url.partition('?')[0]}?{query}"
            threading.Thread(target=self.send, args=(identity, turn, target), daemon=True).start()

    def send(self, identity: str, turn: int, target: str) -> None:
        """
        Repeat until it is answered well, or a newer change has come.
        """
        for _ in range(self.retry + 1):
            try:
                with urlopen(target) as answer:
                    print(f"{answer.status} {target}")
                    return
            except OSError as error:
                print(f"{error} {target}")
            time.sleep(self.interval_s)
            if self.turn[identity] != turn:
                return


class Api(BaseHTTPRequestHandler):
    """
    Port 8080 of the listener.
    """

    listener: Listener

    def do_GET(self) -> None:
        """
        Three of its calls.
        """
        verb = self.path.partition("?")[0].removeprefix("/v1/docker-flow-swarm-listener/")
        status = 200
        answer: Any = {"Status": "OK"}
        if verb == "get-services":
            try:
                answer = [parameters for parameters, runs in look(self.listener.label).values() if runs]
            except (OSError, ValueError):
                status, answer = 500, {"Status": "NOK"}
        elif verb == "notify-services":
            self.listener.told = {}
        elif verb != "ping":
            status, answer = 404, {"Status": "NOK"}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """
    Watch and answer until the container is ended.
    """
    Api.listener = Listener(dict(os.environ))
    threading.Thread(target=Api.listener.watch, daemon=True).start()
    ThreadingHTTPServer(("", 8080), Api).serve_forever()


if __name__ == "__main__":
    main()
