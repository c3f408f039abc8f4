"""
What a route does to requests and answers, in dialogues.
"""

from __future__ import annotations

from dfproxy.errors import InvalidRoute
from dfproxy.exchange.steps import Tools, compile_steps
from dfproxy.model.connection import TlsFacts
from dfproxy.model.steps import Access, HeaderRule, Rewrite, Steps, User
from tests.dialogue import FORWARDED, DialogueCase, client, ended, server
from tests.unit.exchange.steps import by_tls, route_has

HOST = "Host: a.test:81"
GET = ("GET /x?q=1 HTTP/1.1", HOST)
OK = ("HTTP/1.1 200 OK", "Content-Length: 2")
answers = (server.sends(*OK, body="hi"), client.gets(*OK, body="hi"))
FOUND = ("HTTP/1.1 302 Found", "Content-Length: 0")


class RedirectTests(DialogueCase):
    """
    `httpsOnly`.
    """

    def test_plain(self) -> None:
        """
        The same host by https, its port included, path and query as they came; the connection is kept.
        """
        self.talk(
            route_has(Steps(https_code=302)),
            client.sends(*GET),
            client.gets(*FOUND, "Location: https://a.test:81/x?q=1", "Cache-Control: no-cache"),
            client.sends("HEAD http://a.test:81?q HTTP/1.1", HOST),
            client.gets(*FOUND, "Location: https://a.test:81/?q", "Cache-Control: no-cache"),
            ended("local", "local"),
        )

    def test_permanent(self) -> None:
        """
        301 and 308 may be cached.
        """
        self.talk(
            route_has(Steps(https_code=301)),
            client.sends(*GET),
            client.gets("HTTP/1.1 301 Moved Permanently", "Content-Length: 0", "Location: https://a.test:81/x?q=1"),
        )

    def test_body_is_not_waited_for(self) -> None:
        """
        A body that is still to come ends the connection; one that is there does not.
        """
        post = ("POST /x HTTP/1.1", HOST, "Content-Length: 1")
        said = "Location: https://a.test:81/x"
        self.talk(
            route_has(Steps(https_code=302)),
            client.sends(*post, body="b"),
            client.gets(*FOUND, said, "Cache-Control: no-cache"),
            client.sends(*post),
            client.gets(*FOUND, said, "Cache-Control: no-cache", "Connection: close"),
        )

    def test_many_at_once(self) -> None:
        """
        Hundreds of requests in one piece are answered in order, however deep that goes.
        """
        count = 400
        request = f"GET / HTTP/1.1\r\n{HOST}\r\n\r\n".encode()
        said = b"HTTP/1.1 308 Permanent Redirect\r\nContent-Length: 0\r\nLocation: https://a.test:81/\r\n\r\n"
        self.talk(route_has(Steps(https_code=308)), client.sends(request * count), client.gets(said * count))

    def test_tls(self) -> None:
        """
        Who speaks TLS is where they should be; the server is told.
        """
        self.talk(
            route_has(Steps(https_code=302)),
            by_tls(TlsFacts()),
            client.sends(*GET),
            server.gets(*GET, "X-Forwarded-Proto: https", FORWARDED),
            *answers,
        )


