from __future__ import annotations

import shutil
import stat
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from motte.errors import StoreError
from motte.fleet.authority import (
    AUTHORITY_LIFETIME,
    CLOCK_SKEW,
    Authority,
    FileSigner,
    Issued,
    create_authority,
    needs_renewal,
    serial_text,
)
from motte.fleet.identity import Identity, Kind
from motte.fleet.server import server_names
from tests.support.fleet import START, SetClock, assert_helpful, text_of

WEEK = timedelta(days=7)
TOASTER = Identity(Kind.DEVICE, "toaster-1", {"group": "toaster"})


@pytest.fixture
def issued(authority: Authority) -> Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    return authority.issue_identity(TOASTER, key.public_key(), WEEK)


@pytest.fixture
def server(authority: Authority) -> Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    names = server_names("127.0.0.1", ["broker.example"], "myhost")
    return authority.issue_server(key.public_key(), timedelta(days=90), names)


def root(folder: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / "fleet.pem").read_bytes())


class TestTheAuthorityItself:
    def test_its_certificate_can_sign_certificates_and_nothing_below_them(
        self, authority_folder: Path
    ) -> None:
        certificate = root(authority_folder)
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        assert constraints.critical
        assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
        assert usage.critical
        granted = [usage.value.key_cert_sign, usage.value.crl_sign, usage.value.digital_signature]
        assert granted == [True, True, False]
        assert certificate.issuer == certificate.subject
        certificate.verify_directly_issued_by(certificate)
        lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
        assert lifetime == AUTHORITY_LIFETIME + CLOCK_SKEW

    def test_its_key_is_private_pkcs8_on_p256(self, authority_folder: Path) -> None:
        path = authority_folder / "fleet.key"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(authority_folder.stat().st_mode) == 0o700
        assert path.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
        key = serialization.load_pem_private_key(path.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        assert isinstance(key.curve, ec.SECP256R1)

    def test_it_never_replaces_one_that_is_there(
        self, authority_folder: Path, clock: SetClock
    ) -> None:
        before = (authority_folder / "fleet.key").read_bytes()
        with pytest.raises(StoreError):
            create_authority(authority_folder, fleet="home", clock=clock)
        assert (authority_folder / "fleet.key").read_bytes() == before

    def test_it_does_not_show_its_key(self, authority_folder: Path) -> None:
        shown = repr(FileSigner(authority_folder))
        assert "****" in shown
        assert "PRIVATE" not in shown


class TestAnIdentityCertificate:
    def test_it_names_one_identity_and_nothing_else(self, issued: Issued) -> None:
        found = issued.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        uri = "spiffe://home/group/toaster/device/toaster-1"
        assert list(found.value) == [x509.UniformResourceIdentifier(uri)]
        names = issued.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        assert [name.value for name in names] == ["toaster-1"]

    def test_it_is_good_for_a_tls_client_only(self, issued: Issued) -> None:
        extensions = issued.certificate.extensions
        usage = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
        key_usage = extensions.get_extension_for_class(x509.KeyUsage)
        assert key_usage.critical
        assert key_usage.value.digital_signature
        assert not key_usage.value.key_cert_sign
        assert not key_usage.value.key_agreement
        constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
        assert constraints == x509.BasicConstraints(ca=False, path_length=None)

    def test_it_begins_a_little_earlier_and_ends_when_it_should(self, issued: Issued) -> None:
        assert issued.not_before == START - CLOCK_SKEW
        assert issued.not_after == START + WEEK

    def test_it_points_to_its_issuer(self, issued: Issued, authority_folder: Path) -> None:
        issuer = root(authority_folder)
        own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        pointed = issued.certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
        assert pointed.value.key_identifier == own.digest
        issued.certificate.verify_directly_issued_by(issuer)

    def test_a_long_id_still_fits(self, authority: Authority) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        identity = Identity(Kind.SERVICE, "s" * 64, {f"k{n}": "v" * 64 for n in range(12)})
        issued = authority.issue_identity(identity, key.public_key(), WEEK)
        assert issued.certificate.subject.rfc4514_string() == "CN=" + "s" * 64

    def test_it_cannot_outlive_the_authority(self, authority: Authority, clock: SetClock) -> None:
        clock.advance(AUTHORITY_LIFETIME - timedelta(days=1))
        key = ec.generate_private_key(ec.SECP256R1())
        issued = authority.issue_identity(TOASTER, key.public_key(), WEEK)
        assert issued.not_after == START + AUTHORITY_LIFETIME

    @pytest.mark.parametrize("days", [-1, 3653])
    def test_a_clock_that_is_wrong_is_told(
        self, authority: Authority, clock: SetClock, days: int
    ) -> None:
        clock.advance(timedelta(days=days))
        key = ec.generate_private_key(ec.SECP256R1())
        with pytest.raises(StoreError, match="but today is") as caught:
            authority.issue_identity(TOASTER, key.public_key(), WEEK)
        assert_helpful(caught.value)

    def test_it_is_not_accepted_for_another_fleet(self, issued: Issued, tmp_path: Path) -> None:
        create_authority(tmp_path / "other", fleet="home", clock=SetClock())
        other = root(tmp_path / "other")
        policy = PolicyBuilder().store(Store([other])).time(START).build_client_verifier()
        with pytest.raises(VerificationError):
            policy.verify(issued.certificate, [])


class TestSerials:
    def test_they_are_positive_random_and_sixteen_bytes(self, authority: Authority) -> None:
        key = ec.generate_private_key(ec.SECP256R1()).public_key()
        serials = [authority.issue_identity(TOASTER, key, WEEK).serial for _ in range(20)]
        assert len(set(serials)) == 20
        for serial in serials:
            assert len(serial) == 32
            assert 0x40 <= int(serial[:2], 16) <= 0x7F, "one way to write it, and positive in DER"

    @pytest.mark.parametrize(("number", "text"), [(1, "01"), (0xABC, "0abc"), (0xABCD, "abcd")])
    def test_they_are_written_in_whole_bytes(self, number: int, text: str) -> None:
        assert serial_text(number) == text


class TestTheServerCertificate:
    def test_it_carries_every_name(self, server: Issued) -> None:
        found = server.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        assert found.value.get_values_for_type(x509.DNSName) == [
            "localhost",
            "broker.example",
            "myhost",
        ]
        addresses = found.value.get_values_for_type(x509.IPAddress)
        assert [str(address) for address in addresses] == ["127.0.0.1", "::1"]

    def test_it_is_good_for_a_tls_server_only(self, server: Issued) -> None:
        usage = server.certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]

    def test_it_is_renewed_in_its_last_third(self, server: Issued) -> None:
        lifetime = server.not_after - server.not_before
        due = server.not_after - lifetime / 3
        assert not needs_renewal(server.certificate, due)
        assert needs_renewal(server.certificate, due + timedelta(seconds=1))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")
