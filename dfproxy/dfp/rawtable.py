"""
One table of HAProxy's directives: which work in raw text, which have nothing to do here, which are refused and what to
write instead.

`dfproxy.dfp.rawtext` reads by it, and `python -m dfproxy.dfp.rawtable` prints docs/rawtext.md. A directive that is not
here is refused too. Nothing that keeps somebody out (`deny`, `auth`, `reject`, `tarpit`, `block`) is ever without
effect.

Longer than modules should be, and still one thing: a table.

Source: HAProxy 2.6 manual, section 4.1 (proxy keywords); 1.8 for those that are gone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Place = Literal["backend", "frontend"]
Fate = Literal["works", "noted", "refused"]

BACKEND: tuple[Place, ...] = ("backend",)
FRONTEND: tuple[Place, ...] = ("frontend",)
BOTH: tuple[Place, ...] = ("backend", "frontend")

GIVEN_AS: dict[Place, str] = {"backend": "backendExtra", "frontend": "EXTRA_FRONTEND"}


@dataclass(frozen=True, slots=True)
class Row:
    """
    One directive.

    Attributes:
        name: its first word, or its first two where the second says what it does.
        fate: it works; it is accepted and has nothing to do; it is refused.
        text: what of it works, why it has nothing to do, or why not and what to write instead.
        places: where it may stand.
        gone: HAProxy 2.6 does not know it any more.
    """

    name: str
    fate: Fate
    text: str
    places: tuple[Place, ...] = BOTH
    gone: bool = False


def _each(fate: Fate, text: str, names: str, places: tuple[Place, ...] = BOTH, gone: bool = False) -> Iterable[Row]:
    """
    The same for several, separated by commas.
    """
    return [Row(name.strip(), fate, text, places, gone) for name in names.split(",")]


_LOG = "what is logged, and how, is said by DEBUG, ACCESS_LOG and DEBUG_HTTP_FORMAT"
_CHECKS = "say checkPath or checkTcp=true instead: servers are checked as these parameters say"
_SOCKETS = "sockets are set up as is best here"
_OLD_RULE = "HAProxy 2.x does not know it any more either; write"
_RATES = "there are no tables of clients and no limits of rates"
_MAPS = "there are no maps and lists that change while running"
_STICK = "clients are kept at their servers by sessionType=sticky-server"
_SERVER = "servers are given by outboundHostname, discoveryType or endpoints"
_TARPIT = "it would hold connections; write http-request deny deny_status 429"
_CLOSE = "a connection is not cut without an answer; write http-request deny"
_STATS = "the statistics page is made by STATS_USER, STATS_PASS, STATS_URI and STATS_PORT"
_TCP = "connections are not judged before their request; write http-request deny if { src ... }, or denyFrom"
_PAGES = "pages are read from ERRORFILES, one <status>.http for each"
_AFTER = "write http-response; what the proxy answers itself cannot be changed"
_REDIRECT = "a redirect of answers is not made; write http-request redirect"
_STATES = "answers of servers are not refused; write http-response set-status, or deny the request"
_SYSTEM = "marks of the network and the kernel are not set"

ROWS: tuple[Row, ...] = (
    # --- what works ---
    Row("acl", "works", "a test with a name; several lines of one name are alternatives. Must stand before its use"),
    *_each("works", "value in log format", "http-request set-header, http-request add-header"),
    Row("http-request del-header", "works", "whole names only, without `-m`"),
    *_each(
        "works",
        "the whole value, or each between commas, becomes the replacement if the expression is found in it",
        "http-request replace-header, http-request replace-value",
    ),
    *_each(
        "works",
        "value in log format",
        "http-request set-path, http-request set-pathq, http-request set-query, http-request set-uri",
    ),
    *_each(
        "works",
        "all of it becomes the replacement if the expression is found in it",
        "http-request replace-path, http-request replace-pathq, http-request replace-uri",
    ),
    Row(
        "http-request redirect",
        "works",
        "`location`, `prefix` or `scheme`; `code` 301, 302, 303, 307 or 308; `drop-query`, `append-slash`, "
        "`ignore-empty`, `set-cookie`, `clear-cookie`",
    ),
    Row(
        "http-request deny",
        "works",
        "403, or `deny_status`; with `content-type`, `string`, `lf-string`, `hdr` the answer itself. No files of pages",
    ),
    Row("http-request return", "works", "`status`, `content-type`, `string`, `lf-string`, `hdr`. No files"),
    Row("http-request allow", "works", "no further rule of the same text"),
    *_each(
        "works",
        "variables `txn.`, `req.` and `res.`, which live as long as the request and its answer; `%[var(txn.x)]`",
        "http-request set-var, http-request set-var-fmt, http-request unset-var, http-response set-var, "
        "http-response set-var-fmt, http-response unset-var",
    ),
    *_each("works", "value in log format", "http-response set-header, http-response add-header"),
    Row("http-response del-header", "works", "whole names only, without `-m`"),
    *_each("works", "as for requests", "http-response replace-header, http-response replace-value"),
    Row("http-response set-status", "works", "with `reason` if wanted; not to or from 204 and 304"),
    Row("http-response allow", "works", "no further rule of the same text"),
    Row("redirect", "works", "as `http-request redirect`, after all `http-request` lines, its value as it is"),
    Row("use_backend", "works", "a backend by its name in `config`, before routes; 503 if it is not there", FRONTEND),
    Row("monitor-uri", "works", "answered 200 before all rules", FRONTEND),
    Row("maxconn", "works", "instead of MAX_CONNECTIONS", FRONTEND),
    *_each("works", "instead of the variable TIMEOUT_CLIENT", "timeout client", FRONTEND),
    *_each("works", "instead of the variable TIMEOUT_HTTP_REQUEST", "timeout http-request", FRONTEND),
    *_each("works", "instead of the variable TIMEOUT_HTTP_KEEP_ALIVE", "timeout http-keep-alive", FRONTEND),
    Row("timeout server", "works", "instead of `timeoutServer`", BACKEND),
    Row("timeout tunnel", "works", "instead of `timeoutTunnel`", BACKEND),
    Row("option httpchk", "works", "as `checkPath`, which wins if given; GET, HEAD or OPTIONS; starts checks", BACKEND),
    Row(
        "http-check",
        "works",
        "`expect status`, `expect string`, `send`: `checkStatus`, `checkBody`, `checkPath`",
        BACKEND,
    ),
    Row("option tcp-check", "works", "as `checkTcp=true`, unless `checkTcp` is given", BACKEND),
    Row("timeout check", "works", "as `checkTimeout`, which wins if given", BACKEND),
    Row("timeout queue", "works", "as `queueTimeout`, which wins if given", BACKEND),
    Row("retries", "works", "as the parameter of this name, which wins if given", BACKEND),
    Row("retry-on", "works", "as `retryOn`, which wins if given", BACKEND),
    Row("balance", "works", "instead of `balance`: any strategy that there is", BACKEND),
    *_each(
        "works",
        "the server's connection is closed after each answer",
        "option http-server-close, option httpclose",
        BACKEND,
    ),
    Row("option forceclose", "works", "the server's connection is closed after each answer", BACKEND, gone=True),
    Row("option forwardfor", "works", "X-Forwarded-For is always added; without `except`, `header` and `if-none`"),
    Row("mode", "works", "`http` only"),
    Row("errorfile", "works", "the page that is in use anyway, <status>.http in ERRORFILES; no other file"),
    # --- what has nothing to do ---
    *_each(
        "noted",
        _LOG,
        "log, log-format, log-format-sd, log-tag, error-log-format, unique-id-format, option httplog, option tcplog, "
        "option httpslog, option dontlognull, option dontlog-normal, option logasap, option log-separate-errors, "
        "option log-health-checks, http-request set-log-level, http-response set-log-level",
    ),
    *_each(
        "noted",
        "it only fills the log; CAPTURE_REQUEST_HEADER says what of requests is in it",
        "capture, declare, http-request capture, http-response capture",
    ),
    *_each(
        "noted",
        _SOCKETS,
        "backlog, option http-no-delay, option tcp-smart-accept, option tcp-smart-connect, option nolinger, "
        "option clitcpka, option srvtcpka, option tcpka, clitcpka-cnt, clitcpka-idle, clitcpka-intvl, srvtcpka-cnt, "
        "srvtcpka-idle, srvtcpka-intvl, option splice-auto, option splice-request, option splice-response, "
        "option independent-streams, option socket-stats, option contstats, http-request set-nice, "
        "http-response set-nice",
    ),
    *_each(
        "noted",
        _CHECKS,
        "tcp-check, option ssl-hello-chk, option smtpchk, option ldap-check, option mysql-check, "
        "option pgsql-check, option redis-check, option spop-check",
        BACKEND,
    ),
    *_each(
        "noted",
        "connections to servers are kept and shared where that is safe",
        "http-reuse, max-keep-alive-queue, option prefer-last-server, option http-pretend-keepalive",
    ),
    *_each("noted", "connections are kept unless CONNECTION_MODE says otherwise", "option http-keep-alive"),
    Row("option http-tunnel", "noted", "connections are kept, and each request finds its own route", gone=True),
    *_each("noted", "CONNECTION_MODE says it for all services", "option http-server-close, option httpclose", FRONTEND),
    Row("option forceclose", "noted", "CONNECTION_MODE says it for all services", FRONTEND, gone=True),
    *_each(
        "noted",
        "an attempt that failed goes to another server, and is only repeated where that is safe",
        "option redispatch, http-request disable-l7-retry, option allbackups",
    ),
    Row("option abortonclose", "noted", "who has gone is not served any more, always"),
    Row("option http-buffer-request", "noted", "bodies are sent on as they arrive"),
    Row("http-request wait-for-handshake", "noted", "requests are only read after the handshake"),
    *_each("noted", "what is not understood never runs here", "http-request strict-mode, http-response strict-mode"),
    *_each(
        "noted",
        "unused connections are closed without an answer and not counted as errors",
        "option http-ignore-probes, option idle-close-on-response",
    ),
    *_each(
        "noted",
        "header names keep their case as HTTP/1 has them",
        "option h1-case-adjust-bogus-client, option h1-case-adjust-bogus-server",
    ),
    *_each("noted", "it names or describes the section", "id, description, enabled"),
    *_each("noted", "behind the servers it concerns none of them, in HAProxy too", "default-server", BACKEND),
    *_each("noted", "servers have no limit of connections that it could spread", "fullconn", BACKEND),
    *_each("noted", "state is kept by itself", "load-server-state-from-file, server-state-file-name"),
    *_each("noted", "WORKERS says how many processes there are", "bind-process, grace"),
    *_each("noted", "connections of HTTP/2 begin as such or not at all", "option disable-h2-upgrade"),
    # --- what is refused ---
    Row("http-request auth", "refused", "passwords are asked for by users, usersSecret and USERS"),
    Row("http-request tarpit", "refused", _TARPIT),
    Row("timeout tarpit", "refused", _TARPIT),
    *_each("refused", _CLOSE, "http-request reject, http-request silent-drop"),
    *_each("refused", _STATES, "http-response deny, http-response return, http-response silent-drop"),
    Row("http-response redirect", "refused", _REDIRECT),
    *_each(
        "refused",
        _RATES,
        "stick-table, rate-limit, http-request track-sc, http-response track-sc, http-request sc-inc-gpc, "
        "http-response sc-inc-gpc, http-request sc-set-gpt, http-response sc-set-gpt",
    ),
    *_each(
        "refused",
        _MAPS,
        "http-request set-map, http-request del-map, http-request add-acl, http-request del-acl, "
        "http-response set-map, http-response del-map, http-response add-acl, http-response del-acl",
    ),
    *_each(
        "refused",
        _SYSTEM,
        "http-request set-mark, http-request set-tos, http-response set-mark, http-response set-tos",
    ),
    *_each(
        "refused",
        "who the client is, is said by accept-proxy in BIND_PORTS and by TRUSTED_PROXIES",
        "http-request set-src, http-request set-src-port, http-request set-dst, http-request set-dst-port",
    ),
    Row("http-request set-method", "refused", "the method decides where a message ends, and stays as it came"),
    Row("http-request set-timeout", "refused", "times are said by timeoutServer and timeoutTunnel"),
    *_each(
        "refused",
        "requests do not wait for others",
        "http-request set-priority-class, http-request set-priority-offset",
    ),
    *_each("refused", "bodies are sent on as they arrive", "http-request wait-for-body, http-response wait-for-body"),
    *_each("refused", "there is no cache", "http-request cache-use, http-response cache-store"),
    *_each(
        "refused",
        "there are no agents and scripts",
        "http-request use-service, http-request send-spoe-group, http-response send-spoe-group, http-request ot-group, "
        "http-response ot-group, http-request lua, http-response lua, filter, use-fcgi-app, external-check, "
        "option external-check",
    ),
    Row("http-request do-resolve", "refused", "names are only resolved for servers: outboundHostname"),
    Row("http-request early-hint", "refused", "hints are the servers' own; those are passed on"),
    Row("http-request normalize-uri", "refused", "a target stays as it came, unless replace-path says otherwise"),
    Row("http-after-response", "refused", _AFTER),
    *_each("refused", _TCP, "tcp-request, tcp-response"),
    *_each("refused", _STICK, "cookie, stick, persist, force-persist, ignore-persist, option persist"),
    Row("appsession", "refused", f"{_OLD_RULE} sessionType=sticky-server", gone=True),
    *_each("refused", _SERVER, "server, server-template, use-server, dispatch, source, option transparent"),
    Row("transparent", "refused", _SERVER),
    Row("bind", "refused", "ports are given by DEFAULT_PORTS and BIND_PORTS"),
    Row("default_backend", "refused", "write isDefaultBackend=true at the service"),
    *_each(
        "refused",
        "write use_backend into EXTRA_FRONTEND, or give the service its paths and domains",
        "use_backend",
        BACKEND,
    ),
    *_each("refused", "it belongs into EXTRA_FRONTEND", "monitor-uri, timeout client, timeout http-request", BACKEND),
    *_each(
        "refused",
        "it concerns backends only",
        "default-server, fullconn, retries, http-check, tcp-check, option httpchk, option tcp-check, "
        "option ssl-hello-chk, option smtpchk, option ldap-check, option mysql-check, option pgsql-check, "
        "option redis-check, option spop-check, timeout check",
        FRONTEND,
    ),
    Row("maxconn", "refused", "it concerns frontends only: EXTRA_FRONTEND, or MAX_CONNECTIONS", BACKEND),
    *_each("refused", "write monitor-uri", "monitor, monitor-net"),
    *_each("refused", _PAGES, "errorfiles, errorloc, errorloc302, errorloc303, http-error"),
    Row("stats", "refused", _STATS),
    Row(
        "compression",
        "refused",
        "write compressionAlgo and compressionType at the service, or COMPRESSION_ALGO and COMPRESSION_TYPE for all",
    ),
    *_each("refused", "write timeoutServer at the service, or TIMEOUT_SERVER for all", "timeout server", FRONTEND),
    *_each("refused", "write timeoutTunnel at the service, or TIMEOUT_TUNNEL for all", "timeout tunnel", FRONTEND),
    Row("timeout connect", "refused", "write TIMEOUT_CONNECT, which is for all services"),
    Row("timeout queue", "refused", "write TIMEOUT_QUEUE, which is for all services", FRONTEND),
    Row("retry-on", "refused", "it concerns backends only", FRONTEND),
    Row("timeout http-keep-alive", "refused", "write TIMEOUT_HTTP_KEEP_ALIVE, which is for all services", BACKEND),
    *_each(
        "refused",
        "half-closed connections have the time of others: TIMEOUT_CLIENT, TIMEOUT_SERVER",
        "timeout client-fin, timeout server-fin",
    ),
    *_each("refused", "write balance at the service, or BALANCE for all", "balance", FRONTEND),
    *_each("refused", "hashes are consistent here, always", "hash-type, hash-balance-factor"),
    Row("http-send-name-header", "refused", "write addReqHeader=NAME %s, or addResHeader"),
    Row("unique-id-header", "refused", "write http-request set-header NAME %[uuid()]"),
    Row("option originalto", "refused", "write http-request set-header X-Original-To %[dst]"),
    *_each(
        "refused",
        "what is not HTTP is refused, always",
        "option accept-invalid-http-request, option accept-invalid-http-response",
    ),
    Row("option http-use-proxy-header", "refused", "Proxy-Connection is no header of HTTP"),
    Row("option checkcache", "refused", "answers are not searched; write http-response del-header Set-Cookie"),
    Row("option http-restrict-req-hdr-names", "refused", "write http-request del-header for names that are not wanted"),
    Row("disabled", "refused", "a service is taken away by remove"),
    Row("email-alert", "refused", "mails are sent by who watches /metrics"),
    Row("http-errors", "refused", _PAGES),
    # --- what HAProxy itself has given up ---
    Row("block", "refused", f"{_OLD_RULE} http-request deny", gone=True),
    *_each("refused", f"{_OLD_RULE} http-request add-header", "reqadd", gone=True),
    *_each("refused", f"{_OLD_RULE} http-request allow", "reqallow, reqiallow", gone=True),
    *_each("refused", f"{_OLD_RULE} http-request deny", "reqdeny, reqideny", gone=True),
    *_each("refused", f"{_OLD_RULE} http-request del-header", "reqdel, reqidel", gone=True),
    *_each("refused", f"{_OLD_RULE} http-request replace-header or replace-path", "reqrep, reqirep", gone=True),
    *_each("refused", f"{_OLD_RULE} http-request allow", "reqpass, reqipass", gone=True),
    *_each("refused", f"{_OLD_RULE} use_backend into EXTRA_FRONTEND", "reqsetbe, reqisetbe", gone=True),
    *_each("refused", f"{_OLD_RULE} http-request deny", "reqtarpit, reqitarpit", gone=True),
    *_each("refused", f"{_OLD_RULE} http-response add-header", "rspadd", gone=True),
    *_each("refused", f"{_OLD_RULE} http-response del-header", "rspdel, rspidel", gone=True),
    *_each("refused", f"{_OLD_RULE} http-response set-status", "rspdeny, rspideny", gone=True),
    *_each("refused", f"{_OLD_RULE} http-response replace-header", "rsprep, rspirep", gone=True),
    *_each("refused", f"{_OLD_RULE} timeout client", "clitimeout, cliexp", gone=True),
    *_each("refused", f"{_OLD_RULE} timeoutServer", "srvtimeout, srvexp", gone=True),
    *_each("refused", f"{_OLD_RULE} TIMEOUT_CONNECT", "contimeout", gone=True),
    *_each("refused", f"{_OLD_RULE} option redispatch", "redisp, redispatch", gone=True),
)
"""
Every directive that is known by name. A name may stand twice: once for each place.
"""

_BY_NAME: dict[tuple[str, Place], Row] = {(row.name, place): row for row in ROWS for place in row.places}


def row_of(words: list[str], place: Place) -> Row | None:
    """
    What is known of a line; None: there is no such directive.

    Args:
        words: of the line, at least one.
        place: where the line stands.
    """
    second = words[1].partition("(")[0].partition(".")[0] if len(words) > 1 else ""
    pair = f"{words[0]} {second}"
    return (
        _BY_NAME.get((pair, place))
        or _BY_NAME.get((pair.rstrip("0123456789"), place))
        or _BY_NAME.get((words[0], place))
    )


def names() -> list[str]:
    """
    All first words, for suggestions.
    """
    return sorted({row.name.partition(" ")[0] for row in ROWS} | {row.name for row in ROWS})


_HEAD = """# Raw HAProxy text

