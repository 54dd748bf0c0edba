"""The stolen-certificate drill, run as a person or a build server runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from motte.cli import main
from motte.drill import mosquitto
from motte.drill import report as reports
from motte.drill.clients import Tally
from motte.drill.play import Silent, other_side
from motte.drill.report import Outcome, Report, Revocation, Side
from motte.drill.thief import Answer
from motte.errors import ExitCode
from motte.plane import setup
from motte.policy import default_policy_text
from tests.support.up import MOTTE, Lines, ended

DRILL_SECONDS = 120.0
"""What the drill may take on a busy machine; it takes ten seconds on an idle one."""
STEPS = ["1", "2", "3a", "3b", "3c", "3d", "4a", "4b", "4c", "5", "6"]
LAYERS = {"tls": 1, "identity": 3, "authorization": 4, "quota": 6}
OTHERS = ["toaster-2", "toaster-3"]


@pytest.fixture(scope="module", autouse=True)
def _mosquitto() -> None:
    if mosquitto.find() is None:
        pytest.fail(f"the drill is compared with Mosquitto; {mosquitto.INSTALL_HINT}")


@pytest.fixture(scope="module")
def drill() -> dict[str, Any]:
    """The JSON document of one drill."""
    done = subprocess.run(
        [*MOTTE, "demo", "--json"],
        capture_output=True,
        text=True,
        timeout=DRILL_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.fixture(scope="module")
def open_side(tmp_path_factory: pytest.TempPathFactory) -> Side:
    """The drill on a Mosquitto that lets everybody in."""
    side, note = other_side(tmp_path_factory.mktemp("open"), Silent(), wanted=True)
    assert side is not None, note
    return side


def test_every_attack_is_refused_by_a_layer_that_the_evidence_names(drill: dict[str, Any]) -> None:
    attacks = drill["motte"]["attacks"]
    assert [attack["step"] for attack in attacks] == STEPS
    for attack in attacks:
        assert attack["outcome"] == "refused", attack
        assert not attack["effects"], attack
        assert attack["layer"]["layer"] == LAYERS[attack["layer"]["name"]], attack
        assert attack["layer"]["rule"], attack
    assert drill["passed"]
    assert drill["motte"]["evidence"]["intact"]


def test_each_attack_meets_the_layer_that_is_there_for_it(drill: dict[str, Any]) -> None:
    layers = {attack["step"]: attack["layer"]["name"] for attack in drill["motte"]["attacks"]}
    assert layers == {
        "1": "tls",
        "2": "tls",
        **dict.fromkeys(["3a", "3b", "3c", "3d", "4a", "4b", "4c"], "authorization"),
        "5": "identity",
        "6": "quota",
    }


def test_the_stolen_key_reaches_its_own_toaster_and_no_other(drill: dict[str, Any]) -> None:
    radius = drill["motte"]["blast_radius"]
    assert (radius["count"], radius["of"], radius["toasters"]) == (1, 3, ["toaster-1"])
    # The thief was a working client: it could have heard the others.
    assert drill["motte"]["as_itself"]["effects"]


def test_the_four_questions_have_the_right_answers(drill: dict[str, Any]) -> None:
    questions = drill["motte"]["questions"]
    assert [question["answer"] for question in questions] == [False, False, True, True]
    assert all(question["right"] for question in questions)


def test_revoking_ends_the_thief_and_disturbs_nobody(drill: dict[str, Any]) -> None:
    revocation = drill["motte"]["revocation"]
    assert revocation["worked"]
    assert revocation["answer"]["packet"] == "DISCONNECT"
    assert revocation["answer"]["code"] == 0x98
    assert revocation["again"]["outcome"] == "refused"
    assert sorted(revocation["others"]) == OTHERS
    for counts in revocation["others"].values():
        before, after = counts["before"], counts["after"]
        assert after["telemetry_seen"] > before["telemetry_seen"] > 0
        assert after["telemetry_seen"] == after["telemetry_sent"]
        assert after["commands_seen"] == after["commands_sent"] > 0
        assert after["drops"] == 0


def test_an_open_mosquitto_gives_the_thief_everything(drill: dict[str, Any]) -> None:
    other = drill["mosquitto"]
    assert [attack["step"] for attack in other["attacks"]] == STEPS
    assert {attack["outcome"] for attack in other["attacks"]} == {"SUCCEEDED"}
    assert other["blast_radius"]["count"] == 3
    assert [question["right"] for question in other["questions"]] == [False] * 4


def test_the_judge_sees_effects_where_there_are_some(open_side: Side) -> None:
    effects = {
        verdict.key: {effect.kind: effect.toasters for effect in verdict.effects}
        for verdict in open_side.attacks
    }
    others = tuple(OTHERS)
    assert effects["1"] == effects["2"] == {"connected": ()}
    assert effects["3a"] == effects["3b"] == effects["3d"] == {"read": others}
    assert effects["3c"] == {"learned": ()}
    assert effects["4a"] == effects["4b"] == effects["4c"] == {"commanded": others}
    assert effects["5"]["evicted"] == others
    assert effects["6"] == {"flooded": ()}
    assert "subscribes later" in next(v.finding for v in open_side.attacks if v.key == "4c")
    assert len(open_side.radius.toasters) == 3


def test_one_effect_fails_the_whole_drill(open_side: Side) -> None:
    testimony = reports.Testimony(4, "authorization", "authorization.not-granted", 1, "")
    held = tuple(
        replace(verdict, outcome=Outcome.REFUSED, effects=(), testimony=testimony)
        for verdict in open_side.attacks
    )
    good = replace(
        open_side,
        attacks=held,
        questions=tuple(replace(question, right=True) for question in open_side.questions),
        radius=replace(open_side.radius, read=("toaster-1",), commanded=(), evicted=()),
    )
    tallies = [Tally(n, n, n, n, 0) for n in (1, 2)]
    revocation = Revocation(
        Answer("DISCONNECT", accepted=False, code=0x98), 1.0, 1.0, held[0],
        before={"toaster-2": tallies[0]}, after={"toaster-2": tallies[1]},
    )  # fmt: skip
    report = Report(good, revocation, 1, True, None, None, 1.0, None)
    assert report.passed

    let_through = replace(good, attacks=(*held[:-1], open_side.attacks[-1]))
    unnamed = replace(good, attacks=(*held[:-1], replace(held[-1], testimony=None)))
    dropped = replace(revocation, after={"toaster-2": replace(tallies[1], drops=1)})
    lost = replace(revocation, after={"toaster-2": replace(tallies[1], telemetry_seen=1)})
    for failed in (
        replace(report, motte=let_through),
        replace(report, motte=unnamed),
        replace(report, motte=replace(good, radius=open_side.radius)),
        replace(report, motte=replace(good, questions=open_side.questions)),
        replace(report, revocation=replace(revocation, answer=Answer("connection closed", False))),
        replace(report, revocation=replace(revocation, again=open_side.attacks[0])),
        replace(report, revocation=dropped),
        replace(report, revocation=lost),
        replace(report, evidence_intact=False),
    ):
        assert not failed.passed


def test_a_policy_with_holes_fails_the_drill_on_motte_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    holes = default_policy_text()
    for sound, hole in (
        ('["toasters/{device}/command"]', '["toasters/{device}/command", "toasters/+/telemetry"]'),
        ("{device}/state", "+/command"),
        ('"10/s"', '"5000/s"'),
    ):
        assert sound in holes
        holes = holes.replace(sound, hole)
    monkeypatch.setattr(setup, "default_policy_text", lambda: holes)

    assert main(["demo", "--json", "--no-mosquitto"]) == ExitCode.FAILURE

    found = json.loads(capsys.readouterr().out)
    succeeded = [v["step"] for v in found["motte"]["attacks"] if v["outcome"] == "SUCCEEDED"]
    assert succeeded == ["3d", "4a", "4b", "4c", "6"]
    assert found["motte"]["blast_radius"]["count"] == 3
    assert [question["answer"] for question in found["motte"]["questions"]][2] is False
    # Even then the operator gets rid of the thief.
    assert found["motte"]["revocation"]["worked"]
    assert not found["passed"]


def test_it_reads_well_on_80_columns_and_keeps_its_folder_if_asked(tmp_path: Path) -> None:
    done = subprocess.run(
        [*MOTTE, "demo", "--no-mosquitto", "--keep"],
        capture_output=True,
        text=True,
        timeout=DRILL_SECONDS,
        check=False,
        env={**os.environ, "COLUMNS": "80", "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "\x1b" not in done.stdout
    assert "1 of 3 toasters" in done.stdout
    assert "--no-mosquitto" in done.stdout
    (folder,) = tmp_path.iterdir()
    verified = subprocess.run([*MOTTE, "-C", folder, "log", "verify"], check=False)
    assert verified.returncode == 0


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Lines]:
    """A drill in a temporary folder of the test's own, at the moment of the theft."""
    lines = Lines(["env", f"TMPDIR={tmp_path}", *MOTTE, "demo"])
    try:
        lines.until(lambda line: "is stolen" in line)
        yield lines
    finally:
        lines.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_drill_leaves_nothing_behind(
    running: Lines, tmp_path: Path, number: signal.Signals
) -> None:
    (folder,) = tmp_path.iterdir()
    broker = int((folder / "state" / "run" / "data-plane.pid").read_text())
    assert not ended(broker)
    running.process.send_signal(number)
    assert running.wait() == 130
    assert ended(broker)
    assert not list(tmp_path.iterdir())
