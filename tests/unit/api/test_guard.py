"""
Who may call the API, over a real channel.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.api.channel import ApiSite
from dfproxy.api.guard import OPEN, Guard, exposed
from dfproxy.api.root import make_site
from dfproxy.control.tokens import Tokens
from tests.unit.api.caller import Api, Connection, Said

TOKEN = "t0ken-0123456789abcdef"

CHANGE = b"/v1/docker-flow-proxy/reconfigure?serviceName=a&servicePath=/a&port=80"


class Guarded(SynchronousTestCase):
    networks: tuple[str, ...] = ()
    token = ""

    def setUp(self) -> None:
        self.api = Api()
        path = ""
        if self.token:
            path = self.mktemp()
            Path(path).write_text(self.token)
        self.tokens = Tokens(path)
        self.tokens.read()
        self.guard = Guard(self.networks, self.tokens)
        self.site: ApiSite = make_site(self.api.control, self.guard)
        self.api.site = self.site

    def ask(self, target: bytes = CHANGE, *fields: str, host: str = "10.1.2.3", method: bytes = b"GET") -> Said:
        """
        One call from an address.
        """
        connection = Connection(self.site, self.api.clock)
        kind = IPv6Address if ":" in host else IPv4Address
        connection.wire.peerAddr = kind("TCP", host, 4)
        lines = "".join(f"{field}\r\n" for field in fields).encode()
        connection.send(b"%b %b HTTP/1.1\r\nHost: a\r\n%b\r\n" % (method, target, lines))
        (said,) = connection.answers()
        return said

    def status(self, *arguments: Any, **more: Any) -> int:
        return self.ask(*arguments, **more).status

    def changed(self) -> int:
        return len(self.api.publisher.calls)


class OpenTests(Guarded):
    def test_open(self) -> None:
        """
        As Docker Flow Proxy: everybody may call, also with an Authorization that means nothing here.
        """
        self.assertEqual(self.status(), 200)
        self.assertEqual(self.status(CHANGE, "Authorization: Basic eDp5"), 200)
        self.assertEqual(self.changed(), 2)

    def test_exposed(self) -> None:
        """
        An operator is warned only if the API can be reached from elsewhere and nothing protects it.
        """
        guards = (self.guard, Guard(("10.0.0.0/8",), self.tokens), Guard((), Tokens("/a/file")))
        for address, said in (
            ("0.0.0.0", (True, False, False)),
            ("", (True, False, False)),
            ("::", (True, False, False)),
            ("10.0.0.4", (True, False, False)),
            ("127.0.0.1", (False, False, False)),
            ("127.8.0.1", (False, False, False)),
            ("::1", (False, False, False)),
        ):
            self.assertEqual(tuple(exposed(address, guard) for guard in guards), said, address)


class NetworkTests(Guarded):
    networks = ("10.1.0.0/16", "2001:db8::/32", "127.0.0.1/32")

    def test_allowed(self) -> None:
        """
        From these networks, in whichever form the kernel tells the address.
        """
        for host in ("10.1.2.3", "::ffff:10.1.2.3", "2001:db8::7", "127.0.0.1"):
            self.assertEqual(self.status(host=host), 200, host)

    def test_refused(self) -> None:
        """
        From nowhere else, whatever fields say; the refusal names the address and the option, and nothing changes.
        """
        forged = ("X-Forwarded-For: 10.1.2.3", "Forwarded: for=10.1.2.3", "X-Real-IP: 10.1.2.3")
        for host in ("10.2.0.1", "::1", "2001:db9::1", "127.0.0.2"):
            said = self.ask(CHANGE, *forged, host=host)
            self.assertEqual(said.status, 403)
            self.assertIn(f"calls from {host} are not allowed; --api-allow", said.json["Message"])
            self.assertEqual(said.headers["connection"], "close")
        self.assertEqual(self.changed(), 0)
        self.assertEqual(self.site.denied, {401: 0, 403: 4})

    def test_before_the_body(self) -> None:
        """
        Refused before a body is asked for, so that none is kept.
        """
        said = self.ask(CHANGE, "Content-Length: 100000", "Expect: 100-continue", host="10.2.0.1", method=b"PUT")
        self.assertEqual(said.status, 403)


class TokenTests(Guarded):
    token = TOKEN

    def test_token(self) -> None:
        """
        With a token a call is carried out, without one it is not, and the token is never repeated.
        """
        self.assertEqual(self.status(CHANGE, f"Authorization: Bearer {TOKEN}"), 200)
        self.assertEqual(self.changed(), 1)
        wrong = ("", f"Authorization: Bearer {TOKEN}x", "Authorization: Bearer", f"X-Token: {TOKEN}")
        for field in wrong:
            said = self.ask(CHANGE, *filter(None, [field]))
            self.assertEqual((said.status, said.json["Status"]), (401, "NOK"), field)
            self.assertEqual(said.headers["www-authenticate"], 'Bearer realm="dfproxy"')
            self.assertNotIn(TOKEN.encode(), said.body)
        self.assertEqual(self.status(CHANGE + b"&token=" + TOKEN.encode()), 401)
        self.assertEqual(self.changed(), 1)
        self.assertEqual(self.site.denied, {401: 5, 403: 0})
        self.assertNotIn(TOKEN, "".join(str(measure) for measure in self.site.measures()))

    def test_two_fields(self) -> None:
        """
        Two Authorization fields are not one, also if the first, or the last, is right.
        """
        right, wrong = f"Authorization: Bearer {TOKEN}", "Authorization: Bearer something"
        for fields in ((right, wrong), (wrong, right), (right, right)):
            self.assertEqual(self.status(CHANGE, *fields), 401)

    def test_each_call(self) -> None:
        """
        A connection is not let in once for all: its next call has to carry the token as well.
        """
        connection = Connection(self.site, self.api.clock)
        connection.send(b"GET %b HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %b\r\n\r\n" % (CHANGE, TOKEN.encode()))
        connection.send(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % CHANGE)
        self.assertEqual([said.status for said in connection.answers()], [200, 401])

    def test_open_paths(self) -> None:
        """
        Who only wants to know whether the proxy runs needs none; ways of writing such a path for another one do not
        help.
        """
        for path in OPEN:
            self.assertNotIn(self.status(path), (401, 403), path)
            self.assertNotIn(self.status(path + b"?a=b"), (401, 403), path)
        for path in (
            b"/v1/docker-flow-proxy/ping/../config",
            b"/v1/docker-flow-proxy/ping/",
            b"/v1/docker-flow-proxy/ping;/config",
            b"/v1/docker-flow-proxy/%70ing",
            b"/v1/docker-flow-proxy/config#/v1/docker-flow-proxy/ping",
            b"/v1/docker-flow-proxy/config?/v1/docker-flow-proxy/ping",
            b"//v1/docker-flow-proxy/ping",
            b"http://a/v1/docker-flow-proxy/config",
            b"http://a/v1/docker-flow-proxy/ping/v1/docker-flow-proxy/config",
            b"/metrics",
            b"/v1/docker-flow-proxy/metrics",
            b"/v1/docker-flow-proxy/certs",
            b"/nothing",
            b"*",
        ):
            self.assertEqual(self.status(path), 401, path)
        self.assertEqual(self.status(b"http://a/v1/docker-flow-proxy/ping"), 200)

    def test_every_method(self) -> None:
        """
        Whatever the method.
        """
        for method in (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"BREW"):
            self.assertEqual(self.status(CHANGE, method=method), 401)


class BothTests(Guarded):
    networks = ("10.0.0.0/8",)
    token = TOKEN

    def test_both(self) -> None:
        """
        Where both are given both are wanted.
        """
        field = f"Authorization: Bearer {TOKEN}"
        self.assertEqual(self.status(CHANGE, field), 200)
        self.assertEqual(self.status(CHANGE), 401)
        self.assertEqual(self.status(CHANGE, field, host="11.0.0.1"), 403)
