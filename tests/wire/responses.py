"""
Responses of servers, good ones and broken ones.
"""

from __future__ import annotations

from tests.wire.cases import BODY_REFUSED, PASSES, Case, response

STATUS = "RFC 9112 4"
FIELD = "RFC 9112 5.1, RFC 9110 5"
VALUE = "RFC 9110 5.5"
FOLD = "RFC 9112 5.2"
END = "RFC 9112 2.2"
LENGTH = "RFC 9110 8.6, RFC 9112 6.3"
CODING = "RFC 9112 6.1, 6.3"
CHUNKS = "RFC 9112 7.1"
HOP = "RFC 9110 7.6.1"
OURS = "ours"

CHUNKED = "Transfer-Encoding: chunked"
ZERO = b"0\r\n\r\n"

HEADS = (
    response("plain answer", PASSES, STATUS, "Content-Length: 2", body=b"hi", has=b"hi"),
    response("no reason", PASSES, STATUS, "Content-Length: 0", line="HTTP/1.1 200 "),
    response("no blank before no reason", PASSES, OURS, "Content-Length: 0", line="HTTP/1.1 200"),
    response("reason in Latin-1", PASSES, STATUS, "Content-Length: 0", line="HTTP/1.1 200 \xe4"),
    response("status that nobody knows", PASSES, STATUS, "Content-Length: 0", line="HTTP/1.1 299 Odd", has=b"299 Odd"),
    response("status 999", PASSES, STATUS, "Content-Length: 0", line="HTTP/1.1 999 Odd"),
    response(
        "answer in HTTP/1.0",
        PASSES,
        "RFC 9112 2.3",
        "Content-Length: 2",
        line="HTTP/1.0 200 OK",
        body=b"hi",
        has=b"HTTP/1.1 200",
    ),
    response("status of two digits", 502, STATUS, "Content-Length: 0", line="HTTP/1.1 20 OK"),
    response("status of four digits", 502, STATUS, "Content-Length: 0", line="HTTP/1.1 2000 OK"),
    response("status 099", 502, STATUS, "Content-Length: 0", line="HTTP/1.1 099 OK"),
    response("status in words", 502, STATUS, "Content-Length: 0", line="HTTP/1.1 abc OK"),
    response("two blanks before the status", 502, STATUS, "Content-Length: 0", line="HTTP/1.1  200 OK"),
    response("blank before the version", 502, STATUS, "Content-Length: 0", line=" HTTP/1.1 200 OK"),
    response("version in lower case in an answer", 502, STATUS, "Content-Length: 0", line="http/1.1 200 OK"),
    response("HTTP/2.0 in an answer", 502, STATUS, "Content-Length: 0", line="HTTP/2.0 200 OK"),
    response("ICY", 502, STATUS, "Content-Length: 0", line="ICY 200 OK"),
    response("NUL in the reason", 502, STATUS, "Content-Length: 0", line="HTTP/1.1 200 O\0K"),
    response("a request as an answer", 502, STATUS, "Host: a.test", line="GET / HTTP/1.1"),
    Case("empty line before an answer", b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 502, STATUS),
    Case("a page without a head", b"<html><body>hello, world!</body></html>\r\n\r\n", 502, "RFC 9112 2.3"),
    Case("LF instead of CRLF in an answer", b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", 502, END),
    Case("LF after a field of an answer", b"HTTP/1.1 200 OK\r\nX-A: 1\nContent-Length: 0\r\n\r\n", 502, END),
    response("blank before a colon of an answer", 502, OURS, "X-A : 1", "Content-Length: 0"),
    response("NUL in a value of an answer", 502, VALUE, "X-A: \0", "Content-Length: 0"),
    response("lone CR in a value of an answer", 502, VALUE, "X-A: a\rb", "Content-Length: 0"),
    response("folded value in an answer", 502, FOLD, "X-A: 1", " 2", "Content-Length: 0"),
    response("no colon in an answer", 502, FIELD, "X-A", "Content-Length: 0"),
    response("bracket in a name of an answer", 502, FIELD, "X(A: 1", "Content-Length: 0"),
    response("101 fields in an answer", 502, OURS, *(f"X-{n}: 1" for n in range(100)), "Content-Length: 0"),
    response("head of an answer of 17,000 bytes", 502, OURS, f"X-A: {'x' * 17000}", "Content-Length: 0"),
    response(
        "what Connection names in an answer",
        PASSES,
        HOP,
        "Connection: X-A",
        "X-A: 1",
        "Content-Length: 0",
        lacks=b"x-a: 1",
    ),
    response(
        "Keep-Alive in an answer",
        PASSES,
        HOP,
        "Keep-Alive: timeout=5",
        "Content-Length: 0",
        lacks=b"keep-alive: timeout",
    ),
    response(
        "Set-Cookie twice",
        PASSES,
        "RFC 6265 3",
        "Set-Cookie: a=1",
        "Set-Cookie: b=2",
        "Content-Length: 0",
        has=b"Set-Cookie: a=1\r\nSet-Cookie: b=2",
    ),
)

BODIES = (
    response("no length at all", PASSES, LENGTH, body=b"u", has=b"u"),
    response("length with a plus in an answer", 502, LENGTH, "Content-Length: +2", body=b"hi"),
    response("length in hexadecimal in an answer", 502, LENGTH, "Content-Length: 0x2", body=b"hi"),
    response("length as a list in an answer", 502, LENGTH, "Content-Length: 2, 2", body=b"hi"),
    response("empty length in an answer", 502, LENGTH, "Content-Length:", body=b"hi"),
    response("two lengths in an answer", 502, LENGTH, "Content-Length: 2", "Content-Length: 3", body=b"hi!"),
    response(
        "the same length twice in an answer",
        PASSES,
        LENGTH,
        "Content-Length: 2",
        "Content-Length: 2",
        body=b"hi",
        has=b"hi",
    ),
    response("length and chunks in an answer", 502, CODING, "Content-Length: 2", CHUNKED, body=ZERO),
    response("chunks in an answer", PASSES, CHUNKS, CHUNKED, body=b"2\r\nhi\r\n" + ZERO, has=b"hi"),
    response("chunks twice in an answer", 502, CODING, "Transfer-Encoding: chunked, chunked", body=ZERO),
    response("gzip as a coding of an answer", 502, OURS, "Transfer-Encoding: gzip, chunked", body=ZERO),
    response("unknown coding of an answer", 502, CODING, "Transfer-Encoding: xchunked", body=ZERO),
    response("chunks in an answer of HTTP/1.0", 502, CODING, CHUNKED, line="HTTP/1.0 200 OK", body=ZERO),
    response(
        "trailer in an answer", PASSES, "RFC 9110 6.5", CHUNKED, body=b"2\r\nhi\r\n0\r\nX-T: 1\r\n\r\n", has=b"X-T: 1"
    ),
    response("wrong size in an answer", BODY_REFUSED, CHUNKS, CHUNKED, body=b"2\r\nhi!\r\n" + ZERO),
    response("size that is no number in an answer", BODY_REFUSED, CHUNKS, CHUNKED, body=b"xy\r\nhi\r\n" + ZERO),
    response("LF after a size in an answer", BODY_REFUSED, CHUNKS, CHUNKED, body=b"2\nhi\r\n" + ZERO),
    response("chunks that end too early", BODY_REFUSED, "RFC 9112 8", CHUNKED, body=b"2\r\nhi\r\n"),
    response("answer that ends too early", BODY_REFUSED, "RFC 9112 8", "Content-Length: 5", body=b"hi"),
    response(
        "answer longer than its length",
        PASSES,
        "RFC 9112 6.3",
        "Content-Length: 2",
        body=b"hi HTTP/1.1 200 OK",
        has=b"hi",
        lacks=b"hi http",
    ),
    response(
        "204 with a length",
        PASSES,
        "RFC 9110 8.6",
        "Content-Length: 2",
        line="HTTP/1.1 204 No Content",
        lacks=b"content-length",
    ),
    response(
        "304 with a length",
        PASSES,
        "RFC 9110 8.6",
        "Content-Length: 2",
        line="HTTP/1.1 304 Not Modified",
        has=b"Content-Length: 2",
    ),
    response("answer to HEAD", PASSES, "RFC 9110 9.3.2", "Content-Length: 2", has=b"Content-Length: 2", method=b"HEAD"),
    response(
        "101 that nobody asked for",
        502,
        "RFC 9110 15.2.2",
        "Upgrade: x",
        "Connection: Upgrade",
        line="HTTP/1.1 101 Switching Protocols",
    ),
    Case(
        "103 before the answer",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        PASSES,
        "RFC 9110 15.2",
        has=b"103 Early Hints",
    ),
    Case(
        "21 interim answers",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * 21 + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        BODY_REFUSED,
        "ours",
    ),
    Case(
        "an answer nobody asked for behind it",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        PASSES,
        "RFC 9112 9.2",
        lacks=b"evil",
    ),
)

RESPONSES: tuple[Case, ...] = (*HEADS, *BODIES)
