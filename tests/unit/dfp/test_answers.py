"""
The JSON that DFP's clients expect.
"""

from __future__ import annotations

import json
from urllib.parse import parse_qsl

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp import answers
from dfproxy.dfp.given import Given
from dfproxy.dfp.reading import Reading
from dfproxy.dfp.reconfigure import read
from dfproxy.errors import Problem
from dfproxy.model.service import Balance
from dfproxy.model.settings import Settings
from dfproxy.model.snapshot import Revision

REVISION = Revision(7, "ab" * 16)

SERVICE_KEYS = """
    AclName AddReqHeader AddResHeader BackendExtra CheckResolvers CompressionAlgo CompressionType ConnectionMode Debug
    DebugFormat DelReqHeader DelResHeader DiscoveryType Distribute IsDefaultBackend ProxyInstanceName
    RedirectWhenHttpProto RedirectUnlessHttpsProto Replicas ReqPathReplace ReqPathSearch ServiceCert ServiceDomainAlgo
    ServiceName SessionType SetReqHeader SetResHeader TemplateBePath TemplateFePath UseGlobalUsers Users ServicePort
    AclCondition IsGlobal LookupRetry LookupRetryInterval ServiceDest Tasks
""".split()

DESTINATION_KEYS = """
    AllowedMethods BalanceGroup CheckTCP Clitcpka DeniedMethods DenyHttp HttpsOnly HttpsPort HttpsRedirectCode
    IgnoreAuthorization OutboundHostname PathType Port RedirectFromDomain ReqMode ReqModeFormatted ReqPathSearchReplace
    ServiceDomain ServiceGroup ServiceHeader ServicePath ServicePathExclude SrcPort SrcHttpsPort SrcPortAcl
    SrcPortAclName SrcHttpsPortAcl SrcHttpsPortAclName SslVerifyNone TimeoutServer TimeoutClient TimeoutTunnel
    VerifyClientSsl UserAgent UserDef Index ReqPathSearchReplaceFormatted IncludeSrcPortACL IncludeSrcHttpsPortACL
""".split()


def reading(query: str) -> Reading:
    """
    Read a query string.
    """
    return read(parse_qsl(query), (), Settings(), lambda text: Balance(text))


def changed(document: object) -> dict[str, object]:
    """
    What of an object is not its zero value.
    """
    assert isinstance(document, dict)
    return {key: value for key, value in document.items() if value not in (None, "", 0, False, [], {})}


def only_destination(document: dict[str, object]) -> dict[str, object]:
    """
    The one destination of a service object.
    """
    found = document["ServiceDest"]
    assert isinstance(found, list)
    (destination,) = found
    assert isinstance(destination, dict)
    return destination


