"""What is inside of containers, made by the tools that people make them with."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from motte.firmware import limits
from motte.firmware import scan as scanning
from motte.firmware.model import ImageReport, Kind
from tests.firmware.material import DER, PEM, PKCS8, TRADITIONAL, chance, found, pair, scan

SECRET = b'{"mqtt": {"url": "mqtts://toaster:tr0ub4dor-and-3@broker.example"}}'


def payload() -> bytes:
    """Text with a key, and bytes that no compressor makes smaller, so that streams are long."""
    key = pair().private(PEM, PKCS8)
    return (
        b"# settings\n" * 900 + key + chance(9000) + pair("RSA").private(DER, TRADITIONAL) + SECRET
    )


def tar(*members: tuple[str, bytes], mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def zipped(method: int, *members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return out.getvalue()


def esptool(form: str, *pieces: tuple[int, bytes]) -> bytes:
    """What esptool makes of binaries and their addresses."""
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arguments = []
        for address, data in pieces:
            path = folder / f"{address:x}.bin"
            path.write_bytes(data)
            arguments += [hex(address), str(path)]
        command = [sys.executable, "-m", "esptool", "--chip", "esp32", "merge-bin"]
        out = folder / "out"
        subprocess.run(
            [*command, "--format", form, "-o", str(out), *arguments],
            check=True,
            capture_output=True,
            timeout=60,
        )
        return out.read_bytes()


STREAMS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "zlib, fast": lambda data: zlib.compress(data, 1),
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "tar.gz": lambda data: tar(("etc/settings", data), mode="w:gz"),
    "tar.xz": lambda data: tar(("etc/settings", data), mode="w:xz"),
    "zip": lambda data: zipped(zipfile.ZIP_DEFLATED, ("etc/settings", data)),
    "zip in gzip in zip": lambda data: zipped(
        zipfile.ZIP_DEFLATED, ("a.gz", gzip.compress(zipped(zipfile.ZIP_DEFLATED, ("b", data))))
    ),
    "UF2": lambda data: esptool("uf2", (0x1000, chance(700)), (0x9000, data)),
    "Intel HEX": lambda data: esptool("hex", (0x1000, chance(700)), (0x1FFF0, data)),
    "gzip in Intel HEX": lambda data: esptool("hex", (0, gzip.compress(data))),
}
PLAIN: dict[str, Callable[[bytes], bytes]] = {
    "tar": lambda data: tar(("x", b"y"), ("etc/settings", data)),
    "zip, stored": lambda data: zipped(zipfile.ZIP_STORED, ("etc/settings", data)),
    "cpio": lambda data: cpio("etc/settings", data),
}


def cpio(name: str, data: bytes) -> bytes:
    """An archive in the newc format, see cpio(5)."""

    def entry(name: bytes, data: bytes) -> bytes:
        fields = [0, 0o100644, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name + b"\0"
        head += b"\0" * (-len(head) % 4)
        return head + data + b"\0" * (-len(data) % 4)

    return entry(name.encode(), data) + entry(b"TRAILER!!!", b"")


def assert_all_found(report: ImageReport) -> None:
    assert found(report, Kind.PRIVATE_KEY) == {
        pair().name: "private key",
        pair("RSA").name: "private key",
    }
    assert "mqtts://broker.example" in repr(report)
    assert "tr0ub4dor" not in repr(report)
    assert not report.problems


@pytest.mark.parametrize("offset", [0, 4097])
@pytest.mark.parametrize("name", [*STREAMS, *PLAIN])
def test_what_is_in_a_container_is_found(name: str, offset: int) -> None:
    made = {**STREAMS, **PLAIN}[name](payload())
    assert_all_found(scan(b"\xff" * offset + made + b"\xff" * 700))


@pytest.mark.parametrize("name", [*PLAIN, "zip", "tar.gz"])
def test_a_place_has_the_name_of_its_file(name: str) -> None:
    report = scan({**STREAMS, **PLAIN}[name](payload()))
    key = next(finding for finding in report.findings if finding.public_key == pair().name)
    assert "etc/settings" in key.places[0].text


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("tenths", [3, 7, 9])
def test_a_cut_container_is_a_problem_and_the_scan_goes_on(name: str, tenths: int) -> None:
    made = STREAMS[name](payload())
    marker = pair("P-384").private(DER, PKCS8)
    alone = scan(made[: len(made) * tenths // 10])
    assert alone.problems
    report = scan(made[: len(made) * tenths // 10] + b"\xff" * 5000 + marker)
    assert pair("P-384").name in found(report)


@pytest.mark.parametrize("name", [*STREAMS, *PLAIN])
def test_flipped_bytes_never_stop_a_scan(name: str) -> None:
    made = {**STREAMS, **PLAIN}[name](payload())
    marker = b"\xff" * 5000 + pair("P-384").private(DER, PKCS8)
    for seed in range(25):
        noise = chance(4, seed)
        flipped = bytearray(made)
        flipped[int.from_bytes(noise[:3], "big") % len(made)] ^= noise[3] | 1
        report = scan(bytes(flipped) + marker)
        assert pair("P-384").name in found(report)


class TestBombs:
    def test_a_part_ends_at_its_limit_and_the_scan_goes_on(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(scanning, "MAXIMUM_PART_BYTES", 3_000_000)
        bomb = gzip.compress(b"\0" * 40_000_000)
        report = scan(bomb + b"\xff" * 100 + pair().private(DER, PKCS8))
        assert pair().name in found(report)
        [problem] = report.problems
        assert "unpacks to more" in problem.what
        assert report.scanned < 5_000_000

    def test_all_parts_together_have_a_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(scanning, "MAXIMUM_UNPACKED_BYTES", 3_000_000)
        report = scan(gzip.compress(b"\0" * 1_000_000) * 20)
        assert len(report.problems) == 17
        assert report.scanned < 5_000_000

    def test_containers_in_containers_end_at_a_depth(self) -> None:
        nested = pair().private(DER, PKCS8) + chance(5000)
        for _ in range(limits.MAXIMUM_DEPTH + 1):
            nested = gzip.compress(nested)
        report = scan(nested)
        assert any("deep" in problem.what for problem in report.problems)
        assert not scan(gzip.decompress(nested)).problems

    def test_parts_are_counted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(scanning, "MAXIMUM_PARTS", 5)
        report = scan(gzip.compress(b"text" * 2000) * 9)
        assert report.parts == 5
        assert "more than 5 parts" in report.problems[0].what

    def test_what_is_unpacked_needs_no_memory_of_its_size(self) -> None:
        import tracemalloc

        bomb = gzip.compress(b"\0" * 60_000_000)
        tracemalloc.start()
        report = scan(bomb)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert report.scanned > 60_000_000
        assert peak < 30_000_000

    def test_what_is_found_is_counted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(scanning, "MAXIMUM_FINDINGS", 3)
        image = b"".join(b"mqtt://host%d.example\0" % number for number in range(50))
        report = scan(image)
        assert len(report.findings) == 3
        assert report.problems

    def test_a_needle_that_is_everywhere_is_given_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(scanning, "MAXIMUM_CANDIDATES", 100)
        report = scan(b"\x30\x82" * 500 + pair().private(PEM, PKCS8))
        assert pair().name in found(report)
        assert [problem.offset for problem in report.problems] == [200]
