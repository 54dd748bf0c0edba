"""NET-05: a client certificate that nobody has signed."""

import contextlib
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from motte.audit.model import Check, Product, Result, Severity, failed, not_tested, passed
from motte.audit.probe import Probe
from motte.audit.target import Credential

__all__ = ["CHECK"]


async def run(probe: Probe) -> Result:
    """CONNECT with a certificate that the auditor has signed itself, and compare with none."""
    if not probe.target.tls:
        return not_tested("the target has no TLS; name it as mqtts://")
    async with probe.login(username=None) as without:
        pass
    with _self_signed(probe.new_id()) as credential:
        async with probe.login(credential) as login:
            pass
    evidence = [*without.log, *login.log]
    if login.accepted and not without.accepted:
        return failed("a certificate that anybody can make is let in", evidence)
    if login.connack is not None and without.connack is None and without.refused:
        return failed("TLS accepts a certificate that anybody can make", evidence)
    if login.refused and login.connack is None:
        return passed("a certificate that nobody has signed ends the connection", evidence)
    return not_tested("the listener seems to ask for no client certificate", evidence)


@contextlib.contextmanager
def _self_signed(name: str) -> Iterator[Credential]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    with tempfile.TemporaryDirectory(prefix="motte-audit-") as folder:
        path = Path(folder) / "self-signed.pem"
        secret = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        path.write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))
        yield Credential(name, name, certificate=path, key=path)


CHECK: Final = Check(
    id="NET-05",
    title="A certificate from nobody is refused",
    severity=Severity.CRITICAL,
    rows=("T4",),
    why="Where any certificate will do, a name in it is worth nothing: everybody can be every "
    "device.",
    fix={
        Product.MOSQUITTO: "`cafile` with the device authority alone, `require_certificate true`",
        Product.EMQX: "`verify = verify_peer` and `cacertfile` with the device authority alone",
        Product.HIVEMQ: "a `<truststore>` with the device authority alone",
        Product.VERNEMQ: "`listener.ssl.cafile` with the device authority alone",
        Product.NATS: "`ca_file` with the device authority alone, and `verify: true`",
        Product.RABBITMQ: "`ssl_options.cacertfile` with the device authority alone, and "
        "`ssl_options.verify = verify_peer`",
        Product.MOTTE: "nothing: only the fleet's own authority is trusted",
    },
    references=("RFC 5280, 6", "EMQX security checklist"),
    run=run,
)
