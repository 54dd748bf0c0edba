"""The checker of the evidence log, against a chain built here from the words of the format."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from motte.errors import StoreError
from motte.plane.evidence import MAXIMUM_LINE_BYTES, Broken, Verified, tail, verify
from tests.support.fleet import assert_helpful


def chain(records: list[dict[str, object]]) -> list[bytes]:
    lines, previous = [], "0" * 64
    for number, record in enumerate(records, start=1):
        text = json.dumps(record, separators=(",", ":"))
        digest = hashlib.sha256(bytes.fromhex(previous))
        digest.update(number.to_bytes(8, "big") + text.encode())
        head = f'{{"seq":{number},"previous":"{previous}","record":'
        lines.append(f'{head}{text},"hash":"{digest.hexdigest()}"}}\n'.encode())
        previous = digest.hexdigest()
    return lines


RECORDS: list[dict[str, object]] = [
    {"at_unix_ms": 1_790_000_000_000 + n, "kind": "refused", "topic": f"a/{n}", "count": 1}
    for n in range(5)
]


def write(path: Path, lines: list[bytes]) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(b"".join(lines))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "evidence.log"


def test_a_log_as_it_was_written(path: Path) -> None:
    lines = chain(RECORDS)
    last = json.loads(lines[-1])["hash"]
    assert verify(write(path, lines)) == Verified(5, last, unfinished=False)


def test_an_empty_log(path: Path) -> None:
    assert verify(write(path, [])) == Verified(0, "0" * 64, unfinished=False)


def test_an_interrupted_write_is_no_tampering(path: Path) -> None:
    lines = chain(RECORDS)
    verdict = verify(write(path, [*lines[:4], lines[4][:-10]]))
    assert verdict == Verified(4, json.loads(lines[3])["hash"], unfinished=True)


def resealed(lines: list[bytes]) -> list[bytes]:
    """A line that was changed by somebody who computed its hash again."""
    entry = json.loads(lines[2])
    record = json.dumps({**entry["record"], "topic": "x"}, separators=(",", ":"))
    digest = hashlib.sha256(bytes.fromhex(entry["previous"]) + (3).to_bytes(8, "big"))
    digest.update(record.encode())
    forged = (
        f'{{"seq":3,"previous":"{entry["previous"]}","record":{record},'
        f'"hash":"{digest.hexdigest()}"}}\n'
    )
    return [*lines[:2], forged.encode(), *lines[3:]]


def respaced(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[1].replace(b'"seq":2,', b'"seq": 2,'), *lines[2:]]


TAMPERINGS: dict[str, tuple[Callable[[list[bytes]], list[bytes]], int]] = {
    "a byte changed": (lambda ls: [*ls[:2], ls[2].replace(b"a/2", b"a/3"), *ls[3:]], 3),
    "changed and hashed again": (resealed, 4),
    "a line removed": (lambda ls: [*ls[:2], *ls[3:]], 3),
    "the first line removed": (lambda ls: ls[1:], 1),
    "two lines swapped": (lambda ls: [ls[0], ls[2], ls[1], *ls[3:]], 2),
    "a line twice": (lambda ls: [ls[0], ls[0], *ls[1:]], 2),
    "a line put in": (lambda ls: [ls[0], b'{"kind":"refused"}\n', *ls[1:]], 2),
    "an empty line": (lambda ls: [ls[0], b"\n", *ls[1:]], 2),
    "not JSON": (lambda ls: [ls[0], b"\xff\xfe\n", *ls[1:]], 2),
    "spaces added": (respaced, 2),
    "a line too long": (lambda ls: [ls[0], b"x" * MAXIMUM_LINE_BYTES + b"\n", *ls[1:]], 2),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_is_found_at_its_line(path: Path, name: str) -> None:
    tamper, line = TAMPERINGS[name]
    lines = chain(RECORDS)
    verdict = verify(write(path, tamper(lines)))
    assert isinstance(verdict, Broken)
    assert verdict.line == line


def test_every_single_byte_counts(path: Path) -> None:
    whole = b"".join(chain(RECORDS[:2]))
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 0x01
        verdict = verify(write(path, [bytes(changed)]))
        good = isinstance(verdict, Verified) and not verdict.unfinished and verdict.lines == 2
        assert not good, f"byte {position} can be changed"


def test_a_missing_log_is_an_error(path: Path) -> None:
    with pytest.raises(StoreError, match="is missing") as caught:
        verify(path)
    assert_helpful(caught.value)


def test_a_log_that_others_can_write_proves_nothing(path: Path) -> None:
    write(path, chain(RECORDS)).chmod(0o666)
    with pytest.raises(StoreError, match="open to other users"):
        verify(path)


@pytest.mark.parametrize("count", [0, 1, 3, 5, 50])
def test_the_last_records(path: Path, count: int) -> None:
    records = tail(write(path, chain(RECORDS)), count)
    expected = RECORDS[-count:] if count else []
    assert [record["topic"] for record in records] == [record["topic"] for record in expected]
    assert [record["seq"] for record in records] == list(range(6 - len(expected), 6))


def test_the_last_records_of_a_long_log(path: Path) -> None:
    many = [{**RECORDS[0], "topic": f"a/{n}", "detail": "x" * 400} for n in range(200)]
    records = tail(write(path, chain(many)), 3)
    assert [record["topic"] for record in records] == ["a/197", "a/198", "a/199"]


def test_a_half_line_is_not_a_record(path: Path) -> None:
    lines = chain(RECORDS)
    records = tail(write(path, [*lines[:2], lines[2][:30]]), 10)
    assert [record["seq"] for record in records] == [1, 2]


def rotated(path: Path, sizes: list[int]) -> list[Path]:
    """A log in files of so many lines, the open one last."""
    lines, first = chain(RECORDS * 4), 1
    files: list[Path] = []
    for size in sizes:
        is_open = len(files) == len(sizes) - 1
        name = path.name if is_open else f"evidence-{first:020}.log"
        files.append(write(path.with_name(name), lines[first - 1 : first - 1 + size]))
        first += size
    return files


@pytest.mark.parametrize("sizes", [[3, 2, 4], [1, 1, 1, 1], [5, 0], [20, 0]])
def test_the_chain_runs_through_all_files(path: Path, sizes: list[int]) -> None:
    rotated(path, sizes)
    verdict = verify(path)
    assert isinstance(verdict, Verified)
    assert (verdict.first, verdict.lines) == (1, sum(sizes))
    assert [record["seq"] for record in tail(path, 7)] == list(range(1, sum(sizes) + 1))[-7:]


def test_the_open_file_may_not_be_there_yet(path: Path) -> None:
    rotated(path, [3, 2])[-1].unlink()
    verdict = verify(path)
    assert isinstance(verdict, Verified)
    assert verdict.lines == 3


def test_a_file_that_is_missing_is_found(path: Path) -> None:
    files = rotated(path, [3, 2, 4])
    files[1].unlink()
    verdict = verify(path)
    assert isinstance(verdict, Broken)
    assert (verdict.file, verdict.line, verdict.intact) == (path, 1, 3)


def test_a_closed_file_has_no_half_line(path: Path) -> None:
    first = rotated(path, [3, 2])[0]
    first.write_bytes(first.read_bytes()[:-10])
    verdict = verify(path)
    assert isinstance(verdict, Broken)
    assert (verdict.file, verdict.line) == (first, 3)


def trimming(path: Path, hash_of_line: int) -> Path:
    """A log whose first file is gone, and a record in it about some line's hash."""
    lines = chain(RECORDS)
    said = json.loads(lines[hash_of_line - 1])["hash"]
    detail = f"lines 1 to 2 were removed, the log had reached its size; last hash {said}"
    lines = chain([*RECORDS, {"kind": "log_trimmed", "detail": detail}])
    write(path.with_name(f"evidence-{3:020}.log"), lines[2:4])
    return write(path, lines[4:])


def test_lines_that_were_removed_on_record(path: Path) -> None:
    verdict = verify(trimming(path, hash_of_line=2))
    assert isinstance(verdict, Verified)
    assert (verdict.first, verdict.lines) == (3, 4)


@pytest.mark.parametrize("said", [1, 3])
def test_lines_that_were_removed_without_a_record(path: Path, said: int) -> None:
    verdict = verify(trimming(path, hash_of_line=said))
    assert isinstance(verdict, Broken)
    assert "no record in it says" in verdict.why
