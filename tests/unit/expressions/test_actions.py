"""
What one line does, as it is read.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.expressions.actions import ANSWER, REQUEST, rule
from dfproxy.expressions.directives import DirectiveReader, Directives, read_all
from dfproxy.expressions.words import InvalidExpression
from tests.unit.expressions.subjects import SURROUNDINGS, subject


def read(*lines: str) -> Directives:
    return read_all(lines, SURROUNDINGS)


class ActionTests(SynchronousTestCase):
    """
    Lines without and with what they need.
    """

    def refused(self, line: str) -> str:
        """
        Why this line is refused; nothing of it is left behind.
        """
        reader = DirectiveReader(SURROUNDINGS)
        error = self.assertRaises(InvalidExpression, reader.read, line)
        self.assertEqual(reader.done(), Directives(), line)
        return str(error)

    def test_every_action_needs_something(self) -> None:
        """
        None takes words that it does not know for nothing.
        """
        for known, phase in ((REQUEST, "request"), (ANSWER, "answer")):
            for name, reading in known.items():
                if reading is not None:
                    words = [name, "x", "y", "z", "more", "words"]
                    self.assertRaises(InvalidExpression, rule, words, known, phase, SURROUNDINGS)

    def test_refused(self) -> None:
        """
        What is not understood, or would break a message, is refused.
        """
        for line in (
            "http-request",
            "http-request tarpit",
            "http-request auth realm x",
            "http-request set-header",
            "http-request set-header X",
            "http-request set-header X if TRUE",
            'http-request set-header X ""',
            "http-request set-header X a b",
            "http-request set-header X: a",
            "http-request set-header Content-Length 3",
            "http-request set-header X %[res.hdr(a)]",
            "http-request del-header X -m beg",
            "http-request del-header Transfer-Encoding",
            "http-request replace-header X",
            "http-request replace-header X (a",
            "http-request replace-header X a",
            "http-request replace-header X (a) \\2",
            "http-request replace-header X (a+)+b x",
            "http-request replace-path",
            "http-request set-path",
            "http-request redirect",
            "http-request redirect code 301",
            "http-request redirect location",
            "http-request redirect location /x prefix /y",
            "http-request redirect location /x code 200",
            "http-request redirect scheme ftp",
            "http-request redirect location /x set-cookie a;b",
            "http-request redirect location /x keep",
            "http-request deny deny_status 418",
            "http-request deny errorfile /x",
            "http-request return status 204",
            "http-request return status 99",
            "http-request return string x",
            "http-request return file /etc/passwd content-type text/plain",
            "http-request return status 200 hdr Content-Length 3",
            "http-request set-var path",
            "http-request set-var(proc.x) path",
            "http-request set-var(sess.x) path",
            "http-request set-var(txn.x)",
            "http-request set-var(txn.x) nofetch",
            "http-request set-var(txn.x path",
            "http-response set-status 304",
            "http-response set-status x",
            "http-response deny",
            "http-response set-header X %[path]",
            "redirect",
            "use_backend",
            "use_backend %[path] if TRUE",
            "monitor-uri",
            "monitor-uri alive",
            "monitor-uri /a /b",
            "http-request deny if a",
            "http-request deny when TRUE",
        ):
            self.assertNotEqual(self.refused(line), "", line)

    def test_monitor(self) -> None:
        """
        The whole target is compared, and nothing comes before it.
        """
        found = read("http-request deny", "monitor-uri /alive").request
        self.assertEqual([action.kind for action in found], ["return", "deny"])
        assert found[0].holds is not None
        self.assertTrue(found[0].holds(subject(line="GET /alive HTTP/1.1")))
        self.assertFalse(found[0].holds(subject(line="GET /alive?x HTTP/1.1")))
