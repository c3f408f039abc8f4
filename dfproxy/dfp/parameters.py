"""
One table of every parameter of `reconfigure`: how it is read, what it means, and whether it works yet.

Everything that knows parameters by name works from this table: `given` (which value counts), `reconfigure` (what a
value makes), `answers` (where it is shown), and docs/parameters.md, which `python -m dfproxy.dfp.parameters` prints.

Longer than modules should be, and still one thing: a table, a line for each property of a row.

Source: DFP `proxy/types.go`, `proxy/util.go`, `server/server.go` and its manual, page "usage".
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Scope = Literal["service", "destination"]
Kind = Literal["text", "list", "flag", "number"]

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
            anything else is 0.
        meaning: what it does, for the manual.
        default: what holds without it, for the manual.
        source: where it comes from: DFP and HAProxy's keyword, or `dfproxy`.
        limit_chars: longest value.
        supported: False: comes later; a value that would have an effect is refused.
        harmless: values (lower case) that have no effect.
        only_with: no effect unless one of these is given.
        modes: request modes in which it has an effect.
        last_wins: the last of repeated values counts, not the first. DFP has two readers, and they differ.
        secret: its value is never shown or echoed.
        lines: may hold line breaks.
        key: its name in JSON answers where that is not the name with a capital letter.
    """

    name: str
    scope: Scope
    kind: Kind
    meaning: str
    default: str = ""
    source: str = "DFP"
    limit_chars: int = TEXT_CHARS
    supported: bool = True
    harmless: tuple[str, ...] = ()
    only_with: tuple[str, ...] = ()
    modes: tuple[str, ...] = ("http", "tcp", "sni")
    last_wins: bool = False
    secret: bool = False
    lines: bool = False
    key: str = ""

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
    ),
    Parameter(
        "aclName",
        "service",
        "text",
        "What services are sorted by when several match, byte by byte, and the beginning of backend names.",
        "`serviceName`",
        limit_chars=NAME_CHARS,
        last_wins=True,
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
    ),
    Parameter(
        "serviceDomainMatchAll",
        "service",
        "flag",
        "Deprecated: the same as `serviceDomainAlgo=hdr_dom(host)`.",
        "false",
    ),
    Parameter(
        "isDefaultBackend",
        "service",
        "flag",
        "The last destination of this service takes every request that no route matches.",
        "false",
        "DFP; HAProxy `default_backend`",
        last_wins=True,
    ),
    Parameter(
        "replicas",
        "service",
        "number",
        "0 takes the service away. Any other number, and its absence (a global service), publishes it. Text that is no "
        "number is refused.",
        "global",
    ),
    Parameter(
        "balance",
        "service",
        "text",
        "Strategy that picks a server for each request, with its arguments, such as `leastconn` or `hdr(X-User)`.",
        "`BALANCE`",
        "dfproxy; HAProxy `balance`",
        last_wins=True,
    ),
    Parameter(
        "proxyInstanceName",
        "service",
        "text",
        "With `FILTER_PROXY_INSTANCE_NAME`, a proxy takes the service only if this is its `PROXY_INSTANCE_NAME` in any "
        "case, else takes it away.",
        last_wins=True,
    ),
    Parameter(
        "distribute",
        "service",
        "flag",
        "Send the call on to every replica of the proxy, the addresses of `tasks.<SERVICE_NAME>`.",
        "false",
        last_wins=True,
    ),
    Parameter(
        "addReqHeader",
        "service",
        "list",
        "Request headers to append.",
        source="DFP; HAProxy `http-request add-header`",
        limit_chars=LIST_CHARS,
        supported=False,
        modes=HTTP,
    ),
    Parameter(
        "addHeader",
        "service",
        "list",
        "Deprecated name of `addReqHeader`.",
        limit_chars=LIST_CHARS,
        supported=False,
        modes=HTTP,
    ),
    Parameter(
        "setReqHeader",
        "service",
        "list",
        "Request headers to replace.",
        source="DFP; HAProxy `http-request set-header`",
        limit_chars=LIST_CHARS,
        supported=False,
        modes=HTTP,
    ),
    Parameter(
        "setHeader",
        "service",
        "list",
        "Deprecated name of `setReqHeader`.",
        limit_chars=LIST_CHARS,
        supported=False,
        modes=HTTP,
    ),
    Parameter(
        "delReqHeader",
        "service",
        "list",
        "Request headers to remove.",
        source="DFP; HAProxy `http-request del-header`",
        limit_chars=LIST_CHARS,
        supported=False,
        modes=HTTP,
    ),
    Parameter(
        "addResHeader",
        "service",
        "list",
        "Response headers to append.",
        source="DFP; HAProxy `http-response add-header`",
        limit_chars=LIST_CHARS,
        supported=False,
        modes=HTTP,
    ),
    Parameter(
        "setResHeader",
        "service",
        "list",
        "Response headers to replace.",
        source="DFP; HAProxy `http-response set-header`",
        limit_chars=LIST_CHARS,
        supported=False,
        modes=HTTP,
    ),
    Parameter(
        "delResHeader",
        "service",
        "list",
        "Response headers to remove.",
        source="DFP; HAProxy `http-response del-header`",
        limit_chars=LIST_CHARS,
        supported=False,
        modes=HTTP,
    ),
    Parameter(
        "backendExtra",
        "service",
        "text",
        "HAProxy directives at the end of the backends.",
        limit_chars=LIST_CHARS,
        supported=False,
        last_wins=True,
    ),
    Parameter(
        "checkResolvers",
        "service",
        "flag",
        "Resolve names while running and check the servers.",
        "false",
        "DFP; HAProxy `check resolvers`",
        supported=False,
        last_wins=True,
    ),
    Parameter(
        "compressionAlgo",
        "service",
        "text",
        "Compress responses: `gzip`, `deflate`, `raw-deflate` or `identity`.",
        source="DFP; HAProxy `compression algo`",
        supported=False,
        modes=HTTP,
        last_wins=True,
    ),
    Parameter(
        "compressionType",
        "service",
        "text",
        "Media types that are compressed, separated by blanks.",
        source="DFP; HAProxy `compression type`",
        supported=False,
        only_with=("compressionAlgo",),
        modes=HTTP,
        last_wins=True,
    ),
    Parameter(
        "connectionMode",
        "service",
        "text",
        "What happens to connections after a response. `http-keep-alive` is what is done anyway; `http-tunnel` is "
        "taken as the same.",
        "`http-keep-alive`",
        "DFP; HAProxy `option http-server-close` and its kin",
        supported=False,
        harmless=("http-keep-alive", "http-tunnel"),
        modes=HTTP,
        last_wins=True,
    ),
    Parameter(
        "discoveryType",
        "service",
        "text",
        "`DNS` (in this case): one server for each replica. Anything else has no effect.",
        supported=False,
        last_wins=True,
    ),
    Parameter(
        "redirectWhenHttpProto",
        "service",
        "flag",
        "Redirect to https when X-Forwarded-Proto says http.",
        "false",
        supported=False,
        modes=HTTP,
        last_wins=True,
    ),
    Parameter(
        "redirectUnlessHttpsProto",
        "service",
        "flag",
        "Redirect to https unless X-Forwarded-Proto says https.",
        "false",
        supported=False,
        modes=HTTP,
        last_wins=True,
    ),
    Parameter(
        "reqPathSearch",
        "service",
        "text",
        "Deprecated: what `reqPathReplace` replaces in the path.",
        supported=False,
        modes=HTTP,
        last_wins=True,
    ),
    Parameter(
        "reqPathReplace",
        "service",
        "text",
        "Deprecated: what stands in the path instead of `reqPathSearch`.",
        supported=False,
        only_with=("reqPathSearch",),
        modes=HTTP,
        last_wins=True,
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
    ),
    Parameter(
        "sessionType",
        "service",
        "text",
        "`sticky-server`: a cookie keeps a client at its server.",
        source="DFP; HAProxy `cookie`",
        supported=False,
        modes=HTTP,
        last_wins=True,
    ),
    Parameter(
        "templateFePath",
        "service",
        "text",
        "Template of frontend directives.",
        supported=False,
        last_wins=True,
    ),
    Parameter(
        "templateBePath",
        "service",
        "text",
        "Template of backend directives.",
        supported=False,
        last_wins=True,
    ),
    Parameter(
        "users",
        "service",
        "text",
        "Who may use the service: `name:password` pairs.",
        source="DFP; HAProxy `userlist`",
        limit_chars=LIST_CHARS,
        supported=False,
        modes=HTTP,
        secret=True,
        lines=True,
    ),
    Parameter(
        "usersSecret",
        "service",
        "text",
        "Secret `dfp_users_<name>` with further users.",
        supported=False,
        modes=HTTP,
    ),
    Parameter(
        "usersPassEncrypted",
        "service",
        "flag",
        "Passwords are crypt(3) hashes.",
        "false",
        supported=False,
        only_with=("users", "usersSecret"),
        modes=HTTP,
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
    ),
    Parameter(
        "servicePathExclude",
        "destination",
        "list",
        "Paths that are not taken, compared as `pathType` says.",
        source="DFP; HAProxy `acl`, negated",
        limit_chars=LIST_CHARS,
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
    ),
    Parameter(
        "serviceDomain",
        "destination",
        "list",
        "Domains that are taken, any of them, compared as `serviceDomainAlgo` says. `*.example.com` is every host that "
        "ends in `.example.com`, whatever its port.",
        source="DFP; HAProxy `acl ... hdr_beg(host)`",
        limit_chars=LIST_CHARS,
    ),
    Parameter(
        "serviceHeader",
        "destination",
        "list",
        "`name:value` items, all of which a request must have. Items without exactly one `:` are ignored.",
        source="DFP; HAProxy `acl ... hdr(name)`",
        limit_chars=LIST_CHARS,
    ),
    Parameter(
        "userAgent",
        "destination",
        "list",
        "Text of which any must be in the User-Agent field, whatever its case.",
        source="DFP; HAProxy `acl ... hdr_sub(User-Agent) -i`",
        limit_chars=LIST_CHARS,
    ),
    Parameter(
        "port",
        "destination",
        "text",
        "Port that the servers listen on, 1 to 65535.",
        "port of the first of `endpoints`, else mandatory",
    ),
    Parameter(
        "srcPort",
        "destination",
        "number",
        "Port that the client must have connected to; 0 and text that is no number: any.",
        "any",
        "DFP; HAProxy `acl ... dst_port`",
    ),
    Parameter(
        "reqMode",
        "destination",
        "text",
        "`http`. (`tcp` and `sni` come later.)",
        "`http`",
        "DFP; HAProxy `mode`",
    ),
    Parameter(
        "outboundHostname",
        "destination",
        "text",
        "Host name or IP address whose addresses are the servers.",
        "`serviceName`",
        "DFP; HAProxy `server`",
    ),
    Parameter(
        "endpoints",
        "destination",
        "list",
        "Servers by hand: `host:port` or `host:port*weight` (weight 0 to 256, else 1).",
        "addresses of the host",
        "dfproxy; HAProxy `server ... weight`",
        limit_chars=LIST_CHARS,
    ),
    Parameter(
        "condition",
        "destination",
        "list",
        "Further conditions that plugins decide, all of which must hold: `name` or `name:value|value`.",
        source="dfproxy",
        limit_chars=LIST_CHARS,
    ),
    Parameter(
        "timeoutServer",
        "destination",
        "text",
        "Seconds that a server may be silent.",
        "`TIMEOUT_SERVER`",
        "DFP; HAProxy `timeout server`",
    ),
    Parameter(
        "timeoutTunnel",
        "destination",
        "text",
        "Seconds that an upgraded connection may be idle.",
        "`TIMEOUT_TUNNEL`",
        "DFP; HAProxy `timeout tunnel`",
    ),
    Parameter(
        "userDef",
        "destination",
        "text",
        "Stored and shown; no effect.",
    ),
    Parameter(
        "httpsPort",
        "destination",
        "number",
        "Port of the servers for requests that came by https.",
        "none",
        supported=False,
        modes=HTTP,
    ),
    Parameter(
        "srcHttpsPort",
        "destination",
        "number",
        "Port that the client must have connected to for `httpsPort`.",
        "443",
        supported=False,
        only_with=("httpsPort",),
        modes=HTTP,
    ),
    Parameter(
        "redirectFromDomain",
        "destination",
        "list",
        "Domains that are redirected to the first `serviceDomain`.",
        limit_chars=LIST_CHARS,
        supported=False,
        modes=HTTP,
    ),
    Parameter(
        "httpsOnly",
        "destination",
        "flag",
        "Redirect to https.",
        "false",
        supported=False,
        modes=HTTP,
    ),
    Parameter(
        "httpsRedirectCode",
        "destination",
        "text",
        "Status of redirects to https.",
        "302",
        supported=False,
        only_with=("httpsOnly", "redirectWhenHttpProto", "redirectUnlessHttpsProto"),
        modes=HTTP,
    ),
    Parameter(
        "denyHttp",
        "destination",
        "flag",
        "403 unless the request came by https.",
        "false",
        supported=False,
        modes=HTTP,
    ),
    Parameter(
        "allowedMethods",
        "destination",
        "list",
        "Methods that are allowed; others get 403.",
        limit_chars=LIST_CHARS,
        supported=False,
        modes=HTTP,
    ),
    Parameter(
        "deniedMethods",
        "destination",
        "list",
        "Methods that get 403.",
        limit_chars=LIST_CHARS,
        supported=False,
        modes=HTTP,
    ),
    Parameter(
        "verifyClientSsl",
        "destination",
        "flag",
        "403 without a client certificate.",
        "false",
        supported=False,
        modes=HTTP,
    ),
    Parameter(
        "ignoreAuthorization",
        "destination",
        "flag",
        "No password is asked for this destination.",
        "false",
        supported=False,
        only_with=("users", "usersSecret"),
        modes=HTTP,
    ),
    Parameter(
        "reqPathSearchReplace",
        "destination",
        "text",
        "Pairs of what to replace in the path, and with what.",
        limit_chars=LIST_CHARS,
        supported=False,
        modes=HTTP,
    ),
    Parameter(
        "sslVerifyNone",
        "destination",
        "flag",
        "Speak TLS to the servers without verifying them.",
        "false",
        "DFP; HAProxy `ssl verify none`",
        supported=False,
        modes=HTTP,
    ),
    Parameter(
        "timeoutClient",
        "destination",
        "text",
        "Seconds that a client may be silent.",
        source="DFP; HAProxy `timeout client`",
        supported=False,
        modes=STREAMS,
    ),
    Parameter(
        "checkTcp",
        "destination",
        "flag",
        "Check the servers.",
        "false",
        "DFP; HAProxy `option tcp-check`",
        supported=False,
        modes=STREAMS,
        key="CheckTCP",
    ),
    Parameter(
        "clitcpka",
        "destination",
        "flag",
        "TCP keep-alive towards clients.",
        "false",
        "DFP; HAProxy `option clitcpka`",
        supported=False,
        modes=STREAMS,
    ),
    Parameter(
        "serviceGroup",
        "destination",
        "text",
        "Services that share a TCP port.",
        supported=False,
        modes=STREAMS,
    ),
    Parameter(
        "balanceGroup",
        "destination",
        "text",
        "Strategy of a `serviceGroup`.",
        supported=False,
        modes=STREAMS,
    ),
)

