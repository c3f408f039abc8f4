"""
The walk: what an operator does with the proxy on a Swarm, step by step, each with its command and figure.

    python -m tests.swarm walk [WORD...]     only steps whose names hold a word

Runs in namespaces of its own, started by `tests.swarm.__main__`. A step that fails is printed and recorded as a failed
result, and the next one goes on.

What this machine cannot show: see `NOT_SHOWN`. Long, but one thing: the steps are one story, each begins where the last
one ended.
"""

from __future__ import annotations

import difflib
import json
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType

from tests.requirements import ROOT
from tests.run import write_result
from tests.swarm.image import IMAGES
from tests.swarm.load import Balanced, Load, spread
from tests.swarm.nodes import CLIENT, Failed, Node, make_swarm, run, wait

NOT_SHOWN = """\
not shown here (the kernel has no IP_VS):
- the ingress network: replicated proxies behind a port that every node answers on; all ports here are `mode: host`
- virtual addresses of services: the listener's http://proxy:8080 goes to a task, by `endpoint_mode: dnsrr`
- a node that loses power or network: both nodes are on one machine, and end with it"""

SCALED_S = 5.0
"""
Within how many seconds after `docker service scale` five servers must be used.
"""

FOUNDATIONS = ("image", "deploy", "stack_dfp")
"""
Steps without which the following ones would only wait for their time limits.
"""

Step = Callable[[], None]


