"""
Templates -> routes and servers, or what is wrong with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.gotemplate import InvalidTemplate
from dfproxy.dfp.reading import Reading
from dfproxy.dfp.reconfigure import read
from dfproxy.errors import InvalidService
from dfproxy.model.match import FRONT_LINES, Condition, Match
from dfproxy.model.service import Balance, Destination, Endpoint, ServerTls
from dfproxy.model.settings import Settings
from dfproxy.model.steps import HeaderRule, Steps
from dfproxy.plugins.conditions import front_lines
from dfproxy.testing import FakeRequest

GOOD = "serviceName=s&servicePath=/a&port=80"
BOTH = f"{GOOD}&templateFePath=/t/fe&templateBePath=/t/be"


SETTINGS = Settings(environment=(("HOME", "/x"),))


def reading(query: str, files: Mapping[str, str]) -> Reading:
    """
    Read a query string, with these files for its templates.
    """

    def text(path: str) -> str:
        if path not in files:
            raise InvalidTemplate(f"{path} cannot be read")
        return files[path]

    return read(parse_qsl(query, keep_blank_values=True), (), SETTINGS, Balance, bool, text)


def made(query: str, files: Mapping[str, str]) -> tuple[Destination, ...]:
    """
    The destinations that come out.
    """
    service = reading(query, files).service
    assert service is not None
    return service.destinations


class GoodTests(SynchronousTestCase):
    def test_both(self) -> None:
        """
        The lines in front become the condition of a route, the backend its servers, times and steps.
        """
        files = {
            "/t/fe": "acl url path_beg /x\n\n# why\nuse_backend {{.ServiceName}}-b if url",
            "/t/be": "backend s-b\n  mode http\n  timeout server 7s\n  http-request set-header A b\n"
            "  server one 10.0.0.1:81 weight 2\n  server two name:82 ssl verify none",
        }
        lines = ("acl url path_beg /x", "use_backend s-b if url")
        files["/t/be"] = files["/t/be"].replace("weight 2", "weight 2 ssl verify none")
        (found,) = made(BOTH, files)
        self.assertEqual(
            found,
            Destination(
                0,
                81,
                Match(conditions=(Condition(FRONT_LINES, ("s-b", *lines)),)),
                "10.0.0.1",
                "s-b",
                (Endpoint("10.0.0.1", 81, 2), Endpoint("name", 82)),
                7.0,
                steps=Steps(raw=("mode http", "timeout server 7s", "http-request set-header A b")),
                tls=ServerTls(verify=False),
            ),
        )

    def test_one_server_by_name(self) -> None:
        """
        A name alone has all its addresses as servers, as `outboundHostname` has.
        """
        (found,) = made(BOTH, {"/t/fe": "use_backend x", "/t/be": "backend x\nserver s {{.ServiceName}}:8080 check"})
        self.assertEqual((found.host, found.port, found.endpoints), ("s", 8080, ()))

    def test_front_alone(self) -> None:
        """
        Lines that lead to the backends that parameters make; a backend without a line gets nothing.
        """
        query = "serviceName=s&servicePath.1=/a&port.1=80&servicePath.2=/b&port.2=81&templateFePath=/t/fe"
        found = reading(query, {"/t/fe": "use_backend s-be81_2 if { path /z }"})
        assert found.service is not None
        self.assertEqual([each.index for each in found.service.destinations], [2])
        self.assertIn("templateFePath: no line leads to backend s-be80_1", found.notes)

    def test_back_alone(self) -> None:
        """
        Backends for the routes that parameters make, by name.
        """
        query = f"{GOOD}&templateBePath=/t/be"
        (found,) = made(
            query, {"/t/be": "backend {{.AclName}}-be{{(index .ServiceDest 0).Port}}_0\nserver x 10.0.0.9:9"}
        )
        self.assertEqual((found.match.paths[0].value, found.host, found.port), (b"/a", "10.0.0.9", 9))

    def test_first_that_holds(self) -> None:
        """
        Of several lines the first that holds leads, wherever the others lead: each request has one route.
        """
        files = {
            "/t/fe": "use_backend a if { path_beg /a/b }\nuse_backend b if { path_beg /a }\nuse_backend a",
            "/t/be": "backend a\nserver x 10.0.0.1:1\nbackend b\nserver x 10.0.0.2:1",
        }
        found = made(BOTH, files)
        self.assertEqual([(each.index, each.backend_name) for each in found], [(1, "a"), (2, "b")])
        checks = [front_lines.compile(each.match.conditions[0].values) for each in found]
        for target, wanted in ((b"/a/b", [True, False]), (b"/a", [False, True]), (b"/", [True, False])):
            self.assertEqual([check(FakeRequest(target=target)) for check in checks], wanted)

    def test_parameters_go_on(self) -> None:
        """
        What parameters ask for is done as well: nobody gets in whom they keep out. What the template writes out itself
        is left to it.
        """
        query = f"{BOTH}&allowedMethods=GET&setReqHeader=A+b&addReqHeader=C+d&backendExtra=http-request+deny"
        files = {"/t/fe": "use_backend x", "/t/be": "backend x\nserver s h:1\n{{range .SetReqHeader}}{{end}}"}
        (found,) = made(query, files)
        assert found.steps is not None
        self.assertEqual(found.steps.allowed_methods, ("GET",))
        self.assertEqual(found.steps.request_headers, (HeaderRule("add", "C d"),))
        self.assertEqual(found.steps.raw, ("http-request deny",))

    def test_balance(self) -> None:
        """
        The strategy of the template is that of the service.
        """
        files = {"/t/fe": "use_backend x", "/t/be": "backend x\nbalance leastconn\nserver s h:1"}
        service = reading(f"{BOTH}&balance=first", files).service
        assert service is not None
        self.assertEqual(service.balance, Balance("leastconn"))

    def test_notes(self) -> None:
        """
        What has no effect is told, once.
        """
        files = {
            "/t/fe": "use_backend x",
            "/t/be": "backend x\n\noption httplog\nserver a h:1 check\nserver b i:1 check\nbackend y\nserver a h:1",
        }
        notes = reading(BOTH, files).notes
        self.assertEqual(len(set(notes)), len(notes))
        self.assertIn("templateFePath: no line leads to backend y", notes)
        self.assertTrue(any("line 3 of what it makes, option httplog, has no effect" in note for note in notes), notes)

    def test_https_port(self) -> None:
        """
        The destination for the https port can be led to as well.
        """
        query = f"{GOOD}&httpsPort=443&templateFePath=/t/fe"
        text = "acl tls dst_port 443\nuse_backend https-s-be443_0 if tls\nuse_backend s-be80_0"
        self.assertEqual([each.index for each in made(query, {"/t/fe": text})], [100, 0])

    def test_no_passwords(self) -> None:
        """
        A template cannot write out what only the proxy may know.
        """
        query = f"{BOTH}&users=me:s3cret"
        text = "backend x\nserver s h:1\n{{range .Users}}http-request set-header X-U {{.Username}}{{.Password}}{{end}}"
        (found,) = made(query, {"/t/fe": "use_backend x", "/t/be": text})
        assert found.steps is not None and found.steps.access is not None
        self.assertEqual(found.steps.raw, ("http-request set-header X-U me",))


class BadTests(SynchronousTestCase):
    def refused(self, query: str, files: Mapping[str, str]) -> str:
        """
        Why.
        """
        return str(self.assertRaises(InvalidService, reading, query, files))

    def test_front(self) -> None:
        """
        Each line is acl or use_backend, understood, and leads to a backend of the service.
        """
        back = {"/t/be": "backend x\nserver s h:1"}
        for text, reason in (
            ("", "makes no use_backend line"),
            ("acl x path /", "makes no use_backend line"),
            ("use_backend other", "leads to backend other, which the service has not; it has x"),
            ("\nuse_backend x if y", "line 2 of what it makes, use_backend: "),
            ("http-request deny\nuse_backend x", "line 1 of what it makes, http-request: concerns all services"),
            ("default_backend x", "default_backend: write isDefaultBackend=true"),
            ("s3cret nonsense", "line 1 of what it makes: is not known; acl and use_backend are"),
            ("s3cret", "line 1 of what it makes: is not known; acl and use_backend are"),
            ("use_backend x if { http_auth(u) }", "there is no fetch"),
            ("acl a dst 10.0.0.1\nuse_backend x if a", "not known when a route is chosen"),
            ("use_backend x if !{ env(HOME) -m found }", "not known when a route is chosen"),
            ('acl a path "$HOME"\nuse_backend x if a', "variables of the environment"),
            ("use_backend x\n" * 200, "may have 128 lines, this has 200"),
            ("use_backend %[path]", "nothing that is worked out for each request"),
        ):
            found = self.refused(BOTH, back | {"/t/fe": text})
            self.assertIn(reason, found, text)
            self.assertNotIn("s3cret", found)

    def test_back_alone(self) -> None:
        """
        Routes of parameters need the backends that they lead to.
        """
        found = self.refused(f"{GOOD}&templateBePath=/t/be", {"/t/be": "backend y\nserver s h:1"})
        self.assertIn("makes no backend s-be80_0, which the routes of the service lead to", found)

    def test_whom_parameters_keep_out(self) -> None:
        """
        If it is not clear which backend a parameter of one destination is for, the templates are refused.
        """
        query = (
            "serviceName=s&servicePath.1=/a&port.1=80&servicePath.2=/b&port.2=81&denyHttp.2=true"
            "&templateFePath=/t/fe&templateBePath=/t/be"
        )
        files = {"/t/fe": "use_backend x", "/t/be": "backend x\nserver s h:1"}
        self.assertIn("makes 1 backends for 2 destinations, whose parameters differ", self.refused(query, files))
        (found,) = made(query.replace("denyHttp.2", "denyHttp"), files)
        assert found.steps is not None
        self.assertTrue(found.steps.denies_plain)

    def test_paths(self) -> None:
        """
        A file is named by its whole path.
        """
        for path in ("etc/x", "/t/../etc/x", "../x"):
            self.assertIn("must be the whole path of a file", self.refused(f"{GOOD}&templateFePath={path}", {}))
        self.assertIn("/t/no cannot be read", self.refused(f"{GOOD}&templateFePath=/t/no", {}))

    def test_streams(self) -> None:
        """
        Connections have no lines that choose routes.
        """
        query = "serviceName=s&reqMode=tcp&srcPort=90&port=80&templateFePath=/t/fe"
        self.assertIn("must be http", self.refused(query, {"/t/fe": "use_backend s-be80_0"}))

    def test_elsewhere(self) -> None:
        """
        Where there are no files, that is said.
        """
        pairs = parse_qsl(f"{GOOD}&templateFePath=/t/fe")
        error = self.assertRaises(InvalidService, read, pairs, (), SETTINGS, Balance)
        self.assertIn("cannot be read from here", str(error))

    def test_condition_cannot_be_named(self) -> None:
        """
        The condition that templates make is nobody else's.
        """
        self.assertIn("is no condition", self.refused(f"{GOOD}&condition={FRONT_LINES}:x|use_backend x", {}))
