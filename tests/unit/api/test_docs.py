"""
docs/api.md: every example, asked of a fresh API, is answered as it says.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.api.caller import Api, Said

PAGE = Path(__file__).resolve().parents[3] / "docs" / "api.md"
EXAMPLE = re.compile(
    r"```sh\n(?P<ask>curl [^\n]*)\n```\n\nAnswer (?P<status>\d+):\n\n```(?P<kind>\w+)\n(?P<body>.*?)```", re.S
)


def curl(line: str) -> Said:
    """
    What that curl command would get.
    """
    method, data, url = "", [], ""
    words = iter(shlex.split(line)[1:])
    for word in words:
        if word == "-X":
            method = next(words)
        elif word in ("-d", "--data-binary"):
            data.append(next(words))
        else:
            url = word
    path = url.removeprefix("localhost:8080")
    if data and not method:
        return Api().form("POST", path, "&".join(data))
    return Api().call(method or "GET", path, "".join(data).encode())


def within(wanted: Any, found: Any) -> bool:
    """
    Whether all that is wanted is there; more keys may be.
    """
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(
            name in found and within(value, found[name]) for name, value in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(found, list) and len(wanted) == len(found) and all(map(within, wanted, found))
    return bool(wanted == found)


class PageTests(SynchronousTestCase):
    def test_examples(self) -> None:
        """
        Status and shown parts of each answer are as the page says.
        """
        page = PAGE.read_text()
        examples = list(EXAMPLE.finditer(page))
        self.assertEqual(len(examples), page.count("\ncurl "))
        for example in examples:
            said = curl(example["ask"])
            self.assertEqual(said.status, int(example["status"]), example["ask"])
            if example["kind"] == "json":
                self.assertTrue(within(json.loads(example["body"]), said.json), f"{example['ask']}\n{said.json}")
            for line in example["body"].splitlines() if example["kind"] == "text" else ():
                self.assertIn(line, said.body.decode())