class Walk:
    """
    Two nodes, and what was done to them.
    """

    def __init__(self, folder: Path) -> None:
        self.first, self.second = self.nodes = make_swarm(folder, IMAGES)
        self.addresses = (self.first.address, self.second.address)

    # --- words -------------------------------------------------------------------------------------------------

    def docker(self, *arguments: str, node: Node | None = None, show: bool = True, limit_s: float = 120.0) -> str:
        """
        A command of an operator on a node, printed with what it says.
        """
        output = (node or self.first).docker(*arguments, limit_s=limit_s)
        if show:
            self.say(f"{(node or self.first).name}$ docker {_shown(arguments)}", output)
        return output

    def curl(self, *arguments: str, show: bool = True) -> str:
        """
        A request of a client, printed with what came.
        """
        output = run("curl", "--silent", "--show-error", "--max-time", "30", *arguments)
        if show:
            self.say(f"client$ curl {_shown(arguments)}", output[:600])
        return output

    @staticmethod
    def say(line: str, more: str = "") -> None:
        """
        Print a command or a figure.
        """
        print(f"  {line}", flush=True)
        for row in more.strip().splitlines():
            print(f"    {row}", flush=True)

    def check(self, what: str, holds: bool, figure: object = "") -> None:
        """
        Print a figure and whether it is as wanted.

        Raises:
            Failed: it is not.
        """
        self.say(f"{'ok' if holds else 'NOT'}: {what}" + (f": {figure}" if figure != "" else ""))
        if not holds:
            raise Failed(f"{what}: {figure}")

    def create(self, name: str, *arguments: str) -> None:
        """
        Make a service and wait until it has converged, as its health check says.

        `docker service create` alone would look on for five more seconds.
        """
        self.docker("service", "create", "--detach", "--name", name, *arguments)
        self.converged(name)

    def update(self, name: str, *arguments: str) -> None:
        """
        Update a service and wait until that is complete.
        """
        self.docker("service", "update", "--detach", *arguments, name)
        template = "{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}"

        def state() -> str:
            return self.docker("service", "inspect", "--format", template, name, show=False).strip()

        # The manager needs a moment to begin: until then the former update's end is shown.
        time.sleep(1)
        wait(f"the update of {name} is complete", lambda: state() in ("completed", ""), 120, 0.3)
        self.converged(name)

    def converged(self, name: str, limit_s: float = 90.0) -> float:
        """
        Wait until a service has all its tasks running.
        """

        def done() -> bool:
            rows = self.docker(
                "service", "ls", "--filter", f"name={name}", "--format", "{{.Name}} {{.Replicas}}", show=False
            )
            found = re.search(rf"^{re.escape(name)} (\d+)/(\d+)", rows, re.M)
            return found is not None and found[1] == found[2] != "0"

        try:
            return wait(f"all tasks of {name} run", done, limit_s, 0.3)
        except Failed:
            self.docker("service", "ps", "--no-trunc", name)
            self.docker("service", "logs", "--raw", "--tail", "20", name, limit_s=10)
            raise

    def tasks(self, service: str, node: Node) -> list[str]:
        """
        Containers of a service on a node.
        """
        label = f"label=com.docker.swarm.service.name={service}"
        return node.docker("ps", "--quiet", "--filter", label).split()

    def api(self, verb: str, query: str = "", address: str = "", show: bool = True) -> str:
        """
        A call of the proxy's API on the first node.
        """
        base = f"http://{address or self.first.address}:8080/v1/docker-flow-proxy/{verb}"
        return self.curl(f"{base}?{query}" if query else base, show=show)

    def publish(self, proxy: str = "proxy") -> None:
        """
        Publish go-demo on all replicas of the proxy with one call.

        Args:
            proxy: the Swarm service of the proxy.
        """
        # A replica that Docker's DNS does not name yet is not reached by the call, and nobody tells it later.
        took = wait("each replica finds the other by name", partial(self._replicas_known, proxy), 60, 0.5)
        self.say(f"Docker's DNS names both replicas on both nodes: {took:.1f} s later")
        query = "serviceName=go-demo&servicePath=/demo&port=8080&distribute=true"
        answer = self.api("reconfigure", query, show=False)
        self.say(f'client$ curl "http://{self.first.address}:8080/v1/docker-flow-proxy/reconfigure?{query}"')
        good = json.loads(answer)["Status"] == "OK" and "all 2 replicas" in json.loads(answer)["Message"]
        self.check("the call is answered OK, by both replicas", good, json.loads(answer)["Message"])

    def used(self, count: int, limit_s: float, path: str = "/demo/hello") -> float:
        """
        Wait until so many servers answer, no other, on both nodes.

        Returns:
            Seconds that it took.
        """
        seen: dict[str, int] = {}

        def done() -> bool:
            for address in self.addresses:
                seen[address] = len(spread(address, 4 * count, path).servers)
            return all(number == count for number in seen.values())

        try:
            return wait(f"{count} servers are used", done, limit_s)
        except Failed as failed:
            raise Failed(f"{failed}; used are {seen}") from failed

    def remove(self, *services: str) -> None:
        """
        Remove those of these services that there are, and wait for their containers.
        """
        there = self.docker("service", "ls", "--format", "{{.Name}}", show=False).split()
        going = [service for service in services if service in there]
        if going:
            self.docker("service", "rm", *going)
            self._gone(*going)

    def _gone(self, *services: str) -> None:
        def gone() -> bool:
            return not any(self.tasks(service, node) for service in services for node in self.nodes)

        wait(f"{', '.join(services)}: all containers are gone", gone, 90, 0.3)

    # --- steps -------------------------------------------------------------------------------------------------

    def image(self) -> None:
        """
        The image as any user, without capabilities, with a read-only root: serves on port 80, ends at SIGTERM.
        """
        docker = self.docker
        hardened = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
        places = ("--tmpfs", "/cfg", "--tmpfs", "/var/lib/dfproxy")
        docker("run", "--detach", "--name", "alone", *hardened, *places, "dfproxy", "--workers", "1", "--port", "8090")

        def health() -> str:
            states = docker("inspect", "--format", "{{.State.Health.Status}} {{.State.Status}}", "alone", show=False)
            if "exited" in states:
                raise Failed("the container has ended")
            return states.split()[0]

        try:
            took = wait("the container is healthy", lambda: health() == "healthy", 40, 0.2)
            self.check("HEALTHCHECK says healthy", True, f"{took:.1f} s after the start")
            who = docker("exec", "alone", "id")
            self.check("it is not root", "uid=0" not in who)
            address = docker("inspect", "--format", "{{.NetworkSettings.IPAddress}}", "alone", show=False).strip()
            front = self.first.inside("curl", "--silent", "--include", "--max-time", "5", f"http://{address}/")
            self.check("port 80 answers", front.startswith("HTTP/1.1 503"), front.splitlines()[0])
            text = docker("exec", "alone", "cat", "/cfg/haproxy.cfg", show=False)
            self.check("/cfg/haproxy.cfg is there", "frontend services" in text)
            log = docker("logs", "alone", show=False)
            self.check("the index of plugins is in the image", "plugin cache" not in log)
            began = time.monotonic()
            docker("stop", "--time", "30", "alone")
            took = time.monotonic() - began
            status = docker("inspect", "--format", "{{.State.ExitCode}}", "alone", show=False).strip()
            self.check("SIGTERM ends it", status == "0" and took < 15, f"exit status {status} after {took:.1f} s")
        except Failed:
            docker("logs", "--tail", "30", "alone")
            raise
        finally:
            docker("rm", "--force", "alone", show=False)

    def deploy(self) -> None:
        """
        The proxy as a service on both nodes, and go-demo behind it.
        """
        self.docker("network", "create", "--driver", "overlay", "--attachable", "proxy")
        self.create("go-demo", "--network", "proxy", "go-demo:1")
        self.create(
            "proxy",
            *("--mode", "global", "--network", "proxy", "--read-only", "--cap-drop", "ALL"),
            *("--mount", "type=tmpfs,target=/cfg", "--mount", "type=tmpfs,target=/var/lib/dfproxy"),
            *("--publish", "mode=host,published=80,target=80", "--publish", "mode=host,published=8080,target=8080"),
            *("--env", "SERVICE_NAME=proxy", "--env", "WORKERS=1", "--env", "ACCESS_LOG=httplog"),
            *("--stop-grace-period", "60s", "dfproxy:1"),
        )
        self.docker("service", "ps", "proxy")
        self.check("every node has a proxy", all(len(self.tasks("proxy", node)) == 1 for node in self.nodes))

    def hello(self) -> None:
        """
        Published by one call on node 1, answered by every node.
        """
        self.publish()
        for address in self.addresses:
            answer = self.curl("--include", f"http://{address}/demo/hello")
            good = answer.startswith("HTTP/1.1 200") and "hello, world!" in answer and "X-Backend" in answer
            self.check(f"{address} answers 200, hello, world! and the server's headers", good)
        for node in self.nodes:
            (container,) = self.tasks("proxy", node)
            time.sleep(0.5)
            text = self.docker("exec", container, "cat", "/cfg/haproxy.cfg", node=node, show=False)
            rows = [row for row in text.splitlines() if re.match(r"\s*(acl|use_backend|backend|server) ", row)]
            self.say(f"{node.name}$ docker exec {container[:6]} cat /cfg/haproxy.cfg | grep go-demo", "\n".join(rows))
            good = "acl url_go-demo" in text and "backend go-demo-be" in text
            self.check("acl and backend stand in /cfg/haproxy.cfg", good)

    def client_address(self) -> None:
        """
        With `mode: host` the proxy sees the address of the client, and so do the servers.
        """
        for node in self.nodes:
            (container,) = self.tasks("proxy", node)
            log = self.docker("logs", container, node=node, show=False)
            lines = [line for line in log.splitlines() if "/demo/hello" in line]
            self.say(f"{node.name}$ docker logs {container[:6]}", "\n".join(lines[-1:]))
            seen = {CLIENT for line in lines if CLIENT in line}
            self.check("its access log has the client's address", seen == {CLIENT}, CLIENT)

    def scale_up(self) -> None:
        """
        `docker service scale go-demo=5` is five servers within seconds, without a call.
        """
        began = time.monotonic()
        self.docker("service", "scale", "--detach", "go-demo=5")
        running = self.converged("go-demo")
        self.used(5, 30)
        took = time.monotonic() - began
        self.check(
            f"five servers are used within {SCALED_S:g} s of the command",
            took < SCALED_S,
            f"{took:.1f} s (Docker's own part: {running:.1f} s)",
        )

    def evenly(self) -> None:
        """
        100 requests, each on a connection of its own: with one worker 20 for each of five servers, one more or less.
        """
        for address in self.addresses:
            tally = spread(address, 100)
            counts = sorted(tally.servers.values())
            self.say(f"client$ 100 x curl http://{address}/demo/hello")
            self.check("20 +- 1 each", len(counts) == 5 and counts[0] >= 19 and counts[-1] <= 21, counts)

    def evenly_workers(self) -> None:
        """
        With two workers on each node within 15 %.
        """
        self.update("proxy", "--env-add", "WORKERS=2")
        self.publish()
        self.used(5, 20)
        for address in self.addresses:
            counts = sorted(spread(address, 400).servers.values())
            self.say(f"client$ 400 x curl http://{address}/demo/hello")
            self.check("80 each within 15 %", len(counts) == 5 and 68 <= counts[0] <= counts[-1] <= 92, counts)

    def scale_down_under_load(self) -> None:
        """
        Five servers become two while clients ask.
        """
        with Load(self.addresses, methods=("GET", "POST")) as load:
            time.sleep(2)
            self.docker("service", "scale", "--detach", "go-demo=2")
            time.sleep(14)
        self._lossless(load)
        self.used(2, 10)

    def update_under_load(self) -> None:
        """
        A rolling update of go-demo to another image while clients ask.
        """
        self.docker("service", "scale", "--detach", "go-demo=3")
        self.converged("go-demo")
        self.used(3, 20)
        with Load(self.addresses, methods=("GET", "POST")) as load:
            time.sleep(1)
            began = time.monotonic()
            self.update("go-demo", "--update-order", "start-first", "--image", "go-demo:2")
            took = time.monotonic() - began
            time.sleep(4)
        self.docker("service", "ps", "--filter", "desired-state=running", "go-demo")
        self.say(f"rolling update of three tasks: {took:.0f} s")
        self._lossless(load)
        self.used(3, 10)

    def _lossless(self, load: Load) -> None:
        gets, posts = load.of(method="GET"), load.of(method="POST")
        self.say(f"POST, which may not be repeated: {posts}")
        self.check("no GET failed", not gets.failed, gets)

    def kill_demo(self) -> None:
        """
        A task of go-demo is killed while clients ask; the Swarm starts another one.
        """
        with Load(self.addresses) as load:
            time.sleep(1)
            node = next(node for node in self.nodes if self.tasks("go-demo", node))
            victim = self.tasks("go-demo", node)[0]
            self.docker("kill", victim, node=node)
            time.sleep(1)
            took = self.converged("go-demo")
            time.sleep(4)
        self.say(f"the Swarm has started another one after {took + 1:.1f} s")
        tally = load.of()
        self.check("no GET failed", not tally.failed, tally)
        self.check("three servers are used again", True, f"{self.used(3, 20):.1f} s later")

    def stack(self) -> None:
        """
        stack.yml: proxy and go-demo with one command.
        """
        self.remove("proxy", "go-demo")
        self.docker("stack", "deploy", "--compose-file", str(ROOT / "stack.yml"), "demo")
        try:
            self.converged("demo_proxy")
            self.converged("demo_go-demo")
            self.publish("demo_proxy")
            self.check("three servers are used on both nodes", True, f"{self.used(3, 20):.1f} s")
        finally:
            self._remove_stack("demo")
            self._gone("demo_proxy", "demo_go-demo")

    def _remove_stack(self, name: str) -> None:
        """
        `docker stack rm`, again while a task that just ends still uses a network: Docker asks for no more than that.
        """
        self.say(f"{self.first.name}$ docker stack rm {name}")

        def removed() -> bool:
            try:
                self.docker("stack", "rm", name, show=False)
            except Failed as failure:
                if "in use by task" not in str(failure):
                    raise
                return False
            return True

        wait(f"stack {name} is removed", removed, 60, 1)

    def stack_dfp(self) -> None:
        """
        stack-dfp.yml: a stack of Docker Flow Proxy, with the listener's stand-in; a service published by its labels.
        """
        self.remove("proxy", "go-demo")
        secret = self.first.folder / "users"
        secret.write_text("admin:secret")
        self.docker("secret", "create", "dfp_users_admin", str(secret))
        command = (
            *("env", "LISTENER_IMAGE=listener-stand-in:1", "DFPROXY_IMAGE=dfproxy:1"),
            *("docker", "stack", "deploy", "-c", "stack-dfp.yml", "-c", "tests/swarm/host-ports.yml", "proxy"),
        )
        self.say(f"node-1$ {' '.join(command[1:])}")
        host = ("-H", f"unix://{self.first.socket}")
        docker = ("/usr/bin/docker", *host, "stack", "deploy")
        files = ("-c", str(ROOT / "stack-dfp.yml"), "-c", str(ROOT / "tests/swarm/host-ports.yml"), "proxy")
        self.say("", run(*command[:3], *docker, *files))
        self.converged("proxy_proxy")
        self.converged("proxy_swarm-listener")
        self.create(
            "go-demo",
            *("--network", "proxy", "--replicas", "3", "--label", "com.df.notify=true"),
            *("--label", "com.df.servicePath=/demo", "--label", "com.df.port=8080", "go-demo:1"),
        )
        self.check("published by its labels on both nodes", True, f"{self.used(3, 30):.1f} s")
        # The secret is readable for who is not root: it has the users of a service that asks for them.
        query = "serviceName=private&outboundHostname=go-demo&servicePath=/private&port=8080&usersSecret=admin"
        self.api("reconfigure", query, show=False)
        status = ("--output", "/dev/null", "--write-out", "%{http_code}", f"http://{self.first.address}/private")
        self.check("without a password", self.curl(*status) == "401", "401")
        # go-demo has no such path: the answer is its own.
        self.check("with the password of the secret", self.curl("--user", "admin:secret", *status) == "404", "404")
        self.api("remove", "serviceName=private", show=False)

    def kill_proxy(self) -> None:
        """
        A task of the proxy is killed: it comes back with all services, and the clients of the other one notice nothing.
        """
        (victim,) = self.tasks("proxy_proxy", self.second)
        before = self._config(self.second)
        with Load((self.first.address,)) as load:
            time.sleep(1)
            began = time.monotonic()
            self.docker("kill", "--signal", "KILL", victim, node=self.second)
            wait("the node answers again", self._answers_again, 60, 0.2)
            took = time.monotonic() - began
        tally = load.of(self.first.address)
        self.check("the other replica's clients notice nothing", not tally.failed, tally)
        self.check("it is back with the service", True, f"{took:.1f} s after the kill")
        # Docker's DNS names a new task's neighbours one after the other.
        try:
            settled = wait("the table is as before", lambda: self._config(self.second) == before, 15, 0.2)
        except Failed:
            self.say(
                "what is other than before", "\n".join(difflib.unified_diff(before, self._config(self.second), n=0))
            )
            raise
        self.check("the table is as before", True, f"{settled:.1f} s after its first answer")

    def _config(self, node: Node) -> list[str]:
        """
        The table as text, in which servers have no numbers: a number is kept as long as the proxy lives, and those that
        it gives at its start follow the order of the addresses that there are then.
        """
        text = self.api("config", address=node.address, show=False)
        rows = [re.sub(r"server (\S+?)(_\d+)? ", r"server \1 ", row) for row in text.splitlines()]
        servers = iter(sorted(row for row in rows if row.lstrip().startswith("server ")))
        return [next(servers) if row.lstrip().startswith("server ") else row for row in rows if not row.startswith("#")]

    def _answers_again(self) -> bool:
        return spread(self.second.address, 1).done == 1

    def update_proxy(self) -> None:
        """
        A rolling update of the proxy itself, with a balancer in front that asks `ready`: nothing is lost.
        """
        with Balanced(self.addresses) as balanced, Load((self.second.address,)) as fixed:
            time.sleep(1)
            began = time.monotonic()
            self.update("proxy_proxy", "--env-add", "TIMEOUT_SERVER=31", "--update-parallelism", "1")
            took = time.monotonic() - began
            wait("both nodes answer", lambda: all(spread(a, 1).done for a in self.addresses), 30, 0.3)
            time.sleep(1)
        self.say(f"rolling update of both replicas: {took:.1f} s, the balancer changed its mind {balanced.turns} times")
        self.say(f"clients that ask node 2 alone, whose port is closed between the two tasks: {fixed.of()}")
        tally = balanced.of()
        self.check("no request of the balancer's clients failed", not tally.failed, tally)
        self.used(3, 30)

    def restart_daemon(self) -> None:
        """
        The daemon of a node is restarted, and all its containers with it: routes stay.
        """
        before = self._config(self.second)
        with Load((self.first.address,)) as load:
            self.say("node-2$ systemctl restart docker")
            self.second.stop()
            self.second.start()
            wait("the node answers again", self._answers_again, 120, 0.3)
        self.converged("go-demo")
        tally = load.of()
        self.check("the other node's clients notice nothing", not tally.failed, tally)
        self.check("routes stay on the restarted node", _routes(self._config(self.second)) == _routes(before))
        self.check("all servers are used", True, f"{self.used(3, 30):.1f} s later")
        took = wait("each replica finds the other by name", partial(self._replicas_known, "proxy_proxy"), 90, 0.5)
        self.say(f"Docker's DNS names both replicas on both nodes: {took:.1f} s later")

    def _replicas_known(self, service: str) -> bool:
        """
        Whether Docker tells the proxies on both nodes of each other: only then `distribute=true` can reach both.
        """
        ask = f"import socket; print(len({{a[4] for a in socket.getaddrinfo('tasks.{service}', 1, type=1)}}))"
        counts = []
        for node in self.nodes:
            containers = self.tasks(service, node)
            if len(containers) != 1:
                return False
            command = ("exec", containers[0], "python3", "-c", ask)
            counts.append(self.docker(*command, node=node, show=False).strip())
        return counts == ["2", "2"]

    def labels_gone(self) -> None:
        """
        `docker service rm`: the listener tells, and the route is gone everywhere.
        """
        self.remove("go-demo")

        def gone() -> bool:
            return all(
                run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", f"http://{address}/demo/hello") == "503"
                and "go-demo" not in self.api("config", address=address, show=False)
                for address in self.addresses
            )

        try:
            self.check("no route is left", True, f"{wait('the route is gone', gone, 60):.1f} s")
        except Failed:
            self.docker("service", "logs", "--raw", "--tail", "15", "proxy_swarm-listener")
            for address in self.addresses:
                self.api("config", address=address)
            raise

    def steps(self) -> list[Step]:
        """
        All, in order.
        """
        return [
            self.image,
            self.deploy,
            self.hello,
            self.client_address,
            self.scale_up,
            self.evenly,
            self.evenly_workers,
            self.scale_down_under_load,
            self.update_under_load,
            self.kill_demo,
            self.stack,
            self.stack_dfp,
            self.kill_proxy,
            self.update_proxy,
            self.restart_daemon,
            self.labels_gone,
        ]


