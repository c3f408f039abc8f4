"""
A list of certificates, line by line.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.crtlist import PROBLEMS, Lines, read_list
from dfproxy.errors import InvalidSettings
from dfproxy.model.certificate import Listed


def read(text: str) -> Lines:
    return read_list(text, "/certs", "/run/secrets")


class GoodTests(SynchronousTestCase):
    """
    Lists that can be followed.
    """

    def test_places(self) -> None:
        """
        A file is one of the folder, a secret, or one elsewhere; without a folder it is one of the folder.
        """
        lines = read(
            "a.pem\n/certs/b.pem\n/certs//sub/../c.pem\n/run/secrets/cert-d\n/e/f.pem\nsub/g.pem\na.pem x.test\n"
        )
        self.assertEqual(
            lines.files,
            (
                ("folder", "a.pem"),
                ("folder", "b.pem"),
                ("folder", "c.pem"),
                ("secret", "cert-d"),
                ("list", "/e/f.pem"),
                ("list", "/certs/sub/g.pem"),
            ),
        )
        self.assertEqual(lines.of("folder", "a.pem"), (Listed(1), Listed(7, ("x.test",))))
        self.assertEqual(lines.of("secret", "a.pem"), ())

    def test_filters(self) -> None:
        """
        Names in any case, wildcards, and what they do not stand for; a lone star stands for nothing.
        """
        lines = read("# a\n\n a A.Test. *.b.test !C.b.test !*.d.test *\nb !x.test\n")
        self.assertEqual(lines.of("folder", "a"), (Listed(3, ("a.test", "*.b.test"), ("c.b.test", "*.d.test")),))
        self.assertEqual(lines.of("folder", "b"), (Listed(4, (), ("x.test",)),))

    def test_options(self) -> None:
        """
        Protocols and ciphers are followed, others told as without effect.
        """
        lines = read("a [alpn h2,http/1.1 ciphers ECDHE+AESGCM allow-0rtt ssl-min-ver TLSv1.3] x.test\nb[alpn h2]\n")
        self.assertEqual(lines.of("folder", "a"), (Listed(1, ("x.test",), (), ("h2", "http/1.1"), "ECDHE+AESGCM"),))
        self.assertEqual(lines.of("folder", "b"), (Listed(2, None, (), ("h2",)),))
        self.assertEqual(lines.unheeded, ("allow-0rtt in line 1", "ssl-min-ver in line 1"))


class BadTests(SynchronousTestCase):
    """
    Lists that cannot be followed.
    """

    def refused(self, text: str) -> str:
        return str(self.assertRaises(InvalidSettings, read, text))

    def test_reasons(self) -> None:
        """
        Each wrong line is told with its number and what is wrong with it.
        """
        for line, reason in (
            ("a [bogus] x.test", "option bogus is not known"),
            ("a [verify none]", "option verify: client certificates"),
            ("a [ca-file x]", "option ca-file"),
            ("a [alpn", "not closed"),
            ("a [alpn h2] [alpn h2]", "more than one pair"),
            ("a x.test [alpn h2]", "right after the file"),
            ("[alpn h2] x.test", "right after the file"),
            ("a [alpn]", "needs a value"),
            ("a [alpn spdy/1]", "alpn spdy/1"),
            ("a x.test/path", "x.test/path is no name"),
            ("a **.test", "is no name"),
            ("a !!x.test", "is no name"),
            ("a b\xe9.test", "is no name"),
        ):
            said = self.refused(f"ok.pem\n{line}\n")
            self.assertIn("line 2", said)
            self.assertIn(reason, said)
        said = self.refused("a [x]\n" * 1000)
        self.assertEqual(said.count("option x"), PROBLEMS)

    @settings(max_examples=60, deadline=None)
    @given(st.text(st.sampled_from("ab.*![] \n\t#/\0\xe9"), max_size=60))
    def test_anything(self, text: str) -> None:
        """
        Any text is read or refused.
        """
        try:
            read(text)
        except InvalidSettings:
            return
