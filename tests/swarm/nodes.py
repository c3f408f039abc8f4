"""
Nodes: each a Docker daemon in a network, host name and mounts of its own, all on one bridge.

This process must itself stand in namespaces of its own (`tests.swarm.__main__`): it makes the bridge in the network it
is in, and is the place from which clients ask.

Source: dockerd(8), nsenter(1); Docker's Swarm ports 2377, 7946 and 4789 are all inside.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.requirements import find_program

DOCKER = "/usr/bin/docker"
"""
The client that comes with the daemon's package; another one may stand before it in PATH.
"""
NETWORK = "10.99.0"
"""
Addresses of the nodes, in a network that exists only in the namespaces of this run.
"""
OVERLAY = "10.77.0.0/16"
CLIENT = f"{NETWORK}.254"
UP_S = 60.0
"""
How long a daemon may take to answer, on a busy machine.
"""


class Failed(Exception):
    """
    A command that should have worked; its output.
    """


def wait(what: str, done: Callable[[], bool], limit_s: float, pause_s: float = 0.1) -> float:
    """
    Wait until something holds.

    Returns:
        Seconds that it took.

    Raises:
        Failed: it did not hold in time.
    """
    began = time.monotonic()
    while not done():
        if time.monotonic() - began > limit_s:
            raise Failed(f"not within {limit_s:g} s: {what}")
        time.sleep(pause_s)
    return time.monotonic() - began


def run(*command: str, limit_s: float = 120.0, check: bool = True) -> str:
    """
    The output of a command.

    Raises:
        Failed: it failed, or took too long.
    """
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=limit_s
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{' '.join(command)}: not within {limit_s:g} s") from error
    output = done.stdout.decode("utf-8", "replace")
    if check and done.returncode:
        raise Failed(f"{' '.join(command)}: exit status {done.returncode}\n{output.strip()}")
    return output


def make_bridge() -> None:
    """
    The wire between the nodes, in the network of this process.
    """
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "swarm0", "type", "bridge")
    run("ip", "address", "add", f"{CLIENT}/24", "dev", "swarm0")
    run("ip", "link", "set", "swarm0", "up")


class Node:
    """
    One Docker host.

    Args:
        folder: for all that its daemon keeps.
        number: 1, 2, ...; its address ends in it.

    Attributes:
        address: where it is reached from the other nodes and from here.
        name: its host name.
    """

    def __init__(self, folder: Path, number: int) -> None:
        self.number = number
        self.name = f"node-{number}"
        self.address = f"{NETWORK}.{number}"
        self.folder = folder / self.name
        self.folder.mkdir()
        self._groups = folder.name
        self._daemon: subprocess.Popen[bytes] | None = None
        # Holds the namespaces, so that the daemon can end and come back in them. /run is its own, so that the
        # daemon's socket is where every Docker host has it.
        setup = f"hostname {self.name} && mount -t tmpfs tmpfs /run && ip link set lo up && echo up && exec sleep inf"
        self._holder = subprocess.Popen(
            ("unshare", "--net", "--uts", "--mount", "sh", "-c", setup), stdout=subprocess.PIPE
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline().strip() != b"up":
            raise Failed(f"no namespaces for {self.name}")
        wire = f"wire{number}"
        run("ip", "link", "add", wire, "type", "veth", "peer", "name", "eth0", "netns", str(self._holder.pid))
        run("ip", "link", "set", wire, "master", "swarm0", "up")
        self.inside("ip", "address", "add", f"{self.address}/24", "dev", "eth0")
        self.inside("ip", "link", "set", "eth0", "up")

    def _enter(self, *command: str) -> tuple[str, ...]:
        return ("nsenter", "-t", str(self._holder.pid), "-n", "-u", "-m", *command)

    def inside(self, *command: str) -> str:
        """
        Run a command on the node.
        """
        return run(*self._enter(*command))

    @property
    def socket(self) -> Path:
        """
        Where the daemon is reached from here.
        """
        return self.folder / "docker.sock"

    def start(self) -> None:
        """
        Start the daemon and wait until it answers.
        """
        dockerd = find_program("dockerd")
        assert dockerd is not None
        command = self._enter(
            *(dockerd, "--data-root", str(self.folder / "data"), "--exec-root", "/run/docker-exec"),
            *("--pidfile", "/run/docker.pid", "--host", "unix:///run/docker.sock", "--host", f"unix://{self.socket}"),
            *("--cgroup-parent", f"/{self._groups}", "--default-address-pool", "base=10.88.0.0/16,size=24"),
        )
        with open(self.folder / "dockerd.log", "ab") as output:
            self._daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            wait(f"dockerd of {self.name} answers", self._answers, UP_S)
        except Failed as failed:
            raise Failed(f"{failed}\n{self.log()}") from failed

    def _answers(self) -> bool:
        assert self._daemon is not None
        if self._daemon.poll() is not None:
            raise Failed(f"dockerd of {self.name} ended with {self._daemon.returncode}")
        command = (DOCKER, "-H", f"unix://{self.socket}", "version")
        return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0

    def log(self) -> str:
        """
        The last lines of the daemon.
        """
        return "\n".join((self.folder / "dockerd.log").read_text(errors="replace").splitlines()[-15:])

    def stop(self, limit_s: float = 60.0) -> None:
        """
        End the daemon, and with it its containers, as a reboot of the service does.
        """
        if self._daemon is not None and self._daemon.poll() is None:
            self._daemon.terminate()
            try:
                self._daemon.wait(limit_s)
            except subprocess.TimeoutExpired:
                self._daemon.kill()
                self._daemon.wait()

    def docker(self, *arguments: str, limit_s: float = 120.0, check: bool = True) -> str:
        """
        Ask its daemon.
        """
        return run(DOCKER, "-H", f"unix://{self.socket}", *arguments, limit_s=limit_s, check=check)

    def load(self, images: Path) -> None:
        """
        Take images from a tar.
        """
        self.docker("load", "--quiet", "--input", str(images), limit_s=300)


def make_swarm(folder: Path, images: Path) -> tuple[Node, Node]:
    """
    Two nodes with these images, a manager and a worker, joined.
    """
    make_bridge()
    first, second = Node(folder, 1), Node(folder, 2)
    for node in (first, second):
        node.start()
        node.load(images)
    first.docker("swarm", "init", "--advertise-addr", first.address, "--default-addr-pool", OVERLAY)
    token = first.docker("swarm", "join-token", "--quiet", "worker").split()[-1]
    second.docker("swarm", "join", "--advertise-addr", second.address, "--token", token, f"{first.address}:2377")
    wait("both nodes are ready", lambda: first.docker("node", "ls").count("Ready") == 2, 30)
    return first, second
