"""
The tree of the API: which path is which verb, in which version.

Source: DFP `server.go` (gorilla/mux with strict slash); there is no second version except `/v2/test`.
"""

from __future__ import annotations

from twisted.web import resource

from dfproxy.api.access import CallQueue
from dfproxy.api.certificates import Cert, Certs
from dfproxy.api.channel import ApiSite
from dfproxy.api.config import Config
from dfproxy.api.control import Control
from dfproxy.api.explain import Explain
from dfproxy.api.guard import Guard
from dfproxy.api.metrics import Metrics, Statistics
from dfproxy.api.ping import InitialReload, Ping, Ready, Test
from dfproxy.api.reconfigure import Reconfigure
from dfproxy.api.reload import Reload
from dfproxy.api.remove import Remove
from dfproxy.api.request import Request, Verb
from dfproxy.api.revisions import RevisionList, Undo
from dfproxy.api.server import Server
from dfproxy.api.services import Services
from dfproxy.api.slices import Slices
from dfproxy.api.strategies import StrategyList
from dfproxy.api.upgrade import UpgradeVerb

__all__ = ["Control", "make_root", "make_site"]

LONG_ANSWERS = 4
"""
Long answers (config, metrics) made at once; each holds a snapshot and its text.
"""

LONG_ANSWERS_WAITING = 100
"""
Long answers that wait for their turn; a scraper asks each few seconds.
"""


def make_site(control: Control, guard: Guard | None = None, connections: int = 0) -> ApiSite:
    """
    The factory of the API's port.

    Args:
        control: what the API calls.
        guard: who may call; None: everybody.
        connections: most at once, if there cannot be as many as the settings allow; 0: there can.
    """
    limits = control.settings.limits
    most = min(limits.api_connections, connections or limits.api_connections)
    return ApiSite(make_root(control), control.clock, limits.api_body_bytes, guard, most)


def make_root(control: Control) -> resource.Resource:
    """
    The tree alone, for mounting it elsewhere; limits of size and time, and who may call, are the site's.
    """
    limits = control.settings.limits
    changes = CallQueue(limits.api_calls, limits.api_queue, control.clock)
    everywhere = CallQueue(limits.api_calls, limits.api_queue, control.clock)
    asked = CallQueue(LONG_ANSWERS, LONG_ANSWERS_WAITING)
    long_answers = CallQueue(LONG_ANSWERS, LONG_ANSWERS_WAITING)
    slices = Slices(control.clock)
    verbs = _Folder()
    for name, verb in (
        (b"reconfigure", Reconfigure(control, changes, everywhere)),
        (b"remove", Remove(control, changes, everywhere)),
        (b"reload", Reload(control, asked)),
        (b"services", Services(control, changes, everywhere)),
        (b"server", Server(control, changes, everywhere, long_answers, slices)),
        (b"undo", Undo(control, changes)),
        (b"revisions", RevisionList(control, long_answers, slices)),
        (b"upgrade", UpgradeVerb(control, asked)),
        (b"config", Config(control, long_answers, slices)),
        (b"cert", Cert(control, changes, everywhere)),
        (b"certs", Certs(control, long_answers, slices)),
        (b"ping", Ping(control)),
        (b"ready", Ready(control)),
        (b"successfulinitreload", InitialReload(control)),
        (b"explain", Explain(control, asked)),
        (b"metrics", Statistics(control, long_answers, slices)),
        (b"strategies", StrategyList(control)),
    ):
        verbs.putChild(name, verb)
    first, second, root = _Folder(), _Folder(), _Folder()
    first.putChild(b"docker-flow-proxy", verbs)
    first.putChild(b"test", Test(control, "1"))
    second.putChild(b"test", Test(control, "2"))
    root.putChild(b"v1", first)
    root.putChild(b"v2", second)
    root.putChild(b"metrics", Metrics(control, changes, long_answers, slices))
    return root


class _Folder(Verb):
    """
    A part of a path. A verb answers at exactly its path; with a slash behind it points to the one without.
    """

    isLeaf = False

    def getChildWithDefault(self, path: bytes, request: Request) -> resource.Resource:
        """
        The folder or verb of that name.
        """
        child: resource.Resource | None = self.children.get(path)
        rest = request.postpath
        if child is None or not child.isLeaf:
            return child or _NotFound()
        if not rest:
            return child
        return _WithoutSlash() if rest == [b""] else _NotFound()

    def render(self, request: Request) -> bytes:
        """
        A folder is nothing by itself.
        """
        return _NotFound().render(request)


class _NotFound(Verb):
    """
    Nothing is here, in the words of Go's server.
    """

    def render(self, request: Request) -> bytes:
        """
        The same for every method.
        """
        request.setResponseCode(404)
        request.setHeader(b"Content-Type", b"text/plain; charset=utf-8")
        return b"404 page not found\n"


class _WithoutSlash(Verb):
    """
    Points to the same path without its last slash; the query is kept as it came.
    """

    def render(self, request: Request) -> bytes:
        """
        The same for every method.
        """
        path, mark, query = request.uri.partition(b"?")
        request.setResponseCode(301)
        request.setHeader(b"Location", path.rstrip(b"/") + mark + query)
        request.setHeader(b"Content-Type", b"text/plain; charset=utf-8")
        return b"Moved Permanently\n"
