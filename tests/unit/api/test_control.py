"""
What the API needs, and the stand-ins for it.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from dfproxy.interfaces import IDataPlane, INames, IPublisher
from tests.fakes import FakeDataPlane, FakeNames, FakePublisher
from tests.unit.api.caller import Api


class ControlTests(SynchronousTestCase):
    def test_fakes(self) -> None:
        """
        The stand-ins have what the interfaces ask.
        """
        verifyObject(IPublisher, FakePublisher())
        verifyObject(IDataPlane, FakeDataPlane())
        verifyObject(INames, FakeNames())

    def test_defaults(self) -> None:
        """
        Who hands in nothing about health is ready, has nothing in quarantine, and has not heard a listener.
        """
        control = Api().control
        self.assertEqual((dict(control.ready()), dict(control.quarantined())), ({}, {}))
        self.assertFalse(control.listener_fetched())
