"""
How many files and connections this process may have open.

Source: getrlimit(2), RLIMIT_NOFILE.
"""

from __future__ import annotations

import resource

from twisted.logger import Logger

from dfproxy.errors import Problem

FEWEST = 256
"""
What a process must be able to have open for us to start: some 50 of its own, and a hundred clients with a server each.
"""

CONNECTIONS = 50_000
"""
Client connections of a process at most where the operator does not say: a limit of open files can be a thousand
million, as in some installations of Docker, and then bounds nothing.
"""

log = Logger()


def raised() -> int:
    """
    Raise the limit of open descriptors as far as it goes, for this process and those that it starts.

    Returns:
        The limit now.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError) as error:
            log.warn("the limit of open files stays at {soft}: {reason}", soft=soft, reason=str(error))
    return soft


def connections(asked: int, workers: int, descriptors: int) -> int:
    """
    How many client connections each process takes: its share of what the operator allows, but never more than 90 % of
    its descriptors can carry, two for each, since each client may need a server.

    Args:
        asked: most of all processes together; 0: as many as they can.
        workers: how many processes there are, 1 at least.
        descriptors: what each of them may have open.
    """
    share = max(asked // workers, 1) if asked else CONNECTIONS
    return min(share, int(descriptors * 0.9) // 2)


def too_few(limit: int) -> tuple[Problem, ...]:
    """
    What to tell an operator whose limit is too low; nothing if it is not.
    """
    if limit >= FEWEST:
        return ()
    reason = (
        f"so many files may be open, and at least {FEWEST} are needed: raise the limit with ulimit -n, "
        "LimitNOFILE= (systemd) or --ulimit nofile= (Docker)"
    )
    return (Problem("limit of open files (ulimit -n)", str(limit), reason),)
