from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from motte.errors import StoreError
from motte.files import (
    check_private,
    locked,
    make_private_folder,
    open_private_log,
    read_private,
    try_lock,
    write_private,
)
from tests.support.fleet import assert_helpful, text_of


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_a_private_file_is_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_private(tmp_path / "key", b"secret")
        make_private_folder(tmp_path / "folder")
    finally:
        os.umask(before)
    assert mode(tmp_path / "key") == 0o600
    assert mode(tmp_path / "folder") == 0o700
    assert (tmp_path / "key").read_bytes() == b"secret"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    # A folder with something in it cannot be replaced by a file, so the last step fails.
    (tmp_path / "target" / "content").mkdir(parents=True)
    with pytest.raises(StoreError) as caught:
        write_private(tmp_path / "target", b"new")
    assert_helpful(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_a_link_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    write_private(tmp_path / "link", b"new")
    assert (tmp_path / "elsewhere").read_bytes() == b"old"
    assert not (tmp_path / "link").is_symlink()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_is_named(tmp_path: Path) -> None:
    from motte.files import file_errors

    with pytest.raises(StoreError) as caught, file_errors("write", tmp_path / "x"):
        Path("/dev/full").write_bytes(b"x")
    assert "disk is full" in caught.value.message
    assert_helpful(caught.value)


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660, 0o666, 0o601])
def test_a_file_that_others_can_touch_is_refused(tmp_path: Path, bits: int) -> None:
    path = tmp_path / "key"
    write_private(path, b"secret")
    path.chmod(bits)
    with pytest.raises(StoreError) as caught:
        check_private(path)
    assert f"chmod 600 {path}" in text_of(caught.value)
    assert_helpful(caught.value)


def test_a_link_is_not_a_private_file(tmp_path: Path) -> None:
    write_private(tmp_path / "real", b"x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(StoreError, match="not a regular file"):
        check_private(tmp_path / "link")


def test_reading_stops_at_the_limit(tmp_path: Path) -> None:
    write_private(tmp_path / "at", b"x" * 10)
    write_private(tmp_path / "past", b"x" * 11)
    assert read_private(tmp_path / "at", limit=10) == b"x" * 10
    with pytest.raises(StoreError, match="larger than"):
        read_private(tmp_path / "past", limit=10)


def test_a_log_is_appended_to_and_private(tmp_path: Path) -> None:
    for line in (b"one\n", b"two\n"):
        descriptor = open_private_log(tmp_path / "log")
        os.write(descriptor, line)
        os.close(descriptor)
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\n"
    assert mode(tmp_path / "log") == 0o600


def test_a_lock_is_held_by_one_and_given_back_by_death(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import sys; from pathlib import Path; from motte.files import try_lock\n"
        "assert try_lock(Path(sys.argv[1])) is not None\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        assert try_lock(path) is None
        with (
            pytest.raises(StoreError, match="testing for more than"),
            locked(path, timeout=0.05, what="testing"),
        ):
            pytest.fail("the lock was given twice")
        other.kill()
        other.wait()
        with locked(path, timeout=5, what="testing"):
            assert try_lock(path) is None
    descriptor = try_lock(path)
    assert descriptor is not None
    os.close(descriptor)
