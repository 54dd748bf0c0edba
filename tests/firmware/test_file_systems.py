"""File systems of devices: LittleFS and FAT by their own tools, SPIFFS as specified."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from littlefs import LittleFS

from motte.firmware.model import ImageReport, Kind
from tests.firmware.material import DER, PEM, PKCS8, chance, found, pair, scan


def key_across(boundary: int) -> bytes:
    """A file in which the key's PEM lies across each multiple of ``boundary`` near its middle."""
    key = pair().private(PEM, PKCS8)
    before = -(-9000 // boundary) * boundary - len(key) // 2
    return b"#" * before + key + b"#" * 3000


def path_of(report: ImageReport, name: str) -> tuple[str, ...]:
    [finding] = [finding for finding in report.findings if finding.fingerprint == name]
    return finding.places[0].path


def littlefs(files: dict[str, bytes], *, block: int = 4096, blocks: int = 64) -> bytes:
    volume = LittleFS(block_size=block, block_count=blocks)
    for name, data in files.items():
        parent = str(Path(name).parent)
        if parent != ".":
            volume.makedirs(parent, exist_ok=True)
        with volume.open(name, "wb") as file:
            file.write(data)
    return bytes(volume.context.buffer)


class TestLittleFS:
    @pytest.mark.parametrize("block", [512, 4096])
    @pytest.mark.parametrize("shift", range(-200, 280, 60))
    def test_a_file_in_blocks_is_put_together(self, block: int, shift: int) -> None:
        # The first block holds all its bytes, later ones 4 or more fewer.
        data = b"#" * (2 * block + shift) + pair().private(PEM, PKCS8) + b"#" * 3000
        image = littlefs({"etc/key.pem": data}, block=block, blocks=128)
        report = scan(image)
        assert found(report) == {pair().name: "private key"}
        places = [place.path for finding in report.findings for place in finding.places]
        assert places[0][:2] == ("image.bin", "littlefs")
        assert any("key.pem at" in path[-1] for path in places)
        assert not report.problems

    def test_a_small_file_has_its_name(self) -> None:
        image = littlefs({"a.txt": b"x", "device.key": pair().private(DER, PKCS8), "b": b"y"})
        report = scan(b"\xff" * 8192 + image)
        # Both copies of the folder tell; the older one has no names any more.
        [finding] = report.findings
        paths = [place.path for place in finding.places]
        assert ("image.bin", "littlefs", "device.key") in paths
        assert not report.problems

    def test_names_are_right_after_files_were_removed_and_made(self) -> None:
        volume = LittleFS(block_size=4096, block_count=64)
        for name in ("a", "c", "e", "g"):
            with volume.open(name, "wb") as file:
                file.write(name.encode() * 9)
        volume.remove("c")
        with volume.open("f", "wb") as file:
            file.write(pair().private(DER, PKCS8))
        with volume.open("b", "wb") as file:
            file.write(pair("Ed25519").private(DER, PKCS8))
        report = scan(bytes(volume.context.buffer))
        assert path_of(report, pair().name)[-1] == "f"
        assert path_of(report, pair("Ed25519").name)[-1] == "b"

    def test_many_files_in_many_folders(self) -> None:
        files = {f"d{number % 7}/f{number}": chance(900, number) for number in range(90)}
        files["d3/key.pem"] = key_across(4096)
        report = scan(littlefs(files, blocks=256))
        assert found(report) == {pair().name: "private key"}
        assert not report.problems

    @pytest.mark.parametrize("size", [6000, 30_000, 100_000])
    def test_a_cut_one_is_a_problem(self, size: int) -> None:
        image = littlefs({"key.pem": key_across(4096)})
        assert scan(image[:size]).problems


def fat(folder: Path, kind: int, files: dict[str, bytes], *, kibibytes: int) -> bytes:
    image = folder / "fat.img"
    image.write_bytes(b"\0" * kibibytes * 1024)

    def run(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    cluster = "1" if kind != 12 else "4"
    run("/usr/sbin/mkfs.fat", "-F", str(kind), "-s", cluster, str(image))
    run("mmd", "-i", str(image), "::certificates")
    # Two files that take turns with a third are in pieces when that one is gone.
    for number in range(12):
        small = folder / "small"
        small.write_bytes(b"s" * 2048)
        run("mcopy", "-i", str(image), str(small), f"::small{number}")
    for number in range(0, 12, 2):
        run("mdel", "-i", str(image), f"::small{number}")
    for name, data in files.items():
        source = folder / "source"
        source.write_bytes(data)
        run("mcopy", "-i", str(image), str(source), f"::{name}")
    return image.read_bytes()


class TestFAT:
    @pytest.mark.parametrize(("kind", "kibibytes"), [(12, 2048), (16, 8192), (32, 34_000)])
    def test_a_file_in_pieces_is_put_together(
        self, tmp_path: Path, kind: int, kibibytes: int
    ) -> None:
        files = {
            "certificates/The Key of the Device.pem": key_across(2048),
            "settings.txt": b"mqtts://toaster:tr0ub4dor-and-3@broker.example",
        }
        report = scan(b"\xff" * 512 + fat(tmp_path, kind, files, kibibytes=kibibytes))
        assert found(report, Kind.PRIVATE_KEY) == {pair().name: "private key"}
        [key] = [finding for finding in report.findings if finding.kind is Kind.PRIVATE_KEY]
        assert any(
            f"FAT{kind}" in place.path and "certificates/The Key of the Device.pem" in place.text
            for place in key.places
        )
        [password] = [finding for finding in report.findings if finding.kind is Kind.CREDENTIAL]
        assert password.places[0].path == ("image.bin", f"FAT{kind}", "settings.txt")
        assert not report.problems

    def test_a_cut_one_is_a_problem(self, tmp_path: Path) -> None:
        image = fat(tmp_path, 12, {"key.pem": key_across(2048)}, kibibytes=2048)
        assert scan(image[: len(image) // 3]).problems

    def test_a_chain_that_goes_round_ends(self, tmp_path: Path) -> None:
        image = bytearray(fat(tmp_path, 16, {"key.pem": key_across(2048)}, kibibytes=8192))
        table = 512 * struct.unpack_from("<H", image, 14)[0]
        for cluster in range(2, 120):
            struct.pack_into("<H", image, table + 2 * cluster, 2)
        scan(bytes(image))


def spiffs(files: dict[str, bytes], *, blocks: int = 16) -> bytes:
    """A file system as spiffs_nucleus.h lays it out, with pages of 256 bytes in blocks of 4 KiB."""
    pages: list[tuple[int, bytes]] = []
    for number, (name, data) in enumerate(files.items(), start=1):
        head = struct.pack("<HHBxxxIB", number | 0x8000, 0, 0xF8, len(data), 1)
        pages.append((number | 0x8000, head + name.encode().ljust(32, b"\0") + b"\xff" * 4))
        for place in range(-(-len(data) // 251)):
            body = data[251 * place : 251 * place + 251]
            pages.append((number, struct.pack("<HHB", number, place, 0xFC) + body))
    image = b""
    for block in range(blocks):
        here, pages = pages[:15], pages[15:]
        lookup = b"".join(struct.pack("<H", number) for number, _ in here).ljust(252, b"\xff")
        magic = (0x20140529 ^ 256 ^ (blocks - block)) & 0xFFFF
        image += lookup + struct.pack("<HH", magic, 0)
        image += b"".join(page.ljust(256, b"\xff") for _, page in here).ljust(4096 - 256, b"\xff")
    assert not pages
    return image


class TestSPIFFS:
    def test_a_file_in_pages_is_put_together(self) -> None:
        files = {
            "/settings.json": b'{"mqtt": {"password": "tr0ub4dor-and-3"}}' + b" " * 600,
            "/key.pem": pair().private(PEM, PKCS8) + pair().certificate.public_bytes(PEM),
            "/rsa.der": pair("RSA").private(DER, PKCS8),
        }
        report = scan(b"\xff" * 8192 + spiffs(files) + b"\xff" * 4096)
        assert found(report, Kind.PRIVATE_KEY, Kind.CERTIFICATE) == {
            pair().name: "private key",
            pair("RSA").name: "private key",
            pair().certificate_name: "certificate",
        }
        path = path_of(report, pair().name)
        assert path[:2] == ("image.bin", "SPIFFS")
        assert path[2].startswith("/key.pem at")
        assert not report.problems

    def test_a_deleted_file_still_tells(self) -> None:
        image = bytearray(spiffs({"/key.pem": pair().private(PEM, PKCS8)}))
        for page in range(256, 4096, 256):
            if image[page : page + 2] != b"\xff\xff":
                image[page + 4] &= 0x7F
        assert found(scan(bytes(image))) == {pair().name: "private key"}

    def test_a_cut_one_is_a_problem(self) -> None:
        image = spiffs({"/key.pem": pair().private(PEM, PKCS8)})
        report = scan(image[:20_000])
        assert found(report) == {pair().name: "private key"}
        assert report.problems


MAKERS: dict[str, Callable[[Path], bytes]] = {
    "LittleFS": lambda _: littlefs({"d/key.pem": key_across(4096), "b": b"x" * 70}),
    "FAT": lambda folder: fat(folder, 12, {"key.pem": key_across(2048)}, kibibytes=1024),
    "SPIFFS": lambda _: spiffs({"/key.pem": pair().private(PEM, PKCS8)}),
}


@pytest.mark.parametrize("name", MAKERS)
def test_flipped_bytes_never_stop_a_scan(name: str, tmp_path: Path) -> None:
    image = MAKERS[name](tmp_path)
    marker = b"\xff" * 4096 + pair("P-384").private(DER, PKCS8)
    used = [at for at, byte in enumerate(image) if byte not in {0, 0xFF, ord("#")}]
    for seed in range(30):
        noise = chance(4, seed)
        flipped = bytearray(image)
        flipped[used[int.from_bytes(noise[:3], "big") % len(used)]] ^= noise[3] | 1
        assert pair("P-384").name in found(scan(bytes(flipped) + marker))
