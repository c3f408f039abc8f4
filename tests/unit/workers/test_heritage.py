"""
What is believed of descriptors that come by number.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.workers.heritage import API, FRONT, NAME, VARIABLE, Command, Door, Heritage, Left, receive, write

COMMAND = Command("/bin/x", ("x", "--nodaemon", "dfproxy"), ("--workers", "2"), "/")


class HeritageCase(SynchronousTestCase):
    def listening(self, host: str = "127.0.0.1") -> tuple[int, int]:
        """
        A socket that listens: its descriptor, that nobody else closes, and its port.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, 0), family=family) as opened:
            descriptor = os.dup(opened.fileno())
            port: int = opened.getsockname()[1]
        return descriptor, port

    def close(self, descriptor: int) -> None:
        """
        One that was not taken is still open.
        """
        os.close(descriptor)

    def received(self, left: Left) -> tuple[Heritage, dict[str, str]]:
        environment = {"HOME": "/", VARIABLE: str(write(left))}
        found = receive(environment)
        self.addCleanup(lambda: [opened.close() for _, opened in found.doors])
        return found, environment


class LeftTests(HeritageCase):
    """
    From the leader before.
    """

    def test_taken(self) -> None:
        """
        A socket that listens where the list says is claimed once, by who it is for; the variable is gone, and the
        list with it.
        """
        (first, port), (second, other) = self.listening(), self.listening()
        doors = (Door(FRONT, "127.0.0.1", port, first), Door(API, "127.0.0.1", 0, second))
        found, environment = self.received(Left(os.getpid(), "1", COMMAND, doors))
        self.assertEqual(environment, {"HOME": "/"})
        self.assertEqual(found.claim(API, "127.0.0.1", port), [])
        [front] = found.claim(FRONT, "127.0.0.1", port)
        [api] = found.claim(API, "127.0.0.1", 0)
        self.assertEqual((front.getsockname()[1], api.getsockname()[1]), (port, other))
        self.assertFalse(front.get_inheritable())
        self.assertEqual(found.claim(FRONT, "127.0.0.1", port), [])
        front.close()
        api.close()

    def test_not_believed(self) -> None:
        """
        Another address, a socket that does not listen, a file and a number that is not open are left alone.
        """
        listening, port = self.listening()
        with socket.socket() as idle, open(os.devnull) as file:
            idle.bind(("127.0.0.1", 0))
            doors = (
                Door(FRONT, "127.0.0.1", port + 1, listening),
                Door(FRONT, "127.0.0.2", port, listening),
                Door(FRONT, "", port, listening),
                Door(FRONT, "127.0.0.1", 0, idle.fileno()),
                Door(FRONT, "127.0.0.1", 0, file.fileno()),
                Door(FRONT, "127.0.0.1", 0, 9999),
            )
            found, _ = self.received(Left(os.getpid(), "1", COMMAND, doors))
            self.assertEqual(found.doors, [])
            idle.getsockname()
            file.fileno()
        self.close(listening)

    def test_list_of_others(self) -> None:
        """
        A list for another process, another file, and text in the variable are nothing of ours.
        """
        listening, port = self.listening()
        door = Door(FRONT, "127.0.0.1", port, listening)
        found, environment = self.received(Left(os.getpid() + 1, "1", COMMAND, (door,)))
        self.assertEqual((found.left, found.doors, environment), (None, [], {"HOME": "/"}))
        descriptor = os.memfd_create("other")
        os.write(descriptor, msgspec.json.encode(Left(os.getpid(), "1", COMMAND, (door,))))
        for number in (str(descriptor), "9999", "x", "-1", "9" * 30):
            self.assertEqual(receive({VARIABLE: number}), Heritage(), number)
        os.close(descriptor)
        descriptor = os.memfd_create(NAME)
        os.write(descriptor, b"{}")
        self.assertEqual(receive({VARIABLE: str(descriptor)}), Heritage())
        os.close(descriptor)
        self.close(listening)

    def test_unclaimed(self) -> None:
        """
        What nobody claims is closed.
        """
        listening, port = self.listening()
        found, _ = self.received(Left(os.getpid(), "1", COMMAND, (Door(FRONT, "127.0.0.1", port, listening),)))
        found.close()
        self.assertRaises(OSError, os.fstat, listening)
        self.assertEqual(found.doors, [])


class SystemdTests(HeritageCase):
    """
    From systemd.
    """

    def announced(self, count: str, pid: int = 0) -> Heritage:
        environment = {"LISTEN_FDS": count, "LISTEN_PID": str(pid or os.getpid()), "LISTEN_FDNAMES": "a:b"}
        found = receive(environment)
        self.assertEqual(environment, {})
        return found

    def test_for_another(self) -> None:
        """
        Sockets announced to another process, or none at all, are none; the variables are gone anyway.
        """
        self.assertEqual(self.announced("2", pid=1).doors, [])
        for count in ("", "x", "0", "-1"):
            self.assertEqual(self.announced(count).doors, [])


class FirstTests(SynchronousTestCase):
    def test_first(self) -> None:
        """
        Variables are found as they were at the start, whatever became of them; sockets announced to another process
        are left alone.
        """
        program = (
            "import os; os.environ.pop('LISTEN_FDS'); from dfproxy.workers.heritage import first_variables, receive;"
            "found = {'LISTEN_PID': str(os.getpid())};"
            "print(len(receive({'LISTEN_PID': '1'}, {'LISTEN_FDS': '1'}).doors), "
            "first_variables()['LISTEN_FDS'], len(receive(found, {'LISTEN_FDS': '1'}).doors), found)"
        )
        with socket.create_server(("127.0.0.1", 0)) as opened:
            code = f"import os; os.dup2({opened.fileno()}, 3); os.set_inheritable(3, True); {program}"
            done = subprocess.run(
                (sys.executable, "-c", code),
                env={**os.environ, "LISTEN_FDS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
                pass_fds=(opened.fileno(),),
                capture_output=True,
                text=True,
                check=True,
            )
        self.assertEqual(done.stdout, "0 1 1 {}\n")


class CommandTests(SynchronousTestCase):
    def test_options(self) -> None:
        """
        An option chosen later stands behind those given, once, however often it is chosen.
        """
        command = COMMAND.with_option("workers", "3").with_option("state-dir", "/s").with_option("workers", "4")
        self.assertEqual(
            command.words("--check-start"),
            ["x", "--nodaemon", "dfproxy", "--workers", "2", "--workers", "4", "--state-dir", "/s", "--check-start"],
        )
