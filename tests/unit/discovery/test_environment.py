"""
Tests of `dfproxy.discovery.environment`: services of variables and options as parameter pairs.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.parameters import BY_NAME, BY_VARIABLE, TABLE
from dfproxy.dfp.reconfigure import read
from dfproxy.discovery.environment import (
    files_named,
    services_of_query,
    services_of_variables,
    unread,
    with_secrets,
)
from dfproxy.model.service import Balance
from dfproxy.model.settings import Settings

KNOWN_TO_DFP = """
    ACL_NAME ADD_REQ_HEADER ADD_RES_HEADER BACKEND_EXTRA CHECK_RESOLVERS COMPRESSION_ALGO COMPRESSION_TYPE
    CONNECTION_MODE DEL_REQ_HEADER DEL_RES_HEADER DISTRIBUTE IS_DEFAULT_BACKEND PROXY_INSTANCE_NAME
    REDIRECT_WHEN_HTTP_PROTO REDIRECT_UNLESS_HTTPS_PROTO REPLICAS REQ_PATH_REPLACE REQ_PATH_SEARCH SERVICE_CERT
    SERVICE_NAME SESSION_TYPE SET_REQ_HEADER SET_RES_HEADER TEMPLATE_BE_PATH TEMPLATE_FE_PATH SERVICE_DOMAIN_ALGO
    SERVICE_DOMAIN_MATCH_ALL DISCOVERYTYPE ALLOWED_METHODS DENIED_METHODS DENY_HTTP HTTPS_ONLY HTTPS_PORT
    HTTPS_REDIRECT_CODE IGNORE_AUTHORIZATION OUTBOUND_HOSTNAME PATH_TYPE PORT REDIRECT_FROM_DOMAIN REQ_MODE
    REQ_PATH_SEARCH_REPLACE SERVICE_DOMAIN SERVICE_PATH SERVICE_PATH_EXCLUDE SRC_PORT SRC_HTTPS_PORT SSL_VERIFY_NONE
    TIMEOUT_SERVER TIMEOUT_TUNNEL VERIFY_CLIENT_SSL
