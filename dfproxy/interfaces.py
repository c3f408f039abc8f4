"""
Every interface of dfproxy, as obligations of both sides.

Strategy authors need `IRequest`, `IServer`, `IBalancer` and `IBalancerFactory`; authors of route orders and
conditions `IRouteOrderFactory` and `IRouteConditionFactory`. `dfproxy.testing` has a contract suite for each.
"""

from __future__ import annotations

from typing import Any

from zope.interface import Attribute, Interface

# --- plugins -------------------------------------------------------------------------------------------------


class IRequest(Interface):
    """
    The head of a request, read only.

    Bytes are as they came, but for the case of `host`: nothing is decoded or normalised.
    """

    method = Attribute("bytes, such as b'GET'; case matters.")
    target = Attribute("bytes: the request target as it came.")
    path = Attribute("bytes: the target from its first slash up to, not including, `?`.")
    host = Attribute("bytes: value of the Host field with its port, in lower case; b'' if there is none.")
    client_host = Attribute("str: IP address of the client.")
    local_port = Attribute("int: port that the client connected to.")

    def values(name: bytes) -> list[bytes]:
        """
        All values of one field, in the order they came, without surrounding blanks.

        Args:
            name: field name in lower case.
        """


class IServer(Interface):
    """
    One server as a strategy sees it. Equal only to itself; kept by identity across changes.
    """

    name = Attribute("str: how statistics call it, such as `go-demo_0`; unique in its backend.")
    host = Attribute("str: IP address.")
    port = Attribute("int.")
    weight = Attribute(
        "int: its share relative to the others, 0 to 256, and 16 times that while one of them starts slowly; a server "
        "with 0 is never in `update`."
    )
    in_flight = Attribute("int: exchanges under way at it from this worker.")
    elsewhere = Attribute("int: exchanges under way at it from other workers, up to 0.1 s old.")


class IBalancer(Interface):
    """
    Picks a server for each request. One per backend and worker; never called from two threads.

    All calls come in this order for one request: `pick`, then if a connection was had `taken`, then exactly one
    `released`. `update` may come between any two calls, also between `taken` and `released` of a server that it
    no longer lists. Nothing here may block, wait, or return a Deferred.
    """

    def update(servers: tuple[IServer, ...]) -> None:
        """
        These servers may be used from now on (up, with a weight above 0). Sorted by address; may be empty.

        Called once before the first `pick`, and whenever a server comes, goes, changes its weight or its health.
        Servers that stay are the same objects.
        """

    def pick(request: IRequest) -> IServer | None:
        """
        Choose the server for one attempt.

        Returns:
            One of the last `update`, or None only if that was empty. Asked again for the same request when
            an attempt failed, and then free to answer the same server: the caller sees to another one.
        """

    def taken(server: IServer) -> None:
        """
        An exchange starts at this server; `server.in_flight` counts it already.
        """

    def released(server: IServer, latency_s: float, failed: bool) -> None:
        """
        That exchange is over; `server.in_flight` no longer counts it.

        Args:
            latency_s: seconds from sending the request to the head of the answer; 0.0 if there was none.
            failed: the server was at fault (no connection, no answer, garbage).
        """


class IBalancerFactory(Interface):
    """
    A strategy: a plugin of the package `dfproxy.plugins`, found by its name.
    """

    name = Attribute("str: what `balance=` calls it; letters, digits, `-` and `_`.")
    description = Attribute("str: one line for --help.")

    def build(arguments: tuple[str, ...], clock: object, random: object) -> IBalancer:
        """
        Make a balancer for one backend.

        Args:
            arguments: words after the name: `hdr(X-User)` gives `("X-User",)`.
            clock: `IReactorTime`.
            random: `random.Random`, the only source of chance.

        Raises:
            InvalidBalance: arguments that make no sense; the text is shown to the operator.
        """


class IRouteOrderFactory(Interface):
    """
    Decides which of several matching routes is first. A plugin of `dfproxy.plugins`; used only when compiling.
    """

    name = Attribute("str: what `--route-order` calls it.")
    description = Attribute("str: one line for --help.")

    def key(route: object) -> tuple[object, ...]:
        """
        Args:
            route: a `dfproxy.model.service.Route`.

        Returns:
            Something that sorts; the lowest matching route wins. Ties are broken by name and index.
        """


