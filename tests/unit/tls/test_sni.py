"""
Which certificate a client's name leads to.
"""

from __future__ import annotations

import ssl
import sys
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.model.settings import Tls
from dfproxy.tls.context import make_context
from dfproxy.tls.sni import Names, asked_name, chooser, pass_over_unreadable_names

EXACT, WILD, DEFAULT = (make_context(Tls(), ()) for _ in range(3))


def names(strict: bool = False) -> Names:
    found = Names(strict)
    found.contexts = {"www.demo.test": EXACT, "*.demo.test": WILD}
    found.default = DEFAULT
    return found


class FindTests(SynchronousTestCase):
    """
    Exact name, wildcard, default.
    """

    def test_order(self) -> None:
        """
        The exact name comes first, then the wildcard, then the default certificate; case and a last dot do not matter.
        """
        known = names()
        self.assertIs(known.find("WWW.Demo.test."), EXACT)
        self.assertIs(known.find("a.demo.test"), WILD)
        self.assertIs(known.find("other.test"), DEFAULT)
        self.assertIs(known.find(None), DEFAULT)

    def test_one_label(self) -> None:
        """
        A wildcard stands for exactly one label.
        """
        self.assertIs(names().find("a.b.demo.test"), DEFAULT)
        self.assertIs(names().find("demo.test"), DEFAULT)

    def test_strict(self) -> None:
        """
        With strict-sni, and before the first certificate, a client without a known name is refused.
        """
        self.assertIsNone(names(strict=True).find("other.test"))
        self.assertIs(names(strict=True).find("a.demo.test"), WILD)
        self.assertIsNone(Names().find("www.demo.test"))

    @given(st.none() | st.text())
    def test_anything(self, name: str | None) -> None:
        """
        Whatever name comes, the handshake goes on.
        """
        self.assertIsNotNone(names().find(name))


class ChooserTests(SynchronousTestCase):
    """
    What the handshake is told.
    """

    def test_switch(self) -> None:
        """
        A known name switches the context of this handshake.
        """
        session = SimpleNamespace(context=None)
        self.assertIsNone(chooser(names())(session, "a.demo.test", DEFAULT))
        self.assertIs(session.context, WILD)
        self.assertEqual((asked_name(session), asked_name(object())), ("a.demo.test", ""))

    def test_refusal(self) -> None:
        """
        A name that leads nowhere ends the handshake with the alert for that.
        """
        self.assertEqual(
            chooser(Names())(SimpleNamespace(), "a.demo.test", DEFAULT), ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        )


class UnreadableTests(SynchronousTestCase):
    """
    Names that are no ASCII.
    """

    def test_only_these(self) -> None:
        """
        Nothing is logged of an unreadable name; everything else that cannot be raised still is.
        """
        seen: list[object] = []
        self.patch(sys, "unraisablehook", seen.append)
        pass_over_unreadable_names()
        other = SimpleNamespace(exc_type=ValueError, object=b"x")
        sys.unraisablehook(SimpleNamespace(exc_type=UnicodeDecodeError, object=b"\xff"))  # type: ignore[arg-type]  # by shape
        sys.unraisablehook(other)  # type: ignore[arg-type]  # by shape
        self.assertEqual(seen, [other])
