"""
Entries of `get-services` as parameters.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.listed import pairs_of


class PairsTests(SynchronousTestCase):
    def test_values(self) -> None:
        """
        Text stays, true and false are spelled as DFP reads them, numbers are written, and what is no value is left out.
        """
        entry = {"serviceName": "a", "httpsOnly": True, "denyHttp": False, "port": 80, "users": None, "x": ["y"]}
        wanted = [("serviceName", "a"), ("httpsOnly", "true"), ("denyHttp", "false"), ("port", "80")]
        self.assertEqual(list(pairs_of(entry)), wanted)
