"""Flash of ESP32 chips and file systems of devices, made by their own tools."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest

from motte.firmware.model import Kind
from tests.firmware.material import DER, PEM, PKCS8, chance, found, pair, scan

PASSWORD = "tr0ub4dor-and-3"


def nvs(folder: Path, *rows: tuple[str, str, str, object], size: int = 0x8000) -> bytes:
    """What esp-idf-nvs-partition-gen makes of rows of key, type, encoding and value."""
    lines = ["key,type,encoding,value"]
    for key, kind, encoding, value in rows:
        shown = value
        if isinstance(value, bytes):
            path = folder / f"{key}.value"
            path.write_bytes(value)
            shown = path
        lines.append(f"{key},{kind},{encoding},{shown}")
    table, out = folder / "nvs.csv", folder / "nvs.bin"
    table.write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "esp_idf_nvs_partition_gen", "generate", str(table), str(out)]
    subprocess.run([*command, hex(size)], check=True, capture_output=True, timeout=60)
    return out.read_bytes()


def partition(kind: int, subtype: int, offset: int, size: int, name: str, flags: int = 0) -> bytes:
    """An entry as ESP-IDF's gen_esp32part.py packs it."""
    return struct.pack("<HBBII16sI", 0x50AA, kind, subtype, offset, size, name.encode(), flags)


@pytest.fixture
def store(tmp_path: Path) -> bytes:
    return nvs(
        tmp_path,
        ("wifi", "namespace", "", ""),
        ("ssid", "data", "string", "home"),
        ("pswd", "data", "string", PASSWORD),
        ("boots", "data", "u32", 7),
        ("cloud", "namespace", "", ""),
        ("certificate", "file", "binary", pair().certificate.public_bytes(DER)),
        ("key", "file", "binary", pair().private(DER, PKCS8)),
        ("history", "file", "binary", chance(2500) + pair("RSA").private(PEM, PKCS8) + b"\0" * 900),
    )


def test_nvs_has_names_and_its_passwords_are_masked(store: bytes) -> None:
    report = scan(store)
    assert found(report, Kind.PRIVATE_KEY) == {
        pair().name: "private key",
        pair("RSA").name: "private key",
    }
    [key] = [finding for finding in report.findings if finding.title == "P-256 private key"]
    assert key.places[0].path == ("image.bin", "NVS cloud/key")
    [password] = [finding for finding in report.findings if finding.kind is Kind.CREDENTIAL]
    assert password.facts == {"setting": "wifi/pswd"}
    assert PASSWORD not in repr(report)
    assert not report.problems


@pytest.mark.parametrize("before", [1800, 2600, 3300, 3700])
def test_a_blob_across_two_pages_is_put_together(tmp_path: Path, before: int) -> None:
    # The generator fills a page before it goes on in the next: PEM is cut by a page's head.
    blob = b"#" * before + pair().private(PEM, PKCS8) + b"#" * 3000
    image = nvs(tmp_path, ("a", "namespace", "", ""), ("blob", "file", "binary", blob))
    assert found(scan(image), Kind.PRIVATE_KEY) == {pair().name: "private key"}


def test_an_erased_entry_still_tells(store: bytes) -> None:
    # Entry 3 is the password: erasing sets its two bits of the bitmap, and those of its data, to 0.
    erased = bytearray(store)
    at = next(index for index in range(126) if erased[64 + 32 * index + 8 :].startswith(b"pswd\0"))
    for index in (at, at + 1):
        erased[32 + index // 4] &= ~(3 << (index % 4 * 2)) & 0xFF
    [password] = [
        finding for finding in scan(bytes(erased)).findings if finding.kind is Kind.CREDENTIAL
    ]
    assert password.facts == {"setting": "wifi/pswd", "state": "erased, and still in flash"}


def test_an_encrypted_store_is_a_problem(store: bytes) -> None:
    # Encryption leaves the heads of the pages alone and takes each entry.
    encrypted = bytearray(store)
    for page in range(0, len(store), 4096):
        encrypted[page + 64 : page + 4096] = chance(4032, page)
    report = scan(bytes(encrypted))
    assert not report.has_key
    assert ["encrypted" in problem.what for problem in report.problems] == [True]


@pytest.mark.parametrize("cut", [100, 4095, 4097, 9000])
def test_a_cut_store_is_read_as_far_as_it_goes(store: bytes, cut: int) -> None:
    report = scan(store[:cut] + pair("P-384").private(DER, PKCS8))
    assert pair("P-384").name in found(report)


def test_a_whole_flash_has_partitions(store: bytes) -> None:
    table = partition(1, 2, 0x9000, len(store), "nvs") + partition(0, 0, 0x20000, 0x1000, "factory")
    flash = bytearray(b"\xff" * 0x40000)
    flash[0x8000 : 0x8000 + len(table)] = table
    flash[0x9000 : 0x9000 + len(store)] = store
    app = chance(500) + pair("Ed25519").private(DER, PKCS8)
    flash[0x20000 : 0x20000 + len(app)] = app
    report = scan(bytes(flash))
    places = {finding.fingerprint: finding.places[0].path for finding in report.findings}
    assert places[pair().name] == ("image.bin", "partition nvs", "NVS cloud/key")
    assert places[pair("Ed25519").name] == ("image.bin", "partition factory")
    assert not report.problems


def test_an_encrypted_partition_is_a_problem() -> None:
    flash = bytearray(b"\xff" * 0x20000)
    table = partition(1, 2, 0x9000, 0x6000, "nvs", flags=1)
    flash[0x8000 : 0x8000 + len(table)] = table
    [problem] = scan(bytes(flash)).problems
    assert problem.what == "the partition `nvs` is encrypted in flash"


def squashfs(folder: Path, compressor: str) -> bytes:
    tree = folder / "tree"
    tree.mkdir()
    (tree / "settings").write_bytes(b"# settings\n" * 500 + pair().private(PEM, PKCS8))
    (tree / "large").write_bytes(chance(300_000))
    out = folder / "image.sqfs"
    command = ["mksquashfs", str(tree), str(out), "-quiet", "-no-progress", "-comp", compressor]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return out.read_bytes()


@pytest.mark.parametrize("compressor", ["gzip", "xz"])
def test_squashfs_is_read_block_by_block(tmp_path: Path, compressor: str) -> None:
    report = scan(b"\xff" * 64 + squashfs(tmp_path, compressor))
    assert found(report) == {pair().name: "private key"}
    assert report.findings[0].places[0].path[1] == f"squashfs of {compressor}"
    assert not report.problems


@pytest.mark.parametrize("compressor", ["lzo", "lz4", "zstd"])
def test_squashfs_that_is_not_read_is_a_problem(tmp_path: Path, compressor: str) -> None:
    [problem] = scan(squashfs(tmp_path, compressor)).problems
    assert "unsquashfs" in problem.what


def test_a_cut_squashfs_is_a_problem(tmp_path: Path) -> None:
    whole = squashfs(tmp_path, "gzip")
    assert scan(whole[: len(whole) // 2]).problems
