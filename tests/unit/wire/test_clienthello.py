"""
What a client says first when it speaks TLS.
"""

from __future__ import annotations

import ssl

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.wire.clienthello import HELLO_BYTES, Hello, InvalidHello, NotTls, read_hello


def said(name: str | None, *protocols: str) -> bytes:
    """
    What OpenSSL says first.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if protocols:
        context.set_alpn_protocols(list(protocols))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake with nobody")


def vector(data: bytes, length_bytes: int = 2) -> bytes:
    return len(data).to_bytes(length_bytes, "big") + data


def extension(kind: int, content: bytes) -> bytes:
    return kind.to_bytes(2, "big") + vector(content)


def names(*asked: bytes) -> bytes:
    """
    A server_name extension.
    """
    return extension(0, vector(b"".join(b"\0" + vector(name) for name in asked)))


def message(extensions: bytes | None, suites: bytes = b"\x13\x01") -> bytes:
    """
    A ClientHello.
    """
    body = b"\3\3" + bytes(32) + vector(b"", 1) + vector(suites) + vector(b"\0", 1)
    if extensions is not None:
        body += vector(extensions)
    return b"\1" + vector(body, 3)


def records(data: bytes, size: int = 1 << 14) -> bytes:
    return b"".join(b"\x16\3\1" + vector(data[at : at + size]) for at in range(0, len(data), size))


class HelloTests(SynchronousTestCase):
    """
    `read_hello`.
    """

    def test_of_openssl(self) -> None:
        """
        The name and the protocols that a real client asks for; the name in lower case.
        """
        self.assertEqual(
            read_hello(said("Db.Example.com", "h2", "http/1.1")), Hello(b"db.example.com", (b"h2", b"http/1.1"))
        )
        self.assertEqual(read_hello(said(None)), Hello())

    def test_old_client(self) -> None:
        """
        Without any extensions nobody is asked for; with a dot at its end a name is the same.
        """
        self.assertEqual(read_hello(records(message(None))), Hello())
        self.assertEqual(read_hello(records(message(names(b"a.test.")))), Hello(b"a.test"))

    def test_cut_anywhere(self) -> None:
        """
        Before the last byte more is asked for, each time as much as is missing at least, and never too much.
        """
        whole = said("a.test")
        for end in range(1, len(whole)):
            needed = read_hello(whole[:end])
            assert isinstance(needed, int)
            self.assertTrue(end < needed <= len(whole), (end, needed))
        self.assertEqual(read_hello(whole + b"more"), Hello(b"a.test"))

    def test_fragments(self) -> None:
        """
        Records may cut the message anywhere, after each byte if they like.
        """
        hello = message(names(b"a.test"))
        for size in (1, 2, 3, 7, 50):
            cut = records(hello, size)
            self.assertEqual(read_hello(cut), Hello(b"a.test"), size)
            self.assertIsInstance(read_hello(cut[:-1]), int)
            self.assertRaises(InvalidHello, read_hello, cut[:6] + b"\x15\3\1\0\1x")

    def test_other_languages(self) -> None:
        """
        What is not TLS is seen at its first bytes.
        """
        for other in (b"G", b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-x", b"PROXY TCP4", b"\x80\x2e\x01", b"\x16\x04"):
            self.assertRaises(NotTls, read_hello, other)

    def test_ten_thousand_names(self) -> None:
        """
        Who asks for several names asks for nobody: two are too many, and so are ten thousand.
        """
        self.assertRaises(InvalidHello, read_hello, records(message(names(b"a.test", b"b.test"))))
        many = vector(b"".join(b"\0" + vector(b"%d" % number) for number in range(7000)))
        self.assertRaises(InvalidHello, read_hello, records(b"\1" + vector(bytes(60000) + many, 3)))

    def test_long(self) -> None:
        """
        One that is longer than we look is refused as soon as it says so, or has come so far.
        """
        self.assertRaises(InvalidHello, read_hello, b"\x16\3\1\x40\0" + b"\1\0\x40\0")
        fits = message(extension(21, bytes(HELLO_BYTES - 5 - len(message(extension(21, b""))))))
        self.assertEqual(read_hello(records(fits)), Hello())
        self.assertRaises(InvalidHello, read_hello, records(fits, 1000)[:HELLO_BYTES])

    def test_improper(self) -> None:
        """
        What is no proper ClientHello is refused.
        """
        good = message(names(b"a.test"))
        for bad in (
            b"\2" + good[1:],  # another message
            message(names(b"")),
            message(names(b"a b")),
            message(names("ä".encode())),
            message(names(b"a\0b")),
            message(names(b"a" * 256)),
            message(names(b"a") + names(b"b")),  # twice
            message(extension(0, b"")),
            message(extension(0, vector(b"\1" + vector(b"a")))),  # of a type that nobody knows
            message(extension(0, vector(b"\0" + vector(b"a")) + b"x")),
            message(extension(16, vector(b"\0"))),
            message(b"\0"),
            message(None, b""),
            message(None, b"\0"),
            b"\1" + vector(b"\3\3" + bytes(32) + vector(bytes(33), 1) + vector(b"\0\0") + vector(b"\0", 1), 3),
            b"\1" + vector(message(b"")[4:] + b"x", 3),
            b"\1" + vector(b"", 3),
        ):
            self.assertRaises(InvalidHello, read_hello, records(bad))
        self.assertRaises(InvalidHello, read_hello, b"\x16\3\1\0\0")

    @settings(max_examples=150, deadline=None)
    @given(st.binary(min_size=1, max_size=300), st.integers(0, 600), st.booleans())
    def test_anything(self, noise: bytes, at: int, framed: bool) -> None:
        """
        Whatever comes, there is an answer, a refusal, or a wish for more that is no larger than allowed.
        """
        whole = said("a.test")
        for data in (
            noise,
            records(b"\1" + noise),
            whole[:at] + noise + whole[at + len(noise) :] if framed else whole[at:] + noise,
        ):
            try:
                found = read_hello(data)
            except (NotTls, InvalidHello):
                continue
            if isinstance(found, int):
                self.assertTrue(len(data) < found <= HELLO_BYTES)
            else:
                self.assertLessEqual(len(found.name), 255)
