"""
Several services at once, dry runs, revisions and undo, with real workers and over restarts.
"""

from __future__ import annotations

import json
from base64 import b64encode
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.e2e.backends import Backend, answering
from tests.e2e.proxy import API, Proxy
from tests.e2e.wire import LIMIT_S


def get(proxy: Proxy, path: str, user: str = "") -> tuple[int, bytes]:
    """
    What a client of the front gets.
    """
    connection = HTTPConnection(proxy.ip, proxy.port, timeout=LIMIT_S)
    try:
        headers = {"Authorization": "Basic " + b64encode(user.encode()).decode()} if user else {}
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


class LifecycleCase(SynchronousTestCase):
    """
    A proxy of this test alone, and two servers.
    """

    options: tuple[str, ...] = ()

    def setUp(self) -> None:
        self.blue, self.green = Backend(answering(b"blue")), Backend(answering(b"green"))
        self.addCleanup(self.blue.close)
        self.addCleanup(self.green.close)
        self.proxy = Proxy(*self.options)
        self.addCleanup(lambda: self.proxy.end())

    def entry(self, name: str, server: Backend, **parameters: str) -> dict[str, str]:
        """
        A service as a listener lists it.
        """
        endpoints = f"{server.host}:{server.port}"
        return {"serviceName": name, "servicePath": f"/{name}", "endpoints": endpoints, **parameters}

    def post(self, verb: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        """
        One POST of JSON.
        """
        status, said = self.proxy.ask(f"{API}/{verb}", "POST", b"" if body is None else json.dumps(body).encode())
        return status, json.loads(said)

    def revisions(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.proxy.ask(f"{API}/revisions")[1])
        return found

    def restart(self) -> None:
        """
        The leader is killed with -9 and started again.
        """
        former = self.proxy
        former.kill_leader()
        self.proxy = Proxy(*self.options, former=former)


class CallTests(LifecycleCase):
    """
    Calls that take services away without being `remove`.
    """

    options = ("--filter-proxy-instance-name", "true", "--proxy-instance-name", "inner")

    def test_replicas_and_instances(self) -> None:
        """
        No replicas, or another instance's name, takes a service away; the calls are answered 200.
        """
        about = {"proxyInstanceName": "INNER"}
        for name in ("a", "b"):
            self.proxy.publish(name, self.blue, path=f"/{name}", replicas="3", **about)
        self.assertEqual([get(self.proxy, path)[0] for path in ("/a", "/b")], [200, 200])
        call = {"servicePath": "/a", "port": "80"}
        self.assertEqual(self.proxy.call("reconfigure", serviceName="a", replicas="0", **call, **about)[0], 200)
        self.assertEqual(get(self.proxy, "/a")[0], 503)
        other = self.proxy.call("reconfigure", serviceName="b", proxyInstanceName="outer", **call)
        self.assertEqual((other[0], get(self.proxy, "/b")[0]), (200, 503))
        self.assertEqual(self.proxy.call("reconfigure", serviceName="c", proxyInstanceName="outer", **call)[0], 200)
        self.assertEqual(json.loads(self.proxy.ask(f"{API}/config?type=json")[1]), {})
        entries = [self.entry("d", self.blue, **about), self.entry("e", self.blue), self.entry("f", self.blue, **about)]
        self.assertEqual(self.post("services", entries)[1]["Services"], ["d", "f"])
        self.assertEqual(
            self.post("services", [self.entry("d", self.blue, **about, replicas="0")])[1]["Removed"], ["d"]
        )
        self.assertEqual([get(self.proxy, path)[0] for path in ("/d", "/e", "/f")], [503, 503, 200])

    def test_reload(self) -> None:
        """
        There is nothing to reload: what was accepted is in force before and after, and no revision comes of it.
        """
        self.proxy.publish("a", self.blue, path="/a", proxyInstanceName="inner")
        before = self.revisions()
        for query in ({}, {"recreate": "true"}, {"fromListener": "true"}):
            status, said = self.proxy.call("reload", **query)
            self.assertEqual((status, said["Status"]), (200, "OK"), query)
        self.assertEqual(self.revisions(), before)
        self.assertEqual(get(self.proxy, "/a")[1], b"blue")


class SeveralTests(LifecycleCase):
    def test_blue_green(self) -> None:
        """
        Two services change over together, in one revision; one bad one refuses all, each bad one is named.
        """
        status, said = self.post("services", [self.entry("a", self.blue), self.entry("b", self.blue)])
        self.assertEqual((status, said["Services"]), (200, ["a", "b"]), said)
        first = said["Revision"]["Number"]
        self.assertEqual([get(self.proxy, path)[1] for path in ("/a", "/b")], [b"blue", b"blue"])
        bad = self.entry("bad", self.green, pathType="path_reg", servicePath="(")
        worse = self.entry("worse", self.green, balance="no-such")
        status, said = self.post("services", [self.entry("a", self.green), bad, worse, self.entry("b", self.green)])
        self.assertEqual(status, 400)
        self.assertEqual({"bad", "worse"} & {one["ServiceName"] for one in said["Problems"]}, {"bad", "worse"}, said)
        self.assertEqual([get(self.proxy, path)[1] for path in ("/a", "/b")], [b"blue", b"blue"])
        self.assertEqual(self.revisions()["Revision"]["Number"], first)
        status, said = self.post("services", [self.entry("a", self.green), self.entry("b", self.green)])
        self.assertEqual((status, said["Revision"]["Number"]), (200, first + 1), said)
        self.assertEqual([get(self.proxy, path)[1] for path in ("/a", "/b")], [b"green", b"green"])
        latest = self.revisions()["Revisions"][0]
        self.assertEqual((latest["Causes"], latest["Services"]), ([{"Cause": "services", "Origin": "dfp"}], ["a", "b"]))
        self.assertEqual(self.post("services?replace=all", [self.entry("b", self.green)])[1]["Removed"], ["a"])
        self.assertEqual([get(self.proxy, path)[0] for path in ("/a", "/b")], [503, 200])


class UndoTests(LifecycleCase):
    options = ("--service", "serviceName=env&servicePath=/env&endpoints=127.0.0.1:1")

    def test_back_and_forth(self) -> None:
        """
        Undo brings back what was there, for the next request; `to` goes further; a restart forgets neither.
        """
        self.proxy.publish("a", self.blue, path="/a")
        number = self.revisions()["Revision"]["Number"]
        self.proxy.publish("a", self.green, path="/a")
        self.proxy.publish("b", self.green, path="/b")
        self.assertEqual(
            self.post(f"undo?to={number}&dryRun=true")[1]["Difference"]["RoutesRemoved"][0]["ServiceName"], "b"
        )
        self.assertEqual(get(self.proxy, "/a")[1], b"green")
        status, said = self.post(f"undo?to={number}")
        self.assertEqual((status, said["Revision"]["Number"]), (200, number + 3), said)
        self.assertEqual((get(self.proxy, "/a")[1], get(self.proxy, "/b")[0]), (b"blue", 503))
        self.assertEqual(self.post("undo")[0], 200)  # the undo itself
        self.assertEqual((get(self.proxy, "/a")[1], get(self.proxy, "/b")[1]), (b"green", b"green"))
        self.assertEqual(self.post("undo?to=100000")[0], 400)
        self.assertEqual(self.proxy.ask(f"{API}/undo")[0], 405)
        latest = self.revisions()["Revision"]
        self.restart()
        self.assertEqual(get(self.proxy, "/a")[1], b"green")
        again = self.revisions()
        self.assertEqual((again["Revision"], again["Since"]["Number"]), (latest, latest["Number"]))

    def test_hold(self) -> None:
        """
        What is declared at start is undone, stays so over a restart, shown as held, until something else is declared.
        """
        number = next(one["Number"] for one in self.revisions()["Revisions"] if one["Services"] == ["env"])
        status, said = self.post(f"undo?to={number - 1}")
        self.assertEqual((status, said["Held"]), (200, ["env"]), said)
        self.restart()
        self.assertNotIn("env", json.loads(self.proxy.ask(f"{API}/config?type=json")[1]))
        held = self.revisions()["Holds"]
        self.assertEqual(held, [{"ServiceName": "env", "Origin": "environment", "Revision": number}])
        self.options = ("--service", "serviceName=env&servicePath=/other&endpoints=127.0.0.1:1")
        self.restart()
        shown = json.loads(self.proxy.ask(f"{API}/config?type=json")[1])
        self.assertEqual(shown["env"]["ServiceDest"][0]["ServicePath"], ["/other"])
        self.assertEqual(self.revisions()["Holds"], [])


class DryRunTests(LifecycleCase):
    def test_says_and_does_nothing(self) -> None:
        """
        What a change would do is said: routes, names without servers, the requests that would go elsewhere.
        """
        self.proxy.publish("z", self.blue, path="/shop")
        for _ in range(6):
            self.assertEqual(get(self.proxy, "/shop/cart?secret=1")[1], b"blue")
        before = self.revisions()
        about = {"serviceName": "a", "servicePath": "/shop/cart", "port": "80", "outboundHostname": "none.invalid"}
        status, said = self.proxy.call("reconfigure", **about, dryRun="true")
        self.assertEqual(status, 200, said)
        found = said["Difference"]
        self.assertEqual([route["Backend"] for route in found["RoutesAdded"]], ["a-be80_0"])
        self.assertEqual(found["Unresolved"], [{"ServiceName": "a", "Backend": "a-be80_0", "Name": "none.invalid"}])
        self.assertEqual((found["Requests"]["LookedAt"], found["Requests"]["Elsewhere"]), (6, 6))
        (key,) = found["Requests"]["Keys"]
        self.assertEqual((key["Path"], key["To"], key["Count"]), ("/shop/cart", "a-be80_0", 6))
        self.assertNotIn("secret", json.dumps(found))
        said = self.proxy.call("remove", serviceName="z", dryRun="true")[1]
        self.assertEqual([key["To"] for key in said["Difference"]["Requests"]["Keys"]], ["503"])
        status, said = self.post("services?dryRun=true&replace=all", [self.entry("n", self.green)])
        self.assertEqual((status, said["Removed"], said["Services"]), (200, ["z"], ["n"]))
        bad = {**about, "servicePath": "(", "pathType": "path_reg"}
        self.assertEqual(self.proxy.call("reconfigure", **bad, dryRun="true")[0], 400)
        self.assertEqual(self.revisions(), before)
        self.assertEqual(get(self.proxy, "/shop/cart")[1], b"blue")


class PasswordTests(LifecycleCase):
    def test_kept_as_hashes(self) -> None:
        """
        A plain password is nowhere on the disk, works before and after a restart, and given again is no change.
        """
        secret = "correct-horse-battery"
        about = {"users": f"bob:{secret}", "path": "/a"}
        self.proxy.publish("a", self.blue, **about)
        self.assertEqual([get(self.proxy, "/a", user)[0] for user in (f"bob:{secret}", "bob:no", "")], [200, 401, 401])
        before = self.revisions()["Revision"]
        self.restart()
        for file in Path(self.proxy.folder).rglob("*"):
            if file.is_file():
                self.assertNotIn(secret.encode(), file.read_bytes(), file)
        self.assertIn("bob:{crypt}$6$", (self.proxy.folder / "state" / "journal").read_text())
        self.assertEqual([get(self.proxy, "/a", user)[0] for user in (f"bob:{secret}", "bob:no", "")], [200, 401, 401])
        self.assertEqual(self.revisions()["Revision"], before)
        self.proxy.publish("a", self.blue, **about)
        self.assertEqual(self.revisions()["Revision"], before)
        shown = json.loads(self.proxy.ask(f"{API}/config?type=json")[1])
        self.assertEqual([(user["Username"], user["Password"]) for user in shown["a"]["Users"]], [("bob", "")])
        self.assertNotIn("$6$", self.proxy.config())
        self.proxy.publish("a", self.blue, users="bob:another", path="/a")
        self.assertEqual(self.revisions()["Revision"]["Number"], before["Number"] + 1)
        self.assertEqual([get(self.proxy, "/a", user)[0] for user in (f"bob:{secret}", "bob:another")], [401, 200])
