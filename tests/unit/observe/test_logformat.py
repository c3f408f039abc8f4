"""
HAProxy's log formats: what is known, what each says, and what is refused.
"""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace as Thing
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.model.connection import Arrival, TlsFacts
from dfproxy.model.ending import (
    ANSWERED_LOCALLY,
    COMPLETE,
    CONNECT_FAILED,
    DENIED,
    NO_ROUTE,
    NO_SERVER,
    QUEUE_TIMEOUT,
    SERVER_TIMEOUT,
    Ending,
)
from dfproxy.observe.logformat import COMMON, EXPRESSIONS, HTTP, TCP, Line, UnknownFormat, compile_format
from tests.requirements import ROOT

HTTPLOG = "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r"
"""
The default of HAProxy's `option httplog`, as its manual writes it.
"""
TCPLOG = "%ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %B %ts %ac/%fc/%bc/%sc/%rc %sq/%bq"


def line(ending: Ending = COMPLETE, captured: tuple[str, ...] = (), **about: Any) -> Line:
    server = Thing(name="web_1", host="10.0.0.9", port=8080, in_flight=2)
    request = Thing(method=b"GET", target=b"/x?q=1", host=b"a.test", client_host="192.0.2.1", client_port=4711)
    request.local_port = 80
    exchange = Thing(
        request=request, status=200, bytes_in=3, bytes_out=42, started=100.0, answered=100.0125, attempts=2,
        backend_name="web-be8080_0", server_name="web_1", server=server,
        traffic=Thing(frontend=Thing(in_flight=7)), backend=Thing(servers=(server, Thing(in_flight=3))),
    )  # fmt: skip
    vars(exchange).update(about)
    return Line(exchange, ending, 100.25, 1700000000.042, "then", captured, ("host-1", 77))


