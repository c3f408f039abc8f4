"""
What twistd starts and stops: the one place where all parts meet.

Longer than other modules, but one thing: each part is made, started and stopped here.

With workers the leader owns the API and the definitions, and never touches a request; with `--workers 0` the same
parts stand in one process.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any, NoReturn

from twisted.application.service import Service as TwistedService
from twisted.internet.defer import Deferred, inlineCallbacks, maybeDeferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from dfproxy import __version__
from dfproxy.api.config import as_text
from dfproxy.api.control import Control
from dfproxy.api.distribute import Replicas
from dfproxy.api.guard import Guard, exposed
from dfproxy.api.root import make_site
from dfproxy.control.asking import Asking
from dfproxy.control.certificates import Certificates, CertifyingPublisher, Run
from dfproxy.control.checks import CheckingDataPlane
from dfproxy.control.configtext import ConfigText
from dfproxy.control.noted import NotedPublisher
from dfproxy.control.overlaps import Overlaps
from dfproxy.control.ports import OpeningDataPlane
from dfproxy.control.publisher import Publisher
from dfproxy.control.records import Replayed
from dfproxy.control.revisions import Revisions
from dfproxy.control.servers import Servers
from dfproxy.control.statefolder import StateFolder
from dfproxy.control.strategies import Strategies
from dfproxy.control.templatefiles import template_text
from dfproxy.control.tokens import Tokens
from dfproxy.daemon.apiport import ApiPort
from dfproxy.daemon.inprocess import InProcess
from dfproxy.daemon.inworkers import InWorkers
from dfproxy.daemon.options import check, with_client_ca
from dfproxy.daemon.plane import Plane
from dfproxy.daemon.quarantine import Quarantine
from dfproxy.daemon.readiness import Phase, Readiness
from dfproxy.daemon.reload import FileReload
from dfproxy.daemon.replicas import other_replicas
from dfproxy.daemon.upgrading import Upgrading, give_log, remove_pid_file
from dfproxy.descriptors import raised
from dfproxy.dfp.reading import Reading
from dfproxy.dfp.reconfigure import read
from dfproxy.discovery.declared import Declared
from dfproxy.discovery.dns import Names
from dfproxy.discovery.expiry import Expiry
from dfproxy.discovery.files import CertificateFiles
from dfproxy.discovery.names import DnsAddresses
from dfproxy.discovery.networks import OwnNetworks
from dfproxy.discovery.remembered import Known, Remembered
from dfproxy.discovery.siblings import Siblings
from dfproxy.discovery.swarmlistener import Pairs, SwarmListener
from dfproxy.discovery.traffic import TrafficWatch
from dfproxy.discovery.userlists import UserLists
from dfproxy.errors import DfproxyError, InvalidService, InvalidSettings, NotUpgraded
from dfproxy.interfaces import IDataPlane
from dfproxy.model.service import Service
from dfproxy.model.settings import Settings
from dfproxy.model.snapshot import Change, Revision, Snapshot
from dfproxy.observe.clients import measures as client_measures
from dfproxy.observe.prometheus import Measure
from dfproxy.polling import Poller
from dfproxy.systemd import Notifier
from dfproxy.tls.context import checker
from dfproxy.tls.servers import ServerSides
from dfproxy.upstream.probe import Goal, Probe
from dfproxy.workers.heritage import Command, Heritage
from dfproxy.workers.succession import Proof, Succession

log = Logger()

GC_THRESHOLDS = (50000, 20, 100)
"""
As in workers: with 10,000 services alive a full collection stops everything for a twentieth of a second.
"""


def make_service(
    settings: Settings,
    owner: tuple[int, int] | None = None,
    again: Callable[[], Settings] | None = None,
    heritage: Heritage | None = None,
    command: Command | None = None,
    environment: Mapping[str, str] | None = None,
) -> ProxyService:
    """
    The whole proxy as twistd runs it.

    Args:
        settings: options.
        owner: user and group that twistd will change to; None: those that we are.
        again: settings as they would be if we started now; blocks; raises `InvalidSettings`. None: nobody knows.
        heritage: what is open already; None: nothing.
        command: how we were started; None: there can be no upgrade.
        environment: variables of the process, for the one after an upgrade.

    Raises:
        InvalidSettings: an option names something that does not exist.
    """
    from twisted.internet import reactor  # noqa: TID251  chosen by now, as twistd does

    return ProxyService(settings, reactor, owner, again, heritage, command, environment)


class ProxyService(TwistedService):
    """
    The parts of one dfproxy, joined.

    Args:
        settings: options.
        reactor: the reactor that runs.
        owner: user and group that we shall be once we serve; None: those that we are.
        again: as of `make_service`.
        heritage: likewise.
        command: likewise.
        environment: likewise.

    Attributes:
        plane: the workers, or the one data plane of this process.
        data_plane: the same with ports and checks: what the publisher sees.
        publisher: the one door through which definitions change.
        names: who the servers of each destination are.
        api: where the control API listens.
        ports: the same with the ports that services ask for.
        swarm: swarm listeners that are asked for all services.
        certificates: the folder of certificates, and the way into force.
        revisions: the last ones.
    """

    name = "dfproxy"

    def __init__(
        self,
        settings: Settings,
        reactor: Any,
        owner: tuple[int, int] | None = None,
        again: Callable[[], Settings] | None = None,
        heritage: Heritage | None = None,
        command: Command | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._heritage = heritage or Heritage()
        self._owner, self._command, self._environment = owner, command, environment or {}
        settings = replace(settings, tls=with_client_ca(settings.tls))
        self.settings = settings
        self._reactor = reactor
        self._strategies = Strategies.load(settings.plugin_dirs)
        check(settings, self._strategies)
        self._tokens = Tokens(settings.api_token_file)
        self._tokens.read()
        self._guard = Guard(settings.api_networks, self._tokens)
        self.api = ApiPort(reactor, settings.api_address, settings.api_port)
        self._make_plane()
        self._make_publisher(owner)
        self._make_sources(again)
        self._make_looks()
        self._make_succession(command)
        self._notifier = Notifier({}, os.getpid(), reactor)
        self._control = self._make_control()
        self._at_start: Deferred[Any] | None = None

    # --- assembly, each part after those that it is given -------------------------------------------------------

    def _make_plane(self) -> None:
        """
        Where traffic is carried; with the ports of services and the checks of servers before it.
        """
        settings, reactor = self.settings, self._reactor
        self._order = order = self._strategies.orders[settings.route_order].key
        self.plane: Plane
        if settings.workers:
            self.plane = InWorkers(reactor, settings, order, self._ask_names, self._heritage)
        else:
            self.plane = InProcess(reactor, settings, self._ask_names)
        fixed = (listener.port for listener in settings.bound)
        self.ports = OpeningDataPlane(
            self.plane.data_plane, self.plane.doors, settings.addresses, fixed, order, reactor
        )
        poller = Poller(reactor)

        def begin(goal: Goal, done: Callable[[str | None], None]) -> Probe:
            probe = Probe(poller, goal, done)
            probe.begin()
            return probe

        self.checks = CheckingDataPlane(
            self.ports,
            self.plane.verdicts,
            reactor,
            begin,
            ServerSides(settings.certs_dir),
            settings.limits.checks_per_s,
            Random(),
            lambda: self.ports.pools,
        )
        self.data_plane: IDataPlane = self.checks

    def _make_publisher(self, owner: tuple[int, int] | None) -> None:
        """
        The one door, what is durable, who the servers are, and who is told of changes.
        """
        settings, reactor = self.settings, self._reactor
        self._networks = OwnNetworks(reactor)
        resolver = DnsAddresses(reactor, settings.in_swarm, networks=self._networks)
        self.names = Names(reactor, settings, self.data_plane, resolver)
        self._traffic = TrafficWatch(reactor, self.plane.traffic, self.names.busy)
        self._state: StateFolder | None = None
        if settings.state_dir:
            self._state = StateFolder(settings.state_dir, reactor, self._read_again, owner)
        record = self._state.record if self._state is not None else None
        waiting = settings.limits.api_calls + settings.limits.api_queue
        recognise = self._state.recognise if self._state is not None else None
        self._overlaps = Overlaps(self._order, reactor)
        self.revisions = Revisions(time.time)  # noqa: TID251  people read it
        self.publisher = Publisher(self.data_plane, self.names, reactor, record, waiting, recognise, told=self._told)
        self.servers = Servers(self.publisher, self.names, self.checks, self.plane.left_out, reactor)
        self._figures = self.plane.figures(self.publisher, self.names, self.servers)

    def _make_sources(self, again: Callable[[], Settings] | None) -> None:
        """
        Where definitions, users and certificates come from besides calls.
        """
        settings, reactor = self.settings, self._reactor
        run: Run = partial(deferToThreadPool, reactor, reactor.getThreadPool())
        self._run = run
        self._users = UserLists(settings, again, self._read_again, self.publisher, reactor, run)
        self.certificates = Certificates(settings.certs_dir, self.publisher, run)
        self._certifying = CertifyingPublisher(self.publisher, self.certificates)
        self._files = CertificateFiles(
            settings.certs_dir,
            settings.secrets_dir,
            self.publisher,
            self.certificates,
            run,
            checker(settings.tls),
            settings.tls.crt_list,
        )
        self._expiry = Expiry(reactor, self.publisher, time.time)  # noqa: TID251  certificates expire by the calendar
        self._asks = Asking(reactor)
        self._siblings = Siblings(
            self._other_replicas,
            self._asks,
            lambda: self.api.number,
            self.publisher,
            self.certificates,
            run,
            self._tokens.fields,
        )
        self.swarm = SwarmListener(reactor, settings, self._asks, self.names, self._certifying, self._read)
        self._remembered: Remembered | None = None
        if self._state is not None:
            news = lambda: (self.names.epoch, self.swarm.owned())  # noqa: E731  short
            self._remembered = Remembered(self._state.folder, reactor, self._state.in_thread, news, self._known)

    def _make_looks(self) -> None:
        """
        What looks at all of it: is it loaded, is it ready, is it written down, is it read again.
        """
        settings, reactor = self.settings, self._reactor
        self._quarantine = Quarantine(self.data_plane, reactor)
        self._readiness = Readiness(self.plane, self._siblings, self.swarm, self.names)
        self._reload = FileReload(
            self._files,
            self._users,
            self._tokens,
            self.names,
            self.data_plane,
            lambda: self.publisher.snapshot,
            self._run,
            self._other_users,
        )
        self._config_text: ConfigText | None = None
        if settings.config_text:
            self._config_text = ConfigText(
                reactor, settings.config_text, self._text_version, lambda: as_text(self._control)
            )

    def _make_succession(self, command: Command | None) -> None:
        """
        What becomes of us when another version takes over.
        """
        settings, reactor = self.settings, self._reactor
        if command is not None and settings.state_dir:
            # As another user the default would be another folder.
            command = command.with_option("state-dir", os.path.abspath(settings.state_dir))
        upgrading = Upgrading(
            reactor,
            self.plane,
            self.api,
            self.publisher,
            self._state,
            self._remembered,
            lambda: self._readiness.phase,
            lambda: self._quarantine.services,
        )
        self._succession = Succession(
            reactor,
            command,
            upgrading.impossible,
            upgrading.missing,
            upgrading.settle,
            upgrading.resume,
            upgrading.left,
            self._environment,
            begun=lambda: self._notifier.reloading("another version is tried"),
            over=lambda why: self._notifier.ready(f"no upgrade, this version goes on: {why}"),
        )

    # --- life ------------------------------------------------------------------------------------------------

    def privilegedStartService(self) -> None:
        """
        Bind every address while we may.
        """
        TwistedService.privilegedStartService(self)
        if self._owner is not None and self._command is not None and self._command.log_file:
            give_log(self._command.log_file, self._owner)
        try:
            if self._state is not None:
                if self._heritage.left is not None and self._heritage.left.lock >= 0:
                    self._state.take_over(self._heritage.left.lock)
                self._state.claim()
            self.plane.open()
            # Half of the descriptors: the rest is for workers, files, and questions of our own.
            self.api.listen(make_site(self._control, self._guard, raised() // 2), self._heritage)
            self._take_certificates()
        except (InvalidSettings, OSError) as error:
            _give_up(str(error))

    def _take_certificates(self) -> None:
        """
        Read the files of certificates while we may; no worker ever serves without them.
        """
        self.plane.begin_with(self.publisher.begin_with(self._files.first()))
        for word in self.settings.tls.unheeded:
            log.warn("--ssl-bind-options: {word} has no effect: Python cannot set it", word=word)

    def startService(self) -> None:
        TwistedService.startService(self)
        # Only now: the process may have gone to the background.
        self._notifier = Notifier(self._environment, os.getpid(), self._reactor)
        self._notifier.watch(self._readiness.is_well)
        if self._state is not None and self._remembered is not None:
            self._restore(self._state, self._remembered)
        gc.set_threshold(*GC_THRESHOLDS)
        gc.freeze()
        if not os.isatty(0):
            # On a terminal it says that the terminal is gone, and ends us as it ends everything there.
            signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self.upgrade))
        self.names.start()
        self._traffic.start()
        self.servers.start()
        if self._config_text is not None:
            self._config_text.start()
        self._at_start = self._begin()
        self._at_start.addErrback(lambda failure: log.failure("the start failed", failure))

    def _restore(self, state: StateFolder, remembered: Remembered) -> None:
        """
        Put in force what was in force when we ended, before the first worker starts, so that none ever serves less.
        """
        try:
            found = state.open()
        except InvalidSettings as error:
            _give_up(str(error))
        known = remembered.read()
        self.names.recall(known.addresses)
        self.swarm.recall(known.listed)
        remembered.start()
        if found.revision:
            # Servers are told as soon as they are known: those given by address, and those known last, at once.
            restored = self._taken_up(found)
            restored.addCallback(self.revisions.begin)
            restored.addCallback(lambda _: self._overlaps.begin(tuple(found.services.values())))
            restored.addErrback(lambda failure: log.failure("what was in force cannot be taken up again", failure))

    def _taken_up(self, found: Replayed) -> Deferred[Revision]:
        services, holds = tuple(found.services.values()), tuple(found.holds.values())
        orders = tuple(order for of_one in found.orders.values() for order in of_one.values())
        return self.publisher.restore(services, found.revision, (), holds, orders)

    @inlineCallbacks
    def _begin(self) -> Generator[Deferred[Any], Any, None]:
        try:
            yield self.plane.start()
        except DfproxyError as error:
            log.critical("cannot serve: {reason}", reason=str(error))
            self._reactor.stop()
            return
        self._quarantine.start()
        yield Declared(self.settings.services, self._read, self._certifying).publish()
        if self._readiness.phase is Phase.STARTING:
            self._readiness.phase = Phase.SERVING
            self.swarm.start()
            self._expiry.start()
            self._siblings.fetch().addErrback(lambda failure: log.failure("asking siblings failed", failure))
        for listener in self.settings.listeners:
            log.info("serving HTTP on {address}:{port}", address=listener.address or "*", port=listener.port)
        log.info("control API on {host}:{port}", host=self.api.host, port=self.api.number)
        if self._readiness.phase is Phase.SERVING:
            self._notifier.ready(f"serving with {self.settings.workers} workers")
            if exposed(self.settings.api_address, self._guard):
                log.warn(
                    "whoever reaches the control API ({host}:{port}) can change all routes: bind it to an address of "
                    "your own network (--ip), or use --api-allow or --api-token-file; see docs/security.md",
                    host=self.api.host,
                    port=self.api.number,
                )

    def _read_again(self, parameters: tuple[tuple[str, str], ...], origin: str) -> Service | None:
        try:
            service = self._reading(list(parameters)).service
        except InvalidService:
            return None
        return None if service is None else replace(service, origin=origin)

    def _reading(self, pairs: Pairs) -> Reading:
        known, settings = self._strategies, self._users.settings
        template = partial(template_text, settings=settings)
        return read(pairs, (), settings, known.parse_balance, known.check_condition, template)

    def _read(self, pairs: Pairs) -> Reading:
        reading = self._reading(pairs)
        self.certificates.bring(reading)
        return reading

    @inlineCallbacks
    def stopService(self) -> Generator[Deferred[Any], Any, None]:
        """
        End gracefully: `ready` says no at once, and everything goes on for `drain_wait_s`, so that whoever sends us
        clients looks elsewhere first. Then accept nothing more, let what is under way finish, and end. A second signal
        ends at once.
        """
        was_serving = self._readiness.phase is Phase.SERVING
        self._readiness.phase = Phase.ENDING
        self._notifier.stopping("told to end; what is under way ends first")
        yield maybeDeferred(TwistedService.stopService, self)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._at_once)
        wait_s = self.settings.drain_wait_s
        if wait_s and was_serving:
            log.info("told to end: not ready any more, and serving for {wait} s yet", wait=wait_s)
            yield deferLater(self._reactor, wait_s)
        self.swarm.stop()
        self.checks.stop()
        self.servers.stop()
        self._expiry.stop()
        self._traffic.stop()
        self._quarantine.stop()
        yield self.api.stop()
        if self._config_text is not None:
            self._config_text.stop()
        self.ports.stop()
        yield self.plane.stop()
        if self._state is not None and self._remembered is not None:
            yield self._remembered.stop()
            yield self._state.stop()
        yield self._asks.close()
        yield self.names.stop()
        remove_pid_file(self._heritage.left)
        self._notifier.stop()

    # --- upgrade -----------------------------------------------------------------------------------------------

    def upgrade(self) -> None:
        """
        Somebody has sent SIGHUP. What comes of it is logged.
        """
        self._succession.upgrade().addErrback(lambda failure: failure.trap(NotUpgraded)).addErrback(
            lambda failure: log.failure("the upgrade went wrong", failure)
        )

    @inlineCallbacks
    def rehearse(self, workers: int) -> Generator[Deferred[Any], Any, Proof]:
        """
        Take up what is in force, as a start does, and serve nothing. Nothing is touched.

        Args:
            workers: how many there would be.

        Raises:
            DfproxyError: it cannot be taken up.
        """
        found = Replayed() if self._state is None else self._state.look()
        certificates = self._files.first()
        self.plane.begin_with(self.publisher.begin_with(certificates))
        restored = self._taken_up(found)
        yield self.plane.start()
        yield restored
        yield self._quarantine.look()
        yield self.plane.stop()
        identities = tuple(certificate.identity for certificate in certificates)
        return Proof(
            __version__, workers, found.revision, tuple(found.services), identities, dict(self._quarantine.services)
        )

    def _at_once(self, *_: object) -> NoReturn:
        for pid in self.plane.pids():
            os.kill(pid, signal.SIGKILL)
        os._exit(1)

    # --- what parts ask of each other --------------------------------------------------------------------------

    def _told(self, before: Snapshot, change: Change, causes: list[tuple[str, str]]) -> None:
        self.revisions.add(before, change, causes)
        self._overlaps.changed(change)
        self._quarantine.changed(change)

    def _ask_names(self, service: str, index: int) -> None:
        self.names.ask_now(service, index)

    def _known(self) -> Known:
        return Known(self.names.known(), tuple(sorted(self.swarm.owned() & self.publisher.snapshot.services.keys())))

    def _text_version(self) -> object:
        return self.publisher.snapshot.revision.number, self.names.epoch, tuple(self._quarantine.services)

    def _other_users(self) -> None:
        self._control.settings = self._users.settings

    def _make_control(self) -> Control:
        return Control(
            settings=self.settings,
            publisher=NotedPublisher(self._certifying, self.swarm.noted),
            names=self.names,
            strategies=self._strategies,
            routes=self._figures.routes,
            totals=self._figures.totals,
            data_plane=self.data_plane,
            clock=self._reactor,
            ready=self._readiness.problems,
            quarantined=lambda: self._quarantine.services,
            listener_fetched=self.swarm.fetched,
            notify=self.swarm.notify,
            replicas=Replicas(
                self._reactor, self._other_replicas, self._asks, lambda: self.api.number, self._tokens.fields
            ),
            measures=self._measures,
            shadows=self._overlaps.of,
            shadowed=self._overlaps.trial,
            certificates=self.certificates,
            pools=lambda: self.ports.pools,
            read_files=self._reload.again,
            revisions=self.revisions,
            servers=self.servers,
            upgrade=self._succession.upgrade,
            is_sourced=lambda service: service.origin != "dfp" or service.name in self.swarm.owned(),
        )

    def _other_replicas(self) -> Deferred[tuple[str, ...]]:
        return other_replicas(self.settings.service_name, self.settings.api_address, self.names, self._networks)

    def _measures(self) -> Iterable[Measure]:
        yield from self.names.measures()
        yield from self.swarm.measures()
        yield from self._expiry.measures()
        yield from self.checks.measures()
        yield from self.api.measures()
        yield from client_measures(self.plane.clients())
        if self._state is not None:
            yield from self._state.measures()


def _give_up(text: str) -> NoReturn:
    """
    End the process before it has begun: one line for each problem.
    """
    for line in text.splitlines():
        sys.stderr.write(f"dfproxy: {line}\n")
    raise SystemExit(1)
