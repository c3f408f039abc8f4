"""
Services as they are kept: passwords that were given in plain become hashes; and services compared without passwords.

The hashing itself is the caller's, as it takes milliseconds.

Source: `design.md` 9; DFP `users`, `usersPassEncrypted`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dfproxy.dfp.given import flag
from dfproxy.dfp.parameters import BY_NAME
from dfproxy.dfp.users import CRYPT, entries
from dfproxy.model.service import Destination, Service
from dfproxy.model.steps import User


def users_of(service: Service) -> tuple[User, ...]:
    """
    Everybody who may use one of its destinations; those of several destinations once for each.
    """
    return tuple(
        user
        for destination in service.destinations
        if destination.steps is not None and destination.steps.access is not None
        for user in destination.steps.access.users
    )


def has_plain(service: Service) -> bool:
    """
    Whether a password stands in it as it was given.
    """
    return any(not user.encrypted for user in users_of(service))


def masked(service: Service) -> Service:
    """
    The same without passwords, so that it says nothing of them: equal for plain ones and their hashes.
    """
    if not users_of(service):
        return service
    parameters = tuple((name, _names(value) if name == "users" else value) for name, value in service.parameters)
    return replace(_with_users(service, lambda user: User(user.name, "")), parameters=parameters)


def hashed(service: Service, hash_of: Callable[[User], str]) -> Service:
    """
    The same with a hash for each plain password. Its parameters read the same again.

    Args:
        service: any.
        hash_of: the crypt(3) hash of a user's plain password.
    """
    if not has_plain(service):
        return service
    known: dict[User, str] = {}

    def kept(user: User) -> User:
        if user.encrypted:
            return user
        if user not in known:
            known[user] = hash_of(user)
        return User(user.name, known[user], encrypted=True)

    given = dict(service.parameters)
    if "users" in given and not flag(BY_NAME["usersPassEncrypted"], given.get("usersPassEncrypted", "")):
        given["users"] = ",".join(_entry(name, password, kept) for name, password in entries(given["users"]))
    return replace(_with_users(service, kept), parameters=tuple(given.items()))


def _entry(name: str, password: str, kept: Callable[[User], User]) -> str:
    """
    One entry of `users` as it is kept. One without password stays: the password comes from a list, and will again.
    """
    if not password or password.startswith(CRYPT):
        return f"{name}:{password}" if password else name
    return f"{name}:{CRYPT}{kept(User(name, password)).password}"


def _names(text: str) -> str:
    return ",".join(name if not password else f"{name}:" for name, password in entries(text))


def differs_by_hash(given: Service, kept: Service) -> list[tuple[str, str]] | None:
    """
    Whether a service may be one that was kept, which only its passwords can tell.

    Args:
        given: with plain passwords.
        kept: with hashes.

    Returns:
        Passwords and the hashes that they have if the services are the same; None: they are not.
    """
    if not has_plain(given) or masked(given) != masked(kept):
        return None
    pairs = []
    for one, other in zip(users_of(given), users_of(kept), strict=True):
        if one == other:
            continue
        if one.encrypted or not other.encrypted:
            return None
        pairs.append((one.password, other.password))
    return pairs or None


def _with_users(service: Service, change: Callable[[User], User]) -> Service:
    return replace(service, destinations=tuple(_changed(each, change) for each in service.destinations))


def _changed(destination: Destination, change: Callable[[User], User]) -> Destination:
    steps = destination.steps
    if steps is None or steps.access is None:
        return destination
    access = replace(steps.access, users=tuple(map(change, steps.access.users)))
    return replace(destination, steps=replace(steps, access=access))
