"""
Ports of whole connections as HAProxy configuration, as HAProxy itself reads it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qsl

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.haproxy import render
from dfproxy.dfp.reconfigure import read
from dfproxy.model.listener import Listener
from dfproxy.model.pool import Pools
from dfproxy.model.service import Balance
from dfproxy.model.settings import Settings
from dfproxy.model.snapshot import Revision, ServerAddress
from dfproxy.routing.precedence import DfpOrder
from dfproxy.routing.streams import pools_of
from tests.requirements import require

SETTINGS = Settings(listeners=(Listener("", 18080), Listener("", 18443, tls=True, options=("accept-proxy",))))


def pools(*queries: str) -> Pools:
    """
    What these services come to.
    """
    services = []
    for query in queries:
        service = read(parse_qsl(query), (), SETTINGS, lambda text: Balance(text)).service
        assert service is not None
        services.append(service)
    return pools_of(services, DfpOrder().key)


def servers(service: str, index: int) -> Sequence[ServerAddress]:
    """
    Two servers; none for `empty`, and names for `named`.
    """
    if service == "empty":
        return ()
    if service == "named":
        return (ServerAddress("tasks.x", 1),)
    return (ServerAddress("192.0.2.1", 1), ServerAddress("2001:db8::1", 2, 3))


def text(*queries: str, settings: Settings = SETTINGS) -> str:
    return "".join(render(settings, (), None, servers, Revision(), pools=pools(*queries)))


class TextTests(SynchronousTestCase):
    """
    What `StreamsText` says, within a whole configuration.
    """

    def check(self, configuration: str) -> None:
        """
        HAProxy accepts it.
        """
        (haproxy,) = require("haproxy")
        file = Path(self.mktemp())
        file.write_text(configuration, encoding="utf-8")
        command = [haproxy, "-c", "-f", str(file)]
        found = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        self.assertEqual(found.returncode, 0, f"{found.stderr}{found.stdout}\n{configuration}")

    def assert_says(self, configuration: str, *lines: str) -> None:
        """
        These lines stand in it, one behind the other.
        """
        wanted = "".join(f"{line}\n" for line in lines)
        self.assertIn(wanted, configuration)

    def test_plain(self) -> None:
        """
        One service on a port, with all that can be said of it.
        """
        query = "serviceName=redis&reqMode=tcp&srcPort=16379&port=6379&timeoutClient=7&timeoutServer=8&timeoutTunnel=9"
        query += "&retries=2&maxConnections=7&queueTimeout=1.5"
        found = text(f"{query}&clitcpka=true&checkTcp=true&balance=leastconn&sendProxy=v2")
        self.assert_says(
            found,
            "frontend tcpFE_16379",
            "    bind *:16379",
            "    mode tcp",
            "    option clitcpka",
            "    timeout client 7000ms",
            "    default_backend redis-be6379_0",
        )
        self.assert_says(
            found,
            "backend redis-be6379_0",
            "    mode tcp",
            "    balance leastconn",
            "    timeout server 8000ms",
            "    timeout tunnel 9000ms",
            "    retries 2",
            "    timeout queue 1500",
        )
        self.assertIn("    server redis_0 192.0.2.1:1 send-proxy-v2 maxconn 7 check ", found)
        self.assertIn("    server redis_1 [2001:db8::1]:2 weight 3 send-proxy-v2 maxconn 7 check ", found)
        self.check(found)

    def test_by_name(self) -> None:
        """
        By name: HAProxy waits for the ClientHello, tries in our order, and has the same default.
        """
        found = text(
            "serviceName=b&reqMode=sni&srcPort=18444&port=1&pathType=req_ssl_sni -i -m reg&servicePath=^b[0-9]",
            "serviceName=a&reqMode=tcp&srcPort=18444&port=1&serviceDomain=a.test,*.c.test",
            "serviceName=z&reqMode=tcp&srcPort=18444&port=1",
            "serviceName=y&reqMode=tcp&srcPort=18444&port=1",
        )
        self.assert_says(
            found,
            "    tcp-request inspect-delay 5s",
            "    tcp-request content accept if { req_ssl_hello_type 1 } or HTTP",
            "    acl sni_a-be1_0 req.ssl_sni -i a.test",
            "    acl sni_a-be1_0 req.ssl_sni -m end -i .c.test",
            "    use_backend a-be1_0 if sni_a-be1_0",
            "    acl sni_b-be1_0 req.ssl_sni -m reg -i ^b[0-9]",
            "    use_backend b-be1_0 if sni_b-be1_0",
            "    default_backend z-be1_0",
        )
        self.check(found)
        only = text("serviceName=a&reqMode=sni&srcPort=18444&port=1&serviceDomain=a.test")
        self.assertIn("\nfrontend service_18444\n", only)
        self.assertNotIn("default_backend", only)
        self.check(only)

    def test_shared(self) -> None:
        """
        On a port of HTTP a frontend stands before the other one, and hands on what no name fits.
        """
        found = text("serviceName=a&reqMode=sni&srcPort=18443&port=1&serviceDomain=a.test")
        self.assert_says(found, "    bind abns@dfproxy-18443 accept-proxy")
        self.assert_says(found, "    bind *:18443 accept-proxy", "    mode tcp")
        self.assert_says(
            found, "backend services_18443", "    mode tcp", "    server services abns@dfproxy-18443 send-proxy-v2"
        )
        self.assertIn("    default_backend services_18443\n", found)
        self.assertIn("    bind *:18080\n", found)
        self.check(found)

    def test_group(self) -> None:
        """
        A group is one backend of all its members' servers, each once, named as DFP does; its first member says how.
        """
        found = text(
            "serviceName=a&reqMode=tcp&srcPort=18445&port=5&serviceGroup=g&balanceGroup=first&timeoutTunnel=9",
            "serviceName=b&reqMode=tcp&srcPort=18446&port=5&serviceGroup=g",
            "serviceName=empty&reqMode=tcp&srcPort=18445&port=5&serviceGroup=g",
        )
        self.assert_says(
            found,
            "backend g",
            "    mode tcp",
            "    balance first",
            "    timeout tunnel 9000ms",
            "    server g-a5_0 192.0.2.1:1",
            "    server g-a5_1 [2001:db8::1]:2 weight 3",
            "    # b: nothing listens on its srcPort=18446, the group has one port",
        )
        self.assertIn("frontend tcpFE_18445\n", found)
        self.assertNotIn("tcpFE_18446", found)
        self.check(found)

    def test_odd(self) -> None:
        """
        Odd names, no servers, servers that are names, addresses to bind, and what HAProxy cannot have.
        """
        found = text(
            "serviceName=empty&reqMode=tcp&srcPort=18447&port=5",
            "serviceName=named&reqMode=tcp&srcPort=18448&port=5",
            "serviceName=ä'#%23&reqMode=tcp&srcPort=18449&port=5&serviceGroup=services_18443",
            "serviceName=regex&reqMode=sni&srcPort=18443&port=1&pathType=req_ssl_sni -m reg&servicePath=(?a:x)",
            "serviceName=len&reqMode=sni&srcPort=18443&port=1&pathType=req_ssl_sni -m len&servicePath=5",
            settings=Settings(listeners=SETTINGS.listeners, addresses=("127.0.0.1", "::1")),
        )
        self.assert_says(
            found, "frontend tcpFE_18447", "    bind 127.0.0.1:18447", "    bind [::1]:18447", "    mode tcp"
        )
        self.assertIn("# no servers: closed\n", found)
        self.assertIn("HAProxy cannot: its regular expressions are of another kind", found)
        self.check(found)

    def test_nothing(self) -> None:
        """
        Without streams the text is as ever.
        """
        self.assertEqual(text(), "".join(render(SETTINGS, (), None, servers, Revision())))
