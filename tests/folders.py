"""
Folders of plugins that a test writes and that leave nothing behind in the process.
"""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import dfproxy.plugins
from dfproxy.control.strategies import Strategies

if TYPE_CHECKING:
    from twisted.trial.unittest import SynchronousTestCase as _Case
else:
    _Case = object


class PluginFolders(_Case):
    """
    A mixin for tests that load plugins.
    """

    def setUp(self) -> None:
        """
        Note what is there already.
        """
        super().setUp()
        self._path, self._modules = list(dfproxy.plugins.__path__), set(sys.modules)
        self.addCleanup(self.forget)

    def forget(self) -> None:
        """
        As if the process had just started: no folders but the usual ones, nothing of theirs imported.
        """
        dfproxy.plugins.__path__[:] = self._path
        for name in set(sys.modules) - self._modules:
            if name.startswith("dfproxy.plugins."):
                del sys.modules[name]
                vars(dfproxy.plugins).pop(name.rpartition(".")[2], None)

    def folder(self, **files: str) -> str:
        """
        A new folder with these modules: name without `.py` to indented source.
        """
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        for name, text in files.items():
            (folder / f"{name}.py").write_text(dedent(text), encoding="utf-8")
        return str(folder)

    def load(self, *folders: str) -> Strategies:
        """
        What a new process finds with these folders.
        """
        self.forget()
        return Strategies.load(folders)

    def load_files(self, **files: str) -> Strategies:
        """
        What a new process finds with one folder of these modules.
        """
        return self.load(self.folder(**files))
