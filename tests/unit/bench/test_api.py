"""
Calls of the control API: what a refusal says.
"""

from __future__ import annotations

import asyncio
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bench import api
from bench.api import Api, Refused, reason_of


class RefusedTests(SynchronousTestCase):
    """
    A call that is refused.
    """

    def test_reason(self) -> None:
        """
        The message alone where there is one, else the beginning of what came.
        """
        self.assertEqual(reason_of(b'{"Status":"NOK","Message":"port: is missing"}'), "port: is missing")
        self.assertEqual(reason_of(b'{"Status":"NOK"}'), repr(b'{"Status":"NOK"}'))
        self.assertEqual(reason_of(b"[1]"), repr(b"[1]"))
        self.assertEqual(len(reason_of(b"x" * 5000)), 303)

    def test_call(self) -> None:
        """
        Status, message and call are in the error.
        """

        async def refuse(*_: Any) -> tuple[int, bytes]:
            return 409, b'{"Message":"taken"}'

        self.patch(api, "ask", refuse)
        error = self.assertRaises(Refused, lambda: asyncio.run(Api(1).call("/v1/x")))
        self.assertEqual((str(error), error.reason), ("/v1/x: 409 taken", "409 taken"))
