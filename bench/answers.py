"""
Looks at one answer of each proxy before it is loaded: load generators see the status only.
"""

from __future__ import annotations

import ssl
from http.client import HTTPConnection, HTTPException, HTTPSConnection

from bench.certificates import NAME
from bench.load import LoadFailed
from bench.proxies import Proxy
from bench.servers import BIG, SMALL, TARGET_BIG

LIMIT_S = 10


def check_answer(proxy: Proxy, target: str) -> None:
    """
    Ask once, and compare with what the server behind the proxy answers.

    Raises:
        LoadFailed: it answers something else. A proxy that answers 200 by itself would be fast.
    """
    # Whose certificate it is does not matter here.
    context = ssl._create_unverified_context()
    connection = (
        HTTPSConnection("127.0.0.1", proxy.port, timeout=LIMIT_S, context=context)
        if proxy.scheme == "https"
        else HTTPConnection("127.0.0.1", proxy.port, timeout=LIMIT_S)
    )
    wanted = BIG if target == TARGET_BIG else SMALL
    try:
        connection.request("GET", target, headers={"Host": f"{NAME}:{proxy.port}"})
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, HTTPException) as error:
        raise LoadFailed(f"{proxy.name} {target}: {type(error).__name__}: {error}") from error
    finally:
        connection.close()
    if answer.status != 200 or body != wanted:
        raise LoadFailed(f"{proxy.name} {target}: {answer.status} with {len(body)} bytes is not the server's answer")
