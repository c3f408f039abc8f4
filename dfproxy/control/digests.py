"""
Definitions as numbers: what the hash of a revision is the sum of.

Passwords do not count: a hash that everybody may read must not help to guess them, and what is kept has others than
what was given.
"""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from dfproxy.dfp.kept import masked
from dfproxy.model.certificate import Certificate
from dfproxy.model.service import Service

DIGEST_BITS = 128
"""
Size of the digest of a revision.
"""


def digest(definition: Service | Certificate) -> int:
    """
    A service or certificate as a number of `DIGEST_BITS`: equal ones have equal numbers.
    """
    said: object
    if isinstance(definition, Certificate):
        said = (definition.identity, definition.digest)
        if definition.listed is not None:
            said = (*said, definition.listed)
    else:
        said = masked(definition)
    return int.from_bytes(blake2b(msgspec.msgpack.encode(said), digest_size=DIGEST_BITS // 8).digest(), "big")


def digits(total: int) -> str:
    """
    A sum of such numbers as 32 hexadecimal digits.
    """
    return f"{total % (1 << DIGEST_BITS):032x}"
