"""
Requests of clients, good ones and hostile ones.

Longer than most modules, but one thing: a list.
"""

from __future__ import annotations

from tests.wire.cases import BODY_REFUSED, PASSES, Case, request

LINE = "RFC 9112 3"
TARGET = "RFC 9112 3.2"
HOST = "RFC 9112 3.2, RFC 9110 7.2"
FIELD = "RFC 9112 5.1, RFC 9110 5"
VALUE = "RFC 9110 5.5"
FOLD = "RFC 9112 5.2"
END = "RFC 9112 2.2"
LENGTH = "RFC 9110 8.6, RFC 9112 6.3"
CODING = "RFC 9112 6.1, 6.3"
CHUNKS = "RFC 9112 7.1"
TRAILERS = "RFC 9110 6.5.1"
HOP = "RFC 9110 7.6.1"
UPGRADE = "RFC 9110 7.8"
VERSION = "RFC 9112 2.3"
OURS = "ours"

CHUNKED = "Transfer-Encoding: chunked"
ZERO = b"0\r\n\r\n"
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: a.test\r\n\r\n"


def post(name: str, verdict: str | int, source: str, *fields: str, body: bytes = b"", **more: object) -> Case:
    """
    A POST.
    """
    return request(name, verdict, source, *fields, line="POST /x HTTP/1.1", body=body, **more)  # type: ignore[arg-type]  # as given


def chunks(name: str, verdict: str | int, body: bytes, source: str = CHUNKS, **more: object) -> Case:
    """
    A POST in chunks.
    """
    return post(name, verdict, source, CHUNKED, body=body, **more)


LINES = (
    request("plain", PASSES, LINE),
    request("method in lower case", PASSES, "RFC 9110 9.1", line="get /x HTTP/1.1", has=b"get /x HTTP/1.1"),
    request("method that nobody knows", PASSES, "RFC 9110 9.1", line="BREW /x HTTP/1.1", has=b"BREW /x"),
    request("method with every token character", PASSES, "RFC 9110 5.6.2", line="A!#$%&'*+-.^_`|~9 /x HTTP/1.1"),
    request("method with a bracket", 400, "RFC 9110 5.6.2", line="G(T /x HTTP/1.1"),
    request("method with a colon", 400, "RFC 9110 5.6.2", line="GET: /x HTTP/1.1"),
    request("no method", 400, LINE, line=" /x HTTP/1.1"),
    request("blank before the method", 400, LINE, line=" GET /x HTTP/1.1"),
    request("two blanks after the method", 400, LINE, line="GET  /x HTTP/1.1"),
    request("TAB after the method", 400, LINE, line="GET\t/x HTTP/1.1"),
    request("two blanks before the version", 400, LINE, line="GET /x  HTTP/1.1"),
    request("blank after the version", 400, LINE, line="GET /x HTTP/1.1 "),
    request("no version", 400, VERSION, line="GET /x"),
    request("HTTP/0.9 by name", 400, VERSION, line="GET /x HTTP/0.9"),
    request("HTTP/1.2", 400, OURS, line="GET /x HTTP/1.2"),
    request("HTTP/2.0 as HTTP/1", 400, VERSION, line="GET /x HTTP/2.0"),
    request("HTTP/3.0", 400, VERSION, line="GET /x HTTP/3.0"),
    request("version in lower case", 400, VERSION, line="GET /x http/1.1"),
    request("version with two digits", 400, VERSION, line="GET /x HTTP/1.10"),
    request("version with a leading zero", 400, VERSION, line="GET /x HTTP/01.1"),
    request("version without a minor one", 400, VERSION, line="GET /x HTTP/1"),
    request("version of another protocol", 400, VERSION, line="GET /x SIP/1.1"),
    request("version with a comma", 400, VERSION, line="GET /x HTTP/1,1"),
    Case("one empty line before", b"\r\nGET /x HTTP/1.1\r\nHost: a.test\r\n\r\n", PASSES, END),
    Case("two empty lines before", b"\r\n\r\nGET /x HTTP/1.1\r\nHost: a.test\r\n\r\n", 400, OURS),
    Case("lone LF before", b"\nGET /x HTTP/1.1\r\nHost: a.test\r\n\r\n", 400, END),
    Case("a TLS handshake", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40), 400, LINE),
    Case("a greeting of SSH", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", 400, LINE),
    Case("a response", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 400, LINE),
)

