"""
What h2load says.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bench import h2load
from bench.h2load import h2load_command, read_h2load, run_h2load
from bench.load import LoadFailed
from bench.proxies import Proxy

SAID = """starting benchmark...
TLS Protocol: TLSv1.3
Application protocol: h2

finished in 1.00s, 34500.00 req/s, 1.50MB/s
requests: 34500 total, 34564 started, 34500 done, 34500 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 34500 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 1.50MB (1573000) total, 135.00KB (138000) headers (space savings 93.00%), 471.00KB (483000) data
"""


class ReadTests(SynchronousTestCase):
    """
    What counts as answered.
    """

    def test_counted(self) -> None:
        """
        Requests that were answered with success.
        """
        self.assertEqual(read_h2load(SAID), 34500)

    def test_failures(self) -> None:
        """
        A run with a failure of any kind, with another protocol or with nothing is no figure.
        """
        for was, would_be in (
            ("0 failed", "1 failed"),
            ("0 errored", "2 errored"),
            ("0 timeout", "3 timeout"),
            ("0 3xx", "1 3xx"),
            ("0 4xx", "1 4xx"),
            ("0 5xx", "1 5xx"),
            ("34500 succeeded", "0 succeeded"),
            ("protocol: h2\n", "protocol: http/1.1\n"),
            ("status codes", "statuses"),
        ):
            self.assertRaises(ValueError, read_h2load, SAID.replace(was, would_be))
        self.assertRaises(ValueError, read_h2load, "")


class RunTests(SynchronousTestCase):
    """
    One run.
    """

    def setUp(self) -> None:
        self.patch(h2load, "find_program", lambda name: name)
        self.said = SAID
        self.patch(h2load, "run_client", lambda proxy, command, seconds: (self.said, 0.5))
        nothing: Any = None
        self.proxy = Proxy("someone", 7443, nothing, scheme="https")

    def test_command(self) -> None:
        """
        So many connections with so many streams, by the certificate's name, and nothing but HTTP/2.
        """
        command = h2load_command(self.proxy, "/x", 8, 4, 2)
        self.assertEqual(command[-1], "https://bench.test:7443/x")
        self.assertTrue({"-c8", "-m4", "-D2", "--npn-list=h2", "--connect-to=127.0.0.1:7443"} <= set(command))

    def test_run(self) -> None:
        """
        Requests beside CPU time; one that failed names the proxy.
        """
        run = run_h2load(self.proxy, "/", 8, 8, 1)
        self.assertEqual((run.requests, run.per_cpu_s), (34500, 69000))
        self.said = SAID.replace("0 5xx", "9 5xx")
        error = self.assertRaises(LoadFailed, run_h2load, self.proxy, "/", 8, 8, 1)
        self.assertIn("someone: h2load: 34500 answers, 9 of a wrong status", str(error))
