"""
The files of the state folder: each step by itself, so that a test can let any of them fail or be the last one.

What order the steps have, and what follows when one fails, is decided in `dfproxy.control.journal`. All of these may
block; none is called in the reactor's thread once it runs.

Source: `open(2)`, `fsync(2)`, `rename(2)`, `flock(2)`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path
from typing import Protocol

from dfproxy.errors import JournalError

FOLDER_MODE = 0o700
"""
Definitions name what is inside; nobody else needs to know.
"""

FILE_MODE = 0o600
"""
As `FOLDER_MODE`.
"""

LOCK = "lock"
"""
File that is locked while a leader lives; names its process.
"""

LOCK_BYTES = 200
"""
Longest text in it.
"""


class Storage(Protocol):
    """
    A folder of files. Everything raises `OSError`. A handle is an open file.
    """

    def read(self, name: str) -> bytes:
        """
        All of a file. `FileNotFoundError`: there is none.
        """

    def create(self, name: str) -> int:
        """
        An empty file, whatever was there; its handle.
        """

    def append_to(self, name: str) -> int:
        """
        The handle of a file that is there; what is written comes at its end.
        """

    def write(self, handle: int, content: bytes) -> None:
        """
        All of this, at the end. When it fails some of it may be there.
        """

    def sync(self, handle: int) -> None:
        """
        What was written is on the disk when this returns.
        """

    def cut(self, handle: int, size: int) -> None:
        """
        Let a file end there.
        """

    def names(self, handle: int, name: str) -> bool:
        """
        Whether the file of this name is the open one: somebody may have removed or replaced it.
        """

    def close(self, handle: int) -> None:
        """
        Let go of a file.
        """

    def rename(self, name: str, new: str) -> None:
        """
        Give a file another name; a file that had it is gone, and at no moment is there none.
        """

    def link(self, name: str, new: str) -> None:
        """
        Give a file one more name, whatever had it before.
        """

    def remove(self, name: str) -> None:
        """
        Take a file away; fine if there is none.
        """

    def sync_folder(self) -> None:
        """
        Names are on the disk when this returns.
        """

    def keep_locked(self) -> None:
        """
        See that nobody else may use the folder, also if somebody has removed the lock, or all of it, and made it again.

        Raises:
            JournalError: somebody else uses it now.
        """


class Folder:
    """
    A folder on a disk. See `Storage`.

    Args:
        path: of the folder.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self._lock: int | None = None

    def prepare(self, owner: tuple[int, int] | None = None) -> None:
        """
        See that the folder is there, for us alone.

        Args:
            owner: user and group that it is to belong to if it is made now; None: us.

        Raises:
            OSError: it cannot be made.
        """
        missing = []
        path = self.path
        while not path.exists():
            missing.append(path)
            path = path.parent
        for one in reversed(missing):
            one.mkdir(FOLDER_MODE if one == self.path else 0o755)
            self._sync(one.parent)
        if missing and owner is not None:
            os.chown(self.path, *owner)
        found = self.path.stat()
        if not stat.S_ISDIR(found.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(self.path))
        if found.st_mode & 0o077 and found.st_uid == os.geteuid() and self._is_ours():
            self.path.chmod(FOLDER_MODE)

    def _is_ours(self) -> bool:
        """
        Nothing but our files is in it: an empty volume, say. Never so for a folder that others use.
        """
        return all(name == LOCK or name.startswith(("journal", "names")) for name in os.listdir(self.path))

    @property
    def is_private(self) -> bool:
        """
        Nobody else may look into it.
        """
        return not self.path.stat().st_mode & 0o077

    # --- lock ------------------------------------------------------------------------------------------------

    def lock(self, owner: tuple[int, int] | None = None) -> None:
        """
        Keep other leaders out as long as this process lives; again is fine.

        Args:
            owner: user and group that the file is to belong to.

        Raises:
            JournalError: another one lives; it is named.
            OSError: it cannot be locked.
        """
        if self._lock is None:
            handle = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.pread(handle, LOCK_BYTES, 0).decode("utf-8", "replace").strip()
                os.close(handle)
                raise JournalError(f"is in use by {holder or 'another process'}") from error
            except OSError:
                os.close(handle)
                raise
            if owner is not None:
                os.fchown(handle, *owner)
            self._lock = handle
        # The process may have been forked into the background since.
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"process {os.getpid()}\n".encode(), 0)

    def take_over(self, handle: int) -> None:
        """
        The lock is held already, by this open file: nobody else ever had it in between.

        Raises:
            OSError: it is not the file of the lock, or somebody else holds it.
        """
        if not os.path.samestat(os.fstat(handle), os.stat(self.path / LOCK)):
            raise OSError(errno.EBADF, f"descriptor {handle} is not the lock")
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.set_inheritable(handle, False)
        self._lock = handle

    def keep_locked(self) -> None:
        """
        See `Storage`. Nothing that was never locked is locked by this.
        """
        if self._lock is None or self.names(self._lock, LOCK):
            return
        former, self._lock = self._lock, None
        try:
            self.lock()
        except JournalError as error:
            self._lock = former
            raise JournalError(f"the state folder (--state-dir) {error}") from error
        except OSError:
            self._lock = former
            raise
        os.close(former)

    @property
    def lock_handle(self) -> int:
        """
        The open file that holds the lock; -1: none.
        """
        return -1 if self._lock is None else self._lock

    def unlock(self) -> None:
        """
        Let others in.
        """
        if self._lock is not None:
            handle, self._lock = self._lock, None
            os.close(handle)

    # --- Storage ---------------------------------------------------------------------------------------------

    def read(self, name: str) -> bytes:
        """
        See `Storage`.
        """
        return (self.path / name).read_bytes()

    def create(self, name: str) -> int:
        """
        See `Storage`.
        """
        self.remove(name)
        return os.open(self.path / name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, FILE_MODE)

    def append_to(self, name: str) -> int:
        """
        See `Storage`.
        """
        handle = os.open(self.path / name, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
        if os.fstat(handle).st_mode & 0o077:
            os.fchmod(handle, FILE_MODE)
        return handle

    def write(self, handle: int, content: bytes) -> None:
        """
        See `Storage`.
        """
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(handle, rest) :]

    def sync(self, handle: int) -> None:
        """
        See `Storage`.
        """
        os.fsync(handle)

    def cut(self, handle: int, size: int) -> None:
        """
        See `Storage`.
        """
        os.ftruncate(handle, size)

    def names(self, handle: int, name: str) -> bool:
        """
        See `Storage`.
        """
        try:
            found = os.stat(self.path / name, follow_symlinks=False)
        except FileNotFoundError:
            return False
        open_one = os.fstat(handle)
        return (found.st_dev, found.st_ino) == (open_one.st_dev, open_one.st_ino)

    def close(self, handle: int) -> None:
        """
        See `Storage`.
        """
        os.close(handle)

    def rename(self, name: str, new: str) -> None:
        """
        See `Storage`.
        """
        os.rename(self.path / name, self.path / new)

    def link(self, name: str, new: str) -> None:
        """
        See `Storage`.
        """
        self.remove(new)
        os.link(self.path / name, self.path / new)

    def remove(self, name: str) -> None:
        """
        See `Storage`.
        """
        (self.path / name).unlink(missing_ok=True)

    def sync_folder(self) -> None:
        """
        See `Storage`.
        """
        self._sync(self.path)

    @staticmethod
    def _sync(path: Path) -> None:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
