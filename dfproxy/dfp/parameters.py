"""
One table of every parameter of `reconfigure`: how it is read, what it means, and whether it works yet.

Everything that knows parameters by name works from this table: `given` (which value counts), `reconfigure` (what a
value makes), `answers` (where it is shown), and docs/parameters.md, which `python -m dfproxy.dfp.parameters` prints.

Longer than modules should be, and still one thing: a table, a line for each property of a row.

Source: DFP `proxy/types.go`, `proxy/util.go`, `server/server.go` and its manual, page "usage".
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Scope = Literal["service", "destination"]
Kind = Literal["text", "list", "rules", "flag", "number"]

NAME_CHARS = 255
"""
Longest `serviceName` and `aclName`. A DNS name has at most 253, a file name 255.
"""

TEXT_CHARS = 1024
"""
Longest plain value. HAProxy 1.8, which read them for DFP, took configuration lines of 2048 in all.
"""

LIST_CHARS = 8192
"""
Longest list: some 200 domains of 40 characters. In DFP HAProxy's line set the limit, 2048.
"""

LIST_ITEMS = 500
"""
Most items of a list. HAProxy took 64 words in a line, and DFP wrote each list into one.
"""

BLOCK_CHARS = 262144
"""
Longest value that may be a whole document, such as a certificate with its chain and key.
"""

_CAPITAL = re.compile("([A-Z])")

MAX_INDEX = 10
"""
Highest index of a destination; DFP never looks further.
"""


@dataclass(frozen=True, slots=True)
class Parameter:
    """
    One row of the table.

    Attributes:
        name: as documented; matched without regard to case.
        scope: one value for the service, or one for each destination (`name.1` to `name.10`).
        kind: how its text is read. `flag`: a boolean in Go's spelling, anything else is false. `number`: an integer,
            anything else is 0. `rules`: a list that is not cut within quotes or `%[...]`.
        meaning: what it does, for the manual.
        default: what holds without it, for the manual.
        source: where it comes from: DFP and HAProxy's keyword, or `dfproxy`.
        limit_chars: longest value.
        supported: False: a value that would have an effect is refused.
        refusal: why, and what to do instead.
        harmless: values (lower case) that have no effect.
        only_with: no effect unless one of these is given.
        modes: request modes in which it has an effect.
        last_wins: the last of repeated values counts, not the first. DFP has two readers, and they differ.
        secret: its value is never shown or echoed.
        lines: may hold line breaks.
        quiet: a refusal does not repeat its value, which may hold passwords; it is shown where parameters are.
        key: its name in JSON answers where that is not the name with a capital letter.
        example: a right value, shown to who gave a wrong one.
    """

    name: str
    scope: Scope
    kind: Kind
    meaning: str
    default: str = ""
    source: str = "DFP"
    limit_chars: int = TEXT_CHARS
    supported: bool = True
    refusal: str = "is not supported yet; leave it out"
    harmless: tuple[str, ...] = ()
    only_with: tuple[str, ...] = ()
    modes: tuple[str, ...] = ("http", "tcp", "sni")
    last_wins: bool = False
    secret: bool = False
    lines: bool = False
    quiet: bool = False
    key: str = ""
    example: str = ""

    @property
    def variable(self) -> str:
        """
        Its name in variables, behind `DFP_SERVICE_` or `DFP_SERVICE_1_`: upper snake case.
        """
        return _CAPITAL.sub(r"_\1", self.name).upper()

    @property
    def json_key(self) -> str:
        """
        Name in DFP's JSON: a Go field name.
        """
        return self.key or self.name[0].upper() + self.name[1:]


HTTP = ("http",)
STREAMS = ("tcp", "sni")

SERVICE_ROWS: tuple[Parameter, ...] = (
    Parameter(
        "serviceName",
        "service",
        "text",
        "Name of the service: its key, and the host whose addresses are its servers unless `outboundHostname` or "
        "`endpoints` is given. No blanks, slashes or control characters.",
        "mandatory",
        limit_chars=NAME_CHARS,
        last_wins=True,
        example="go-demo",
    ),
    Parameter(
        "aclName",
        "service",
        "text",
        "What services are sorted by when several match, byte by byte, and the beginning of backend names.",
        "`serviceName`",
        limit_chars=NAME_CHARS,
        last_wins=True,
        example="05-go-demo",
    ),
    Parameter(
        "serviceDomainAlgo",
        "service",
        "text",
        "How `serviceDomain` is compared with the Host field, port included, never minding case: `hdr(host)` the "
        "whole, `hdr_beg(host)` its beginning, `hdr_end(host)` its end, `hdr_sub(host)` anywhere, `hdr_reg(host)` a "
        "regular expression, `hdr_dom(host)` delimited by `.` or `:`, `hdr_dir(host)` delimited by `/`, "
        "`hdr_len(host)` its length.",
        "`SERVICE_DOMAIN_ALGO`",
        "DFP; HAProxy `acl ... hdr_*(host)`",
        last_wins=True,
        example="hdr(host)",
    ),
    Parameter(
        "serviceDomainMatchAll",
        "service",
        "flag",
        "Deprecated: the same as `serviceDomainAlgo=hdr_dom(host)`.",
        "false",
        example="true",
    ),
    Parameter(
        "isDefaultBackend",
        "service",
        "flag",
        "The last destination of this service takes every request that no route matches.",
        "false",
        "DFP; HAProxy `default_backend`",
        last_wins=True,
        example="true",
    ),
    Parameter(
        "replicas",
        "service",
        "number",
        "0 takes the service away. Any other number, and its absence (a global service), publishes it. Text that is no "
        "number is refused.",
        "global",
        example="3",
    ),
    Parameter(
        "balance",
        "service",
        "text",
        "Strategy that picks a server for each request, with its arguments, such as `leastconn` or `hdr(X-User)`.",
        "`BALANCE`",
        "dfproxy; HAProxy `balance`",
        last_wins=True,
        example="leastconn",
    ),
    Parameter(
        "proxyInstanceName",
        "service",
        "text",
        "With `FILTER_PROXY_INSTANCE_NAME`, a proxy takes the service only if this is its `PROXY_INSTANCE_NAME` in any "
        "case, else takes it away.",
        last_wins=True,
        example="docker-flow",
    ),
    Parameter(
        "distribute",
        "service",
        "flag",
        "Send the call on to every replica of the proxy, the addresses of `tasks.<SERVICE_NAME>`.",
        "false",
        last_wins=True,
        example="true",
    ),
    Parameter(
        "addReqHeader",
        "service",
        "rules",
        "Request headers to append: `name value` items, each with a condition if wanted (docs/headers.md). The "
        "separator does not cut within quotes or `%[...]`.",
        source="DFP; HAProxy `http-request add-header`",
        limit_chars=LIST_CHARS,
        modes=HTTP,
        example="X-Client %[src]",
    ),
    Parameter(
        "addHeader",
        "service",
        "rules",
        "Deprecated name of `addReqHeader`.",
        limit_chars=LIST_CHARS,
        modes=HTTP,
        example="X-Client %[src]",
    ),
    Parameter(
        "setReqHeader",
        "service",
        "rules",
        "Request headers to replace: as `addReqHeader`.",
        source="DFP; HAProxy `http-request set-header`",
        limit_chars=LIST_CHARS,
        modes=HTTP,
        example="X-Kind api",
    ),
    Parameter(
        "setHeader",
        "service",
        "rules",
        "Deprecated name of `setReqHeader`.",
        limit_chars=LIST_CHARS,
        modes=HTTP,
        example="X-Kind api",
    ),
    Parameter(
        "delReqHeader",
        "service",
        "rules",
        "Request headers to remove: `name` items, each with a condition if wanted.",
        source="DFP; HAProxy `http-request del-header`",
        limit_chars=LIST_CHARS,
        modes=HTTP,
        example="X-Secret",
    ),
    Parameter(
        "addResHeader",
        "service",
        "rules",
        "Headers to append to answers of servers: as `addReqHeader`.",
        source="DFP; HAProxy `http-response add-header`",
        limit_chars=LIST_CHARS,
        modes=HTTP,
        example="X-Served-By %[env(HOSTNAME)]",
    ),
    Parameter(
        "setResHeader",
        "service",
        "rules",
        "Headers to replace in answers of servers: as `addReqHeader`.",
        source="DFP; HAProxy `http-response set-header`",
        limit_chars=LIST_CHARS,
        modes=HTTP,
        example="Strict-Transport-Security max-age=31536000 if { ssl_fc }",
    ),
    Parameter(
        "delResHeader",
        "service",
        "rules",
        "Headers to remove from answers of servers: as `delReqHeader`.",
        source="DFP; HAProxy `http-response del-header`",
        limit_chars=LIST_CHARS,
        modes=HTTP,
        example="Server",
    ),
    Parameter(
        "backendExtra",
        "service",
        "text",
        "Lines of HAProxy configuration, which run after everything that other parameters do; docs/rawtext.md says "
        "which there are.",
        source="DFP; HAProxy `acl`, `http-request`, `http-response`, ...",
        limit_chars=LIST_CHARS,
        modes=HTTP,
        last_wins=True,
        lines=True,
        quiet=True,
        example="timeout server 30s",
    ),
    Parameter(
        "checkResolvers",
        "service",
        "flag",
        "No effect: names are asked again and again anyway, and servers that cannot be reached are left out.",
        "false",
        "DFP; HAProxy `check resolvers`",
        last_wins=True,
        example="true",
    ),
    Parameter(
        "compressionAlgo",
        "service",
        "text",
        "Compress answers for clients that accept it: any of `br` (ours), `gzip`, `deflate`, `raw-deflate` and "
        "`identity` (as they are), separated by blanks; the client's wish decides. Of this service only.",
        "`COMPRESSION_ALGO`",
        source="DFP; HAProxy `compression algo`",
        modes=HTTP,
        last_wins=True,
        example="gzip",
    ),
    Parameter(
        "compressionType",
        "service",
        "text",
        "Beginnings of media types that are compressed, separated by blanks; without it all are.",
        "`COMPRESSION_TYPE`",
        source="DFP; HAProxy `compression type`",
        modes=HTTP,
        last_wins=True,
        example="text/html text/css application/json",
    ),
    Parameter(
        "connectionMode",
        "service",
        "text",
        "`http-server-close`, `httpclose` and `forceclose` close the server's connection after each answer. "
        "`http-keep-alive` and `http-tunnel` keep it, unless `CONNECTION_MODE` is stricter.",
        "`CONNECTION_MODE`",
        "DFP; HAProxy `option http-server-close` and its kin",
        modes=HTTP,
        last_wins=True,
        example="http-server-close",
    ),
    Parameter(
        "discoveryType",
        "service",
        "text",
        "No effect: each address of a name is a server anyway, which is what `DNS` asks for.",
        last_wins=True,
        example="DNS",
    ),
    Parameter(
        "redirectWhenHttpProto",
        "service",
        "flag",
        "Redirect to https when a part of X-Forwarded-Proto is `http`.",
        "false",
        modes=HTTP,
        last_wins=True,
        example="true",
    ),
    Parameter(
        "redirectUnlessHttpsProto",
        "service",
        "flag",
        "Redirect to https unless a part of X-Forwarded-Proto is `https` or the client speaks TLS.",
        "false",
        modes=HTTP,
        last_wins=True,
        example="true",
    ),
    Parameter(
        "reqPathSearch",
        "service",
        "text",
        "Deprecated: what `reqPathReplace` replaces in the path.",
        modes=HTTP,
        last_wins=True,
        example="/old/",
    ),
    Parameter(
        "reqPathReplace",
        "service",
        "text",
        "Deprecated: what stands in the path instead of `reqPathSearch`.",
        only_with=("reqPathSearch",),
        modes=HTTP,
        last_wins=True,
        example="/new/",
    ),
    Parameter(
        "serviceCert",
        "service",
        "text",
        "Certificate, chain and private key (PEM), stored for the first domain.",
        limit_chars=BLOCK_CHARS,
        last_wins=True,
        secret=True,
        lines=True,
        example="-----BEGIN CERTIFICATE-----\\n...",
    ),
    Parameter(
        "sessionType",
        "service",
        "text",
        "`sticky-server`: a cookie called as the service keeps a client at its server. Any other value has no effect.",
        source="DFP; HAProxy `cookie`",
        modes=HTTP,
        last_wins=True,
        example="sticky-server",
    ),
    Parameter(
        "stickyValue",
        "service",
        "text",
        "What that cookie holds: `place`, the number that a server keeps as long as it is there, or `address`, a "
        "digest of its address.",
        "`place`",
        "dfproxy",
        only_with=("sessionType",),
        modes=HTTP,
        last_wins=True,
        example="address",
    ),
    Parameter(
        "templateFePath",
        "service",
        "text",
        "A file with a Go template that makes `acl` and `use_backend` lines: they choose the requests instead of paths "
        "and domains (docs/rawtext.md). It is read when the service is published.",
        source="DFP",
        modes=HTTP,
        last_wins=True,
        example="/templates/frontend.tmpl",
    ),
    Parameter(
        "templateBePath",
        "service",
        "text",
        "A file with a Go template that makes `backend` sections: their `server` lines are the servers, their other "
        "lines are as in `backendExtra` (docs/rawtext.md). It is read when the service is published.",
        source="DFP",
        modes=HTTP,
        last_wins=True,
        example="/templates/backend.tmpl",
    ),
    Parameter(
        "users",
        "service",
        "text",
        "Who may use the service: `name:password` entries, separated by commas or line breaks. Of a name alone the "
        "password is that of `usersSecret`, else of `USERS`. Users of a service go before `USERS`; if none is "
        "left, nobody is let in.",
        source="DFP; HAProxy `userlist`",
        limit_chars=LIST_CHARS,
        modes=HTTP,
        secret=True,
        lines=True,
        example="alice:wonderland,bob:builder",
    ),
    Parameter(
        "usersSecret",
        "service",
        "text",
        "Secret `dfp_users_<name>` with users; read at the start. One that does not exist lets nobody in.",
        modes=HTTP,
        example="team",
    ),
    Parameter(
        "usersPassEncrypted",
        "service",
        "flag",
        "The passwords are crypt(3) hashes: `$6$`, `$5$`, `$1$`, `$2b$` or DES.",
        "false",
        only_with=("users", "usersSecret"),
        modes=HTTP,
        example="true",
    ),
)

DESTINATION_ROWS: tuple[Parameter, ...] = (
    Parameter(
        "servicePath",
        "destination",
        "list",
        "Paths that are taken, any of them. Without it and with `serviceDomain`: `/`.",
        source="DFP; HAProxy `acl ... path_beg`",
        limit_chars=LIST_CHARS,
        example="/demo,/api",
    ),
    Parameter(
        "servicePathExclude",
        "destination",
        "list",
        "Paths that are not taken, compared as `pathType` says.",
        source="DFP; HAProxy `acl`, negated",
        limit_chars=LIST_CHARS,
        example="/demo/private",
    ),
    Parameter(
        "pathType",
        "destination",
        "text",
        "How paths are compared, without decoding: `path` the whole, `path_beg` the beginning, `path_end` the end, "
        "`path_sub` anywhere, `path_reg` a regular expression, `path_dir` delimited by `/`, `path_dom` delimited by "
        "`/` or `.`, `path_len` the length; `url`, `url_beg`, ... the same with the query. Flags may follow: `-i` "
        "(ignore case), `-m beg` (and `str end sub reg dir dom len`).",
        "`path_beg`",
        "DFP; HAProxy ACL criteria",
        example="path_beg -i",
    ),
    Parameter(
        "serviceDomain",
        "destination",
        "list",
        "Domains that are taken, any of them, compared as `serviceDomainAlgo` says. `*.example.com` is every host that "
        "ends in `.example.com`, whatever its port.",
        source="DFP; HAProxy `acl ... hdr_beg(host)`",
        limit_chars=LIST_CHARS,
        example="example.com,*.example.org",
    ),
    Parameter(
        "serviceHeader",
        "destination",
        "list",
        "`name:value` items, all of which a request must have. Items without exactly one `:` are ignored.",
        source="DFP; HAProxy `acl ... hdr(name)`",
        limit_chars=LIST_CHARS,
        example="X-Version:3,name:Viktor",
    ),
    Parameter(
        "userAgent",
        "destination",
        "list",
        "Text of which any must be in the User-Agent field, whatever its case.",
        source="DFP; HAProxy `acl ... hdr_sub(User-Agent) -i`",
        limit_chars=LIST_CHARS,
        example="Firefox,Chrome",
    ),
    Parameter(
        "port",
        "destination",
        "text",
        "Port that the servers listen on, 1 to 65535.",
        "port of the first of `endpoints`, else mandatory",
        example="8080",
    ),
    Parameter(
        "srcPort",
        "destination",
        "number",
        "Port that the client must have connected to; 0 and text that is no number: any. With `reqMode=tcp` and `sni` "
        "mandatory: the port is opened, and closed when the last service on it goes.",
        "any",
        "DFP; HAProxy `acl ... dst_port`, `bind`",
        example="8443",
    ),
    Parameter(
        "reqMode",
        "destination",
        "text",
        "`http`; `tcp`: whole connections that come to `srcPort`, those with TLS by name if `serviceDomain` is given; "
        "`sni`: connections with TLS by name only, which is compared as `pathType` says (`req_ssl_sni -i -m beg`) with "
        "`servicePath`, or with `serviceDomain`. TLS is ended by the server.",
        "`http`",
        "DFP; HAProxy `mode`",
        example="http",
    ),
    Parameter(
        "outboundHostname",
        "destination",
        "text",
        "Host name or IP address whose addresses are the servers.",
        "`serviceName`",
        "DFP; HAProxy `server`",
        example="tasks.go-demo",
    ),
    Parameter(
        "endpoints",
        "destination",
        "list",
        "Servers by hand: `host:port` or `host:port*weight` (weight 0 to 256, else 1).",
        "addresses of the host",
        "dfproxy; HAProxy `server ... weight`",
        limit_chars=LIST_CHARS,
        example="10.0.0.5:8080,10.0.0.6:8080*2",
    ),
    Parameter(
        "condition",
        "destination",
        "list",
        "Further conditions that plugins decide, all of which must hold: `name` or `name:value|value`.",
        source="dfproxy",
        limit_chars=LIST_CHARS,
        example="network:10.0.0.0/8",
    ),
    Parameter(
        "timeoutServer",
        "destination",
        "text",
        "Seconds that a server may be silent.",
        "`TIMEOUT_SERVER`",
        "DFP; HAProxy `timeout server`",
        example="60",
    ),
    Parameter(
        "timeoutTunnel",
        "destination",
        "text",
        "Seconds that an upgraded connection may be idle.",
        "`TIMEOUT_TUNNEL`",
        "DFP; HAProxy `timeout tunnel`",
        example="7200",
    ),
    Parameter(
        "retries",
        "destination",
        "text",
        "Attempts after the first, 0 to 20.",
        "3, or one less than `CONNECT_ATTEMPTS`",
        "dfproxy; HAProxy `retries`",
        example="2",
    ),
    Parameter(
        "retryOn",
        "destination",
        "text",
        "What a request is tried again for, at another server, if its method is idempotent: `conn-failure`, "
        "`empty-response`, `response-timeout`, `junk-response`, `cut-response`, statuses such as `503`, "
        "`all-retryable-errors`; `none`.",
        "`conn-failure,empty-response,response-timeout,cut-response`",
        "dfproxy; HAProxy `retry-on`",
        modes=HTTP,
        example="conn-failure,503",
    ),
    Parameter(
        "retryBudget",
        "destination",
        "text",
        "Requests that were sent may be sent again in so many percent of all (ten, and one a second, always may).",
        "20",
        "dfproxy",
        modes=HTTP,
        example="10",
    ),
    Parameter(
        "maxConnections",
        "destination",
        "text",
        "Most requests (without HTTP: connections) at once at each server, over all workers; the others wait. 0: no "
        "limit.",
        "0",
        "dfproxy; HAProxy `server ... maxconn`",
        example="100",
    ),
    Parameter(
        "queueTimeout",
        "destination",
        "text",
        "Seconds that a request waits for a place at a server; then it is answered 503 with `Retry-After`, a "
        "connection without HTTP closed.",
        "`TIMEOUT_QUEUE`",
        "dfproxy; HAProxy `timeout queue`",
        example="5",
    ),
    Parameter(
        "queueLimit",
        "destination",
        "text",
        "Requests that may wait for a place at once, in each worker; one more is answered 503, or closed, at once.",
        "1000",
        "dfproxy; HAProxy `maxqueue`",
        example="200",
    ),
    Parameter(
        "ejectErrors",
        "destination",
        "text",
        "So many answers from 500 on in a row leave a server out for a while. 0: only missing ones do, three in a row.",
        "0",
        "dfproxy; HAProxy `observe layer7`",
        modes=HTTP,
        example="5",
    ),
    Parameter(
        "ejectShare",
        "destination",
        "text",
        "So many percent answers from 500 on, or missing ones, within ten seconds (of 20 requests at least) do too.",
        "0",
        "dfproxy",
        modes=HTTP,
        example="50",
    ),
    Parameter(
        "ejectMost",
        "destination",
        "text",
        "Percentage of the servers that may be left out at once for their answers; one always may, the last never.",
        "50",
        "dfproxy",
        modes=HTTP,
        example="30",
    ),
    Parameter(
        "userDef",
        "destination",
        "text",
        "Stored and shown; no effect.",
        example="anything",
    ),
    Parameter(
        "httpsPort",
        "destination",
        "number",
        "Port of the servers for what came in on `srcHttpsPort`, which makes a second backend `https-...`. No TLS "
        "to the server.",
        "none",
        modes=HTTP,
        example="8443",
    ),
    Parameter(
        "srcHttpsPort",
        "destination",
        "number",
        "Port that the client must have connected to for `httpsPort`.",
        "443",
        only_with=("httpsPort",),
        modes=HTTP,
        example="443",
    ),
    Parameter(
        "redirectFromDomain",
        "destination",
        "list",
        "Hosts that begin so are redirected (301) to the first `serviceDomain`, whatever the path; not the "
        "challenges of certificate authorities that a service serves.",
        limit_chars=LIST_CHARS,
        modes=HTTP,
        example="www.example.com",
    ),
    Parameter(
        "httpsOnly",
        "destination",
        "flag",
        "Redirect to https what came without TLS. `HTTPS_ONLY` forces it.",
        "false",
        modes=HTTP,
        example="true",
    ),
    Parameter(
        "httpsRedirectCode",
        "destination",
        "text",
        "Status of redirects to https: 301, 302, 303, 307 or 308.",
        "302",
        only_with=("httpsOnly", "redirectWhenHttpProto", "redirectUnlessHttpsProto"),
        modes=HTTP,
        example="301",
    ),
    Parameter(
        "denyHttp",
        "destination",
        "flag",
        "403 unless the request came by https.",
        "false",
        modes=HTTP,
        example="true",
    ),
    Parameter(
        "allowedMethods",
        "destination",
        "list",
        "Methods that are allowed, in this case; others get 403.",
        limit_chars=LIST_CHARS,
        modes=HTTP,
        example="GET,HEAD",
    ),
    Parameter(
        "deniedMethods",
        "destination",
        "list",
        "Methods that get 403, in this case.",
        limit_chars=LIST_CHARS,
        modes=HTTP,
        example="DELETE,TRACE",
    ),
    Parameter(
        "allowFrom",
        "destination",
        "list",
        "Networks or addresses of clients that are let in, such as `10.0.0.0/8`; others get 403. The first of all "
        "steps. Behind proxies the client is who `--trusted-proxies` say.",
        source="dfproxy; HAProxy `http-request deny if !{ src ... }`",
        limit_chars=LIST_CHARS,
        modes=HTTP,
        example="10.0.0.0/8,192.0.2.7",
    ),
    Parameter(
        "denyFrom",
        "destination",
        "list",
        "Networks or addresses of clients that get 403, even if they are in `allowFrom`.",
        source="dfproxy; HAProxy `http-request deny if { src ... }`",
        limit_chars=LIST_CHARS,
        modes=HTTP,
        example="203.0.113.0/24",
    ),
    Parameter(
        "verifyClientSsl",
        "destination",
        "flag",
        "403 unless the client has shown a certificate, which `CA_FILE` asks for.",
        "false",
        modes=HTTP,
        example="true",
    ),
    Parameter(
        "ignoreAuthorization",
        "destination",
        "flag",
        "No password is asked for this destination, neither by `users` nor by `USERS`.",
        "false",
        only_with=("users", "usersSecret"),
        modes=HTTP,
        example="true",
    ),
    Parameter(
        "reqPathSearchReplace",
        "destination",
        "text",
        "`search,replacement` pairs, separated by `:`; each replaces what its regular expression first finds in "
        "the path, `\\1` to `\\9` are groups. A third part holds flags: `i` ignores case, `g` replaces every time.",
        limit_chars=LIST_CHARS,
        modes=HTTP,
        example="/demo/,/:v1,v2",
    ),
    Parameter(
        "sslVerifyNone",
        "destination",
        "flag",
        "Speak TLS to the servers without verifying them, and without SNI unless `backendServerName` is given.",
        "false",
        "DFP; HAProxy `ssl verify none`",
        modes=HTTP,
        example="true",
    ),
    Parameter(
        "backendTls",
        "destination",
        "flag",
        "Speak TLS to the servers and verify them: authority and name. `sslVerifyNone` goes before it.",
        "false",
        "dfproxy; HAProxy `ssl verify required`",
        modes=HTTP,
        example="true",
    ),
    Parameter(
        "backendCa",
        "destination",
        "text",
        "Authorities that are believed with `backendTls`: a PEM file, in the folder of certificates unless it has a "
        "path.",
        "the system's",
        "dfproxy; HAProxy `ca-file`",
        modes=HTTP,
        example=".internal-ca.pem",
    ),
    Parameter(
        "backendServerName",
        "destination",
        "text",
        "Name (or IP address) that servers are asked for by SNI, and that their certificates have to prove with "
        "`backendTls`.",
        "the host of the destination",
        "dfproxy; HAProxy `sni`, `verifyhost`",
        modes=HTTP,
        example="api.internal",
    ),
    Parameter(
        "backendCertificate",
        "destination",
        "text",
        "Certificate that servers are shown, with its key: a PEM file, in the folder of certificates unless it has a "
        "path. There its name should begin with a dot, or clients may be shown it as well.",
        source="dfproxy; HAProxy `crt`",
        modes=HTTP,
        example=".client.pem",
    ),
    Parameter(
        "sendProxy",
        "destination",
        "text",
        "`v1` or `v2`: each connection to the servers begins with a header of that version of the PROXY protocol, "
        "which says whose it is; the servers must expect it. It then carries requests of that client connection only.",
        source="dfproxy; HAProxy `send-proxy`, `send-proxy-v2`",
        example="v2",
    ),
    Parameter(
        "timeoutClient",
        "destination",
        "text",
        "Seconds until a connection must have a server, of the first destination on the port. Once both sides are "
        "connected `timeoutTunnel` counts.",
        "`TIMEOUT_CLIENT`",
        "DFP; HAProxy `timeout client`",
        modes=STREAMS,
        example="60",
    ),
    Parameter(
        "checkTcp",
        "destination",
        "flag",
        "Servers are checked by connecting now and then; one that fails `checkFall` times in a row gets no requests "
        "until it succeeds `checkRise` times.",
        "true with `sessionType` or `discoveryType=DNS`, else false",
        "DFP; HAProxy `check`, `option tcp-check`",
        key="CheckTCP",
        example="true",
    ),
    Parameter(
        "checkPath",
        "destination",
        "text",
        "Servers are checked by a GET of this path (with its query), over TLS where requests go over TLS.",
        source="dfproxy; HAProxy `option httpchk`",
        modes=HTTP,
        example="/health",
    ),
    Parameter(
        "checkStatus",
        "destination",
        "text",
        "Statuses that are right: `204`, `200-299`, `2xx`, or several.",
        "200-399",
        "dfproxy; HAProxy `http-check expect status`",
        modes=HTTP,
        example="200,204",
    ),
    Parameter(
        "checkBody",
        "destination",
        "text",
        "Text that must stand in the first 64 KiB of the answer.",
        source="dfproxy; HAProxy `http-check expect string`",
        modes=HTTP,
        example="ok",
    ),
    Parameter(
        "checkInterval",
        "destination",
        "text",
        "Seconds from one check of a server to the next. All checks together have a budget (`--check-budget`).",
        "2",
        "dfproxy; HAProxy `inter`",
        example="5",
    ),
    Parameter(
        "checkTimeout",
        "destination",
        "text",
        "Seconds that a check may take.",
        "`checkInterval`, at most `TIMEOUT_CONNECT`",
        "dfproxy; HAProxy `timeout check`",
        example="1",
    ),
    Parameter(
        "checkRise",
        "destination",
        "text",
        "Checks in a row that must succeed before a server that was down is used again.",
        "2",
        "dfproxy; HAProxy `rise`",
        example="2",
    ),
    Parameter(
        "checkFall",
        "destination",
        "text",
        "Checks in a row that must fail before a server is down.",
        "3",
        "dfproxy; HAProxy `fall`",
        example="3",
    ),
    Parameter(
        "slowStart",
        "destination",
        "text",
        "Seconds in which a server that comes, or comes back, grows into its whole share, in sixteen steps.",
        "0: it has it at once",
        "dfproxy; HAProxy `slowstart`",
        modes=HTTP,
        example="30",
    ),
    Parameter(
        "clitcpka",
        "destination",
        "flag",
        "The kernel finds out whether silent clients are still there (SO_KEEPALIVE); of the first destination on the "
        "port.",
        "false",
        "DFP; HAProxy `option clitcpka`",
        modes=STREAMS,
        example="true",
    ),
    Parameter(
        "serviceGroup",
        "destination",
        "text",
        "Destinations with the same group are one pool: the first in order says the port, the time-outs and the "
        "strategy, the others add their servers. `reqMode=tcp` only; domains do not count.",
        modes=STREAMS,
        example="mysql",
    ),
    Parameter(
        "balanceGroup",
        "destination",
        "text",
        "Strategy of a `serviceGroup`, as `balance`.",
        "`roundrobin`",
        source="DFP; HAProxy `balance`",
        modes=STREAMS,
        example="leastconn",
    ),
)

TABLE: tuple[Parameter, ...] = SERVICE_ROWS + DESTINATION_ROWS
BY_NAME: dict[str, Parameter] = {row.name: row for row in TABLE}
BY_LOWER_NAME: dict[str, Parameter] = {row.name.lower(): row for row in TABLE}
BY_VARIABLE: dict[str, Parameter] = {
    **{row.variable: row for row in TABLE},
    "DISCOVERYTYPE": BY_NAME["discoveryType"],  # as DFP has it
}


def example_of(spelled: str) -> str:
    """
    A right value for a parameter, as `port.2=8080`; empty if none is known.

    Args:
        spelled: as the caller has it.
    """
    row = BY_LOWER_NAME.get(spelled.partition(".")[0].lower())
    return f"{spelled}={row.example}" if row is not None and row.example else ""


DESTINATION_EXISTS_WITH = ("servicePath", "port", "serviceDomain", "httpsPort")
"""
A destination exists if one of these is given with its index (DFP `proxy/util.go`).
"""

_INTRODUCTION = f"""\
# Parameters of reconfigure

