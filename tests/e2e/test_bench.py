"""``motte bench``: what it measures, and what it refuses to touch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from motte.bench.generator import value_of
from motte.bench.lines import Group, Line, Parties, lines
from motte.bench.target import BenchError, resolve
from motte.errors import ExitCode, RefusedError
from tests.support.up import motte


def figures(folder: Path, *arguments: str) -> dict[str, Any]:
    ran = motte(folder, "bench", "--json", "--seconds", "0.2", "--clients", "60", *arguments)
    assert ran.returncode == ExitCode.OK, ran.stderr
    return {line["line"]: line for line in json.loads(ran.stdout)["lines"]}


def test_a_motte_set_up_for_the_purpose_is_measured_and_gone(tmp_path: Path) -> None:
    wanted = ("one-qos2", "fan-out-qos1", "latency-qos0", "handshakes-resumed")
    shown = figures(tmp_path, *(option for key in wanted for option in ("--only", key)))
    assert set(shown) == set(wanted)
    assert all(line["value"] > 0 and line["lost"] == 0 for line in shown.values())
    assert shown["handshakes-resumed"]["tls"]["handshake"] == "Resumed"
    assert shown["one-qos2"]["tls"]["protocol"] == "TLSv1_3"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("host", ["192.0.2.1", "10.0.0.1", "[2001:db8::1]"])
def test_another_machine_is_left_alone_unless_it_is_named_as_ones_own(
    tmp_path: Path, host: str
) -> None:
    bare = host.strip("[]")
    with pytest.raises(RefusedError, match="not this machine"):
        resolve(f"mqtts://{host}", tmp_path, None)
    with pytest.raises(RefusedError):
        resolve(f"mqtts://{host}", tmp_path, "192.0.2.2")
    target = resolve(f"mqtts://{host}", tmp_path, bare)
    assert target.scenario({})["i_own_this"] == bare


@pytest.mark.parametrize(
    "url", ["localhost", "mqtt://localhost", "mqtts://", "mqtts://u@localhost", "mqtts://h:99999"]
)
def test_what_is_no_url_of_a_broker_is_an_error(tmp_path: Path, url: str) -> None:
    with pytest.raises(BenchError):
        resolve(url, tmp_path, None)


def test_mistakes_are_told_without_a_traceback(tmp_path: Path) -> None:
    for arguments, word in [
        (("mqtts://127.0.0.1:1",), "--ca"),
        (("mqtts://127.0.0.1:1", "--ca", "a", "--cert", "b", "--key", "c"), "cannot read a"),
        (("--only", "speed"), "no line"),
        (("--ca", "a"), "URL"),
    ]:
        ran = motte(tmp_path, "bench", *arguments)
        assert ran.returncode == ExitCode.FAILURE
        assert word in ran.stderr
        assert "Traceback" not in ran.stderr


def test_a_lost_message_makes_the_figure_worthless() -> None:
    group = Group("c", "c.pem", "c.key")
    parties = Parties(group, group, "t/{client}", "t/+", "t/all")
    by_key: dict[str, Line] = {line.key: line for line in lines(parties, 1.0)}
    report = {
        "qos": 1, "lost": 1, "out_of_order": 0, "unacknowledged": 0, "published": 9,
        "delivered": 8, "messages_per_second": 8.0,
    }  # fmt: skip
    with pytest.raises(BenchError, match="lost"):
        value_of(by_key["one-qos1"], report)
    assert value_of(by_key["one-qos0"], report | {"qos": 0}) == (8.0, 8)
