"""
`users`, `usersSecret` and `USERS`: text -> who may come in.

Whatever is missing or wrong lets nobody in, rather than everybody.

Source: DFP `proxy/util.go` (users), `actions`; HAProxy `userlist`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from dfproxy.model.steps import User

NOBODY = User("dummyUser", "*", encrypted=True)
"""
Stands where users were asked for and none are left, as in DFP; `*` is the hash of no password (crypt(3)).
"""

CRYPT = "{crypt}"
"""
Before the hash of a single password in a list whose others are plain: how `users` is kept in the journal. LDAP's word.
"""

MOST_USERS = 1000
"""
Most users of a service.
"""

_ENTRIES = re.compile(r"[,\n]")
_HASH = re.compile(r"\$(1|5|6|2[aby])\$[!-~]{8,200}|[./0-9A-Za-z]{13}")
_ROUNDS = re.compile(r"\$[56]\$rounds=([0-9]+)\$|\$2[aby]\$([0-9]+)\$")

MOST_ROUNDS = 500_000
"""
Rounds of SHA crypt: a tenth of a second of a processor. Its default is 5,000.
"""

MOST_COST = 12
"""
Cost of bcrypt, a quarter of a second; each further one doubles it.
"""


def entries(text: str) -> list[tuple[str, str]]:
    """
    Names and passwords; an empty password: there is only a name.
    """
    found = []
    for entry in _ENTRIES.split(text):
        name, colon, password = entry.partition(":")
        name, password = name.strip(" \t\r"), password.strip(" \t\r")
        if name and (password or not colon):
            found.append((name, password))
    return found


def global_users(text: str, encrypted: bool) -> tuple[User, ...]:
    """
    The list `USERS`; empty only if nothing was given.
    """
    if not text.strip():
        return ()
    return tuple(User(name, password, encrypted) for name, password in entries(text) if password) or (NOBODY,)


def service_users(
    text: str, secret: str, encrypted: bool, lists: Mapping[str, str], everybody: tuple[User, ...]
) -> tuple[User, ...] | None:
    """
    Who may use a service.

    Args:
        text: `users`.
        secret: `usersSecret`.
        encrypted: `usersPassEncrypted`.
        lists: text of each secret `dfp_users_<name>`, by that name.
        everybody: the global list.

    Returns:
        None if the service asks for no users of its own.
    """
    if not text and not secret:
        return None
    kept = [User(name, password, encrypted) for name, password in entries(lists.get(secret, "")) if password]
    if not text:
        return tuple(kept) or (NOBODY,)
    known = {user.name.lower(): user for user in (kept if secret else everybody) if user != NOBODY}
    found: list[User] = []
    for name, password in entries(text):
        if password.startswith(CRYPT):
            found.append(User(name, password.removeprefix(CRYPT), encrypted=True))
        elif password:
            found.append(User(name, password, encrypted))
        elif (user := known.get(name.lower())) is not None:
            found.append(User(name, user.password, user.encrypted))
    return tuple(found) or (NOBODY,)


def wrong_hash(user: User) -> str:
    """
    Why a password that should be a crypt(3) hash is none that can be verified here; empty: it is one.
    """
    if not user.encrypted or user == NOBODY:
        return ""
    if not _HASH.fullmatch(user.password):
        return f"the password of {user.name[:40]} is no crypt hash; $6$, $5$, $1$, $2b$ and DES are known"
    match = _ROUNDS.match(user.password)
    if match and (int(match[1] or 0) > MOST_ROUNDS or int(match[2] or 0) > MOST_COST):
        return f"the hash of {user.name[:40]} takes too long; at most {MOST_ROUNDS} rounds, or cost {MOST_COST}"
    return ""