def _shown(arguments: tuple[str, ...]) -> str:
    return " ".join(f"'{word}'" if re.search(r"[\s&?{]", word) else word for word in arguments).replace(f"{ROOT}/", "")


def _routes(rows: list[str]) -> list[str]:
    return [row for row in rows if re.match(r"\s*(acl|use_backend) ", row)]


def main(folder: str, *words: str) -> int:
    """
    Walk.
    """

    def ended(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # As process 1 of its namespace it would ignore what it does not ask for.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ended)
    began = time.monotonic()
    write_result("swarm", "swarm: begun", "passed", fresh=True)
    try:
        walk = Walk(Path(folder))
    except Failed as failed:
        print(f"no Swarm: {failed}", flush=True)
        write_result("swarm", "swarm: two nodes", "failed", str(failed).splitlines()[0])
        return 1
    print(f"two nodes form a Swarm: {time.monotonic() - began:.1f} s", flush=True)
    walk.docker("node", "ls")
    failures = 0
    for step in walk.steps():
        name = step.__name__
        if words and not any(word in name for word in words):
            continue
        print(f"\n== {name}: {' '.join((step.__doc__ or '').split())}", flush=True)
        began = time.monotonic()
        try:
            step()
        except Exception as error:  # noqa: BLE001  whatever it was, the next step is taken
            failures += 1
            print(f"  FAILED: {error}", flush=True)
            if not isinstance(error, Failed):
                traceback.print_exc(file=sys.stdout)
            write_result("swarm", f"swarm: {name}", "failed", (str(error).splitlines() or ["?"])[0])
            if name in FOUNDATIONS:
                print("  what follows stands on it: the walk ends here", flush=True)
                break
        else:
            write_result("swarm", f"swarm: {name}", "passed")
        print(f"== {name}: {time.monotonic() - began:.1f} s", flush=True)
    print(f"\n{NOT_SHOWN}", flush=True)
    for node in walk.nodes:
        node.stop()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
