"""
Parameters of destinations that take whole connections: `reqMode=tcp` and `reqMode=sni`.

Source: contract 5; DFP `srcPort`, `serviceGroup`, `balanceGroup`, `checkTcp`, `clitcpka`, `timeoutClient`; HAProxy
`req.ssl_sni`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from dfproxy.dfp.criteria import criterion
from dfproxy.dfp.domains import FORMS, host_patterns
from dfproxy.dfp.given import Given
from dfproxy.errors import InvalidBalance
from dfproxy.model.match import HostForm, HostPattern
from dfproxy.model.service import Balance
from dfproxy.model.settings import Settings
from dfproxy.model.stream import Stream

NAMES = ("req.ssl_sni", "req_ssl_sni")
"""
What HAProxy calls the name that a client asks for in its ClientHello.
"""


class Reader(Protocol):
    """
    The reading of a call, as far as it is needed here.
    """

    given: Given
    settings: Settings
    parse_balance: Callable[[str], Balance]

    def text(self, name: str, index: int = 0) -> str:
        """
        A value that may be worked with; empty if there is none.
        """

    def words(self, name: str, index: int) -> list[str]:
        """
        The words of a list.
        """

    def seconds(self, name: str, index: int) -> float | None:
        """
        A time, if there is one.
        """

    def problem(self, name: str, index: int, reason: str) -> None:
        """
        Note what is wrong with a value.
        """


def read_stream(reader: Reader, index: int, mode: str) -> Stream:
    """
    Which connections a destination takes. What is wrong is noted at the reader.

    Args:
        mode: `tcp` or `sni`.
    """
    given = reader.given
    port = given.number("srcPort", index)
    group = reader.text("serviceGroup", index).strip()
    if group and mode == "sni":
        reader.problem("serviceGroup", index, "needs reqMode=tcp")
    # The domains of a group do not matter (contract 5.3).
    names = () if group else _by_path(reader, index) if mode == "sni" else _by_domain(reader, index)
    named = mode == "sni" or (not group and reader.given.value("serviceDomain", index) is not None)
    _check_port(reader, index, port, named)
    return Stream(
        port,
        names,
        reader.seconds("timeoutClient", index),
        given.flag("clitcpka", index),
        given.flag("checkTcp", index),
        group,
        _balance(reader, index),
    )


def _check_port(reader: Reader, index: int, port: int, named: bool) -> None:
    """
    A port where HTTP is served can be shared by those who are chosen by name, for they leave the others their part.
    """
    if port > 65535:
        reader.problem("srcPort", index, "must be a port, 1 to 65535")
        return
    for listener in reader.settings.bound:
        if port and listener.port == port and (listener.statistics or not named):
            reader.problem("srcPort", index, _taken(port, listener.statistics))
            return


def _taken(port: int, statistics: bool) -> str:
    if statistics:
        return "is the port of the statistics (--stats-port)"
    return (
        f"is a port where HTTP is served (--default-ports, --bind-ports): take {port} out of these, or give "
        "serviceDomain, so that only TLS connections for these names are taken"
    )


def _by_domain(reader: Reader, index: int) -> tuple[HostPattern, ...]:
    """
    `serviceDomain`, compared as a whole unless `serviceDomainAlgo` is `req.ssl_sni` with flags.
    """
    if not reader.given.value("serviceDomain", index):
        return ()
    text = reader.text("serviceDomainAlgo") or reader.settings.host_form
    form: HostForm | None = "exact"
    if is_by_name(text):
        form = _form(reader, "serviceDomainAlgo", 0, text)
    return _patterns(reader, "serviceDomain", index, form)


def _by_path(reader: Reader, index: int) -> tuple[HostPattern, ...]:
    """
    `pathType` and `servicePath`, or `serviceDomain` where there is no path.
    """
    given, text = reader.given, reader.text("pathType", index)
    if not given.value("servicePath", index):
        if given.value("serviceDomain", index):
            return _by_domain(reader, index)
        reader.problem(
            "serviceDomain",
            index,
            "is missing: the names that clients ask for (SNI); or servicePath with pathType=req_ssl_sni",
        )
        return ()
    if not is_by_name(text):
        reason = "must be req_ssl_sni with reqMode=sni, with flags such as -i -m beg; or give only serviceDomain"
        reader.problem("pathType", index, reason)
        return ()
    return _patterns(reader, "servicePath", index, _form(reader, "pathType", index, text))


def is_by_name(text: str) -> bool:
    """
    Whether this compares the name that a client asks for.
    """
    return text.split(maxsplit=1)[:1] in ([NAMES[0]], [NAMES[1]])


def _form(reader: Reader, parameter: str, index: int, text: str) -> HostForm | None:
    """
    How names are compared; case never matters (RFC 6066 3).
    """
    flags = text.split(maxsplit=1)[1:]
    try:
        return FORMS[criterion(" ".join(("sni", *flags)), ("sni",)).method]
    except ValueError as error:
        reader.problem(parameter, index, str(error))
        return None


def _patterns(reader: Reader, parameter: str, index: int, form: HostForm | None) -> tuple[HostPattern, ...]:
    if form is None:
        return ()
    try:
        return host_patterns(reader.words(parameter, index), form)
    except ValueError as error:
        reader.problem(parameter, index, str(error))
        return ()


def _balance(reader: Reader, index: int) -> Balance:
    text = reader.text("balanceGroup", index)
    if not text:
        return Balance()
    try:
        return reader.parse_balance(text)
    except InvalidBalance as error:
        reader.problem("balanceGroup", index, str(error))
        return Balance()
