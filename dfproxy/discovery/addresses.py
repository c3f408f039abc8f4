"""
What the files of a resolver say, and what is asked for a name: pure parts of name resolution.

Source: resolv.conf(5), hosts(5); Docker's embedded DNS (127.0.0.11 answers `tasks.<service>` with every task).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address

DOCKER_DNS = "127.0.0.11"
"""
Where Docker's embedded DNS listens in every container of a user-defined network.
"""

DNS_PORT = 53


class Verdict(Enum):
    """
    What an answer is worth.
    """

    FOUND = "found"
    ABSENT = "absent"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What was learned about one name.

    Attributes:
        verdict: found; absent: somebody who knows says there is none; failed: nobody answered, or not properly.
        addresses: IP addresses, sorted; empty unless found.
        reason: for people, unless found.
        certain: False if a form that counts more (`tasks.<name>`) did not get an answer, so it may be the lesser.
    """

    verdict: Verdict
    addresses: tuple[str, ...] = ()
    reason: str = ""
    certain: bool = True


@dataclass(frozen=True, slots=True)
class ResolverFile:
    """
    What resolv.conf says.

    Attributes:
        servers: `(host, port)`, in the order in which they are asked.
        search: domains that are appended to short names.
        ndots: names with at least so many dots are asked as they are first.
    """

    servers: tuple[tuple[str, int], ...] = ()
    search: tuple[str, ...] = ()
    ndots: int = 1

    @property
    def is_docker(self) -> bool:
        """
        Whether Docker's embedded DNS answers.
        """
        return any(host == DOCKER_DNS for host, _ in self.servers)


def literal(host: str) -> str:
    """
    The IP address that `host` is, in its usual form; empty if it is a name.
    """
    try:
        return str(ip_address(host.removeprefix("[").removesuffix("]")))
    except ValueError:
        return ""


def usual_form(name: str) -> str:
    """
    A name as it is compared: lower case, no dot at the end.
    """
    return name.lower().rstrip(".")


def parse_resolv_conf(text: str) -> ResolverFile:
    """
    Read a resolv.conf. What is not understood is passed over, as libc does; at most three servers, as there.
    """
    servers: list[tuple[str, int]] = []
    search: tuple[str, ...] = ()
    ndots = 1
    for line in text.splitlines():
        words = line.split("#")[0].split(";")[0].split()
        if len(words) < 2:
            continue
        if words[0] == "nameserver" and (address := literal(words[1].partition("%")[0])):
            servers.append((address, DNS_PORT))
        elif words[0] in ("search", "domain"):
            search = tuple(usual_form(word) for word in words[1:7] if usual_form(word))
        elif words[0] == "options":
            for word in words[1:]:
                key, _, value = word.partition(":")
                if key == "ndots" and value.isdigit():
                    ndots = min(int(value), 15)
    return ResolverFile(tuple(servers[:3]) or (("127.0.0.1", DNS_PORT),), search, ndots)


def parse_hosts(text: str) -> dict[str, tuple[str, ...]]:
    """
    Addresses by name; a name with IPv4 addresses has only these.
    """
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        words = line.split("#")[0].split()
        address = literal(words[0]) if words else ""
        if address:
            for name in words[1:]:
                found.setdefault(usual_form(name), []).append(address)
    return {name: preferred(addresses) for name, addresses in found.items()}


def preferred(addresses: list[str]) -> tuple[str, ...]:
    """
    The IPv4 ones, or if there are none all; sorted, each once.
    """
    kept = [address for address in addresses if ":" not in address] or addresses
    return tuple(sorted(set(kept)))


def forms(name: str, file: ResolverFile) -> tuple[str, ...]:
    """
    Under which full names `name` is asked, in order.

    A name without a dot is first asked as it is where Docker answers: that is how services are called there.
    """
    if name.endswith("."):
        return (usual_form(name),)
    plain = usual_form(name)
    longer = tuple(f"{plain}.{domain}" for domain in file.search)
    if plain.count(".") >= file.ndots or file.is_docker:
        return (plain, *longer)
    return (*longer, plain)


def has_tasks_form(name: str, file: ResolverFile, in_swarm: bool) -> bool:
    """
    Whether `tasks.<name>` is asked too: only for a name without a dot, and where Docker answers or we are told so.
    """
    return "." not in name and (in_swarm or file.is_docker)
