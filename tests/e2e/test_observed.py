"""How an operator looks at a running deployment: metrics, readiness, ``motte top``, the log."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from motte.deployment import Deployment
from motte.errors import ExitCode
from tests.support.up import DEADLINE, MOTTE, Up, motte

ROWS, COLUMNS = 24, 80


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Up:
    """A deployment with metrics and a log for programs."""
    folder = tmp_path_factory.mktemp("observed") / "deployment"
    made = Up(folder, "--port", "0").ready()
    assert made.stop() == ExitCode.OK
    config = folder / "motte.toml"
    text = config.read_text()
    text = text.replace('listen = "off"', 'listen = "127.0.0.1:0"')
    config.write_text(text.replace('format = "text"', 'format = "json"'))
    return Up(folder)


@pytest.fixture(scope="module", autouse=True)
def _running(observed: Up) -> object:
    observed.ready()
    yield
    observed.close()


def get(up: Up, path: str) -> tuple[int, str]:
    status = json.loads(motte(up.folder, "status", "--json").stdout)
    url = f"http://127.0.0.1:{status['metrics']['port']}{path}"
    try:
        with urllib.request.urlopen(url, timeout=DEADLINE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_metrics_health_and_readiness(observed: Up) -> None:
    assert get(observed, "/healthz") == (200, "ok\n")
    assert get(observed, "/readyz") == (200, "ready\n")
    code, page = get(observed, "/metrics")
    assert code == 200
    assert re.search(r"^motte_policy_generation [1-9]", page, re.MULTILINE)
    for name in ("toaster", "dashboard", "home"):
        assert name not in page


def test_the_log_is_json(observed: Up) -> None:
    lines = Deployment(observed.folder).data_plane_log.read_text().splitlines()
    found = [json.loads(line) for line in lines if line.startswith("{")]
    assert {"time", "level", "message"} == set(found[-1])
    assert any(line["message"].startswith("listening on ") for line in found)


def test_top_shows_one_picture_in_a_pipe(observed: Up) -> None:
    ran = motte(observed.folder, "top")
    assert ran.returncode == ExitCode.OK
    assert "authorization" in ran.stdout
    assert "\x1b" not in ran.stdout


def test_top_for_programs(observed: Up) -> None:
    ran = motte(observed.folder, "top", "--json", "--count", "2", "--interval", "0.1")
    looks = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [look["generation"] for look in looks] == [1, 1]


def test_top_fits_a_small_terminal_and_leaves_it_clean(observed: Up) -> None:
    """The alternate screen is left with Ctrl-C, without a traceback."""
    master, slave = pty.openpty()
    environment = {**os.environ, "LINES": str(ROWS), "COLUMNS": str(COLUMNS), "TERM": "xterm"}
    process = subprocess.Popen(
        [*MOTTE, "-C", str(observed.folder), "top", "--interval", "0.1"],
        stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )  # fmt: skip
    os.close(slave)
    seen = read(master, lambda text: text.count("evidence") > 1)
    process.send_signal(signal.SIGINT)
    seen += read(master, lambda text: "\x1b[?1049l" in text)
    assert process.wait(DEADLINE) == ExitCode.OK
    os.close(master)
    assert "\x1b[?1049h" in seen
    assert "Traceback" not in seen
    picture = next(part for part in seen.split("\x1b[H") if "evidence" in part)
    lines = [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", line) for line in picture.split("\r\n")]
    assert len(lines) <= ROWS
    assert max(len(line.rstrip()) for line in lines) <= COLUMNS
    assert any(line.startswith("authorization") for line in lines)


def read(terminal: int, enough: Callable[[str], bool]) -> str:
    """What a terminal shows until it is enough, or ended."""
    text, until = "", time.monotonic() + DEADLINE
    while not enough(text):
        left = until - time.monotonic()
        assert left > 0, text
        if not select.select([terminal], [], [], left)[0]:
            continue
        try:
            data = os.read(terminal, 65536)
        except OSError:  # the other side is closed
            return text
        text += data.decode(errors="replace")
    return text


def test_top_without_a_data_plane(tmp_path: Path) -> None:
    ran = motte(tmp_path, "top")
    assert ran.returncode != ExitCode.OK
    assert "Traceback" not in ran.stderr
