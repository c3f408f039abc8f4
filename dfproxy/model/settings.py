"""
What the operator chose at start, checked. One value for the whole life of a process.

`dfproxy.dfp.settings` makes it from options, variables and secrets. It is sent to the workers as it is.

Source: DFP's environment (`TIMEOUT_*`, `DEFAULT_PORTS`, ...), HAProxy `timeout`, `maxconn`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dfproxy.model.listener import Listener
from dfproxy.model.service import Balance
from dfproxy.model.steps import Compression, User


@dataclass(frozen=True, slots=True)
class Limits:
    """
    Every bound. Sizes in bytes, times in seconds.

    Attributes:
        request_head_bytes: request line and fields; above: 431 (414 if the target alone is longer).
        response_head_bytes: status line and fields of a server; above: 502.
        fields: header lines in a head, either way.
        head_timeout_s: from the first wait for a request to its complete head; then 408.
        keep_alive_timeout_s: idle client connection between requests; then closed.
        client_timeout_s: pause in a request body, or client that does not read.
        connect_timeout_s: one attempt to connect to a server.
        connect_attempts: attempts in all, before 503.
        server_timeout_s: silent server, before or within its answer.
        tunnel_timeout_s: idle upgraded connection.
        queue_timeout_s: waiting for a place at a server.
        checks_per_s: checks of servers that are begun a second, at most.
        idle_upstreams: kept connections per server and worker.
        idle_upstream_s: how long one is kept.
        relay_buffer_bytes: high water of unsent bytes, each way.
        chunk_extension_bytes: extension of one chunk.
        trailer_bytes: trailer section.
        interim_answers: 1xx answers in one exchange.
        waiting_exchanges: exchanges per backend and worker that wait for its lone server to come back.
        client_connections: client connections of all workers together; 0: what 90 % of the descriptors can carry.
        client_streams: requests at once on one HTTP/2 connection of a client; above: REFUSED_STREAM.
        drain_s: how long requests under way may take when a worker ends.
        tunnel_drain_s: the same for upgraded connections, if it is longer.
        api_body_bytes: body of a call of the API; above: 413.
        api_calls: calls of the API under way at once.
        api_queue: calls that wait beyond them; above: 429.
        api_connections: connections to the API at once.
        channel_frame_bytes: one message between leader and worker; a service that does not fit is refused.
        channel_outstanding: questions that a worker may owe an answer to.
    """

    request_head_bytes: int = 16384
    response_head_bytes: int = 16384
    fields: int = 100
    head_timeout_s: float = 5.0
    keep_alive_timeout_s: float = 15.0
    client_timeout_s: float = 20.0
    connect_timeout_s: float = 5.0
    connect_attempts: int = 4
    server_timeout_s: float = 20.0
    tunnel_timeout_s: float = 3600.0
    queue_timeout_s: float = 30.0
    checks_per_s: int = 1000
    idle_upstreams: int = 64
    idle_upstream_s: float = 30.0
    relay_buffer_bytes: int = 262144
    chunk_extension_bytes: int = 4096
    trailer_bytes: int = 8192
    interim_answers: int = 20
    waiting_exchanges: int = 1024
    client_connections: int = 0
    client_streams: int = 100
    drain_s: float = 30.0
    tunnel_drain_s: float = 300.0
    api_body_bytes: int = 1048576
    api_calls: int = 50
    api_queue: int = 2000
    api_connections: int = 2500
    channel_frame_bytes: int = 16777216
    channel_outstanding: int = 1000


@dataclass(frozen=True, slots=True)
class Tls:
    """
    How TLS is spoken with clients.

    Attributes:
        min_version: lowest version: `TLSv1`, `TLSv1.1`, `TLSv1.2`, `TLSv1.3`.
        max_version: highest version; empty: the highest there is.
        tickets: sessions may be resumed by tickets.
        server_order: our order of ciphers counts, not the client's.
        ciphers: OpenSSL cipher list for TLS 1.2 and below; empty: Python's default.
        curve: the one curve for key exchange; empty: OpenSSL's choice.
        strict_sni: a client that names none of our names is refused instead of being shown the default certificate.
        ca_file: client certificates are asked for and checked against it; empty: none is asked for.
        client_ca: its content, PEM.
        preferred: globs of certificate files that come first.
        crt_list: path of a list that says which certificates are shown for which names; empty: none.
        unheeded: words that were accepted and cannot be followed.
    """

    min_version: str = "TLSv1.2"
    max_version: str = ""
    tickets: bool = True
    server_order: bool = True
    ciphers: str = ""
    curve: str = ""
    strict_sni: bool = False
    ca_file: str = ""
    client_ca: str = field(default="", repr=False)
    preferred: tuple[str, ...] = ()
    crt_list: str = ""
    unheeded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Statistics:
    """
    The statistics page.

    Attributes:
        uri: what path and query begin with.
        user: who may see it.
        password: with which password.
        is_open: everybody may see it.
        listeners: where it is alone; empty: on every HTTP listener of the data plane, before routes.
    """

    uri: str = "/admin?stats"
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    is_open: bool = False
    listeners: tuple[Listener, ...] = ()


@dataclass(frozen=True, slots=True)
class AccessLines:
    """
    How access lines look, and which are written.

    Attributes:
        form: `json` or `httplog`.
        prefix: put before each line (DFP writes `HAPRoxy: `).
        errors_only: only failures, retries and answers from 500 on.
        http: log format of HTTP lines in HAProxy's language; empty: the one of `httplog`.
        tcp: the same of TCP connections; empty: that of `tcplog`.
        captured: header fields of requests that are shown, each with its longest length in bytes.
    """

    form: str = "json"
    prefix: str = ""
    errors_only: bool = False
    http: str = ""
    tcp: str = ""
    captured: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """
    All options, checked and in our own units.

    Attributes:
        api_address: where the control API binds.
        api_port: its port; 0 lets the system choose.
        listeners: addresses of the data plane.
        addresses: where ports that services ask for are bound; empty text: on all IPv4 addresses.
        workers: data-plane processes; 0: inside the one process.
        state_dir: where durable state goes.
        certs_dir: folder of certificates.
        secrets_dir: folder of secrets.
        errorfiles_dir: folder of error pages.
        plugin_dirs: folders with further strategies, orders and conditions.
        balance: strategy of services that name none.
        route_order: which order decides between routes.
        host_form: how domains compare unless a service says otherwise (DFP `SERVICE_DOMAIN_ALGO`).
        separator: what separates items of a list parameter (DFP `SEPARATOR`).
        names: fixed addresses of names, asked before DNS.
        services: services published at start, each as a reconfigure query.
        access_log: empty: none; else a path, or `-` for standard output.
        access_lines: how these lines look.
        config_text: file kept with the table as HAProxy text; empty: none.
        docker_url: Docker Engine to watch; empty: none.
        api_token_file: file with the token that API calls must carry; empty: none.
        api_networks: networks that may call the API; empty: everybody.
        trusted_proxies: networks whose X-Forwarded-For is believed.
        in_swarm: names are asked as `tasks.<name>` whatever the resolver (DFP `MODE=swarm`).
        service_name: name of the proxy's own Swarm service; `tasks.<it>` are its replicas.
        swarm_listeners: host and port of each swarm listener that is asked for all services.
        reload_interval_s: longest pause between two questions to a swarm listener.
        reload_attempts: questions to each of several swarm listeners at that pace; one alone is asked until it answers.
        repeat_reload: go on asking a swarm listener after its answer; only if it is the only one.
        instance_name: which instance this is.
        filter_instances: take only services whose `proxyInstanceName` is ours.
        drain_wait_s: from the signal to end until listeners stop; `ready` says 503 meanwhile.
        http2: clients may speak HTTP/2.
        limits: every bound.
        tls: how TLS is spoken with clients.
        https_only: what came without TLS is redirected, whatever a service says.
        connection_mode: when connections are kept, in HAProxy's words; a service may only be stricter.
        compression: of services that say nothing of it; None: none.
        users: who may use services without users of their own; empty: everybody.
        front_lines: lines of HAProxy configuration that run for every request (`dfproxy.expressions.directives`).
        user_lists: text of each secret `dfp_users_<name>`, by that name.
        environment: variables that header rules may ask for.
        statistics: the statistics page; None: there is none.
    """

    api_address: str = "0.0.0.0"  # noqa: S104  DFP's default; the API is meant to be reached by its companions
    api_port: int = 8080
    listeners: tuple[Listener, ...] = (Listener("", 80), Listener("", 443, tls=True))
    addresses: tuple[str, ...] = ("",)
    workers: int = 1
    state_dir: str = ""
    certs_dir: str = "/certs"
    secrets_dir: str = "/run/secrets"
    errorfiles_dir: str = "/errorfiles"
    plugin_dirs: tuple[str, ...] = ()
    balance: Balance = Balance()
    route_order: str = "dfp"
    host_form: str = "hdr_beg(host)"
    separator: str = ","
    names: tuple[tuple[str, tuple[str, ...]], ...] = ()
    services: tuple[str, ...] = ()
    access_log: str = ""
    access_lines: AccessLines = AccessLines()
    config_text: str = ""
    docker_url: str = ""
    api_token_file: str = ""
    api_networks: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    in_swarm: bool = False
    service_name: str = "proxy"
    swarm_listeners: tuple[tuple[str, int], ...] = ()
    reload_interval_s: float = 5.0
    reload_attempts: int = 5
    repeat_reload: bool = False
    instance_name: str = "docker-flow"
    filter_instances: bool = False
    drain_wait_s: float = 0.0
    http2: bool = True
    limits: Limits = field(default_factory=Limits)
    tls: Tls = field(default_factory=Tls)
    https_only: bool = False
    connection_mode: str = "http-keep-alive"
    compression: Compression | None = None
    users: tuple[User, ...] = ()
    front_lines: tuple[str, ...] = field(default=(), repr=False)
    user_lists: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False, compare=False)
    statistics: Statistics | None = None

    @property
    def bound(self) -> tuple[Listener, ...]:
        """
        Every address that the data plane binds, that of the statistics included.
        """
        return self.listeners + (self.statistics.listeners if self.statistics is not None else ())