class IRouteConditionFactory(Interface):
    """
    A further condition on requests, asked only on routes that name it. A plugin of `dfproxy.plugins`.
    """

    name = Attribute("str: what `condition=` calls it.")
    description = Attribute("str: one line for --help.")

    def compile(values: tuple[str, ...]) -> object:
        """
        Returns:
            A callable of one `IRequest` that answers bool, quickly, and never raises.

        Raises:
            InvalidRoute: values that make no sense; the text is shown to the operator.
        """


# --- data plane ----------------------------------------------------------------------------------------------


class ILookup(Interface):
    """
    What decides where a request goes. The one thing a test or an embedding application may replace.
    """

    def lookup(request: IRequest) -> object | None:
        """
        The target of the first route that takes this request, or None. Never raises, never waits.
        """


class IDataPlane(Interface):
    """
    Whatever carries traffic: the one in this process, or all workers together. The publisher knows only this.
    """

    def prepare(change: Any) -> Any:
        """
        Do everything of a `dfproxy.model.snapshot.Change` that may fail, beside what runs.

        Prepared changes are committed or aborted before the next `prepare`.

        Returns:
            Deferred: None once every data plane is ready. Fails with `Refused`; then nothing is prepared anywhere.
        """

    def commit(revision: Any) -> Any:
        """
        Make the prepared change of that `Revision` effective. Cannot fail.

        Returns:
            Deferred: None once every data plane that can still accept has applied it.
        """

    def abort(revision: Any) -> None:
        """
        Forget the prepared change.
        """

    def members(membership: Any) -> None:
        """
        These are the servers of a destination now (`dfproxy.model.snapshot.Membership`). An unknown destination
        or an older epoch is ignored.
        """

    def query(what: str, argument: Any) -> Any:
        """
        Ask each data plane something that changes nothing: `stats`, `transports`, `quarantine`, `ping`.

        Returns:
            Deferred: a list of one answer each (JSON-able), at most 250 ms later; None for one that did not answer.
        """


class IPublisher(Interface):
    """
    The one door through which definitions change.
    """

    snapshot = Attribute("Snapshot: what is in force now.")

    def publish(services: tuple[Any, ...], certificates: tuple[Any, ...] = (), cause: str = "") -> Any:
        """
        Put these definitions in force, all or none; each replaces the one of its name (identity).

        Args:
            services: with their origins.
            certificates: likewise.
            cause: why, a word or two for the list of revisions.

        Returns:
            Deferred: the `Revision` once it is effective everywhere. Fails with `Refused` (nothing changed), with
            `Superseded`, with `Overloaded`, with `Claimed` (a name belongs to another origin) or with `JournalError`
            (it cannot be made durable, nothing changed).
        """

    def withdraw(names: tuple[str, ...], origin: str = "dfp", cause: str = "") -> Any:
        """
        Take these services (by name) and certificates (by identity) away; unknown ones are fine.

        Args:
            names: of them.
            origin: on whose behalf (`Service.origin`); a service of another one is not taken away.
            cause: as for `publish`.

        Returns:
            Deferred: the `Revision`, as `publish`.
        """

    def change(
        services: tuple[Any, ...],
        removed: tuple[str, ...] = (),
        certificates: tuple[Any, ...] = (),
        origin: str = "dfp",
        cause: str = "",
        holds: tuple[Any, ...] | None = None,
    ) -> Any:
        """
        Publish and withdraw at once, all or none, in one revision.

        Args:
            services: as for `publish`.
            removed: as for `withdraw`.
            certificates: as for `publish`.
            origin: as for `withdraw`.
            cause: as for `publish`.
            holds: an operator goes back to something: each `Hold` keeps out what a source says, until that says
                something else; names may belong to anybody. None: an ordinary change, to which holds apply.

        Returns:
            Deferred: the `Revision`, as `publish`.
        """


class INames(Interface):
    """
    Who the servers of a destination are; pushes memberships as they change.
    """

    def first_servers(services: tuple[Any, ...]) -> Any:
        """
        Start to know these definitions.

        Returns:
            Deferred: tuple of `Membership`, one for each destination, as soon as all are known, at the latest after
            a second; a destination whose name does not resolve has no servers. Never fails.
        """

    def keep(services: tuple[Any, ...]) -> None:
        """
        These are in force: go on telling about their servers (replaces former definitions of their names).
        """

    def forget(names: tuple[str, ...]) -> None:
        """
        These are gone.
        """
