"""
Certificates in force: who serves which name, before and after a change.
"""

from __future__ import annotations

import ssl
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.errors import InvalidCertificate
from dfproxy.model.certificate import Certificate, Listed, Source
from dfproxy.model.settings import Tls
from dfproxy.tls.pem import read_bundle
from dfproxy.tls.store import CertificateStore, Order
from tests.certificates import known, make
from tests.unit.tls.shaking import client_context, shake

NAMES = ("a.test", "b.test", "*.test", "c.test")


def certificate(file: str, *names: str, kind: str = "ec", source: Source = "folder") -> Certificate:
    return read_bundle(file, source, known(*names, kind=kind).bundle)


def change(store: CertificateStore, *certificates: Certificate, removed: tuple[str, ...] = ()) -> None:
    staged = store.stage(certificates, removed)
    for _ in staged.steps():
        pass
    store.commit(staged)


def shown(store: CertificateStore, name: str | None) -> str:
    return shake(store.base, name).name


def listed(file: str, *names: str, lines: tuple[Listed, ...] = (), kind: str = "ec") -> Certificate:
    return replace(certificate(file, *names, kind=kind), listed=lines)


class ListTests(SynchronousTestCase):
    """
    Where a list says who is shown what.
    """

    def setUp(self) -> None:
        self.store = CertificateStore(Tls(), ("h2", "http/1.1"))

    def shown(self, *names: str | None) -> list[str]:
        return [shown(self.store, name) for name in names]

    def test_lines(self) -> None:
        """
        The first line is the default, names are those of the lines, the first of a name counts; what no line names is
        shown to nobody.
        """
        change(
            self.store,
            listed("a", "a.test", lines=(Listed(4, ("x.test", "y.test")),)),
            listed("b", "b.test", lines=(Listed(2, ("y.test",)), Listed(1, ("z.test",)))),
            listed("c", "c.test"),
            listed("d", "d.test", lines=(Listed(5),)),
        )
        self.assertEqual(
            self.shown("x.test", "y.test", "z.test", "d.test", "a.test", "b.test", "c.test", None),
            ["a.test", "b.test", "b.test", "d.test", "b.test", "b.test", "b.test", "b.test"],
        )

    def test_excluded(self) -> None:
        """
        What a wildcard does not stand for is shown another line's wildcard, else the default; an exact name counts.
        """
        lines = (Listed(2, ("*.w.test",), ("no.w.test", "exact.w.test", "next.v.test")),)
        change(
            self.store,
            listed("a", "default.test", lines=(Listed(1),)),
            listed("b", "b.test", lines=lines),
            listed("c", "c.test", lines=(Listed(3, ("exact.w.test", "*.v.test")),)),
        )
        names = ("yes.w.test", "no.w.test", "exact.w.test", "next.v.test")
        self.assertEqual(self.shown(*names), ["b.test", "default.test", "c.test", "c.test"])
        change(self.store, listed("d", "d.test", lines=(Listed(4, ("*.w.test",)),)))
        self.assertEqual(self.shown(*names[:2]), ["b.test", "d.test"])
        strict = CertificateStore(Tls(strict_sni=True))
        change(strict, listed("b", "b.test", lines=lines))
        self.assertRaises(ssl.SSLError, shown, strict, "no.w.test")

    def test_kinds(self) -> None:
        """
        Lines of one name with keys of two kinds serve clients of both, as the default too.
        """
        change(
            self.store,
            listed("a", "a.test", lines=(Listed(1, ("x.test",)),), kind="rsa"),
            listed("b", "b.test", lines=(Listed(2, ("x.test",)),)),
        )
        for cipher, name in (("ECDHE-ECDSA-AES128-GCM-SHA256", "b.test"), ("ECDHE-RSA-AES128-GCM-SHA256", "a.test")):
            client = client_context(maximum_version=ssl.TLSVersion.TLSv1_2)
            client.set_ciphers(cipher)
            self.assertEqual([shake(self.store.base, each, client).name for each in ("x.test", None)], [name] * 2)

    def test_wrong_ciphers(self) -> None:
        """
        Ciphers that OpenSSL does not know are the certificate's fault, and nothing changes.
        """
        change(self.store, listed("a", "a.test", lines=(Listed(1),)))
        wrong = self.store.stage([listed("b", "b.test", lines=(Listed(2, ciphers="nonsense"),))])
        self.assertRaises(InvalidCertificate, list, wrong.steps())
        self.assertEqual(self.shown(None), ["a.test"])

    def test_comes_and_goes(self) -> None:
        """
        With the list's end the names in certificates count again, all and one by one.
        """
        found = [certificate("a", "a.test"), certificate("b", "b.test")]
        change(self.store, *found)
        change(self.store, *(replace(each, listed=(Listed(9 - n, ("x.test",)),)) for n, each in enumerate(found)))
        self.assertEqual(self.shown("a.test", "x.test", None), ["b.test"] * 3)
        change(self.store, *found)
        self.assertEqual(self.shown("a.test", "b.test", "x.test", None), ["a.test", "b.test", "a.test", "a.test"])
        change(self.store, removed=("folder/a",))
        self.assertEqual(self.shown("a.test", "b.test"), ["b.test"] * 2)
        change(self.store, certificate("c", "a.test"))
        self.assertEqual(self.shown("a.test"), ["a.test"])
        self.assertEqual(len(self.store.contexts), 2)


