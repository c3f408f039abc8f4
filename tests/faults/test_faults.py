"""
What clients see of faults, each printed: nothing of what is behind the proxy, and of its own only what a killed
process had in its hands.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

from twisted.trial.unittest import SynchronousTestCase

from tests.e2e.proxy import Proxy, until
from tests.faults.clients import LONG, SIZES, Clients, Server

RESTART_S = 3.0
"""How long the port may not answer when the leader was killed and started again; a machine that does much else."""


class FaultCase(SynchronousTestCase):
    """
    A proxy with two workers and three servers.
    """

    modes = ("good", "good", "good")

    def setUp(self) -> None:
        """
        Start all, and publish `/go`.
        """
        self.proxy = Proxy("--timeout-drain", "5", workers=2)
        self.addCleanup(lambda: self.proxy.kill())
        self.servers = [Server(f"127.0.0.{number + 2}", mode) for number, mode in enumerate(self.modes)]
        for server in self.servers:
            self.addCleanup(server.kill)
        self.publish("go", "/go/")

    def publish(self, name: str, path: str, **parameters: str) -> None:
        """
        Publish the three servers under a path.
        """
        places = [(server.host, server.port) for server in self.servers]
        self.proxy.publish(name, *places, path=path, timeoutServer="1", **parameters)

    def clients(self, **about: object) -> Clients:
        """
        Clients of `/go`.
        """
        return Clients(self.proxy.ip, self.proxy.port, "go", **about)  # type: ignore[arg-type]  # as given

    def tell(self, clients: Clients, more: str = "") -> None:
        """
        Print what they saw.
        """
        sys.stdout.write(f"\n{self.id().rpartition('.')[2]}: {clients}{more}\n")

    def assert_unseen(self, clients: Clients) -> None:
        """
        They saw nothing.
        """
        seen = (dict(clients.wrong), clients.corrupted, clients.cut, clients.refused)
        self.assertEqual(seen, ({}, 0, 0, 0))
        self.assertGreater(clients.good, 100)


class BackendTests(FaultCase):
    """
    Servers that break.
    """

    def test_killed(self) -> None:
        """
        Each server is killed and started again while clients ask.
        """
        with self.clients() as clients:
            for server in self.servers:
                before = clients.good
                until(lambda before=before: clients.good > before + 100)
                server.kill()
                after = clients.good
                until(lambda after=after: clients.good > after + 200)
                server.start()
        self.tell(clients)
        self.assert_unseen(clients)

    def test_paused(self) -> None:
        """
        One is stopped (SIGSTOP): it takes connections and requests and never answers.
        """
        with self.clients() as clients:
            until(lambda: clients.good > 100)
            os.kill(self.servers[0].child.pid, signal.SIGSTOP)
            until(lambda: self.proxy.log().count("is left out") >= 2, 20)
            before = clients.good
            until(lambda: clients.good > before + 300, 20)
            os.kill(self.servers[0].child.pid, signal.SIGCONT)
        self.tell(clients)
        self.assert_unseen(clients)


class ResettingTests(FaultCase):
    """
    One server breaks off a quarter of its answers.
    """

    modes = ("reset", "good", "good")

    def test_resetting(self) -> None:
        """
        Half of these before the first byte, half in the middle.
        """
        with self.clients() as clients:
            until(lambda: clients.good > 1000, 30)
        self.tell(clients, f"; {self.proxy.log().count('is left out')} times a worker left a server out")
        self.assert_unseen(clients)


class SlowTests(FaultCase):
    """
    One server is slow.
    """

    modes = ("slow", "good", "good")

    def test_slow(self) -> None:
        """
        Its answers come late, and are right.
        """
        with self.clients() as clients:
            until(lambda: clients.good > 300, 30)
        self.tell(clients)
        self.assert_unseen(clients)


class OwnTests(FaultCase):
    """
    Our own processes, and changes.
    """

    def test_worker_killed(self) -> None:
        """
        Workers are killed with -9: what was in their hands is cut, nothing is corrupted, nobody is refused.
        """
        kills = 4
        with self.clients(count=8, sizes=SIZES + LONG) as clients:
            for _ in range(kills):
                before = clients.good
                until(lambda before=before: clients.good > before + 200, 20)
                old = self.proxy.worker_pids()
                os.kill(old[0], signal.SIGKILL)
                until(lambda old=old: len(set(self.proxy.worker_pids()) - {old[0]}) == 2, 20)
        self.tell(clients, f"; {kills} workers killed")
        self.assertEqual((dict(clients.wrong), clients.corrupted, clients.refused), ({}, 0, 0))
        # A client that waits between two requests loses its connection too, and notices it with the next one.
        self.assertLessEqual(clients.cut, 8 * kills)

    def test_leader_killed(self) -> None:
        """
        The leader is killed with -9 amid changes and started again: each acknowledged change is there.
        """
        acknowledged: list[str] = []
        over = threading.Event()

        def change() -> None:
            number = 0
            while not over.is_set():
                name = f"s{number}"
                try:
                    self.publish(name, f"/{name}/")
                except (OSError, AssertionError):
                    return
                acknowledged.append(name)
                number += 1

        thread = threading.Thread(target=change, daemon=True)
        with self.clients() as clients:
            thread.start()
            until(lambda: len(acknowledged) >= 40, 20)
            former = self.proxy
            killed = time.monotonic()
            former.kill_leader()
            over.set()
            thread.join(20)
            self.proxy = Proxy("--timeout-drain", "5", workers=2, former=former)
            before = clients.good
            until(lambda: clients.good > before, 10)
            took_s = time.monotonic() - killed
            until(lambda: clients.good > before + 200, 20)
        self.tell(clients, f"; the port answered again {took_s:.2f} s after the kill; {len(acknowledged)} changes")
        self.assertEqual((clients.corrupted, set(clients.wrong) - {503}), (0, set()))
        self.assertLess(took_s, RESTART_S + 2)
        for name in acknowledged:
            status, body = self.proxy.get(f"/{name}/1/100").status, None
            self.assertEqual((name, status, body), (name, 200, None))

    def test_upgrade(self) -> None:
        """
        Another version of the proxy takes over (here it is the same one) while clients ask.
        """
        with self.clients(count=8, sizes=SIZES + LONG) as clients:
            until(lambda: clients.good > 200)
            before = set(self.proxy.worker_pids())
            began = time.monotonic()
            status, said = self.proxy.ask("/v1/docker-flow-proxy/upgrade", "POST")
            self.assertEqual(status, 200, said)
            until(lambda: not before & set(self.proxy.worker_pids()), 30)
            took_s = time.monotonic() - began
            after = clients.good
            until(lambda: clients.good > after + 300, 20)
        self.tell(clients, f"; the old workers were gone after {took_s:.1f} s")
        self.assert_unseen(clients)

    def test_many_changes(self) -> None:
        """
        1,000 services are published, changed and removed while clients ask.
        """
        places = ",".join(f"{server.host}:{server.port}" for server in self.servers)
        with self.clients() as clients:
            until(lambda: clients.good > 100)
            for turn in range(2):
                for first in range(0, 1000, 100):
                    threads = [
                        threading.Thread(
                            target=self.proxy.call,
                            args=("reconfigure",),
                            kwargs={
                                "serviceName": f"m{first + n}",
                                "servicePath": f"/m{first + n}/{turn}",
                                "endpoints": places,
                                "port": "1",
                            },
                        )
                        for n in range(100)
                    ]
                    for thread in threads:
                        thread.start()
                    for thread in threads:
                        thread.join(30)
            self.publish("go", "/go/", balance="leastconn")
            self.publish("go", "/go/", aclName="zz")
        self.tell(clients, "; 2,002 changes")
        self.assert_unseen(clients)
        self.assertEqual(self.proxy.get("/m999/1/10").status, 200)
