"""
The built-in route orders.
"""

from __future__ import annotations

from twisted.plugin import IPlugin
from zope.interface import alsoProvides

from dfproxy.routing.precedence import DfpOrder, SpecificOrder

dfp = DfpOrder()
specific = SpecificOrder()
alsoProvides(dfp, IPlugin)  # routing does not know that it is found as a plugin
alsoProvides(specific, IPlugin)
