"""
A list of certificates: the same names as HAProxy with the same list, replaced while running, and what is wrong with it.
"""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

from tests.certificates import known, make
from tests.e2e.proxy import Proxy, free_port, until
from tests.e2e.test_announced import reachable
from tests.e2e.tls import TlsCase, TlsPort, believing, port_options
from tests.requirements import require

RSA = make("demo.test", "www.demo.test", kind="rsa", common_name="rsa demo.test")
NAMES = (
    "demo.test www.demo.test a.wild.test b.wild.test deep.a.wild.test not.wild.test wild.test other.test x.other.test "
    "only.test its-own.test sub.its-own.test twice.test A.WILD.TEST unknown.test".split()
)
LIST = """
# comments and empty lines are passed over

{folder}/b.pem
{folder}/wild.pem !not.wild.test *.wild.test
  {folder}/other.pem [alpn http/1.1 ciphers ECDHE-ECDSA-AES256-GCM-SHA384] other.test *.other.test !nobody.other.test
{folder}/wild.pem twice.test
{folder}/own.pem
{folder}/rsa.pem [ssl-min-ver TLSv1.2]
{outside}/out.pem only.test *.wild.test *
{folder}/none.pem !x.none.test
"""


class ListTests(TlsCase):
    """
    A proxy with `CRT_LIST_PATH`.
    """

    certificates = {
        "a-not-listed.pem": known("unlisted.test").bundle,
        "b.pem": known("demo.test").bundle,
        "wild.pem": known("*.wild-by-its-own-name.test").bundle,
        "other.pem": known("other-by-its-own-name.test").bundle,
        "own.pem": known("its-own.test", "*.its-own.test").bundle,
        "rsa.pem": RSA.bundle,
        "none.pem": known("none.test").bundle,
    }

    def _make(self, folder: Path) -> tuple[Path, int, tuple[str, ...]]:
        _, port, options = super()._make(folder)
        self.outside = Path(self.mktemp()).absolute()
        self.outside.mkdir()
        (self.outside / "out.pem").write_bytes(known("outside.test").bundle)
        self.list = self.outside / "list.txt"
        self.write(LIST, folder)
        return folder, port, (*options, "--crt-list-path", str(self.list))

    def write(self, text: str, folder: Path | None = None) -> None:
        self.list.write_text(text.format(folder=folder or self.folder, outside=self.outside))

    def reload(self) -> tuple[int, str]:
        status, body = self.proxy.ask("/v1/docker-flow-proxy/reload")[:2]
        return status, body if isinstance(body, str) else body.decode()

    def everything(self, tls: TlsPort) -> dict[object, str]:
        """
        What each name is shown, by clients of either kind of key.
        """
        found: dict[object, str] = {}
        for name in (*NAMES, "none.test", "nobody.other.test", "unlisted.test", None):
            found[name] = tls.shown(name)
        old = believing(maximum_version=ssl.TLSVersion.TLSv1_2)
        old.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
        for name in ("demo.test", "www.demo.test"):
            found[name, "rsa"] = tls.shown(name, old)
        return found

    def test_as_haproxy(self) -> None:
        """
        Every name is shown what HAProxy shows with the same list, also the text of `config` says so.
        """
        (haproxy,) = require("haproxy")
        own = self.everything(self.tls)
        self.assertEqual(own["twice.test"], "*.wild-by-its-own-name.test")
        self.assertEqual(own["only.test"], "outside.test")
        port = free_port()
        file = self.outside / "haproxy.cfg"
        head = "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\nfrontend f\n"
        (bind,) = [
            line for line in self.proxy.ask("/v1/docker-flow-proxy/config")[1].decode().splitlines() if " ssl " in line
        ]
        self.assertIn(f" crt-list {self.list} ", bind)
        file.write_text(head + bind.replace(f":{self.tls.port} ", f":{port} ") + "\n http-request return status 200\n")
        child = subprocess.Popen([haproxy, "-db", "-f", str(file)])
        try:
            until(lambda: reachable(port))
            self.assertEqual(self.everything(TlsPort(self.proxy, port)), own)
        finally:
            child.terminate()
            child.wait(10)

    def test_options(self) -> None:
        """
        Options of a line count for its names only; those without effect are told by name.
        """
        both = believing()
        both.set_alpn_protocols(["h2", "http/1.1"])
        chosen = {}
        for name in ("demo.test", "other.test"):
            with self.tls.open(name, both) as connection:
                chosen[name] = connection.selected_alpn_protocol()
        self.assertEqual(chosen, {"demo.test": "h2", "other.test": "http/1.1"})
        old = believing(maximum_version=ssl.TLSVersion.TLSv1_2)
        old.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
        self.assertEqual(self.tls.shown("demo.test", old), "demo.test")
        self.assertRaises(ssl.SSLError, self.tls.shown, "other.test", old)
        self.proxy.wait_for_log("ssl-min-ver in line 9 has no effect")

    def test_changed(self) -> None:
        """
        `reload` reads the list again; a list that cannot be followed leaves the former one, and says where it is wrong.
        """
        self.write("{folder}/own.pem\n{folder}/b.pem [bogus] demo.test\n{folder}/b.pem [ciphers] x.test\n")
        status, body = self.reload()
        self.assertIn("line 2: option bogus is not known", body)
        self.assertIn("line 3: option ciphers needs a value", body)
        self.assertEqual(self.tls.shown(None), "demo.test")
        self.write("own.pem\n{folder}/b.pem other.test\n")
        self.assertEqual(self.reload()[0], 200)
        self.assertEqual(
            [self.tls.shown(name) for name in (None, "demo.test", "other.test")], ["its-own.test"] * 2 + ["demo.test"]
        )

    def test_put(self) -> None:
        """
        What is stored by call is shown where the list names its file, else to nobody.
        """
        self.put("b.pem", make("demo.test", common_name="renewed"))
        self.assertEqual(self.tls.shown("demo.test"), "renewed")
        self.put("new.pem", make("new.test"))
        self.proxy.wait_for_log("certificate new.pem is in force for nobody")
        self.assertEqual(self.tls.shown("new.test"), "renewed")

    def test_refused_at_start(self) -> None:
        """
        A list that cannot be followed, or is not there though certificates are, keeps the proxy from starting.
        """
        for text, reason in (
            ("{folder}/b.pem [verify required] demo.test", "line 1: option verify"),
            ("", "cannot be read"),
        ):
            self.write(text)
            if not text:
                self.list.unlink()
            with self.assertRaises(AssertionError) as caught:
                Proxy(*self.options[2:], *port_options()[1], workers=self.workers)
            self.assertIn(reason, str(caught.exception))
