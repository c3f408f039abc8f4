"""
What is counted of one server's checks.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.control.checked import Checked
from dfproxy.health.status import Status
from dfproxy.model.checks import Check
from dfproxy.upstream.probe import Goal


class CheckedTests(SynchronousTestCase):
    """
    In HAProxy's columns.
    """

    def checked(self, path: str = "/") -> Checked:
        check = Check(path)
        return Checked(("s", 0), ("h", 1), check, Goal("h", 1, check), Status())

    def test_counts(self) -> None:
        """
        Failures count while it is up, each way down once, and the time that it was down in all.
        """
        checked = self.checked()
        self.assertEqual(checked.columns(5.0)["check_status"], "INI")
        for now, reason in enumerate(("", "x", "", "x", "x", "x", "x", "x", "", "")):
            checked.result(reason, 0.0125, float(now))
        self.assertEqual((checked.failures, checked.downs, checked.down_s(20.0)), (4, 1, 4.0))
        found = checked.columns(20.0)
        wanted = {"chkfail": "4", "chkdown": "1", "downtime": "4", "lastchg": "11", "check_duration": "12"}
        self.assertEqual({name: found[name] for name in wanted}, wanted)

    def test_down_now(self) -> None:
        """
        The time that it is down just now counts as well.
        """
        checked = self.checked()
        for now in range(3):
            changed = checked.result("x", 0.0, float(now))
        self.assertTrue(changed)
        self.assertEqual(checked.down_s(10.0), 8.0)

    def test_words(self) -> None:
        """
        HAProxy's words for results.
        """
        for path, reason, word, code in (
            ("", "", "L4OK", None),
            ("", "Connection refused", "L4CON", None),
            ("", "no answer within 2 s", "L4TOUT", None),
            ("/", "", "L7OK", None),
            ("/", "Connection refused", "L4CON", None),
            ("/", "no answer within 2 s", "L7TOUT", None),
            ("/", "answered 503", "L7STS", "503"),
            ("/", "answered 200, which checkStatus does not name", "L7STS", "200"),
            ("/", "closed without an answer", "L7RSP", None),
            ("/", "its answer does not hold the text of checkBody", "L7RSP", None),
            ("/", "TLS: wrong version number", "L6RSP", None),
        ):
            checked = self.checked(path)
            checked.result(reason, 0.0, 0.0)
            found = checked.columns(1.0)
            self.assertEqual((found["check_status"], found.get("check_code")), (word, code), reason)