TARGETS = (
    request("asterisk with OPTIONS", PASSES, "RFC 9112 3.2.4", line="OPTIONS * HTTP/1.1", has=b"OPTIONS * "),
    request("asterisk with GET", 400, "RFC 9112 3.2.4", line="GET * HTTP/1.1"),
    request("URL with the same host", PASSES, "RFC 9112 3.2.2", line="GET http://a.test/x HTTP/1.1"),
    request("URL with the same host in other letters", PASSES, "RFC 9112 3.2.2", line="GET http://A.TEST/x HTTP/1.1"),
    request("URL with another host", 400, "RFC 9112 3.2.2", line="GET http://b.test/x HTTP/1.1"),
    request("URL with a port that Host lacks", 400, OURS, line="GET http://a.test:80/x HTTP/1.1"),
    request("URL without a path", PASSES, "RFC 9112 3.2.1", line="GET http://a.test HTTP/1.1"),
    request("URL without a host", 400, "RFC 9110 4.2.1", line="GET http:///x HTTP/1.1"),
    request("URL with a user", 400, "RFC 9110 4.2.4", line="GET http://me@a.test/x HTTP/1.1"),
    request("URL of another scheme", 400, TARGET, line="GET ftp://a.test/x HTTP/1.1"),
    request("CONNECT", 400, OURS, line="CONNECT a.test:443 HTTP/1.1"),
    request("authority with GET", 400, TARGET, line="GET a.test:80 HTTP/1.1"),
    request("path without a slash", 400, TARGET, line="GET x HTTP/1.1"),
    request("no target", 400, TARGET, line="GET  HTTP/1.1"),
    request("target with a fragment", 400, "RFC 9110 7.1", line="GET /x#y HTTP/1.1"),
    request("target with TAB", 400, TARGET, line="GET /x\ty HTTP/1.1"),
    request("target with NUL", 400, TARGET, line="GET /x\0y HTTP/1.1"),
    request("target with DEL", 400, TARGET, line="GET /x\x7fy HTTP/1.1"),
    request("target with a lone CR", 400, TARGET, line="GET /x\ry HTTP/1.1"),
    request("target in Latin-1", 400, "RFC 3986 2", line="GET /\xe4 HTTP/1.1"),
    request(
        "percent signs stay as they are", PASSES, "RFC 3986 2", line="GET /%2e%2E/%zz HTTP/1.1", has=b"/%2e%2E/%zz"
    ),
    request("dots stay as they are", PASSES, OURS, line="GET /a/../x//y HTTP/1.1", has=b"GET /a/../x//y "),
    request("query without a path", 400, TARGET, line="GET ?a=b HTTP/1.1"),
    request("target of 17,000 bytes", 414, "RFC 9110 15.5.15", line=f"GET /{'x' * 17000} HTTP/1.1"),
)

HOSTS = (
    request("no Host", 400, HOST, host=None),
    request("two Hosts", 400, HOST, "Host: b.test"),
    request("the same Host twice", 400, HOST, "Host: a.test"),
    request("two Hosts in other letters", 400, HOST, "hOST: b.test"),
    request("empty Host", PASSES, HOST, host="Host:"),
    request("Host with a port", PASSES, HOST, host="Host: a.test:8080"),
    request("Host that is IPv6", PASSES, HOST, host="Host: [::1]:80"),
    request("Host with a blank", 400, HOST, host="Host: a.test b.test"),
    request("Host with a slash", 400, HOST, host="Host: a.test/b"),
    request("Host with a user", 400, HOST, host="Host: me@a.test"),
    request("Host with NUL", 400, VALUE, host="Host: a.test\0"),
    request("Host with a backslash", 400, HOST, host="Host: a.test\\b"),
    request("Host in Latin-1", 400, HOST, host="Host: \xe4.test"),
)