""".split()


class QueryTests(SynchronousTestCase):
    """
    Services of `--service`.
    """

    def test_pairs(self) -> None:
        """
        A query is decoded as a form; parameters without a value are left out.
        """
        self.assertEqual(
            services_of_query("?serviceName=go-demo&servicePath=%2Fa+b&port.1=80&port=&replicas="),
            [("serviceName", "go-demo"), ("servicePath", "/a b"), ("port.1", "80")],
        )


class VariableTests(SynchronousTestCase):
    """
    Services of `DFP_SERVICE_*`.
    """

    def test_one_service(self) -> None:
        """
        Upper snake case is the parameter's name, a number at its end the index of the destination.
        """
        environment = {
            "DFP_SERVICE_SERVICE_NAME": "go-demo",
            "DFP_SERVICE_PORT": "8080",
            "DFP_SERVICE_SSL_VERIFY_NONE_3": "t",
            "DFP_SERVICE_PORT_1": "8081",
            "DFP_SERVICE_PORT_10": "8090",
            "DFP_SERVICE_SERVICE_DOMAIN": "",
            "DFP_SERVICE_DISCOVERYTYPE": "DNS",
            "DFP_SERVICE_REDIRECT_WHEN_HTTP_PROTO": "true",
            "PORT": "80",
        }
        [pairs] = services_of_variables(environment)
        self.assertEqual(
            sorted(pairs),
            [
                ("discoveryType", "DNS"),
                ("port", "8080"),
                ("port.1", "8081"),
                ("port.10", "8090"),
                ("redirectWhenHttpProto", "true"),
                ("serviceName", "go-demo"),
                ("sslVerifyNone.3", "t"),
            ],
        )

    def test_numbered_services(self) -> None:
        """
        Numbered services end at the first number without a name; the plain one does not see theirs.
        """
        environment = {
            "DFP_SERVICE_SERVICE_NAME": "zero",
            "DFP_SERVICE_1_SERVICE_NAME": "one",
            "DFP_SERVICE_1_PORT_2": "82",
            "DFP_SERVICE_2_SERVICE_NAME": "two",
            "DFP_SERVICE_4_SERVICE_NAME": "four",
        }
        self.assertEqual(
            services_of_variables(environment),
            [[("serviceName", "zero")], [("port.2", "82"), ("serviceName", "one")], [("serviceName", "two")]],
        )

    def test_ten_is_not_one(self) -> None:
        """
        `DFP_SERVICE_1_` does not take what belongs to `DFP_SERVICE_10_`.
        """
        environment = {f"DFP_SERVICE_{number}_SERVICE_NAME": str(number) for number in range(1, 12)}
        self.assertEqual(
            services_of_variables(environment), [[("serviceName", str(number))] for number in range(1, 12)]
        )

    def test_without_a_name(self) -> None:
        """
        Variables without a service name make no service.
        """
        self.assertEqual(services_of_variables({"DFP_SERVICE_PORT": "80", "DFP_SERVICE_SERVICE_NAME": ""}), [])

    def test_default_mode(self) -> None:
        """
        DEFAULT_PROTOCOL is the mode of services that give none.
        """
        environment = {
            "DFP_SERVICE_SERVICE_NAME": "a",
            "DFP_SERVICE_1_SERVICE_NAME": "b",
            "DFP_SERVICE_1_REQ_MODE": "sni",
        }
        first, second = services_of_variables(environment, "tcp")
        self.assertIn(("reqMode", "tcp"), first)
        self.assertEqual([value for name, value in second if name == "reqMode"], ["sni"])

    def test_replicas(self) -> None:
        """
        Zero replicas do not remove a service that is declared in variables.
        """
        for zero in ("0", "00", "-0"):
            [pairs] = services_of_variables({"DFP_SERVICE_SERVICE_NAME": "a", "DFP_SERVICE_REPLICAS": zero})
            self.assertEqual(pairs, [("serviceName", "a")])

    def test_all_parameters(self) -> None:
        """
        Every parameter of the table can be given, and every variable that DFP has is one.
        """
        variables = {f"DFP_SERVICE_{row.variable}": row.name for row in TABLE}
        [pairs] = services_of_variables(variables)
        self.assertEqual(dict(pairs), {row.name: row.name for row in TABLE})
        self.assertEqual([name for name in KNOWN_TO_DFP if name not in BY_VARIABLE], [])
        self.assertEqual(BY_VARIABLE["DISCOVERYTYPE"], BY_VARIABLE["DISCOVERY_TYPE"])

    def test_added_to_the_one_without_index(self) -> None:
        """
        A destination without an index is there beside those with one, and comes first, unlike in calls.
        """
        environment = {
            "DFP_SERVICE_1_SERVICE_NAME": "a",
            "DFP_SERVICE_1_SERVICE_PATH": "/",
            "DFP_SERVICE_1_PORT": "80",
            "DFP_SERVICE_1_HTTPS_ONLY": "true",
            "DFP_SERVICE_1_SERVICE_PATH_1": "/b",
            "DFP_SERVICE_1_PORT_1": "81",
            "DFP_SERVICE_1_OUTBOUND_HOSTNAME": "h",
        }
        [pairs] = services_of_variables(environment)
        service = read(pairs, (), Settings(), lambda text: Balance(text)).service
        assert service is not None
        self.assertEqual([(one.port, one.host) for one in service.destinations], [(80, "h"), (81, "h")])
        self.assertEqual([one.match.paths[0].value for one in service.destinations], [b"/", b"/b"])
        self.assertEqual([one.steps.https_code for one in service.destinations if one.steps], [302, 302])
        del environment["DFP_SERVICE_1_SERVICE_PATH"]
        [pairs] = services_of_variables(environment)
        self.assertIn(("servicePath.1", "/b"), pairs)

    def test_secrets(self) -> None:
        """
        A secret goes before a file, a file before the variable; line ends at the end are no part of it.
        """
        environment = {
            "DFP_SERVICE_SERVICE_NAME": "a",
            "DFP_SERVICE_USERS": "a:1",
            "DFP_SERVICE_USERS_FILE": "/u",
            "DFP_SERVICE_SERVICE_CERT_FILE": "/c",
            "DFP_SERVICE_PORT_1_FILE": "/p",
            "PORT_FILE": "/x",
        }
        self.assertEqual(sorted(files_named(environment)), ["/c", "/p", "/u"])
        contents = {"/u": "a:2\n", "/c": "x\ny\r\n", "/x": "1", "dfp_users": "z:1"}
        found = with_secrets(environment, contents)
        self.assertEqual(
            found,
            {
                "DFP_SERVICE_SERVICE_NAME": "a",
                "DFP_SERVICE_USERS": "a:2",
                "DFP_SERVICE_SERVICE_CERT": "x\ny",
            },
        )
        found = with_secrets(environment, contents | {"dfp_dfp_service_users": "a:3\n"})
        self.assertEqual(found["DFP_SERVICE_USERS"], "a:3")
        found = with_secrets(environment, contents | {"dfp_dfp_service_users": "\n"})
        self.assertEqual(found["DFP_SERVICE_USERS"], "a:2")
        self.assertEqual(unread(environment, contents), ("DFP_SERVICE_PORT_1_FILE: the file /p cannot be read",))

    def test_in_vain(self) -> None:
        """
        What means nothing is told by name, never with its value; others' variables are not ours to judge.
        """
        environment = {
            "DFP_SERVICE_SERVICE_NAME": "a",
            "DFP_SERVICE_SERVICE_PAHT": "/secret",
            "DFP_SERVICE_USERS_2": "a:secret",
            "DFP_SERVICE_PORT_11": "1",
            "DFP_SERVICE_1_PAHT": "of no service",
        }
        said = unread(environment, {})
        self.assertEqual(
            [line.partition(":")[0] for line in said],
            ["DFP_SERVICE_PORT_11", "DFP_SERVICE_SERVICE_PAHT", "DFP_SERVICE_USERS_2"],
        )
        self.assertNotIn("secret", "".join(said))

    @settings(max_examples=60, deadline=None)
    @given(
        st.dictionaries(
            st.builds(
                "DFP_SERVICE_{}{}{}".format,
                st.sampled_from(("", "1_", "2_", "01_")),
                st.sampled_from((*BY_VARIABLE, "", "X", "1")),
                st.sampled_from(("", "_1", "_2", "_10", "_11", "_0", "_FILE")),
            ),
            st.text(max_size=5),
            max_size=12,
        )
    )
    def test_anything(self, environment: dict[str, str]) -> None:
        """
        Any variables make services of known parameters, or nothing.
        """
        environment["DFP_SERVICE_SERVICE_NAME"] = "a"
        unread(environment, {})
        for pairs in services_of_variables(with_secrets(environment, {})):
            self.assertIn("serviceName", dict(pairs))
            for name, value in pairs:
                self.assertIn(name.partition(".")[0], BY_NAME)
                self.assertTrue(value)
