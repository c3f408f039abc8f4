"""
Tests of `dfproxy.dfp.settings`: which source wins, what the whole becomes, and that every problem is told.
"""

from __future__ import annotations

from collections.abc import Mapping

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.settings import deferred, files_named, read_settings, secrets_dir
from dfproxy.errors import InvalidSettings
from dfproxy.model.listener import Listener
from dfproxy.model.service import Balance
from dfproxy.model.settings import AccessLines, Limits, Settings, Statistics

HOME = {"HOME": "/home/op"}


def problems_of(
    options: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
) -> list[tuple[str, str]]:
    """
    What is wrong, as (where, value).
    """
    try:
        read_settings(options or {}, {**HOME, **(environment or {})}, secrets or {})
    except InvalidSettings as invalid:
        return [(problem.parameter, problem.value) for problem in invalid.problems]
    return []


class PrecedenceTests(SynchronousTestCase):
    """
    Option over secret over file over variable over default.
    """

    def test_nothing_given(self) -> None:
        """
        Without any option the defaults hold; only the state folder and the processors are the machine's.
        """
        self.assertEqual(
            read_settings({}, HOME, {}, cpus=4), Settings(workers=4, state_dir="/home/op/.local/state/dfproxy")
        )

    def test_order_of_sources(self) -> None:
        """
        Each source gives way to the next stronger one.
        """
        environment = {**HOME, "TIMEOUT_SERVER": "1"}
        self.assertEqual(read_settings({}, environment, {}).limits.server_timeout_s, 1)
        environment["TIMEOUT_SERVER_FILE"] = "/run/x"
        secrets = {"/run/x": "2\n"}
        self.assertEqual(read_settings({}, environment, secrets).limits.server_timeout_s, 2)
        secrets["dfp_timeout_server"] = "3\r\n\n"
        self.assertEqual(read_settings({}, environment, secrets).limits.server_timeout_s, 3)
        self.assertEqual(read_settings({"timeout-server": "4"}, environment, secrets).limits.server_timeout_s, 4)

    def test_empty_is_not_given(self) -> None:
        """
        An empty variable or secret, and an option that the parser leaves at None, do not hide a weaker source.
        """
        settings = read_settings({"port": None, "plugins": []}, {**HOME, "PORT": "81"}, {"dfp_port": "\n"})
        self.assertEqual(settings.api_port, 81)

    def test_an_empty_option_is_given(self) -> None:
        """
        An option given as nothing takes away what a variable says.
        """
        settings = read_settings({"config-text": "", "default-ports": ""}, {**HOME, "CONFIG_TEXT": "/cfg/x"}, {})
        self.assertEqual(settings.config_text, "")
        self.assertEqual(settings.listeners, ())

    def test_stronger_source_wins_even_if_the_weaker_is_wrong(self) -> None:
        """
        Nobody has to repair a variable that is overridden.
        """
        self.assertEqual(problems_of({"port": "81"}, {"PORT": "x"}), [])

    def test_unreadable_file(self) -> None:
        """
        A variable that names a file which is not there is a problem, not a default.
        """
        self.assertEqual(problems_of({}, {"USERS_FILE": "/nowhere"}), [("USERS_FILE", "/nowhere")])

    def test_ca_file_is_no_suffix(self) -> None:
        """
        CA_FILE and API_TOKEN_FILE are variables of their own, and their value is a path.
        """
        environment = {**HOME, "API_TOKEN_FILE": "/run/secrets/token", "CA_FILE": "/ca.pem", "USERS_FILE": "/users"}
        self.assertEqual(files_named(environment), ("/users",))
        self.assertEqual(read_settings({}, environment, {"/users": "a:b"}).api_token_file, "/run/secrets/token")

    def test_secrets_dir(self) -> None:
        """
        Where secrets are is known before they are read.
        """
        self.assertEqual(secrets_dir({}, {}), "/run/secrets")
        self.assertEqual(secrets_dir({}, {"SECRETS_DIR": "/s"}), "/s")
        self.assertEqual(secrets_dir({"secrets-dir": "/t"}, {"SECRETS_DIR": "/s"}), "/t")