FIELDS = (
    request("blank before the colon", 400, FIELD, "X-A : 1"),
    request("TAB before the colon", 400, FIELD, "X-A\t: 1"),
    request("blank before the colon of Content-Length", 400, FIELD, "Content-Length : 0"),
    request("blank before the colon of Transfer-Encoding", 400, FIELD, "Transfer-Encoding : chunked", body=ZERO),
    request("no name", 400, FIELD, ": 1"),
    request("no colon", 400, FIELD, "X-A 1"),
    request("name with a bracket", 400, FIELD, "X(A: 1"),
    request("name with NUL", 400, FIELD, "X\0A: 1"),
    request("name with DEL", 400, FIELD, "X\x7fA: 1"),
    request("name in Latin-1", 400, FIELD, "X\xe4: 1"),
    request("name with a quote", 400, FIELD, 'X"A: 1'),
    request("name with an underscore", PASSES, FIELD, "X_A: 1", has=b"X_A: 1"),
    request("value with NUL", 400, VALUE, "X-A: 1\0"),
    request("value with a lone CR", 400, VALUE, "X-A: 1\r2"),
    request("value with a lone LF", 400, VALUE, "X-A: 1\n2"),
    request("value with a lone LF and a field", 400, VALUE, "X-A: 1\nTransfer-Encoding: chunked", body=ZERO),
    request("value with a bell", 400, VALUE, "X-A: \x07"),
    request("value with DEL", 400, VALUE, "X-A: \x7f"),
    request("value with TAB", PASSES, VALUE, "X-A: 1\t2", has=b"X-A: 1\t2"),
    request("value in Latin-1", PASSES, VALUE, "X-A: \xe4", has=b"X-A: \xe4"),
    request("empty value", PASSES, VALUE, "X-A:", has=b"X-A:\r\n"),
    request("value with colons", PASSES, VALUE, "X-A:::", has=b"X-A:::"),
    request("folded value", 400, FOLD, "X-A: 1", " 2"),
    request("folded with TAB", 400, FOLD, "X-A: 1", "\t2"),
    request("first field begins with a blank", 400, END, host=" Host: a.test"),
    request("folded Transfer-Encoding", 400, FOLD, "Transfer-Encoding:", " chunked", body=ZERO),
    Case("lone LF after the line", b"GET /x HTTP/1.1\nHost: a.test\r\n\r\n", 400, END),
    Case("lone LF after a field", b"GET /x HTTP/1.1\r\nHost: a.test\n\r\n", 400, END),
    Case("lone LF at the end", b"GET /x HTTP/1.1\r\nHost: a.test\r\n\n", 400, END),
    Case("lone LFs everywhere", b"GET /x HTTP/1.1\nHost: a.test\n\n", 400, END),
    Case("lone CRs everywhere", b"GET /x HTTP/1.1\rHost: a.test\r\r", 400, END),
    Case("CR CR LF", b"GET /x HTTP/1.1\r\r\nHost: a.test\r\n\r\n", 400, END),
    request("100 fields", PASSES, OURS, *(f"X-{n}: 1" for n in range(99))),
    request("101 fields", 431, "RFC 6585 5", *(f"X-{n}: 1" for n in range(100))),
    request("head of 17,000 bytes", 431, "RFC 6585 5", f"X-A: {'x' * 17000}"),
)

