"""
Raw text in the shown configuration.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.haproxyraw import led_to, raw_lines


class LinesTests(SynchronousTestCase):
    """
    Lines as they are shown.
    """

    def test_as_given(self) -> None:
        """
        What works is shown as it was given.
        """
        lines = ("acl a path_beg /x", 'http-request set-header X "a b" if a', "timeout server 30s")
        self.assertEqual(tuple(raw_lines(lines, "backend")), lines)

    def test_comments(self) -> None:
        """
        What has nothing to do, or is gone from HAProxy, is a comment that HAProxy does not read.
        """
        lines = (
            "option httpchk HEAD /",
            "option forceclose",
            "errorfile 503 /errorfiles/503.http",
            "no option httplog",
        )
        self.assertEqual(list(raw_lines(lines, "backend")), [f"# {line}" for line in lines])

    def test_secrets(self) -> None:
        """
        Values of headers that carry passwords are not shown.
        """
        for line, shown in (
            (
                'http-request set-header Authorization "Basic abc" if TRUE',
                "http-request set-header Authorization hidden if TRUE",
            ),
            ("http-request add-header X-Api-Key abc", "http-request add-header X-Api-Key hidden"),
            ("http-request replace-header Cookie a=(.*) abc", "http-request replace-header Cookie a=(.*) hidden"),
            ("http-response set-header X-Token abc", "http-response set-header X-Token hidden"),
        ):
            self.assertEqual(list(raw_lines((line,), "backend")), [shown])


class BackendTests(SynchronousTestCase):
    """
    Where `use_backend` leads.
    """

    def test_missing(self) -> None:
        """
        Those that are not there, each once.
        """
        lines = ("use_backend a if TRUE", "use_backend b", "use_backend a", "acl use_backend path /")
        self.assertEqual(led_to(lines, {"b"}), ["a"])
