"""
Domains, wildcards and their algorithms.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.domains import host_form, host_patterns
from dfproxy.model.match import HostPattern


class HostFormTests(SynchronousTestCase):
    def test_algorithms(self) -> None:
        """
        Every algorithm that DFP documents or HAProxy offers on the Host field.
        """
        known = {
            "hdr(host)": "exact",
            "hdr_beg(host)": "prefix",
            "hdr_end(host)": "suffix",
            "hdr_sub(host)": "substring",
            "hdr_reg(host)": "regex",
            "hdr_dom(host)": "label",
            "hdr_dir(host)": "directory",
            "hdr_len(host)": "length",
            "hdr_beg(Host) -i": "prefix",
            "req.hdr(host) -m end": "suffix",
        }
        for text, form in known.items():
            self.assertEqual(host_form(text), form, text)

    def test_unknown(self) -> None:
        """
        Others are refused; `req.ssl_sni` too, since TLS ends at this proxy.
        """
        for text in ("", "hdr_beg", "hdr_beg(user-agent)", "req.ssl_sni", "hdr_beg(host,-1)", "path_beg"):
            self.assertIn("hdr_beg(host)", str(self.assertRaises(ValueError, host_form, text)))


class HostPatternsTests(SynchronousTestCase):
    def test_lower_case(self) -> None:
        """
        Domains are compared without case.
        """
        self.assertEqual(host_patterns(["Acme.TEST"], "prefix"), (HostPattern("prefix", b"acme.test"),))

    def test_wildcard(self) -> None:
        """
        `*` makes its own domain a suffix without port; the others keep the algorithm (ODDITY-21).
        """
        self.assertEqual(
            host_patterns(["*.Acme.test", "b.test"], "exact"),
            (HostPattern("suffix", b".acme.test", True), HostPattern("exact", b"b.test")),
        )

    def test_bare_star(self) -> None:
        """
        A lone `*` does not become a route for everything.
        """
        for text in ("*", "**"):
            self.assertRaises(ValueError, host_patterns, [text], "prefix")

    def test_regular_expression(self) -> None:
        """
        Expressions keep their case: `\\S` is not `\\s`.
        """
        self.assertEqual(host_patterns([r"^\S+\.Acme$"], "regex"), (HostPattern("regex", rb"^\S+\.Acme$"),))
        self.assertRaises(ValueError, host_patterns, ["("], "regex")
        self.assertRaises(ValueError, host_patterns, ["x"], "length")
