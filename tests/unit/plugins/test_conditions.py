"""
Each built-in route condition: the contract, and what it decides.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.errors import InvalidRoute
from dfproxy.plugins import conditions
from dfproxy.testing import FakeRequest, RouteConditionContract


class TestNetwork(RouteConditionContract, SynchronousTestCase):
    """
    Where the client comes from.
    """

    factory = conditions.network
    values = ("10.0.0.0/8", "192.0.2.7", "192.0.2.128/25", "2001:db8::/32", "fe80::/10")
    accepted = tuple(
        FakeRequest(client_host=host)
        for host in (
            "10.0.0.0",
            "10.255.255.255",
            "192.0.2.7",
            "192.0.2.200",
            "2001:db8:ffff::1",
            "fe80::1%eth0",
            "::ffff:10.1.2.3",
        )
    )
    rejected = tuple(
        FakeRequest(client_host=host)
        for host in ("11.0.0.0", "9.255.255.255", "192.0.2.6", "192.0.2.127", "2001:db9::", "::1", "", "name", "10.1")
    )
    invalid = (("10.0.0.0/33",), ("10.0.0.1/8",), ("office",), ("10.0.0.0/8", ""), ())

    def test_all_addresses(self) -> None:
        """
        A network of size 0 is all of its family, and none of the other.
        """
        everyone = self.factory.compile(("0.0.0.0/0",))
        assert callable(everyone)
        self.assertTrue(everyone(FakeRequest(client_host="203.0.113.9")))
        self.assertFalse(everyone(FakeRequest(client_host="::5")))

    def test_refusal_names_the_value(self) -> None:
        """
        The operator sees which of many networks is wrong.
        """
        error = self.assertRaises(InvalidRoute, self.factory.compile, ("10.0.0.0/8", "10.0.0.1/8"))
        self.assertIn("10.0.0.1/8", str(error))


class TestMethod(RouteConditionContract, SynchronousTestCase):
    """
    What the client wants to do.
    """

    factory = conditions.method
    values = ("GET", "PURGE")
    accepted = (FakeRequest(b"GET"), FakeRequest(b"PURGE"))
    rejected = (FakeRequest(b"POST"), FakeRequest(b"get"), FakeRequest(b"GETS"), FakeRequest(b""))
    invalid = ((), ("",), ("GET POST",), ("get",), ("Post",))

    def test_slip_of_case_is_explained(self) -> None:
        """
        `get` would never match: the refusal says what was meant.
        """
        error = self.assertRaises(InvalidRoute, self.factory.compile, ("get",))
        self.assertIn("write GET instead of get", str(error))


class TestFrontLines(RouteConditionContract, SynchronousTestCase):
    """
    What lines of a template say.
    """

    factory = conditions.front_lines
    values = (
        "b",
        "acl api path_beg /api",
        "acl api hdr(host) -i api.test",
        "use_backend a if api { method POST }",
        "use_backend b if api or { src 10.0.0.0/8 }",
        "use_backend b if { dst_port 81 }",
    )
    accepted = (
        FakeRequest(target=b"/api/x"),
        FakeRequest(target=b"/x", headers=((b"Host", b"api.test"),)),
        FakeRequest(target=b"/x", client_host="10.1.2.3"),
        FakeRequest(target=b"/x", local_port=81, client_host="192.0.2.1"),
    )
    rejected = (
        FakeRequest(target=b"/x", client_host="192.0.2.1"),
        FakeRequest(method=b"POST", target=b"/api/x"),
    )
    invalid = ((), ("b",), ("b", "use_backend a"), ("b", "use_backend b if nothing"), ("b", "acl x"))
