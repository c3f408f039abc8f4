"""
What the proxy answers itself, as HAProxy configuration: error pages, and the statistics page.

Source: HAProxy manual 4.2 (`errorfile`, `stats uri`, `stats http-request`); contract 4.15, 9.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dfproxy.dfp.haproxysteps import HIDDEN
from dfproxy.dfp.haproxytext import Names, comment, word
from dfproxy.model.listener import Listener
from dfproxy.model.settings import Statistics

STATUSES = (400, 401, 403, 405, 408, 413, 429, 500, 502, 503, 504)
"""
Of the pages that we take those that HAProxy 2.6 takes as well.
"""

PAGE_BYTES = 15360
"""
Largest page; HAProxy has 16,384 bytes for one answer, of which it keeps 1,024 free.
"""

REALM = "Strictly Private"
"""
What a browser shows when it asks for the password of the statistics (DFP).
"""


def page_lines(pages: Mapping[int, tuple[str, int]]) -> Iterator[str]:
    """
    A line for each page.

    Args:
        pages: status to the path of the page in use, and its length in bytes.
    """
    for status, (path, size) in sorted(pages.items()):
        line = f"errorfile {status} {word(path)}"
        if status not in STATUSES:
            yield f"# {comment(line)}: HAProxy has no page for this status"
        elif size > PAGE_BYTES:
            yield f"# {comment(line)}: too long for HAProxy, which takes {PAGE_BYTES} bytes"
        else:
            yield line


class StatisticsText:
    """
    The statistics page.

    Args:
        statistics: where it is; None: there is none.
        names: names of lists of users that are taken.
    """

    def __init__(self, statistics: Statistics | None, names: Names) -> None:
        self._statistics = statistics
        self._list = names.take("StatisticsUsers") if statistics is not None and not statistics.is_open else ""

    def user_list(self) -> Iterator[str]:
        """
        Who may see it: neither the name nor the password is shown.
        """
        if self._list:
            yield f"userlist {self._list}\n    # who may see the statistics is not shown: this one lets nobody in\n"
            yield f"    user hidden password {word(HIDDEN)}\n\n"

    def shared_lines(self) -> list[str]:
        """
        Lines of the frontend of all HTTP; none if the page has a port of its own, or there is none.
        """
        if self._statistics is None or self._statistics.listeners:
            return []
        return self._lines(self._statistics)

    def frontend(self) -> Iterator[str]:
        """
        The frontend of its own port.
        """
        if self._statistics is None or not self._statistics.listeners:
            return
        binds = [f"bind {_address(listener)}:{listener.port}" for listener in self._statistics.listeners]
        yield (
            "\n".join(["\nfrontend stats", *(f"    {line}" for line in (*binds, *self._lines(self._statistics)))])
            + "\n"
        )

    def _lines(self, statistics: Statistics) -> list[str]:
        lines = ["stats enable", f"stats uri {word(statistics.uri)}", "stats refresh 30s", "stats hide-version"]
        if self._list:
            lines.append(f"stats http-request auth realm {word(REALM)} if !{{ http_auth({self._list}) }}")
        return lines


def _address(listener: Listener) -> str:
    return f"[{listener.address}]" if ":" in listener.address else word(listener.address or "*")