class SettingsTests(SynchronousTestCase):
    """
    What the options become.
    """

    def test_stack_of_dfp(self) -> None:
        """
        Variables of an existing stack mean what they meant.
        """
        settings = read_settings(
            {},
            {
                "LISTENER_ADDRESS": "swarm-listener",
                "MODE": "swarm",
                "DEFAULT_PORTS": "80,443 accept-proxy:ssl",
                "BIND_PORTS": "8085",
                "TIMEOUT_TUNNEL": "86400",
                "SEPARATOR": "|",
                "SERVICE_DOMAIN_ALGO": "hdr_dom(host)",
                "DEBUG": "true",
                "STATS_USER_ENV": "X",
                "CFG_TEMPLATE_PATH": "/cfg/tmpl/haproxy.tmpl",
            },
            {"dfp_stats_pass": "secret", "dfp_timeout_connect": "7\n"},
            is_root=True,
        )
        self.assertEqual(
            settings,
            Settings(
                listeners=(
                    Listener("", 80),
                    Listener("", 443, tls=True, options=("accept-proxy",)),
                    Listener("", 8085),
                ),
                state_dir="/var/lib/dfproxy",
                in_swarm=True,
                swarm_listeners=(("swarm-listener", 8080),),
                separator="|",
                host_form="hdr_dom(host)",
                access_log="-",
                access_lines=AccessLines("httplog", "HAPRoxy: "),
                limits=Limits(tunnel_timeout_s=86400.0, connect_timeout_s=7.0),
            ),
        )

    def test_command_line(self) -> None:
        """
        Options of the command line, repeatable ones as lists.
        """
        settings = read_settings(
            {
                "ip": "127.0.0.1",
                "port": "0",
                "default-ports": "8000",
                "bind-address": "127.0.0.1,::1",
                "workers": "0",
                "state-dir": "/s",
                "plugins": ["/p", "/q"],
                "balance": "hdr(X-User)",
                "route-order": "specific",
                "resolve": ["a=10.0.0.1", "b=10.0.0.2,10.0.0.3"],
                "service": ["serviceName=a&port=80"],
                "trusted-proxies": "10.0.0.0/8",
                "max-request-head": "32k",
                "access-log": "json",
                "debug": "true",
            },
            {},
            {},
            cpus=8,
        )
        self.assertEqual(
            settings,
            Settings(
                api_address="127.0.0.1",
                api_port=0,
                listeners=(Listener("127.0.0.1", 8000), Listener("::1", 8000)),
                addresses=("127.0.0.1", "::1"),
                workers=0,
                state_dir="/s",
                plugin_dirs=("/p", "/q"),
                balance=Balance("hdr", ("X-User",)),
                route_order="specific",
                names=(("a", ("10.0.0.1",)), ("b", ("10.0.0.2", "10.0.0.3"))),
                services=("serviceName=a&port=80",),
                trusted_proxies=("10.0.0.0/8",),
                access_log="-",
                limits=Limits(request_head_bytes=32768),
            ),
        )

    def test_lists_in_variables(self) -> None:
        """
        A variable holds several values of a repeatable option.
        """
        environment = {
            **HOME,
            "PLUGINS": "/p:/q",
            "RESOLVE": "a=10.0.0.1  b=10.0.0.2\nc=10.0.0.3",
            "SERVICE": "serviceName=a&port=1\n\nserviceName=b&port=2\n",
        }
        settings = read_settings({}, environment, {})
        self.assertEqual(settings.plugin_dirs, ("/p", "/q"))
        self.assertEqual([name for name, _ in settings.names], ["a", "b", "c"])
        self.assertEqual(settings.services, ("serviceName=a&port=1", "serviceName=b&port=2"))

    def test_values_of_an_embedding_program(self) -> None:
        """
        Numbers and truth values need not be written as text.
        """
        settings = read_settings({"port": 81, "debug": True, "plugins": ("/p",), "workers": 2}, HOME, {})
        self.assertEqual((settings.api_port, settings.access_log, settings.workers), (81, "-", 2))
        self.assertEqual(settings.plugin_dirs, ("/p",))

    def test_workers(self) -> None:
        """
        One worker for each processor unless said otherwise, and never none by chance.
        """
        self.assertEqual(read_settings({}, HOME, {}, cpus=3).workers, 3)
        self.assertEqual(read_settings({"workers": "auto"}, {**HOME, "WORKERS": "7"}, {}, cpus=3).workers, 3)
        self.assertEqual(read_settings({}, HOME, {}, cpus=0).workers, 1)

    def test_state_dir(self) -> None:
        """
        Users have their state in their own folder, root in the system's.
        """
        self.assertEqual(read_settings({}, {"XDG_STATE_HOME": "/x", **HOME}, {}).state_dir, "/x/dfproxy")
        self.assertEqual(read_settings({}, {"XDG_STATE_HOME": "x", **HOME}, {}).state_dir[:9], "/home/op/")
        self.assertEqual(read_settings({}, HOME, {}, is_root=True).state_dir, "/var/lib/dfproxy")
        with self.assertRaises(InvalidSettings) as caught:
            read_settings({}, {}, {})
        self.assertIn("--state-dir", str(caught.exception))


