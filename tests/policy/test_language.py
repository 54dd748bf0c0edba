"""The policy language: what a right policy means, how files are read, and that it is total."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from motte.errors import PolicyError
from motte.policy import default_policy_text
from motte.policy.diagnostics import InvalidPolicyError, Location
from motte.policy.language import MAXIMUM_FILE_BYTES, load, parse
from motte.policy.model import Action, Kind, Level, LevelKind, Match, Role
from tests.policy.policies import compiles, mutated_policies

FULL = """\
[role.thermostat]
match     = { group = "thermostat", site = "north" }
publish   = [
    "home/{site}/{device}/telemetry",
    { topic = "home/{site}/{device}/state", qos = 1, retain = true, will = false },
]
subscribe = ["home/{site}/{device}/command", { topic = "home/{site}/all", qos = 0 }]
deny      = ["home/+/admin/#", { topic = "home/#/", actions = ["subscribe", "publish"] }]
limits    = { messages = "10/s", payload = "4KiB" }

[role.dashboard]
match     = { service = "dashboard" }
subscribe = ["home/+/+/telemetry", "$SYS/broker/load"]
wildcards = true
""".replace('"home/#/"', '"home/all"')


def role(text: str) -> Role:
    return parse(text).policy.roles[0]


def test_every_part_of_a_role_is_read() -> None:
    read = parse(FULL)
    thermostat, dashboard = read.policy.roles
    assert (thermostat.name, thermostat.place) == ("thermostat", Location(1, 7))
    assert thermostat.match == Match(Kind.DEVICE, None, {"group": "thermostat", "site": "north"})
    telemetry, state = thermostat.publish
    assert (telemetry.qos, telemetry.retain, telemetry.will) == (2, False, True)
    assert (state.qos, state.retain, state.will) == (1, True, False)
    assert (telemetry.place.line, state.place.line) == (4, 5)
    assert telemetry.topic.levels == (
        Level(LevelKind.LITERAL, "home"),
        Level(LevelKind.PLACEHOLDER, "site"),
        Level(LevelKind.PLACEHOLDER, "device"),
        Level(LevelKind.LITERAL, "telemetry"),
    )
    assert [grant.qos for grant in thermostat.subscribe] == [2, 0]
    everything, both = thermostat.deny
    assert everything.actions == both.actions == (Action.PUBLISH, Action.SUBSCRIBE)
    assert [level.kind for level in everything.topic.levels] == [
        LevelKind.LITERAL,
        LevelKind.ONE,
        LevelKind.LITERAL,
        LevelKind.REST,
    ]
    assert thermostat.limits == {"messages_per_second": 10, "payload": 4096}
    assert not thermostat.wildcards
    assert dashboard.match == Match(Kind.SERVICE, "dashboard", {})
    assert dashboard.wildcards
    assert dashboard.subscribe[1].topic.is_reserved


def test_matches() -> None:
    for match, expected in {
        '{ device = "d-1" }': Match(Kind.DEVICE, "d-1", {}),
        '{ device = "d-1", group = "x" }': Match(Kind.DEVICE, "d-1", {"group": "x"}),
        '{ service = "s", tenant = "t" }': Match(Kind.SERVICE, "s", {"tenant": "t"}),
        '{ group = "x" }': Match(Kind.DEVICE, None, {"group": "x"}),
    }.items():
        assert role(f'[role.a]\nmatch = {match}\npublish = ["a"]\n').match == expected


def test_the_order_of_the_file_is_kept() -> None:
    text = "".join(
        f'[role.{name}]\nmatch = {{ device = "{name}" }}\npublish = ["{name}"]\n'
        for name in ("zebra", "ape", "mole")
    )
    assert [one.name for one in parse(text).policy.roles] == ["zebra", "ape", "mole"]


def test_a_denial_of_one_action() -> None:
    text = (
        '[role.a]\nmatch = { group = "x" }\npublish = ["a/b"]\n'
        'deny = [{ topic = "a/b/c", actions = ["publish"] }]\n'
    )
    assert role(text).deny[0].actions == (Action.PUBLISH,)


def test_an_attribute_that_identities_commonly_have_is_no_warning() -> None:
    text = '[role.a]\nmatch = { kind-of = "x" }\npublish = ["{site}/{tenant}/{kind-of}/{device}"]\n'
    assert parse(text).warnings == ()


def test_the_default_policy_is_right_and_without_a_warning() -> None:
    read = parse(default_policy_text())
    assert read.warnings == ()
    toaster, dashboard = read.policy.roles
    assert toaster.match == Match(Kind.DEVICE, None, {"group": "toaster"})
    assert [grant.topic.text for grant in toaster.publish] == [
        "toasters/{device}/telemetry",
        "toasters/{device}/state",
    ]
    assert [grant.topic.text for grant in toaster.subscribe] == ["toasters/{device}/command"]
    assert dashboard.match == Match(Kind.SERVICE, "dashboard", {})
    assert [grant.topic.text for grant in dashboard.publish] == ["toasters/+/command"]
    assert [grant.topic.text for grant in dashboard.subscribe] == [
        "toasters/+/telemetry",
        "toasters/+/state",
    ]
    assert dashboard.wildcards


# Files.


def refusal(path: Path) -> PolicyError:
    with pytest.raises(PolicyError) as caught:
        load(path)
    return caught.value


def test_a_file_is_read_under_its_name(tmp_path: Path) -> None:
    path = tmp_path / "strict.toml"
    path.write_text("[role.a]\nmatch = 1\n", encoding="utf-8")
    error = refusal(path)
    assert isinstance(error, InvalidPolicyError)
    assert error.diagnostics[0].place == "strict.toml:2:9"


def test_a_missing_file(tmp_path: Path) -> None:
    error = refusal(tmp_path / "policy.toml")
    assert error.message == f"{tmp_path}/policy.toml is missing"
    assert error.hint == "put one there; `motte policy example` prints one to start from"


def test_a_folder(tmp_path: Path) -> None:
    error = refusal(tmp_path)
    assert error.message == f"{tmp_path} is a folder, not a policy file"
    assert error.hint == "name the file in it"


def test_a_file_that_cannot_be_read() -> None:
    # The memory of this process: a file that opens and then fails, even for root.
    error = refusal(Path("/proc/self/mem"))
    assert error.message == "cannot read /proc/self/mem: Input/output error"
    assert error.hint == "check the disk and the folder"


def test_a_broken_link(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.symlink_to(tmp_path / "nowhere")
    assert refusal(path).message == f"{path} is missing"


def test_a_file_of_the_largest_size_and_one_byte_more(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_bytes(b"#" * MAXIMUM_FILE_BYTES)
    assert load(path).policy.roles == ()
    path.write_bytes(b"#" * (MAXIMUM_FILE_BYTES + 1))
    assert refusal(path).message == f"{path} is larger than 1024 KiB"


def test_a_file_that_is_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_bytes("# ä\n# grün: ".encode() + b"\xff\n")
    error = refusal(path)
    assert isinstance(error, InvalidPolicyError)
    assert [str(one) for one in error.diagnostics] == [
        "policy.toml:2:9: error: the byte 0xff is not UTF-8 text (hint: save the file as UTF-8)"
    ]


def test_a_text_with_half_a_surrogate_pair() -> None:
    with pytest.raises(InvalidPolicyError) as caught:
        parse("# fine\n# \ud800\n")
    assert [str(one) for one in caught.value.diagnostics] == [
        "policy.toml:2:3: error: the character U+D800 is no text (hint: save the file as UTF-8)"
    ]


# Totality: any text is a valid policy that compiles and loads, or an error with a place.


@given(st.text())
@example("\ufeff[role.a]")
@example("[" * 5000)
@example("a." * 5000 + "b = 1")
@example("a = " + "[" * 5000)
@example("a = " + "{ b = " * 5000)
def test_any_text(text: str) -> None:
    compiles(text)


@given(mutated_policies())
def test_any_mutation_of_a_policy(text: str) -> None:
    compiles(text)


@given(st.binary())
def test_any_bytes_in_a_file(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("any", numbered=True) / "policy.toml"
    path.write_bytes(data)
    with contextlib.suppress(PolicyError):
        load(path)
