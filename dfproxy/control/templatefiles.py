"""
Reads the files that services name as their templates.

Whoever may publish may name any file of this machine, so nothing is read that can only be something else: no devices
and pipes, nothing of the kernel's, no secrets and keys. Read where the call is answered: templates are small files
beside the proxy, read once for a change.

Source: DFP `templateFePath`, `templateBePath`; its image has `/templates` and `/cfg/tmpl` for them.
"""

from __future__ import annotations

import os
import stat

from dfproxy.dfp.gotemplate import InvalidTemplate
from dfproxy.model.settings import Settings

LARGEST_BYTES = 65_536
"""
Largest template. Those of DFP's users have up to a few KiB.
"""

_KERNEL = ("/proc", "/sys", "/dev")


def template_text(path: str, settings: Settings) -> str:
    """
    The text of a file.

    Args:
        path: whole.
        settings: for the folders of secrets and keys, of which nothing is read.

    Raises:
        InvalidTemplate: it cannot be read, or is no text; the message names the file.
    """
    try:
        # Links lead to where a file really is: Swarm's configs are such.
        real = os.path.realpath(path)
        for folder in (*_KERNEL, settings.secrets_dir, settings.certs_dir):
            if folder and os.path.commonpath((real, os.path.realpath(folder))) == os.path.realpath(folder):
                raise InvalidTemplate(f"{path} lies in {folder}, of which no templates are read")
        # Opening a pipe would wait for whoever writes to it.
        file = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise InvalidTemplate(f"{path} is no file")
            content = b""
            while len(content) <= LARGEST_BYTES and (piece := os.read(file, LARGEST_BYTES + 1 - len(content))):
                content += piece
        finally:
            os.close(file)
        if len(content) > LARGEST_BYTES:
            raise InvalidTemplate(f"{path} is larger than {LARGEST_BYTES} bytes")
        return content.decode()
    except OSError as error:
        raise InvalidTemplate(f"{path} cannot be read: {error.strerror or 'not a path'}") from error
    except UnicodeDecodeError as error:
        raise InvalidTemplate(f"{path} is not UTF-8") from error
