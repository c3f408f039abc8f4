"""
Memory that nothing uses any more is given back to the machine.

What is loaded at once, modules at the start or thousands of services, leaves holes behind that the C library keeps.

Source: malloc_trim(3); other C libraries have no such call, and need none.
"""

from __future__ import annotations

import ctypes


def give_back() -> bool:
    """
    Give it back; takes a millisecond or two.

    Returns:
        Whether there was any.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim is not None and bool(trim(0))
