"""What a credential that was found is worth in a deployment, and what the command says of it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from motte.cli import main
from motte.deployment import Deployment
from motte.errors import ExitCode
from motte.firmware.fleet import DeploymentView
from motte.firmware.pairing import Standing, State, pair
from motte.plane.context import ControlPlane
from tests.firmware.material import DER, PEM, PKCS8, chance, scan
from tests.firmware.material import pair as key_pair
from tests.support.fleet import SetClock, make_deployment


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def plane(tmp_path: Path, clock: SetClock) -> Iterator[ControlPlane]:
    deployment = make_deployment(tmp_path / "deployment", clock)
    with ControlPlane(deployment, clock=clock) as opened:
        yield opened


def bundle(plane: ControlPlane, *names: str, of: str = "toaster-1") -> bytes:
    folder = plane.deployment.bundle(of)
    return b"\xff".join((folder / name).read_bytes() for name in names)


def standings(plane: ControlPlane, image: bytes) -> list[Standing | None]:
    return [one.standing for one in pair(scan(image), DeploymentView(plane))]


def test_a_live_identity(plane: ControlPlane) -> None:
    [key, certificate] = pair(
        scan(bundle(plane, "key.pem", "certificate.pem")), DeploymentView(plane)
    )
    assert key.standing == certificate.standing == Standing(State.LIVE, "toaster-1")
    assert key.opens_the_fleet
    assert [one.title for one in key.partners] == ["certificate of CN=toaster-1"]


def test_a_key_alone_is_known_by_the_bundle(plane: ControlPlane) -> None:
    assert standings(plane, bundle(plane, "key.pem")) == [Standing(State.LIVE, "toaster-1")]


def test_a_certificate_alone_opens_nothing(plane: ControlPlane) -> None:
    [one] = pair(scan(bundle(plane, "certificate.pem")), DeploymentView(plane))
    assert one.standing == Standing(State.LIVE, "toaster-1")
    assert not one.opens_the_fleet


def test_a_revoked_identity(plane: ControlPlane) -> None:
    image = bundle(plane, "key.pem", "certificate.pem")
    plane.fleet.revoke("toaster-1", why="stolen")
    assert set(standings(plane, image)) == {Standing(State.REVOKED, "toaster-1")}


def test_a_quarantined_identity(plane: ControlPlane) -> None:
    image = bundle(plane, "key.pem", "certificate.pem")
    plane.fleet.quarantine("toaster-1", why="odd")
    assert set(standings(plane, image)) == {Standing(State.QUARANTINED, "toaster-1")}


def test_an_expired_certificate(plane: ControlPlane, clock: SetClock) -> None:
    clock.advance(timedelta(days=8))
    image = bundle(plane, "key.pem", "certificate.pem")
    assert set(standings(plane, image)) == {Standing(State.EXPIRED, "toaster-1")}


def test_a_certificate_that_only_claims_to_be_of_the_fleet(plane: ControlPlane) -> None:
    # The name and the serial of toaster-1, signed by somebody else.
    genuine = x509.load_pem_x509_certificate(bundle(plane, "certificate.pem"))
    forger = key_pair()
    builder = x509.CertificateBuilder(
        genuine.issuer,
        genuine.subject,
        forger.key.public_key(),
        genuine.serial_number,
        genuine.not_valid_before_utc,
        genuine.not_valid_after_utc,
    )
    for extension in genuine.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    forged = builder.sign(forger.key, hashes.SHA256())
    image = forged.public_bytes(DER) + b"\xff" + forger.private(PEM, PKCS8)
    assert {one and one.state for one in standings(plane, image)} == {State.FOREIGN}


def test_a_certificate_that_the_registry_does_not_know(
    plane: ControlPlane, tmp_path: Path, clock: SetClock
) -> None:
    image = bundle(plane, "key.pem", "certificate.pem")
    other = make_deployment(tmp_path / "other", clock)
    with ControlPlane(other, clock=clock) as without:
        # The authority is the same, as after a registry was put back from an old backup.
        for path in plane.deployment.authority.iterdir():
            (other.authority / path.name).write_bytes(path.read_bytes())
        assert set(standings(without, image)) == {Standing(State.UNREGISTERED, "toaster-1")}


def test_the_key_of_the_authority(plane: ControlPlane) -> None:
    image = (plane.deployment.authority / "fleet.key").read_bytes()
    [one] = pair(scan(image), DeploymentView(plane))
    assert one.standing == Standing(State.AUTHORITY)
    assert one.opens_the_fleet


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str


@pytest.fixture
def motte(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Ran]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MOTTE_DIRECTORY", raising=False)

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        code = main(["firmware", "scan", *arguments])
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return run


class TestCommand:
    @pytest.fixture
    def deployment(self, tmp_path: Path) -> Deployment:
        return make_deployment(tmp_path / "my fleet")

    def image(self, deployment: Deployment, tmp_path: Path) -> Path:
        folder = deployment.bundle("toaster-1")
        path = tmp_path / "fire ware.bin"
        key, certificate = (folder / name for name in ("key.pem", "certificate.pem"))
        path.write_bytes(chance(5000) + key.read_bytes() + certificate.read_bytes())
        return path

    def test_names_the_identity_and_how_to_revoke_it(
        self, motte: Callable[..., Ran], deployment: Deployment, tmp_path: Path
    ) -> None:
        image = self.image(deployment, tmp_path)
        ran = motte(str(image), "-C", str(deployment.root))
        assert ran.code == ExitCode.OK
        assert "live in this fleet: toaster-1" in ran.out
        assert "spiffe://home/group/toaster/device/toaster-1" in ran.out
        [command] = [line for line in ran.out.splitlines() if "revoke with" in line]
        words = shlex.split(command.partition("revoke with")[2])
        assert words[:4] == ["motte", "device", "revoke", "toaster-1"]
        assert main(words[1:]) == ExitCode.OK
        again = motte(str(image), "-C", str(deployment.root))
        assert "revoked in this fleet" in again.out
        assert "revoke with" not in again.out

    def test_as_json(
        self, motte: Callable[..., Ran], deployment: Deployment, tmp_path: Path
    ) -> None:
        image = self.image(deployment, tmp_path)
        ran = motte(str(image), "--json", "-C", str(deployment.root))
        document: Any = json.loads(ran.out)
        assert document["key_found"]
        assert document["complete"]
        key, certificate = document["images"][0]["findings"]
        assert (key["kind"], key["places"][0]["offset"]) == ("private key", 5000)
        assert key["fleet"]["state"] == "live"
        assert key["fleet"]["revoke"][:4] == ["motte", "device", "revoke", "toaster-1"]
        assert key["belongs_to"] == [certificate["fingerprint_sha256"]]

    def test_without_a_deployment(self, motte: Callable[..., Ran], tmp_path: Path) -> None:
        (tmp_path / "image.bin").write_bytes(key_pair().private(DER, PKCS8))
        ran = motte("image.bin")
        assert ran.code == ExitCode.OK
        assert "1 key, 0 other secrets in 1 image" in ran.out
        assert "no deployment here" in ran.out

    @pytest.mark.parametrize(("planted", "code"), [(True, ExitCode.FOUND), (False, ExitCode.OK)])
    def test_fail_on_key(
        self, motte: Callable[..., Ran], tmp_path: Path, planted: bool, code: ExitCode
    ) -> None:
        key = key_pair().private(PEM, PKCS8) if planted else b""
        (tmp_path / "image.bin").write_bytes(chance(3000) + key)
        assert motte("image.bin", "--fail-on-key").code == code

    def test_sarif(self, motte: Callable[..., Ran], tmp_path: Path) -> None:
        (tmp_path / "image.bin").write_bytes(b"\0" * 9 + key_pair().private(PEM, PKCS8))
        assert motte("image.bin", "--sarif", "out.sarif").code == ExitCode.OK
        [run] = json.loads((tmp_path / "out.sarif").read_text())["runs"]
        [result] = run["results"]
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] == "error"
        assert result["locations"][0]["physicalLocation"]["region"]["byteOffset"] == 9

    @pytest.mark.parametrize("name", ["missing.bin", "."])
    def test_what_is_no_image(self, motte: Callable[..., Ran], name: str) -> None:
        ran = motte(name)
        assert ran.code == ExitCode.FAILURE
        assert ran.err.startswith("error: ")
        assert "\n\nhint: " in ran.err

    def test_a_name_full_of_escapes_drives_no_terminal(
        self, motte: Callable[..., Ran], tmp_path: Path
    ) -> None:
        (tmp_path / "\x1b[2J.bin").write_bytes(key_pair().private(PEM, PKCS8))
        assert "\x1b" not in motte("\x1b[2J.bin").out

    def test_a_folder_that_was_named_and_is_no_deployment(
        self, motte: Callable[..., Ran], tmp_path: Path
    ) -> None:
        (tmp_path / "image.bin").write_bytes(b"")
        assert motte("image.bin", "-C", "nowhere").code == ExitCode.CONFIG
        assert motte("image.bin").code == ExitCode.OK
