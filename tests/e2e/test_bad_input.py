"""
What is wrong is refused by name and changes nothing, whatever is wrong with it.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dfproxy.dfp.parameters import TABLE
from tests.e2e.proxy import API, ProxyCase

GOOD = {"serviceName": "good", "servicePath": "/good", "port": "1"}

WRONG: dict[str, tuple[str, dict[str, str]]] = {
    "serviceName": ("a b", {}),
    "aclName": ("a/b", {}),
    "serviceDomainAlgo": ("hdr_nope(host)", {"serviceDomain": "a.test"}),
    "replicas": ("many", {}),
    "balance": ("nope", {}),
    "addReqHeader": ("X-A %[nope]", {}),
    "addHeader": ("X-A %[nope]", {}),
    "setReqHeader": ("Content-Length 1", {}),
    "setHeader": ("X-A", {}),
    "delReqHeader": ("X-A if { nope }", {}),
    "addResHeader": ("X-A %[path", {}),
    "setResHeader": ("X A: 1 if", {}),
    "delResHeader": ("X@A", {}),
    "backendExtra": ("tarpit it all", {}),
    "compressionAlgo": ("zip", {}),
    "compressionType": ('"', {"compressionAlgo": "gzip"}),
    "connectionMode": ("open", {}),
    "reqPathSearch": ("(", {}),
    "reqPathReplace": ("\\1", {"reqPathSearch": "a"}),
    "serviceCert": ("geheim", {}),
    "stickyValue": ("name", {"sessionType": "sticky-server"}),
    "templateFePath": ("/no/such/template", {}),
    "templateBePath": ("/no/such/template", {}),
    "users": ("a:plain", {"usersPassEncrypted": "true"}),
    "servicePath": ("(", {"pathType": "path_reg"}),
    "servicePathExclude": ("(", {"pathType": "path_reg"}),
    "pathType": ("path_nope", {}),
    "serviceDomain": ("(", {"serviceDomainAlgo": "hdr_reg(host)"}),
    "serviceHeader": ("a b:1", {}),
    "userAgent": (",", {}),
    "port": ("http", {}),
    "srcPort": ("70000", {}),
    "reqMode": ("udp", {}),
    "outboundHostname": ("a b", {}),
    "endpoints": ("10.0.0.1", {}),
    "condition": ("nope", {}),
    "timeoutServer": ("soon", {}),
    "timeoutTunnel": ("-1", {}),
    "httpsPort": ("70000", {}),
    "srcHttpsPort": ("70000", {"httpsPort": "1"}),
    "redirectFromDomain": ("old.test", {}),
    "httpsRedirectCode": ("200", {"httpsOnly": "true"}),
    "allowedMethods": ("G@T", {}),
    "deniedMethods": ("G@T", {}),
    "allowFrom": ("10.0.0.1/8", {}),
    "denyFrom": ("office", {}),
    "reqPathSearchReplace": ("/a", {}),
    "sendProxy": ("v3", {}),
    "timeoutClient": ("soon", {"reqMode": "tcp", "srcPort": "2"}),
    "balanceGroup": ("nope", {"reqMode": "tcp", "srcPort": "2", "serviceGroup": "g"}),
    "retries": ("many", {}),
    "retryOn": ("nope", {}),
    "retryBudget": ("many", {}),
    "maxConnections": ("many", {}),
    "queueTimeout": ("soon", {}),
    "queueLimit": ("many", {}),
    "ejectErrors": ("many", {}),
    "ejectShare": ("many", {}),
    "ejectMost": ("many", {}),
    "checkPath": ("health", {}),
    "checkStatus": ("fine", {"checkPath": "/health"}),
    "checkInterval": ("soon", {"checkPath": "/health"}),
    "checkTimeout": ("soon", {"checkPath": "/health"}),
    "checkRise": ("many", {"checkPath": "/health"}),
    "checkFall": ("many", {"checkPath": "/health"}),
    "slowStart": ("soon", {}),
}
"""
A wrong value of each parameter, and what it takes for it to matter.
"""

LONG = dict.fromkeys(("proxyInstanceName", "discoveryType", "sessionType", "usersSecret", "userDef"), "x" * 300000)
"""
Texts that are never wrong unless they are too long.
"""

ELSEWHERE = {
    "backendCa": "is a file, which tests.e2e.test_servers_tls has",
    "backendCertificate": "is a file, which tests.e2e.test_servers_tls has",
    "backendServerName": "tests.e2e.test_servers_tls",
    "serviceGroup": "any text is a name",
    "checkBody": "any text may be looked for",
}

WORDS = st.sampled_from(
    [
        *(row.name for row in TABLE),
        *(f"{row.name}.{index}" for row in TABLE for index in (1, 2)),
        "dryRun",
        "type",
        "url",
    ]
)
VALUES = st.one_of(
    st.sampled_from([row.example for row in TABLE] + [wrong for wrong, _ in WRONG.values()]),
    st.sampled_from(
        ["", "true", "false", "0", "1", "-1", "80", "443", "/", "a.test", "*", "tcp", "sni", "http", "%00"]
    ),
    st.text(max_size=12),
)
VERBS = st.sampled_from(
    ["reconfigure"] * 6 + ["remove", "config", "certs", "cert", "ping", "metrics", "explain", "revisions", "undo", "x"]
)


class RefusedTests(ProxyCase):
    """
    With a real proxy, and a service that must stay as it is.
    """

    def setUp(self) -> None:
        super().setUp()
        self.proxy.publish("good", path="/good", port="1")

    def state(self) -> Any:
        return json.loads(self.proxy.ask(f"{API}/config?type=json")[1]), self.proxy.call("ping")[1]["Revision"]

    def refused(self, name: str, value: str, others: dict[str, str]) -> None:
        before = self.state()
        status, answer = self.proxy.call("reconfigure", **{**GOOD, **others, name: value})
        self.assertEqual((status, answer["Status"]), (400, "NOK"), (name, answer))
        (problem, *_) = [each for each in answer["Problems"] if each["Parameter"] == name] or [None]
        self.assertIsNotNone(problem, (name, answer["Message"], answer["Problems"]))
        self.assertTrue(problem["Reason"])
        self.assertTrue(problem["Example"].startswith(f"{name}="), problem)
        self.assertIn(name, answer["Message"])
        row = next(row for row in TABLE if row.name == name)
        if not row.secret:
            self.assertTrue(value.startswith(problem["Value"][:100]), problem)
        else:
            self.assertNotIn(value, json.dumps(answer))
        self.assertEqual(self.state(), before)

    def test_each_parameter(self) -> None:
        """
        400 with parameter, value, reason and an example; the former definition goes on.
        """
        for name, (value, others) in WRONG.items():
            if any(row.name == name for row in TABLE):
                self.refused(name, value, others)

    def test_too_long(self) -> None:
        """
        No value is too long to be refused.
        """
        for row in TABLE:
            if row.limit_chars <= 8192:  # a longer one does not fit into a query
                before = self.state()
                query = urlencode({**GOOD, row.name: "x" * (row.limit_chars + 1)})
                status, said = self.proxy.ask(f"{API}/reconfigure?{query}")
                self.assertEqual(status, 400, (row.name, said[:300]))
                self.assertIn(f"{row.name}: is too long", json.loads(said)["Message"])
                self.assertEqual(self.state(), before)

    def test_told(self) -> None:
        """
        What DFP takes for nothing (text for a number, a flag that is neither true nor false) is taken so, and told.
        """
        wanted = {"httpsOnly": "yes", "srcPort": "web", "isDefaultBackend": "maybe", "denyHttp.1": "TRuE"}
        answer = self.proxy.publish("told", path="/told", **{"port.1": "80", **wanted})
        self.assertEqual({line.partition(":")[0] for line in answer["Warnings"]}, wanted.keys())
        self.assertIn("(for example httpsOnly=true)", "".join(answer["Warnings"]))
        quiet = {"httpsOnly": "f", "srcPort": "0", "isDefaultBackend": "on"}
        self.assertNotIn("Warnings", self.proxy.publish("quiet", path="/q", port="80", **quiet))

    def test_all_are_here(self) -> None:
        """
        Each parameter of the table is tried, or cannot be wrong: a flag that is not true is false.
        """
        tried = WRONG.keys() | LONG.keys() | ELSEWHERE.keys()
        missing = [row.name for row in TABLE if row.kind != "flag" and row.name not in tried]
        self.assertEqual(missing, [])
        self.assertEqual([row.name for row in TABLE if not row.example], [])

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(VERBS, st.lists(st.tuples(WORDS, VALUES), max_size=8), st.binary(max_size=60), st.booleans(), st.booleans())
    def test_anything(self, verb: str, pairs: list[tuple[str, str]], body: bytes, names: bool, raw: bool) -> None:
        """
        Any query and any body: done or refused, never a fault of ours; what is refused has changed nothing.
        """
        if names:
            pairs = [("serviceName", "fuzz"), ("servicePath", "/fuzz"), ("port", "80"), *pairs]
        pairs = [(name, value) for name, value in pairs if name not in ("distribute",)]
        query = quote(body, safe="=&%") if raw else urlencode(pairs, errors="surrogatepass")
        before = self.state()
        method = "PUT" if verb == "cert" else "POST"
        status, said = self.proxy.ask(f"{API}/{verb}?{query}", method, body)
        self.assertTrue(200 <= status < 500, (verb, query, status, said[:500]))
        if status >= 400:
            self.assertEqual(self.state(), before, (verb, query, status))
        for name in self.state()[0]:
            if name != "good":
                self.proxy.remove(name)
