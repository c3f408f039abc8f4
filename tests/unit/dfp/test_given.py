"""
Which of several values counts.
"""

from __future__ import annotations

from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.given import Given, flag, integer, is_flag, items
from dfproxy.dfp.parameters import BY_NAME


def of(*pairs: str, form: tuple[str, ...] = ()) -> Given:
    """
    Values written as `name=value`.
    """
    split = [(pair.partition("=")[0], pair.partition("=")[2]) for pair in pairs]
    return Given(split, [(pair.partition("=")[0], pair.partition("=")[2]) for pair in form])


class NamesTests(SynchronousTestCase):
    def test_any_case(self) -> None:
        """
        Names count in any case, also those that DFP took only as documented (ODDITY-10).
        """
        given = of("SERVICENAME=s", "servicepath.1=/a")
        self.assertEqual(given.text("serviceName"), "s")
        self.assertEqual(given.text("servicePath", 1), "/a")
        self.assertEqual(given.spelled("servicePath", 1), "servicepath.1")

    def test_documented_spelling_first(self) -> None:
        """
        Where DFP read one spelling, another beside it changes nothing, in whatever order.
        """
        for pairs in (("port=80", "PORT=81"), ("PORT=81", "port=80")):
            self.assertEqual(of(*pairs).text("port"), "80")

    def test_repeated(self) -> None:
        """
        The last value of the service, the first value of a destination, as DFP's two readers have it.
        """
        given = of("aclName=a", "aclName=b", "port=1", "port=2", "replicas=3", "replicas=4")
        self.assertEqual(given.text("aclName"), "b")
        self.assertEqual(given.text("port"), "1")
        self.assertEqual(given.text("replicas"), "3")

    def test_form(self) -> None:
        """
        A form may hold parameters; the query goes before it.
        """
        given = of("serviceName=q", "port=1", form=("serviceName=f", "port=2", "servicePath=/f"))
        self.assertEqual(given.text("serviceName"), "q")
        self.assertEqual(given.text("port"), "1")
        self.assertEqual(given.text("servicePath"), "/f")

    def test_empty_is_absent(self) -> None:
        """
        A parameter without value is as if it were not there.
        """
        self.assertIsNone(of("port=").value("port"))
        self.assertFalse(of("port=").built)

    def test_foreign_names(self) -> None:
        """
        Labels of other programs, and characters that only look like ours, are ignored.
        """
        given = of("letsencrypt.host=a", "serviceName.1=a", "port.x=1", "port.01=1", "port.11=1", "chec\u212aTcp=true")
        self.assertEqual(given.parameters(), ())


class IndexesTests(SynchronousTestCase):
    def test_plain(self) -> None:
        """
        Without indexes there is one destination, number 0.
        """
        self.assertEqual(of("port=80").indexes, (0,))

    def test_none_at_all(self) -> None:
        """
        No path, port or domain: one empty destination.
        """
        given = of("serviceName=s", "userAgent=x")
        self.assertEqual((given.indexes, given.built), ((0,), False))

    def test_gap_hides_the_rest(self) -> None:
        """
        The first index without any of the four names ends the list, and nothing of the hidden ones is left.
        """
        given = of("port.1=1", "port.2=2", "port.4=4", "userAgent.3=x")
        self.assertEqual(given.indexes, (1, 2))
        self.assertEqual(given.parameters(), (("port.1", "1"), ("port.2", "2")))

    def test_starts_at_one(self) -> None:
        """
        Without index 1 there are no indexed destinations.
        """
        self.assertEqual(of("port.2=2", "port=1").indexes, (0,))

    def test_ten(self) -> None:
        """
        Ten destinations, and an eleventh never counts.
        """
        self.assertEqual(of(*(f"port.{i}={i}" for i in range(1, 13))).indexes, tuple(range(1, 11)))

    def test_each_of_the_four_makes_one(self) -> None:
        """
        Path, port, domain or https port with an index makes that destination.
        """
        for name in ("servicePath", "port", "serviceDomain", "httpsPort"):
            self.assertEqual(of(f"{name}.1=1").indexes, (1,), name)
        self.assertEqual(of("outboundHostname.1=h").indexes, (0,))

    def test_fall_back(self) -> None:
        """
        Values without index hold where there is none of its own; an explicit false is one.
        """
        given = of("port.1=1", "port.2=2", "httpsOnly=true", "httpsOnly.2=false", "userAgent=x")
        self.assertEqual(given.indexes, (1, 2))
        self.assertEqual((given.flag("httpsOnly", 1), given.flag("httpsOnly", 2)), (True, False))
        self.assertEqual(given.text("userAgent", 2), "x")

    def test_spelling_of_what_is_missing(self) -> None:
        """
        A refusal can name the index that lacks something.
        """
        self.assertEqual(of("port.1=1").spelled("servicePath", 1), "servicePath.1")
        self.assertEqual(of("port=1").spelled("servicePath", 0), "servicePath")