class TestWhatOpensslSays:
    def verify(
        self, folder: Path, issued: Issued, purpose: str
    ) -> subprocess.CompletedProcess[str]:
        path = folder.parent / "issued.pem"
        path.write_bytes(issued.pem)
        moment = str(int((START + timedelta(hours=1)).timestamp()))
        command = ["openssl", "verify", "-x509_strict", "-attime", moment, "-purpose", purpose]
        return subprocess.run(
            [*command, "-CAfile", str(folder / "fleet.pem"), str(path)],
            capture_output=True,
            text=True,
            check=False,
        )

    def test_an_identity_is_a_client(self, authority_folder: Path, issued: Issued) -> None:
        verdict = self.verify(authority_folder, issued, "sslclient")
        assert verdict.returncode == 0, verdict.stderr

    def test_an_identity_is_no_server(self, authority_folder: Path, issued: Issued) -> None:
        verdict = self.verify(authority_folder, issued, "sslserver")
        assert "unsuitable certificate purpose" in verdict.stdout + verdict.stderr

    def test_the_server_is_a_server(self, authority_folder: Path, server: Issued) -> None:
        verdict = self.verify(authority_folder, server, "sslserver")
        assert verdict.returncode == 0, verdict.stderr

    def test_the_server_is_no_client(self, authority_folder: Path, server: Issued) -> None:
        assert self.verify(authority_folder, server, "sslclient").returncode != 0


class TestDamage:
    @pytest.mark.parametrize("name", ["fleet.key", "fleet.pem"])
    @pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "garbage", "other"])
    def test_each_is_named_with_the_way_back(
        self, authority_folder: Path, tmp_path: Path, name: str, damage: str
    ) -> None:
        path = authority_folder / name
        whole = path.read_bytes()
        if damage == "missing":
            path.unlink()
        elif damage == "other":
            create_authority(tmp_path / "other", fleet="home", clock=SetClock())
            path.write_bytes((tmp_path / "other" / name).read_bytes())
        else:
            pieces = {"empty": b"", "truncated": whole[: len(whole) // 2], "garbage": b"\x00" * 300}
            path.write_bytes(pieces[damage])
        with pytest.raises(StoreError) as caught:
            FileSigner(authority_folder)
        assert "fleet." in caught.value.message
        assert "backup" in str(caught.value.hint)
        assert_helpful(caught.value)

    def test_a_key_that_others_can_read_is_not_used(self, authority_folder: Path) -> None:
        (authority_folder / "fleet.key").chmod(0o640)
        with pytest.raises(StoreError, match="open to other users") as caught:
            FileSigner(authority_folder)
        assert "chmod 600" in text_of(caught.value)

    def test_a_folder_that_others_can_read_is_not_used(self, authority_folder: Path) -> None:
        authority_folder.chmod(0o755)
        with pytest.raises(StoreError, match="open to other users"):
            FileSigner(authority_folder)

    def test_an_identity_is_no_authority(self, authority_folder: Path, issued: Issued) -> None:
        (authority_folder / "fleet.pem").write_bytes(issued.pem)
        with pytest.raises(StoreError):
            FileSigner(authority_folder)
