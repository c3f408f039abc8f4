"""
Listening sockets of the leader.
"""

from __future__ import annotations

import os
import select
import socket

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.errors import InvalidSettings
from dfproxy.model.listener import Listener
from dfproxy.workers.heritage import FRONT, Door, Heritage
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
        handed = tuple(slot for of_seat in slots.hand_out(wanted) for slot in of_seat)
        self.assertEqual([slots.of_seat(seat)[1] for seat in range(3)], list(handed))
        taken = slots.take_back(wanted)
        self.assertEqual(taken, handed)
        self.assertEqual([len(slots.of_seat(seat)) for seat in range(3)], [1, 1, 1])
        slots.drop(taken)
        slots.drop(slots.take_back(wanted))
        self.assertRaises(OSError, socket.create_connection, ("127.0.0.1", port), 1)
        slots.add(wanted)
        again = {slot.number for of_seat in slots.hand_out(wanted) for slot in of_seat}
        self.assertFalse(again & {slot.number for slot in handed})


class TakenUpTests(SynchronousTestCase):
    """
    After an upgrade, or with sockets of systemd.
    """

    def opened(self, count: int, shared: bool = True) -> tuple[Heritage, int]:
        """
        So many sockets of one address, open already.
        """
        found, port = Heritage(), 0
        for _ in range(count):
            one = socket.socket()
            if shared:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.bind(("127.0.0.1", port))
            one.listen()
            port = one.getsockname()[1]
            found.doors.append((Door(FRONT, "127.0.0.1", port, one.fileno()), one))
        return found, port

    def slots(self, heritage: Heritage, port: int, each: int) -> Slots:
        slots = Slots((Listener("127.0.0.1", port),), each, lambda _: self.fail("nothing is waited for"), heritage)
        self.addCleanup(slots.close)
        slots.open()
        return slots

    def inodes(self, slots: Slots, seat: int) -> list[int]:
        return [os.fstat(slots.descriptor(slot)).st_ino for slot in slots.of_seat(seat)]

    def test_fewer_workers(self) -> None:
        """
        No socket is closed: a worker serves several.
        """
        heritage, port = self.opened(5)
        before = {os.fstat(opened.fileno()).st_ino for _, opened in heritage.doors}
        slots = self.slots(heritage, port, 2)
        first, second = self.inodes(slots, 0), self.inodes(slots, 1)
        self.assertEqual((len(first), len(second)), (3, 2))
        self.assertEqual({*first, *second}, before)
        self.assertEqual(slots.addresses(), (("127.0.0.1", port),))
        self.assertEqual(len(slots.doors()), 5)

    def test_more_workers(self) -> None:
        """
        Further sockets are opened, and get no connection before somebody is told to accept there.
        """
        heritage, port = self.opened(1)
        [(_, old)] = heritage.doors
        old.setblocking(False)
        slots = self.slots(heritage, port, 3)
        clients = [socket.create_connection(("127.0.0.1", port), 1) for _ in range(12)]
        for client in clients:
            self.addCleanup(client.close)
            old.accept()[0].close()
        self.assertEqual(len(slots.doors()), 1)
        self.assertEqual(len({inode for seat in range(3) for inode in self.inodes(slots, seat)}), 3)
        self.assertEqual(len(slots.doors()), 3)
        for _ in range(48):
            self.addCleanup(socket.create_connection(("127.0.0.1", port), 1).close)
        readable, _, _ = select.select([slots.descriptor(slots.of_seat(seat)[0]) for seat in range(3)], [], [], 0)
        self.assertEqual(len(readable), 3)

    def test_one_for_all(self) -> None:
        """
        Where no further socket can be had workers share the one there is; it is handed on once.
        """
        heritage, port = self.opened(1, shared=False)
        slots = self.slots(heritage, port, 3)
        inodes = {inode for seat in range(3) for inode in self.inodes(slots, seat)}
        self.assertEqual((len(inodes), len(slots.doors())), (1, 1))
        self.assertEqual(len({slot.number for seat in range(3) for slot in slots.of_seat(seat)}), 3)

    def test_added(self) -> None:
        """
        A port that a service asks for is taken up like any other, and let go with all its sockets.
        """
        heritage, port = self.opened(3)
        slots = Slots((), 2, heritage=heritage)
        self.addCleanup(slots.close)
        slots.open()
        listener = Listener("127.0.0.1", port)
        slots.add(listener)
        self.assertEqual([len(of_seat) for of_seat in slots.hand_out(listener)], [2, 1])
        self.assertEqual([len(slots.of_seat(seat)) for seat in range(2)], [2, 1])
        taken = slots.take_back(listener)
        self.assertEqual(len(taken), 3)
        slots.drop(taken)
        self.assertRaises(ConnectionRefusedError, socket.create_connection, ("127.0.0.1", port), 1)
