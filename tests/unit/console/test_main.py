"""
The commands as people type them, against an API that answers from a table.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.console.main import DONE, FAILED, REFUSED, build_parser, main
from tests.e2e.backends import Backend
from tests.e2e.wire import Wire


class CommandCase(SynchronousTestCase):
    """
    Commands with what they print.
    """

    def setUp(self) -> None:
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.asked: list[tuple[str, list[tuple[str, str]]]] = []

        def script(wire: Wire, backend: Backend) -> None:
            parts = urlsplit(wire.request().target)
            verb = parts.path.rpartition("/")[2]
            self.asked.append((verb, parse_qsl(parts.query)))
            status, body = self.answers.get(verb, (404, b"404 page not found\n"))
            wire.send(b"HTTP/1.1 %d Said\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))

        self.backend = Backend(script)
        self.addCleanup(self.backend.close)

    def says(self, verb: str, answer: Any, status: int = 200) -> None:
        """
        What the API answers.
        """
        self.answers[verb] = (status, answer if isinstance(answer, bytes) else json.dumps(answer).encode())

    def run_command(self, *words: str, api: bool = True) -> tuple[int, str, str]:
        """
        Exit status, output, errors.
        """
        out, errors = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", errors)
        arguments = [*words, "--api", f"127.0.0.1:{self.backend.port}"] if api else list(words)
        try:
            status = main(arguments)
        except SystemExit as error:
            status = int(error.code or 0)
        return status, out.getvalue(), errors.getvalue()


class PublishTests(CommandCase):
    """
    `publish` and `remove`.
    """

    def test_publish(self) -> None:
        """
        Parameters go as they are; revision and warnings are told.
        """
        self.says("reconfigure", {"Status": "OK", "Message": "", "Revision": {"Number": 7}, "Warnings": ["beware"]})
        said = self.run_command("publish", "go-demo", "servicePath=/a=b", "port.1=80")
        self.assertEqual((DONE, "go-demo is in force (revision 7)\n  warning: beware\n", ""), said)
        self.assertEqual(
            [("reconfigure", [("serviceName", "go-demo"), ("servicePath", "/a=b"), ("port.1", "80")])], self.asked
        )

    def test_refused(self) -> None:
        """
        Each problem on a line; status 1.
        """
        problem = {"Parameter": "port", "Value": "x", "Reason": "must be a port"}
        self.says("reconfigure", {"Status": "NOK", "Message": "port: no", "Problems": [problem]}, 400)
        status, out, _ = self.run_command("publish", "a", "port=x")
        self.assertEqual(REFUSED, status)
        self.assertEqual("refused (400): port: no\n  port: must be a port (given: x)\n", out)

    def test_dry_run(self) -> None:
        """
        Asks for it, and says that nothing has changed.
        """
        self.says("reconfigure", {"Status": "OK", "Message": "", "Difference": {"Added": ["r"]}})
        status, out, _ = self.run_command("publish", "a", "servicePath=/a", "port=80", "--dry-run")
        self.assertEqual(DONE, status)
        self.assertIn("a would be accepted; nothing has changed", out)
        self.assertIn('"Added"', out)
        self.assertIn(("dryRun", "true"), self.asked[0][1])

    def test_slips(self) -> None:
        """
        A name that is no parameter is told before anything is asked, with the one that is probably meant.
        """
        status, _, errors = self.run_command("publish", "a", "servicePaht=/a")
        self.assertEqual((FAILED, []), (status, self.asked))
        self.assertIn("is servicePath meant?", errors)
        self.assertEqual(FAILED, self.run_command("publish", "a", "servicePath")[0])
        self.says("reconfigure", {"Status": "OK"})
        self.assertEqual(DONE, self.run_command("publish", "a", "letsencrypt.host=x", "--unknown")[0])

    def test_remove(self) -> None:
        """
        Several, one after the other.
        """
        self.says("remove", {"Status": "OK", "Message": "", "Revision": {"Number": 3}})
        status, out, _ = self.run_command("remove", "a", "b")
        self.assertEqual((DONE, "a is gone (revision 3)\nb is gone (revision 3)\n"), (status, out))
        self.assertEqual([("remove", [("serviceName", name)]) for name in "ab"], self.asked)


class ShowTests(CommandCase):
    """
    `config` and `explain`.
    """

    def test_config(self) -> None:
        """
        As text, or as JSON, of all or of some.
        """
        self.says("config", b"frontend services\n")
        self.assertEqual((DONE, "frontend services\n", ""), self.run_command("config"))
        self.says("config", {"a": {"AclName": "a"}, "b": {}})
        status, out, errors = self.run_command("config", "a", "c", "--json")
        self.assertEqual((REFUSED, {"a": {"AclName": "a"}}), (status, json.loads(out)))
        self.assertIn("c is not published", errors)
        self.assertEqual(FAILED, self.run_command("config", "a")[0])

    def test_explain(self) -> None:
        """
        Asks for text, with all that makes the request.
        """
        self.says("explain", b"sent to a\n")
        said = self.run_command("explain", "http://a.com/x", "-X", "POST", "-H", "A:b", "-H", "C:d", "--client", "::1")
        self.assertEqual((DONE, "sent to a\n", ""), said)
        self.assertEqual(
            [
                ("url", "http://a.com/x"),
                ("method", "POST"),
                ("header", "A:b"),
                ("header", "C:d"),
                ("client", "::1"),
                ("format", "text"),
            ],
            self.asked[0][1],
        )

    def test_explain_refused(self) -> None:
        """
        A question that makes no sense: status 1, and why.
        """
        self.says("explain", {"Status": "NOK", "Message": "url: is missing", "Problems": []}, 400)
        self.assertEqual((REFUSED, "refused (400): url: is missing\n", ""), self.run_command("explain", "x"))

    def test_nobody_there(self) -> None:
        """
        One line, and status 2, when there is no API or something else.
        """
        self.assertEqual(FAILED, self.run_command("explain", "x", "--timeout", "0.5")[0] or FAILED)
        status, out, errors = self.run_command("remove", "a")
        self.assertEqual((FAILED, ""), (status, out))
        self.assertIn("no control API", errors)
        self.assertEqual(1, errors.count("\n"))
        self.backend.close()
        status, _, errors = self.run_command("remove", "a")
        self.assertEqual((FAILED, 1), (status, errors.count("\n")))


class ImportTests(CommandCase):
    """
    `import`.
    """

    def test_statuses(self) -> None:
        """
        0 all is accepted, 1 something is not, 2 nothing could be read.
        """
        good = {"serviceName": "a", "servicePath": "/a", "port": "80"}
        path = Path(self.mktemp())
        for content, wanted in ([good], 0), ([{**good, "port": "x"}], 1), ("text", 2):
            path.write_text(json.dumps(content))
            self.assertEqual(wanted, self.run_command("import", "dfsl", str(path), api=False)[0])
        path.write_text(json.dumps([{**good, "sessionType": "sticky-server"}]))
        self.assertEqual(0, self.run_command("import", "dfsl", str(path), api=False)[0])
        self.assertEqual(1, self.run_command("import", "dfsl", str(path), "--strict", api=False)[0])
        status, out, _ = self.run_command("import", "dfsl", str(path), "--json", api=False)
        self.assertTrue(json.loads(out)["AllIsWell"])
        self.assertEqual(2, self.run_command("import", "dfp", str(path), "--route-order", "x", api=False)[0])

    def test_running_proxy(self) -> None:
        """
        From a URL; nothing is asked but what is in force.
        """
        self.says("config", {"a": {"IsGlobal": True, "ServiceDest": [{"Port": "80", "ServicePath": ["/a"]}]}})
        status, out, _ = self.run_command("import", "dfp", f"http://127.0.0.1:{self.backend.port}", api=False)
        self.assertEqual(0, status)
        self.assertIn("1 service read from http://127.0.0.1", out)
        self.assertEqual([("config", [("type", "json")])], self.asked)


class HelpTests(CommandCase):
    """
    Help that teaches.
    """

    def test_every_command(self) -> None:
        """
        Each has its help, and the first page has examples that are commands.
        """
        status, out, _ = self.run_command("--help", api=False)
        self.assertEqual(0, status)
        for command in ("publish", "remove", "config", "explain", "import"):
            self.assertIn(f"\n  dfproxy {command} ", out)
            status, more, _ = self.run_command(command, "--help", api=False)
            self.assertEqual(0, status)
            self.assertIn(f"usage: dfproxy {command}", more)
        examples = [line.strip().split("   ")[0] for line in out.splitlines() if line.startswith("  dfproxy ")]
        for example in examples:
            build_parser().parse_args(example.split()[1:])

    def test_nothing(self) -> None:
        """
        Without a command: how it is used, and status 2.
        """
        self.assertEqual(2, self.run_command(api=False)[0])
