"""
Tests of `dfproxy.dfp.options`: the table agrees with itself, with `Settings` and with the documentation.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.options import GROUPS, NOT_APPLICABLE, OPTIONS, markdown
from dfproxy.dfp.settings import deferred, read_settings
from dfproxy.errors import InvalidSettings
from dfproxy.model.settings import Limits, Settings

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = ROOT / "docs" / "options.md"

PROMISED = """
    ip port default-ports bind-ports bind-address workers state-dir certs-dir secrets-dir plugins balance route-order
    resolve service access-log config-text docker api-token-file trusted-proxies
""".split()
"""
Options that the command line has had from its first version on; tests/unit/test_tap.py has the flag `--check-config`.
"""

DFP_VARIABLES = """
    BIND_PORTS CA_FILE CAPTURE_REQUEST_HEADER CERTS CFG_TEMPLATE_PATH CHECK_RESOLVERS COMPRESSION_ALGO COMPRESSION_TYPE
    CONNECTION_MODE CRT_LIST_PATH DEBUG DEBUG_ERRORS_ONLY DEBUG_HTTP_FORMAT DEBUG_TCP_FORMAT DEFAULT_PORTS
    DEFAULT_PROTOCOL DEFAULT_REQ_MODE DISPLAY_CONFIG_ON_ERROR DNS_LOOKUP_PAUSE_MS DO_NOT_RESOLVE_ADDR ENABLE_H2
    EXTRA_FRONTEND EXTRA_GLOBAL FILTER_PROXY_INSTANCE_NAME HEALTHCHECK HTTPS_ONLY IP PORT LISTENER_ADDRESS MODE
    PREFERRED_CERTIFICATE PROXY_INSTANCE_NAME RECONFIGURE_ATTEMPTS RELOAD_ATTEMPTS RELOAD_INTERVAL REPEAT_RELOAD
    RESOLVERS SEPARATOR SERVICE_DOMAIN_ALGO SERVICE_NAME SKIP_ADDRESS_VALIDATION SSL_BIND_CIPHERS SSL_BIND_OPTIONS
    STATS_USER_ENV STATS_PASS_ENV STATS_URI_ENV STATS_USER STATS_PASS STATS_URI STATS_PORT TERMINATE_ON_RELOAD
    TIMEOUT_CLIENT TIMEOUT_CONNECT TIMEOUT_HTTP_KEEP_ALIVE TIMEOUT_HTTP_REQUEST TIMEOUT_QUEUE TIMEOUT_SERVER
    TIMEOUT_TUNNEL USERS USERS_PASS_ENCRYPTED
""".split()


NOT_HERE = """
    CERTS CFG_TEMPLATE_PATH CHECK_RESOLVERS DEFAULT_REQ_MODE DISPLAY_CONFIG_ON_ERROR DNS_LOOKUP_PAUSE_MS
    DO_NOT_RESOLVE_ADDR EXTRA_GLOBAL RECONFIGURE_ATTEMPTS RESOLVERS SKIP_ADDRESS_VALIDATION TERMINATE_ON_RELOAD
