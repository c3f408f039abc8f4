"""
`cert` and `certs`: storing, refusing, listing.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import maybeDeferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.api.distribute import NoReplicas, Replicas
from dfproxy.control.certificates import Certificates
from dfproxy.errors import Refused
from dfproxy.model.settings import Settings
from tests.certificates import known
from tests.fakes import FakePublisher
from tests.unit.api.caller import Api, Said
from tests.unit.api.replicas import REFUSED
from tests.unit.api.replicas import Others as Replicated

OK = {"Status": "OK", "Message": "", "Certs": None}


class Others:
    """
    Other replicas as `certs` asks for them.
    """

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    def others(self) -> Any:
        if not self.addresses:
            raise NoReplicas("nobody is known")
        return succeed(self.addresses)


class CertificateCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = os.path.abspath(self.mktemp())
        self.publisher = FakePublisher()
        self.api = self.proxy()

    def proxy(self, **more: Any) -> Api:
        certificates = Certificates(self.folder, self.publisher, maybeDeferred)
        settings = Settings(certs_dir=self.folder)
        return Api(publisher=self.publisher, settings=settings, more={"certificates": certificates, **more})

    def put(self, file: str, content: bytes) -> Said:
        return self.api.call("PUT", f"cert?certName={file}", content)

    def names(self) -> list[str]:
        return sorted(os.listdir(self.folder)) if os.path.isdir(self.folder) else []


class PutTests(CertificateCase):
    """
    Storing.
    """

    def test_stored(self) -> None:
        """
        A good bundle is a 200 with DFP's keys: in force, and in the folder for the owner alone.
        """
        said = self.put("demo.pem", known("demo.test").bundle)
        self.assertEqual((said.status, said.json), (200, OK))
        self.assertEqual(set(self.publisher.snapshot.certificates), {"folder/demo.pem"})
        self.assertEqual(self.names(), ["demo.pem"])
        self.assertEqual(os.stat(os.path.join(self.folder, "demo.pem")).st_mode & 0o777, 0o600)

    def test_methods(self) -> None:
        """
        Anything but PUT is a 405 without a body.
        """
        for method in ("GET", "POST", "DELETE", "HEAD"):
            said = self.api.call(method, "cert?certName=x.pem")
            self.assertEqual((said.status, said.body, said.headers["allow"]), (405, b"", "PUT"))

    def test_refused(self) -> None:
        """
        Without name, body, certificate or the right key the answer says which; the old one stays.
        """
        self.put("x.pem", known("demo.test").bundle)
        before = self.publisher.snapshot
        foreign = known("demo.test").certificate + known("other.test").key
        for path, body, word in (
            ("cert", b"pem", "certName"),
            ("cert?certName=x.pem", b"", "empty"),
            ("cert?certName=x.pem", b"pem", "holds no certificate"),
            ("cert?certName=x.pem", foreign, "does not belong"),
        ):
            said = self.api.call("PUT", path, body)
            self.assertEqual((said.status, said.json["Status"]), (400, "NOK"))
            self.assertIn(word, said.json["Message"])
        self.assertIs(self.publisher.snapshot, before)
        self.assertEqual(self.names(), ["x.pem"])

    def test_bare_names(self) -> None:
        """
        A name that leads out of the folder, or is hidden, is refused.
        """
        for name in ("../x", "a/b", "%2e%2e%2fx", "/etc/x", ".hidden", "..", "x%00", "x" * 300):
            said = self.put(name, known("demo.test").bundle)
            self.assertEqual(said.status, 400, name)
            self.assertIn("bare name", said.json["Message"])
        self.assertEqual(self.names(), [])

    def test_refused_by_workers(self) -> None:
        """
        One that a worker cannot use is a 400 with its reason, and leaves no file behind.
        """
        self.publisher.failure = Refused("x.pem: OpenSSL does not take it")
        said = self.put("x.pem", known("demo.test").bundle)
        self.assertEqual(said.status, 400)
        self.assertIn("OpenSSL does not take it", said.json["Message"])
        self.assertEqual(self.names(), [])

    def test_no_folder(self) -> None:
        """
        A folder that cannot be written is a 400 that names it; nothing is in force that would not survive.
        """
        said = Api(publisher=self.publisher).call("PUT", "cert?certName=x.pem", known("demo.test").bundle)
        self.assertEqual(said.status, 400)
        self.assertIn("/proc/no/such/folder", said.json["Message"])
        self.assertEqual(self.publisher.snapshot.certificates, {})

    def test_no_replicas(self) -> None:
        """
        `distribute=true` without replicas is a 400 and changes nothing.
        """
        said = self.put("x.pem&distribute=true", known("demo.test").bundle)
        self.assertEqual((said.status, said.json["Status"]), (400, "NOK"))
        self.assertEqual(self.names(), [])


class DistributedTests(CertificateCase):
    """
    `distribute=true`.
    """

    def setUp(self) -> None:
        super().setUp()
        self.others = Replicated("10.0.0.2", "10.0.0.3")
        network: Any = self.others
        self.api = self.proxy(replicas=Replicas(Clock(), self.others.lookup, network, lambda: 8080))

    def test_everywhere(self) -> None:
        """
        It is stored here and sent on with its body; the answer is a 200 with nothing in it.
        """
        bundle = known("demo.test").bundle
        said = self.put("x.pem&distribute=true", bundle)
        self.assertEqual((said.status, said.body), (200, b""))
        self.assertEqual(self.names(), ["x.pem"])
        self.assertEqual({ask[0] for ask in self.others.asked}, {"10.0.0.2", "10.0.0.3"})
        for number, (_, method, _, body, _) in enumerate(self.others.asked):
            self.assertEqual((method, body), ("PUT", bundle))
            self.assertEqual(self.others.query(number), [("certName", "x.pem"), ("distribute", "false")])

    def test_one_refuses(self) -> None:
        """
        One that does not store it makes the call a 400 that names it.
        """
        self.others.answers["10.0.0.3"] = REFUSED
        said = self.put("x.pem&distribute=true", known("demo.test").bundle)
        self.assertEqual((said.status, said.json["Status"]), (400, "NOK"))
        self.assertIn("10.0.0.3", said.json["Message"])

    def test_broken(self) -> None:
        """
        A bundle that is refused here goes nowhere.
        """
        self.assertEqual(self.put("x.pem&distribute=true", b"pem").status, 400)
        self.assertEqual(self.others.asked, [])


class ListTests(CertificateCase):
    """
    Listing.
    """

    def listed(self, api: Api, caller: str) -> list[dict[str, str]]:
        connection = api.connect()
        connection.wire.peerAddr = IPv4Address("TCP", caller, 4000)
        said = api.call("GET", "certs", connection=connection)
        self.assertEqual((said.status, said.json["Status"], said.json["Message"]), (200, "OK", ""))
        found: list[dict[str, str]] = said.json["Certs"]
        return found

    def test_none(self) -> None:
        """
        No certificate is stored: an empty list.
        """
        self.assertEqual(self.listed(self.api, "10.0.0.9"), [])

    def test_keys_only_for_replicas(self) -> None:
        """
        DFP's four keys for each file, in order of names. A private key is shown only to the address of a replica.
        """
        self.put("b.pem", known("other.test").bundle)
        self.put("a.pem", known("demo.test").bundle)
        api = self.proxy(replicas=Others("10.0.0.2", "10.0.0.3"))
        for caller, has_key in (("10.0.0.3", True), ("10.0.0.9", False), ("127.0.0.1", False)):
            first, second = self.listed(api, caller)
            self.assertEqual((first["ProxyServiceName"], second["ProxyServiceName"]), ("a.pem", "b.pem"))
            self.assertEqual((first["ServicePort"], first["CertsDir"]), ("", self.folder))
            self.assertIn("BEGIN CERTIFICATE", first["CertContent"])
            self.assertEqual("PRIVATE KEY" in first["CertContent"], has_key, caller)

    def test_nobody_is_a_replica(self) -> None:
        """
        Where replicas are not known nobody sees a key.
        """
        self.put("a.pem", known("demo.test").bundle)
        for api in (self.api, self.proxy(replicas=Others())):
            (entry,) = self.listed(api, "10.0.0.2")
            self.assertNotIn("PRIVATE", entry["CertContent"])
