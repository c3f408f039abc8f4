"""
Secrets, and files that variables name.
"""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.discovery.secrets import LIMIT_BYTES, read_secrets
from dfproxy.errors import InvalidSettings


class SecretsTests(SynchronousTestCase):
    """
    What is read.
    """

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def test_read(self) -> None:
        """
        Ours by name, files that variables name by path; other secrets are nobody's business here.
        """
        (self.folder / "dfp_port").write_text("81\n")
        (self.folder / "cert-x").write_bytes(b"\xff")
        (self.folder / "dfp_folder").mkdir()
        (self.folder / "dfp_gone").symlink_to("/no/such/file")
        other = str(self.folder / "other")
        Path(other).write_text("ü")
        self.assertEqual(
            read_secrets(str(self.folder), (other, "/no/such/file", str(self.folder))),
            {"dfp_port": "81\n", other: "ü"},
        )

    def test_no_folder(self) -> None:
        """
        Without a folder there are none.
        """
        self.assertEqual(read_secrets("/no/such/folder"), {})

    def test_refused(self) -> None:
        """
        What is too long, no text, or not for us to read is named, with its path.
        """
        for content, reason in ((b"\xff\xfe", "no UTF-8"), (b"1" * (LIMIT_BYTES + 1), "longer")):
            (self.folder / "dfp_x").write_bytes(content)
            error = self.assertRaises(InvalidSettings, read_secrets, str(self.folder))
            self.assertIn(str(self.folder / "dfp_x"), str(error))
            self.assertIn(reason, str(error))
        error = self.assertRaises(InvalidSettings, read_secrets, str(self.folder / "dfp_x"))
        self.assertIn(os.strerror(20), str(error))
