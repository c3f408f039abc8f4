"""
Steps as HAProxy configuration, which HAProxy itself must take.
"""

from __future__ import annotations

import subprocess
from dataclasses import replace
from urllib.parse import parse_qsl

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.haproxy import render
from dfproxy.dfp.reconfigure import read
from dfproxy.model.listener import Listener
from dfproxy.model.service import Balance, Route
from dfproxy.model.settings import Settings
from dfproxy.model.snapshot import Revision
from tests.requirements import require

SETTINGS = Settings(listeners=(Listener("", 80), Listener("", 443, tls=True)))
EVERYTHING = (
    "serviceName=s&servicePath=/h&port=1&addReqHeader=X-A%20%25[src]%20if%20{%20path_beg%20/x%20},X-B%20'a%20b'"
    "&setReqHeader=X-C%20%25[path,regsub(a,b)]&delReqHeader=X-D&setResHeader=X-E%20%25[res.hdr(x)]&users=a:hidden"
    "&allowedMethods=GET&deniedMethods=PUT&httpsOnly=true&verifyClientSsl=1&denyHttp=1&compressionAlgo=br+gzip"
    "&reqPathSearchReplace=%5E/v(%5B0-9%5D%2B)/%2C/version-%5C1/:/a%23%20%25b,c,gi&compressionType=text/html+text/css"
    "&connectionMode=httpclose&httpsPort=3&allowFrom=10.0.0.0/8,2001:db8::/32&denyFrom=10.1.2.3"
)
REDIRECTS = (
    "serviceName=t&serviceDomain=acme.test&redirectFromDomain=old.test,x.test&port=2"
    "&redirectWhenHttpProto=true&redirectUnlessHttpsProto=true"
)
CHALLENGES = "serviceName=le&servicePath=/.well-known/acme-challenge&port=2&usersSecret=nothere"


def text_of(*queries: str, settings: Settings = SETTINGS) -> str:
    routes = []
    for query in queries:
        service = read(parse_qsl(query), (), settings, lambda text: Balance(text)).service
        assert service is not None
        routes += [Route(service, destination) for destination in service.destinations]
    listed = [(route, None) for route in routes]
    return "".join(render(settings, listed, None, lambda name, index: (), Revision()))


class TextTests(SynchronousTestCase):
    """
    What operators read.
    """

    def test_order(self) -> None:
        """
        A backend's rules stand in the order in which they run.
        """
        backend = text_of(EVERYTHING).partition("backend s-be1_0\n")[2]
        starts = (
            "option http-server-close",
            "# compression algo br, which HAProxy does not have",
            "compression algo gzip",
            "compression type text/html text/css",
            "acl denied_clients src 10.1.2.3/32",
            "http-request deny if denied_clients",
            "http-request deny if !allowed_clients",
            "http-request redirect scheme https code 302 if !{ ssl_fc }",
            "http-request add-header X-Forwarded-Proto https if { ssl_fc }",
            "http-request add-header X-A %[src] if { path_beg /x }",
            r"http-request add-header X-B a\ b",
            "http-request set-header X-C",
            "http-request del-header X-D",
            r"http-request set-path %[path,regsub(\'^/v([0-9]+)/\',\'/version-\\1/\')]",
            "http-request set-path",
            "http-request deny if !{ ssl_c_used }",
            "http-request deny if !{ method GET }",
            "http-request deny if { method PUT }",
            "http-request deny if !{ ssl_fc }",
            "http-request auth realm sRealm if !{ http_auth(sUsers) }",
            "http-request del-header Authorization",
            "http-response set-header X-E",
        )
        places = [backend.find(start) for start in starts]
        self.assertNotIn(-1, places)
        self.assertEqual(places, sorted(places))

    def test_slash(self) -> None:
        """
        A path keeps its slash, whatever is replaced.
        """
        for pair, wanted in (
            ("a,b", r"%[path,regsub(\'a\',\'b\')]"),
            ("^/x,/y", r"%[path,regsub(\'^/x\',\'/y\')]"),
            ("/x,y", r"/%[path,regsub(\'/x\',\'y\'),regsub(\'^/\',\'\')]"),
            ("a?,b", r"/%[path,regsub(\'a?\',\'b\'),regsub(\'^/\',\'\')]"),
        ):
            text = text_of(f"serviceName=s&servicePath=/&port=1&reqPathSearchReplace={pair}")
            self.assertIn(f"    http-request set-path {wanted}\n", text)

    def test_dashes(self) -> None:
        """
        What begins with a dash is no flag.
        """
        text = text_of("serviceName=s&serviceDomain=-a&redirectFromDomain=-b&port=1&deniedMethods=-X,GET")
        self.assertIn("host_only -m str -i -- -a }", text)
        self.assertIn("deny if { method -- -X GET }", text)

    def test_https_backend(self) -> None:
        """
        The backend of the https port neither redirects nor refuses what is plain.
        """
        backend = text_of(EVERYTHING).partition("backend https-s-be3_0\n")[2].partition("backend s-be1_0")[0]
        self.assertIn("deny if !{ method GET }", backend)
        self.assertNotIn("!{ ssl_fc }", backend)

    def test_passwords_are_hidden(self) -> None:
        """
        A list of users shows their names only.
        """
        text = text_of(EVERYTHING, CHALLENGES)
        self.assertIn("userlist sUsers\n", text)
        self.assertIn("    user a password ", text)
        self.assertNotIn("hidden\n", text.replace("$5$hidden$hidden", ""))

    def test_trusted_proxies(self) -> None:
        """
        Whom it is from is found out before the first redirect, and the server gets our peer behind X-Forwarded-For.
        """
        trusting = replace(SETTINGS, trusted_proxies=("10.0.0.0/8",), connection_mode="forceclose")
        text = text_of(EVERYTHING, REDIRECTS, settings=trusting)
        self.assertLess(text.index("set-src req.hdr(x-forwarded-for,-2)"), text.index("http-request redirect"))
        self.assertNotIn("option forwardfor", text)
        self.assertIn("    option httpclose\n", text)
        self.assertEqual(text.count("    http-request add-header X-Forwarded-For %[var(txn.peer)]\n"), 3)
        self.assertIn("redirect scheme https code 302 if !{ ssl_fc } !{ var(txn.https) -m bool }", text)
        self.check(text)

    def test_haproxy_takes_it(self) -> None:
        """
        HAProxy accepts all of it.
        """
        self.check(text_of(EVERYTHING, REDIRECTS, CHALLENGES))

    def check(self, text: str) -> None:
        (haproxy,) = require("haproxy")
        file = self.mktemp()
        with open(file, "w") as out:
            out.write(text)
        checked = subprocess.run([haproxy, "-c", "-f", file], capture_output=True, text=True, timeout=20, check=False)
        self.assertEqual(checked.returncode, 0, checked.stderr)