LENGTHS = (
    post("Content-Length", PASSES, LENGTH, "Content-Length: 5", body=b"hello", has=b"hello"),
    post("blanks around Content-Length", PASSES, LENGTH, "Content-Length: \t5 \t", body=b"hello", has=b"hello"),
    post("Content-Length in other letters", PASSES, LENGTH, "cONTENT-lENGTH: 5", body=b"hello", has=b"hello"),
    post("leading zeros", PASSES, LENGTH, "Content-Length: 005", body=b"hello", has=b"hello"),
    post("Content-Length 0", PASSES, LENGTH, "Content-Length: 0"),
    post("no body at all", PASSES, "RFC 9112 6.3"),
    post("Content-Length with a plus", 400, LENGTH, "Content-Length: +5", body=b"hello"),
    post("Content-Length with a minus", 400, LENGTH, "Content-Length: -5", body=b"hello"),
    post("Content-Length in hexadecimal", 400, LENGTH, "Content-Length: 0x5", body=b"hello"),
    post("Content-Length with a dot", 400, LENGTH, "Content-Length: 5.0", body=b"hello"),
    post("Content-Length with an underscore", 400, LENGTH, "Content-Length: 1_0", body=b"hello"),
    post("empty Content-Length", 400, LENGTH, "Content-Length:"),
    post("Content-Length in words", 400, LENGTH, "Content-Length: five", body=b"hello"),
    post("Content-Length with a blank inside", 400, LENGTH, "Content-Length: 5 5", body=b"hello"),
    post("Content-Length as a list", 400, LENGTH, "Content-Length: 5, 5", body=b"hello"),
    post("Content-Length with a comma", 400, LENGTH, "Content-Length: 5,", body=b"hello"),
    post("Content-Length of 30 digits", 400, LENGTH, f"Content-Length: {'9' * 30}", body=b"hello"),
    post("Content-Length in Arabic digits", 400, LENGTH, "Content-Length: \xd9\xa5", body=b"hello"),
    post("two lengths that differ", 400, LENGTH, "Content-Length: 5", "Content-Length: 6", body=b"hello!"),
    post(
        "the same length twice", PASSES, LENGTH, "Content-Length: 5", "Content-Length: 5", body=b"hello", has=b"hello"
    ),
    post(
        "5 and 05", PASSES, OURS, "Content-Length: 5", "Content-Length: 05", body=b"hello", has=b"Content-Length: 5\r\n"
    ),
    request("GET with a body", PASSES, LENGTH, "Content-Length: 5", body=b"hello", has=b"hello"),
    post("a request in a body", PASSES, LENGTH, f"Content-Length: {len(HIDDEN)}", body=HIDDEN, has=b"GET /hidden"),
    post("a second request", PASSES, "RFC 9112 9.3.2", "Content-Length: 5", body=b"hello" + HIDDEN, messages=2),
    request("GET with what is a request", PASSES, "RFC 9112 6.3", body=HIDDEN, messages=2),
    post("length with an underscore in its name", PASSES, FIELD, "Content_Length: 5", body=HIDDEN, messages=2),
)