class RefusalTests(DialogueCase):
    """
    403.
    """

    def refused(self, steps: Steps, *lines: str, tls: TlsFacts | None = None) -> None:
        tell = (by_tls(tls),) if tls is not None else ()
        self.talk(route_has(steps), *tell, client.sends(*lines), client.gets_answer(403), ended("denied"))

    def passed(self, steps: Steps, *lines: str, tls: TlsFacts | None = None) -> None:
        tell = (by_tls(tls), "X-Forwarded-Proto: https") if tls is not None else ()
        self.talk(
            route_has(steps), *tell[:1], client.sends(*lines), server.gets(*lines, *tell[1:], FORWARDED), *answers
        )

    def test_methods(self) -> None:
        """
        Only those allowed, none of those denied; case counts, and GET is not HEAD.
        """
        allowed = Steps(allowed_methods=("GET", "DELETE"))
        self.passed(allowed, *GET)
        for method in ("PUT", "get", "POST"):
            self.refused(allowed, f"{method} / HTTP/1.1", HOST)
        denied = Steps(denied_methods=("PUT",))
        self.refused(denied, "PUT / HTTP/1.1", HOST)
        self.passed(denied, "put / HTTP/1.1", HOST)

    def test_networks(self) -> None:
        """
        Only who is allowed and not denied, before anything else is done: not even a redirect is told.
        """
        self.passed(Steps(allowed_networks=("192.0.2.0/24",), denied_networks=("192.0.2.2/32",)), *GET)
        self.passed(Steps(denied_networks=("198.51.100.0/24",)), *GET)
        self.refused(Steps(allowed_networks=("198.51.100.0/24", "2001:db8::/32"), https_code=302), *GET)
        self.refused(Steps(denied_networks=("192.0.2.1/32",), https_code=302), *GET)
        self.refused(Steps(allowed_networks=("192.0.2.0/24",), denied_networks=("192.0.2.1/32",)), *GET)
        everybody = Steps(allowed_networks=("198.51.100.0/24",), access=Access("r", ()))
        self.refused(everybody, *GET)

    def test_plain(self) -> None:
        """
        Without TLS.
        """
        self.refused(Steps(denies_plain=True), *GET)
        self.passed(Steps(denies_plain=True), *GET, tls=TlsFacts())

    def test_certificate(self) -> None:
        """
        Without a client's certificate, be it by TLS or not.
        """
        wants = Steps(wants_certificate=True)
        self.refused(wants, *GET)
        self.refused(wants, *GET, tls=TlsFacts())
        self.passed(wants, *GET, tls=TlsFacts(certificate=b"der"))

    def test_order(self) -> None:
        """
        A redirect comes before a refusal, a refusal before a password.
        """
        access = Access("r", (User("a", "b"),))
        self.refused(Steps(denied_methods=("GET",), access=access), *GET)
        self.talk(
            route_has(Steps(https_code=307, denied_methods=("GET",), access=access)),
            client.sends("GET / HTTP/1.1", HOST),
            client.gets(
                "HTTP/1.1 307 Temporary Redirect",
                "Content-Length: 0",
                "Location: https://a.test:81/",
                "Cache-Control: no-cache",
            ),
        )


class HeaderTests(DialogueCase):
    """
    Header rules.
    """

    def test_request(self) -> None:
        """
        Append, replace every line, remove every line; each rule sees what the former ones did.
        """
        steps = Steps(
            request_headers=(
                HeaderRule("add", "X-Add one"),
                HeaderRule("add", "X-Src %[src] if { path_beg /x }"),
                HeaderRule("add", "X-Not no unless { path_beg /x }"),
                HeaderRule("set", "X-Set %[hdr(X-Add)]"),
                HeaderRule("set", "Host other.test"),
                HeaderRule("del", "X-Del"),
                HeaderRule("del", "X-Forwarded-For"),
            )
        )
        old = ("x-add: zero", "X-SET: old", "X-Set: older", "X-Del: 1", "x-del: 2", "X-Forwarded-For: evil")
        self.talk(
            route_has(steps),
            client.sends(*GET, *old),
            server.gets(
                GET[0],
                "x-add: zero",
                "X-Add: one",
                "X-Src: 192.0.2.1",
                "X-Set: one",
                "Host: other.test",
                FORWARDED,
            ),
            *answers,
        )

    def test_with_hop_by_hop_fields(self) -> None:
        """
        Rules see fields that do not go on; what Connection names stays away.
        """
        self.talk(
            route_has(Steps(request_headers=(HeaderRule("set", "X-Was %[hdr(connection)]"),))),
            client.sends(*GET, "Connection: X-Hop", "X-Hop: 1"),
            server.gets(*GET, "X-Was: X-Hop", FORWARDED),
            *answers,
        )

    def test_forwarded_proto(self) -> None:
        """
        By TLS the rules find X-Forwarded-Proto there already, beside one that came, and may change it.
        """
        for rules, wanted in (
            ((), ("X-Forwarded-Proto: http", "X-Forwarded-Proto: https")),
            ((HeaderRule("del", "X-Forwarded-Proto"),), ()),
            ((HeaderRule("set", "X-Forwarded-Proto https"),), ("X-Forwarded-Proto: https",)),
        ):
            rules = (*rules, HeaderRule("del", "X"))
            self.talk(
                route_has(Steps(request_headers=rules)),
                by_tls(TlsFacts()),
                client.sends(*GET, "X-Forwarded-Proto: http"),
                server.gets(*GET, *wanted, FORWARDED),
                *answers,
            )

    def test_answer(self) -> None:
        """
        The same for answers of servers; the server that answers is known.
        """
        steps = Steps(
            response_headers=(
                HeaderRule("add", "X-Res r1"),
                HeaderRule("add", "X-Server %s if { status 200 }"),
                HeaderRule("set", "Server dfp"),
                HeaderRule("del", "X-Secret unless { res.hdr(X-Show) -m found }"),
            )
        )
        self.talk(
            route_has(steps),
            client.sends(*GET),
            server.gets(*GET, FORWARDED),
            server.sends(*OK, "Server: y", "X-Secret: 1", body="hi"),
            client.gets(*OK, "X-Res: r1", "X-Server: web", "Server: dfp", body="hi"),
        )

    def test_not_on_our_own_answers(self) -> None:
        """
        What the proxy says itself has no such headers.
        """
        steps = Steps(https_code=301, response_headers=(HeaderRule("set", "X-Res 1"),))
        self.talk(
            route_has(steps),
            client.sends("GET / HTTP/1.1", HOST),
            client.gets("HTTP/1.1 301 Moved Permanently", "Content-Length: 0", "Location: https://a.test:81/"),
        )


