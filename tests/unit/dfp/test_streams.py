"""
Parameters of destinations that take whole connections.
"""

from __future__ import annotations

from urllib.parse import parse_qsl

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.reconfigure import read
from dfproxy.dfp.streams import is_by_name
from dfproxy.errors import InvalidBalance, InvalidService
from dfproxy.model.listener import Listener
from dfproxy.model.match import HostPattern, Match
from dfproxy.model.service import Balance, Destination
from dfproxy.model.settings import Settings, Statistics
from dfproxy.model.stream import Stream

SETTINGS = Settings(
    listeners=(Listener("", 80), Listener("", 443, tls=True)),
    statistics=Statistics(listeners=(Listener("", 8404, statistics=True),)),
)
TCP = "serviceName=s&reqMode=tcp&srcPort=6379&port=6380"
SNI = "serviceName=s&reqMode=sni&srcPort=443&port=8443"


def balance(text: str) -> Balance:
    if text not in ("roundrobin", "leastconn"):
        raise InvalidBalance(f"{text} is not known")
    return Balance(text)


def destinations(query: str, settings: Settings = SETTINGS) -> tuple[Destination, ...]:
    service = read(parse_qsl(query), (), settings, balance).service
    assert service is not None
    return service.destinations


def stream(query: str, settings: Settings = SETTINGS) -> Stream:
    (destination,) = destinations(query, settings)
    assert destination.stream is not None
    return destination.stream


