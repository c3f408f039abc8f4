"""
The proxy with a swarm listener: a stand-in that behaves as the real one was seen to.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.e2e.backends import Backend, answering
from tests.e2e.proxy import API, Proxy, until
from tests.standins.swarmlistener import PREFIX, SwarmListenerStandIn


class ListenerCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.backend = Backend(answering())
        self.addCleanup(self.backend.close)
        self.listener = SwarmListenerStandIn()
        self.addCleanup(self.listener.close)

    def proxy(self, *options: str, workers: int = 0) -> Proxy:
        """
        A proxy that asks the stand-in by its name in the stack, and that this tells of services.
        """
        names = ("--resolve", "swarm-listener=127.0.0.1", "--resolve", "tasks.proxy=127.0.0.1")
        address = ("--listener-address", f"swarm-listener:{self.listener.port}", "--reload-interval", "200")
        proxy = Proxy(*names, *address, *options, workers=workers)
        self.addCleanup(proxy.end)
        self.listener.proxies = (f"http://127.0.0.1:{proxy.api}{API}",)
        return proxy

    def create(self, name: str, announce: bool = True, **labels: str) -> None:
        more = {"servicePath": f"/{name}/", "port": "80", "endpoints": f"127.0.0.1:{self.backend.port}"}
        self.listener.create(name, announce, **{**more, **labels})

    def ready(self, proxy: Proxy) -> tuple[int, dict[str, Any]]:
        status, body = proxy.ask(f"{API}/ready")
        return status, json.loads(body)["Problems"]


class StartTests(ListenerCase):
    def test_services_that_run_already(self) -> None:
        """
        A proxy that starts has the services that run already when it says it is ready; one bad one is left out.
        """
        self.create("x", announce=False)
        self.create("y", announce=False)
        self.create("bad", announce=False, port="http")
        proxy = self.proxy(workers=1)
        until(lambda: self.ready(proxy)[0] == 200)
        self.assertEqual([proxy.get(path).status for path in ("/x/", "/y/", "/bad/")], [200, 200, 503])
        self.assertEqual(proxy.ask(f"{API}/successfulinitreload"), (200, b""))
        proxy.wait_for_log("left out: bad: port")
        metrics = proxy.metrics()
        self.assertEqual(metrics[f'dfproxy_listener_fetched{{address="swarm-listener:{self.listener.port}"}}'], 1)
        self.assertIn("dfproxy_dns_lateness_seconds_count", metrics)

    def test_listener_comes_late(self) -> None:
        """
        While no listener has answered the proxy is not ready and says why; it serves what it has, and is ready once the
        listener answers.
        """
        self.listener.status = 500
        self.create("x", announce=False)
        proxy = self.proxy("--service", f"serviceName=o&servicePath=/o/&port=1&endpoints=127.0.0.1:{self.backend.port}")
        until(lambda: "it answers 500" in self.ready(proxy)[1].get("listener", ""))
        self.assertEqual(self.ready(proxy)[0], 503)
        self.assertEqual(proxy.ask(f"{API}/successfulinitreload")[0], 500)
        self.assertEqual([proxy.get(path).status for path in ("/o/", "/x/")], [200, 503])
        self.listener.status = 200
        until(lambda: self.ready(proxy) == (200, {}))
        self.assertEqual([proxy.get(path).status for path in ("/o/", "/x/")], [200, 200])


class NoticeTests(ListenerCase):
    def test_life_of_a_service(self) -> None:
        """
        Created, changed, scaled to nothing, removed: each is in force when the listener has its answer.
        """
        proxy = self.proxy()
        self.create("x")
        self.listener.until(lambda: len(self.listener.sent) == 1)
        self.assertEqual(proxy.get("/x/").status, 200)
        self.create("x", servicePath="/new/")
        self.listener.until(lambda: len(self.listener.sent) == 2)
        self.assertEqual([proxy.get(path).status for path in ("/x/", "/new/")], [503, 200])
        self.create("x", replicas="0")
        self.listener.until(lambda: len(self.listener.sent) == 3)
        self.assertEqual(proxy.get("/x/").status, 503)
        self.listener.remove("x")
        self.listener.until(lambda: len(self.listener.sent) == 4)
        self.assertEqual({status for _, status in self.listener.sent}, {200})

    def test_only_monitored(self) -> None:
        """
        A service without a route is done at once (409); the listener does not repeat it.
        """
        self.proxy()
        self.listener.create("watched", alertName="memlimit")
        self.listener.until(lambda: len(self.listener.sent) == 1)
        self.assertEqual(self.listener.sent[0][1], 409)

    def test_burst(self) -> None:
        """
        Asked to announce everything, the listener makes hundreds of calls at once; all are carried out.
        """
        for number in range(300):
            self.create(f"s{number}", announce=False)
        proxy = self.proxy(workers=1)
        until(lambda: self.ready(proxy)[0] == 200)
        self.assertEqual(proxy.ask(f"{API}/reload?fromListener=true")[0], 200)
        self.listener.until(lambda: len(self.listener.sent) >= 300, 30)
        self.assertEqual({status for _, status in self.listener.sent}, {200})
        self.assertEqual(len(json.loads(proxy.ask(f"{API}/config?type=json")[1])), 300)

    def test_overtaken_by_itself(self) -> None:
        """
        Ten changes of one service, each dropping the call before: the last one is in force.
        """
        proxy = self.proxy(workers=1)
        for number in range(10):
            self.create("x", servicePath=f"/v{number}/")
        self.listener.until(lambda: any(status == 200 and "v9" in target for target, status in self.listener.sent))
        until(lambda: proxy.get("/v9/").status == 200)
        self.assertEqual([proxy.get(f"/v{number}/").status for number in range(9)], [503] * 9)

    def test_reload_without_listener(self) -> None:
        """
        Listeners that do not do it make it a 500 that says which and why.
        """
        proxy = self.proxy()
        until(lambda: f"{PREFIX}/get-services" in self.listener.asked)
        self.listener.status = 500
        status, body = proxy.ask(f"{API}/reload?fromListener=true")
        self.assertEqual(status, 500)
        self.assertIn(f"swarm-listener:{self.listener.port}: it answers 500", json.loads(body)["Message"])


class HealTests(ListenerCase):
    def test_lost_create(self) -> None:
        """
        With REPEAT_RELOAD a create that never arrived is made up for; what is removed by hand comes back, since the
        listener lists it.
        """
        proxy = self.proxy("--repeat-reload", "true")
        self.create("x", announce=False)
        until(lambda: proxy.get("/x/").status == 200)
        proxy.remove("x")
        until(lambda: proxy.get("/x/").status == 200)
