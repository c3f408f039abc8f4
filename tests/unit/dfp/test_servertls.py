"""
Parameters of TLS with servers, and what they make.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.errors import InvalidService
from dfproxy.model.service import ServerTls
from tests.unit.dfp.test_reconfigure import GOOD, reading, service


class ServerTlsTests(SynchronousTestCase):
    """
    TLS with servers.
    """

    def tls(self, query: str) -> list[ServerTls | None]:
        return [destination.tls for destination in service(f"{GOOD}&{query}").destinations]

    def test_plain(self) -> None:
        """
        Without these parameters, or switched off, servers are spoken to plainly.
        """
        self.assertEqual(self.tls("sslVerifyNone=false&backendTls=0"), [None])

    def test_misspelt(self) -> None:
        """
        Who asks for TLS in other words than these is refused, not spoken to plainly.
        """
        for text in ("yes", "on", "maybe"):
            refused = self.assertRaises(InvalidService, reading, f"{GOOD}&backendTls={text}")
            self.assertIn("must be true or false", str(refused))

    def test_unverified(self) -> None:
        """
        `sslVerifyNone` verifies nothing and asks for no name, also towards `httpsPort`; it goes before `backendTls`.
        """
        self.assertEqual(self.tls("sslVerifyNone=true&httpsPort=443"), [ServerTls(False)] * 2)
        self.assertEqual(self.tls("sslVerifyNone=true&backendTls=true"), [ServerTls(False)])
        self.assertEqual(self.tls("sslVerifyNone=true&backendServerName=x"), [ServerTls(False, "x")])

    def test_verified(self) -> None:
        """
        `backendTls` verifies the host of the destination, or the name given; authorities and a certificate as given.
        """
        self.assertEqual(self.tls("backendTls=true"), [ServerTls(True, "s")])
        self.assertEqual(self.tls("backendTls=true&outboundHostname=h"), [ServerTls(True, "h")])
        self.assertEqual(
            self.tls("backendTls=true&backendServerName=n&backendCa=a.pem&backendCertificate=c.pem"),
            [ServerTls(True, "n", "a.pem", "c.pem")],
        )

    def test_where_it_has_none(self) -> None:
        """
        What has no effect is refused, unless it is meant for another destination.
        """
        for name in ("backendCa", "backendServerName", "backendCertificate"):
            self.assertRaises(InvalidService, reading, f"{GOOD}&{name}=x")
        self.assertRaises(InvalidService, reading, f"{GOOD}&sslVerifyNone=true&backendCa=x")
        self.assertRaises(InvalidService, reading, f"{GOOD}&backendTls=true&backendServerName=a/b")
        two = "serviceName=s&servicePath.1=/1&port.1=1&servicePath.2=/2&port.2=2&backendCa=x&backendTls.2=true"
        self.assertEqual([each.tls for each in service(two).destinations], [None, ServerTls(True, "s", "x")])

    def test_announced(self) -> None:
        """
        `sendProxy` is the version of the PROXY protocol, of one destination or of all; others are refused.
        """

        def announced(query: str) -> list[int]:
            return [destination.announce for destination in service(f"{GOOD}&{query}").destinations]

        self.assertEqual(announced("sendProxy=v1"), [1])
        self.assertEqual(announced("sendProxy=V2&httpsPort=443"), [2, 2])
        self.assertEqual(announced("sendProxy="), [0])
        two = "serviceName=s&servicePath.1=/1&port.1=1&servicePath.2=/2&port.2=2&sendProxy.2=v1"
        self.assertEqual([each.announce for each in service(two).destinations], [0, 1])
        for wrong in ("v3", "1", "true"):
            self.assertRaises(InvalidService, reading, f"{GOOD}&sendProxy={wrong}")