class ChoiceTests(SynchronousTestCase):
    """
    Who serves which name.
    """

    def setUp(self) -> None:
        self.store = CertificateStore(Tls(preferred=("z*",)))

    def test_names(self) -> None:
        """
        Exact name, wildcard, then the first file's certificate; also without a name.
        """
        change(
            self.store, certificate("a", "demo.test"), certificate("b", "*.wild.test"), certificate("c", "x.wild.test")
        )
        names = ("demo.test", "y.wild.test", "x.wild.test", "unknown.test", None)
        self.assertEqual(
            [shown(self.store, name) for name in names],
            ["demo.test", "*.wild.test", "x.wild.test", "demo.test", "demo.test"],
        )

    def test_preferred(self) -> None:
        """
        A preferred file is the default whatever its name.
        """
        change(self.store, certificate("a", "demo.test"), certificate("z", "last.test"))
        self.assertEqual(shown(self.store, None), "last.test")

    def test_order(self) -> None:
        """
        Globs in turn, within each the folder before secrets, then by name; `?` and `[` in a glob mean themselves.
        """
        files = ("b", "a", "x-1", "y[1]", "cert-a")
        found = [certificate(file, "demo.test", source="secret" if "cert" in file else "folder") for file in files]
        order = Order(("y[*]", "x-?", "*-*"))
        self.assertEqual([each.file for each in sorted(found, key=order)], ["y[1]", "x-1", "cert-a", "a", "b"])

    def test_both_kinds(self) -> None:
        """
        A name with an EC and an RSA certificate serves clients of both kinds, also as the default.
        """
        change(self.store, certificate("a", "demo.test"), certificate("b", "demo.test", kind="rsa"))
        for cipher in ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"):
            client = client_context(maximum_version=ssl.TLSVersion.TLSv1_2)
            client.set_ciphers(cipher)
            for name in ("demo.test", None):
                self.assertEqual(shake(self.store.base, name, client).cipher, cipher)

    def test_first_of_a_kind(self) -> None:
        """
        Of two certificates of one kind for a name the first file counts.
        """
        first, second = make("demo.test", common_name="first"), make("demo.test", common_name="second")
        change(self.store, read_bundle("b", "folder", second.bundle), read_bundle("a", "folder", first.bundle))
        self.assertEqual(shown(self.store, "demo.test"), "first")
        change(self.store, removed=("folder/a",))
        self.assertEqual(shown(self.store, "demo.test"), "second")

    def test_nameless_default(self) -> None:
        """
        A certificate without any host name can be the default.
        """
        change(self.store, read_bundle("a", "folder", make(common_name="My certificate").bundle))
        self.assertEqual(shown(self.store, "demo.test"), "My certificate")

    def test_client_certificates(self) -> None:
        """
        Client certificates are checked whichever certificate the handshake is switched to.
        """
        authority = make(common_name="CA", authority=True)
        store = CertificateStore(Tls(ca_file="ca", client_ca=authority.certificate.decode()))
        change(store, certificate("a", "demo.test"), certificate("b", "other.test"))
        good, bad = client_context(), client_context()
        for context, pair in ((good, make("client", signer=authority)), (bad, known("stranger"))):
            context.load_cert_chain(self._file(pair.bundle))
        for name in ("demo.test", "other.test", "unknown.test", None):
            self.assertIsNotNone(shake(store.base, name, good).client_certificate)
            self.assertRaises(ssl.SSLError, shake, store.base, name, bad)

    def _file(self, content: bytes) -> str:
        path = str(self.mktemp())
        with open(path, "wb") as file:
            file.write(content)
        return path


