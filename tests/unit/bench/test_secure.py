"""
TLS and HTTP/2: who takes part in what, and what is to be reached.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bench import secure
from bench.certificates import KEYS, make_bundle
from bench.load import Run
from bench.machine import Bench
from bench.proxies import Proxy
from bench.report import Report
from bench.servers import Backends
from tests.requirements import require

RATES = {"HAProxy": 1000, "nginx": 500, "Envoy": 400, "Caddy": 100, "dfproxy": 500}


class Nothing:
    """
    Stands for the processes and the API of a proxy.
    """

    def end(self) -> None:
        """
        Nothing to end.
        """

    async def publish(self, service: object, backend: int) -> float:
        return 0.0


class SecureTests(SynchronousTestCase):
    """
    What becomes of the runs.
    """

    def setUp(self) -> None:
        nothing: Any = Nothing()
        self.bundles: list[tuple[str, str]] = []
        self.checked: set[str] = set()

        def start(name: str) -> Any:
            def started(bench: Bench, backend: object, bundle: Path | None = None) -> Proxy:
                assert bundle is not None
                self.bundles.append((name, bundle.name))
                return Proxy(name, 1, nothing, nothing, "https")

            return started

        def run(proxy: Proxy, *_: object) -> Run:
            return Run(RATES[proxy.name], 1.0, 1)

        for name in RATES:
            self.patch(secure, f"start_{name.lower()}", start(name))
        self.patch(secure, "make_bundle", lambda bench, key: Path(f"{key}.pem"))
        self.patch(secure, "check_answer", lambda proxy, target: self.checked.add(proxy.name))
        for name in ("run_wrk", "run_handshakes", "run_h2load"):
            self.patch(secure, name, run)
        for name in ("wrk_command", "handshake_command", "h2load_command"):
            self.patch(secure, name, lambda *_: ["command"])
        self.report = Report()
        self.bench = Bench(Path(self.mktemp()), True)

    def goals(self) -> dict[str, tuple[float, float] | None]:
        return {r.what: (r.goal.goal, r.goal.floor) if r.goal else None for r in self.report.results}

    def test_tls(self) -> None:
        """
        Kept connections with the usual key, handshakes with both; the floors are those against HAProxy.
        """
        secure.measure(self.bench, self.report, Backends(3, 4))
        self.assertEqual(
            self.goals(),
            {
                "small GET over TLS, 32 kept connections, vs HAProxy": (0.7, 0.45),
                "small GET over TLS, 32 kept connections, vs nginx": None,
                "full handshakes, P-256, vs HAProxy": (0.4, 0.25),
                "full handshakes, P-256, vs nginx": None,
                "full handshakes, RSA 2048, vs HAProxy": (0.8, 0.6),
                "full handshakes, RSA 2048, vs nginx": None,
            },
        )
        self.assertEqual([r.judged() for r in self.report.results if r.goal], ["floor", "goal", "BELOW THE FLOOR"])
        self.assertEqual(self.checked, {"HAProxy", "nginx", "dfproxy"})
        self.assertEqual(
            {f"{name} {bundle}" for name, bundle in self.bundles},
            {f"{name} {key}.pem" for name in ("HAProxy", "nginx", "dfproxy") for key in KEYS},
        )

    def test_http2(self) -> None:
        """
        HTTP/2 also against Envoy and Caddy.
        """
        secure.measure_http2(self.bench, self.report, Backends(3, 4))
        what = "small GET, 8 connections x 8 streams"
        self.assertEqual(
            self.goals(),
            {
                f"{what}, vs HAProxy": (0.4, 0.2),
                f"{what}, vs nginx": None,
                f"{what}, vs Envoy": (2, 1),
                f"{what}, vs Caddy": (3, 1.5),
            },
        )
        self.assertEqual(self.checked, set(RATES))


class BundleTests(SynchronousTestCase):
    """
    Certificates, by the real openssl.
    """

    def test_keys(self) -> None:
        """
        The key is of the kind asked for, in one file with the certificate, and nobody else may read it.
        """
        require("openssl")
        folder = Path(self.mktemp())
        folder.mkdir()
        for key, shown in (("P-256", "NIST CURVE: P-256"), ("RSA 2048", "Public-Key: (2048 bit)")):
            file = make_bundle(Bench(folder, True), key)
            text = file.read_text()
            self.assertIn("PRIVATE KEY", text)
            self.assertEqual(file.stat().st_mode & 0o077, 0)
            command = ["openssl", "x509", "-in", str(file), "-noout", "-text"]
            said = subprocess.run(command, capture_output=True, text=True).stdout
            self.assertIn(shown, said)
            self.assertIn("DNS:bench.test, IP Address:127.0.0.1", said)