Generated by `python -m dfproxy.dfp.parameters`; change the table in `dfproxy/dfp/parameters.py`.

- Names are matched without regard to case. An empty value counts as none. Names that are not listed are ignored.
- Lists are separated by `SEPARATOR` (`,`); domains, paths and user agents also by blanks (`\\ ` is a blank in an item).
- Lists have at most {LIST_ITEMS} items.
- Booleans: `1 t T TRUE true True`, of a service also `on`, and `0 f F FALSE false False`; anything else is false.
- Control characters are refused in every value (line breaks are fine in `users` and `serviceCert`).
- Regular expressions that one request could keep busy for long, such as `(a+)+`, are refused. Those with several
  repetitions such as `.*` match nothing in texts so long that it would take more than moments (three: 270 bytes).
- Parameters of a destination may end in `.1` to `.10`. A destination exists if `servicePath`, `port`, `serviceDomain`
  or `httpsPort` is given with its index; the first index without any ends the list. Values without an index hold for
  each index that has none of its own.
- Services may also be declared in variables of the proxy's environment, read once at its start: `DFP_SERVICE_` or
  `DFP_SERVICE_1_`, `DFP_SERVICE_2_`, ... (ending with the first number without a `..._SERVICE_NAME`), then the
  parameter in upper snake case, then its index if it has one: `DFP_SERVICE_1_SERVICE_PATH_2` is `servicePath.2`. A
  value may stand in a file that the variable with `_FILE` at its end names, or in the secret `dfp_` and the variable
  in lower case (`dfp_dfp_service_1_users`). Unlike in calls, `SERVICE_PATH` and `PORT` without index together are a
  destination besides those with an index, and the first of them; 0 `REPLICAS` do not take the service away.
"""


def markdown() -> Iterator[str]:
    """
    docs/parameters.md, line by line.
    """
    yield from _INTRODUCTION.splitlines()
    for title, rows in (("Of the service", SERVICE_ROWS), ("Of each destination", DESTINATION_ROWS)):
        for heading, wanted in ((title, True), (f"{title}, later", False)):
            if not any(row.supported is wanted for row in rows):
                continue
            yield from (
                "",
                f"## {heading}",
                "",
                "| Name | Type | Default | Longest | Meaning | Example | Source |",
                "|---|---|---|---|---|---|---|",
            )
            for row in rows:
                if row.supported is wanted:
                    cells = (
                        f"`{row.name}`",
                        row.kind,
                        row.default or "none",
                        str(row.limit_chars),
                        row.meaning,
                        f"`{row.example}`",
                        row.source,
                    )
                    yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in markdown())
