"""
The command `dfproxy` with a running proxy, as somebody at a terminal uses it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

from tests.e2e.proxy import ProxyCase
from tests.e2e.test_explain import tells
from tests.requirements import ROOT


class ConsoleTests(ProxyCase):
    """
    One command after the other.
    """

    def dfproxy(self, *words: str, wanted: int = 0) -> str:
        """
        What a command prints.

        Args:
            wanted: its exit status.
        """
        api = [] if words[0] == "import" else ["--api", f"{self.proxy.ip}:{self.proxy.api}"]
        done = subprocess.run(
            [sys.executable, "-m", "dfproxy.console.main", *words, *api],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual(wanted, done.returncode, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def test_walk(self) -> None:
        """
        Publish, look, explain, import, remove.
        """
        server = self.backend(tells)
        where = f"endpoints={server.host}:{server.port}"
        tried = self.dfproxy("publish", "digital", "servicePath=/digital", "port=80", where, "--dry-run")
        self.assertIn("digital would be accepted; nothing has changed", tried)
        self.assertEqual({}, json.loads(self.dfproxy("config", "--json")))
        self.assertIn(
            "digital is in force", self.dfproxy("publish", "digital", "servicePath=/digital", "port=80", where)
        )
        self.addCleanup(self.proxy.remove, "digital")
        said = self.dfproxy("publish", "digitalproduct", "servicePath=/digitalproduct", "port=80", where)
        self.addCleanup(self.proxy.remove, "digitalproduct")
        self.assertIn("warning: digitalproduct-be80_0 never gets a request: digital-be80_0 (/digital)", said)
        self.assertIn("use_backend digital-be80_0", self.dfproxy("config"))
        self.assertEqual(["digital"], list(json.loads(self.dfproxy("config", "digital", "--json"))))
        explained = self.dfproxy("explain", "http://acme.com/digitalproduct/1", "-H", "X-A: b")
        self.assertIn(f"sent to digital ({server.host}:{server.port}) of digital-be80_0", explained)
        report = self.dfproxy("import", "dfp", f"http://{self.proxy.ip}:{self.proxy.api}")
        self.assertIn("2 services read from", report)
        self.assertIn("digitalproduct-be80_0 never gets a request", report)
        self.assertIn("port: must be a port", self.dfproxy("publish", "x", "servicePath=/x", "port=y", wanted=1))
        self.assertIn("digital is gone", self.dfproxy("remove", "digital", "digitalproduct"))

    def test_import_refuses_what_the_proxy_refuses(self) -> None:
        """
        A service that the report accepts is accepted by a running proxy, and one that it refuses is refused.
        """
        services = [
            {"serviceName": "good", "servicePath": "/good", "port": "80"},
            {"serviceName": "bad", "servicePath": "/bad", "port": "80", "pathType": "path_xyz"},
            {"serviceName": "raw", "servicePath": "/raw", "port": "80", "backendExtra": "frobnicate"},
            {"serviceName": "odd", "servicePath": "(", "port": "80", "pathType": "path_reg"},
        ]
        path = os.path.abspath(self.mktemp())
        with open(path, "w") as file:
            json.dump(services, file)
        told = json.loads(self.dfproxy("import", "dfsl", path, "--json", wanted=1))
        for service, one in zip(services, told["Services"]):
            status, _ = self.proxy.call("reconfigure", **service)
            self.assertEqual({200: "accepted", 400: "refused"}[status], one["Verdict"], service)
        self.proxy.remove("good")