CODINGS = (
    chunks("chunks", PASSES, b"5\r\nhello\r\n0\r\n\r\n", has=b"hello"),
    post("chunks in other letters", PASSES, CODING, "transfer-ENCODING: ChUnKeD", body=b"1\r\nx\r\n" + ZERO, has=b"x"),
    post("length and chunks", 400, CODING, "Content-Length: 5", CHUNKED, body=ZERO),
    post("chunks and length", 400, CODING, CHUNKED, "Content-Length: 5", body=ZERO),
    post("chunks twice", 400, CODING, CHUNKED, CHUNKED, body=ZERO),
    post("chunks twice in a list", 400, CODING, "Transfer-Encoding: chunked, chunked", body=ZERO),
    post("gzip, then chunks", 400, OURS, "Transfer-Encoding: gzip, chunked", body=ZERO),
    post("chunks, then gzip", 400, CODING, "Transfer-Encoding: chunked, gzip", body=ZERO),
    post("gzip only", 400, CODING, "Transfer-Encoding: gzip", body=ZERO),
    post("identity", 400, CODING, "Transfer-Encoding: identity", body=ZERO),
    post("identity, then chunks in two lines", 400, CODING, "Transfer-Encoding: identity", CHUNKED, body=ZERO),
    post("empty Transfer-Encoding", 400, CODING, "Transfer-Encoding:", body=ZERO),
    post("chunked with a parameter", 400, CODING, "Transfer-Encoding: chunked;q=1", body=ZERO),
    post("chunked with a comma", 400, CODING, "Transfer-Encoding: chunked,", body=ZERO),
    post("comma before chunked", 400, CODING, "Transfer-Encoding: ,chunked", body=ZERO),
    post("chunked in quotes", 400, CODING, 'Transfer-Encoding: "chunked"', body=ZERO),
    post("xchunked", 400, CODING, "Transfer-Encoding: xchunked", body=ZERO),
    post("chunked with VT before it", 400, VALUE, "Transfer-Encoding: \x0bchunked", body=ZERO),
    post("chunked with a no-break space", 400, CODING, "Transfer-Encoding: chunked\xa0", body=ZERO),
    post("TAB before chunked", PASSES, CODING, "Transfer-Encoding:\tchunked", body=ZERO),
    post("coding with an underscore in its name", PASSES, FIELD, "Transfer_Encoding: chunked", body=HIDDEN, messages=2),
    request("chunks in HTTP/1.0", 400, CODING, CHUNKED, line="POST /x HTTP/1.0", body=ZERO),
)

CHUNK_SIZES = (
    chunks("leading zeros in a size", PASSES, b"0005\r\nhello\r\n000\r\n\r\n", has=b"hello"),
    chunks("size in capitals", PASSES, b"A\r\n0123456789\r\n" + ZERO, has=b"0123456789"),
    chunks("extension", PASSES, b"5;a=b\r\nhello\r\n0;c\r\n\r\n", has=b"hello", lacks=b"a=b"),
    chunks("extension in quotes", PASSES, b'5;a="b;c"\r\nhello\r\n' + ZERO, has=b"hello"),
    chunks("trailer", PASSES, b"5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n", TRAILERS, has=b"X-T: 1"),
    chunks("trailer that frames", PASSES, b"0\r\nContent-Length: 5\r\n\r\n", TRAILERS, lacks=b"content-length: 5"),
    chunks("trailer that routes", PASSES, b"0\r\nHost: b.test\r\n\r\n", TRAILERS, lacks=b"b.test"),
    chunks("after the chunks a request", PASSES, b"1\r\nx\r\n" + ZERO + HIDDEN, messages=2),
    chunks("no size", BODY_REFUSED, b"\r\nhello\r\n" + ZERO),
    chunks("size with 0x", BODY_REFUSED, b"0x5\r\nhello\r\n" + ZERO),
    chunks("size with a plus", BODY_REFUSED, b"+5\r\nhello\r\n" + ZERO),
    chunks("size with a minus", BODY_REFUSED, b"-5\r\nhello\r\n" + ZERO),
    chunks("size with a blank before", BODY_REFUSED, b" 5\r\nhello\r\n" + ZERO),
    chunks("size with a blank behind", BODY_REFUSED, b"5 \r\nhello\r\n" + ZERO),
    chunks("size with an underscore", BODY_REFUSED, b"1_0\r\nhello\r\n" + ZERO),
    chunks("size that is no number", BODY_REFUSED, b"G\r\nhello\r\n" + ZERO),
    chunks("size of 17 digits", BODY_REFUSED, b"10000000000000005\r\nhello\r\n" + ZERO),
    chunks("size of 2 to the 64", BODY_REFUSED, b"FFFFFFFFFFFFFFFF\r\nhello\r\n" + ZERO),
    chunks("size line that ends in LF", BODY_REFUSED, b"5\nhello\r\n" + ZERO),
    chunks("size line that ends in CR", BODY_REFUSED, b"5\rhello\r\n" + ZERO),
    chunks("size and LF after an extension", BODY_REFUSED, b"5;a\nhello\r\n" + ZERO),
    chunks("CR in an extension", BODY_REFUSED, b"5;a\rb\r\nhello\r\n" + ZERO),
    chunks("NUL in an extension", BODY_REFUSED, b"5;a\0b\r\nhello\r\n" + ZERO),
    chunks("extension of 5,000 bytes", BODY_REFUSED, b"5;" + b"a" * 5000 + b"\r\nhello\r\n" + ZERO, "ours"),
    chunks("chunk longer than its size", BODY_REFUSED, b"5\r\nhello!\r\n" + ZERO),
    chunks("chunk that ends in LF", BODY_REFUSED, b"5\r\nhello\n" + ZERO),
    chunks("chunk that ends in CR X", BODY_REFUSED, b"5\r\nhello\rX" + ZERO),
    chunks("trailer without a colon", BODY_REFUSED, b"0\r\nX-T\r\n\r\n", FIELD),
    chunks("trailer with a blank before the colon", BODY_REFUSED, b"0\r\nX-T : 1\r\n\r\n", FIELD),
    chunks("folded trailer", BODY_REFUSED, b"0\r\nX-T: 1\r\n 2\r\n\r\n", FOLD),
    chunks("trailers of 9,000 bytes", BODY_REFUSED, b"0\r\nX-T: " + b"x" * 9000 + b"\r\n\r\n", "ours"),
)

