"""
Runs and records tests as `tests.record` does, but hypothesis stops at the first example that fails.

Looking for the smallest one takes up to a minute, and nobody reads it here.
"""

from __future__ import annotations

import sys

from hypothesis import Phase, settings

from tests import record

if __name__ == "__main__":
    settings.register_profile("hurried", phases=(Phase.explicit, Phase.generate), database=None)
    settings.load_profile("hurried")
    sys.exit(record.main(*sys.argv[1:]))
