"""
Tests of `dfproxy.tap`: the command line from the operator's side, by itself and under twistd.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.options import OPTIONS
from dfproxy.tap import Options

ROOT = Path(__file__).resolve().parents[2]


class OptionsTests(SynchronousTestCase):
    """
    Reading of arguments, variables and secrets.
    """

    def setUp(self) -> None:
        self.secrets = Path(self.mktemp())
        self.secrets.mkdir()
        self.environment = {"HOME": "/home/op", "SECRETS_DIR": str(self.secrets)}

    def options(self, *arguments: str, config_text_dir: str = "/no/such/folder") -> Options:
        """
        Options after reading these arguments.
        """
        options = Options(self.environment, config_text_dir, cpus=3)
        options.parseOptions(list(arguments))
        return options

    def test_every_option_of_the_table(self) -> None:
        """
        Each row of the table is an option of the command line.
        """
        known = Options(self.environment)
        for option in OPTIONS:
            value = option.default or {
                "NAME=ADDR[,ADDR...]": "a=1.1.1.1",
                "QUERY": "serviceName=a",
                "URL": "unix:///x",
                "ADDR": "127.0.0.1",
                "PORTS": "81",
                "NETWORKS": "10.0.0.0/8",
                "ALGORITHMS": "gzip deflate",
                "HOSTS": "swarm-listener",
                "NAME:LEN,...": "Host:15",
                "PORT": "1936",
            }.get(option.kind, "/x")
            if option.name == "ssl-bind-options":
                value = "no-tls-tickets"
            elif option.name == "extra-frontend":
                value = "timeout client 5s"
            known.parseOptions([f"--{option.name}", value])

    def test_sources(self) -> None:
        """
        A secret wins over a variable, an option over both; repeatable options gather.
        """
        self.environment.update(PORT="81", TIMEOUT_CLIENT="2", TIMEOUT_SERVER="2")
        (self.secrets / "dfp_port").write_text("82\n")
        (self.secrets / "dfp_timeout_client").write_text("3\n")
        (self.secrets / "cert-x").write_bytes(b"\xff")
        settings = self.options("--port", "83", "--resolve", "a=1.1.1.1", "--resolve=b=2.2.2.2").settings
        self.assertEqual(settings.api_port, 83)
        self.assertEqual(settings.limits.client_timeout_s, 3)
        self.assertEqual(settings.limits.server_timeout_s, 2)
        self.assertEqual(settings.names, (("a", ("1.1.1.1",)), ("b", ("2.2.2.2",))))
        self.assertEqual(settings.workers, 3)

    def test_variable_that_names_a_file(self) -> None:
        """
        `X_FILE` gives the content of a file.
        """
        file = self.secrets / "else"
        file.write_text("84\n")
        self.environment["PORT_FILE"] = str(file)
        self.assertEqual(self.options().settings.api_port, 84)

    def test_services(self) -> None:
        """
        Services of variables and of options are settings alike, the former with their default mode.
        """
        self.environment.update(
            DFP_SERVICE_SERVICE_NAME="a", DFP_SERVICE_SERVICE_PATH="/a&b,/c", DEFAULT_PROTOCOL="tcp"
        )
        self.assertEqual(
            self.options("--service", "serviceName=b&port=1").settings.services,
            ("reqMode=tcp&serviceName=a&servicePath=%2Fa%26b%2C%2Fc", "serviceName=b&port=1"),
        )

    def test_config_text(self) -> None:
        """
        The table is kept as text where DFP kept its own, if that folder exists, unless told otherwise.
        """
        folder = str(self.secrets)
        self.assertEqual(self.options().settings.config_text, "")
        self.assertEqual(self.options(config_text_dir=folder).settings.config_text, f"{folder}/haproxy.cfg")
        self.assertEqual(self.options("--config-text", "", config_text_dir=folder).settings.config_text, "")
        self.environment["CONFIG_TEXT"] = "/x"
        self.assertEqual(self.options(config_text_dir=folder).settings.config_text, "/x")

    def test_wrong_input(self) -> None:
        """
        One line for each problem.
        """
        self.environment["WORKERS"] = "many"
        error = self.assertRaises(usage.UsageError, self.options, "--port", "x", "--mode", "y")
        self.assertEqual(
            {line.partition(":")[0] for line in str(error).splitlines()}, {"--port=x", "--mode=y", "WORKERS=many"}
        )
        del self.environment["WORKERS"]
        self.environment["EXTRA_FRONTEND"] = "http-request frobnicate"  # its lines may hold secrets
        error = self.assertRaises(usage.UsageError, self.options)
        self.assertTrue(str(error).startswith("EXTRA_FRONTEND: line 1: "), str(error))

    def test_stray_words(self) -> None:
        """
        What is no option is refused, not passed over.
        """
        self.assertIn("stray", str(self.assertRaises(usage.UsageError, self.options, "stray")))
        self.assertIn("prot", str(self.assertRaises(usage.UsageError, self.options, "--prot", "80")))

    def test_unreadable_secrets(self) -> None:
        """
        A secret that is no text, or far too long, is named.
        """
        (self.secrets / "dfp_port").write_bytes(b"\xff\xfe")
        self.assertIn("dfp_port", str(self.assertRaises(usage.UsageError, self.options)))
        (self.secrets / "dfp_port").write_bytes(b"1" * ((1 << 20) + 1))
        self.assertIn("longer", str(self.assertRaises(usage.UsageError, self.options)))

    def test_missing_secrets_folder(self) -> None:
        """
        Without a folder of secrets there are none.
        """
        self.environment["SECRETS_DIR"] = "/no/such/folder"
        self.assertEqual(self.options().settings.secrets_dir, "/no/such/folder")

    def test_deferred(self) -> None:
        """
        What has no effect yet is remembered for the log.
        """
        self.assertEqual(len(self.options("--docker", "unix:///x").deferred), 1)

    def test_check_config(self) -> None:
        """
        `--check-config` tells what was understood and ends well; nothing secret is told.
        """
        (self.secrets / "dfp_users").write_text("me:geheim")
        (self.secrets / "dfp_users_team").write_text("you:geheim")
        (self.secrets / "dfp_stats_pass").write_text("geheim")
        (self.secrets / "dfp_dfp_service_service_cert").write_text("geheim")
        self.environment.update(STATS_USER="x", TERMINATE_ON_RELOAD="true", DFP_SERVICE_SERVICE_NAME="a")
        self.environment.update(DFP_SERVICE_PORT="80", DFP_SERVICE_SERVICE_PATH="/", DFP_SERVICE_NONSENSE="geheim")
        service = ("--service", "serviceName=b&servicePath=/b&port=1&USERS=u:geheim")
        code, said = self.check_config("--port", "81", *service)
        self.assertEqual(code, 0, said)
        self.assertIn("api_port = 81\n", said)
        self.assertIn("limits.server_timeout_s = 20.0\n", said)
        self.assertIn("users = (User(name='me', encrypted=False),)", said)
        self.assertIn("user_lists = ('team',)", said)
        self.assertIn("serviceName=b&servicePath=%2Fb&port=1&USERS=hidden", said)
        self.assertIn("note: TERMINATE_ON_RELOAD: not applicable: nothing is reloaded", said)
        self.assertIn("note: DFP_SERVICE_NONSENSE: there is no such parameter", said)
        self.assertNotIn("environment", said)
        self.assertNotIn("geheim", said)

    def test_check_config_finds(self) -> None:
        """
        Services that would be left out, and plugins that do not exist, are problems: the exit status says so.
        """
        code, said = self.check_config("--service", "serviceName=b&servicePath=/b&port=http")
        self.assertEqual(code, 1)
        self.assertIn("problem: service b: port: must be a port", said)
        code, said = self.check_config("--balance", "nope")
        self.assertEqual(code, 1)
        self.assertIn("problem: --balance=nope", said)
        code, said = self.check_config("--ca-file", "/no/such/file")
        self.assertEqual(code, 1)
        self.assertIn("problem: --ca-file=/no/such/file: cannot be read", said)

    def check_config(self, *arguments: str) -> tuple[object, str]:
        out = io.StringIO()
        with mock.patch.object(sys, "stdout", out):
            ended = self.assertRaises(SystemExit, self.options, "--check-config", *arguments)
        return ended.code, out.getvalue()

    def test_again(self) -> None:
        """
        The same options with secrets that are others by now.
        """
        (self.secrets / "dfp_users_team").write_text("a:1")
        options = self.options("--port", "81")
        (self.secrets / "dfp_users_team").write_text("a:2")
        (self.secrets / "dfp_users").write_text("b:1")
        again = options.again()
        self.assertEqual((again.user_lists, [user.name for user in again.users]), ((("team", "a:2"),), ["b"]))
        self.assertEqual((again.api_port, options.settings.users), (81, ()))

    def test_help(self) -> None:
        """
        The help groups options, gives an example and fits the terminal.
        """
        text = Options(self.environment).getUsage(100)
        self.assertIn("\nTimes:\n", text)
        self.assertIn("--service 'serviceName=go-demo", text)
        self.assertIn("roundrobin", text[text.index("Example") :])
        for option in OPTIONS:
            self.assertIn(f"  --{option.name} {option.kind}", text)
        self.assertEqual([line for line in text[: text.index("Example")].splitlines() if len(line) > 100], [])


class TwistdTests(SynchronousTestCase):
    """
    The same under twistd, as a process of its own.
    """

    def twistd(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """
        Run `twistd -n dfproxy` with these arguments to its end.
        """
        folder = self.mktemp()
        os.mkdir(folder)
        program = "import sys; from twisted.scripts.twistd import run; sys.argv[0] = 'twistd'; sys.exit(run())"
        return subprocess.run(
            [sys.executable, "-c", program, "-n", "dfproxy", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": "/", "PYTHONPATH": str(ROOT), "SECRETS_DIR": "/no/such/folder"},
        )

    def test_wrong_input(self) -> None:
        """
        One problem, one line; nothing starts, and there is neither a traceback nor a page of help.
        """
        ended = self.twistd("--port", "x", "--workers", "many", "--mode", "y")
        self.assertEqual(ended.returncode, 1)
        self.assertEqual(ended.stdout, "")
        self.assertEqual(
            [line.partition(": is")[0] for line in ended.stderr.splitlines()],
            ["dfproxy: --port=x", "dfproxy: --workers=many", "dfproxy: --mode=y"],
        )
        ended = self.twistd("--prot", "80")
        self.assertEqual((ended.returncode, ended.stdout, len(ended.stderr.splitlines())), (1, "", 1), ended.stderr)

    def test_check_config(self) -> None:
        """
        Nothing starts; what was understood is on standard output.
        """
        ended = self.twistd("--port", "81", "--check-config")
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))
        self.assertIn("api_port = 81\n", ended.stdout)

    def test_help(self) -> None:
        """
        `--help` names the strategies, also those of a further folder, and reports a broken one there.
        """
        plugins = Path(self.mktemp())
        plugins.mkdir()
        (plugins / "nonsense.py").write_text("1 +\n")
        ended = self.twistd("--plugins", str(plugins.resolve()), "--help")
        self.assertEqual(ended.returncode, 0)
        self.assertIn("leastconn", ended.stdout)
        self.assertIn("nonsense.py", ended.stdout)

    def test_no_reactor_before_the_options_are_read(self) -> None:
        """
        Reading options and printing the help leave the choice of the reactor open.
        """
        program = (
            "import sys; from dfproxy.tap import Options; o = Options({'HOME': '/'}); o.parseOptions([]);"
            "str(o); print('twisted.internet.reactor' in sys.modules)"
        )
        ended = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=ROOT, check=False
        )
        self.assertEqual((ended.stdout, ended.stderr), ("False\n", ""))