class StatisticsTests(SynchronousTestCase):
    """
    Where the statistics are, and who may see them.
    """

    def read(self, environment: dict[str, str], secrets: dict[str, str] | None = None) -> Statistics | None:
        return read_settings({}, environment, secrets or {}, is_root=True).statistics

    def test_both(self) -> None:
        """
        There are none without both, user and password; a secret wins over the variable.
        """
        for given in ({}, {"STATS_USER": "u"}, {"STATS_PASS": "p"}, {"STATS_USER": "none"}):
            self.assertIsNone(self.read(given), given)
        given = {"STATS_USER": "u", "STATS_PASS": "p"}
        self.assertEqual(self.read(given), Statistics("/admin?stats", "u", "p"))
        self.assertEqual(self.read(given, {"dfp_stats_pass": "q\n"}), Statistics("/admin?stats", "u", "q"))

    def test_open(self) -> None:
        """
        One of both `none`, whatever its case: everybody may see them.
        """
        for user, password in (("none", "none"), ("None", "p"), ("u", "NONE")):
            found = self.read({"STATS_USER": user, "STATS_PASS": password})
            self.assertEqual(found, Statistics("/admin?stats", is_open=True), user)

    def test_renamed(self) -> None:
        """
        Other variables may hold them, as secrets too; then the usual ones are not looked at, and header rules cannot
        ask for any of them.
        """
        given = {"STATS_USER_ENV": "A", "A": "u", "STATS_PASS_ENV": "B", "B": "p", "STATS_USER": "x", "STATS_PASS": "y"}
        self.assertEqual(self.read(given), Statistics("/admin?stats", "u", "p"))
        self.assertEqual(self.read(given, {"dfp_b": "q"}), Statistics("/admin?stats", "u", "q"))
        askable = dict(read_settings({}, given, {}, is_root=True).environment)
        self.assertEqual(set(askable) & {"A", "B", "STATS_USER", "STATS_PASS"}, set())
        given = {**given, "STATS_URI_ENV": "C", "C": "/x", "B": ""}
        self.assertIsNone(self.read(given))
        self.assertEqual(self.read({**given, "B_FILE": "/f"}, {"/f": "q"}), Statistics("/x", "u", "q"))
        self.assertIn("/f", files_named({**given, "B_FILE": "/f"}))

    def test_port(self) -> None:
        """
        80 is the data plane's; any other is a listener of its own, on each bound address.
        """
        given = {"STATS_USER": "u", "STATS_PASS": "p", "BIND_ADDRESS": "127.0.0.1"}
        found = self.read({**given, "STATS_PORT": "80"})
        self.assertEqual(found and found.listeners, ())
        settings = read_settings({}, {**given, "STATS_PORT": "1936"}, {}, is_root=True)
        self.assertEqual(settings.bound[-1], Listener("127.0.0.1", 1936, statistics=True))
        self.assertNotIn(1936, [listener.port for listener in settings.listeners])
        self.assertEqual(problems_of(environment={**given, "STATS_PORT": "443"}), [("--stats-port", "443")])
        self.assertEqual(problems_of(environment={**given, "STATS_PORT": "8080"}), [("--port", "8080")])

    def test_wrong(self) -> None:
        """
        What cannot be is refused at start, and never shown.
        """
        given = {"STATS_USER": "a:b", "STATS_PASS": "p"}
        self.assertEqual(problems_of(environment=given), [("--stats-user", "(not shown)")])
        self.assertEqual(problems_of({"stats-uri": "admin"}), [("--stats-uri", "admin")])
        shown = repr(read_settings({}, {"STATS_USER": "me", "STATS_PASS": "hidden-word"}, {}, is_root=True))
        self.assertNotIn("hidden-word", shown)