`backendExtra` of a service and the variable `EXTRA_FRONTEND` (option `--extra-frontend`, secret `dfp_extra_frontend`,
file named by `EXTRA_FRONTEND_FILE`) hold lines of HAProxy configuration, as they did in Docker Flow Proxy. There is no
HAProxy here: the lines are read, and what they say is done by the same steps as the parameters. What cannot be done is
refused, never passed over: `backendExtra` with a 400 that names line, directive and what to write instead;
`EXTRA_FRONTEND` with one line of error for each, and the proxy does not start. No refusal repeats a value. Lines that
have nothing to do here are accepted, and the answer (at start: the log) says so.

## Where lines begin

Each line of the text is one. In `EXTRA_FRONTEND` a comma begins a new one too, but not within quotes, `%[...]`,
parentheses, the braces of a test or before a converter, where DFP tore lines apart. Words, quotes, values, fetches,
converters and conditions are those of [header rules](headers.md); besides, `acl NAME TEST` gives a test a name, which
later lines of the same text use without braces. A line whose condition is not understood is refused as a whole.

    docker service update web --label-add \\
      'com.df.backendExtra=http-request deny if { path_beg /admin } !{ src 10.0.0.0/8 }'

    EXTRA_FRONTEND: >-
      acl is_old hdr(host) -i old.example.com,
      http-request redirect prefix https://new.example.com code 301 if is_old,
      http-response set-header Strict-Transport-Security "max-age=31536000"

