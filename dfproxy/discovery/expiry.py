"""
Tells when certificates expire: as metrics always, and in the log when it comes near.

Source: HAProxy has neither; the exporters of others call the metric alike (x509_cert_not_after).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from dfproxy.interfaces import IPublisher
from dfproxy.model.certificate import Certificate
from dfproxy.observe.prometheus import Measure, escape, gauge

NEAR_S = 14 * 86400.0
"""
From when on it is told in the log, in seconds before. Companions of Let's Encrypt renew 30 days before, so one that is
this near was not renewed for two weeks.
"""

LOOK_S = 3600.0
"""
How often is looked, in seconds.
"""

AGAIN_S = 86400.0
"""
How often one certificate is told again, in seconds.
"""

log = Logger()


class Expiry:
    """
    Watches the certificates in force.

    Args:
        clock: `IReactorTime`.
        publisher: knows them.
        now: the time in seconds since 1970.
    """

    def __init__(self, clock: IReactorTime, publisher: IPublisher, now: Callable[[], float]) -> None:
        self._publisher = publisher
        self._now = now
        self._told: dict[str, float] = {}
        self._looking = LoopingCall(self.look)
        self._looking.clock = clock

    def start(self) -> None:
        """
        Look now and from time to time.
        """
        self._looking.start(LOOK_S).addErrback(lambda failure: log.failure("expiry is not watched any more", failure))

    def stop(self) -> None:
        """
        Look no more.
        """
        if self._looking.running:
            self._looking.stop()

    def look(self) -> None:
        """
        Tell which are near their end, each once a day.
        """
        now = self._now()
        near = [each for each in self._certificates() if each.not_after - now < NEAR_S]
        self._told = {each.digest: self._told[each.digest] for each in near if each.digest in self._told}
        for certificate in near:
            if now - self._told.get(certificate.digest, float("-inf")) < AGAIN_S:
                continue
            self._told[certificate.digest] = now
            days = (certificate.not_after - now) / 86400
            if days > 0:
                log.warn("certificate {file} expires in {days} days: renew it", file=certificate.file, days=int(days))
            else:
                log.error("certificate {file} has expired: clients refuse it", file=certificate.file)

    def measures(self) -> Iterable[Measure]:
        """
        For `/metrics`.
        """
        held = self._certificates()
        yield gauge("dfproxy_certificates", "Certificates in force.", len(held))
        yield Measure(
            "dfproxy_certificate_not_after_seconds",
            "gauge",
            "When a certificate expires, in seconds since 1970.",
            tuple((f'{{file="{escape(each.file)}",source="{each.source}"}}', each.not_after) for each in held),
        )

    def _certificates(self) -> list[Certificate]:
        certificates: dict[str, Certificate] = self._publisher.snapshot.certificates
        return sorted(certificates.values(), key=lambda each: each.identity)
