from __future__ import annotations

import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from motte.errors import StoreError
from motte.fleet.authority import Authority
from motte.fleet.server import ensure_server_certificate, server_names
from tests.support.fleet import SetClock, assert_helpful


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "server"


@pytest.fixture
def ensure(folder: Path, authority: Authority, clock: SetClock) -> Callable[..., str | None]:
    def run(*names: str) -> str | None:
        return ensure_server_certificate(
            folder,
            authority,
            names=server_names("127.0.0.1", names, "myhost"),
            lifetime=timedelta(days=90),
            clock=clock,
        )

    return run


def pair_belongs_together(folder: Path) -> bool:
    key = serialization.load_pem_private_key((folder / "server.key").read_bytes(), None)
    certificate = x509.load_pem_x509_certificate((folder / "server.pem").read_bytes())
    return key.public_key() == certificate.public_key()


def test_it_is_made_once(folder: Path, ensure: Callable[..., str | None]) -> None:
    assert ensure() == "there was none"
    before = (folder / "server.pem").read_bytes()
    assert ensure() is None
    assert (folder / "server.pem").read_bytes() == before
    assert pair_belongs_together(folder)
    assert stat.S_IMODE((folder / "server.key").stat().st_mode) == 0o600


def test_it_is_renewed_with_a_new_key_in_its_last_third(
    folder: Path, ensure: Callable[..., str | None], clock: SetClock
) -> None:
    ensure()
    before = (folder / "server.key").read_bytes()
    clock.advance(timedelta(days=59))
    assert ensure() is None
    clock.advance(timedelta(days=2))
    assert ensure() == "the old one was due"
    assert (folder / "server.key").read_bytes() != before
    assert pair_belongs_together(folder)
    assert [path.name for path in folder.parent.iterdir() if "server" in path.name] == ["server"]


def test_it_follows_the_names_in_the_configuration(ensure: Callable[..., str | None]) -> None:
    ensure()
    assert ensure("broker.example") == "the names it is reached by have changed"
    assert ensure("broker.example") is None


@pytest.mark.parametrize("name", ["server.pem", "server.key"])
def test_a_damaged_one_is_made_anew(
    folder: Path, ensure: Callable[..., str | None], name: str
) -> None:
    ensure()
    (folder / name).write_bytes(b"")
    assert ensure() == "the old one was damaged"
    assert pair_belongs_together(folder)


def test_a_changed_authority_is_never_put_right_silently(
    folder: Path, ensure: Callable[..., str | None]
) -> None:
    ensure()
    (folder / "fleet.pem").write_bytes((folder / "server.pem").read_bytes())
    with pytest.raises(StoreError, match="not the certificate of this fleet") as caught:
        ensure()
    assert_helpful(caught.value)


def test_the_address_it_listens_on_is_a_name_unless_it_is_all_of_them() -> None:
    def addresses(address: str) -> list[str]:
        names = server_names(address, [], "myhost")
        return [str(name.value) for name in names if isinstance(name, x509.IPAddress)]

    assert addresses("192.0.2.7") == ["127.0.0.1", "::1", "192.0.2.7"]
    assert addresses("0.0.0.0") == addresses("::") == ["127.0.0.1", "::1"]  # noqa: S104


def test_a_host_name_that_dns_does_not_allow_is_left_out() -> None:
    names = server_names("127.0.0.1", [], "my_host")
    assert x509.DNSName("my_host") not in names