class ChangeTests(SynchronousTestCase):
    """
    Changes while handshakes go on.
    """

    def setUp(self) -> None:
        self.store = CertificateStore(Tls())
        change(self.store, certificate("a", "demo.test"))

    def test_replaced(self) -> None:
        """
        The next handshake sees a replaced certificate; names that only the former one had are gone.
        """
        change(self.store, certificate("a", "new.test"))
        self.assertEqual(shown(self.store, "new.test"), "new.test")
        self.assertEqual(set(self.store.names.contexts), {"new.test"})
        self.assertEqual(len(self.store.contexts), 1)

    def test_staged_is_not_seen(self) -> None:
        """
        What is only prepared changes nothing, and can be thrown away.
        """
        for _ in self.store.stage([certificate("a", "new.test")]).steps():
            self.assertEqual(shown(self.store, "new.test"), "demo.test")

    def test_others_are_not_touched(self) -> None:
        """
        A change of one certificate keeps the contexts, and so the sessions, of the others.
        """
        before = self.store.names.contexts["demo.test"]
        change(self.store, certificate("b", "other.test"))
        self.assertIs(self.store.names.contexts["demo.test"], before)

    def test_whole(self) -> None:
        """
        A whole set takes away what it does not name.
        """
        staged = self.store.stage([certificate("b", "other.test")], whole=True)
        for _ in staged.steps():
            pass
        self.store.commit(staged)
        self.assertEqual(set(self.store.held), {"folder/b"})
        self.assertEqual(shown(self.store, "demo.test"), "other.test")

    def test_none(self) -> None:
        """
        Without certificates every handshake is refused.
        """
        change(self.store, removed=("folder/a",))
        self.assertRaises(ssl.SSLError, shown, self.store, "demo.test")

    def test_refused(self) -> None:
        """
        One that OpenSSL does not take is refused by the name of its file, and all stays as it was.
        """
        weak = read_bundle("weak.pem", "folder", make("demo.test", kind="rsa", bits=1024).bundle)
        error = self.assertRaises(InvalidCertificate, change, self.store, weak)
        self.assertIn("weak.pem: ", str(error))
        self.assertEqual(shown(self.store, "demo.test"), "demo.test")

    @settings(max_examples=40, deadline=None)
    @given(
        st.lists(
            st.tuples(st.sampled_from("abcd"), st.none() | st.sets(st.sampled_from(NAMES), min_size=1)), max_size=8
        )
    )
    def test_any_order(self, steps: list[tuple[str, set[str] | None]]) -> None:
        """
        After any row of changes all is as if what is there now had come at once.
        """
        store = CertificateStore(Tls())
        for file, names in steps:
            if names is None:
                change(store, removed=(f"folder/{file}",))
            else:
                change(store, certificate(file, *sorted(names)))
        fresh = CertificateStore(Tls())
        change(fresh, *store.held.values())
        self.assertEqual(self._served(store), self._served(fresh))

    @staticmethod
    def _served(store: CertificateStore) -> dict[str, object]:
        keys = {id(context): key for key, context in store.contexts.items()}
        found: dict[str, object] = {name: keys[id(context)] for name, context in store.names.contexts.items()}
        return found | {"default": keys.get(id(store.names.default)), "contexts": len(store.contexts)}
