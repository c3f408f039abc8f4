"""
Certificates that all proxies under measurement show alike.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from bench.machine import Bench, NotStarted, find_program

NAME = "bench.test"
"""Whom they are for."""

KEYS = {"P-256": ("ec", "ec_paramgen_curve:P-256"), "RSA 2048": ("rsa", "rsa_keygen_bits:2048")}
"""Kinds of keys, as openssl is asked for them."""


def make_bundle(bench: Bench, key: str) -> Path:
    """
    A self-signed certificate and its key in one file.

    Args:
        key: one of KEYS.

    Raises:
        NotStarted: openssl is missing, or refused.
    """
    file = bench.folder / f"{key.replace(' ', '-').lower()}.pem"
    algorithm, option = KEYS[key]
    names = f"subjectAltName=DNS:{NAME},IP:127.0.0.1"
    command = [find_program("openssl"), "req", "-x509", "-nodes", "-days", "30", "-subj", f"/CN={NAME}"]
    command += ["-addext", names, "-newkey", algorithm, "-pkeyopt", option, "-keyout", "-"]
    made = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if made.returncode != 0:
        raise NotStarted(f"no certificate: {made.stderr}")
    file.touch(0o600)
    file.write_text(made.stdout)
    return file
