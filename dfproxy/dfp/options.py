"""
The one table of options: name, variable, kind, default, group and help of each.

The command line, its help, the reading of variables and secrets, and `docs/options.md` all come from here. A feature
that is still to come has its row already, so that an operator's existing stack starts.

Source: design of the command line; DFP's environment; HAProxy `timeout`, `tune`.
"""

from __future__ import annotations

from dataclasses import dataclass

from dfproxy.dfp import option_values as kinds
from dfproxy.dfp.option_values import Parser, count, seconds, size, switch, word_of
from dfproxy.dfp.steps import MODES, algorithms, media_types

NOT_YET = "accepted, has no effect yet"
NOT_APPLICABLE = "not applicable: "

API, PORTS, PROCESS, FILES, ROUTES, NAMES, SERVICES, TIMES, SIZES, TLS, LOGS, ACCESS, SOURCES, OTHER = (
    "Control API",
    "Ports",
    "Processes",
    "Files",
    "Routing and balancing",
    "Names",
    "Services at start",
    "Times",
    "Sizes and counts",
    "TLS",
    "Logs",
    "Users and statistics",
    "Discovery",
    "Accepted from DFP",
)
GROUPS = (API, PORTS, PROCESS, FILES, ROUTES, NAMES, SERVICES, TIMES, SIZES, TLS, LOGS, ACCESS, SOURCES, OTHER)


@dataclass(frozen=True, slots=True)
class Option:
    """
    One thing an operator may choose.

    Attributes:
        name: of the command-line option, without dashes.
        variable: of the environment; `dfp_` and it in lower case names the secret.
        kind: placeholder in the help.
        default: the text that gives the default value; empty: none, or worked out (the help says how).
        group: heading that it stands under.
        help: one line.
        parse: turns the text into the value, or says why not.
        target: attribute of `Settings` that it becomes, `limits.x` for one of its limits; empty: treated by name.
        repeats: may be given several times; what separates several in a variable.
        later: why it has no effect (yet); empty: it has.
        hidden: its value is never shown.
    """

    name: str
    variable: str
    kind: str
    default: str
    group: str
    help: str
    parse: Parser
    target: str = ""
    repeats: str = ""
    later: str = ""
    hidden: bool = False

    @property
    def secret(self) -> str:
        """
        File name of its Docker secret.
        """
        return f"dfp_{self.variable.lower()}"


def _time(name: str, variable: str, default: str, help: str, limit: str) -> Option:
    return Option(name, variable, "SECONDS", default, TIMES, help, seconds(), f"limits.{limit}")


def _size(name: str, default: str, help: str, limit: str, low: int, high: int) -> Option:
    variable = name.replace("-", "_").upper()
    return Option(name, variable, "BYTES", default, SIZES, help, size(low, high), f"limits.{limit}")


def _count(name: str, default: str, help: str, limit: str, low: int, high: int) -> Option:
    variable = name.replace("-", "_").upper()
    return Option(name, variable, "N", default, SIZES, help, count(low, high), f"limits.{limit}")


def _not_here(variable: str, kind: str, default: str, help: str, reason: str) -> Option:
    """
    A variable of DFP that means nothing here.

    Args:
        help: what it was for.
        reason: why it is not any more.
    """
    parse: Parser = kinds.lines
    if kind == "yes|no":
        parse = switch
    elif kind == "N":
        parse = count(0, 2**31)
    elif "|" in kind:
        parse = word_of(*kind.split("|"))
    name = variable.lower().replace("_", "-")
    return Option(name, variable, kind, default, OTHER, help, parse, later=NOT_APPLICABLE + reason)


