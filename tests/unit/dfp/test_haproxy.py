"""
The table of routes as HAProxy configuration.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.haproxy import render
from dfproxy.dfp.reconfigure import read
from dfproxy.errors import InvalidService
from dfproxy.model.certificate import Certificate, Listed, Source
from dfproxy.model.listener import Listener
from dfproxy.model.service import Balance, Route
from dfproxy.model.settings import Limits, Settings, Tls
from dfproxy.model.snapshot import Revision, ServerAddress
from tests.certificates import known
from tests.requirements import require

GO_DEMO = "serviceName=go-demo&servicePath=/demo&port=8080"
SETTINGS = Settings(listeners=(Listener("127.0.0.1", 18080), Listener("", 18443, tls=True)))

EVERYTHING = (
    GO_DEMO,
    "serviceName=b&port=1&servicePath=/x,/y&servicePathExclude=/x/z&serviceDomain=*.a.test,c.test&srcPort=80"
    "&serviceHeader=X-A:1,Y:2&userAgent=-i,x&timeoutServer=5&timeoutTunnel=0.5&balance=uri",
    *(
        f"serviceName=t-{kind.replace('_', '-')}&port=1&servicePath=12&pathType={kind}+-i"
        for fetch in ("path", "url")
        for kind in (fetch, *(f"{fetch}_{method}" for method in ("beg", "end", "sub", "reg", "dir", "dom", "len")))
    ),
    *(
        f"serviceName=h{method}&port=1&serviceDomain=12&serviceDomainAlgo=hdr{method}(host)"
        for method in ("", "_beg", "_end", "_sub", "_reg", "_dir", "_dom", "_len")
    ),
    "serviceName=r&port=1&pathType=path_reg&" + urlencode({"servicePath": r"^/v[0-9]+/(a|b)\.(?:x)$ a{2,3} '\"#$HOME"}),
    "serviceName=many&port=1&servicePath=" + ",".join(f"/{i}" for i in range(500)),
    "serviceName=long&port=1&servicePath=/" + "x" * 8000,
    "serviceName=headers&port=1&servicePath=/&serviceHeader=" + ",".join(f"n{i}:v" for i in range(32)),
    "serviceName=strange-é'%23&aclName=$é&port=1&servicePath=/",
    "serviceName=a&aclName=same&port=1&servicePath=/1",
    "serviceName=c&aclName=same&port=1&servicePath=/2",
    "serviceName=plugin&port=1&servicePath=/&condition=method:GET&balance=ewma",
)


def routes(*queries: str) -> list[tuple[Route, object]]:
    """
    The routes of these services, in this order.
    """
    found = []
    for query in queries:
        service = read(parse_qsl(query), (), SETTINGS, lambda text: Balance(text)).service
        assert service is not None
        found += [(Route(service, destination), object()) for destination in service.destinations]
    return found


def servers(service: str, index: int) -> Sequence[ServerAddress]:
    """
    One server, or three for the go-demo; none for `b`.
    """
    if service == "b":
        return ()
    several = (ServerAddress("::1", 81, 3), ServerAddress("tasks.x", 82)) if service == "go-demo" else ()
    return (ServerAddress("127.0.0.1", 80), *several)


def text(
    found: list[tuple[Route, object]], default: Route | None = None, chosen: Settings = SETTINGS, **more: str
) -> str:
    """
    The whole configuration; further arguments are quarantined services.
    """
    return "".join(render(chosen, found, default, servers, Revision(3, "ab" * 16), more))


class TextTests(SynchronousTestCase):
    def test_tls_with_servers(self) -> None:
        """
        Servers that are spoken to with TLS: verified or not, by which authority and name, and what they are shown.
        """
        chosen = replace(SETTINGS, certs_dir="/certs")
        for query, wanted in (
            ("sslVerifyNone=true", "ssl verify none"),
            ("backendTls=true", "ssl verify required ca-file @system-ca sni str(s) verifyhost s"),
            (
                "backendTls=true&backendServerName=n&backendCa=a.pem&backendCertificate=/x/c.pem",
                "ssl verify required ca-file /certs/a.pem sni str(n) verifyhost n crt /x/c.pem",
            ),
            (
                "backendTls=true&backendServerName=10.0.0.1",
                "ssl verify required ca-file @system-ca verifyhost 10.0.0.1",
            ),
        ):
            found = text(routes(f"serviceName=s&servicePath=/&port=1&{query}"), None, chosen)
            self.assertIn(f"    server s 127.0.0.1:80 {wanted}", found.splitlines())
            self.assertEqual("HAProxy cannot verify" in found, "10.0.0.1" in query)
        chosen = replace(SETTINGS, tls=Tls("TLSv1", "TLSv1.2", ciphers="A:B"))
        found = text(routes("serviceName=s&servicePath=/&port=1&sslVerifyNone=true"), None, chosen)
        self.assertIn(" ssl verify none ssl-min-ver TLSv1.0 ssl-max-ver TLSv1.2 ciphers A:B\n", found)

    def test_announced(self) -> None:
        """
        Servers that are told whose connection it is, with TLS as well.
        """
        for query, wanted in (
            ("sendProxy=v1", "send-proxy"),
            ("sendProxy=v2&sslVerifyNone=true", "ssl verify none send-proxy-v2"),
        ):
            found = text(routes(f"serviceName=s&servicePath=/&port=1&{query}"))
            self.assertIn(f"    server s 127.0.0.1:80 {wanted}", found.splitlines())

    def test_names_like_dfp(self) -> None:
        """
        ACLs, rules and backends are called as in DFP, so that scripts which search the text find them.
        """
        found = text(routes(GO_DEMO), routes(GO_DEMO)[0][0])
        for line in (
            "    pidfile /var/run/haproxy.pid",
            "frontend services",
            "    bind 127.0.0.1:18080",
            "    bind *:18443",
            "    acl url_go-demo8080_0 path_beg /demo",
            "    use_backend go-demo-be8080_0 if url_go-demo8080_0",
            "    default_backend go-demo-be8080_0",
            "backend go-demo-be8080_0",
            "    balance roundrobin",
            "    server go-demo_0 127.0.0.1:80",
            "    server go-demo_1 [::1]:81 weight 3",
            "# revision 3 " + "ab" * 16,
        ):
            self.assertIn(line, found.splitlines())

    def test_all_conditions(self) -> None:
        """
        Every condition of a route stands in its rule, the excluded paths negated.
        """
        found = text(routes(EVERYTHING[1]))
        self.assertIn(
            "    use_backend b-be1_0 if url_b1_0 !url_exclude_b1_0 domain_b1_0 hdr_b1_0_0 hdr_b1_0_1"
            " srcPort_b1_0 user_agent_b1_0\n",
            found,
        )
        self.assertIn("    timeout server 5000ms\n    timeout tunnel 500ms\n", found)
        self.assertIn("    # no servers: 503\n", found)

    def test_order(self) -> None:
        """
        Rules stand in the order in which routes win.
        """
        rules = [line for line in text(routes(*EVERYTHING[4:8])).splitlines() if "use_backend" in line]
        self.assertEqual(
            [rule.split()[1] for rule in rules],
            [f"t-{kind}-be1_0" for kind in ("path-end", "path-sub", "path-reg", "path-dir")],
        )

    def test_one_acl_name_two_services(self) -> None:
        """
        Services with one aclName and port do not take each other's requests.
        """
        found = text(routes(*(query for query in EVERYTHING if "aclName=same" in query)))
        self.assertIn("    use_backend same-be1_0 if url_same1_0\n", found)
        self.assertIn("    use_backend same-be1_0:2 if url_same1_0:2\n", found)

    def test_plugin_condition(self) -> None:
        """
        A route that a plugin decides is a comment that says so: without the condition it would take too much.
        """
        lines = text(routes(EVERYTHING[-1])).splitlines()
        self.assertFalse([line for line in lines if line.strip().startswith(("use_backend", "acl"))])
        self.assertTrue(any("# use_backend plugin-be1_0" in line and "condition method" in line for line in lines))

    def test_quarantined(self) -> None:
        """
        A service that could not be loaded is named with the reason, and its backend has no servers.
        """
        found = text(routes(GO_DEMO), **{"go-demo": "no strategy\nmaxconn 1"})
        self.assertIn("# service go-demo is not served: no strategy?maxconn 1\n", found)
        self.assertNotIn("server go-demo", found)

    def test_default_of_a_service_without_routes(self) -> None:
        """
        The default backend exists also if it is not among the routes.
        """
        found = text([], routes(GO_DEMO)[0][0])
        self.assertIn("    default_backend go-demo-be8080_0\n", found)
        self.assertIn("backend go-demo-be8080_0\n", found)

    def test_in_pieces(self) -> None:
        """
        The text of many services comes in small pieces, so that making it can be interrupted.
        """
        pieces = list(render(SETTINGS, routes(*EVERYTHING), None, servers, Revision()))
        self.assertGreater(len(pieces), 2 * len(EVERYTHING))

    def test_system_chosen_port(self) -> None:
        """
        A port that the system chooses is left to a comment.
        """
        found = text([], chosen=replace(SETTINGS, listeners=(Listener("127.0.0.1", 0),)))
        self.assertNotIn("\n    bind", found)
        self.assertIn("# bind 127.0.0.1:0", found)

    @settings(max_examples=60, deadline=None)
    @given(
        st.dictionaries(
            st.sampled_from(["servicePath", "serviceDomain", "serviceHeader", "userAgent", "aclName"]), st.text()
        )
    )
    def test_no_value_adds_a_line(self, values: dict[str, str]) -> None:
        """
        Whatever an accepted value holds, every line begins with a directive of ours.
        """
        try:
            found = routes(urlencode({"serviceName": "s", "port": "1"} | values, errors="replace"))
        except InvalidService:
            return
        ours = (
            "acl ",
            "use_backend s",
            "use_backend ",
            "#",
            "bind ",
            "option ",
            "timeout ",
            "balance ",
            "server ",
            "default",
            "http-request ",
        )
        body = text(found).split("frontend services\n")[1]
        for line in body.splitlines():
            self.assertTrue(not line or line.strip().startswith((*ours, "backend ")), line)


def certificate(file: str, source: Source = "folder") -> Certificate:
    return Certificate(file, source, b"", b"", "ec", (), "", 0.0)


class TlsTests(SynchronousTestCase):
    """
    Listeners with TLS.
    """

    def bind(self, settings: Settings, *certificates: Certificate) -> str:
        found = "".join(render(settings, (), None, lambda name, index: (), Revision(), certificates=certificates))
        (line,) = (line for line in found.splitlines() if "18443" in line)
        return line.strip()

    def test_plain_until_there_is_one(self) -> None:
        """
        Without certificates the address stands there plain, as it is.
        """
        self.assertEqual(self.bind(SETTINGS), "bind *:18443")

    def test_certificates(self) -> None:
        """
        With certificates it names them, the default one first, each where it is, and what is offered.
        """
        settings = replace(SETTINGS, certs_dir="/my certs", http2=False)
        self.assertEqual(
            self.bind(settings, certificate("b.pem"), certificate("cert-a", "secret")),
            "bind *:18443 ssl crt /my\\ certs/b.pem crt /run/secrets/cert-a alpn http/1.1 ssl-min-ver TLSv1.2",
        )

    def test_many(self) -> None:
        """
        Of many the folder is named, after the default one: HAProxy takes only so many words in a line.
        """
        many = [certificate(f"{number}.pem") for number in range(100)]
        line = self.bind(replace(SETTINGS, certs_dir="/certs"), *many, certificate("cert-a", "secret"))
        self.assertIn(" ssl crt /certs/0.pem crt /certs crt /run/secrets/cert-a alpn h2,http/1.1 ", line)

    def test_list(self) -> None:
        """
        A list is named instead of certificates, once it names one that is there.
        """
        settings = replace(SETTINGS, tls=Tls(crt_list="/cfg/my list"))
        outside = replace(certificate("/x/a.pem", "list"), listed=(Listed(1),))
        self.assertIn(" ssl crt-list /cfg/my\\ list alpn ", self.bind(settings, certificate("b.pem"), outside))
        self.assertIn(" ssl crt /certs/b.pem alpn ", self.bind(settings, certificate("b.pem")))

    def test_options(self) -> None:
        """
        What the operator chose stands there in HAProxy's words.
        """
        tls = Tls("TLSv1", "TLSv1.2", tickets=False, ciphers="A:B", ca_file="/ca.pem", strict_sni=True)
        line = self.bind(replace(SETTINGS, tls=tls), certificate("a"))
        self.assertTrue(
            line.endswith(
                " ssl-min-ver TLSv1.0 ssl-max-ver TLSv1.2 ciphers A:B ca-file /ca.pem verify optional"
                " no-tls-tickets strict-sni"
            ),
            line,
        )


class HAProxyTests(SynchronousTestCase):
    def check(self, configuration: str) -> None:
        """
        Let the real HAProxy check a configuration.
        """
        (haproxy,) = require("haproxy")
        file = Path(self.mktemp())
        file.write_text(configuration, encoding="utf-8")
        found = subprocess.run(
            [haproxy, "-c", "-f", str(file)], capture_output=True, text=True, timeout=30, check=False
        )
        self.assertEqual(found.returncode, 0, found.stderr + found.stdout)

    def test_everything(self) -> None:
        """
        HAProxy accepts every kind of condition, long lists, long values, odd names and colliding ones.
        """
        found = routes(*EVERYTHING)
        self.check(text(found, found[0][0], replace(SETTINGS, limits=Limits(client_connections=100))))

    def test_nothing(self) -> None:
        """
        Without any service the text is a valid configuration as well.
        """
        self.check(text([]))

    def test_strategies(self) -> None:
        """
        HAProxy knows the strategies that we name.
        """
        found = []
        names = "roundrobin leastconn random first source uri ewma mine"
        strategies = [Balance(name) for name in names.split()]
        strategies += [Balance("random", ("3",)), Balance("uri", ("depth", "3", "whole")), Balance("hdr", ("X-User",))]
        for number, balance in enumerate(strategies):
            ((route, target),) = routes(f"serviceName=s{number}&port=1&servicePath=/{number}")
            found.append((Route(replace(route.service, balance=balance), route.destination), target))
        self.check(text(found))

    def test_tls(self) -> None:
        """
        Listeners with certificates are accepted, and TLS with servers.
        """
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        (folder / "a.pem").write_bytes(known("demo.test").bundle)
        (folder / "list").write_text(f"{folder}/a.pem [alpn h2] *.demo.test !x.demo.test\n")
        settings = replace(SETTINGS, certs_dir=str(folder), http2=False, tls=Tls(tickets=False))
        listeners = (Listener("", 18443, tls=True, options=("accept-proxy",)), Listener("::1", 18444, tls=True))
        asking = Tls(ca_file=f"{folder}/a.pem", crt_list=f"{folder}/list", ciphers="ECDHE+AESGCM", strict_sni=True)
        further = replace(settings, listeners=listeners, tls=asking, http2=True)
        certificates = [replace(certificate("a.pem"), listed=(Listed(1),))]
        found = routes(
            f"{GO_DEMO}&sslVerifyNone=true",
            "serviceName=s&servicePath=/&port=1&backendTls=true&backendCa=a.pem&backendCertificate=a.pem",
            "serviceName=t&servicePath=/&port=1&backendTls=true&backendServerName=10.0.0.1&sendProxy=v2",
            "serviceName=u&servicePath=/&port=1&sendProxy=v1",
        )
        for chosen in (settings, further):
            self.check("".join(render(chosen, found, None, servers, Revision(), certificates=certificates)))
