"""Bundles: the folder that a device or service gets, with its key, certificate and examples.

The private key exists in the bundle and nowhere else. A bundle is put together in a hidden folder
and appears under its name in one step; an existing one is never written over.
"""

import secrets
import shlex
import shutil
import string
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from motte.errors import EnrollmentError, StoreError
from motte.files import (
    PRIVATE_FOLDER,
    check_private,
    file_errors,
    make_private_folder,
    sync_folder,
    write_private,
)
from motte.fleet.identity import Identity

if TYPE_CHECKING:
    import ssl

__all__ = [
    "AUTHORITY_FILE",
    "CERTIFICATE_FILE",
    "KEY_FILE",
    "Bundle",
    "BundleDraft",
    "Endpoint",
    "Examples",
    "draft_bundle",
    "open_bundle",
    "remove_drafts",
]

KEY_FILE: Final = "key.pem"
"""The private key."""
CERTIFICATE_FILE: Final = "certificate.pem"
"""The certificate that goes with it."""
AUTHORITY_FILE: Final = "authority.pem"
"""The fleet's authority, by which the broker is recognized."""
DRAFT_PREFIX: Final = ".new+"
"""How the name of a bundle that is not finished begins; no id has a ``+``, see `Identity`."""
RETIRED_PREFIX: Final = ".old+"
"""How the name of a bundle that was just replaced begins, until it is deleted."""
ABANDONED_AFTER: Final = timedelta(hours=1)
"""Age from which a draft is taken for the remains of a crash: making one takes milliseconds."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the broker is reached."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Examples:
    """Topics that the examples in a bundle use; ``None`` where the policy grants nothing."""

    publish: str | None = None
    subscribe: str | None = None


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle on disk."""

    folder: Path

    @property
    def key(self) -> Path:
        """File of the private key."""
        return self.folder / KEY_FILE

    @property
    def certificate(self) -> Path:
        """File of the certificate."""
        return self.folder / CERTIFICATE_FILE

    @property
    def authority(self) -> Path:
        """File of the fleet authority's certificate."""
        return self.folder / AUTHORITY_FILE

    def tls_context(self) -> "ssl.SSLContext":
        """What a client of the fleet connects with: TLS 1.3, the fleet's authority and no other.

        Raises ``ssl.SSLError`` where a file is not what it should be, ``OSError`` where it cannot
        be read.
        """
        import ssl

        context = ssl.create_default_context(cafile=str(self.authority))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(self.certificate, self.key)
        return context


@dataclass(frozen=True, slots=True)
class BundleDraft:
    """A bundle that is written but does not have its name yet."""

    folder: Path
    target: Path

    def keep(self) -> Bundle:
        """Gives the bundle its name; refuses if something has that name."""
        if self.target.exists():
            raise _exists(self.target)
        with file_errors("make", self.target):
            self.folder.rename(self.target)
            sync_folder(self.target.parent)
        return Bundle(self.target)

    def replace(self) -> Bundle:
        """Gives the bundle its name and deletes the one that had it."""
        retired = self.target.with_name(f"{RETIRED_PREFIX}{secrets.token_hex(8)}")
        with file_errors("replace", self.target):
            if self.target.exists():
                self.target.rename(retired)
            self.folder.rename(self.target)
            sync_folder(self.target.parent)
            shutil.rmtree(retired, ignore_errors=True)
        return Bundle(self.target)

    def discard(self) -> None:
        """Deletes what was written, the private key first of all."""
        (self.folder / KEY_FILE).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.discard()


def draft_bundle(
    target: Path,
    *,
    identity: Identity,
    key_pem: bytes,
    certificate_pem: bytes,
    authority_pem: bytes,
    endpoint: Endpoint,
    examples: Examples,
) -> BundleDraft:
    """Writes a whole bundle beside the place it is meant for."""
    make_private_folder(target.parent)
    folder = target.with_name(f"{DRAFT_PREFIX}{secrets.token_hex(8)}")
    draft = BundleDraft(folder, target)
    with file_errors("make", target):
        folder.mkdir(mode=PRIVATE_FOLDER)
    with draft:
        write_private(folder / CERTIFICATE_FILE, certificate_pem)
        write_private(folder / AUTHORITY_FILE, authority_pem)
        for name, text in _example_files(identity, endpoint, examples).items():
            write_private(folder / name, text.encode())
        write_private(folder / KEY_FILE, key_pem)
    return draft


def open_bundle(folder: Path) -> Bundle:
    """An existing bundle, refused unless it is whole and private."""
    bundle = Bundle(folder)
    if not folder.is_dir():
        raise EnrollmentError(
            f"there is no bundle in {folder}",
            hint=f"`motte device list` shows who is enrolled; `motte device add {folder.name}` "
            "enrols",
        )
    for path in (bundle.key, bundle.certificate, bundle.authority):
        if not path.exists():
            raise StoreError(
                f"{path} is missing",
                hint=f"a key is kept nowhere else; `motte device rotate {folder.name}` makes a "
                "new one",
            )
    check_private(bundle.key)
    return bundle


def remove_drafts(folder: Path, now: datetime) -> int:
    """Deletes what interrupted commands left behind; says how many bundles that was."""
    horizon = (now - ABANDONED_AFTER).timestamp()
    left = [
        path
        for prefix in (DRAFT_PREFIX, RETIRED_PREFIX)
        for path in folder.glob(f"{prefix}*")
        if path.is_dir() and not path.is_symlink() and path.stat().st_mtime < horizon
    ]
    for path in left:
        BundleDraft(path, path).discard()
    return len(left)


def _example_files(identity: Identity, endpoint: Endpoint, examples: Examples) -> dict[str, str]:
    publish = examples.publish or f"{identity.kind}s/{identity.id}/telemetry"
    subscribe = examples.subscribe or f"{identity.kind}s/{identity.id}/command"
    values = {
        "id": identity.id,
        "kind": str(identity.kind),
        "host": endpoint.host,
        "port": str(endpoint.port),
        "shell_publish": shlex.quote(publish),
        "shell_subscribe": shlex.quote(subscribe),
        "python_publish": repr(publish),
    }
    return {
        name: string.Template(_template(f"{name}.template")).substitute(values)
        for name in ("README.md", "client.py")
    }


def _template(name: str) -> str:
    return (resources.files("motte.fleet") / "templates" / name).read_text(encoding="utf-8")


def _exists(target: Path) -> EnrollmentError:
    return EnrollmentError(
        f"{target} already exists",
        hint="a bundle is never written over; move that folder away first",
    )
