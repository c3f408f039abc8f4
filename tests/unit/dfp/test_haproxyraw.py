"""
Raw text in the shown configuration.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.haproxyraw import front_lines, led_to, raw_lines


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


class FrontTests(SynchronousTestCase):
    """
    Lines by which templates choose routes.
    """

    def test_names_of_their_own(self) -> None:
        """
        Tests are called after their service, so that those of two services do not become alternatives; what stands
        within braces and quotes stays as it is.
        """
        lines = (
            "acl a path_beg /x",
            'acl a hdr(x) "a b"',
            "use_backend one if a !a { hdr(y) a } or !!a METH_GET !{ path a } a",
            "use_backend two unless { path a }",
            "use_backend three",
        )
        self.assertEqual(
            list(front_lines(lines, "t_s", {"one": "one:2", "two": "two"})),
            [
                "acl t_s:a path_beg /x",
                "acl t_s:a hdr(x) a\\ b",
                "use_backend one:2 if t_s:a !t_s:a { hdr(y) a } or !!t_s:a METH_GET !{ path a } t_s:a",
                "use_backend two unless { path a }",
                "use_backend three",
            ],
        )


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
