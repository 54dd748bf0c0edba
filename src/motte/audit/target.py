"""Which broker is asked, with which credentials, and the check that it may be."""

import asyncio
import ipaddress
import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from motte.audit.model import AuditError
from motte.text import printable

__all__ = [
    "PLAIN_PORTS",
    "Credential",
    "Target",
    "check_reachable",
    "common_name",
    "read_password",
    "resolve",
]

DEFAULT_PORTS: Final = {"mqtts": 8883, "mqtt": 1883}
"""Schemes and their IANA ports."""
PLAIN_PORTS: Final = (1883, 8083, 9001)
"""Where brokers put listeners without TLS if nobody thinks of it: MQTT, and WebSocket twice."""
REACH_SECONDS: Final = 5.0
"""How long a host may take to accept a TCP connection."""


@dataclass(frozen=True, slots=True)
class Credential:
    """What proves one identity. The password never leaves ``repr``."""

    name: str
    client_id: str
    username: str | None = None
    password: bytes | None = field(default=None, repr=False)
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """A broker's listener."""

    host: str
    address: str
    """IP address; all probes go to this one."""
    port: int
    tls: bool
    authority: Path | None = None
    """PEM file that the broker's certificate must chain to; else what the system trusts."""
    plain_ports: tuple[int, ...] = PLAIN_PORTS
    """Ports to look for listeners without TLS on, beside its own."""

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine."""
        return ipaddress.ip_address(self.address).is_loopback

    @property
    def url(self) -> str:
        """The target as its owner writes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"

    def context(self, credential: Credential | None = None) -> ssl.SSLContext:
        """TLS for a probe.

        A probe without a credential talks to anybody, because it is a check of its own whether the
        certificate is good. A password goes only to a broker that has proved who it is, or to this
        machine.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if credential is None:
            return context
        if credential.password is not None and not self.is_loopback:
            context = self.verifying_context()
        if credential.certificate is not None:
            try:
                context.load_cert_chain(credential.certificate, credential.key)
            except (OSError, ssl.SSLError) as error:
                raise AuditError(
                    f"the certificate {credential.certificate} cannot be used: {error}",
                    hint="name a PEM file with --cert and its key with --key",
                ) from error
        return context

    def verifying_context(self) -> ssl.SSLContext:
        """TLS as a careful client does it."""
        context = ssl.create_default_context()
        if self.authority is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            try:
                context.load_verify_locations(self.authority)
            except (OSError, ssl.SSLError) as error:
                raise AuditError(
                    f"{self.authority} is no file of certificates: {error}",
                    hint="--ca takes a PEM file",
                ) from error
        return context


def resolve(
    url: str,
    *,
    i_own_this: str | None = None,
    authority: Path | None = None,
    plain_ports: tuple[int, ...] = PLAIN_PORTS,
) -> Target:
    """The target that a URL names.

    Args:
        url: ``mqtts://HOST[:PORT]`` or ``mqtt://HOST[:PORT]``.
        i_own_this: The host once more, where it is not this machine.
        authority: PEM file for the broker's certificate.
        plain_ports: Ports to look for listeners without TLS on.

    Raises:
        AuditError: The URL is none, the host has no address, or it is another machine and was not
            named as one's own.
    """
    scheme, host, port = _parts(url)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise AuditError(
            f"the host `{printable(host)}` has no address: {error.strerror or error}",
            hint="check the spelling of the URL",
        ) from error
    target = Target(host, str(found[0][4][0]), port, scheme == "mqtts", authority, plain_ports)
    if not target.is_loopback and i_own_this != host:
        raise AuditError(
            f"{printable(host)} ({target.address}) is not this machine, and an audit attacks it",
            hint=f"if the broker is yours, add `--i-own-this {printable(host)}`",
        )
    return target


def read_password(path: Path) -> bytes:
    """The first line of a file, so that no password stands on a command line."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise AuditError(
            f"{path} cannot be read: {error.strerror or error}",
            hint="--password-file takes a file with the password in its first line",
        ) from error
    return lines[0] if lines else b""


def common_name(path: Path) -> str:
    """The common name in a certificate, which is the client id where none was given."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise AuditError(
            f"{path} is no certificate: {error}", hint="--cert takes a PEM file"
        ) from error
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


async def check_reachable(target: Target) -> None:
    """Raises `AuditError` if nothing listens there."""
    try:
        async with asyncio.timeout(REACH_SECONDS):
            _, writer = await asyncio.open_connection(target.address, target.port)
    except OSError as error:
        what = error.strerror or "no answer"
        raise AuditError(
            f"nothing answers at {target.url} ({target.address}): {what}",
            hint="check host and port, and that the broker runs",
        ) from error
    writer.close()


def _parts(url: str) -> tuple[str, str, int]:
    hint = "write it as mqtts://HOST or mqtts://HOST:PORT"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise AuditError(f"`{printable(url)}` is not a URL: {error}", hint=hint) from error
    if parts.scheme not in DEFAULT_PORTS or not host:
        raise AuditError(f"`{printable(url)}` is not the URL of an MQTT broker", hint=hint)
    if parts.username is not None or parts.password is not None:
        raise AuditError(
            "the URL holds a user name, and others on this machine can read it",
            hint="use --user and --password-file",
        )
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise AuditError(f"`{printable(url)}` says more than host and port", hint=hint)
    return parts.scheme, host, port or DEFAULT_PORTS[parts.scheme]