## When lines run

Those of `backendExtra` in every destination of the service, after everything that its parameters do: who is not let in
never gets there. `http-request` lines come in their order, then `redirect` lines; `http-response` lines after the
service's own rules. Those of `EXTRA_FRONTEND` run for every request, also for one that no service takes, before all
else: `monitor-uri`, `http-request`, redirects of services, `redirect`, `use_backend`, and then routes are chosen with
what the lines have made of the request. Their `http-response` lines change what servers answer, after the service's.
`config` shows the lines where DFP had them.

## Templates

`templateFePath` and `templateBePath` name files on the proxy (DFP's image has the folders `/templates` and `/cfg/tmpl`
for them; mount a config or a volume there). Each is read when the service is published, at most 64 KiB; what it says
then holds until the service is published again, also after a restart. Nothing is read from the folders of secrets and
certificates, `/proc`, `/sys` and `/dev`. A file that cannot be read, a placeholder or a line that is not understood
refuses the call with a 400 that names the line; the former definition goes on. A frontend part:

    acl url_{{.ServiceName}} path_beg{{range .ServiceDest}}{{range .ServicePath}} {{.}}{{end}}{{end}}
    acl is_beta req.cook(beta) -m found
    use_backend {{.ServiceName}}-beta if url_{{.ServiceName}} is_beta
    use_backend {{.ServiceName}}-stable if url_{{.ServiceName}}