HOPS = (
    request("Connection and what it names", PASSES, HOP, "Connection: X-A, close", "X-A: 1", lacks=b"x-a: 1"),
    request("Connection that names Host", PASSES, HOP, "Connection: Host", has=b"Host: a.test"),
    post(
        "Connection that names the length",
        PASSES,
        HOP,
        "Connection: Content-Length",
        "Content-Length: 1",
        body=b"x",
        has=b"Content-Length: 1",
    ),
    post(
        "Connection that names the coding",
        PASSES,
        HOP,
        "Connection: Transfer-Encoding",
        CHUNKED,
        body=ZERO,
        has=b"chunked",
    ),
    request("Keep-Alive", PASSES, HOP, "Keep-Alive: timeout=5", lacks=b"keep-alive"),
    request("Proxy-Connection", PASSES, HOP, "Proxy-Connection: close", lacks=b"proxy-connection"),
    request("TE", PASSES, HOP, "TE: trailers", "Connection: TE", lacks=b"te: trailers"),
    request(
        "HTTP2-Settings",
        PASSES,
        "RFC 9113 3.1",
        "Connection: Upgrade, HTTP2-Settings",
        "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABk",
        lacks=b"h2c",
    ),
    request("WebSocket", PASSES, UPGRADE, "Connection: Upgrade", "Upgrade: websocket", has=b"Upgrade: websocket"),
    request("Upgrade that Connection does not name", PASSES, UPGRADE, "Upgrade: websocket", lacks=b"websocket"),
    request(
        "Upgrade-Insecure-Requests",
        PASSES,
        UPGRADE,
        "Upgrade-Insecure-Requests: 1",
        has=b"Upgrade-Insecure-Requests: 1",
    ),
    request("Expect that nobody knows", PASSES, "RFC 9110 10.1.1", "Expect: tea", has=b"Expect: tea"),
    request(
        "what the client says of itself",
        PASSES,
        OURS,
        "X-Forwarded-For: 203.0.113.9",
        has=b"X-Forwarded-For: 203.0.113.9",
    ),
    request("HTTP/1.0", PASSES, VERSION, line="GET /x HTTP/1.0"),
    request("HTTP/1.0 without Host", PASSES, HOST, line="GET /x HTTP/1.0", host=None, has=b"Host:"),
    request(
        "HTTP/1.0 with a length", PASSES, VERSION, "Content-Length: 1", line="POST /x HTTP/1.0", body=b"x", has=b"x"
    ),
)

REQUESTS: tuple[Case, ...] = (
    *LINES,
    *TARGETS,
    *HOSTS,
    *FIELDS,
    *LENGTHS,
    *CODINGS,
    *CHUNK_SIZES,
    *HOPS,
)