class AccessLogTests(SynchronousTestCase):
    """
    How access lines look.
    """

    def lines(self, environment: dict[str, str]) -> tuple[str, AccessLines]:
        settings = read_settings({}, environment, {}, is_root=True)
        return settings.access_log, settings.access_lines

    def test_debug(self) -> None:
        """
        DFP's variables, all of them.
        """
        given = {
            "DEBUG": "true",
            "DEBUG_ERRORS_ONLY": "true",
            "DEBUG_HTTP_FORMAT": "%ci\\ %ST",
            "DEBUG_TCP_FORMAT": "%ci",
            "CAPTURE_REQUEST_HEADER": "Host:15,User-Agent:20",
        }
        look = AccessLines("httplog", "HAPRoxy: ", True, "%ci\\ %ST", "%ci", (("Host", 15), ("User-Agent", 20)))
        self.assertEqual(self.lines(given), ("-", look))
        self.assertEqual(self.lines({**given, "ACCESS_LOG": "json"})[1].prefix, "")

    def test_wrong(self) -> None:
        """
        A format that names what is not known is refused, and so is a capture without a length.
        """
        for variable, value in (
            ("DEBUG_HTTP_FORMAT", "%zz"),
            ("DEBUG_TCP_FORMAT", "%ST"),
            ("CAPTURE_REQUEST_HEADER", "Host"),
            ("CAPTURE_REQUEST_HEADER", "A:800,B:800"),
        ):
            self.assertEqual(len(problems_of(environment={variable: value})), 1, value)