class FormatTests(SynchronousTestCase):
    """
    `compile_format`.
    """

    def said(self, text: str, known: Any = HTTP, **about: Any) -> str:
        return compile_format(text, known)(line(**about))

    def test_defaults(self) -> None:
        """
        HAProxy's own formats say what its own lines say.
        """
        self.assertEqual(
            self.said(HTTPLOG, captured=("curl", "x")),
            "192.0.2.1:4711 [then] services web-be8080_0/web_1 0/0/0/12/250 200 42 - - ---- 7/7/5/2/1 0/0 {curl|x}  "
            '"GET /x?q=1 HTTP/1.1"',
        )
        self.assertEqual(
            self.said(TCPLOG, TCP), "192.0.2.1:4711 [then] services web-be8080_0/web_1 0/12/250 42 -- 7/7/5/2/1 0/0"
        )

    def test_times(self) -> None:
        """
        What a request waited for: a place at the server, a connection, the answer; together the time until the answer.
        """
        waited = {"queue_s": 0.005, "connect_s": 0.0031}
        self.assertEqual(self.said("%TR/%Tw/%Tc/%Tr/%Ta", **waited), "0/5/3/4/250")
        self.assertEqual(self.said("%Tw/%Tc/%Tr", **waited, answered=0.0), "5/3/-1")

    def test_arrival(self) -> None:
        """
        How it came: handshake, waiting for its first byte, reading its head. The active time begins with that byte, the
        total with the handshake.
        """
        arrived = replace(line(), arrival=Arrival(first=99.96875, idle_s=2.5, handshake_s=0.0625))
        said = compile_format("%Th/%Ti/%TR/%Tq %Ta %Tt %Td %Tr", HTTP)
        self.assertEqual(said(arrived), "62/2500/31/2593 281 2843 238 12")
        self.assertEqual(said(line()), "0/0/0/0 250 250 238 12")
        arrived.exchange.request.method = b""
        self.assertEqual(said(arrived)[:16], "62/2500/-1/-1 28")

    def test_never_there(self) -> None:
        """
        What a request never came to is -1, as in HAProxy: a place and a connection for one that is denied, a connection
        for one whose servers do not accept any or have no place.
        """
        for ending, about, times in (
            (DENIED, {"attempts": 0}, "-1/-1/-1"),
            (NO_SERVER, {"attempts": 0}, "-1/-1/-1"),
            (CONNECT_FAILED, {"attempts": 3}, "0/-1/-1"),
            (QUEUE_TIMEOUT, {"attempts": 0, "queue_s": 0.25}, "250/-1/-1"),
            (SERVER_TIMEOUT, {"attempts": 1, "connect_s": 0.0031}, "0/3/-1"),
        ):
            self.assertEqual(self.said("%Tw/%Tc/%Tr", ending=ending, answered=0.0, **about), times, ending)
        self.assertEqual(self.said("%Tw/%Tc/%Tr", ending=ANSWERED_LOCALLY, attempts=0), "0/0/12")

    def test_nobody(self) -> None:
        """
        A request without a server.
        """
        found = self.said("%s %si %tsc %Tr", ending=NO_ROUTE, server=None, server_name="-", answered=0.0)
        self.assertEqual(found, "<NOSRV> - SC-- -1")
        self.assertEqual(self.said("%ST", status=0), "-1")  # the client went before it was told anything

    def test_all_are_said(self) -> None:
        """
        Every variable that is known says something, or nothing where there is nothing.
        """
        for name in HTTP:
            self.assertIsInstance(self.said(f"%{name}"), str, name)
        for name in COMMON:
            self.assertIsInstance(self.said(f"%{name}", TCP), str, name)

    def test_expressions(self) -> None:
        """
        The few expressions that logs have use for.
        """
        self.assertEqual(
            self.said("%[src] %[capture.req.hdr(1)] %[capture.req.hdr(2)]", captured=("a", "b")), "192.0.2.1 b -"
        )
        self.assertEqual(self.said("%[ssl_fc] %[ssl_fc_sni] %ft"), "0 - services")
        secure = line()
        secure.exchange.request.tls = TlsFacts("a.test", version="TLSv1.3", cipher="TLS_AES_256_GCM_SHA384")
        self.assertEqual(compile_format("%[ssl_fc] %[ssl_fc_sni] %ft", HTTP)(secure), "1 a.test services~")
        said = compile_format("%sslv/%sslc", HTTP)
        self.assertEqual((said(secure), said(line())), ("TLSv1.3/TLS_AES_256_GCM_SHA384", "-/-"))

    def test_written_as_in_haproxy(self) -> None:
        """
        Blanks with a backslash, quotes, and per cent signs, as a stack file has them for HAProxy.
        """
        self.assertEqual(self.said("%ci\\\\ %ST".replace("\\\\", "\\")), "192.0.2.1 200")
        self.assertEqual(self.said('"%ci %ST"'), "192.0.2.1 200")
        self.assertEqual(self.said('{\\"status\\":%ST} 100%%'), '{"status":200} 100%')
        self.assertEqual(self.said("%{+Q}o %b %{-Q}b"), ' "web-be8080_0" web-be8080_0')

    def test_quotes(self) -> None:
        """
        Quotes are for texts and expressions, as in HAProxy: numbers of a JSON line stay numbers, and nothing is "".
        """
        self.assertEqual(
            self.said("""'%{+Q}o{"status":%ST,"ms":%Ta,"path":%HP,"tls":%sslv,"from":%[src],"flags":"%tsc"}'"""),
            '{"status":200,"ms":250,"path":"/x","tls":"","from":"192.0.2.1","flags":"----"}',
        )

    def test_page(self) -> None:
        """
        The page for operators lists every variable and expression.
        """
        page = (ROOT / "docs" / "statistics.md").read_text()
        words = set(re.findall(r"%(?:[A-Za-z]+|\[[^]]+\])", page))
        self.assertEqual({f"%{name}" for name in HTTP} - words, set())
        self.assertEqual({f"%[{said}]" for said in EXPRESSIONS} - words, set())

    def test_refused_by_name(self) -> None:
        """
        What is not known is refused, and named.
        """
        for text, named in (
            ("%zz", "%zz"),
            ("%[rand]", "%[rand]"),
            ("%{+X}ci", "%{+X}"),
            ("%{+Qci", "never closed"),
            ("%[src", "never closed"),
            ("%", "% "),
            ('"%ci', "never closed"),
        ):
            error = self.assertRaises(UnknownFormat, compile_format, text, HTTP)
            self.assertIn(named, str(error), text)
        self.assertRaises(UnknownFormat, compile_format, "%ST", TCP)
        self.assertRaises(UnknownFormat, compile_format, "%[path]", TCP)

    def test_bytes_of_clients(self) -> None:
        """
        Nothing that a client sends ends a line or a field early.
        """
        request = line().exchange.request
        request.target = b'/a"b\\\x00\xff?"'
        found = self.said("%{+Q}r", request=request)
        self.assertEqual(found, '"GET /a\\"b\\\\\\u0000\\u00ff?\\" HTTP/1.1"')
