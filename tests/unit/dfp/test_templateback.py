"""
The backends that a template makes.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.templateback import MOST_SERVERS
from dfproxy.errors import InvalidService
from dfproxy.model.checks import Check
from dfproxy.model.service import Endpoint
from tests.unit.dfp.test_templates import BOTH, made, reading


class SectionTests(SynchronousTestCase):
    def test_servers(self) -> None:
        """
        Words of servers that are understood: weights, TLS without verifying, the PROXY protocol, names of servers.
        """
        text = (
            "backend x\n server a 10.0.0.1:1 weight 0 ssl verify none send-proxy-v2 resolvers docker init-addr none"
            " check inter 500 fall 4\n"
            " server b [::1]:2 ssl verify none send-proxy-v2 check fall 4 inter 500ms"
        )
        (found,) = made(BOTH, {"/t/fe": "use_backend x", "/t/be": text})
        self.assertEqual(found.endpoints, (Endpoint("10.0.0.1", 1, 0), Endpoint("::1", 2)))
        assert found.tls is not None
        self.assertEqual((found.tls.verify, found.announce), (False, 2))
        self.assertEqual(found.check, Check(interval_s=0.5, timeout_s=0.5, rise=2, fall=4))

    def test_checks_of_parameters(self) -> None:
        """
        What parameters say of checks goes before: they can ask more.
        """
        files = {"/t/fe": "use_backend x", "/t/be": "backend x\nserver s h:1 check"}
        (found,) = made(f"{BOTH}&checkPath=/health", files)
        assert found.check is not None
        self.assertEqual(found.check.path, "/health")

    def test_server_template(self) -> None:
        """
        Servers by DNS are those of the name.
        """
        text = "backend x\nserver-template web 5 tasks.{{.ServiceName}}:8080 check resolvers docker"
        (found,) = made(BOTH, {"/t/fe": "use_backend x", "/t/be": text})
        self.assertEqual((found.host, found.port, found.endpoints), ("tasks.s", 8080, ()))

    def test_many(self) -> None:
        """
        A backend has so many servers, and no more.
        """
        lines = [f"server s{n} 10.0.0.1:{n}" for n in range(1, MOST_SERVERS + 1)]
        (found,) = made(BOTH, {"/t/fe": "use_backend x", "/t/be": "\n".join(["backend x", *lines])})
        self.assertEqual(len(found.endpoints), MOST_SERVERS)
        text = "\n".join(["backend x", *lines, "server t 10.0.0.2:1"])
        error = self.assertRaises(InvalidService, reading, BOTH, {"/t/fe": "use_backend x", "/t/be": text})
        self.assertIn("may have 100 servers", str(error))

    def test_refused(self) -> None:
        """
        Each line is a backend, a server, or one that `backendExtra` may have.
        """
        for text, reason in (
            ("", "makes no backend section"),
            ("server s h:1", "line 1 of what it makes, server: stands behind no backend"),
            ("s3cret", "line 1 of what it makes, this: stands behind no backend"),
            ("s3cret:x 1", "line 1 of what it makes, this: stands behind no backend"),
            ("backend x", "backend x has no server line"),
            ("backend x y", "write backend and a name"),
            ("backend x\nserver s h:1\nbackend x\nserver s h:1", "x is there twice"),
            ("backend x\nserver s h", "write server NAME host:port"),
            ("backend x\nserver s h:1 weight 0", "gives every server the weight 0"),
            ("backend x\nserver s h:1\nserver t h:1", "this server is there twice"),
            ("backend x\nserver s h:1 ssl", "write backendTls=true"),
            ("backend x\nserver s h:1 cookie c", "cookie is not done here: write sessionType=sticky-server"),
            ("backend x\nserver s h:1 on-marked-down shutdown-sessions", "on-marked-down is not known here; known:"),
            ("backend x\nserver s h:1 inter", "inter needs a value"),
            ("backend x\nserver s h:1 check inter 1us", "the time must be at least 1ms"),
            ("backend x\nserver s h:1 check inter 50ms", "inter takes a time from 0.1s"),
            ("backend x\nserver s h:1 check fall 0", "fall takes a number, 1 to 1000"),
            ("backend x\nserver s h:1 weight 257", "weight takes a number, 0 to 256"),
            ("backend x\nserver s h:1 S3cret!", "what follows the address is not known"),
            ("backend x\nserver s h:1 check\nserver t h:2", "must be the same for all servers"),
            ("backend x\nserver s h:1\nserver t h:2 ssl verify none", "must be the same for all servers"),
            ("backend x\nserver s h:1\nuserlist u\nuser me password s3cret", "userlist: this section cannot be"),
            ("backend x\nserver s h:1\ndefault-server inter 1s", "write its words behind each server"),
            ("backend x\n\nmode tcp\nserver s h:1", "line 3 of what it makes, mode: the mode is http here"),
            ("backend x\nserver s h:1\n\nhttp-request auth", "line 4 of what it makes, http-request auth: passwords"),
            ("backend x\nserver s h:1\nstick-table type ip", "stick-table: there are no tables"),
            (
                "backend x\nserver s h:1\nbackend y\nbalance leastconn\nserver s h:1",
                "the same balance in every backend",
            ),
            ("backend y\nserver s h:1", "which the service has not; it has y"),
            ("".join(f"backend b{n}\nserver s h:1\n" for n in range(12)), "a service may have 10 backends"),
        ):
            found = str(self.assertRaises(InvalidService, reading, BOTH, {"/t/fe": "use_backend x", "/t/be": text}))
            self.assertIn(reason, found, text)
            self.assertNotIn("s3cret", found)
