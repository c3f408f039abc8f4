"""
What services and requests of the oracle are made of, and what is left out of them, with the reason.

Few letters, so that services overlap.
"""

from __future__ import annotations

PIECES = ("/a", "/b", "/ab", "/A", "/", "/.", "x1", "a", "b", ".", "/a/b", "//", "/a.b/", "%2F")
HOST_PIECES = ("a", "b", "ab", ".a", ".b", ".", "A", "c", "-")

PATH_FORM_GROUPS: tuple[tuple[str, ...], ...] = (
    ("", "path_beg", "path_beg"),
    ("path",),
    ("path_end",),
    ("path_sub", "path -m sub"),
    ("path_dir", "path_dom"),
    ("path_len",),
    ("path_reg",),
    ("path_beg -i", "path -i", "path_end -i"),
    ("url", "url_beg", "url_sub", "url_end", "url_reg", "url_dir", "url_len"),
)
PATH_FORMS = tuple(form for group in PATH_FORM_GROUPS for form in dict.fromkeys(group) if form)
PATH_REGEXES = {
    "^/a": ("/a", "/ab/x"),
    "b$": ("/b", "/a/b"),
    "a[0-9]*/b": ("/a1/b", "/a/bx"),
    "/ab/": ("/ab/", "/x/ab/x"),
    "(/a|/b)x1": ("/ax1", "/bx1"),
    "[.]a": ("/.a", "/x.a"),
    "x[0-9]+": ("/x1", "/ax12"),
    "^/[^/]*$": ("/a", "/"),
}
"""Each with paths that it finds."""

HOST_FORMS = (
    *("hdr_beg(host)", "hdr(host)", "hdr_dom(host)", "hdr_end(host)", "hdr_sub(host)", "hdr_dir(host)"),
    *("hdr_reg(host)", "hdr_len(host)"),
)
HOST_REGEXES = {"^a": ("a", "ab.c"), "b$": ("b", "a.b"), "a[.]b": ("a.b", "xa.bc"), "(a|b){2}": ("ab", "c.aa")}

HEADERS = {"X-A:1": "X-A: 1", "X-B:a b": "x-b: a b", "x-a:2": "X-A: 2"}
"""`serviceHeader` items, and lines that have them."""

AGENTS = {"moz": "MOZ/1", "a b": "xA By", "-i": "foo -I", "moz,curl": "curl/8"}

PASSWORDS = {"alice": "wonderland", "bob": "Builder9", "stat": "tistics"}
HASH = "$5$oracle$jOvf5GCQ.cAW0NvQMj7zHR9odW.sdVn17AQ1jUYm57D"
"""The first one's, as crypt(3) has it."""

WANTED = {
    "": (200, ("Content-Type: text/plain", "X-Kind: k")),
    "missing": (404, ("Content-Type: text/html; charset=utf-8", "Server: s")),
    "made": (201, ("Content-Type: application/json", "Location: /new", "Set-Cookie: own=1", "Set-Cookie: more=2")),
    "kept": (200, ("Content-Type: text/css", "Cache-Control: max-age=60", 'ETag: "e"', "Vary: X-A")),
    "as-is": (200, ("Content-Type: text/plain", "Cache-Control: no-transform", "Server: s")),
    "untyped": (200, ("X-Kind: a, b",)),
    "broken": (500, ("Content-Type: text/plain", "Set-Cookie: own=1")),
    "none": (204, ("X-Kind: k",)),
}
"""What servers answer to a request with this `X-Want`: status and fields."""

