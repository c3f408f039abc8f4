"""
What `--check-config` finds.
"""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.daemon.options import check
from dfproxy.discovery.checking import problems
from dfproxy.model.service import Balance
from dfproxy.model.settings import Settings

GOOD = ("serviceName=a&servicePath=/a&port=80&users=u:secret", "serviceName=b&serviceDomain=b.test&replicas=0&port=1")


class ProblemsTests(SynchronousTestCase):
    """
    One line for each.
    """

    def test_none(self) -> None:
        """
        Options and services that are fine.
        """
        self.assertEqual(problems(Settings(services=GOOD), check), ())

    def test_services(self) -> None:
        """
        Services that would be left out are named, with parameter, reason and example, and without their passwords.
        """
        wrong = (
            "serviceName=c&servicePath=/c&port=http&users=u:secret",
            "serviceName=d&servicePath=/d&port=80&condition=nope",
            "serviceName=e&port=80",
            "serviceName=f&servicePath=/f&port=80&balance=nope",
            "serviceName=a&servicePath=/again&port=80",
        )
        found = problems(Settings(services=(*GOOD, *wrong)), check)
        self.assertEqual([line.partition(":")[0][-1] for line in found], ["c", "d", "e", "f", "a"])
        self.assertIn("port: must be a port, 1 to 65535 (for example port=8080)", found[0])
        self.assertIn("there is no condition nope", found[1])
        self.assertNotIn("secret", "".join(found))

    def test_options(self) -> None:
        """
        What would keep the proxy from starting comes alone.
        """
        settings = replace(Settings(services=GOOD), balance=Balance("nope"), route_order="none")
        self.assertEqual([line.partition("=")[0] for line in problems(settings, check)], ["--route-order", "--balance"])
