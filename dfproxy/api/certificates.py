"""
`cert` and `certs`: store a certificate, list those that are stored.

A listed certificate has its private key only for callers that are other replicas of this proxy, which fetch them when
they start; everybody else sees the chain.

Source: contract 2.7, 8.2, 8.3.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from dfproxy.api.access import Answer, body_of, parameters, refusal
from dfproxy.api.distribute import NoReplicas
from dfproxy.api.request import Request
from dfproxy.api.slices import LongAnswer
from dfproxy.api.verbs import DistributedVerb
from dfproxy.errors import InvalidCertificate, NotReady, Refused, Superseded
from dfproxy.model.certificate import Certificate

STORED = {"Status": "OK", "Message": "", "Certs": None}
"""
The answer to a certificate that is in force.
"""


class Cert(DistributedVerb):
    """
    Takes a bundle of certificates and key; PUT only.

    200 in force, 400 it is not (nothing has changed; for `distribute=true` also when another replica refuses it).
    """

    def render(self, request: Request) -> int | bytes:
        """
        Any method but PUT is a 405 without a body, as DFP has it.
        """
        if request.method != b"PUT":
            request.setResponseCode(405)
            request.setHeader(b"Allow", b"PUT")
            return b""
        return super().render(request)

    async def _answer(self, request: Request) -> Answer:
        given = parameters(request)
        file, content = given.value("certName"), body_of(request)
        if not file:
            return refusal(400, "certName: the name of the certificate's file is missing")
        if not content:
            return refusal(400, "the body is empty: it must hold the certificates and the key, in PEM")
        if not given.flag("distribute"):
            return await self._store(file, content)
        answer = await self._everywhere(
            (request, given), (f"cert/{file}",), lambda: self._store(file, content), lambda why: refusal(400, why)
        )
        return Answer(200, {}) if answer.status == 200 else answer

    async def _store(self, file: str, content: bytes) -> Answer:
        certificates = self._control.certificates
        if certificates is None:
            return refusal(400, "this proxy stores no certificates")
        try:
            await certificates.put((file, content))
        except Superseded:
            return Answer(200, STORED)  # a later one of the same name is in force
        except NotReady:
            raise  # is not about this certificate, although it is a Refused
        except (InvalidCertificate, Refused) as error:
            return refusal(400, f"{file[:100]!r}: {error}")
        return Answer(200, STORED)


class Certs(LongAnswer):
    """
    Lists the certificates of the folder, each with its whole chain. Those from secrets are left out, as with DFP.
    """

    async def _answer(self, request: Request) -> None:
        control = self._control
        with_keys = await self._is_replica(request)
        held = [each for each in control.publisher.snapshot.certificates.values() if each.source == "folder"]
        held.sort(key=lambda certificate: certificate.file)
        await self._slices.send(request, b"application/json", as_json(held, control.settings.certs_dir, with_keys))

    async def _is_replica(self, request: Request) -> bool:
        """
        Whether the caller is another replica of this proxy.
        """
        replicas = self._control.replicas
        transport = request.transport
        if replicas is None or transport is None:
            return False
        caller: str = getattr(transport.getPeer(), "host", "")
        try:
            return caller in await replicas.others()
        except NoReplicas:
            return False


def as_json(certificates: list[Certificate], folder: str, with_keys: bool) -> Iterator[str]:
    """
    DFP's list of certificates, one a part.

    Args:
        certificates: in their order.
        folder: where they are.
        with_keys: private keys are shown.
    """
    yield '{"Status":"OK","Message":"","Certs":['
    comma = ""
    for certificate in certificates:
        entry = {
            "ServicePort": "",
            "ProxyServiceName": certificate.file,
            "CertsDir": folder,
            "CertContent": (certificate.chain + (certificate.key if with_keys else b"")).decode("ascii"),
        }
        yield comma + msgspec.json.encode(entry).decode()
        comma = ","
    yield "]}"
