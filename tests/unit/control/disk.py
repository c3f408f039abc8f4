"""
A disk that forgets what was not synced: the files of `dfproxy.control.storage`, in memory, with a step that fails and a
step that is the last one before the power goes.

Written bytes and names are what the system shows; synced ones are what the platters have. After `crashed()` a file has
what was synced, all that was written, or something between.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, field

SURVIVALS = ("synced", "half", "written")
"""
What of the unsynced is left: nothing, a part of it, all of it.
"""


class PowerCut(Exception):
    """
    Nothing happens any more.
    """


@dataclass(eq=False)
class File:
    """
    One file.

    Attributes:
        written: what the system shows.
        synced: what the platters have.
    """

    written: bytes = b""
    synced: bytes = b""

    def survivor(self, survival: str) -> bytes:
        """
        What is left after a crash.
        """
        if survival == "synced":
            return self.synced
        if survival == "half" and self.written.startswith(self.synced):
            return self.written[: (len(self.synced) + len(self.written) + 1) // 2]
        return self.written


@dataclass(eq=False)
class Disk:
    """
    See `dfproxy.control.storage.Storage`.

    Attributes:
        names: files that the system shows.
        synced_names: files that the platters have.
        taken: steps so far, by what they were.
        fails: called with the number and the name of a step; gives its error number, 0: it succeeds.
        last: number of the step during which the power goes; 0: none.
        last_happens: that step still has its effect.
    """

    names_: dict[str, File] = field(default_factory=dict)
    synced_names: dict[str, File] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)
    fails: Callable[[int, str], int] = lambda number, what: 0
    last: int = 0
    last_happens: bool = False
    open_files: dict[int, File] = field(default_factory=dict)

    def crashed(self, survival: str) -> Disk:
        """
        The disk as the next start finds it.
        """
        names = self.synced_names if survival == "synced" else self.names_
        files = {name: file.survivor(survival) for name, file in names.items()}
        found = {name: File(content, content) for name, content in files.items()}
        return Disk(dict(found), dict(found))

    def _step(self, what: str, effect: Callable[[], None], failing: Callable[[], None] = lambda: None) -> None:
        """
        Args:
            what: its name.
            effect: what it does.
            failing: what it does nevertheless when it fails.
        """
        if self.last and len(self.taken) >= self.last:
            raise PowerCut
        self.taken.append(what)
        number = len(self.taken)
        if number == self.last:
            (effect if self.last_happens else failing)()
            raise PowerCut
        error = self.fails(number, what)
        if error:
            failing()
            raise OSError(error, "by order")
        effect()

    # --- Storage ---------------------------------------------------------------------------------------------

    def read(self, name: str) -> bytes:
        if name not in self.names_:
            raise FileNotFoundError(errno.ENOENT, name)
        return self.names_[name].written

    def _open(self, file: File) -> int:
        handle = max(self.open_files, default=2) + 1
        self.open_files[handle] = file
        return handle

    def create(self, name: str) -> int:
        self.remove(name)
        file = File()
        self._step("create", lambda: self.names_.update({name: file}))
        return self._open(file)

    def append_to(self, name: str) -> int:
        return self._open(self.names_[name])

    def write(self, handle: int, content: bytes) -> None:
        file = self.open_files[handle]

        def add(part: bytes) -> None:
            file.written += part

        self._step("write", lambda: add(content), lambda: add(content[: len(content) // 2]))

    def sync(self, handle: int) -> None:
        file = self.open_files[handle]

        def sync() -> None:
            file.synced = file.written

        self._step("sync", sync)

    def cut(self, handle: int, size: int) -> None:
        file = self.open_files[handle]

        def cut() -> None:
            assert len(file.written) >= size, "cut to more than there is"
            file.written = file.written[:size]

        self._step("cut", cut)

    def names(self, handle: int, name: str) -> bool:
        return self.names_.get(name) is self.open_files[handle]

    def close(self, handle: int) -> None:
        del self.open_files[handle]

    def rename(self, name: str, new: str) -> None:
        if name not in self.names_:
            raise FileNotFoundError(errno.ENOENT, name)
        self._step("rename", lambda: self.names_.update({new: self.names_.pop(name)}))

    def link(self, name: str, new: str) -> None:
        self._step("link", lambda: self.names_.update({new: self.names_[name]}))

    def remove(self, name: str) -> None:
        if name in self.names_:
            self._step("remove", lambda: self.names_.pop(name) and None)

    def keep_locked(self) -> None:
        """
        Nobody else has this disk.
        """

    def sync_folder(self) -> None:
        def sync() -> None:
            self.synced_names = dict(self.names_)

        self._step("sync folder", sync)
