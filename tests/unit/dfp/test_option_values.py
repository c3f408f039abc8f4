"""
Tests of `dfproxy.dfp.option_values`: what an operator may write, and what is refused with a reason.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp import option_values as kinds
from dfproxy.model.listener import Listener
from dfproxy.model.service import Balance
from dfproxy.model.settings import Tls


class ValueTests(SynchronousTestCase):
    """
    Each kind of value by itself.
    """

    def assert_refused(self, parse: Callable[[str], object], *texts: str, reason: str = "") -> None:
        for text in texts:
            error = self.assertRaises(ValueError, parse, text)
            self.assertIn(reason, str(error), text)

    def test_seconds(self) -> None:
        """
        A bare number is seconds, as in DFP; HAProxy's units may follow.
        """
        parse = kinds.seconds()
        given = {
            "20": 20.0,
            " 20 ": 20.0,
            "1.5": 1.5,
            "500ms": 0.5,
            "30s": 30.0,
            "5min": 300.0,
            "1h": 3600.0,
            "1d": 86400,
        }
        self.assertEqual({text: parse(text) for text in given}, given)

    def test_seconds_refused(self) -> None:
        """
        No number, no known unit, and times outside of what can be counted are refused.
        """
        self.assert_refused(kinds.seconds(), "", "x", "-1", "20 parsecs", "1e3", "s", reason="is no time")
        self.assert_refused(kinds.seconds(), "0", "25d", "9" * 400, reason="out of range")

    def test_doubtful_minutes(self) -> None:
        """
        `5m` is 5 ms in DFP, which appends an s, and nobody means that: it is refused.
        """
        self.assert_refused(kinds.seconds(), "5m", "5M", reason="write min")

    def test_size(self) -> None:
        """
        Sizes are bytes, or with k, m, g.
        """
        parse = kinds.size(1, 1 << 31)
        given = {"16384": 16384, "16k": 16384, "16KiB": 16384, "1m": 1 << 20, "1.5k": 1536, "1g": 1 << 30, "7b": 7}
        self.assertEqual({text: parse(text) for text in given}, given)
        self.assert_refused(parse, "16x", "", "k", "-1", reason="is no size")
        self.assert_refused(parse, "0", "3g", reason="out of range")

    def test_count(self) -> None:
        """
        Whole numbers of a range; nothing that merely looks like one.
        """
        self.assertEqual(kinds.count(0, 65535)("65535"), 65535)
        self.assert_refused(kinds.count(0, 65535), "65536", "9" * 5000, reason="give 0 to 65535")
        self.assert_refused(kinds.count(0, 9), "-1", "1.0", "", "0x1", "\u0663", "1_0", reason="no whole number")

    def test_switch(self) -> None:
        """
        Yes and no in every spelling that DFP and HAProxy users know.
        """
        for text in ("1", "t", "T", "TRUE", "true", "on", "yes"):
            self.assertIs(kinds.switch(text), True)
        for text in ("0", "f", "False", "off", "no"):
            self.assertIs(kinds.switch(text), False)
        self.assert_refused(kinds.switch, "maybe", "", "2")

    def test_workers(self) -> None:
        """
        A number or auto.
        """
        self.assertIsNone(kinds.workers("Auto"))
        self.assertEqual(kinds.workers("0"), 0)
        self.assert_refused(kinds.workers, "many", "257", reason="or auto")

    def test_ports(self) -> None:
        """
        DFP's syntax of ports: `:ssl` stands anywhere in an item, options follow the port, empty items are nothing.
        """
        self.assertEqual(
            kinds.ports("80,443:ssl,8443 accept-proxy:ssl, 8085 accept-proxy alpn h2,444:ssl accept-proxy,,"),
            (
                Listener("", 80),
                Listener("", 443, tls=True),
                Listener("", 8443, tls=True, options=("accept-proxy",)),
                Listener("", 8085, options=("accept-proxy", "alpn", "h2")),
                Listener("", 444, tls=True, options=("accept-proxy",)),
            ),
        )
        self.assertEqual(kinds.ports("445 ssl crt /x"), (Listener("", 445, tls=True, options=("crt", "/x")),))

    def test_ports_refused(self) -> None:
        """
        No port, a port out of range, an option that HAProxy does not have, or one without its value.
        """
        self.assert_refused(kinds.ports, "http", "80x", "*:80", "-1", "70000", "80-90", reason="port")
        self.assert_refused(kinds.ports, "80 accept-prox", reason="accept-prox is no bind option")
        self.assert_refused(kinds.ports, "80 alpn", reason="needs a value")
        self.assert_refused(kinds.ports, ":ssl", reason="no port")
        self.assert_refused(kinds.ports, "80\nglobal", reason="control characters")

    def test_balance(self) -> None:
        """
        HAProxy's way of writing a strategy; whether it exists is not asked here.
        """
        self.assertEqual(kinds.balance("leastconn"), Balance("leastconn"))
        self.assertEqual(kinds.balance("hdr(X-User)"), Balance("hdr", ("X-User",)))
        self.assertEqual(kinds.balance(" uri depth 3 "), Balance("uri", ("depth", "3")))
        self.assertEqual(kinds.balance("hdr( Host ) use_domain_only"), Balance("hdr", ("Host", "use_domain_only")))
        self.assert_refused(kinds.balance, "", "hdr(", "hdr)x(", "round robin(", "(x)", "a\nb")

    def test_listeners(self) -> None:
        """
        Swarm listeners are hosts, each with a port where it is not the usual one; twice the same is one.
        """
        given = {
            "": (),
            "swarm-listener": (("swarm-listener", 8080),),
            "a, b:81,,a": (("a", 8080), ("b", 81)),
            "10.0.0.1": (("10.0.0.1", 8080),),
            "[fd00::1]:9,[fd00::2]": (("fd00::1", 9), ("fd00::2", 8080)),
        }
        self.assertEqual({text: kinds.hosts(text) for text in given}, given)
        self.assert_refused(kinds.hosts, "a:x", "a:0", "a:65536", reason="give host or host:port")
        self.assert_refused(kinds.hosts, "a b", "http://a", "fd00::1", "[x]", ":80")

    def test_milliseconds(self) -> None:
        """
        DFP gives some times in milliseconds.
        """
        self.assertEqual((kinds.milliseconds("5000"), kinds.milliseconds("1")), (5.0, 0.001))
        self.assert_refused(kinds.milliseconds, "0", "-1", "5s", "", "99999999999")

    def test_host(self) -> None:
        """
        The name of a Swarm service, as a stack spells it.
        """
        self.assertEqual(kinds.host(" my_stack_proxy.1 "), "my_stack_proxy.1")
        self.assert_refused(kinds.host, "", "a b", "a/b", "-a")

    def test_host_form(self) -> None:
        """
        DFP's words for comparing domains, blanks and case aside.
        """
        self.assertEqual(kinds.host_form("HDR_dom( host )"), "hdr_dom(host)")
        self.assertEqual(kinds.host_form("hdr(host)"), "hdr(host)")
        self.assert_refused(kinds.host_form, "hdr_begin(host)", "hdr_beg", "", reason="known: hdr(host)")

    def test_access_log(self) -> None:
        """
        Off, a form, a place, or both.
        """
        given = {
            "off": ("", "json"),
            "json": ("-", "json"),
            "httplog": ("-", "httplog"),
            "-": ("-", "json"),
            "/logs/access": ("/logs/access", "json"),
            "httplog:/logs/access": ("/logs/access", "httplog"),
            "json:-": ("-", "json"),
        }
        self.assertEqual({text: kinds.access_log(text) for text in given}, given)
        self.assert_refused(kinds.access_log, "jsno", "httplog:", "json:x")

    def test_fixed_name(self) -> None:
        """
        A name with its addresses, of both families.
        """
        self.assertEqual(kinds.fixed_name("Go-Demo.=10.0.0.1, ::1"), ("go-demo", ("10.0.0.1", "::1")))
        self.assert_refused(kinds.fixed_name, "x", "x=", "=1.2.3.4", "x=y", "x=1.2.3", "a b=1.2.3.4", "x=*")

    def test_query(self) -> None:
        """
        A service at start names itself; the rest is checked where services are.
        """
        self.assertEqual(kinds.query("?serviceName=x&port=80"), "serviceName=x&port=80")
        self.assertEqual(kinds.query("port=80&servicename=x"), "port=80&servicename=x")
        self.assert_refused(kinds.query, "go-demo", "serviceName=", "port=80", "serviceName=x\n")

    def test_addresses(self) -> None:
        """
        IP addresses only: names would have to be resolved before anything runs.
        """
        self.assertEqual(kinds.address("[::1]"), "::1")
        self.assertEqual(kinds.addresses("127.0.0.1, *"), ("127.0.0.1", ""))
        self.assert_refused(kinds.address, "localhost", "1.2.3", "256.1.1.1")

    def test_networks(self) -> None:
        """
        Networks in their usual form, a single address being one.
        """
        self.assertEqual(
            kinds.networks("10.1.2.3/8, 192.168.1.1,fd00::/8"), ("10.0.0.0/8", "192.168.1.1/32", "fd00::/8")
        )
        self.assert_refused(kinds.networks, "10.0.0.0/33", "x")

    def test_url(self) -> None:
        """
        Where Docker's API is, in the forms that Docker's own client takes.
        """
        self.assertEqual(kinds.url("unix:///var/run/docker.sock"), "unix:///var/run/docker.sock")
        self.assert_refused(kinds.url, "/var/run/docker.sock", "ftp://x", "http:// x")

    def test_text(self) -> None:
        """
        Line ends are welcome only where they may be.
        """
        self.assertEqual(kinds.lines("a:b\nc:d"), "a:b\nc:d")
        self.assert_refused(kinds.text, "a\nb", "\x00")
        self.assert_refused(kinds.lines, "a\x00b")
        self.assert_refused(kinds.separator, "", "\n")
        self.assert_refused(kinds.path, "", " ")
        self.assert_refused(kinds.word, "a b", "", "x/y")
        self.assert_refused(kinds.word_of("a", "b"), "c", reason="known: a, b")

    def test_globs(self) -> None:
        """
        Patterns of file names, without blanks around them.
        """
        self.assertEqual(kinds.globs("a*.pem, b,,"), ("a*.pem", "b"))

    def test_tls_versions(self) -> None:
        """
        TLS 1.2 is the lowest version, unless the operator says otherwise by its name; `no-sslv3` says nothing new.
        """
        given = {
            "no-sslv3": ("TLSv1.2", ""),
            "no-tlsv10": ("TLSv1.2", ""),
            "no-tlsv12": ("TLSv1.3", ""),
            "no-tlsv13": ("TLSv1.2", "TLSv1.2"),
            "ssl-min-ver TLSv1.0": ("TLSv1", ""),
            "ssl-min-ver TLSv1": ("TLSv1", ""),
            "ssl-min-ver TLSv1.3": ("TLSv1.3", ""),
            "force-tlsv12": ("TLSv1.2", "TLSv1.2"),
            "ssl-min-ver TLSv1.1 ssl-max-ver TLSv1.2": ("TLSv1.1", "TLSv1.2"),
        }
        for words, versions in given.items():
            found = kinds.tls_options(words)
            self.assertEqual((found.min_version, found.max_version), versions, words)

    def test_tls_words(self) -> None:
        """
        Each word has its effect; those that Python cannot set are kept to be told.
        """
        found = kinds.tls_options(
            "no-tls-tickets prefer-client-ciphers strict-sni curves X25519 sigalgs RSA+SHA256 allow-0rtt"
        )
        self.assertEqual((found.tickets, found.server_order, found.strict_sni), (False, False, True))
        self.assertEqual((found.curve, found.unheeded), ("X25519", ("sigalgs RSA+SHA256", "allow-0rtt")))
        self.assertEqual(kinds.tls_options("curves X25519:P-256").unheeded, ("curves X25519:P-256",))
        self.assertEqual(kinds.tls_options(""), Tls())

    def test_tls_words_refused(self) -> None:
        """
        Unknown words, missing or unknown versions, and versions that leave none are refused.
        """
        self.assert_refused(kinds.tls_options, "tls", "verify required", "no-tlsv99", reason="is not known")
        self.assert_refused(kinds.tls_options, "ssl-min-ver", reason="needs a value")
        self.assert_refused(kinds.tls_options, "ssl-min-ver SSLv3", "ssl-max-ver x", reason="is none of")
        self.assert_refused(kinds.tls_options, "no-tlsv12 no-tlsv13", "ssl-max-ver TLSv1.1", reason="leaves no version")

    def test_client_certificates_of_one_port(self) -> None:
        """
        A port that is to ask for client certificates by itself is refused: nothing would check them.
        """
        self.assert_refused(kinds.ports, "443 ssl ca-file /x", "443 ssl verify required", reason="--ca-file")
        self.assertEqual(len(kinds.ports("443 ssl verify none")), 1)
        self.assert_refused(kinds.ports, "80 interface eth0", reason="--bind-address")
