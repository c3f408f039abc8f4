"""
The state folder on a real disk: who may look into it, who may use it, and that each step does what it says.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.control.storage import LOCK, Folder
from dfproxy.errors import JournalError
from tests.requirements import ROOT, require_root


class FolderCase(SynchronousTestCase):
    """
    A folder of its own.
    """

    def setUp(self) -> None:
        self.base = Path(self.mktemp()).absolute()
        self.base.mkdir(parents=True)
        self.path = self.base / "state"

    def folder(self, path: Path | None = None) -> Folder:
        folder = Folder(str(path or self.path))
        self.addCleanup(folder.unlock)
        return folder

    def mode(self, path: Path) -> int:
        return path.stat().st_mode & 0o777


class PrivacyTests(FolderCase):
    """
    Who may look.
    """

    def test_made(self) -> None:
        """
        A folder that is missing is made, also its parents; only its owner may look into it and into its files.
        """
        folder = self.folder(self.base / "deep" / "state")
        former = os.umask(0)
        try:
            folder.prepare()
            folder.lock()
            folder.close(folder.create("journal"))
        finally:
            os.umask(former)
        self.assertEqual(self.mode(folder.path), 0o700)
        self.assertEqual(self.mode(folder.path / "journal"), 0o600)
        self.assertEqual(self.mode(folder.path / LOCK), 0o600)
        self.assertTrue(folder.is_private)

    def test_found(self) -> None:
        """
        An empty volume is made private; a folder that others use is left as it is.
        """
        self.path.mkdir(0o755)
        self.folder().prepare()
        self.assertEqual(self.mode(self.path), 0o700)
        shared = self.base / "shared"
        shared.mkdir(0o755)
        (shared / "something").touch()
        folder = self.folder(shared)
        folder.prepare()
        self.assertEqual(self.mode(shared), 0o755)
        self.assertFalse(folder.is_private)

    def test_file_that_others_may_read(self) -> None:
        """
        A journal that was copied there with a wide mode is made private.
        """
        folder = self.folder()
        folder.prepare()
        (self.path / "journal").write_bytes(b"x")
        (self.path / "journal").chmod(0o644)
        folder.close(folder.append_to("journal"))
        self.assertEqual(self.mode(self.path / "journal"), 0o600)

    def test_owner(self) -> None:
        """
        What root makes for a user that it will become belongs to that user.
        """
        require_root()
        folder = self.folder()
        folder.prepare((12345, 12346))
        folder.lock((12345, 12346))
        for path in (self.path, self.path / LOCK):
            found = path.stat()
            self.assertEqual((found.st_uid, found.st_gid), (12345, 12346))

    def test_impossible(self) -> None:
        """
        A file where the folder should be, and a place where none can be made, are errors.
        """
        self.path.write_bytes(b"")
        self.assertRaises(OSError, self.folder().prepare)
        self.assertRaises(OSError, self.folder(self.path / "below").prepare)


class LockTests(FolderCase):
    """
    Who may use it.
    """

    def test_second(self) -> None:
        """
        A second leader is refused and told who the first is; when that ends it may.
        """
        first, second = self.folder(), self.folder()
        first.prepare()
        first.lock()
        first.lock()
        with self.assertRaises(JournalError) as caught:
            second.lock()
        self.assertEqual(str(caught.exception), f"is in use by process {os.getpid()}")
        first.unlock()
        second.lock()

    def test_killed(self) -> None:
        """
        A leader that is killed leaves no lock behind, and its workers do not hold it either.
        """
        self.folder().prepare()
        program = (
            "import sys, subprocess; from dfproxy.control.storage import Folder; folder = Folder(sys.argv[1]); "
            "folder.lock(); child = subprocess.Popen(['cat'], stdin=0, stdout=2); print('locked', flush=True); "
            "child.wait()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", program, str(self.path)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as child:  # fmt: skip
            assert child.stdout is not None
            self.assertEqual(child.stdout.readline(), b"locked\n")
            with self.assertRaises(JournalError) as caught:
                self.folder().lock()
            self.assertIn(f"process {child.pid}", str(caught.exception))
            child.kill()
            child.stdout.read()  # ends with the process, but not with its child
            self.folder().lock()

    def test_removed(self) -> None:
        """
        A folder that was removed and made again is locked again, and nothing is where there is none; one that somebody
        else has taken meanwhile is not.
        """
        first, second = self.folder(), self.folder()
        first.prepare()
        first.keep_locked()
        self.assertFalse((self.path / LOCK).exists())
        first.lock()
        shutil.rmtree(self.path)
        self.assertRaises(FileNotFoundError, first.keep_locked)
        self.path.mkdir()
        first.keep_locked()
        self.assertRaises(JournalError, second.lock)
        self.assertTrue(first.names(first.lock_handle, LOCK))
        (self.path / LOCK).unlink()
        second.lock()
        for _ in range(2):
            with self.assertRaises(JournalError) as caught:
                first.keep_locked()
            self.assertIn("is in use by", str(caught.exception))

    def test_link(self) -> None:
        """
        A link in place of the lock is not followed.
        """
        folder = self.folder()
        folder.prepare()
        (self.path / LOCK).symlink_to(self.base / "elsewhere")
        self.assertRaises(OSError, folder.lock)
        self.assertFalse((self.base / "elsewhere").exists())


class StepTests(FolderCase):
    """
    Each step.
    """

    def setUp(self) -> None:
        super().setUp()
        self.one = self.folder()
        self.one.prepare()
        self.handle = self.one.create("a")
        self.addCleanup(self.one.close, self.handle)

    def test_write(self) -> None:
        """
        What is written comes at the end, also after a cut and in a file opened again.
        """
        self.one.write(self.handle, b"hello")
        self.one.write(self.handle, b" world")
        self.one.sync(self.handle)
        self.one.cut(self.handle, 6)
        again = self.one.append_to("a")
        self.one.write(again, b"you")
        self.one.close(again)
        self.one.write(self.handle, b"!")
        self.assertEqual(self.one.read("a"), b"hello you!")

    def test_names(self) -> None:
        """
        It is seen that somebody removed or replaced an open file.
        """
        self.assertTrue(self.one.names(self.handle, "a"))
        self.one.rename("a", "b")
        self.one.sync_folder()
        self.assertFalse(self.one.names(self.handle, "a"))
        self.assertTrue(self.one.names(self.handle, "b"))
        self.one.close(self.one.create("b"))
        self.assertFalse(self.one.names(self.handle, "b"))

    def test_link_and_remove(self) -> None:
        """
        A second name replaces what had it; to remove what is not there is fine.
        """
        self.one.write(self.handle, b"x")
        self.one.close(self.one.create("c"))
        self.one.link("a", "c")
        self.one.remove("a")
        self.one.remove("a")
        self.assertEqual(self.one.read("c"), b"x")
        self.assertRaises(FileNotFoundError, self.one.read, "a")
