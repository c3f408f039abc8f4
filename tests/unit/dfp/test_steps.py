"""
Parameters of what a route does to requests and answers.
"""

from __future__ import annotations

from urllib.parse import parse_qsl

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.reconfigure import read
from dfproxy.dfp.users import NOBODY
from dfproxy.errors import InvalidService
from dfproxy.exchange.steps import Tools, compile_steps
from dfproxy.model.match import HostPattern, Match
from dfproxy.model.service import HTTPS_INDEX, Balance, Destination, Service
from dfproxy.model.settings import Settings
from dfproxy.model.steps import Access, Compression, HeaderRule, Redirect, Rewrite, Steps, User

GOOD = "serviceName=s&servicePath=/a&port=80"


def service(query: str, chosen: Settings | None = None) -> Service:
    found = read(parse_qsl(query, keep_blank_values=True), (), chosen or Settings(), lambda text: Balance(text)).service
    assert found is not None
    return found


def steps(query: str, chosen: Settings | None = None) -> Steps:
    """
    Of the last destination.
    """
    return service(f"{GOOD}&{query}", chosen).destinations[-1].steps or Steps()


class AcceptedTests(SynchronousTestCase):
    """
    What parameters become.
    """

    def test_none(self) -> None:
        """
        A service without such parameters has no steps at all.
        """
        self.assertIsNone(service(GOOD).destinations[0].steps)
        self.assertIsNone(service(f"{GOOD}&httpsRedirectCode=301&connectionMode=http-tunnel").destinations[0].steps)

    def test_https_only(self) -> None:
        """
        An index may opt out of what all have, but not of HTTPS_ONLY.
        """
        self.assertEqual(steps("httpsOnly=true&httpsRedirectCode=308").https_code, 308)
        two = "serviceName=s&servicePath.1=/a&port.1=1&servicePath.2=/b&port.2=2&httpsOnly=true&httpsOnly.2=false"
        self.assertEqual([d.steps.https_code if d.steps else 0 for d in service(two).destinations], [302, 0])
        forced = service(two, Settings(https_only=True))
        self.assertEqual([d.steps.https_code if d.steps else 0 for d in forced.destinations], [302, 302])

    def test_redirects(self) -> None:
        """
        Domains with 301 to the first serviceDomain; the two about X-Forwarded-Proto with the other code.
        """
        found = steps("serviceDomain=new.test,b.test&redirectFromDomain=old.test&redirectWhenHttpProto=true&srcPort=81")
        old = Match(hosts=(HostPattern("prefix", b"old.test"),))
        self.assertEqual(found.redirects[0], Redirect(old, "always", "new.test", False, 301))
        self.assertEqual((found.redirects[1].when, found.redirects[1].code), ("http", 302))
        self.assertEqual(found.redirects[1].match.local_port, 81)

    def test_redirects_to_the_https_port(self) -> None:
        """
        A destination that there is for the https port alone has its domains, too, and leads to https; beside one for
        other ports it leaves that to it.
        """
        asked = "serviceName=s&serviceDomain=new.test&redirectFromDomain=old.test&redirectWhenHttpProto=1&httpsPort=2"
        (only,) = service(asked).destinations
        assert only.steps is not None
        old = Match(hosts=(HostPattern("prefix", b"old.test"),))
        self.assertEqual(only.steps.redirects, (Redirect(old, "always", "new.test", True, 301),))
        both = service(f"{asked}&port=1").destinations
        self.assertEqual([len(each.steps.redirects) if each.steps else 0 for each in both], [0, 2])

    def test_header_rules(self) -> None:
        """
        Append, replace, remove, in this order; the deprecated names count where the others are missing.
        """
        found = steps("delReqHeader=C&setReqHeader=B%202&addReqHeader=A%201,A%20%25[path,lower]&addResHeader=D%201")
        self.assertEqual(
            found.request_headers,
            (
                HeaderRule("add", "A 1"),
                HeaderRule("add", "A %[path,lower]"),
                HeaderRule("set", "B 2"),
                HeaderRule("del", "C"),
            ),
        )
        self.assertEqual(found.response_headers, (HeaderRule("add", "D 1"),))
        self.assertEqual(steps("addHeader=A%201&setHeader=B%202").request_headers[1], HeaderRule("set", "B 2"))
        self.assertEqual(steps("addHeader=A%201&addReqHeader=B%202").request_headers, (HeaderRule("add", "B 2"),))

    def test_rewrites(self) -> None:
        """
        The deprecated pair comes first; flags follow a second comma.
        """
        found = steps("reqPathSearchReplace=/a/,/b/:x,,gi&reqPathSearch=old&reqPathReplace=new").rewrites
        self.assertEqual(
            found, (Rewrite("old", "new"), Rewrite("/a/", "/b/"), Rewrite("x", "", ignore_case=True, every=True))
        )

    def test_users(self) -> None:
        """
        Users of the service go before the global ones (ODDITY-27); some destinations may do without.
        """
        everybody = Settings(users=(User("g", "x"),), user_lists=(("team", "t:1"),))
        self.assertEqual(steps("", everybody).access, Access("defaultRealm", everybody.users))
        self.assertEqual(steps("users=a:b", everybody).access, Access("sRealm", (User("a", "b"),)))
        self.assertEqual(steps("usersSecret=team").access, Access("sRealm", (NOBODY,)))
        self.assertEqual(steps("usersSecret=team", everybody).access, Access("sRealm", (User("t", "1"),)))
        self.assertIsNone(steps("users=a:b&ignoreAuthorization=true", everybody).access)

    def test_others(self) -> None:
        """
        Methods, refusals, connections, compression.
        """
        found = steps(
            "allowedMethods=GET,POST+PUT&deniedMethods=X&verifyClientSsl=1&denyHttp=t&connectionMode=httpclose"
        )
        self.assertEqual((found.allowed_methods, found.denied_methods), (("GET", "POST", "PUT"), ("X",)))
        self.assertEqual((found.wants_certificate, found.denies_plain, found.closes_server), (True, True, True))
        self.assertEqual(
            steps("compressionAlgo=identity+gzip&compressionType=text/HTML+x/y").compression,
            Compression(("identity", "gzip"), ("text/html", "x/y")),
        )
        self.assertIsNone(steps("compressionAlgo=identity").compression)

    def test_networks(self) -> None:
        """
        Addresses and networks, each once; of each destination.
        """
        two = "serviceName=s&servicePath.1=/a&port.1=1&servicePath.2=/b&port.2=2&allowFrom=10.0.0.0/8"
        one, other = service(
            f"{two}&allowFrom.2=2001:DB8::/32+192.0.2.1,192.0.2.1/32&denyFrom=10.1.0.0/16"
        ).destinations
        assert one.steps is not None and other.steps is not None
        self.assertEqual((one.steps.allowed_networks, one.steps.denied_networks), (("10.0.0.0/8",), ("10.1.0.0/16",)))
        self.assertEqual(other.steps.allowed_networks, ("2001:db8::/32", "192.0.2.1/32"))

    def test_for_all(self) -> None:
        """
        CONNECTION_MODE and COMPRESSION_ALGO hold for services that say nothing; of modes the stricter one counts.
        """
        everywhere = Settings(connection_mode="http-server-close", compression=Compression(("gzip",), ("text/",)))
        self.assertEqual(steps("", everywhere), Steps(closes_server=True, compression=everywhere.compression))
        self.assertTrue(steps("connectionMode=http-keep-alive", everywhere).closes_server)
        self.assertFalse(steps("connectionMode=http-keep-alive", Settings(connection_mode="http-tunnel")).closes_server)
        own = steps("compressionAlgo=DEFLATE", everywhere).compression
        self.assertEqual(own, Compression(("deflate",), ("text/",)))
        self.assertEqual(steps("compressionType=a/b", everywhere).compression, Compression(("gzip",), ("a/b",)))
        self.assertIsNone(steps("compressionAlgo=identity", everywhere).compression)
        self.assertIsNone(steps("compressionType=a/b").compression)

    def test_sticky(self) -> None:
        """
        Only `sticky-server` sets a cookie, and not for a fixed address, behind which there are no tasks (ODDITY-41).
        """
        self.assertEqual(steps("sessionType=sticky-server").sticky, "s")
        self.assertEqual(steps("sessionType=other").sticky, "")
        self.assertEqual(steps("sessionType=sticky-server&outboundHostname=10.0.0.1"), Steps())
        by_hand = "sessionType=sticky-server&outboundHostname=10.0.0.1&endpoints=10.0.0.1:80,10.0.0.2:80"
        self.assertEqual(steps(f"{by_hand}&stickyValue=address").sticky_by_address, True)
        self.assertRaises(InvalidService, service, f"{GOOD}&sessionType=sticky-server&stickyValue=x")

    def test_https_port(self) -> None:
        """
        A second destination for the https port, which neither redirects nor refuses; the default stays the plain one.
        """
        found = service(f"{GOOD}&httpsPort=81&httpsOnly=true&denyHttp=true&allowedMethods=GET&serviceHeader=X:1")
        secure, plain = found.destinations
        self.assertEqual((secure.index, secure.backend_name, secure.port), (HTTPS_INDEX, "https-s-be81_0", 81))
        self.assertEqual((secure.match.local_port, plain.match.local_port), (443, 80))
        self.assertEqual(secure.match.headers, plain.match.headers)
        assert secure.steps is not None and plain.steps is not None
        self.assertEqual((secure.steps.https_code, secure.steps.denies_plain), (0, False))
        self.assertEqual((plain.steps.https_code, plain.steps.denies_plain), (302, True))
        self.assertLess(plain.place, secure.place)

    def test_https_port_alone(self) -> None:
        """
        Without `port` there is only the one for https.
        """
        (only,) = service("serviceName=s&servicePath=/a&httpsPort=81&srcHttpsPort=8443").destinations
        self.assertEqual((only.index, only.match.local_port), (HTTPS_INDEX, 8443))

    def test_place(self) -> None:
        """
        Each https destination stands right behind the plain one of its index.
        """
        places = [Destination(index, 1, Match(), "", "").place for index in (1, HTTPS_INDEX + 1, 2, HTTPS_INDEX + 2)]
        self.assertEqual(places, sorted(places))


