"""NET-03: the broker's certificate: chain, host name, dates, key."""

import ssl
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from motte.audit.model import Check, Product, Result, Severity, failed, not_tested, passed
from motte.audit.peer import Peer, Unreachable
from motte.audit.probe import Probe

__all__ = ["CHECK"]

MINIMUM_RSA_BITS: Final = 2048
"""NIST SP 800-57 Part 1: 112 bits of security."""
MINIMUM_CURVE_BITS: Final = 256
"""P-256, the smallest curve that TLS 1.3 has."""
SOON: Final = timedelta(days=3)
"""A certificate that ends within this time needs somebody to act now; Motte's own live a week."""
_UNTRUSTED: Final = {18, 19, 20, 21}
"""OpenSSL's verification errors for a chain that ends in nobody who is trusted."""


async def run(probe: Probe) -> Result:
    """Reads the certificate, then shakes hands as a careful client does."""
    if not probe.target.tls:
        return not_tested("the target has no TLS; name it as mqtts://")
    credential = probe.credentials[0] if probe.credentials else None
    try:
        peer = await Peer.open(probe.target, context=probe.target.context(None))
    except Unreachable:
        try:
            peer = await Peer.open(probe.target, credential=credential)
        except Unreachable as error:
            return not_tested(f"no TLS connection: {error}")
    data = peer.certificate()
    await peer.close()
    if data is None:
        return not_tested("the broker showed no certificate")
    certificate = x509.load_der_x509_certificate(data)
    evidence = [*peer.log, *_facts(certificate)]
    problems = [*_dates(certificate), *_key(certificate)]
    trust, why = await _trust(probe, evidence)
    if why is not None and trust:
        problems.append(why)
    if problems:
        return failed("; ".join(problems), evidence)
    if why is not None:
        return not_tested(f"dates and key are good, but {why}", evidence)
    return passed("chain, host name, dates and key are good", evidence)


def _facts(certificate: x509.Certificate) -> list[str]:
    return [
        f"< certificate of {certificate.subject.rfc4514_string() or 'nobody'}",
        f"< issued by {certificate.issuer.rfc4514_string() or 'nobody'}",
        f"< valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC",
        f"< valid to {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC",
    ]


def _dates(certificate: x509.Certificate) -> list[str]:
    now = datetime.now(UTC)
    if certificate.not_valid_after_utc < now:
        return ["the certificate has expired"]
    if certificate.not_valid_before_utc > now:
        return ["the certificate is not valid yet"]
    if certificate.not_valid_after_utc - now < SOON:
        return [f"the certificate expires within {SOON.days} days"]
    return []


def _key(certificate: x509.Certificate) -> list[str]:
    problems: list[str] = []
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < MINIMUM_RSA_BITS:
        problems.append(f"its RSA key has {key.key_size} bits")
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.key_size < MINIMUM_CURVE_BITS:
        problems.append(f"its key is on a curve of {key.curve.key_size} bits")
    algorithm = certificate.signature_hash_algorithm
    if algorithm is not None and algorithm.name in {"md5", "sha1"}:
        problems.append(f"it is signed with {algorithm.name.upper()}")
    return problems


async def _trust(probe: Probe, evidence: list[str]) -> tuple[bool, str | None]:
    """Whether the verdict is certain, and what is wrong with the chain or the name, if anything."""
    context = probe.target.verifying_context()
    try:
        peer = await Peer.open(probe.target, context=context)
    except Unreachable as error:
        cause = error.__cause__
        if not isinstance(cause, ssl.SSLCertVerificationError):
            # The broker refused us, which comes after its own certificate was found good.
            return error.by_broker, None if error.by_broker else f"TLS failed: {error}"
        evidence.append(f"! {cause.verify_message}")
        if cause.verify_code in _UNTRUSTED and probe.target.authority is None:
            return False, "its chain could not be checked: name its authority with --ca"
        return True, f"a careful client refuses it: {cause.verify_message}"
    evidence.append("! a client that verifies chain and host name connects")
    await peer.close()
    return True, None


CHECK: Final = Check(
    id="NET-03",
    title="The broker's certificate is good",
    severity=Severity.HIGH,
    rows=("T11",),
    why="Clients that cannot verify the broker are told to stop verifying, and then talk to "
    "anybody.",
    fix={
        Product.MOSQUITTO: "`certfile` with the whole chain and the host in its subjectAltName, "
        "and `keyfile`; SIGHUP loads new files",
        Product.EMQX: "`listeners.ssl.default.ssl_options.certfile` and `keyfile`",
        Product.HIVEMQ: "a new `<keystore>` in `<tls>`",
        Product.VERNEMQ: "`listener.ssl.certfile` and `listener.ssl.keyfile`",
        Product.NATS: "`cert_file` and `key_file` in the `tls {}` block",
        Product.RABBITMQ: "`ssl_options.certfile` and `ssl_options.keyfile`",
        Product.MOTTE: "name the host in `motte.toml`; `motte up` issues and renews it",
    },
    references=("RFC 9525", "NIST SP 800-57 Part 1 Rev. 5", "CVE-2019-12496"),
    run=run,
)
