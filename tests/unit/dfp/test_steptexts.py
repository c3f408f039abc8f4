"""
Steps are told in the operator's words, without secrets.
"""

from __future__ import annotations

from dataclasses import fields

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.parameters import BY_NAME
from dfproxy.dfp.steptexts import SHOWN_CHARS, step_texts
from dfproxy.model.steps import Access, HeaderRule, Rewrite, Steps, User


class StepTextTests(SynchronousTestCase):
    """
    A line for each step.
    """

    def test_in_their_order(self) -> None:
        """
        Each by its parameter, in the order in which they run.
        """
        steps = Steps(
            https_code=301,
            request_headers=(HeaderRule("add", "X-A b"), HeaderRule("del", "X-C")),
            rewrites=(Rewrite("^/a", "/b", ignore_case=True, every=True),),
            allowed_methods=("GET", "HEAD"),
            denies_plain=True,
            access=Access("aRealm", (User("me", "secret"),)),
            response_headers=(HeaderRule("set", "X-D e"),),
            closes_server=True,
            sticky="a",
        )
        self.assertEqual(
            [
                ("httpsOnly", "301 to https for what came without TLS"),
                ("addReqHeader", "X-A b"),
                ("delReqHeader", "X-C"),
                ("reqPathSearchReplace", "every '^/a' in the path becomes '/b', whatever the case"),
                ("allowedMethods", "403 for every method but GET, HEAD"),
                ("denyHttp", "403 without TLS"),
                ("users", "401 for realm aRealm unless the password of one of 1 users is given"),
                ("setResHeader", "X-D e"),
                ("connectionMode", "the server's connection is closed after each answer"),
                ("sessionType", "the cookie a keeps the client at its server: it holds the server's place"),
            ],
            step_texts(steps),
        )
        self.assertNotIn("secret", repr(step_texts(steps)))
        self.assertEqual([], step_texts(None))
        self.assertEqual([], step_texts(Steps()))

    def test_raw_text(self) -> None:
        """
        Each line of raw text is told as it was given, but for passwords.
        """
        raw = ("acl a path /x", 'http-request set-header Authorization "Basic s3cret" if a')
        self.assertEqual(
            [("backendExtra", "acl a path /x"), ("backendExtra", "http-request set-header Authorization hidden if a")],
            step_texts(Steps(raw=raw)),
        )

    def test_every_step_has_words(self) -> None:
        """
        No step is silent, and each that has a parameter is told by it.
        """
        samples = {
            "allowed_networks": ("10.0.0.0/8",),
            "denied_networks": ("10.0.0.0/8",),
            "wants_certificate": True,
            "denied_methods": ("PUT",),
            "closes_server": True,
        }
        for field in fields(Steps):
            if field.name in samples:
                [(name, text)] = step_texts(Steps(**{field.name: samples[field.name]}))  # type: ignore[arg-type]  # drawn
                self.assertIn(name, BY_NAME, field.name)
                self.assertTrue(text)

    def test_long_values(self) -> None:
        """
        A value of any length gives a short line.
        """
        [(_, text)] = step_texts(Steps(allowed_methods=("X" * 50,) * 500))
        self.assertLessEqual(len(text), SHOWN_CHARS + 3)