class RewriteTests(DialogueCase):
    """
    `reqPathSearchReplace`.
    """

    def rewritten(self, target: str, wanted: str, *rewrites: Rewrite) -> None:
        self.talk(
            route_has(Steps(rewrites=rewrites)),
            client.sends(f"GET {target} HTTP/1.1", HOST),
            server.gets(f"GET {wanted} HTTP/1.1", HOST, FORWARDED),
            *answers,
        )

    def test_path(self) -> None:
        """
        The first occurrence in the path; never the query; each sees what the former made.
        """
        api = Rewrite("/api/", "/")
        self.rewritten("/api/x?q=/api/", "/x?q=/api/", api)
        self.rewritten("/api/api/x", "/api/x", api)
        self.rewritten("/api", "/api", api)
        self.rewritten("/api/api/x", "/x", api, api)
        self.rewritten("/v12/x", "/version-12/x", Rewrite("^/v([0-9]+)/", r"/version-\1/"))
        self.rewritten("/aXa/", "/bXb/", Rewrite("A", "b", ignore_case=True, every=True))

    def test_odd_results(self) -> None:
        """
        What comes out is still a path: never empty, never with what would end the line.
        """
        self.rewritten("/x", "/", Rewrite("/x", ""))
        self.rewritten("/x/y", "/y", Rewrite("/x/", ""))
        self.rewritten("/x", "/a%20b%23%0A", Rewrite("x", "a b#\n"))
        self.rewritten("http://a.test:81/x?q", "http://a.test:81/y?q", Rewrite("/x", "/y"))

    def test_log_tells_the_original(self) -> None:
        """
        The access log has the target that the client sent.
        """
        dialogue = self.talk(
            route_has(Steps(rewrites=(Rewrite("x", "y"),))),
            client.sends(*GET),
            server.gets("GET /y?q=1 HTTP/1.1", HOST, FORWARDED),
            *answers,
        )
        self.assertEqual(dialogue.logged[0][0].request.target, b"/x?q=1")

    def test_too_long(self) -> None:
        """
        A path on which the expression might run away is refused, not passed on as it is.
        """
        self.talk(
            route_has(Steps(rewrites=(Rewrite("(.*)b(.*)c", "x"),))),
            client.sends(f"GET /{'b' * 9000} HTTP/1.1", HOST),
            client.gets_answer(414),
        )


class CompileTests(DialogueCase):
    """
    What can be compiled.
    """

    def test_nothing_to_do(self) -> None:
        """
        No steps, and steps that only concern other places, cost a request nothing.
        """
        self.assertIsNone(compile_steps(None, "b", Tools()))
        self.assertIsNone(compile_steps(Steps(), "b", Tools()))
        self.assertIsNotNone(compile_steps(Steps(denies_plain=True), "b", Tools()))

    def test_refused(self) -> None:
        """
        What cannot be compiled refuses the change.
        """
        for steps in (
            Steps(request_headers=(HeaderRule("add", "X"),)),
            Steps(response_headers=(HeaderRule("set", "X %[path]"),)),
            Steps(rewrites=(Rewrite("(a+)+", ""),)),
            Steps(access=Access('r"', ())),
        ):
            self.assertRaises(InvalidRoute, compile_steps, steps, "b", Tools())
