"""
Listening sockets of the leader.
"""

from __future__ import annotations

import socket

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.errors import InvalidSettings
from dfproxy.model.listener import Listener
from dfproxy.workers.slots import TAKEN_S, Slots


class SlotsTests(SynchronousTestCase):
    """
    Opening and what can go wrong.
    """

    def slots(self, *listeners: Listener, each: int = 3) -> Slots:
        self.waited: list[float] = []
        slots = Slots(listeners, each, self.waited.append)
        self.addCleanup(slots.close)
        return slots

    def test_open(self) -> None:
        """
        Each worker gets one socket of each address, all on the same port, accepting.
        """
        slots = self.slots(Listener("127.0.0.1", 0), Listener("::1", 0, tls=True))
        slots.open()
        slots.open()
        (first, second) = slots.addresses()
        seats = [slots.of_seat(seat) for seat in range(3)]
        self.assertEqual({seat[0].listener for seat in seats}, {Listener("127.0.0.1", first[1])})
        self.assertEqual({seat[1].listener for seat in seats}, {Listener("::1", second[1], tls=True)})
        self.assertEqual(len({slot.number for seat in seats for slot in seat}), 6)
        self.assertEqual(len({slots.descriptor(slot) for seat in seats for slot in seat}), 6)
        for host, port in (first, second):
            socket.create_connection((host, port), 1).close()

    def test_taken(self) -> None:
        """
        An address that another process has is waited for a moment, then named with the reason; none stays open.
        """
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            slots = self.slots(Listener("127.0.0.1", 0), Listener("127.0.0.1", port))
            error = self.assertRaises(InvalidSettings, slots.open)
        self.assertIn(f"127.0.0.1:{port}: Address already in use", str(error))
        self.assertAlmostEqual(sum(self.waited), TAKEN_S)
        self.assertEqual(slots.addresses(), ())

    def test_shared_by_a_stranger(self) -> None:
        """
        Another proxy that would share its port with us is not joined silently.
        """
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            other.bind(("127.0.0.1", 0))
            other.listen()
            slots = self.slots(Listener("127.0.0.1", other.getsockname()[1]))
            self.assertRaises(InvalidSettings, slots.open)

    def test_let_go_of(self) -> None:
        """
        An address that its former owner lets go of meanwhile is taken.
        """
        other = socket.create_server(("127.0.0.1", 0))
        slots = Slots((Listener("127.0.0.1", other.getsockname()[1]),), 1, lambda _: other.close())
        self.addCleanup(slots.close)
        slots.open()
        self.assertEqual(len(slots.addresses()), 1)

    def test_no_such_address(self) -> None:
        """
        All addresses that cannot be had are named at once.
        """
        slots = self.slots(Listener("203.0.113.9", 80), Listener("198.51.100.9", 80))
        error = self.assertRaises(InvalidSettings, slots.open)
        self.assertEqual(len(error.problems), 2)
        self.assertIn(
            "203.0.113.9:80: Cannot assign requested address: this machine does not have that address", str(error)
        )

    def test_added(self) -> None:
        """
        One more address while all runs: it accepts at once, belongs to seats when it is handed out, and is gone when it
        is dropped; its numbers are never given again.
        """
        slots = self.slots(Listener("127.0.0.1", 0))
        slots.open()
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            self.assertRaises(OSError, slots.add, Listener("127.0.0.1", port, stream=True))
        self.assertEqual(self.waited, [])  # a caller is not kept waiting
        wanted = Listener("127.0.0.1", port, stream=True)
        slots.add(wanted)
        socket.create_connection(("127.0.0.1", port), 1).close()
        self.assertEqual([len(slots.of_seat(seat)) for seat in range(3)], [1, 1, 1])
        handed = slots.hand_out(wanted)
        self.assertEqual([slots.of_seat(seat)[1] for seat in range(3)], list(handed))
        taken = slots.take_back(wanted)
        self.assertEqual(taken, handed)
        self.assertEqual([len(slots.of_seat(seat)) for seat in range(3)], [1, 1, 1])
        slots.drop(taken)
        slots.drop(slots.take_back(wanted))
        self.assertRaises(OSError, socket.create_connection, ("127.0.0.1", port), 1)
        slots.add(wanted)
        self.assertFalse({slot.number for slot in slots.hand_out(wanted)} & {slot.number for slot in handed})