REQUEST_RULES = (
    "X-P %[path,lower] if { path_beg /a },X-P 2",
    "X-Q %[hdr(x-a),word(1,\\,)]|%[query] if !{ hdr(x-a) -m found } or { path_sub b }",
    "X-R '%[req.fhdr(x-b)] %[src]' if { hdr(x-b) a 2 } METH_GET",
    "X-S \"%[url,regsub('(a+)','[\\1]',g)]\"",
    "X-A %[base,length]",
    "X-B %[hdr(x-a,1),upper]%% unless { path_len 3:6 }",
    "X-T %[method]-%[ssl_fc]-%[dst_port]",
    "X-U %[method]-%[path,field(2,/)]-%ci",
    "X-V %[req.hdr_cnt(x-a)] if { ssl_fc }",
)
DELETED = ("X-A if { hdr_sub(x-a) 1 }", "X-B", "User-Agent if { path_dir b }", "X-P,X-A")
RESPONSE_RULES = (
    "X-Served %[res.hdr(x-kind)]",
    "X-Kind 'a b' if { status 200 }",
    "X-Kind %[status]",
    "Cache-Control no-store unless { res.hdr(x-kind) -m found }",
    "Strict-Transport-Security max-age=31536000 if { ssl_fc }",
)
DELETED_ANSWERS = ("X-Kind", "Server,X-Kind if { status 404 }", "Set-Cookie if { status ge 300 }")
REWRITES = ("/a,/z", "a,:b,c,g", "^/(a)(.*),/\\2\\1", "A,x,i", "^/ab?,", "x(1*),<\\1>,g")
EXTRAS = (
    "http-request set-header X-Extra %[path]",
    "acl inner path_beg /a/\nhttp-request deny if inner { hdr(x-a) 1 }",
    "http-request deny deny_status 429 if { path_end x1 }",
    "http-request redirect location /elsewhere code 303 if { path_sub // }",
    "http-request set-path /new%[path] unless { method POST }\nhttp-response set-header X-Var %[var(txn.p)]",
    "http-request set-var(txn.p) path,upper\nhttp-response add-header X-Var %[var(txn.p)]",
    "http-request replace-header X-A 1(.*) <\\1>\nhttp-request replace-path /b(.*) /c\\1",
    "http-request set-query k=%[path] if { query -m found }",
    "http-response set-status 202 if { status 201 }",
    "http-request return status 200 content-type text/plain string hello hdr X-Own 1 if { path /b }",
)
FRONT_EXTRAS = (
    "http-request set-header X-Front %[path] if { path_beg /a },"
    "http-request deny if { path_end b.b },"
    "acl many path_sub //,http-request redirect location /once code 301 if many,"
    "http-response add-header X-Back %[status]"
)

METHODS = ("GET", "GET", "GET", "GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH")
NETWORKS = ("127.0.0.1", "127.0.0.0/31", "127.0.0.0/8", "10.0.0.0/8", "192.0.2.0/24", "127.0.0.2,10.0.0.0/8")
CLIENTS = ("127.0.0.1", "127.0.0.2")
"""Addresses that requests come from."""
ENCODINGS = ("gzip", "deflate", "gzip;q=0, deflate", "br, gzip;q=0.5", "*", "identity", "gzip, deflate;q=0.9", "GZIP")

NOT_DRAWN = {
    "proxyInstanceName": "says which proxy takes a service, nothing of requests",
    "distribute": "sends the call on to other replicas",
    "serviceCert": "certificates: tests.e2e.test_certificates",
    "templateFePath": "refused",
    "templateBePath": "refused",
    "reqMode": "whole connections, not HTTP: tests.e2e.wire and issue 5",
    "condition": "a plugin decides it, which HAProxy has not: the text says so",
    "timeoutClient": "of whole connections",
    "clitcpka": "of whole connections",
    "serviceGroup": "of whole connections",
    "balanceGroup": "of whole connections",
    "backendTls": "servers with TLS: tests.e2e.test_servers_tls",
    "backendCa": "as backendTls",
    "backendServerName": "as backendTls",
    "backendCertificate": "as backendTls",
    "sslVerifyNone": "as backendTls",
    "sendProxy": "servers that expect it: tests.e2e.test_announced",
    "checkTcp": "health of servers is no matter of a single request",
    **dict.fromkeys(
        (
            *("checkPath", "checkStatus", "checkBody", "checkInterval", "checkTimeout", "checkRise", "checkFall"),
            *("slowStart", "retries", "retryOn", "retryBudget", "maxConnections", "queueTimeout", "queueLimit"),
            *("ejectErrors", "ejectShare", "ejectMost"),
        ),
        "as checkTcp: servers here are well and idle",
    ),
}
"""Parameters that the oracle never draws, and why."""

INTENDED = {
    "close": "after an answer of its own dfproxy closes the connection (DFP's pages say so), HAProxy 2.6 may keep it: "
    "`Connection` is not compared there",
    "page": "the HTML of built-in pages is our own; that of the operator's is compared",
    "request line": "%HM, %HU and their like are <BADREQ> in HAProxy's rules unless it logs: they are not drawn",
    "statistics": "dfproxy answers 405 to other methods than GET and HEAD, HAProxy goes on to the routes: not drawn; "
    "the page is our own, so of its fields only the question for the password is compared",
    "any coding": "for `Accept-Encoding: *` dfproxy takes the first algorithm that is configured, HAProxy the last; "
    "and HAProxy reads only the first letter of such words: that field is not changed in near misses",
    "bad port": "for wildcard domains HAProxy takes off whatever follows a colon in Host, dfproxy a port number only: "
    "ports that are no number are not drawn",
    "no address": "HAProxy looks behind what is no address in X-Forwarded-For, dfproxy stops there and believes less: "
    "that field is not changed in near misses",
    "turn": "which of several servers gets a request without a cookie is nobody's promise",
    "passwords": "the text shows none (contract 2.6, oddity 06): the oracle puts them in",
}
"""Where the two differ on purpose."""
