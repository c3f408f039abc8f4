"""
The JSON that a DFP client expects, as dictionaries ready to be written.

Keys, their order and their zero values are DFP's (Go field names). Secrets are blank: DFP showed them to everyone who
asked. Ours in addition: `Revision`, and `Problems` on a refusal.

Source: DFP `proxy/types.go`, `server/server.go`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from dfproxy.dfp.criteria import headers
from dfproxy.dfp.given import Given, flag, integer, items
from dfproxy.dfp.parameters import BY_NAME, DESTINATION_ROWS, SERVICE_ROWS, Parameter, example_of
from dfproxy.dfp.pathtype import DEFAULT as DEFAULT_PATH_TYPE
from dfproxy.dfp.reading import Reading
from dfproxy.dfp.users import service_users
from dfproxy.errors import Problem
from dfproxy.expressions.words import split_items
from dfproxy.model.service import Service
from dfproxy.model.settings import Settings
from dfproxy.model.snapshot import Revision

_NO_WORD = re.compile(r"[^A-Za-z0-9]")

_SERVICE: dict[str, object] = {
    "AclName": "",
    "AddReqHeader": None,
    "AddResHeader": None,
    "BackendExtra": "",
    "CheckResolvers": False,
    "CompressionAlgo": "",
    "CompressionType": "",
    "ConnectionMode": "",
    "Debug": False,
    "DebugFormat": "",
    "DelReqHeader": None,
    "DelResHeader": None,
    "DiscoveryType": "",
    "Distribute": False,
    "IsDefaultBackend": False,
    "ProxyInstanceName": "",
    "RedirectWhenHttpProto": False,
    "RedirectUnlessHttpsProto": False,
    "Replicas": 0,
    "ReqPathReplace": "",
    "ReqPathSearch": "",
    "ServiceCert": "",
    "ServiceDomainAlgo": "",
    "ServiceName": "",
    "SessionType": "",
    "SetReqHeader": None,
    "SetResHeader": None,
    "TemplateBePath": "",
    "TemplateFePath": "",
    "UseGlobalUsers": False,
    "Users": None,
    "ServicePort": "",
    "AclCondition": "",
    "IsGlobal": False,
    "LookupRetry": 0,
    "LookupRetryInterval": 0,
    "ServiceDest": None,
    "Tasks": None,
}
"""
A service of which nothing is known, in DFP's order.
"""

_DESTINATION: dict[str, object] = {
    "AllowedMethods": None,
    "BalanceGroup": "",
    "CheckTCP": False,
    "Clitcpka": False,
    "DeniedMethods": None,
    "DenyHttp": False,
    "HttpsOnly": False,
    "HttpsPort": 0,
    "HttpsRedirectCode": "",
    "IgnoreAuthorization": False,
    "OutboundHostname": "",
    "PathType": "",
    "Port": "",
    "RedirectFromDomain": None,
    "ReqMode": "",
    "ReqModeFormatted": "",
    "ReqPathSearchReplace": "",
    "ServiceDomain": None,
    "ServiceGroup": "",
    "ServiceHeader": None,
    "ServicePath": None,
    "ServicePathExclude": None,
    "SrcPort": 0,
    "SrcHttpsPort": 0,
    "SrcPortAcl": "",
    "SrcPortAclName": "",
    "SrcHttpsPortAcl": "",
    "SrcHttpsPortAclName": "",
    "SslVerifyNone": False,
    "TimeoutServer": "",
    "TimeoutClient": "",
    "TimeoutTunnel": "",
    "VerifyClientSsl": False,
    "UserAgent": None,
    "UserDef": "",
    "Index": 0,
    "ReqPathSearchReplaceFormatted": None,
    "IncludeSrcPortACL": False,
    "IncludeSrcHttpsPortACL": False,
}
"""
A destination of which nothing is known, in DFP's order.
"""


_SERVICE_SHOWN = tuple((row.json_key, row) for row in SERVICE_ROWS if row.json_key in _SERVICE and row.name != "users")
_DESTINATION_SHOWN = tuple((row.json_key, row) for row in DESTINATION_ROWS if row.json_key in _DESTINATION)


def accepted(reading: Reading, revision: Revision) -> dict[str, object]:
    """
    The call has been carried out; the service is shown as it came.
    """
    return _response("OK", "", reading.name, reading.shown) | _revision(revision)


def refused(
    name: str, message: str, problems: Iterable[Problem], shown: dict[str, object] | None = None
) -> dict[str, object]:
    """
    The call has changed nothing.

    Args:
        name: of the service, as far as known.
        message: what is wrong, in a sentence.
        problems: the same, for programs.
        shown: the service as it came, if it could be read.
    """
    listed = [problem_object(each) for each in problems]
    return _response("NOK", message, name, shown) | {"Problems": listed}


def problem_object(problem: Problem) -> dict[str, object]:
    """
    One thing that is wrong, for programs.
    """
    return {
        "Parameter": problem.parameter,
        "Value": problem.value,
        "Reason": problem.reason,
        "Example": problem.example or example_of(problem.parameter),
    }


def removed(name: str, revision: Revision) -> dict[str, object]:
    """
    The service is gone, or never was.
    """
    return _response("OK", "", name, None) | _revision(revision)


def plain(status: str, message: str, revision: Revision) -> dict[str, object]:
    """
    An answer without service, such as that of `ping` and `reload`.

    Args:
        status: `OK` or `NOK`.
        message: why; may be empty.
    """
    return _response(status, message, "", None) | _revision(revision)


def plain_short(status: str, message: str, revision: Revision) -> dict[str, object]:
    """
    An answer that is not about one service; DFP has none such.

    Args:
        status: `OK` or `NOK`.
        message: why; may be empty.
    """
    return {"Status": status, "Message": message} | _revision(revision)


def config(services: Iterable[Service], settings: Settings) -> dict[str, object]:
    """
    All services by name, as `config?type=json` lists them. Here `AclName` is filled in.
    """
    return {service.name: shown(service, settings) | {"AclName": service.order_name} for service in services}


def shown(service: Service, settings: Settings) -> dict[str, object]:
    """
    DFP's JSON object of a service, as an accepted answer shows it: from the parameters that made it.
    """
    return service_object(Given(service.parameters, ()), settings)


def service_object(given: Given, settings: Settings) -> dict[str, object]:
    """
    DFP's JSON object of what was given. Total: makes something of wrong values, too.
    """
    separator = settings.separator or ","
    found = dict(_SERVICE)
    for key, row in _SERVICE_SHOWN:
        found[key] = _plain(row, given.text(row.name), separator)
    if given.flag("serviceDomainMatchAll"):
        found["ServiceDomainAlgo"] = "hdr_dom(host)"
    for name, former in _FORMER:
        if not given.text(name):
            found[BY_NAME[name].json_key] = _plain(BY_NAME[name], given.text(former), separator)
    found["Users"] = _users(given, settings)
    found["IsGlobal"] = given.value("replicas") is None
    found["ServiceDest"] = [_destination(given, index, separator) for index in given.indexes]
    return found


_FORMER = (("addReqHeader", "addHeader"), ("setReqHeader", "setHeader"))
"""
Parameters with a deprecated name, which counts if the other is missing.
"""


def _users(given: Given, settings: Settings) -> list[dict[str, object]] | None:
    """
    The service's own users; their passwords are nobody's business.
    """
    encrypted = given.flag("usersPassEncrypted")
    lists = dict(settings.user_lists)
    users = service_users(given.text("users"), given.text("usersSecret"), encrypted, lists, settings.users)
    if users is None:
        return None
    return [{"Username": user.name, "Password": "", "PassEncrypted": user.encrypted} for user in users]


def _destination(given: Given, index: int, separator: str) -> dict[str, object]:
    found = dict(_DESTINATION)
    mode = given.text("reqMode", index).lower() or "http"
    if not given.built:
        return found | {"ReqMode": mode}
    for key, row in _DESTINATION_SHOWN:
        found[key] = _plain(row, given.text(row.name, index), separator)
    found |= {"ReqMode": mode, "ReqModeFormatted": "tcp" if mode == "sni" else mode, "Index": index}
    found["PathType"] = found["PathType"] or DEFAULT_PATH_TYPE
    found["ServiceHeader"] = headers(given.text("serviceHeader", index), separator)
    agents = given.text("userAgent", index)
    found["UserAgent"] = {"Value": items(agents, separator), "AclName": _NO_WORD.sub("_", agents)}
    found["ReqPathSearchReplaceFormatted"] = []
    if given.text("serviceDomain", index) and not given.text("servicePath", index):
        found["ServicePath"] = ["/"]
    https = given.number("httpsPort", index) > 0
    if port := given.number("srcPort", index) or (80 if https else 0):
        acl = f"srcPort_{given.text('aclName') or given.text('serviceName')}{port}_{index}"
        found["SrcPort"] = port
        found["SrcPortAcl"] = f"\n    acl {acl} dst_port {port}"
        found["SrcPortAclName"] = f" {acl}"
    if https:
        found["SrcHttpsPort"] = given.number("srcHttpsPort", index) or 443
    return found


def _plain(row: Parameter, text: str, separator: str) -> object:
    """
    One value in the type that DFP shows it in.
    """
    if row.secret:
        return ""
    match row.kind:
        case "flag":
            return flag(row, text)
        case "number":
            return integer(text) or 0
        case "list":
            return items(text, separator)
        case "rules":
            return split_items(text, separator)
        case _:
            return text


def _response(status: str, message: str, name: str, service: dict[str, object] | None) -> dict[str, object]:
    """
    DFP's Response: `ServiceName` comes third, and not again among the keys of the service.
    """
    keys = dict(_SERVICE if service is None else service)
    keys.pop("ServiceName", None)
    return {"Status": status, "Message": message, "ServiceName": name} | keys


def _revision(revision: Revision) -> dict[str, object]:
    return {"Revision": {"Number": revision.number, "Hash": revision.digest}}