class KindsTests(SynchronousTestCase):
    def test_flags(self) -> None:
        """
        Booleans are Go's; `on` only for the service as a whole.
        """
        service, destination = BY_NAME["isDefaultBackend"], BY_NAME["denyHttp"]
        for text in ("1", "t", "T", "TRUE", "true", "True"):
            self.assertTrue(flag(service, text) and flag(destination, text), text)
        for text in ("0", "f", "false", "tRuE", "yes", "", " true"):
            self.assertFalse(flag(service, text) or flag(destination, text), text)
        self.assertEqual((flag(service, "on"), flag(destination, "on")), (True, False))

    def test_integers(self) -> None:
        """
        Integers are Go's: signs, but no blanks, underscores or foreign digits.
        """
        self.assertEqual([integer(text) for text in ("80", "+80", "-1", "080")], [80, 80, -1, 80])
        for text in ("", "x", "8 0", " 80", "8_0", "\u0668", "1" * 5000, "1.0"):
            self.assertIsNone(integer(text), text)

    def test_lists(self) -> None:
        """
        Items are neither trimmed nor dropped; that is for who reads them.
        """
        self.assertEqual(items("a, b,,c", ","), ["a", " b", "", "c"])
        self.assertEqual(items("a;b,c", ";"), ["a", "b,c"])
        self.assertEqual(items("", ","), [])


PAIRS = st.lists(
    st.tuples(
        st.builds(
            lambda name, suffix: name + suffix,
            st.sampled_from(["port", "PORT", "servicePath", "serviceName", "isDefaultBackend", "x"]),
            st.sampled_from(["", ".1", ".2", ".3", ".10", ".11", ".x"]),
        ),
        st.text(max_size=3),
    ),
    max_size=12,
)


class AnyInputTests(SynchronousTestCase):
    @settings(max_examples=60, deadline=None)
    @examples(PAIRS, PAIRS)
    def test_canonical_parameters_read_the_same(
        self, query: list[tuple[str, str]], form: list[tuple[str, str]]
    ) -> None:
        """
        What is stored of a call makes the same values again.
        """
        first = Given(query, form)
        again = Given(first.parameters(), ())
        self.assertEqual(again.parameters(), first.parameters())
        self.assertEqual((again.indexes, again.built), (first.indexes, first.built))


class FlagTests(SynchronousTestCase):
    """
    Booleans in Go's spelling.
    """

    def test_flags(self) -> None:
        """
        What is neither true nor false is told apart from false; `on` is one for the service only.
        """
        service, destination = BY_NAME["distribute"], BY_NAME["httpsOnly"]
        for text in ("1", "t", "TRUE", "false", "F", "0"):
            self.assertTrue(is_flag(service, text) and is_flag(destination, text), text)
        for text in ("yes", "tRUE", "", "2", "off"):
            self.assertFalse(is_flag(service, text) or is_flag(destination, text), text)
        self.assertEqual((is_flag(service, "on"), is_flag(destination, "on")), (True, False))
