"""
Trial in which hypothesis stops at the first example that fails: `python -m tests.mutants.hurried NAME...`.

Looking for the smallest one takes up to a minute, and nobody reads it here.
"""

from __future__ import annotations

from hypothesis import Phase, settings
from twisted.scripts.trial import run

if __name__ == "__main__":
    settings.register_profile("hurried", phases=(Phase.explicit, Phase.generate), database=None)
    settings.load_profile("hurried")
    run()  # type: ignore[no-untyped-call]  # Twisted's
