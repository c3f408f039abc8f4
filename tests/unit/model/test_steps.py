"""
The values of steps.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.model.match import HostPattern, Match
from dfproxy.model.service import Destination, Service
from dfproxy.model.steps import Access, Compression, HeaderRule, Redirect, Rewrite, Steps, User
from dfproxy.workers.messages import Part, decode, encode

EVERYTHING = Steps(
    redirects=(Redirect(Match(hosts=(HostPattern("prefix", b"a"),)), "http", "b", True, 301),),
    allowed_networks=("10.0.0.0/8",),
    denied_networks=("10.1.0.0/16",),
    https_code=302,
    request_headers=(HeaderRule("add", "X 1"),),
    rewrites=(Rewrite("a", "b", True, True),),
    wants_certificate=True,
    allowed_methods=("GET",),
    denied_methods=("PUT",),
    denies_plain=True,
    access=Access("r", (User("a", "hidden", True),)),
    response_headers=(HeaderRule("del", "X"),),
    closes_server=True,
    sticky="s",
    compression=Compression(("gzip", "deflate"), ("text/",)),
)


class StepsTests(SynchronousTestCase):
    """
    What is sent and what is shown.
    """

    def test_sent(self) -> None:
        """
        Workers get exactly what the leader has read.
        """
        service = Service("s", "s", (Destination(0, 1, Match(), "h", "b", steps=EVERYTHING),))
        part = decode(encode(Part(services=(service,))))
        assert isinstance(part, Part)
        self.assertEqual(part.services, (service,))

    def test_passwords_are_not_shown(self) -> None:
        """
        Whoever prints a value prints no password.
        """
        self.assertNotIn("hidden", repr(EVERYTHING))

    def test_equal(self) -> None:
        """
        Other passwords are other steps: a change of one is a change.
        """
        self.assertNotEqual(User("a", "b"), User("a", "c"))
        self.assertEqual(Steps(), Steps())
