"""The policy that is proposed from real traffic, put in force for the same traffic."""

from __future__ import annotations

import json
from collections.abc import Callable

from motte.errors import ExitCode
from tests.support.up import Lines, Up, motte

POLICY = """\
[role.toaster]
match     = { group = "toaster" }
publish   = [{ topic = "toasters/{device}/#", retain = true }]
subscribe = ["toasters/{device}/#"]

[role.dashboard]
match     = { service = "dashboard" }
publish   = ["toasters/#"]
subscribe = ["toasters/#"]
wildcards = true
share     = ["readers"]
"""
PROPOSED = """\
[role.toaster]
match = { group = "toaster" }
publish = [{ topic = "toasters/{device}/state", qos = 1, retain = true, will = false }]
subscribe = [{ topic = "toasters/{device}/command", qos = 1 }]

[role.dashboard]
match = { service = "dashboard" }
publish = [{ topic = "toasters/+/command", qos = 1, will = false }]
subscribe = [{ topic = "toasters/+/state", qos = 1 }]
wildcards = true
"""


def traffic(up: Up, background: Callable[..., Lines]) -> None:
    """A toaster hears a command and tells its state, and the dashboard reads it."""
    device = background(up.folder, "sub", "--as", "toaster-1", "toasters/toaster-1/command")
    own = ("sub", "--as", "dashboard", "--suffix", "reader")
    reader = background(up.folder, *own, "toasters/+/state", "-n", "1")
    for each in (device, reader):
        each.until(lambda line: line.startswith("subscribed"))
    command = ("pub", "--as", "dashboard", "toasters/toaster-1/command", "on")
    assert motte(up.folder, *command).returncode == 0
    assert device.line() == "toasters/toaster-1/command  on"
    state = ("pub", "--as", "toaster-2", "-r", "toasters/toaster-2/state", "hot")
    assert motte(up.folder, *state).returncode == 0
    assert str(reader.line()).startswith("toasters/toaster-2/state  hot")
    device.close()


def test_what_is_proposed_allows_what_was_seen_and_no_more(
    start: Callable[..., Up], background: Callable[..., Lines]
) -> None:
    up = start().ready()
    file = up.folder / "policy.toml"
    file.write_text(POLICY)
    assert motte(up.folder, "policy", "apply").returncode == 0
    traffic(up, background)
    assert up.stop() == 0

    proposed = up.folder / "proposed.toml"
    ran = motte(up.folder, "policy", "suggest", "--output", str(proposed))
    assert ran.returncode == 0, ran.stderr
    assert "~ publish toasters/#  only toasters/+/command" in ran.stdout
    assert "- share readers  never used" in ran.stdout
    assert "the blast radius did not grow" in ran.stdout
    assert "what happens more rarely was not seen" in ran.stderr
    assert proposed.read_text().endswith(PROPOSED)
    assert file.read_text() == POLICY

    file.write_text(proposed.read_text())
    refused = motte(up.folder, "policy", "suggest")
    assert refused.returncode == ExitCode.POLICY
    assert "motte policy apply" in refused.stderr

    again = start().ready()
    traffic(again, background)
    denied = ("pub", "--as", "toaster-1", "toasters/toaster-1/other", "x")
    assert motte(again.folder, *denied).returncode == ExitCode.REFUSED
    assert again.stop() == 0
    found = json.loads(motte(up.folder, "policy", "suggest", "--json").stdout)
    assert found["changes"] == []
    assert found["policy"] == PROPOSED
