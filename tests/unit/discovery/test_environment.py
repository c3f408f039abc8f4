"""
Tests of `dfproxy.discovery.environment`: services of variables and options as parameter pairs.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.discovery.environment import declared_services, services_of_query, services_of_variables


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
            "DFP_SERVICE_SERVICE_PATH": "/demo",
            "DFP_SERVICE_PORT": "8080",
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
                ("servicePath", "/demo"),
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
        [pairs] = services_of_variables({"DFP_SERVICE_SERVICE_NAME": "a", "DFP_SERVICE_REPLICAS": "0"})
        self.assertEqual(pairs, [("serviceName", "a")])

    def test_both_sources(self) -> None:
        """
        Services of variables come first, then those of options.
        """
        found = declared_services(("serviceName=b",), {"DFP_SERVICE_SERVICE_NAME": "a"})
        self.assertEqual(found, [[("serviceName", "a")], [("serviceName", "b")]])
