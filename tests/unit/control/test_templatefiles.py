"""
Which files are read as templates.
"""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.control.templatefiles import LARGEST_BYTES, template_text
from dfproxy.dfp.gotemplate import InvalidTemplate
from dfproxy.model.settings import Settings


class TemplateTextTests(SynchronousTestCase):
    def setUp(self) -> None:
        """
        A folder of templates beside one of secrets.
        """
        self.folder = Path(self.mktemp()).absolute()
        self.secrets = self.folder / "secrets"
        self.secrets.mkdir(parents=True)
        self.settings = Settings(secrets_dir=str(self.secrets), certs_dir=str(self.folder / "certs"))

    def refused(self, path: object) -> str:
        """
        Why.
        """
        return str(self.assertRaises(InvalidTemplate, template_text, str(path), self.settings))

    def test_read(self) -> None:
        """
        A file, and a link to one, as Swarm mounts configurations.
        """
        file = self.folder / "a.tmpl"
        file.write_text("größe {{.X}}\n")
        (self.folder / "b.tmpl").symlink_to(file)
        self.assertEqual(template_text(str(file), self.settings), "größe {{.X}}\n")
        self.assertEqual(template_text(str(self.folder / "b.tmpl"), self.settings), "größe {{.X}}\n")

    def test_largest(self) -> None:
        """
        A template may be so large, and no larger.
        """
        file = self.folder / "a.tmpl"
        file.write_bytes(b"x" * LARGEST_BYTES)
        self.assertEqual(len(template_text(str(file), self.settings)), LARGEST_BYTES)
        file.write_bytes(b"x" * (LARGEST_BYTES + 1))
        self.assertIn("is larger than 65536 bytes", self.refused(file))

    def test_refused(self) -> None:
        """
        What is no file of text is named, and nobody waits for it.
        """
        file = self.folder / "a.tmpl"
        file.write_bytes(b"\xff")
        self.assertIn("is not UTF-8", self.refused(file))
        self.assertIn("cannot be read: No such file", self.refused(self.folder / "none"))
        self.assertIn("is no file", self.refused(self.folder))
        os.mkfifo(self.folder / "pipe")
        self.assertIn("is no file", self.refused(self.folder / "pipe"))
        self.assertIn("of which no templates are read", self.refused("/dev/zero"))
        self.assertIn("of which no templates are read", self.refused("/proc/self/environ"))
        self.assertIn("cannot be read", self.refused("/" + "x" * 300))

    def test_no_secrets(self) -> None:
        """
        Secrets are not read, by whatever way they are reached.
        """
        (self.secrets / "key").write_text("s3cret")
        link = self.folder / "harmless"
        link.symlink_to(self.secrets / "key")
        for path in (self.secrets / "key", link):
            self.assertIn(f"lies in {self.secrets}, of which no templates are read", self.refused(path))
