"""
All that is read from files is read again, and names are asked again: what `reload` does. What cannot be used is told,
and what was in force stays.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks

from dfproxy.control.certificates import Run
from dfproxy.control.tokens import Tokens
from dfproxy.discovery.dns import Names
from dfproxy.discovery.files import CertificateFiles
from dfproxy.discovery.userlists import UserLists
from dfproxy.errors import InvalidSettings
from dfproxy.interfaces import IDataPlane
from dfproxy.model.snapshot import Snapshot


class FileReload:
    """
    Reads again.

    Args:
        files: certificates.
        users: who may use services.
        tokens: who may call the API.
        names: who the servers are.
        data_plane: reads error pages, wherever it is.
        snapshot: what is in force.
        run: for what blocks.
        told: called when the settings of `users` are others, before any service is.
    """

    def __init__(
        self,
        files: CertificateFiles,
        users: UserLists,
        tokens: Tokens,
        names: Names,
        data_plane: IDataPlane,
        snapshot: Callable[[], Snapshot],
        run: Run,
        told: Callable[[], None],
    ) -> None:
        self._files = files
        self._users = users
        self._tokens = tokens
        self._names = names
        self._data_plane = data_plane
        self._snapshot = snapshot
        self._run = run
        self._told = told

    @inlineCallbacks
    def again(self) -> Generator[Deferred[Any], Any, tuple[str, ...]]:
        """
        Certificates, users, tokens, and in every worker error pages; and names are asked again.

        Returns:
            Deferred: what could not be used, a text for each.
        """
        left: tuple[str, ...] = yield self._files.again()
        left += yield self._users.refresh(self._told)
        try:
            yield self._run(self._tokens.read)
        except InvalidSettings as error:
            left += (f"{error}; the tokens of before stay in force",)
        for service in list(self._snapshot().services.values()):
            for destination in service.destinations:
                self._names.ask_now(service.name, destination.index)
        pages = yield self._data_plane.query("pages", None)
        found = dict.fromkeys(line for answer in pages if isinstance(answer, list) for line in answer)
        return (*left, *found)