""".split()
"""
Those that mean nothing without HAProxy. To add one is to take something away from operators.
"""

SAMPLES = {
    "PORT": "8181",
    "IP": "127.0.0.1",
    "RESOLVE": "a=1.1.1.1",
    "SERVICE": "serviceName=a",
    "USERS": "me:1",
    "CONNECTION_MODE": "httpclose",
    "COMPRESSION_ALGO": "gzip",
    "TRUSTED_PROXIES": "10.0.0.0/8",
    "SEPARATOR": ";",
    "HTTPS_ONLY": "true",
    "DEBUG": "true",
    "MODE": "swarm",
    "BALANCE": "leastconn",
    "LISTENER_ADDRESS": "swarm-listener",
    "BIND_PORTS": "81",
    "BIND_ADDRESS": "127.0.0.1",
    "TIMEOUT_SERVER": "33",
    "SERVICE_DOMAIN_ALGO": "hdr(host)",
    "SERVICE_NAME": "stack_proxy",
    "ENABLE_H2": "false",
}
"""
Values for options where a path or the default would not do.
"""


def rows_of() -> set[str]:
    return {option.variable for option in OPTIONS}


class TableTests(SynchronousTestCase):
    """
    Rows of the table.
    """

    def test_no_row_twice(self) -> None:
        """
        Each option, variable and target stands once.
        """
        for attribute in ("name", "variable"):
            values = [getattr(option, attribute) for option in OPTIONS]
            self.assertEqual(len(values), len(set(values)))
        targets = [option.target for option in OPTIONS if option.target]
        self.assertEqual(len(targets), len(set(targets)))

    def test_every_variable_of_dfp(self) -> None:
        """
        A stack written for DFP starts: every variable that DFP reads is known.
        """
        self.assertEqual(set(DFP_VARIABLES) - {option.variable for option in OPTIONS}, set())

    def test_in_force_or_not_applicable(self) -> None:
        """
        Of DFP's variables each does here what it did there, or the documentation says why it cannot mean anything.
        """
        rows = {option.variable: option for option in OPTIONS}
        for name in DFP_VARIABLES:
            later = rows[name].later
            self.assertTrue(not later or (later.startswith(NOT_APPLICABLE) and len(later) > 30), (name, later))
            self.assertIn(f"| `{name}` |", DOCUMENT.read_text())
        idle = {name for name in DFP_VARIABLES if rows[name].later}
        self.assertEqual(idle, set(NOT_HERE))

    def test_secrets_and_files_for_all(self) -> None:
        """
        Each variable may be a secret (`dfp_port`), or stand in a file that the variable with `_FILE` names; the same
        comes out of it, or the same is wrong with it.
        """
        base = {"HOME": "/home/op"}
        for option in OPTIONS:
            text = SAMPLES.get(option.variable) or option.default or "/x"
            plain = self.read(base | {option.variable: text}, {})
            if option.variable == "SECRETS_DIR":
                continue  # the folder of secrets cannot be a secret
            self.assertEqual(self.read(base, {option.secret: f"{text}\n"}), plain, option.name)
            if f"{option.variable}_FILE" not in rows_of():
                file = base | {f"{option.variable}_FILE": "/run/x"}
                self.assertEqual(self.read(file, {"/run/x": f"{text}\n"}), plain, option.name)
            if option.default and option.default != text:
                self.assertNotEqual(plain, self.read(base, {}), option.name)

    def test_rules_cannot_ask_for_secrets(self) -> None:
        """
        `env()` of header rules gives everything but what we know to be secret.
        """
        given = {"USERS": "a:1", "SERVICE": "serviceName=a&users=a:1", "DFP_SERVICE_1_USERS": "a:1", "HOSTNAME": "x"}
        given |= {"DFP_SERVICE_SERVICE_CERT": "key", "DFP_SERVICE_PORT": "80", "HOME": "/"}
        self.assertEqual(
            dict(read_settings({}, given, {}).environment), {"HOSTNAME": "x", "DFP_SERVICE_PORT": "80", "HOME": "/"}
        )

    def read(self, environment: dict[str, str], secrets: dict[str, str]) -> object:
        """
        What is understood; without what an expression may ask for, which is all variables.
        """
        try:
            settings = read_settings({}, environment, secrets)
        except InvalidSettings as error:
            return [(problem.value, problem.reason) for problem in error.problems]
        given = deferred({}, environment, secrets)
        return replace(settings, environment=()), [line.partition(": ")[2] for line in given]

    def test_promised(self) -> None:
        """
        No option that was there once has gone.
        """
        self.assertEqual(set(PROMISED) - {option.name for option in OPTIONS}, set())

    def test_without_effect_is_said(self) -> None:
        """
        An option whose setting nothing reads says so; nobody is to wonder why it does nothing.
        """
        readers = [
            file.read_text()
            for file in (ROOT / "dfproxy").rglob("*.py")
            if file.parent.name != "model" and file.name not in ("options.py", "settings.py")
        ]
        silent = [
            option.name
            for option in OPTIONS
            if option.target
            and not option.later
            and not any(re.search(rf"\.{option.target.rpartition('.')[2]}\b", text) for text in readers)
        ]
        self.assertEqual(silent, [])

    def test_every_limit_is_an_option(self) -> None:
        """
        No limit is out of the operator's reach.
        """
        targets = {option.target.removeprefix("limits.") for option in OPTIONS if option.target.startswith("limits.")}
        self.assertEqual(targets, set(Limits.__dataclass_fields__))

    def test_defaults_are_true(self) -> None:
        """
        The default that the help shows is the one in force.
        """
        settings = Settings()
        for option in OPTIONS:
            if option.target and option.default:
                place, _, attribute = option.target.rpartition(".")
                value = getattr(settings.limits if place else settings, attribute)
                self.assertEqual(option.parse(option.default), value, option.name)

    def test_defaults_are_acceptable(self) -> None:
        """
        Writing the shown default down changes nothing and is never refused.
        """
        for option in OPTIONS:
            if option.default:
                option.parse(option.default)

    def test_rows_are_complete(self) -> None:
        """
        Every row has a known group and a help that fits one line.
        """
        for option in OPTIONS:
            self.assertIn(option.group, GROUPS)
            self.assertTrue(0 < len(option.help) < 100, option.name)
            self.assertEqual(option.name, option.name.lower())

    def test_document(self) -> None:
        """
        docs/options.md is what `python -m dfproxy.dfp.settings` prints.
        """
        self.assertEqual(DOCUMENT.read_text(), markdown())
