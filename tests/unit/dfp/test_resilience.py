"""
Parameters of retries, places and ejection, and what they make.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.resilience import general_lines, server_words, stream_lines
from dfproxy.errors import InvalidService
from dfproxy.model.resilience import PLAIN, REASONS, Resilience
from tests.unit.dfp.test_reconfigure import GOOD, service


def policy(query: str) -> Resilience:
    """
    Of a service with these parameters.
    """
    return service(f"{GOOD}&{query}").destinations[0].resilience


class ResilienceTests(SynchronousTestCase):
    """
    From query to policy.
    """

    def test_plain(self) -> None:
        """
        Without them nothing is limited, and a request goes elsewhere when a server gave no answer.
        """
        self.assertEqual(policy("retries="), PLAIN)

    def test_given(self) -> None:
        """
        Each parameter has its place.
        """
        query = "retries=2&retryBudget=5&maxConnections=7&queueTimeout=1.5&queueLimit=0&ejectErrors=4&ejectShare=30"
        wanted = Resilience(2, PLAIN.retry_on, (), 5, 7, 1.5, 0, 4, 30, 100)
        self.assertEqual(policy(f"{query}&ejectMost=100"), wanted)

    def test_retry_on(self) -> None:
        """
        HAProxy's words, separated by commas or blanks.
        """
        self.assertEqual(policy("retryOn=none").retry_on, ())
        both = policy("retryOn=503,junk-response conn-failure,500")
        self.assertEqual((both.retry_on, both.retry_statuses), (("conn-failure", "junk-response"), (500, 503)))
        everything = policy("retryOn=all-retryable-errors")
        self.assertEqual((everything.retry_on, everything.retry_statuses), (REASONS, (500, 502, 503, 504)))

    def test_destinations(self) -> None:
        """
        One destination may have another policy than the next.
        """
        query = "serviceName=s&servicePath.1=/a&port.1=1&servicePath.2=/b&port.2=2&retries.2=9"
        self.assertEqual([each.resilience.retries for each in service(query).destinations], [None, 9])

    def test_wrong(self) -> None:
        """
        What is wrong is refused, with the parameter and what is right.
        """
        for wrong, said in (
            ("retries=21", "0 to 20"),
            ("retries=x", "whole number"),
            ("retries=-1", "whole number"),
            ("retryBudget=101", "0 to 100"),
            ("maxConnections=1e3", "whole number"),
            ("queueTimeout=0", "seconds above 0"),
            ("queueTimeout=5s", "seconds above 0"),
            ("queueLimit=9999999", "0 to 100000"),
            ("ejectErrors=1001", "0 to 1000"),
            ("ejectShare=\u0663", "0 to 100"),
            ("ejectMost=200", "0 to 100"),
            ("retryOn=everything", "conn-failure"),
            ("retryOn=404,418", "'418' is not known"),
        ):
            error = self.assertRaises(InvalidService, policy, wrong)
            self.assertIn(wrong.partition("=")[0], str(error))
            self.assertIn(said, str(error))


class TextTests(SynchronousTestCase):
    """
    The policy as HAProxy writes it.
    """

    def test_lines(self) -> None:
        """
        What HAProxy has a word for is written with it, the rest as a comment.
        """
        self.assertEqual((general_lines(PLAIN), server_words(PLAIN)), ([], ""))
        given = Resilience(2, ("conn-failure",), (503,), 20, 7, 1.5, 9, 4, 30)
        self.assertEqual(
            general_lines(given),
            [
                "retries 2",
                "timeout queue 1500",
                "# each server gets 7 requests at once, over all workers",
                "retry-on conn-failure 503",
                "# a server is left out for a while after 4 5xx in a row or 30 % bad answers",
            ],
        )
        self.assertEqual(server_words(given), " maxconn 7")
        self.assertIn("retry-on none", general_lines(Resilience(retry_on=())))
        self.assertEqual(
            stream_lines(given),
            ["retries 2", "timeout queue 1500", "# each server gets 7 requests at once, over all workers"],
        )
        self.assertEqual((stream_lines(PLAIN), stream_lines(Resilience(2, ()))), ([], ["retries 0"]))
