"""
Raw HAProxy text, as it is read.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.haproxyraw import raw_lines
from dfproxy.dfp.rawtable import BOTH, Place
from dfproxy.dfp.rawtext import MOST_LINES, RawText, read_raw, split_lines
from dfproxy.dfp.settings import deferred, read_settings
from dfproxy.errors import InvalidBalance, InvalidSettings
from dfproxy.exchange.directives import compile_answer, compile_request
from dfproxy.expressions.directives import read_all
from dfproxy.expressions.subject import Surroundings
from dfproxy.model.service import Balance

SECRET = "s3cr3tW0rd"


def parse_balance(text: str) -> Balance:
    if text.startswith("none"):
        raise InvalidBalance(f"{text!r} is no strategy")
    name, *arguments = text.split()
    return Balance(name, tuple(arguments))


def reading(text: str, place: Place = "backend") -> RawText:
    return read_raw(text, place, Surroundings({"NAME": "web"}), parse_balance, "/errorfiles")


class LinesTests(SynchronousTestCase):
    """
    Where lines begin.
    """

    def test_line_breaks(self) -> None:
        """
        Each line is one, with any line end; blank lines and comments are none.
        """
        text = "acl a path /x\r\n\n  # said before\n\thttp-request deny if a  \n"
        self.assertEqual(reading(text).lines, ["acl a path /x", "http-request deny if a"])

    def test_commas(self) -> None:
        """
        In EXTRA_FRONTEND a comma begins a line too, but not where it belongs to one; at its end there may be one.
        """
        text = (
            "capture request header A len 64,acl a path -i /x,http-request set-header X %[path,lower] if a,"
            "http-request set-header Y 'a,b',http-request deny if { hdr(x) a,b },"
            'http-request set-var(txn.a) req.hdr(host),lower,http-request set-header Z "%[path,regsub(a,b)]",'
            "http-request set-var(txn.b) path,word(1,/),lower,"
        )
        self.assertEqual(
            [line for line in split_lines(text, True) if line],
            [
                "capture request header A len 64",
                "acl a path -i /x",
                "http-request set-header X %[path,lower] if a",
                "http-request set-header Y 'a,b'",
                "http-request deny if { hdr(x) a,b }",
                "http-request set-var(txn.a) req.hdr(host),lower",
                'http-request set-header Z "%[path,regsub(a,b)]"',
                "http-request set-var(txn.b) path,word(1,/),lower",
            ],
        )
        found = reading(text, "frontend")
        self.assertEqual((found.problems, len(found.lines)), ([], 8))

    def test_a_misspelt_line_is_not_part_of_another(self) -> None:
        """
        What stands behind a comma and is no directive is refused; it never becomes a value of the line before.
        """
        for name in ("http-requets", "redirct", "lowr", "x"):
            found = reading(f"acl a path /x,{name} deny if a", "frontend")
            self.assertEqual(found.lines, ["acl a path /x"])
            self.assertEqual(len(found.problems), 1)
            self.assertIn(f"line 2: directive {name} is not known in EXTRA_FRONTEND", found.problems[0])

    def test_no_commas_in_backends(self) -> None:
        """
        `backendExtra` is not cut at commas: DFP did not either.
        """
        self.assertEqual(len(reading("http-request set-header X a,http-request deny").problems), 1)

    def test_most(self) -> None:
        """
        There is a limit.
        """
        self.assertEqual(reading("acl a path /x\n" * 60).problems, [])
        self.assertIn(f"{MOST_LINES} lines", reading("option httplog\n" * (MOST_LINES + 1)).problems[0])


class SettingTests(SynchronousTestCase):
    """
    Lines that say what parameters could say.
    """

    def test_times(self) -> None:
        """
        In HAProxy's units; a number alone is milliseconds; the last one counts.
        """
        for text, wanted in (("30s", 30.0), ("1500", 1.5), ("5m", 300.0), ("1h", 3600.0), ("2d", 172800.0)):
            self.assertEqual(reading(f"timeout server 1s\ntimeout server {text}").times_s, {"timeout server": wanted})
        self.assertEqual(reading("timeout tunnel 90s").times_s, {"timeout tunnel": 90.0})
        self.assertEqual(reading("timeout client 7s", "frontend").times_s, {"timeout client": 7.0})
        for text in ("", "x", "-1", "0", "5w", "1.5s", "1s 2s", "99999999999", "1000000d"):
            self.assertEqual(len(reading(f"timeout server {text}").problems), 1, text)
        self.assertIn("TIMEOUT_CONNECT", reading("timeout connect 5s").problems[0])

    def test_balance(self) -> None:
        """
        Any strategy that there is.
        """
        self.assertEqual(reading("balance uri depth 3").balance, Balance("uri", ("depth", "3")))
        self.assertEqual(len(reading("balance none").problems), 1)
        self.assertEqual(reading("acl a path /x").balance, None)

    def test_connection_modes(self) -> None:
        """
        A mode that closes closes; one that keeps, and the frontend's, are said to have no effect.
        """
        for mode in ("http-server-close", "httpclose", "forceclose"):
            self.assertTrue(reading(f"option {mode}").closes_server, mode)
            self.assertIn("CONNECTION_MODE", reading(f"option {mode}", "frontend").notes[0])
        self.assertFalse(reading("option http-keep-alive").closes_server)
        self.assertEqual(len(reading("option http-keep-alive").notes), 1)

    def test_connections(self) -> None:
        """
        `maxconn` of the frontend.
        """
        self.assertEqual(reading("maxconn 5000", "frontend").connections, 5000)
        for text in ("", "0", "x", "1 2", "99999999"):
            self.assertEqual(len(reading(f"maxconn {text}", "frontend").problems), 1, text)
        self.assertEqual(len(reading("maxconn 5000").problems), 1)

    def test_forwarded_for(self) -> None:
        """
        It is always added, and only as it is.
        """
        self.assertEqual(reading("option forwardfor").problems, [])
        for rest in ("except 127.0.0.1", "header X-Client", "if-none"):
            self.assertEqual(len(reading(f"option forwardfor {rest}").problems), 1, rest)
        self.assertEqual(len(reading("no option forwardfor").problems), 1)

    def test_pages(self) -> None:
        """
        The page that is read anyway, and no other.
        """
        self.assertEqual(reading("errorfile 503 /errorfiles/503.http").problems, [])
        for text in ("503 /etc/other.http", "503", "", "503 /errorfiles/502.http"):
            self.assertEqual(len(reading(f"errorfile {text}").problems), 1, text)

    def test_no(self) -> None:
        """
        `no` before what has nothing to do is nothing to do either.
        """
        self.assertEqual(reading("no option httplog\nno log").problems, [])
        self.assertEqual(len(reading("no option httplog").notes), 1)
        self.assertEqual(len(reading("no").problems), 1)


class FrontTests(SynchronousTestCase):
    """
    `EXTRA_FRONTEND` as an option, and its other forms.
    """

    TEXT = "acl old hdr(host) old.test,http-request deny if old,timeout client 7s,maxconn 500,option httplog"

    def test_forms(self) -> None:
        """
        Option, secret, file and variable say the same, the stronger one wins, and none is shown.
        """
        home = {"HOME": "/root"}
        other = "http-request set-header X other"
        for chosen in (
            read_settings({"extra-frontend": self.TEXT}, {**home, "EXTRA_FRONTEND": other}, {}),
            read_settings({}, {**home, "EXTRA_FRONTEND": other}, {"dfp_extra_frontend": f"{self.TEXT}\n"}),
            read_settings({}, {**home, "EXTRA_FRONTEND_FILE": "/f"}, {"/f": self.TEXT}),
            read_settings({}, {**home, "EXTRA_FRONTEND": self.TEXT}, {}),
        ):
            self.assertEqual(
                chosen.front_lines,
                ("acl old hdr(host) old.test", "http-request deny if old", "timeout client 7s", "maxconn 500",
                 "option httplog"),
            )  # fmt: skip
            self.assertEqual((chosen.limits.client_timeout_s, chosen.limits.client_connections), (7.0, 500))
            self.assertNotIn("old.test", repr(chosen))

    def test_lines(self) -> None:
        """
        A text of several lines may have commas at their ends.
        """
        chosen = read_settings({}, {"HOME": "/root", "EXTRA_FRONTEND": "acl a path /x,\nhttp-request deny if a,\n"}, {})
        self.assertEqual(chosen.front_lines, ("acl a path /x", "http-request deny if a"))

    def test_problems(self) -> None:
        """
        One for each line, without its values.
        """
        environment = {"HOME": "/root", "EXTRA_FRONTEND": f"stats auth a:{SECRET},http-request set-header X {SECRET} y"}
        error = self.assertRaises(InvalidSettings, read_settings, {}, environment, {})
        self.assertEqual(len(error.problems), 2)
        self.assertIn("line 1, stats", str(error))
        self.assertNotIn(SECRET, str(error))

    def test_notes(self) -> None:
        """
        What has no effect is said at start.
        """
        found = deferred({}, {"EXTRA_FRONTEND": self.TEXT}, {})
        self.assertEqual(len([note for note in found if "line 5, option httplog, has no effect" in note]), 1)

    def test_variables(self) -> None:
        """
        Variables of the environment stand for their values, but not those that are secret.
        """
        environment = {"HOME": "/root", "NAME": "web", "STATS_PASS": SECRET,
                       "EXTRA_FRONTEND": 'http-request deny if { path "/$NAME$STATS_PASS" }'}  # fmt: skip
        chosen = read_settings({}, environment, {})
        self.assertEqual(dict(chosen.environment).get("NAME"), "web")
        self.assertNotIn("STATS_PASS", dict(chosen.environment))


class TotalTests(SynchronousTestCase):
    """
    Whatever is written.
    """

    @given(
        st.lists(
            st.one_of(
                st.sampled_from(
                    [
                        "http-request",
                        "http-response",
                        "acl",
                        "redirect",
                        "set-header",
                        "deny",
                        "if",
                        "unless",
                        "{",
                        "}",
                        "!",
                        "or",
                        "a",
                        "path",
                        "path_beg",
                        "-m",
                        "-i",
                        "reg",
                        "/x",
                        "%[path]",
                        "%[",
                        "'",
                        '"',
                        "\\",
                        ",",
                        "set-var(txn.x)",
                        "set-var(",
                        "var(txn.x)",
                        "replace-header",
                        "(",
                        ")",
                        "return",
                        "status",
                        "hdr",
                        "location",
                        "code",
                        "timeout",
                        "server",
                        "option",
                        "errorfile",
                        "no",
                        "use_backend",
                        "#",
                        "$NAME",
                    ]
                ),  # fmt: skip
                st.text(max_size=6),
            ),
            max_size=12,
        ),
        st.sampled_from([" ", "\n", ""]),
    )
    @settings(max_examples=160, deadline=None)
    def test_total(self, words: list[str], between: str) -> None:
        """
        It is accepted or refused; no other exception comes out, and what is accepted can be compiled and shown.
        """
        text = between.join(words)
        for place in BOTH:
            found = reading(text, place)
            directives = read_all(found.lines, Surroundings({"NAME": "web"}))
            compile_request(directives.request)
            compile_answer(directives.answer)
            shown = list(raw_lines(found.lines, place))
            self.assertEqual(len(shown), len(found.lines))
            self.assertFalse(any("\n" in line or "\r" in line for line in shown))


class RefusalTests(SynchronousTestCase):
    """
    What is not done is said.
    """

    def test_names(self) -> None:
        """
        Number, name, and what to write instead; every line that is wrong.
        """
        found = reading("option ssl-hello-chk\nstick-table type ip size 1m\nserver a 10.0.0.1:80 check")
        self.assertEqual(found.lines, ["option ssl-hello-chk"])
        self.assertEqual(len(found.notes), 1)
        self.assertIn("line 1, option ssl-hello-chk", found.notes[0])
        self.assertIn("line 2, stick-table", found.problems[0])
        self.assertIn("line 3, server: servers are given by outboundHostname", found.problems[1])

    def test_condition(self) -> None:
        """
        A line whose condition is not understood is refused whole, whatever it does.
        """
        for condition in ("if unknown", "if { nofetch x }", "if", "unless { path_beg }", "if { path_beg /x"):
            for start in ("http-request set-header X y", "http-request deny", "http-request capture path len 9",
                          "http-response set-log-level silent"):  # fmt: skip
                found = reading(f"{start} {condition}")
                self.assertEqual((len(found.problems), found.lines), (1, []), (start, condition))

    def test_acl_before_use(self) -> None:
        """
        A test must have its name before it is used, and that of one text is not known in another.
        """
        self.assertEqual(len(reading("http-request deny if a\nacl a path /x").problems), 1)
        self.assertEqual(len(reading("http-request deny if a").problems), 1)

    def test_wrong_place(self) -> None:
        """
        What belongs into a frontend is refused in a backend, and the other way round.
        """
        self.assertIn("EXTRA_FRONTEND", reading("use_backend x").problems[0])
        self.assertEqual(reading("use_backend x", "frontend").problems, [])
        self.assertIn("timeoutServer", reading("timeout server 1s", "frontend").problems[0])

    def test_secrets(self) -> None:
        """
        No refusal and no note repeats a value.
        """
        for line in (
            f"http-request set-header Authorization Basic {SECRET}",
            f"http-request set-header Authorization '{SECRET}",
            f'http-request set-header Authorization "Basic {SECRET}" if',
            f"http-request set-header Authorization %{{{SECRET}}}",
            f"http-request set-header Authorization %[{SECRET}(]",
            f"http-request set-header Authorization %[hdr({SECRET}]",
            f"http-request set-header Connection {SECRET}",
            f"http-request set-header '{SECRET} x' y",
            f"http-request deny if {{ hdr(x-key) {SECRET}",
            f"http-request deny if {{ hdr(x-key) -m {SECRET} }}",
            f"http-request deny if {{ src {SECRET} }}",
            f"http-request deny if {{ dst_port {SECRET} }}",
            f"http-request deny if {{ hdr_reg(x) ({SECRET} }}",
            f"http-request deny deny_status {SECRET}",
            f"http-request return status 200 {SECRET}",
            f"http-request return content-type text/plain {SECRET}",
            f"http-request redirect location /x {SECRET}",
            f"http-request replace-header X ({SECRET} y",
            f"http-request set-var({SECRET}) path",
            f"http-request capture hdr({SECRET}) len",
            f"cookie {SECRET} insert",
            f"stats auth admin:{SECRET}",
            f"timeout server {SECRET}",
            f"balance none {SECRET}",
            f"errorfile 503 /{SECRET}",
            f"{SECRET}",
            f"option {SECRET}",
            f"http-request {SECRET}!",
            f"acl {SECRET}! path",
            f"acl a path_beg {SECRET} {{",
            f"server a {SECRET}:80",
            f"unknown {SECRET}",
        ):
            for place in ("backend", "frontend"):
                found = reading(line, place)  # type: ignore[arg-type]  # one of Place
                said = " ".join((*found.problems, *found.notes))
                self.assertNotIn(SECRET, said, line)
                self.assertNotEqual(said, "", line)
