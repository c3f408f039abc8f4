"""
Assembly of the data plane: every part is built once and connected here, and only here.

The same in a worker and, with `--workers 0`, in the one process. What controls it is put together in `dfproxy.daemon`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from random import Random
from socket import gethostname
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool

from dfproxy.control.apply import LocalDataPlane
from dfproxy.control.strategies import Strategies
from dfproxy.descriptors import connections, raised
from dfproxy.exchange.passwords import Verifier
from dfproxy.exchange.steps import Tools
from dfproxy.exchange.traffic import Traffic
from dfproxy.expressions.subject import Surroundings
from dfproxy.frontend.captured import capturing
from dfproxy.frontend.errorpages import Pages, examine, read_pages
from dfproxy.frontend.forwarded import believing
from dfproxy.frontend.logfile import LogFile, stamp
from dfproxy.frontend.resource import Lookup, ReverseProxyResource
from dfproxy.frontend.site import ProxySite as Site
from dfproxy.model.settings import Settings
from dfproxy.model.steps import CLOSES_CLIENTS
from dfproxy.observe.accesslog import AccessLog
from dfproxy.observe.cells import Cells
from dfproxy.routing.table import Current
from dfproxy.tls.store import CertificateStore
from dfproxy.wire.networks import Networks

log = Logger()

PROTOCOLS = ("h2", "http/1.1")
"""
What is offered to clients by ALPN, the preferred one first; the first only where HTTP/2 is not switched off.
"""

DESCRIPTORS_A_PIPE = 64
"""
One pipe for as many descriptors: with four for each that is a sixteenth of them; nine tenths are for connections.
"""

PASSWORD_THREADS = 2
"""
Threads of a process that verify hashes of passwords, some milliseconds each.
"""


def make_data_plane(settings: Settings, reactor: Any, cells: Cells | None) -> LocalDataPlane:
    """
    The data plane of one process.

    Args:
        settings: options.
        reactor: the reactor that runs.
        cells: shared counters; None without workers.
    """
    strategies = Strategies.load(settings.plugin_dirs)
    access_log = None
    if settings.access_log:
        file = LogFile(settings.access_log)
        access_log = AccessLog(settings.access_lines, file.write, time.time, stamp, (gethostname(), os.getpid()))
    traffic = Traffic(reactor, reactor, settings.limits, time.perf_counter, access_log)
    traffic.pages = read_pages(settings.errorfiles_dir)
    traffic.closing = settings.connection_mode in CLOSES_CLIENTS
    current = Current()
    lookup: Lookup = lambda request: current.table.lookup(request)  # noqa: E731  short
    if settings.trusted_proxies:
        lookup = believing(lookup, Networks(settings.trusted_proxies))
    if access_log is not None and settings.access_lines.captured:
        lookup = capturing(lookup, settings.access_lines.captured)
    site = Site(ReverseProxyResource(lookup=lookup, traffic=traffic))
    descriptors = raised()
    site.limit = _connections(settings, descriptors)
    traffic.pipes.most = descriptors // DESCRIPTORS_A_PIPE
    if not settings.http2:
        site.http2 = None
    traffic.deadlines.start()
    certificates = CertificateStore(settings.tls, PROTOCOLS if settings.http2 else PROTOCOLS[1:], traffic.clients)
    in_thread = _threads(reactor)
    tools = _tools(settings, in_thread)
    plane = LocalDataPlane(settings, traffic, site, current, strategies, Random(), cells, certificates, tools)
    plane.read_pages = partial(_read_pages, traffic, in_thread, settings.errorfiles_dir)
    return plane


def _read_pages(
    traffic: Traffic, in_thread: Callable[[Callable[[], Any]], Deferred[Any]], folder: str
) -> Deferred[list[Any]]:
    """
    Put the error pages of this folder in force, as they are now.
    """

    def put(read: tuple[Pages, tuple[str, ...]]) -> list[Any]:
        traffic.pages, problems = read
        return [list(problems)]

    return in_thread(lambda: examine(folder)).addCallback(put)


def _threads(reactor: Any) -> Callable[[Callable[[], Any]], Deferred[Any]]:
    """
    Threads of their own, beginning with the first thing that is to be done in one.
    """
    threads = ThreadPool(0, PASSWORD_THREADS, "passwords")

    def in_thread(work: Callable[[], Any]) -> Deferred[Any]:
        if not threads.started:
            threads.start()
            reactor.addSystemEventTrigger("during", "shutdown", threads.stop)
        return deferToThreadPool(reactor, threads, work)

    return in_thread


def _tools(settings: Settings, in_thread: Callable[[Callable[[], bool]], Deferred[bool]]) -> Tools:
    """
    What the steps of routes need.
    """
    environment = dict(settings.environment)
    return Tools(Surroundings(environment, gethostname(), os.getpid(), time.time, Random()), Verifier(in_thread))


def _connections(settings: Settings, descriptors: int) -> int:
    """
    How many client connections this process takes; a word if that is less than the operator asks for.
    """
    asked, workers = settings.limits.client_connections, max(settings.workers, 1)
    taken = connections(asked, workers, descriptors)
    if taken < asked // workers:
        log.warn(
            "--max-connections asks for {share} in each worker, and its limit of open files allows {possible}: that "
            "counts",
            share=asked // workers,
            possible=taken,
        )
    return taken
