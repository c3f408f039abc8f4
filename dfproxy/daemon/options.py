"""
Options that can be judged only once plugins are loaded and files are read.

What options mean by themselves is judged before, in `dfproxy.dfp.settings`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

from dfproxy.control.strategies import Strategies
from dfproxy.control.tokens import read_tokens
from dfproxy.descriptors import raised, too_few
from dfproxy.errors import InvalidBalance, InvalidSettings, Problem
from dfproxy.model.settings import Settings, Tls
from dfproxy.tls.context import make_context


def check(settings: Settings, strategies: Strategies) -> None:
    """
    Options that name plugins or are OpenSSL's business.

    Raises:
        InvalidSettings: one is not known, or names a file that cannot be read.
    """
    make_context(settings.tls if settings.tls.client_ca else with_client_ca(settings.tls), ())
    problems: list[Problem] = [*too_few(raised())]
    if settings.api_token_file:
        read_tokens(settings.api_token_file)
    if settings.route_order not in strategies.orders:
        known = ", ".join(sorted(strategies.orders))
        problems.append(Problem("--route-order", settings.route_order, f"is not known; there are: {known}"))
    try:
        strategies.build(settings.balance, None, Random(0))
    except InvalidBalance as error:
        problems.append(Problem("--balance", settings.balance.name, str(error)))
    if problems:
        raise InvalidSettings(tuple(problems))


def with_client_ca(tls: Tls) -> Tls:
    """
    With the certificates that client certificates are checked against, read while we may.

    Raises:
        InvalidSettings: they cannot be read.
    """
    if not tls.ca_file:
        return tls
    try:
        content = Path(tls.ca_file).read_text("ascii", "replace")
    except OSError as error:
        problem = Problem("--ca-file", tls.ca_file, f"cannot be read: {error.strerror}")
        raise InvalidSettings((problem,)) from error
    return replace(tls, client_ca=content)