class RefusedTests(SynchronousTestCase):
    """
    What is wrong, by the name the caller used.
    """

    def refused(self, query: str, *parameters: str) -> str:
        error = self.assertRaises(InvalidService, service, f"{GOOD}&{query}")
        self.assertEqual([problem.parameter for problem in error.problems], list(parameters), query)
        return str(error)

    def test_refused(self) -> None:
        """
        Each parameter with a wrong value.
        """
        for query, parameter in (
            ("httpsOnly=1&httpsRedirectCode=200", "httpsRedirectCode"),
            ("redirectFromDomain=old.test", "redirectFromDomain"),
            ("redirectFromDomain=old.test&serviceDomain=*.a.test", "redirectFromDomain"),
            ("redirectFromDomain=old.test&serviceDomain=(a|b).test", "redirectFromDomain"),
            ("redirectFromDomain=old.test&serviceDomain=a.test&serviceDomainAlgo=hdr_reg(host)", "redirectFromDomain"),
            ("redirectFromDomain=*&serviceDomain=a.test", "redirectFromDomain"),
            ("ADDREQHEADER=X", "ADDREQHEADER"),
            ("addHeader=X", "addHeader"),
            ("setResHeader=X%20%25[nope]", "setResHeader"),
            ("delReqHeader=Content-Length", "delReqHeader"),
            ("reqPathSearchReplace=/a", "reqPathSearchReplace"),
            ("reqPathSearchReplace=(a%2B)%2B,b", "reqPathSearchReplace"),
            ("reqPathSearchReplace=a,b,z", "reqPathSearchReplace"),
            ("reqPathSearchReplace=a,%5C1", "reqPathSearchReplace"),
            ("reqPathSearchReplace=,b", "reqPathSearchReplace"),
            ("reqPathSearch=(", "reqPathSearch"),
            ("allowedMethods=G@T", "allowedMethods"),
            ("users=a:plain&usersPassEncrypted=true", "users"),
            ("connectionMode=x", "connectionMode"),
            ("compressionAlgo=zstd", "compressionAlgo"),
            ("compressionAlgo=gzip&compressionType=%22", "compressionType"),
            ("httpsPort=70000", "httpsPort"),
            ("allowFrom=10.0.0.1/8", "allowFrom"),
            ("denyFrom=10.0.0.0/8,office", "denyFrom"),
            ("allowFrom=,", "allowFrom"),
            ("httpsPort=1&srcHttpsPort=70000", "srcHttpsPort"),
        ):
            self.refused(query, parameter)

    def test_item_and_reason(self) -> None:
        """
        A wrong rule is named with its reason.
        """
        said = self.refused("addReqHeader=X-A%20ok,X-B%20%25[nope]", "addReqHeader")
        self.assertIn("'X-B %[nope]'", said)
        self.assertIn("there is no fetch 'nope'", said)

    @settings(max_examples=60, deadline=None)
    @given(
        st.dictionaries(
            st.sampled_from(
                "addReqHeader setResHeader delReqHeader reqPathSearchReplace allowedMethods users httpsOnly httpsPort "
                "compressionAlgo connectionMode redirectFromDomain serviceDomain httpsRedirectCode allowFrom "
                "denyFrom".split()
            ),
            st.text(alphabet="aX ,:%[]()'\"\\{}=1/.*$pathsrcif", max_size=20),
            max_size=5,
        )
    )
    def test_what_is_read_compiles(self, given_ones: dict[str, str]) -> None:
        """
        Any values are refused with reasons, or make steps that every worker can compile.
        """
        pairs = [*parse_qsl(GOOD), *given_ones.items()]
        try:
            found = read(pairs, (), Settings(), lambda text: Balance(text)).service
        except InvalidService as error:
            self.assertTrue(all(problem.reason for problem in error.problems))
            return
        assert found is not None
        for destination in found.destinations:
            compile_steps(destination.steps, "b", Tools())