class ShapeTests(SynchronousTestCase):
    def test_keys_in_order(self) -> None:
        """
        All keys of DFP, in its order, then ours; `ServiceName` stands third and only once.
        """
        found = answers.accepted(reading("serviceName=s&servicePath=/a&port=80"), REVISION)
        rest = [key for key in SERVICE_KEYS if key != "ServiceName"]
        self.assertEqual(list(found), ["Status", "Message", "ServiceName", *rest, "Revision"])
        self.assertEqual(list(only_destination(found)), DESTINATION_KEYS)
        self.assertEqual(found["Revision"], {"Number": 7, "Hash": "ab" * 16})

    def test_accepted(self) -> None:
        """
        The go-demo of the manual, with what DFP derives; `AclName` stays as it was sent.
        """
        found = answers.accepted(reading("serviceName=go-demo&servicePath=/demo&port=8080"), REVISION)
        self.assertEqual(
            changed(found) | {"ServiceDest": changed(only_destination(found)), "Revision": 0},
            {
                "Status": "OK",
                "ServiceName": "go-demo",
                "IsGlobal": True,
                "ServiceDest": {
                    "PathType": "path_beg",
                    "Port": "8080",
                    "ReqMode": "http",
                    "ReqModeFormatted": "http",
                    "ServicePath": ["/demo"],
                    "UserAgent": {"Value": [], "AclName": ""},
                },
                "Revision": 0,
            },
        )

    def test_all_kinds(self) -> None:
        """
        Lists, objects, numbers and strings as DFP shows them.
        """
        query = (
            "serviceName=s&port.1=80&serviceDomain.1=*.a.test,+b&serviceHeader=X:3&userAgent=Mobile,bot-9&srcPort=81"
            "&timeoutServer=5&replicas=2&isDefaultBackend=true&serviceDomainMatchAll=true&checkTcp=true&userDef=u"
        )
        found = reading(query).shown
        self.assertEqual((found["Replicas"], found["IsGlobal"], found["IsDefaultBackend"]), (2, False, True))
        self.assertEqual(found["ServiceDomainAlgo"], "hdr_dom(host)")
        destination = only_destination(found)
        self.assertEqual(destination["ServiceDomain"], ["*.a.test", " b"])
        self.assertEqual(destination["ServicePath"], ["/"])
        self.assertEqual(destination["ServiceHeader"], {"X": "3"})
        self.assertEqual(destination["UserAgent"], {"Value": ["Mobile", "bot-9"], "AclName": "Mobile_bot_9"})
        self.assertEqual((destination["SrcPort"], destination["SrcPortAclName"]), (81, " srcPort_s81_1"))
        self.assertEqual((destination["TimeoutServer"], destination["CheckTCP"], destination["Index"]), ("5", True, 1))
        self.assertEqual(destination["UserDef"], "u")

    def test_no_destination(self) -> None:
        """
        Where none could be made the list holds one with only its mode, and no lists.
        """
        destination = only_destination(answers.service_object(Given([("serviceName", "s")], ()), Settings()))
        self.assertEqual(changed(destination), {"ReqMode": "http"})
        self.assertIsNone(destination["ServicePath"])

    def test_secrets_are_blank(self) -> None:
        """
        Passwords and keys are never shown; their keys are there (ODDITY-06).
        """
        given = Given([("serviceName", "s"), ("users", "a:hidden"), ("serviceCert", "hidden")], ())
        found = answers.service_object(given, Settings())
        self.assertNotIn("hidden", json.dumps(found))
        self.assertIn("ServiceCert", found)
        self.assertIn("Users", found)


class OtherAnswersTests(SynchronousTestCase):
    def test_refused(self) -> None:
        """
        A refusal tells each problem to programs, too.
        """
        found = answers.refused("s", "port: must be", [Problem("port", "x", "must be a port", "port=80")])
        self.assertEqual((found["Status"], found["Message"], found["ServiceName"]), ("NOK", "port: must be", "s"))
        problem = {"Parameter": "port", "Value": "x", "Reason": "must be a port", "Example": "port=80"}
        self.assertEqual(found["Problems"], [problem])
        self.assertIsNone(found["ServiceDest"])

    def test_refused_may_show_what_came(self) -> None:
        """
        A refusal after reading shows the service that was asked for.
        """
        shown = reading("serviceName=s&servicePath=/a&port=80").shown
        found = answers.refused("s", "no", (), shown)
        self.assertEqual(only_destination(found)["ServicePath"], ["/a"])

    def test_removed(self) -> None:
        """
        Only the name, everything else zero.
        """
        found = answers.removed("s", REVISION)
        found.pop("Revision")
        self.assertEqual(changed(found), {"Status": "OK", "ServiceName": "s"})

    def test_plain(self) -> None:
        """
        ping and its like are whole responses as well.
        """
        found = answers.plain("OK", "", REVISION)
        self.assertEqual(len(found), len(SERVICE_KEYS) + 3)
        self.assertEqual(found["ServiceName"], "")

    def test_answers_do_not_share(self) -> None:
        """
        Changing one answer changes no other.
        """
        answers.plain("OK", "", REVISION)["Status"] = "NOK"
        self.assertEqual(answers.plain("OK", "", REVISION)["Status"], "OK")


class ConfigTests(SynchronousTestCase):
    def test_config(self) -> None:
        """
        All services by name; here `AclName` is filled in, and the rest is as it was answered.
        """
        plain, named = (
            reading(f"serviceName={n}&servicePath=/a&port=80{x}") for n, x in (("a", ""), ("b", "&aclName=01-b"))
        )
        services = [found.service for found in (plain, named) if found.service is not None]
        found = answers.config(services, Settings())
        self.assertEqual(list(found), ["a", "b"])
        self.assertEqual(found["a"], plain.shown | {"AclName": "a"})
        self.assertEqual(found["b"], named.shown | {"AclName": "01-b"})
        self.assertEqual(answers.shown(services[0], Settings()), plain.shown)