class ProblemTests(SynchronousTestCase):
    """
    Everything that is wrong is told at once.
    """

    def test_all_problems(self) -> None:
        """
        One line for each problem, with where it was given, its value and the reason.
        """
        with self.assertRaises(InvalidSettings) as caught:
            read_settings(
                {"port": "x", "balance": "hdr(", "resolve": ["a=b", "c=1.2.3.4", "d"]},
                {**HOME, "WORKERS": "-2", "TIMEOUT_CLIENT": "0", "MODE": "what"},
                {"dfp_separator": "\x01", "dfp_timeout_queue": "1m"},
            )
        lines = str(caught.exception).splitlines()
        self.assertEqual(
            {line.partition(":")[0] for line in lines},
            {
                "--port=x",
                "--balance=hdr(",
                "--resolve=a=b",
                "--resolve=d",
                "WORKERS=-2",
                "TIMEOUT_CLIENT=0",
                "MODE=what",
                "secret dfp_separator=\\x01",
                "secret dfp_timeout_queue=1m",
            },
        )
        self.assertEqual(len(lines), 9)

    def test_secret_values_are_never_shown(self) -> None:
        """
        A problem with a password does not print it.
        """
        self.assertEqual(problems_of({}, {"USERS": "me:pass\x00word"}), [("USERS", "(not shown)")])

    def test_wrong_values_are_shown_in_one_line(self) -> None:
        """
        A value with line ends, or a very long one, does not spread over the screen.
        """
        [(_, value)] = problems_of({"port": "8\n\x1b[31m" + "9" * 5000})
        self.assertTrue(value.startswith("8\\n\\x1b[31m99"))
        self.assertTrue(value.endswith("9..."))
        self.assertLess(len(value), 120)

    def test_no_such_option(self) -> None:
        """
        A misspelt option of an embedding program is not passed over.
        """
        self.assertEqual(problems_of({"prot": "80"}), [("--prot", "")])

    def test_port_twice(self) -> None:
        """
        The same port twice is one; with different options it cannot be.
        """
        same = read_settings({"default-ports": "80,443:ssl", "bind-ports": "80"}, HOME, {})
        self.assertEqual([listener.port for listener in same.listeners], [80, 443])
        self.assertEqual(problems_of({"default-ports": "80", "bind-ports": "80:ssl"}), [("--bind-ports", "80")])
        many = read_settings({"default-ports": "0,0"}, HOME, {})
        self.assertEqual(len(many.listeners), 2)

    def test_port_of_the_api(self) -> None:
        """
        API and data plane cannot share a port, unless on different addresses.
        """
        self.assertEqual(problems_of({"port": "80"}), [("--port", "80")])
        self.assertEqual(problems_of({"port": "80", "ip": "127.0.0.1", "bind-address": "127.0.0.2"}), [])
        self.assertEqual(problems_of({"port": "0", "default-ports": "0"}), [])

    def test_name_twice(self) -> None:
        """
        A name resolved twice is refused: which one holds would be a guess.
        """
        self.assertEqual(problems_of({"resolve": ["a=1.1.1.1", "A=2.2.2.2"]}), [("--resolve", "a")])


class DeferredTests(SynchronousTestCase):
    """
    Options whose feature is still to come.
    """

    def test_said_once_and_only_if_it_differs(self) -> None:
        """
        The log tells of what was given in vain, but not of defaults that DFP's image sets anyway.
        """
        environment = {"CFG_TEMPLATE_PATH": "/cfg/tmpl/haproxy.tmpl", "ENABLE_H2": "True", "EXTRA_GLOBAL": "l"}
        lines = deferred({"docker": "unix:///x", "port": "1"}, environment, {"dfp_stats_user": "me:secret"})
        names = [line.partition(":")[0] for line in lines]
        self.assertEqual(names, ["--docker", "EXTRA_GLOBAL", "secret dfp_stats_user"])
        self.assertIn("no statistics without a password", lines[2])
        self.assertNotIn("secret\n", "\n".join(lines) + "\n")
        self.assertNotIn("me:", "".join(lines))

    def test_values_without_effect(self) -> None:
        """
        Whatever the value of an option that has no effect, the proxy starts, and says that it has none.
        """
        environment = {"TERMINATE_ON_RELOAD": "perhaps", "RECONFIGURE_ATTEMPTS": "many"}
        self.assertEqual(problems_of({}, environment), [])
        names = {line.partition(":")[0] for line in deferred({}, environment, {})}
        self.assertEqual(names, set(environment))

    def test_bind_options(self) -> None:
        """
        Words behind a port that HAProxy minds and we do not; those without consequences are passed over.
        """
        lines = deferred(
            {},
            {"DEFAULT_PORTS": "80 defer-accept,443 ssl-min-ver TLSv1.3 name crt:ssl", "BIND_PORTS": "81 maxconn 9"},
            {},
        )
        self.assertEqual(
            lines,
            (
                "DEFAULT_PORTS: port 443: ssl-min-ver has no effect for one port; SSL_BIND_OPTIONS is for all",
                "BIND_PORTS: port 81: maxconn has no effect for one port; MAX_CONNECTIONS is for all",
            ),
        )

    def test_nothing_given(self) -> None:
        """
        Nothing given, nothing said.
        """
        self.assertEqual(deferred({}, {}, {}), ())