OPTIONS: tuple[Option, ...] = (
    Option("ip", "IP", "ADDR", "0.0.0.0", API, "address of the API", kinds.address, "api_address"),  # noqa: S104  DFP's
    Option("port", "PORT", "N", "8080", API, "port of the API", count(0, 65535), "api_port"),
    Option(
        "api-allow", "API_ALLOW", "NETWORKS", "", API,
        "networks that may call the API, separated by commas; none: everybody", kinds.networks, "api_networks",
    ),
    Option(
        "api-token-file", "API_TOKEN_FILE", "FILE", "", API,
        "file with the tokens that API calls must carry, one a line; none: no token", kinds.optional_path,
        "api_token_file",
    ),
    Option(
        "api-connections", "API_CONNECTIONS", "N", "2500", API, "connections to the API at once", count(10, 1_000_000),
        "limits.api_connections",
    ),
    Option(
        "api-body", "API_BODY", "BYTES", "1m", API, "largest body of a call: 413", size(1024, 1 << 30),
        "limits.api_body_bytes",
    ),
    Option(
        "api-calls", "API_CALLS", "N", "50", API, "calls in flight", count(1, 100_000), "limits.api_calls",
    ),
    Option(
        "api-queue", "API_QUEUE", "N", "2000", API, "calls that wait beyond: 429", count(0, 1_000_000),
        "limits.api_queue",
    ),
    Option(
        "default-ports", "DEFAULT_PORTS", "PORTS", "80,443:ssl", PORTS,
        "ports of the data plane: <port>[ <bind options>][:ssl], separated by commas", kinds.ports,
    ),
    Option("bind-ports", "BIND_PORTS", "PORTS", "", PORTS, "further ports, written likewise", kinds.ports),
    Option(
        "bind-address", "BIND_ADDRESS", "ADDR", "", PORTS,
        "addresses to bind these ports on, separated by commas; none: all IPv4", kinds.addresses,
    ),
    Option(
        "trusted-proxies", "TRUSTED_PROXIES", "NETWORKS", "", PORTS,
        "networks of proxies whose X-Forwarded-For and -Proto are believed, separated by commas",
        kinds.networks, "trusted_proxies",
    ),
    Option(
        "workers", "WORKERS", "N", "auto", PROCESS,
        "data-plane processes; auto: one for each processor; 0: inside the one process", kinds.workers,
    ),
    Option(
        "channel-frame", "CHANNEL_FRAME", "BYTES", "16m", PROCESS, "largest message between leader and workers",
        size(1 << 20, 1 << 30), "limits.channel_frame_bytes",
    ),
    Option(
        "channel-outstanding", "CHANNEL_OUTSTANDING", "N", "1000", PROCESS, "messages a worker may owe an answer to",
        count(100, 1_000_000), "limits.channel_outstanding",
    ),
    Option(
        "state-dir", "STATE_DIR", "DIR", "", FILES,
        "what must survive a restart; none: /var/lib/dfproxy for root, else in your state folder", kinds.path,
        "state_dir",
    ),
    Option("certs-dir", "CERTS_DIR", "DIR", "/certs", FILES, "folder of certificates", kinds.path, "certs_dir"),
    Option(
        "secrets-dir", "SECRETS_DIR", "DIR", "/run/secrets", FILES, "folder of secrets", kinds.path, "secrets_dir"
    ),
    Option(
        "errorfiles", "ERRORFILES", "DIR", "/errorfiles", FILES,
        "folder of error pages: 503.http and its like, raw answers",
        kinds.path, "errorfiles_dir",
    ),
    Option(
        "plugins", "PLUGINS", "DIR", "", FILES, "folder with strategies, orders and conditions; repeatable", kinds.path,
        "plugin_dirs", repeats=":",
    ),
    Option(
        "config-text", "CONFIG_TEXT", "FILE", "", FILES,
        "keep the table as HAProxy text here; none: /cfg/haproxy.cfg where /cfg exists", kinds.optional_path,
        "config_text",
    ),
    Option(
        "balance", "BALANCE", "STRATEGY", "roundrobin", ROUTES, "strategy of services that name none", kinds.balance,
        "balance",
    ),
    Option(
        "route-order", "ROUTE_ORDER", "ORDER", "dfp", ROUTES, "which of several matching routes is first", kinds.word,
        "route_order",
    ),
    Option(
        "connection-mode", "CONNECTION_MODE", "|".join(MODES), "http-keep-alive", ROUTES,
        "when connections are kept; httpclose closes the clients' too; services may be stricter",
        word_of(*MODES), "connection_mode",
    ),
    Option(
        "compression-algo", "COMPRESSION_ALGO", "ALGORITHMS", "", ROUTES,
        "compress answers of services that do not say: br gzip deflate raw-deflate, by blanks",
        algorithms,
    ),
    Option(
        "compression-type", "COMPRESSION_TYPE", "TYPES", "", ROUTES,
        "beginnings of media types that are compressed, separated by blanks; none: all", media_types,
    ),
    Option(
        "service-domain-algo", "SERVICE_DOMAIN_ALGO", "FORM", "hdr_beg(host)", ROUTES,
        "how domains compare unless a service says otherwise", kinds.host_form, "host_form",
    ),
    Option(
        "separator", "SEPARATOR", "TEXT", ",", ROUTES, "separates the items of list parameters", kinds.separator,
        "separator",
    ),
    Option(
        "resolve", "RESOLVE", "NAME=ADDR[,ADDR...]", "", NAMES, "addresses of a name, before DNS; repeatable",
        kinds.fixed_name, "names", repeats=" ",
    ),
    Option(
        "mode", "MODE", "default|service|swarm", "default", NAMES,
        "swarm: ask for tasks.<name> whatever the resolver", word_of("default", "service", "swarm"),
    ),
    Option(
        "service", "SERVICE", "QUERY", "", SERVICES,
        "a service at start, written as a reconfigure query; repeatable", kinds.query, "services", repeats="\n",
        hidden=True,
    ),
    Option(
        "default-protocol", "DEFAULT_PROTOCOL", "http|tcp|sni", "http", SERVICES,
        "reqMode of DFP_SERVICE_* services that give none", word_of("http", "tcp", "sni"),
    ),
    _time("timeout-http-request", "TIMEOUT_HTTP_REQUEST", "5", "until the head of a request is complete: 408",
          "head_timeout_s"),
    _time("timeout-http-keep-alive", "TIMEOUT_HTTP_KEEP_ALIVE", "15", "idle client between requests",
          "keep_alive_timeout_s"),
    _time("timeout-client", "TIMEOUT_CLIENT", "20", "pause in a request body", "client_timeout_s"),
    _time("timeout-connect", "TIMEOUT_CONNECT", "5", "one attempt to connect to a server", "connect_timeout_s"),
    _time("timeout-server", "TIMEOUT_SERVER", "20", "silent server: 504", "server_timeout_s"),
    _time("timeout-tunnel", "TIMEOUT_TUNNEL", "3600", "idle upgraded connection", "tunnel_timeout_s"),
    _time("timeout-queue", "TIMEOUT_QUEUE", "30", "waiting for a place at a server: 503", "queue_timeout_s"),
    _time("timeout-idle-upstream", "TIMEOUT_IDLE_UPSTREAM", "30", "how long an idle server connection is kept",
          "idle_upstream_s"),
    _time("timeout-drain", "TIMEOUT_DRAIN", "30", "requests under way when a worker ends", "drain_s"),
    _time("timeout-tunnel-drain", "TIMEOUT_TUNNEL_DRAIN", "300",
          "upgraded connections when a worker ends; never less than --timeout-drain", "tunnel_drain_s"),
    Option(
        "drain-wait", "DRAIN_WAIT", "SECONDS", "0", TIMES,
        "listeners go on so long after SIGTERM, while /ready says 503", seconds(0.0, 3600.0), "drain_wait_s",
    ),
    _count("connect-attempts", "4", "attempts to connect in all, before 503", "connect_attempts", 1, 100),
    _size("max-request-head", "16k", "request line and fields: 431", "request_head_bytes", 1024, 1 << 20),
    _size("max-response-head", "16k", "status line and fields of a server: 502", "response_head_bytes", 1024, 1 << 20),
    _count("max-fields", "100", "header lines, either way", "fields", 8, 10_000),
    _count("max-connections", "0", "client connections; 0: 90 % of the descriptors", "client_connections", 0,
           10_000_000),
    _count("max-streams", "100", "requests at once on one HTTP/2 connection", "client_streams", 1, 100_000),
    _count("check-budget", "1000", "checks of servers a second, of all together", "checks_per_s", 1, 100_000),
    _count("max-idle-upstreams", "64", "idle connections kept per server and worker", "idle_upstreams", 0, 100_000),
    _count("max-waiting", "1024", "exchanges per backend and worker that wait for its lone server",
           "waiting_exchanges", 0, 1_000_000),
    _size("relay-buffer", "256k", "unsent bytes of an exchange, each way", "relay_buffer_bytes", 4096, 1 << 30),
    _size("max-chunk-extension", "4k", "extension of one chunk", "chunk_extension_bytes", 0, 1 << 20),
    _size("max-trailers", "8k", "trailer section", "trailer_bytes", 0, 1 << 20),
    _count("max-interim-answers", "20", "1xx answers of one exchange", "interim_answers", 0, 10_000),
    Option(
        "ca-file", "CA_FILE", "FILE", "", TLS, "client certificates are asked for, and checked against it",
        kinds.optional_path, "tls.ca_file",
    ),
    Option(
        "crt-list-path", "CRT_LIST_PATH", "FILE", "", TLS,
        "HAProxy crt-list: says for which names each certificate is shown, instead of its own names",
        kinds.optional_path, "tls.crt_list",
    ),
    Option("enable-h2", "ENABLE_H2", "yes|no", "true", TLS, "clients may speak HTTP/2", switch, "http2"),
    Option(
        "preferred-certificate", "PREFERRED_CERTIFICATE", "GLOBS", "", TLS,
        "files of certificates that come first, such as main*.pem, separated by commas", kinds.globs, "tls.preferred",
    ),
    Option(
        "ssl-bind-ciphers", "SSL_BIND_CIPHERS", "TEXT", "", TLS, "OpenSSL cipher list, for TLS 1.2 and below",
        kinds.text, "tls.ciphers",
    ),
    Option(
        "ssl-bind-options", "SSL_BIND_OPTIONS", "TEXT", "", TLS,
        "such as ssl-min-ver TLSv1.3 no-tls-tickets; TLS 1.2 is the lowest unless this says otherwise",
        kinds.tls_options,
    ),
    Option(
        "https-only", "HTTPS_ONLY", "yes|no", "false", TLS, "redirect everything to https, whatever services say",
        switch, "https_only",
    ),
    Option(
        "access-log", "ACCESS_LOG", "WHERE", "off", LOGS,
        "off, json, httplog, - or a file; json:FILE, httplog:FILE", kinds.access_log,
    ),
    Option(
        "debug", "DEBUG", "yes|no", "false", LOGS, "access lines to standard output, as --access-log httplog", switch
    ),
    Option(
        "capture-request-header", "CAPTURE_REQUEST_HEADER", "NAME:LEN,...", "", LOGS,
        "fields of requests shown in access lines, each with its longest length", kinds.captured,
    ),
    Option(
        "debug-errors-only", "DEBUG_ERRORS_ONLY", "yes|no", "false", LOGS,
        "access lines of errors, time-outs, retries and answers from 500 on only", switch,
    ),
    Option(
        "debug-http-format", "DEBUG_HTTP_FORMAT", "FORMAT", "", LOGS,
        "form of HTTP access lines, as HAProxy log-format; with --debug or httplog", kinds.http_format,
    ),
    Option(
        "debug-tcp-format", "DEBUG_TCP_FORMAT", "FORMAT", "", LOGS,
        "form of TCP access lines, likewise", kinds.tcp_format,
    ),
    Option(
        "users", "USERS", "USERS", "", ACCESS, "name:password,... who may use services without users of their own",
        kinds.lines, hidden=True,
    ),
    Option(
        "users-pass-encrypted", "USERS_PASS_ENCRYPTED", "yes|no", "false", ACCESS, "their passwords are crypt hashes",
        switch,
    ),
    Option(
        "stats-user", "STATS_USER", "NAME", "", ACCESS,
        "user of the statistics page; it is there if user and password are given; none: everybody", kinds.text,
        hidden=True,
    ),
    Option(
        "stats-pass", "STATS_PASS", "PASSWORD", "", ACCESS, "its password; none: everybody", kinds.text, hidden=True,
    ),
    Option(
        "stats-uri", "STATS_URI", "URI", "/admin?stats", ACCESS, "what its path and query begin with", kinds.stats_uri,
    ),
    Option(
        "stats-port", "STATS_PORT", "PORT", "", ACCESS,
        "a port where it is alone; none, or 80: on every HTTP port, before services", count(1, 65535),
    ),
    Option(
        "stats-user-env", "STATS_USER_ENV", "NAME", "STATS_USER", ACCESS, "variable that holds the user", kinds.text,
    ),
    Option(
        "stats-pass-env", "STATS_PASS_ENV", "NAME", "STATS_PASS", ACCESS, "variable that holds the password",
        kinds.text,
    ),
    Option(
        "stats-uri-env", "STATS_URI_ENV", "NAME", "STATS_URI", ACCESS, "variable that holds the address", kinds.text,
    ),
    Option(
        "docker", "DOCKER", "URL", "", SOURCES, "Docker Engine to watch", kinds.url, "docker_url", later=NOT_YET
    ),
    Option(
        "listener-address", "LISTENER_ADDRESS", "HOSTS", "", SOURCES,
        "swarm listeners asked for all services: host[:port],...; port 8080 unless given",
        kinds.hosts, "swarm_listeners",
    ),
    Option(
        "reload-interval", "RELOAD_INTERVAL", "MS", "5000", SOURCES, "longest pause between questions to a listener",
        kinds.milliseconds, "reload_interval_s",
    ),
    Option(
        "reload-attempts", "RELOAD_ATTEMPTS", "N", "5", SOURCES,
        "questions to each of several listeners; one alone is asked until it answers", count(1, 2**31),
        "reload_attempts",
    ),
    Option(
        "repeat-reload", "REPEAT_RELOAD", "yes|no", "false", SOURCES, "go on asking the only listener after its answer",
        switch, "repeat_reload",
    ),
    Option(
        "service-name", "SERVICE_NAME", "NAME", "proxy", SOURCES,
        "our own Swarm service (<stack>_<service>): tasks.<name> are the replicas",
        kinds.host, "service_name",
    ),
    Option(
        "proxy-instance-name", "PROXY_INSTANCE_NAME", "NAME", "docker-flow", SOURCES, "which instance this is",
        kinds.text, "instance_name",
    ),
    Option(
        "filter-proxy-instance-name", "FILTER_PROXY_INSTANCE_NAME", "yes|no", "false", SOURCES,
        "take only services whose proxyInstanceName is ours", switch, "filter_instances",
    ),
    Option(
        "extra-frontend", "EXTRA_FRONTEND", "TEXT", "", ROUTES,
        "lines of HAProxy configuration for every request (docs/rawtext.md)", kinds.lines, hidden=True,
    ),
    Option(
        "healthcheck", "HEALTHCHECK", "yes|no", "true", OTHER,
        "the image's health check asks whether the proxy is ready; the check reads it, not the proxy", switch,
    ),
    _not_here("CERTS", "TEXT", "", "nothing, in DFP either", "it had no effect"),
    _not_here("CFG_TEMPLATE_PATH", "FILE", "/cfg/tmpl/haproxy.tmpl", "template of HAProxy's configuration",
              "there is no HAProxy; what a template of your own adds is NOT IN FORCE, say it with parameters"),
    _not_here("CHECK_RESOLVERS", "yes|no", "false", "names are asked again while running", "they always are"),
    _not_here("DEFAULT_REQ_MODE", "http|tcp", "http", "mode of the shared ports",
              "these speak HTTP; a service says reqMode and has a port of its own"),
    _not_here("DISPLAY_CONFIG_ON_ERROR", "TEXT", "", "configuration in error messages",
              "a refusal names the parameter; the configuration is what config answers"),
    _not_here("DNS_LOOKUP_PAUSE_MS", "MS", "", "pause before other replicas are asked for certificates",
              "they are asked until they answer"),
    _not_here("DO_NOT_RESOLVE_ADDR", "yes|no", "false", "names need not resolve",
              "they never need to: their requests get 503 until they do"),
    _not_here("EXTRA_GLOBAL", "TEXT", "", "HAProxy directives about the process",
              "there is no HAProxy; limits and times are options here"),
    _not_here("RECONFIGURE_ATTEMPTS", "N", "20", "attempts to make HAProxy take a configuration",
              "a change is checked once, and refused at once"),
    _not_here("RESOLVERS", "TEXT", "nameserver dns 127.0.0.11:53", "HAProxy's resolvers",
              "names are asked where the system asks (/etc/resolv.conf); --resolve comes first"),
    _not_here("SKIP_ADDRESS_VALIDATION", "TEXT", "true", "false: refuse services whose name does not resolve",
              "a name may come later than its service: its requests get 503 until it resolves"),
    _not_here("TERMINATE_ON_RELOAD", "yes|no", "false", "end old processes at once",
              "nothing is reloaded, there are no old processes"),
)  # fmt: skip
"""
Every option. Rows are compact on purpose: it is read as a table.
"""

