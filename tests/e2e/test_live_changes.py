"""Changes that connected clients feel before the command returns, and the evidence of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from motte.errors import ExitCode
from tests.support.up import Lines, Up, motte

COMMAND = "toasters/toaster-1/command"
TELEMETRY = "toasters/toaster-1/telemetry"


@pytest.fixture
def up(start: Callable[..., Up]) -> Up:
    return start().ready()


def subscribed(background: Callable[..., Lines], up: Up, identity: str, topic: str) -> Lines:
    lines = background(up.folder, "sub", "--as", identity, topic)
    lines.until(lambda line: line.startswith("subscribed"))
    return lines


def status(up: Up) -> Any:
    return json.loads(motte(up.folder, "status", "--json").stdout)


def publish(up: Up, identity: str, topic: str, *more: str) -> int:
    return motte(up.folder, "pub", "--as", identity, topic, "x", *more).returncode


class TestRevoke:
    @pytest.mark.parametrize("action", ["revoke", "quarantine"])
    def test_it_is_in_force_when_the_command_returns(
        self, up: Up, background: Callable[..., Lines], action: str
    ) -> None:
        thief = subscribed(background, up, "toaster-1", COMMAND)
        other = subscribed(background, up, "toaster-2", "toasters/toaster-2/command")
        assert status(up)["connections"] == 2
        ran = motte(up.folder, "device", action, "toaster-1", "--why", "stolen")
        assert status(up)["connections"] == 1
        assert ran.returncode == 0
        assert "in force now: snapshot 2, 1 disconnected" in ran.stdout
        assert thief.wait() == ExitCode.REFUSED
        assert any("0x98" in line or "0x87" in line for line in thief.seen), thief.seen
        assert publish(up, "toaster-1", TELEMETRY) == ExitCode.REFUSED
        assert publish(up, "dashboard", "toasters/toaster-2/command") == 0
        assert other.line() == "toasters/toaster-2/command  x"

    def test_a_retained_message_of_a_revoked_sender_is_withheld(
        self, up: Up, background: Callable[..., Lines]
    ) -> None:
        for name in ("toaster-1", "toaster-2"):
            assert publish(up, name, f"toasters/{name}/state", "-r") == 0
        assert motte(up.folder, "device", "revoke", "toaster-1").returncode == 0
        reader = background(up.folder, "sub", "--as", "dashboard", "toasters/+/state", "-n", "1")
        reader.until(lambda line: line.startswith("subscribed"))
        assert reader.line() == "toasters/toaster-2/state  x (retained)"

    def test_a_quarantine_can_be_ended(self, up: Up) -> None:
        assert motte(up.folder, "device", "quarantine", "toaster-1").returncode == 0
        assert publish(up, "toaster-1", TELEMETRY) == ExitCode.REFUSED
        assert motte(up.folder, "device", "release", "toaster-1").returncode == 0
        assert publish(up, "toaster-1", TELEMETRY) == 0

    def test_a_rotated_key_ends_the_old_one(self, up: Up, background: Callable[..., Lines]) -> None:
        import shutil

        copy = up.folder.parent / "copy"
        shutil.copytree(up.folder / "devices" / "toaster-1", copy)
        holder = subscribed(background, up, "toaster-1", COMMAND)
        assert motte(up.folder, "device", "rotate", "toaster-1").returncode == 0
        assert holder.wait() == ExitCode.REFUSED
        assert publish(up, "toaster-1", TELEMETRY) == 0
        fresh = up.folder / "devices" / "toaster-1"
        shutil.rmtree(fresh)
        copy.rename(fresh)
        assert publish(up, "toaster-1", TELEMETRY) == ExitCode.REFUSED

    def test_a_broken_policy_file_does_not_stop_it(
        self, up: Up, background: Callable[..., Lines]
    ) -> None:
        thief = subscribed(background, up, "toaster-1", COMMAND)
        (up.folder / "policy.toml").write_text("[role.\n")
        ran = motte(up.folder, "device", "revoke", "toaster-1")
        assert ran.returncode == 0
        assert "policy.toml cannot be compiled" in ran.stderr
        assert thief.wait() == ExitCode.REFUSED
        assert publish(up, "toaster-2", "toasters/toaster-2/telemetry") == 0

    def test_a_new_identity_needs_no_new_snapshot(self, up: Up) -> None:
        arguments = ("device", "add", "toaster-3", "--attribute", "group=toaster")
        assert motte(up.folder, *arguments).returncode == 0
        assert publish(up, "toaster-3", "toasters/toaster-3/telemetry") == 0
        assert status(up)["generation"] == 1


class TestPolicy:
    def test_an_applied_policy_acts_on_live_clients(
        self, up: Up, background: Callable[..., Lines]
    ) -> None:
        reader = subscribed(background, up, "dashboard", "toasters/+/telemetry")
        policy = up.folder / "policy.toml"
        grant = 'subscribe = ["toasters/+/telemetry", "toasters/+/state"]'
        text = policy.read_text()
        assert grant in text
        policy.write_text(text.replace(grant, 'subscribe = ["toasters/+/state"]'))
        assert publish(up, "toaster-1", TELEMETRY) == 0, "an edit alone changes nothing"
        assert reader.line() == f"{TELEMETRY}  x"
        assert motte(up.folder, "policy", "apply").returncode == 0
        assert publish(up, "toaster-1", TELEMETRY) == 0
        again = motte(up.folder, "sub", "--as", "dashboard", "toasters/+/telemetry")
        assert again.returncode == ExitCode.REFUSED
        # The same client id ended the first reader, so its output is complete.
        assert f"{TELEMETRY}  x" not in reader.rest()

    def test_a_broken_policy_is_refused_and_the_old_one_stays(self, up: Up) -> None:
        (up.folder / "policy.toml").write_text('[role.all]\nsubscribe = ["a+"]\n')
        ran = motte(up.folder, "policy", "apply")
        assert ran.returncode == ExitCode.POLICY
        assert publish(up, "toaster-1", TELEMETRY) == 0
        assert status(up)["generation"] == 1


class TestEvidence:
    def test_each_refusal_is_shown_with_its_layer_as_it_happens(
        self, up: Up, background: Callable[..., Lines]
    ) -> None:
        log = background(up.folder, "log", "follow", "--json", "-n", "1")
        log.line()
        assert publish(up, "toaster-1", "toasters/toaster-2/telemetry") == ExitCode.REFUSED
        refused = json.loads(log.until(lambda line: json.loads(line)["kind"] == "refused"))
        assert refused["layer"] == "authorization"
        assert refused["identity"] == "device/toaster-1"
        assert refused["topic"] == "toasters/toaster-2/telemetry"
        # And in the foreground of `motte up`, too.
        shown = up.event("record")
        while shown["record"]["kind"] != "refused":
            shown = up.event("record")
        assert shown["record"]["topic"] == "toasters/toaster-2/telemetry"

    def test_following_ends_when_the_data_plane_does(
        self, up: Up, background: Callable[..., Lines]
    ) -> None:
        log = background(up.folder, "log", "follow")
        log.line()
        assert up.stop() == 0
        assert log.wait() == 0
        assert log.seen[-1] == "the data plane has stopped"

    def test_the_log_is_verified_by_a_second_implementation(self, up: Up) -> None:
        for topic in ("a", "b/c", "toasters/toaster-2/command", "x" * 3000):
            publish(up, "toaster-1", topic)
        verified = motte(up.folder, "log", "verify", "--json")
        assert verified.returncode == 0, verified.stderr
        found = json.loads(verified.stdout)
        assert found["intact"] is True
        assert found["lines"] > 4

    def test_a_changed_line_is_found(self, up: Up) -> None:
        publish(up, "toaster-1", "toasters/toaster-2/telemetry")
        assert up.stop() == 0
        log = up.folder / "state" / "evidence" / "evidence.log"
        lines = log.read_bytes().splitlines(keepends=True)
        index = next(n for n, line in enumerate(lines) if b'"refused"' in line)
        lines[index] = lines[index].replace(b"device/toaster-1", b"device/toaster-2")
        log.write_bytes(b"".join(lines))
        verified = motte(up.folder, "log", "verify")
        assert verified.returncode == ExitCode.STORE
        assert f"evidence.log:{index + 1}: " in verified.stderr


def test_who_is_taken_over_is_told_so(up: Up, background: Callable[..., Lines]) -> None:
    """As happens to everybody who tries both commands that `motte up` prints."""
    first = subscribed(background, up, "dashboard", "toasters/+/telemetry")
    subscribed(background, up, "dashboard", "toasters/+/telemetry")
    assert first.wait() == ExitCode.REFUSED
    assert any("0x8E" in line for line in first.seen), first.seen
    assert "somebody else connected as dashboard" in first.seen[-1]
