"""
`cert` and `certs`: the paths, their methods and their refusals. Storing certificates comes with TLS.

Source: contract 2.7.
"""

from __future__ import annotations

from twisted.web.server import NOT_DONE_YET

from dfproxy.api.access import Answer, CallQueue, body_of, parameters, refusal, write_answer
from dfproxy.api.request import Request, Verb


class Cert(Verb):
    """
    Takes a bundle of certificates and key; PUT only.
    """

    def __init__(self, queue: CallQueue) -> None:
        super().__init__()
        self._queue = queue

    def render(self, request: Request) -> int | bytes:
        """
        Any method but PUT is a 405 without a body.
        """
        if request.method != b"PUT":
            request.setResponseCode(405)
            request.setHeader(b"Allow", b"PUT")
            return b""
        return self._queue.render(request, self._put)

    async def _put(self, request: Request) -> Answer:
        if not parameters(request).value("certName"):
            return refusal(400, "certName: the name of the certificate's file is missing")
        if not body_of(request):
            return refusal(400, "the body is empty: it must hold the certificates and the key, in PEM")
        return refusal(400, "certificates cannot be stored by this version")


class Certs(Verb):
    """
    Lists the certificates stored: none yet.
    """

    def render(self, request: Request) -> int:
        """
        The same for every method.
        """
        write_answer(request, Answer(200, {"Status": "OK", "Message": "", "Certs": []}))
        return NOT_DONE_YET
