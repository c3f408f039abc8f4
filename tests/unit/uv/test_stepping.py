"""
Tests of running uvloop's coroutines without a Task.
"""

from __future__ import annotations

import asyncio
from typing import Any

from dfproxy.uv.stepping import Steps, at_once
from tests.unit.uv.running import UvTestCase


class SteppingTests(UvTestCase):
    """
    A coroutine is stepped by hand.
    """

    def setUp(self) -> None:
        super().setUp()
        self.told: list[Any] = []
        self.future = self.reactor.loop.create_future()

    async def waiting(self) -> str:
        """
        Wait for the future.
        """
        try:
            await self.future
        finally:
            self.told.append("left")
        return "value"

    def start(self) -> Steps:
        return Steps(self.waiting(), self.told.append, self.told.append)

    def test_at_once(self) -> None:
        """
        A coroutine that waits for nothing gives its value; one that waits is an error, and is closed.
        """

        async def value() -> int:
            return 7

        self.assertEqual(at_once(value()), 7)
        self.assertRaises(RuntimeError, at_once, self.waiting())
        self.assertEqual(self.told, ["left"])

    def test_success(self) -> None:
        """
        The value is told when the coroutine is through, not before.
        """
        self.start()
        self.turns()
        self.assertEqual(self.told, [])
        self.future.set_result(None)
        self.turns(2)
        self.assertEqual(self.told, ["left", "value"])

    def test_failure(self) -> None:
        """
        What the coroutine raises is told, also when it raises before it waits.
        """
        self.start()
        problem = OSError(111, "refused")
        self.future.set_exception(problem)
        self.turns(2)
        self.assertEqual(self.told, ["left", problem])

        async def failing() -> None:
            raise problem

        at_start: list[Exception] = []
        Steps(failing(), at_start.append)
        self.assertEqual(at_start, [problem])

    def test_cancel(self) -> None:
        """
        A cancelled coroutine is closed, its future cancelled, and nothing is told, even if the future was just done.
        """
        steps = self.start()
        steps.cancel()
        steps.cancel()
        self.assertTrue(self.future.cancelled())
        self.turns(2)
        self.assertEqual(self.told, ["left"])

        self.future = self.reactor.loop.create_future()
        steps = self.start()
        self.future.set_exception(OSError("seen by nobody"))
        steps.cancel()
        del self.future
        self.turns(2)
        self.assertEqual(self.told, ["left", "left"])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_no_task(self) -> None:
        """
        It costs no Task.
        """
        self.start()
        self.turns()
        self.assertEqual(asyncio.all_tasks(self.reactor.loop), set())
        self.future.set_result(None)
        self.turns(2)