BY_NAME = {option.name: option for option in OPTIONS}


def markdown() -> str:
    """
    The table as a page for operators.
    """
    page = [
        "# Options",
        "",
        "Each option of `twistd dfproxy` may also be given as an environment variable or as a secret: a file in the",
        "folder of secrets, named `dfp_` and the variable in lower case (`dfp_timeout_server`). The option wins over",
        "the secret, the secret over the variable, the variable over the default; an empty variable is none.",
        "A variable with `_FILE` at its end (`TIMEOUT_SERVER_FILE`) names a file that holds the value.",
        "",
        "Times are seconds, or such as `500ms`, `5min`, `1h`; sizes are bytes, or such as `16k`, `1m`. In a variable,",
        "several values of a repeatable option are separated by `:` (`PLUGINS`), blanks (`RESOLVE`) or line ends",
        "(`SERVICE`).",
    ]
    for group in GROUPS:
        page += ["", f"## {group}", "", "| option | variable | default | |", "|---|---|---|---|"]
        for option in OPTIONS:
            if option.group == group:
                kind, default = option.kind.replace("|", "\\|"), option.default
                shown = f"`{default}`" if default else ""
                note = f" ({option.later})" if option.later else ""
                help = option.help.replace("<", "\\<")
                page.append(f"| `--{option.name} {kind}` | `{option.variable}` | {shown} | {help}{note} |")
    return "\n".join(page) + "\n"
