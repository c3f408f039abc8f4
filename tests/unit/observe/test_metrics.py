"""
Counters.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.observe.metrics import FIELDS, GAUGE, GAUGES, SAMPLED, Sampling, Tally


class TallyTests(SynchronousTestCase):
    """
    `Tally`.
    """

    def test_values(self) -> None:
        """
        Counters begin at 0 and are told in the order of a cell; nothing else can be counted.
        """
        tally = Tally(7)
        self.assertEqual((tally.values(), tally.cell, tally.dirty), ((0,) * len(FIELDS), 7, False))
        for number, name in enumerate(FIELDS):
            setattr(tally, name, number + 1)
        self.assertEqual(tally.values(), tuple(range(1, len(FIELDS) + 1)))
        self.assertEqual(FIELDS[GAUGE], "in_flight")
        with self.assertRaises(AttributeError):
            setattr(tally, "more", 1)  # noqa: B010  a name that the type checker must not see

    def test_absorb(self) -> None:
        """
        What one takes over from another is counted once; what is in flight stays where it is.
        """
        mine, other = Tally(), Tally()
        for name in FIELDS:
            setattr(mine, name, 1)
            setattr(other, name, 2)
        mine.absorb(other)
        kept = {*GAUGES, *SAMPLED}
        self.assertEqual(mine.values(), tuple(1 if place in kept else 3 for place in range(len(FIELDS))))
        self.assertEqual(other.values(), tuple(2 if place in kept else 0 for place in range(len(FIELDS))))

    def test_passed_on(self) -> None:
        """
        A total gets each request once, also when what counted it goes and another takes its counts over.
        """
        total, backend, server = Tally(), Tally(), Tally()
        server.requests, server.responses_2xx, server.bytes_out, server.latency_us = 3, 3, 30, 99
        server.pass_on(total)
        server.pass_on(total)
        server.requests, server.responses_5xx = 4, 1
        backend.absorb(server)
        backend.pass_on(total)
        server.pass_on(total)
        counted = (total.requests, total.responses_2xx, total.responses_5xx, total.bytes_out, total.latency_us)
        self.assertEqual(counted, (4, 3, 1, 30, 0))


class SamplingTests(SynchronousTestCase):
    """
    Rates and highest numbers of a lone process.
    """

    def setUp(self) -> None:
        self.frontend, self.server = Tally(), Tally()
        self.sampling = Sampling(self.frontend)
        self.sampling.look(100.0, [])

    def test_rate(self) -> None:
        """
        Requests of the last second, the most in any, and nothing once there are none.
        """
        server = self.server
        for second, requests, rate, most in ((1, 10, 10, 10), (2, 40, 30, 30), (3, 41, 1, 30), (4, 41, 0, 30)):
            changed = [] if server.requests == requests else [server]
            server.requests = requests
            self.sampling.look(100.0 + second, changed)
            self.assertEqual((server.rate, server.rate_peak), (rate, most), second)

    def test_after_a_rest(self) -> None:
        """
        What comes after a long time without requests is rated by itself, not with all before.
        """
        server = self.server
        server.requests = 1000
        self.sampling.look(101.0, [server])
        for second in range(2, 60):
            self.sampling.look(100.0 + second, [])
        server.requests += 5
        self.sampling.look(160.0, [server])
        self.assertEqual((server.rate, server.rate_peak), (5, 1000))

    def test_requests_of_the_frontend(self) -> None:
        """
        Of the frontend requests are rated beside connections: few connections may carry many requests.
        """
        front = self.frontend
        front.connections = 2
        for second, requests, rates in ((1, 50, (2, 50)), (2, 80, (0, 30)), (3, 81, (0, 1)), (4, 81, (0, 0))):
            changed = [] if front.requests == requests else [front]
            front.requests = requests
            self.sampling.look(100.0 + second, changed)
            self.assertEqual((front.rate, front.request_rate), rates, second)
        self.assertEqual((front.rate_peak, front.request_rate_peak), (2, 50))

    def test_peaks(self) -> None:
        """
        The most under way and the most waiting are kept; of the frontend connections are rated.
        """
        self.server.in_flight, self.server.waiting = 7, 3
        self.sampling.look(100.1, [self.server])
        self.server.in_flight, self.server.waiting = 1, 0
        self.frontend.connections, self.frontend.requests = 4, 99
        self.sampling.look(101.0, [self.server, self.frontend])
        self.assertEqual((self.server.peak, self.server.waiting_peak, self.frontend.rate), (7, 3, 4))
