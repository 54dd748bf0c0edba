"""No false key in ordinary programs and libraries: what is reported as a key is one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from motte.firmware import scan_file
from motte.firmware.model import Kind

MAXIMUM_BYTES = 60_000_000
"""Bytes that are scanned: a second. The figure in docs/firmware.md is from 600 MB."""


def programs() -> Iterator[Path]:
    total = 0
    for folder in ("/usr/bin", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"):
        for path in sorted(Path(folder).glob("*")):
            if path.is_symlink() or not path.is_file() or path.stat().st_size > MAXIMUM_BYTES // 3:
                continue
            total += path.stat().st_size
            if total > MAXIMUM_BYTES:
                return
            yield path


def test_every_key_in_a_system_binary_is_one_for_openssl_too() -> None:
    scanned = 0
    for path in programs():
        report = scan_file(path)
        scanned += report.size
        for finding in report.findings:
            if not finding.kind.is_key:
                continue
            assert finding.kind is Kind.PRIVATE_KEY, (path, finding)
            place = finding.places[0]
            assert place.form.startswith("DER"), (path, finding)
            whole = path.read_bytes()[place.offset : place.offset + 20_000]
            checked = subprocess.run(
                ["openssl", "pkey", "-inform", "DER", "-noout"],
                input=whole,
                capture_output=True,
                check=False,
            )
            assert checked.returncode == 0, (path, finding, checked.stderr)
    assert scanned > 10_000_000
