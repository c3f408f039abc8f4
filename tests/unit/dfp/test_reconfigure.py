"""
Parameters of `reconfigure` -> a service, or everything that is wrong with them.

Somewhat long, but one thing: each case is a query and what it makes.
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qsl

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.parameters import LIST_CHARS, LIST_ITEMS, NAME_CHARS, TABLE, TEXT_CHARS
from dfproxy.dfp.reading import DIGEST
from dfproxy.dfp.reconfigure import MAX_CONDITIONS, MAX_HEADERS, Reading, name_of, read
from dfproxy.errors import InvalidBalance, InvalidService, Problem
from dfproxy.model.match import Condition, HostPattern, Match, PathPattern
from dfproxy.model.service import Balance, Destination, Endpoint, Service
from dfproxy.model.settings import Settings

SETTINGS = Settings(balance=Balance("first"))
GOOD = "serviceName=s&servicePath=/a&port=80"


def balance(text: str) -> Balance:
    """
    A stand-in for the registry of strategies.
    """
    if text not in ("leastconn", "roundrobin"):
        raise InvalidBalance(f"{text} is unknown; known are leastconn, roundrobin")
    return Balance(text)


def reading(query: str, chosen: Settings = SETTINGS) -> Reading:
    """
    Read a query string.
    """
    return read(parse_qsl(query, keep_blank_values=True), (), chosen, balance)


def service(query: str, chosen: Settings = SETTINGS) -> Service:
    """
    The service that a query makes.
    """
    found = reading(query, chosen).service
    assert found is not None
    return found


def match(query: str) -> Match:
    """
    The match of the first destination of a service with a port.
    """
    return service(f"serviceName=s&port=80&{query}").destinations[0].match


class GoodTests(SynchronousTestCase):
    def test_go_demo(self) -> None:
        """
        The example of DFP's manual.
        """
        self.assertEqual(
            service("serviceName=go-demo&servicePath=/demo&port=8080"),
            Service(
                "go-demo",
                "go-demo",
                (Destination(0, 8080, Match((PathPattern("prefix", b"/demo"),)), "go-demo", "go-demo-be8080_0"),),
                Balance("first"),
                parameters=(("port", "8080"), ("serviceName", "go-demo"), ("servicePath", "/demo")),
            ),
        )

    def test_names(self) -> None:
        """
        `aclName` is what services are sorted by, and the beginning of backend names.
        """
        found = service(f"{GOOD}&aclName=01-s&outboundHostname=10.0.0.7")
        self.assertEqual((found.name, found.order_name), ("s", "01-s"))
        self.assertEqual((found.destinations[0].backend_name, found.destinations[0].host), ("01-s-be80_0", "10.0.0.7"))

    def test_domain_alone(self) -> None:
        """
        A domain without path takes every path, and counts as `/` when services are sorted.
        """
        self.assertEqual(match("serviceDomain=Acme.test").paths, (PathPattern("prefix", b"/"),))

    def test_domains(self) -> None:
        """
        The algorithm is the service's, else the general one; a wildcard is for itself.
        """
        self.assertEqual(match("serviceDomain=a.test").hosts, (HostPattern("prefix", b"a.test"),))
        self.assertEqual(
            match("serviceDomain=*.a.test,+b.test&serviceDomainAlgo=hdr(host)").hosts,
            (HostPattern("suffix", b".a.test", True), HostPattern("exact", b"b.test")),
        )
        self.assertEqual(match("serviceDomain=a.test&serviceDomainMatchAll=true").hosts[0].form, "label")
        general = replace(SETTINGS, host_form="hdr_end(host)")
        self.assertEqual(service(f"{GOOD}&serviceDomain=a", general).destinations[0].match.hosts[0].form, "suffix")

    def test_paths(self) -> None:
        """
        Excluded paths are compared as the paths are.
        """
        found = match("servicePath=/a,/b&servicePathExclude=/a/x&pathType=path+-i")
        self.assertEqual(found.paths, (PathPattern("exact", b"/a", True), PathPattern("exact", b"/b", True)))
        self.assertEqual(found.excluded, (PathPattern("exact", b"/a/x", True),))

    def test_other_conditions(self) -> None:
        """
        Headers, agents, the client's port and plugin conditions.
        """
        found = match("servicePath=/&serviceHeader=X-Version:3,name: Viktor&userAgent=Mobile,bot-9&srcPort=81")
        self.assertEqual(found.headers, ((b"x-version", b"3"), (b"name", b"Viktor")))
        self.assertEqual((found.user_agents, found.local_port), ((b"mobile", b"bot-9"), 81))
        found = match("servicePath=/&condition=method:GET|HEAD,beta&srcPort=x")
        self.assertEqual(found.conditions, (Condition("method", ("GET", "HEAD")), Condition("beta")))
        self.assertEqual(found.local_port, 0)

    def test_separator(self) -> None:
        """
        Lists are split at SEPARATOR; an empty one is a comma.
        """
        query = f"{GOOD}&servicePath=/a;/b,c"
        for separator, paths in ((";", [b"/a"]), ("", [b"/a"])):
            found = service(query, replace(SETTINGS, separator=separator)).destinations[0].match.paths
            self.assertEqual([pattern.value for pattern in found][:1], paths)
        semicolons = service("serviceName=s&port=1&servicePath=/a;/b,c", replace(SETTINGS, separator=";"))
        self.assertEqual([pattern.value for pattern in semicolons.destinations[0].match.paths], [b"/a", b"/b,c"])
        commas = service("serviceName=s&port=1&servicePath=/a;/b,c", replace(SETTINGS, separator=""))
        self.assertEqual([pattern.value for pattern in commas.destinations[0].match.paths], [b"/a;/b", b"c"])

    def test_destinations(self) -> None:
        """
        Each index is a destination of its own, with the values without index where it has none.
        """
        found = service(
            "serviceName=s&port=1&servicePath.1=/1&servicePath.2=/2&port.2=2&serviceHeader.2=a:b&timeoutServer=3"
        )
        self.assertEqual(
            [(d.index, d.port, d.backend_name) for d in found.destinations], [(1, 1, "s-be1_1"), (2, 2, "s-be2_2")]
        )
        self.assertEqual([d.match.headers for d in found.destinations], [(), ((b"a", b"b"),)])
        self.assertEqual([d.server_timeout_s for d in found.destinations], [3.0, 3.0])

    def test_timeouts(self) -> None:
        """
        Seconds, whole or decimal.
        """
        (destination,) = service(f"{GOOD}&timeoutServer=0.5&timeoutTunnel=3600").destinations
        self.assertEqual((destination.server_timeout_s, destination.tunnel_timeout_s), (0.5, 3600.0))

    def test_endpoints(self) -> None:
        """
        Servers by hand, with weights; their port is the destination's if it has none.
        """
        query = "serviceName=s&serviceDomain=a&endpoints=10.0.0.1:81,[::1]:82*3,web-1:83*0"
        (destination,) = service(query).destinations
        self.assertEqual(
            destination.endpoints, (Endpoint("10.0.0.1", 81), Endpoint("::1", 82, 3), Endpoint("web-1", 83, 0))
        )
        self.assertEqual(destination.backend_name, "s-be81_0")

    def test_balance(self) -> None:
        """
        The service's strategy, else the general one.
        """
        self.assertEqual(service(f"{GOOD}&balance=leastconn").balance, Balance("leastconn"))
        self.assertEqual(service(GOOD).balance, Balance("first"))

    def test_default_backend(self) -> None:
        """
        `on` is true for a service, as in DFP.
        """
        self.assertTrue(service(f"{GOOD}&isDefaultBackend=on").is_default)
        self.assertFalse(service(f"{GOOD}&isDefaultBackend=yes").is_default)

    def test_request_mode_in_any_case(self) -> None:
        """
        `HTTP` is `http` (ODDITY-15).
        """
        self.assertEqual(service(f"{GOOD}&reqMode=HTTP").destinations, service(GOOD).destinations)

    def test_stored_parameters(self) -> None:
        """
        Stored under documented names, sorted, without what is foreign or hidden.
        """
        found = service("SERVICENAME=s&serviceport=1&port.1=1&servicePath.1=/&port.3=3&note=x&isGlobal=false")
        self.assertEqual(found.parameters, (("port.1", "1"), ("serviceName", "s"), ("servicePath.1", "/")))

    def test_name_of(self) -> None:
        """
        The name of a call, whatever else is wrong with it.
        """
        self.assertEqual(name_of([("serviceName", "a"), ("servicename", "c"), ("serviceName", "b")], []), "b")
        self.assertEqual(name_of([], [("serviceName", "f")]), "f")
        self.assertEqual(name_of([("serviceName", "")], []), "")


class ReplicasTests(SynchronousTestCase):
    def test_zero_withdraws(self) -> None:
        """
        No replicas: the service goes.
        """
        found = reading(f"{GOOD}&replicas=0")
        self.assertEqual((found.name, found.service, found.withdraws), ("s", None, True))

    def test_otherwise_published(self) -> None:
        """
        Any other number publishes, and so does none.
        """
        for extra in ("", "&replicas=3", "&replicas=-1", "&replicas="):
            self.assertFalse(reading(GOOD + extra).withdraws, extra)

    def test_what_is_wrong_with_it_does_not_keep_it(self) -> None:
        """
        A service that is to go may use what is not supported; but it needs what DFP asks for.
        """
        self.assertTrue(reading(f"{GOOD}&replicas=0&httpsOnly=true&pathType=x&distribute=true").withdraws)
        for query in (
            "replicas=0",
            "serviceName=s&replicas=0",
            "serviceName=s&servicePath=/&replicas=0",
            f"{GOOD}%0a&replicas=0",
        ):
            self.assertRaises(InvalidService, reading, query)

    def test_no_number(self) -> None:
        """
        What is no number is refused, where DFP took the service away (ODDITY-11).
        """
        for text in ("x", "1.0", "99999999999999999999"):
            (problem,) = self.assertRaises(InvalidService, reading, f"{GOOD}&replicas={text}").problems
            self.assertEqual((problem.parameter, problem.value), ("replicas", text))


class RefusedTests(SynchronousTestCase):
    def refused(self, query: str, *parameters: str, nothing_to_route: bool = False) -> tuple[Problem, ...]:
        """
        Check that a query is refused because of just these parameters.
        """
        error = self.assertRaises(InvalidService, reading, query)
        self.assertEqual(sorted(problem.parameter for problem in error.problems), sorted(parameters), query)
        self.assertEqual(error.nothing_to_route, nothing_to_route, query)
        problems: tuple[Problem, ...] = error.problems
        return problems

    def test_no_name(self) -> None:
        """
        Row 1: without a name nothing else matters for the status.
        """
        self.refused("servicePath=/a&port=80", "serviceName")
        self.refused("serviceName=&port=80", "serviceName", "servicePath")

    def test_nothing_to_route(self) -> None:
        """
        Row 2: neither path nor domain, and nothing else wrong: the listener takes 409 as done.
        """
        for query in ("serviceName=s", "serviceName=s&port=80", "serviceName=s&port.1=80&port.2=81&servicePath.2=/a"):
            missing = "servicePath.1" if ".1" in query else "servicePath"
            self.refused(query, missing, nothing_to_route=True)
        self.refused("serviceName=s&port.1=80&port.2=81", "servicePath.1", "servicePath.2", nothing_to_route=True)

    def test_nothing_to_route_of_what_is_not_supported(self) -> None:
        """
        A service for monitoring only may carry any label: without a route none has an effect.
        """
        self.refused("serviceName=s&distribute=true&users=a:b", "servicePath", nothing_to_route=True)

    def test_nothing_to_route_and_more(self) -> None:
        """
        With another fault it is a plain refusal; so is a later destination without route (ODDITY-02).
        """
        self.refused("serviceName=s&port=x", "servicePath", "port")
        self.refused("serviceName=s&port.1=80&servicePath.1=/a&port.2=81", "servicePath.2")

    def test_no_port(self) -> None:
        """
        Row 4, for each destination.
        """
        self.refused("serviceName=s&servicePath=/a", "port")
        self.refused("serviceName=s&servicePath=/a&port=", "port")
        self.refused("serviceName=s&servicePath.1=/a&port.1=1&servicePath.2=/b", "port.2")

    def test_other_modes(self) -> None:
        """
        Row 3; unknown modes are refused (ODDITY-15).
        """
        self.refused("serviceName=s&reqMode=TCP&port=1", "srcPort")
        self.refused("serviceName=s&reqMode=sni&srcPort=1&serviceDomain=a", "port")
        self.refused(f"{GOOD}&reqMode=udp", "reqMode")

    def test_not_supported_yet(self) -> None:
        """
        Everything that comes later is refused where it would have an effect, by the name the caller used.
        """
        samples = {"flag": "true", "number": "443", "list": "a", "rules": "a b", "text": "x"}
        for row in TABLE:
            if row.supported or "http" not in row.modes:
                continue
            query = f"{GOOD}&{row.name}={samples[row.kind]}"
            found = {p.parameter: p for p in self.assertRaises(InvalidService, reading, query).problems}
            self.assertEqual(found[row.name].reason, row.refusal)
        self.refused(f"{GOOD}&BACKENDEXTRA=x", "BACKENDEXTRA")

    def test_other_instance(self) -> None:
        """
        With the filter, a service for another instance (or for none) goes, whatever else it asks for; mandatory
        parameters are checked as always. Without the filter the name is only shown.
        """
        filtering = Settings(instance_name="Inner", filter_instances=True)
        for extra, withdraws in (
            ("&proxyInstanceName=iNNER", False),
            ("&proxyInstanceName=outer&users=a:b", True),
            ("", True),
        ):
            found = reading(f"{GOOD}{extra}", filtering)
            self.assertEqual((found.withdraws, found.service is None), (withdraws, withdraws), extra)
            self.assertEqual([note[-23:] for note in found.notes], ["proxyInstanceName=Inner"] * withdraws, extra)
        self.assertRaises(InvalidService, reading, "serviceName=s", filtering)
        self.assertFalse(reading(f"{GOOD}&proxyInstanceName=outer").withdraws)

    def test_off(self) -> None:
        """
        Values that mean "off", and values without effect in this mode, are fine.
        """
        for extra in (
            "httpsOnly=false",
            "distribute=false",
            "sslVerifyNone=0",
            "denyHttp=nonsense",
            "httpsPort=0",
            "connectionMode=http-keep-alive",
            "connectionMode=http-tunnel",
            "discoveryType=dns",
            "compressionType=text/html",
            "httpsRedirectCode=301",
            "usersPassEncrypted=true",
            "ignoreAuthorization=true",
            "checkTcp=true",
            "timeoutClient=5",
            "serviceGroup=g",
            "allowedMethods=,",
            "userDef=x",
            "proxyInstanceName=p",
        ):
            self.assertIsNotNone(reading(f"{GOOD}&{extra}").service, extra)

    def test_overridden_everywhere(self) -> None:
        """
        A value without index that every destination overrides has no effect; one that holds somewhere has.
        """
        both = "serviceName=s&servicePath.1=/1&port.1=1&servicePath.2=/2&port.2=2"
        both += "&userDef=x&backendCa=x&backendTls.1=true&backendTls.2=true&backendCa.1=y"
        self.assertEqual(reading(f"{both}&backendCa.2=y").name, "s")
        both += "&timeoutClient=x&reqMode.1=tcp&srcPort.1=1&timeoutClient.1=5"
        self.assertEqual(reading(both).name, "s")
        self.refused(f"{both}&reqMode.2=tcp&srcPort.2=2", "timeoutClient")

    def test_secrets_are_not_echoed(self) -> None:
        """
        A refusal repeats neither passwords nor keys, whatever is wrong with them.
        """
        for query in (
            f"{GOOD}&users=a:hidden&usersPassEncrypted=true",
            f"{GOOD}&serviceCert=hidden%0ahidden%00",
            f"{GOOD}&users={'hidden' * 2000}",
        ):
            error = self.assertRaises(InvalidService, reading, query)
            self.assertNotIn("hidden", str(error) + repr(error.problems))

    def test_certificate(self) -> None:
        """
        `serviceCert` becomes a file called as the first domain, else as the service; a written line end is one. Of the
        parameters only its digest is kept, which means the same file later.
        """
        found = reading(f"{GOOD}&serviceDomain=*.a.test,b.test&serviceCert=uno%5Cnduo")
        self.assertEqual(found.certificate, ("*.a.test", b"uno\nduo"))
        assert found.service is not None
        self.assertNotIn("uno", repr(found))
        (kept,) = (value for name, value in found.service.parameters if name == "serviceCert")
        self.assertTrue(kept.startswith(DIGEST))
        again = read(found.service.parameters, (), SETTINGS, balance)
        self.assertEqual((again.service, again.certificate), (found.service, None))
        self.assertEqual(reading(f"{GOOD}&serviceCert=one").certificate, ("s", b"one"))
        self.assertEqual(reading(f"{GOOD}&serviceDomain=.a.test&serviceCert=one").certificate, ("a.test", b"one"))

    def test_control_characters(self) -> None:
        """
        Line breaks and their like are refused in every value (ODDITY-40), hidden in whatever encoding.
        """
        for bad in ("%0a", "%00", "%7f", "%c2%85", "%0d"):
            for name in ("servicePath", "serviceName", "userDef", "aclName", "userAgent"):
                query = "serviceDomain=d&port=80" + ("" if name == "serviceName" else "&serviceName=s")
                self.refused(f"{query}&{name}=a{bad}b", name)

    def test_no_text(self) -> None:
        """
        Bytes that were no UTF-8 are refused as well, and not repeated.
        """
        for name in ("servicePath", "userDef", "aclName", "proxyInstanceName"):
            pairs = [(name, "/\udc80"), ("serviceName", "s"), ("servicePath", "/"), ("port", "80")]
            (problem,) = self.assertRaises(InvalidService, read, pairs, (), SETTINGS, balance).problems
            self.assertEqual((problem.parameter, problem.value), (name, "/?"))
            self.assertIn("UTF-8", problem.reason)

    def test_sizes(self) -> None:
        """
        Each value has a limit, and the longest below it is fine.
        """
        self.assertIsNotNone(reading(f"servicePath=/a&port=80&serviceName={'s' * NAME_CHARS}").service)
        self.refused(f"servicePath=/a&port=80&serviceName={'s' * (NAME_CHARS + 1)}", "serviceName")
        self.assertIsNotNone(reading(f"{GOOD}&userDef={'u' * TEXT_CHARS}").service)
        self.refused(f"{GOOD}&userDef={'u' * (TEXT_CHARS + 1)}", "userDef")
        (problem,) = self.refused(f"{GOOD}&userAgent={'u' * (LIST_CHARS + 1)}", "userAgent")
        self.assertLess(len(problem.value), 300)

    def test_names(self) -> None:
        """
        Blanks and slashes in names are refused; dots, underscores and letters of any language are not.
        """
        for bad in ("a%20b", "a/b", "%C2%A0", "a%E2%80%83b"):
            self.refused(f"servicePath=/a&port=80&serviceName={bad}", "serviceName")
            self.refused(f"{GOOD}&aclName={bad}", "aclName")
        self.assertIsNotNone(reading("servicePath=/a&port=80&serviceName=my_stack.svc-1é").service)

    def test_values(self) -> None:
        """
        Values that broke DFP for everyone are refused by name at once.
        """
        for name, bad in (
            ("port", "http1"),
            ("port", "0"),
            ("port", "65536"),
            ("port", "80%20check"),
            ("pathType", "no_such"),
            ("pathType", "path_beg%20-f%20x"),
            ("serviceDomainAlgo", "hdr_no(host)"),
            ("servicePathExclude", "("),
            ("timeoutServer", "0"),
            ("timeoutServer", "5s"),
            ("timeoutTunnel", "9999999"),
            ("timeoutTunnel", "-1"),
            ("outboundHostname", "a%20b"),
            ("outboundHostname", "http://a"),
            ("outboundHostname", "a:80"),
            ("srcPort", "65536"),
            ("balance", "magic"),
            ("serviceHeader", "a%20b:c"),
            ("serviceHeader", "a:"),
            ("serviceHeader", ":c"),
            ("condition", "a%20b:c"),
            ("condition", ":c"),
            ("userAgent", ","),
            ("serviceDomain", ","),
            ("serviceDomain", "*"),
            ("endpoints", "h"),
            ("endpoints", "h:0"),
            ("endpoints", "h:80*257"),
            ("endpoints", "::1:80"),
            ("endpoints", "[h]:80"),
            ("endpoints", "h:80*0"),
            ("endpoints", "h:80,h:80"),
            ("endpoints", "h%2fx:80"),
        ):
            query = "&".join(part for part in GOOD.split("&") if not part.startswith(f"{name}="))
            if name == "servicePathExclude":
                query += "&pathType=path_reg"
            (problem,) = self.refused(f"{query}&{name}={bad}", name)
            self.assertNotEqual(problem.value, "")
        self.refused("serviceName=s&port=1&servicePath=,", "servicePath")
        self.refused("serviceName=s&port=1&servicePath=(&pathType=path_reg", "servicePath")

    def test_counts(self) -> None:
        """
        Lists are bounded; headers and conditions more so, since each costs time on requests.
        """
        paths = [f"/{i}" for i in range(LIST_ITEMS + 1)]
        for separator in (",", "+"):
            self.assertIsNotNone(reading(f"serviceName=s&port=1&servicePath={separator.join(paths[:-1])}").service)
            self.refused(f"serviceName=s&port=1&servicePath={separator.join(paths)}", "servicePath")
        for name, most in (("serviceHeader", MAX_HEADERS), ("condition", MAX_CONDITIONS)):
            listed = [f"n{i}:v" for i in range(most + 1)]
            self.assertIsNotNone(reading(f"{GOOD}&{name}={','.join(listed[:most])}").service)
            self.refused(f"{GOOD}&{name}={','.join(listed)}", name)

    def test_everything_at_once(self) -> None:
        """
        All that is wrong is told in one answer, each thing once.
        """
        query = "serviceName=a b&servicePath.1=/&port.1=x&servicePath.2=/&timeoutServer=x&pathType=y"
        query += "&httpsRedirectCode=200&setReqHeader=X&backendCa=x"
        wrong = ("timeoutServer", "pathType", "httpsRedirectCode", "setReqHeader", "backendCa")
        self.refused(query, "serviceName", "port.1", "port.2", *wrong)


VALUES = st.one_of(
    st.sampled_from(
        "/ /a,/b (a x[ 80 0 -1 tcp http true false path_reg path_len url_dom *.a.test *, a:b,c:d h:1*2 hdr_reg(host) "
        r"[[: \  , a\ b 1.5 é DNS roundrobin x|y".split(" ")
    ),
    st.text(max_size=12),
    st.text(alphabet="()[]{}*+?|\\^$.,-&~:0123 <>=!Pai\udc80", max_size=20),
)
QUERIES = st.lists(
    st.tuples(
        st.one_of(
            st.builds(
                lambda row, index: row.name + index,
                st.sampled_from(TABLE),
                st.sampled_from(["", "", "", ".1", ".2", ".11"]),
            ),
            st.text(max_size=8),
        ),
        VALUES,
    ),
    max_size=12,
)


class HintTests(SynchronousTestCase):
    def test_told(self) -> None:
        """
        What a call most likely does not mean is told with it, and changes nothing of it.
        """
        query = [("serviceName", "s"), ("servicePath", "demo"), ("port", "80"), ("alertIf", "x")]
        plain, slip = read(query, (), SETTINGS, balance), read([*query, ("httpOnly", "true")], (), SETTINGS, balance)
        [path] = plain.notes
        self.assertIn("'demo'", path)
        self.assertEqual(slip.notes[0], path)
        self.assertIn("is httpsOnly meant?", slip.notes[1])
        self.assertEqual(replace(slip, notes=()), replace(plain, notes=()))


class DroppedTests(SynchronousTestCase):
    def test_conditions_that_are_none(self) -> None:
        """
        Items of serviceHeader that are no conditions are ignored, as in DFP; without them a route takes more than was
        meant, so it is told.
        """
        told = reading(f"{GOOD}&serviceHeader.1=X-V:1:2,X-W,X-A:b&servicePath.1=/a").notes
        self.assertEqual(told, ("serviceHeader.1: 2 of its items have not exactly one ':' and are ignored",))
        self.assertEqual(reading(f"{GOOD}&serviceHeader=X-A:b,X-B:c,").notes, ())


class AnyInputTests(SynchronousTestCase):
    @settings(max_examples=120, deadline=None)
    @given(QUERIES, QUERIES, st.booleans(), st.sampled_from([",", "", ";", " "]))
    @example([("pathType", "path_reg"), ("servicePath", "((" * 400)], [], True, ",")
    @example([("serviceHeader", ",".join(f"{i} :x" for i in range(1500)))], [], True, ",")
    def test_service_or_reasons(
        self, query: list[tuple[str, str]], form: list[tuple[str, str]], complete: bool, separator: str
    ) -> None:
        """
        Whatever comes in makes a service that reads the same again, or a refusal with reasons that can be sent.
        """
        if complete:
            query = [("serviceName", "s"), ("servicePath", "/a"), ("port", "80"), *query]
        chosen = replace(SETTINGS, separator=separator)
        try:
            found = read(query, form, chosen, balance)
        except InvalidService as error:
            self.assertTrue(error.problems)
            for problem in error.problems:
                self.assertTrue(problem.parameter and problem.reason)
                f"{problem.parameter}{problem.value}{problem.reason}".encode()
            return
        repr(found.shown).encode()
        if found.service is not None:
            again = read(found.service.parameters, (), chosen, balance)
            # What is told of names that are none of ours is not told again.
            self.assertEqual(replace(again, notes=()), replace(found, certificate=None, notes=()))
            self.assertLessEqual(set(again.notes), set(found.notes))
            self.assertTrue(found.service.destinations)
            for destination in found.service.destinations:
                self.assertTrue(destination.match.paths and 1 <= destination.port <= 65535)