and a backend part:

    backend {{.ServiceName}}-stable
        mode http
        timeout server 30s
        http-request set-header X-Service {{.ServiceName}}
        server stable {{.ServiceName}}:{{(index .ServiceDest 0).Port}} check inter 2s
    backend {{.ServiceName}}-beta
        server beta {{.ServiceName}}-beta:8080 check inter 2s

Of Go's template language there are: the fields of the service and its destinations, as `config?type=json` calls them
(passwords are empty), `.`, `$`, variables, `if`/`else if`/`else`, `range`, `with`, `end`, comments, `{{-` and `-}}`,
and the functions `eq ne lt le gt ge and or not len index`. Values are put in as they are and never run as a template
again.

The frontend part may have `acl` and `use_backend` lines. Its first line that holds leads; where none does, the request
goes on to other services. The names of its tests are its own. Conditions can ask everything that header rules can, but
for `dst`, `rand`, `uuid`, `date`, `env`, `var`. What concerns all services belongs into `EXTRA_FRONTEND`. Without
a frontend part paths and domains choose, and the backends must be called as `config` calls those of the service;
without a backend part `use_backend` leads to these. `servicePath` (or `serviceDomain`) and `port` are always needed, as
in DFP.

The backend part has `backend` sections with `server` lines (`weight`, `check`, `inter`, `rise`, `fall`,
`ssl verify none`, `send-proxy`, `send-proxy-v2`, `resolvers`, `init-addr`; the same for all servers but for weights) or
`server-template`, and any line that `backendExtra` may have. Behind one server stand all addresses of its name.
Certificates of servers are verified by `backendTls=true`, not by words of a line. All backends have one strategy. What
parameters of the service ask for (users, methods, networks, redirects, header rules) is done as well, before the lines
of the template; header rules, rewriting and `backendExtra` are left to a backend part that asks for their fields.

Otherwise than in DFP such a service is listed, can be removed, and is explained like any other.
"""

_TITLES: tuple[tuple[Fate, str, str], ...] = (
    ("works", "Lines that work", "how"),
    ("noted", "Lines that have nothing to do", "why"),
    ("refused", "Lines that are refused", "why, and what to write instead"),
)


def markdown() -> str:
    """
    The table as a page for operators.
    """
    page = [_HEAD]
    for fate, title, column in _TITLES:
        page += [f"## {title}", "", f"| directive | in | {column} |", "|---|---|---|"]
        for row in sorted((row for row in ROWS if row.fate == fate), key=lambda row: row.name):
            where = "both" if row.places == BOTH else GIVEN_AS[row.places[0]]
            text = row.text.replace("|", "\\|").replace("<", "\\<")
            page.append(f"| `{row.name}` | {where} | {text} |")
        page.append("")
    return "\n".join(page)


if __name__ == "__main__":
    sys.stdout.write(markdown())
