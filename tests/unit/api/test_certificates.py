"""
`cert` and `certs`: their paths, methods and refusals.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.api.caller import Api


class CertificateTests(SynchronousTestCase):
    def test_list(self) -> None:
        """
        No certificate is stored: an empty list.
        """
        said = Api().call("GET", "certs")
        self.assertEqual((said.status, said.json), (200, {"Status": "OK", "Message": "", "Certs": []}))

    def test_methods(self) -> None:
        """
        Anything but PUT is a 405 without a body.
        """
        for method in ("GET", "POST", "DELETE", "HEAD"):
            said = Api().call(method, "cert?certName=x.pem")
            self.assertEqual((said.status, said.body, said.headers["allow"]), (405, b"", "PUT"))

    def test_refused(self) -> None:
        """
        Without name or body the answer says which; with both, that it cannot be stored yet.
        """
        for path, body, word in (
            ("cert", b"pem", "certName"),
            ("cert?certName=x.pem", b"", "empty"),
            ("cert?certName=x.pem", b"pem", "cannot be stored"),
        ):
            said = Api().call("PUT", path, body)
            self.assertEqual((said.status, said.json["Status"]), (400, "NOK"))
            self.assertIn(word, said.json["Message"])
