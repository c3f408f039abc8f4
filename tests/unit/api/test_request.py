"""
The typed face of twisted.web.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import IResource
from twisted.web.server import Request
from zope.interface.verify import verifyObject

from dfproxy.api import request
from dfproxy.api.request import Verb


class RequestTests(SynchronousTestCase):
    def test_twisted_has_it_all(self) -> None:
        """
        All that the API may call on a request exists on Twisted's.
        """
        for name, member in vars(request.Request).items():
            if callable(member) and not name.startswith("_"):
                self.assertTrue(callable(getattr(Request, name, None)), name)

    def test_verb(self) -> None:
        """
        A verb is a resource that has no children.
        """
        verb = Verb()
        verifyObject(IResource, verb)
        self.assertTrue(verb.isLeaf)
