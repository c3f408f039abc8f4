"""
Tests of `dfproxy.dfp.hints`: what is told of calls that are accepted.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.hints import SLIPS, impossible_paths, slips
from dfproxy.dfp.parameters import TABLE
from dfproxy.model.match import Match, PathPattern
from dfproxy.model.service import Destination


class SlipTests(SynchronousTestCase):
    """
    Names that are nearly a parameter's.
    """

    def test_slips(self) -> None:
        """
        A wrong letter, one too many, one too few, two changed round: the parameter that is meant is named.
        """
        for slip, meant in (
            ("balanc", "balance"),
            ("httpOnly", "httpsOnly"),
            ("servicePaht.2", "servicePath.2"),
            ("serviceDomains", "serviceDomain"),
            ("TIMEOUTSREVER", "timeoutServer"),
            ("user", "users"),
        ):
            self.assertEqual(slips([slip]), [f"{slip} is no parameter and is ignored; is {meant} meant?"])

    def test_known(self) -> None:
        """
        Nothing is told of parameters, in any case and with an index, nor of labels that other programs look at.
        """
        self.assertEqual(slips(row.name for row in TABLE), [])
        self.assertEqual(slips(["SERVICEPATH", "servicePath.10", "Port.1"]), [])
        foreign = (
            *(
                "alertName",
                "alertIf",
                "alertFor.1",
                "scrapePort",
                "scrapeNetwork",
                "letsencrypt.host",
                "nodeInfo",
                "notify",
            ),
            *("shortName", "serviceColor", "skipCheck", "mode", "Mixed.Case", "distribute", "dryRun", "usersécret", ""),
            *("consulTemplateFePath", "lookupRetry", "com.example.port", "port.http"),
        )
        self.assertEqual(slips(foreign), [])

    def test_index_beyond(self) -> None:
        """
        A destination that DFP never looks at is told.
        """
        said = "servicePath.11 is ignored: the numbers of destinations are 1 to 10"
        self.assertEqual(slips(["servicePath.11", "port.0", "port.01"])[0], said)
        self.assertEqual(len(slips(["servicePath.11", "port.0", "port.01", "port.1"])), 3)

    def test_bounded(self) -> None:
        """
        However many there are, the answer stays short.
        """
        self.assertEqual(len(slips(f"port.{number}" for number in range(11, 200))), SLIPS)


class PathTests(SynchronousTestCase):
    """
    Paths that no request has.
    """

    def told(self, *patterns: PathPattern) -> list[str]:
        return impossible_paths([Destination(1, 80, Match(paths=patterns), "host", "be")])

    def test_without_a_slash(self) -> None:
        """
        A path that is compared from its beginning begins with a slash; an end, a part or a whole target need not.
        """
        self.assertEqual(
            self.told(PathPattern("prefix", b"demo"), PathPattern("exact", b"a"), PathPattern("prefix", b"/x")),
            [f"no request has a path that begins with {path!r}: is /{path} meant?" for path in ("a", "demo")],
        )
        self.assertEqual(
            self.told(
                PathPattern("suffix", b".png"),
                PathPattern("substring", b"demo"),
                PathPattern("regex", b"^/demo"),
                PathPattern("prefix", b"http://", whole_target=True),
            ),
            [],
        )
