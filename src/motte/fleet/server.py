"""The broker's own key and certificate: made, checked and renewed by itself."""

import re
import shutil
import socket
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from motte.errors import StoreError
from motte.files import PRIVATE_FOLDER, file_errors, read_private, sync_folder, write_private
from motte.fleet.authority import (
    MAXIMUM_PEM_BYTES,
    Authority,
    ip_name,
    needs_renewal,
    private_key_pem,
)
from motte.fleet.identity import Clock
from motte.fleet.layout import SERVER_CERTIFICATE, SERVER_KEY, TRUSTED_AUTHORITY

__all__ = ["ensure_server_certificate", "server_certificate_serial", "server_names"]


def server_names(
    address: str, names: Iterable[str], host_name: str | None = None
) -> list[x509.GeneralName]:
    """Every name and address under which this broker can be reached, each once."""
    host = (host_name if host_name is not None else socket.gethostname()).lower()
    hosts = ["localhost", *names]
    # A host may be called what DNS does not allow; a client could not dial that name either.
    if re.fullmatch(r"[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*", host):
        hosts.append(host)
    addresses = ["127.0.0.1", "::1"]
    if address not in {"0.0.0.0", "::"}:  # noqa: S104 (compared, not bound)
        addresses.append(address)
    return [
        *(x509.DNSName(name) for name in dict.fromkeys(hosts)),
        *(ip_name(name) for name in dict.fromkeys(addresses)),
    ]


def ensure_server_certificate(
    folder: Path,
    authority: Authority,
    *,
    names: list[x509.GeneralName],
    lifetime: timedelta,
    clock: Clock,
) -> str | None:
    """Makes or renews the certificate where needed; says why if it did.

    The key is made anew with each certificate. Key and certificate change together.
    """
    reason = _why_anew(folder, authority, names, clock)
    if reason is None:
        return None
    key = ec.generate_private_key(ec.SECP256R1())
    issued = authority.issue_server(key.public_key(), lifetime, names)
    fresh = folder.with_name(f".{folder.name}.new")
    stale = folder.with_name(f".{folder.name}.old")
    with file_errors("make the server certificate in", folder):
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(stale, ignore_errors=True)
        fresh.mkdir(mode=PRIVATE_FOLDER)
        write_private(fresh / SERVER_KEY, private_key_pem(key))
        write_private(fresh / SERVER_CERTIFICATE, issued.pem)
        write_private(fresh / TRUSTED_AUTHORITY, authority.certificate_pem)
        if folder.exists():
            folder.rename(stale)
        fresh.rename(folder)
        sync_folder(folder.parent)
        shutil.rmtree(stale, ignore_errors=True)
    return reason


def server_certificate_serial(folder: Path) -> int:
    """The serial number of the certificate in ``folder``."""
    path = folder / SERVER_CERTIFICATE
    try:
        certificate = x509.load_pem_x509_certificate(read_private(path, limit=MAXIMUM_PEM_BYTES))
    except ValueError as error:
        raise StoreError(
            f"{path} is not a certificate in PEM form",
            hint=f"remove {folder} and run `motte up` to make it anew",
        ) from error
    return certificate.serial_number


def _why_anew(
    folder: Path, authority: Authority, names: list[x509.GeneralName], clock: Clock
) -> str | None:
    paths = [folder / name for name in (SERVER_KEY, SERVER_CERTIFICATE, TRUSTED_AUTHORITY)]
    if not all(path.exists() for path in paths):
        return "there was none"
    key_pem, certificate_pem, trusted = (
        read_private(path, limit=MAXIMUM_PEM_BYTES) for path in paths
    )
    try:
        key = serialization.load_pem_private_key(key_pem, password=None)
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        present = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (ValueError, TypeError, x509.ExtensionNotFound):
        return "the old one was damaged"
    if trusted != authority.certificate_pem:
        raise StoreError(
            f"{folder / TRUSTED_AUTHORITY} is not the certificate of this fleet's authority",
            hint=f"somebody changed it; see what happened, then remove {folder} and run "
            "`motte up` to make it anew",
        )
    if key.public_key() != certificate.public_key():
        return "key and certificate did not belong together"
    if set(present.value) != set(names):
        return "the names it is reached by have changed"
    return "the old one was due" if needs_renewal(certificate, clock.now()) else None
