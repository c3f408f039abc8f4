"""
Messages survive the way through bytes.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.frontend.listeners import Slot
from dfproxy.model.listener import Listener
from dfproxy.model.match import HostPattern, Match, PathPattern
from dfproxy.model.service import Destination, Endpoint, Service
from dfproxy.model.settings import Settings
from dfproxy.model.snapshot import Membership, Revision, ServerAddress
from dfproxy.workers.messages import (
    Abort,
    Adopt,
    Answer,
    Beat,
    Begin,
    Commit,
    Done,
    Drain,
    Fault,
    Leaving,
    Members,
    Part,
    Prepare,
    Query,
    Refusal,
    Release,
    Resolve,
    build_id,
    decode,
    encode,
)

SERVICE = Service(
    "a",
    "01-a",
    (
        Destination(
            1,
            80,
            Match((PathPattern("prefix", b"/\xff"),), (), (HostPattern("exact", b"a.org", True),), ((b"x", b"y"),)),
            "tasks.a",
            "a-be80_1",
            (Endpoint("h", 1, 2),),
            1.5,
        ),
    ),
    parameters=(("servicePath", "/"),),
)
MEMBERSHIP = Membership("a", 1, 3, (ServerAddress("10.0.0.1", 80, 1, 9),))


class MessagesTests(SynchronousTestCase):
    """
    Every message.
    """

    def test_identity(self) -> None:
        """
        What is read is what was written, values of the model included.
        """
        for message in (
            Begin(Settings(), 3, 16),
            Part((SERVICE,), ("b",), (MEMBERSHIP,), (("a", 1, 5),)),
            Prepare(Revision(3, "f" * 32), True),
            Commit(Revision()),
            Abort(Revision()),
            Members(MEMBERSHIP),
            Query("stats", {"a": [1]}),
            Adopt((Slot(1, Listener("::1", 80, True, ("accept-proxy",))),)),
            Release((1, 2)),
            Drain(1.5),
            Done(),
            Refusal("why"),
            Answer({"a": 1}),
            Beat(),
            Leaving(),
            Resolve("a", 1),
            Fault("why"),
        ):
            self.assertEqual(decode(encode(message)), message)

    def test_garbage(self) -> None:
        """
        What is no message is said to be none.
        """
        for payload in (b"", b"\xff", b"\x80", encode(Done())[:-1]):
            self.assertRaises(ValueError, decode, payload)

    def test_build(self) -> None:
        """
        The build id is the same each time it is asked for.
        """
        self.assertEqual(build_id(), build_id())
        self.assertEqual(len(build_id()), 8)