TABLE: tuple[Parameter, ...] = SERVICE_ROWS + DESTINATION_ROWS
BY_NAME: dict[str, Parameter] = {row.name: row for row in TABLE}
BY_LOWER_NAME: dict[str, Parameter] = {row.name.lower(): row for row in TABLE}

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
- Booleans: `1 t T TRUE true True` and `0 f F FALSE false False`; anything else is false.
- Control characters are refused in every value (line breaks are fine in `users` and `serviceCert`).
- Parameters of a destination may end in `.1` to `.10`. A destination exists if `servicePath`, `port`, `serviceDomain`
  or `httpsPort` is given with its index; the first index without any ends the list. Values without an index hold for
  each index that has none of its own.
- Parameters marked *later* are refused with a value that would have an effect; values that mean "off" are accepted.
"""


def markdown() -> Iterator[str]:
    """
    docs/parameters.md, line by line.
    """
    yield from _INTRODUCTION.splitlines()
    for title, rows in (("Of the service", SERVICE_ROWS), ("Of each destination", DESTINATION_ROWS)):
        for heading, wanted in ((title, True), (f"{title}, later", False)):
            yield from (
                "",
                f"## {heading}",
                "",
                "| Name | Type | Default | Longest | Meaning | Source |",
                "|---|---|---|---|---|---|",
            )
            for row in rows:
                if row.supported is wanted:
                    cells = (
                        f"`{row.name}`",
                        row.kind,
                        row.default or "none",
                        str(row.limit_chars),
                        row.meaning,
                        row.source,
                    )
                    yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in markdown())
