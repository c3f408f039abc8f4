"""
The table of parameters, and the manual page made from it.
"""

from __future__ import annotations

from dataclasses import FrozenInstanceError

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.parameters import (
    BY_LOWER_NAME,
    DESTINATION_EXISTS_WITH,
    DESTINATION_ROWS,
    SERVICE_ROWS,
    TABLE,
    markdown,
)
from tests.requirements import ROOT

DOCUMENTED_BY_DFP = """
    aclName addReqHeader addHeader setReqHeader setHeader delReqHeader addResHeader setResHeader delResHeader
    backendExtra checkResolvers compressionAlgo compressionType connectionMode discoveryType distribute
    isDefaultBackend proxyInstanceName redirectWhenHttpProto redirectUnlessHttpsProto replicas reqPathSearch
    reqPathReplace serviceCert
    serviceDomainAlgo serviceDomainMatchAll serviceName sessionType templateFePath templateBePath users usersSecret
    usersPassEncrypted port httpsPort srcPort srcHttpsPort reqMode servicePath servicePathExclude pathType serviceDomain
    serviceHeader userAgent redirectFromDomain httpsOnly httpsRedirectCode denyHttp allowedMethods deniedMethods
    verifyClientSsl ignoreAuthorization reqPathSearchReplace outboundHostname sslVerifyNone timeoutServer timeoutTunnel
    timeoutClient checkTcp clitcpka serviceGroup balanceGroup userDef
""".split()


class TableTests(SynchronousTestCase):
    def test_complete(self) -> None:
        """
        Every parameter that DFP knows is in the table, and beside them only ours.
        """
        ours = {"balance", "endpoints", "condition", "stickyValue", "allowFrom", "denyFrom"}
        ours |= {"backendTls", "backendCa", "backendServerName", "backendCertificate", "sendProxy"}
        ours |= {"retries", "retryOn", "retryBudget", "maxConnections", "queueTimeout", "queueLimit"}
        ours |= {"ejectErrors", "ejectShare", "ejectMost"}
        ours |= {"checkPath", "checkStatus", "checkBody", "checkInterval", "checkTimeout", "checkRise", "checkFall"}
        ours |= {"slowStart"}
        self.assertEqual({row.name for row in TABLE}, set(DOCUMENTED_BY_DFP) | ours)

    def test_no_two_are_one(self) -> None:
        """
        Names can be told apart without regard to case.
        """
        self.assertEqual(len(BY_LOWER_NAME), len(TABLE))

    def test_scopes(self) -> None:
        """
        What makes a destination exist belongs to destinations, and each row says of what it is.
        """
        self.assertEqual({row.scope for row in SERVICE_ROWS}, {"service"})
        self.assertEqual({row.scope for row in DESTINATION_ROWS}, {"destination"})
        self.assertLessEqual(set(DESTINATION_EXISTS_WITH), {row.name for row in DESTINATION_ROWS})

    def test_cross_references(self) -> None:
        """
        A parameter that works only with another one names one that exists.
        """
        names = {row.name for row in TABLE}
        self.assertLessEqual({name for row in TABLE for name in row.only_with}, names)

    def test_frozen(self) -> None:
        """
        Nobody can change the table while the proxy runs.
        """
        with self.assertRaises(FrozenInstanceError):
            TABLE[0].supported = False  # type: ignore[misc]  # just that is refused

    def test_json_keys(self) -> None:
        """
        JSON names are Go's: a capital letter, and one that is not derived.
        """
        self.assertEqual(BY_LOWER_NAME["servicepath"].json_key, "ServicePath")
        self.assertEqual(BY_LOWER_NAME["checktcp"].json_key, "CheckTCP")

    def test_manual_is_current(self) -> None:
        """
        docs/parameters.md is what the table says.
        """
        page = (ROOT / "docs" / "parameters.md").read_text(encoding="utf-8")
        self.assertEqual(
            page.splitlines(), list(markdown()), "run: python -m dfproxy.dfp.parameters > docs/parameters.md"
        )

    def test_nothing_comes_later(self) -> None:
        """
        Every parameter has its effect, and the manual has no table of those that come later.
        """
        self.assertEqual([row.name for row in TABLE if not row.supported], [])
        self.assertNotIn("later", [line[-5:] for line in markdown() if line.startswith("## ")])
