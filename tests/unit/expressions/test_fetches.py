"""
What can be fetched.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.expressions.fetches import FETCHES, SUFFIXED, Found, http_date, variable
from dfproxy.expressions.subject import Subject
from dfproxy.expressions.words import InvalidExpression
from dfproxy.model.connection import TlsFacts
from tests.unit.expressions.subjects import SURROUNDINGS, answer, subject

TLS = TlsFacts("web.test", b"\x30\x01", "/CN=me", 0)


def fetched(name: str, *arguments: str, on: Subject | None = None) -> Found:
    return FETCHES[name].make(arguments, SURROUNDINGS)(subject() if on is None else on)


class FetchTests(SynchronousTestCase):
    """
    Each fetch.
    """

    def test_connection(self) -> None:
        """
        Addresses and ports.
        """
        self.assertEqual(fetched("src"), b"192.0.2.1")
        self.assertEqual((fetched("src_port"), fetched("dst_port"), fetched("dst")), (4000, 80, None))

    def test_tls(self) -> None:
        """
        What is known of TLS; nothing without.
        """
        on = subject(tls=TLS)
        names = ("ssl_fc", "ssl_fc_sni", "ssl_fc_has_crt", "ssl_c_used", "ssl_c_verify", "ssl_c_s_dn", "ssl_c_der")
        self.assertEqual(
            [fetched(name, on=on) for name in names], [True, b"web.test", True, True, 0, b"/CN=me", b"\x30\x01"]
        )
        self.assertEqual([fetched(name) for name in names], [False, None, False, False, None, None, None])
        self.assertEqual(fetched("ssl_c_used", on=subject(tls=TlsFacts())), False)

    def test_request(self) -> None:
        """
        The parts of the request line, and the host before the path.
        """
        names = ("method", "path", "url", "query", "base")
        self.assertEqual(
            [fetched(name) for name in names], [b"GET", b"/a/b.c", b"/a/b.c?x=1&y", b"x=1&y", b"Web.Test:81/a/b.c"]
        )
        self.assertIsNone(fetched("query", on=subject(line="GET / HTTP/1.1")))

    def test_fields(self) -> None:
        """
        `hdr` cuts at commas outside of quotes and takes the last unless a number says which; `fhdr` does not cut.
        """
        on = subject('X: a, "b,c"', "x: d")
        self.assertEqual(fetched("hdr", "X", on=on), b"d")
        self.assertEqual(fetched("req.hdr", "x", "2", on=on), b'"b,c"')
        self.assertEqual(fetched("req.hdr", "x", "-3", on=on), b"a")
        self.assertIsNone(fetched("req.hdr", "x", "4", on=on))
        self.assertEqual(fetched("req.fhdr", "x", "1", on=on), b'a, "b,c"')
        self.assertIsNone(fetched("hdr", "Y", on=on))

    def test_answer(self) -> None:
        """
        Fields and status of the answer.
        """
        on = subject()
        self.assertIsNone(fetched("res.hdr", "x", on=on))
        on.answer = answer("X: 1, 2", status=404)
        self.assertEqual((fetched("res.hdr", "x", on=on), fetched("res.fhdr", "x", on=on)), (b"2", b"1, 2"))
        self.assertEqual(fetched("status", on=on), 404)

    def test_cookie(self) -> None:
        """
        One cookie by its name.
        """
        on = subject("Cookie: a=1; b=2=3")
        self.assertEqual((fetched("cook", "b", on=on), fetched("req.cook", "c", on=on)), (b"2=3", None))

    def test_others(self) -> None:
        """
        Variables, time, chance, constants; groups of users are never found.
        """
        self.assertEqual((fetched("env", "COLOUR"), fetched("env", "NONE")), (b"blue", None))
        self.assertEqual((fetched("date"), fetched("date", "-5")), (1700000000, 1699999995))
        self.assertRegex(
            str(fetched("uuid")), r"^b'[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}'$"
        )
        self.assertIn(fetched("rand", "3"), range(3))
        self.assertEqual((fetched("str", "x"), fetched("int", "7"), fetched("bool", "true")), (b"x", 7, True))
        self.assertEqual((fetched("always_true"), fetched("always_false")), (True, False))
        self.assertIsNone(fetched("http_auth_group", "L"))

    def test_refused(self) -> None:
        """
        Arguments that make no sense.
        """
        for name, argument in (("date", "x"), ("uuid", "5"), ("rand", "0"), ("int", "x"), ("bool", "x"), ("hdr", "a")):
            arguments = (argument,) if name != "hdr" else ("a", "b")
            self.assertRaises(InvalidExpression, FETCHES[name].make, arguments, SURROUNDINGS)

    def test_suffixes(self) -> None:
        """
        `path_beg` is `path` compared by its beginning.
        """
        self.assertEqual((SUFFIXED["path_beg"], SUFFIXED["hdr_sub"]), (("path", "beg"), ("hdr", "sub")))

    def test_variables(self) -> None:
        """
        Log-format variables.
        """
        wanted = {
            "ci": b"192.0.2.1", "cp": b"4000", "fp": b"80", "H": b"proxy1", "HM": b"GET", "HP": b"/a/b.c",
            "HQ": b"?x=1&y", "HU": b"/a/b.c?x=1&y", "HV": b"HTTP/1.1", "b": b"web-be80_0", "f": b"services",
            "ft": b"services", "s": b"<NOSRV>", "ID": b"-", "pid": b"42", "Ts": b"1700000000", "rt": b"0",
            "t": b"14/Nov/2023:22:13:20.250", "fi": b"", "si": b"", "sp": b"0",
        }  # fmt: skip
        for name, value in wanted.items():
            made = variable(name, SURROUNDINGS)
            assert made is not None, name
            self.assertEqual(made(subject()), value, name)
        self.assertIsNone(variable("zz", SURROUNDINGS))

    def test_date(self) -> None:
        """
        RFC 9110's form.
        """
        self.assertEqual(http_date(784111777), b"Sun, 06 Nov 1994 08:49:37 GMT")