class ReadingTests(SynchronousTestCase):
    """
    `read_stream`, by way of a whole call.
    """

    def refused(self, query: str, parameter: str, words: str = "", settings: Settings = SETTINGS) -> None:
        """
        Refused because of just this parameter, with a reason that has these words.
        """
        error = self.assertRaises(InvalidService, read, parse_qsl(query), (), settings, balance)
        self.assertEqual({problem.parameter for problem in error.problems}, {parameter}, query)
        self.assertIn(words, error.problems[0].reason)
        self.assertFalse(error.nothing_to_route)

    def test_plain(self) -> None:
        """
        A port, and servers behind it; nothing of a request is asked, nothing done to it.
        """
        (found,) = destinations(TCP)
        self.assertEqual(found.stream, Stream(6379))
        self.assertEqual((found.port, found.host, found.backend_name), (6380, "s", "s-be6380_0"))
        self.assertEqual((found.match, found.steps, found.tls), (Match(), None, None))

    def test_all(self) -> None:
        """
        Everything that can be said of it, in any case of `reqMode`.
        """
        query = TCP.replace("tcp", "TCP") + "&timeoutClient=7&timeoutServer=8&timeoutTunnel=9&clitcpka=true&checkTcp=1"
        query += "&serviceGroup=g&balanceGroup=leastconn&outboundHostname=db&sendProxy=v2"
        (found,) = destinations(query)
        wanted = Stream(6379, (), 7.0, keep_alive=True, check=True, group="g", balance=Balance("leastconn"))
        self.assertEqual(found.stream, wanted)
        self.assertEqual((found.server_timeout_s, found.tunnel_timeout_s, found.host), (8.0, 9.0, "db"))
        self.assertEqual(found.announce, 2)

    def test_domains(self) -> None:
        """
        `serviceDomain` names who is chosen by the ClientHello: the whole name, a wildcard, or as `req.ssl_sni` says.
        """
        whole = (HostPattern("exact", b"a.test"), HostPattern("suffix", b".b.test", without_port=True))
        for algo in ("", "&serviceDomainAlgo=req.ssl_sni", "&serviceDomainAlgo=hdr_beg(host)"):
            self.assertEqual(stream(f"{TCP}&serviceDomain=A.test,*.b.test{algo}").names, whole, algo)
        found = stream(f"{TCP}&serviceDomain=a&serviceDomainAlgo=req_ssl_sni%20-i%20-m%20beg")
        self.assertEqual(found.names, (HostPattern("prefix", b"a"),))
        general = Settings(host_form="req.ssl_sni -m end")
        self.assertEqual(stream(f"{TCP}&serviceDomain=a", general).names, (HostPattern("suffix", b"a"),))
        self.refused(f"{TCP}&serviceDomain=(&serviceDomainAlgo=req.ssl_sni%20-m%20reg", "serviceDomain")
        self.refused(f"{TCP}&serviceDomain=a&serviceDomainAlgo=req.ssl_sni%20-m%20x", "serviceDomainAlgo", "-m")

    def test_names_by_path(self) -> None:
        """
        `reqMode=sni`: `pathType` with `servicePath`, as DFP's users wrote it; or, ours, `serviceDomain` alone.
        """
        for kind, form in (
            ("req_ssl_sni", "exact"),
            ("req.ssl_sni", "exact"),
            ("req_ssl_sni -i", "exact"),
            ("req_ssl_sni -i -m beg", "prefix"),
            ("req_ssl_sni -m reg -i", "regex"),
            ("req.ssl_sni -m end --", "suffix"),
        ):
            found = stream(f"{SNI}&servicePath=x1.test&pathType={kind}")
            self.assertEqual(found.names, (HostPattern(form, b"x1.test"),), kind)  # type: ignore[arg-type]  # a form
        self.assertEqual(stream(f"{SNI}&serviceDomain=a.test").names, (HostPattern("exact", b"a.test"),))
        both = stream(f"{SNI}&servicePath=a&pathType=req_ssl_sni&serviceDomain=b")
        self.assertEqual(both.names, (HostPattern("exact", b"a"),))  # DFP: the domain is ignored

    def test_no_names(self) -> None:
        """
        `reqMode=sni` without a way to choose took nothing in DFP: refused, with what helps.
        """
        self.refused(SNI, "serviceDomain", "pathType=req_ssl_sni")
        self.refused(f"{SNI}&servicePath=a", "pathType", "must be req_ssl_sni")
        self.refused(f"{SNI}&servicePath=a&pathType=path_reg", "pathType")
        self.refused(f"{SNI}&servicePath=a&pathType=req_ssl_sni%20-x", "pathType", "-x")
        self.refused(f"{SNI}&servicePath=(&pathType=req_ssl_sni%20-m%20reg", "servicePath")

    def test_shared_ports(self) -> None:
        """
        Where HTTP is served only those who are chosen by name may be as well; nobody where the statistics are.
        """
        for port in (80, 443):
            query = TCP.replace("6379", str(port))
            self.refused(query, "srcPort", f"take {port} out of these, or give serviceDomain")
            self.refused(f"{query}&serviceDomain=a.test&serviceGroup=g", "srcPort")  # domains of groups do not count
            self.assertEqual(len(stream(f"{query}&serviceDomain=a.test").names), 1)
        self.refused(TCP.replace("6379", "8404") + "&serviceDomain=a.test", "srcPort", "--stats-port")

    def test_mandatory(self) -> None:
        """
        Port in front and port behind; `srcPort` must be a port.
        """
        self.refused(TCP.replace("srcPort=6379", "x=1"), "srcPort")
        self.refused(TCP.replace("srcPort=6379", "srcPort=0"), "srcPort")
        self.refused(TCP.replace("srcPort=6379", "srcPort=65536"), "srcPort", "1 to 65535")
        self.refused(TCP.replace("&port=6380", ""), "port")
        self.refused(TCP.replace("tcp", "udp"), "reqMode", "http, tcp or sni")

    def test_groups(self) -> None:
        """
        Groups are for tcp, and their strategy must be known.
        """
        self.refused(f"{SNI}&serviceDomain=a&serviceGroup=g", "serviceGroup", "reqMode=tcp")
        self.refused(f"{TCP}&serviceGroup=g&balanceGroup=best", "balanceGroup", "best is not known")
        self.refused(f"{TCP}&timeoutClient=x", "timeoutClient")

    def test_mixed(self) -> None:
        """
        One service may have requests and connections; what is written without index holds for those it concerns.
        """
        query = (
            "serviceName=s&servicePath.1=/m&port.1=1&reqMode.2=tcp&srcPort.2=7&port.2=2&timeoutClient=5&clitcpka=true"
        )
        first, second = destinations(query)
        self.assertEqual((first.stream, bool(first.match.paths)), (None, True))
        self.assertEqual(second.stream, Stream(7, client_timeout_s=5.0, keep_alive=True))

    def test_by_name(self) -> None:
        """
        What compares the name that a client asks for.
        """
        found = [is_by_name(text) for text in ("req.ssl_sni", "req_ssl_sni -i", "hdr(host)", "req.ssl_sni_x", "")]
        self.assertEqual(found, [True, True, False, False, False])
