"""
Secrets and other files that stand for variables: read at start, and again when `reload` is called.

Source: contract 7 (DFP: `/run/secrets/dfp_<lower-case name>`); the official images' `..._FILE` variables.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from dfproxy.errors import InvalidSettings, Problem

LIMIT_BYTES = 1 << 20
"""
Largest secret that is read: Docker itself allows 500 KB.
"""

PREFIX = "dfp_"
"""
How the names of secrets that are ours begin.
"""


def read_secrets(folder: str, files: Iterable[str] = ()) -> dict[str, str]:
    """
    Contents of secrets by file name, and of further files by path. Blocks.

    Args:
        folder: of secrets; there may be none.
        files: paths that variables name; one that is no file is left out.

    Raises:
        InvalidSettings: one cannot be read, is too long, or is no text.
    """
    try:
        secrets = sorted(path for path in Path(folder).iterdir() if path.name.startswith(PREFIX) and path.is_file())
    except FileNotFoundError:
        secrets = []
    except OSError as error:
        raise InvalidSettings((Problem("--secrets-dir", folder, str(error.strerror)),)) from error
    found = {path.name: _content(path) for path in secrets}
    for name in files:
        if os.path.isfile(name):
            found[name] = _content(Path(name))
    return found


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LIMIT_BYTES + 1)
        if len(content) > LIMIT_BYTES:
            raise InvalidSettings((Problem("secret", str(path), f"is longer than {LIMIT_BYTES} bytes"),))
        return content.decode()
    except OSError as error:
        raise InvalidSettings((Problem("secret", str(path), str(error.strerror)),)) from error
    except UnicodeDecodeError as error:
        raise InvalidSettings((Problem("secret", str(path), "is no UTF-8 text"),)) from error
