"""``motte pub``, ``motte sub`` and what a bundle says, against a running deployment."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from motte.errors import ExitCode
from tests.support.fleet import SetClock, make_deployment
from tests.support.up import Lines, Up, motte, wait_until

BOTH = pytest.mark.parametrize("protocol", ["5", "3.1.1"])
TELEMETRY = "toasters/toaster-1/telemetry"


@pytest.fixture
def subscriber(shared: Up, background: Callable[..., Lines]) -> Callable[..., Lines]:
    def run(*arguments: str, identity: str = "dashboard") -> Lines:
        lines = background(shared.folder, "sub", "--as", identity, *arguments)
        if "--json" not in arguments:
            lines.until(lambda line: line.startswith("subscribed"))
        return lines

    return run


def subscriptions(up: Up) -> int:
    return int(json.loads(motte(up.folder, "status", "--json").stdout)["subscriptions"])


def publish(up: Up, *arguments: str, identity: str = "toaster-1") -> Any:
    return motte(up.folder, "pub", "--as", identity, *arguments)


class TestPubAndSub:
    @BOTH
    @pytest.mark.parametrize("qos", ["0", "1", "2"])
    def test_what_is_published_is_received(
        self, shared: Up, subscriber: Callable[..., Lines], protocol: str, qos: str
    ) -> None:
        lines = subscriber("toasters/+/telemetry", "--mqtt", protocol, "-n", "1", "--qos", "2")
        sent = publish(shared, TELEMETRY, f"warm {qos}", "--qos", qos, "--mqtt", protocol)
        assert sent.returncode == 0, sent.stderr
        assert lines.line() == f"{TELEMETRY}  warm {qos}"
        assert lines.wait() == 0

    def test_one_identity_connects_twice_under_two_client_ids(
        self, shared: Up, subscriber: Callable[..., Lines]
    ) -> None:
        readers = [
            subscriber(TELEMETRY, "--suffix", suffix, "-n", "1") for suffix in ("one", "two")
        ]
        assert publish(shared, TELEMETRY, "both").returncode == 0
        assert [reader.line() for reader in readers] == [f"{TELEMETRY}  both"] * 2

    def test_as_json_with_every_property(
        self, shared: Up, background: Callable[..., Lines]
    ) -> None:
        topic = "toasters/toaster-1/state"
        sent = publish(
            shared,
            *(topic, "on", "--retain", "--content-type", "text/plain", "--expiry", "600"),
            *("-D", "room=kitchen", "-D", "room=hall", "--json"),
            *("--correlation-data", "id7", "--response-topic", "toasters/toaster-1/command"),
        )
        assert json.loads(sent.stdout) == {"topic": topic, "bytes": 2, "qos": 1, "retain": True}
        lines = background(shared.folder, "sub", "--as", "dashboard", topic, "--json", "-n", "1")
        message = json.loads(str(lines.line()))
        assert message["payload"] == "on"
        assert message["retain"] is True
        properties = message["properties"]
        assert properties["ContentType"] == "text/plain"
        assert properties["ResponseTopic"] == "toasters/toaster-1/command"
        assert 590 <= properties["MessageExpiryInterval"] <= 600
        assert properties["UserProperty"] == [["room", "kitchen"], ["room", "hall"]]
        assert publish(shared, topic, "--retain").returncode == 0

    def test_any_bytes(self, shared: Up, subscriber: Callable[..., Lines], tmp_path: Path) -> None:
        payload = bytes(range(256))
        (tmp_path / "payload").write_bytes(payload)
        plain = subscriber("toasters/+/telemetry", "-n", "1")
        assert publish(shared, TELEMETRY, "-f", str(tmp_path / "payload")).returncode == 0
        assert plain.line() == f"{TELEMETRY}  (256 bytes, not text)"
        plain.wait()

    def test_json_of_any_bytes(
        self, shared: Up, background: Callable[..., Lines], tmp_path: Path
    ) -> None:
        topic = "toasters/toaster-2/state"
        (tmp_path / "payload").write_bytes(b"\xff\x00")
        arguments = (topic, "-r", "-f", str(tmp_path / "payload"))
        assert publish(shared, *arguments, identity="toaster-2").returncode == 0
        lines = background(shared.folder, "sub", "--as", "dashboard", topic, "--json", "-n", "1")
        message = json.loads(str(lines.line()))
        assert base64.b64decode(message["payload_base64"]) == b"\xff\x00"

    def test_a_payload_cannot_drive_the_terminal(
        self, shared: Up, subscriber: Callable[..., Lines]
    ) -> None:
        lines = subscriber("toasters/+/telemetry", "-n", "1")
        publish(shared, TELEMETRY, "\x1b[2J\nfake  line")
        assert lines.line() == f"{TELEMETRY}  \\x1b[2J\\nfake  line"

    def test_from_standard_input(self, shared: Up, subscriber: Callable[..., Lines]) -> None:
        lines = subscriber("toasters/+/telemetry", "-n", "1")
        arguments = ("pub", "--as", "toaster-1", TELEMETRY, "--file", "-")
        assert motte(shared.folder, *arguments, input="piped").returncode == 0
        assert lines.line() == f"{TELEMETRY}  piped"

    def test_a_kept_session_brings_what_was_missed(
        self, shared: Up, background: Callable[..., Lines]
    ) -> None:
        arguments = ("sub", "--as", "toaster-2", "toasters/toaster-2/command", "--session", "60")
        first = background(shared.folder, *arguments)
        first.until(lambda line: line.startswith("subscribed"))
        first.close()
        command = ("toasters/toaster-2/command", "while you were away")
        assert publish(shared, *command, identity="dashboard").returncode == 0
        second = background(shared.folder, *arguments, "-n", "1", "--json")
        assert json.loads(str(second.line()))["payload"] == "while you were away"
        second.wait()


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["pub", "--as", "toaster-1", "toasters/toaster-2/telemetry", "x"], "0x87"),
            (["pub", "--as", "toaster-1", "toasters/toaster-1/telemetry", "x", "-r"], "0x"),
            (["sub", "--as", "toaster-1", "toasters/toaster-2/command"], "0x87"),
            (["sub", "--as", "toaster-1", "#"], "0xA2"),
            (["sub", "--as", "toaster-1", "toasters/+/telemetry"], "0xA2"),
            (["sub", "--as", "dashboard", "toasters/#"], "0x87"),
            (["sub", "--as", "dashboard", "$share/g/toasters/+/telemetry"], "0x9E"),
            (["sub", "--as", "toaster-1", "#", "--mqtt", "3.1.1"], "0x80"),
        ],
    )
    def test_they_say_what_why_and_how_to_learn_more(
        self, shared: Up, arguments: list[str], says: str
    ) -> None:
        ran = motte(shared.folder, *arguments)
        assert ran.returncode == ExitCode.REFUSED
        assert ran.stdout == ""
        assert says in ran.stderr
        assert f"motte policy explain --as {arguments[2]}" in ran.stderr

    @pytest.mark.parametrize("topic", ["a/+", "#", ""])
    def test_what_is_no_topic_is_told_before_it_is_sent(self, shared: Up, topic: str) -> None:
        ran = publish(shared, topic, "x")
        assert ran.returncode != 0
        assert "Traceback" not in ran.stderr
        assert "hint: " in ran.stderr

    def test_a_stranger_of_another_fleet(
        self, shared: Up, start: Callable[..., Up], tmp_path: Path
    ) -> None:
        other = start().ready()
        assert other.stop() == 0
        # The other fleet's deployment, told that its broker is where ours is.
        config = other.folder / "motte.toml"
        config.write_text(config.read_text().replace(str(other.port), str(shared.port)))
        ran = publish(other, TELEMETRY, "x")
        assert ran.returncode == ExitCode.DATA_PLANE
        assert "is not the broker of this fleet" in ran.stderr
        assert tmp_path in other.folder.parents

    def test_an_expired_certificate(self, start: Callable[..., Up], tmp_path: Path) -> None:
        make_deployment(tmp_path / "old", SetClock(datetime.now(UTC) - timedelta(days=8)))
        up = start(folder=tmp_path / "old").ready()
        ran = publish(up, TELEMETRY, "x")
        assert ran.returncode == ExitCode.ENROLLMENT
        assert "expired on" in ran.stderr
        assert "motte device rotate toaster-1" in ran.stderr
        assert motte(up.folder, "device", "rotate", "toaster-1").returncode == 0
        ran = publish(up, TELEMETRY, "x")
        assert ran.returncode == 0, ran.stderr

    def test_a_second_connection_of_one_id_ends_the_first(
        self, subscriber: Callable[..., Lines]
    ) -> None:
        first = subscriber("toasters/toaster-2/command", identity="toaster-2")
        second = subscriber("toasters/toaster-2/command", identity="toaster-2")
        assert first.wait() == ExitCode.REFUSED
        assert any("0x8E" in line for line in first.seen), first.seen
        assert second.process.poll() is None


class TestTheBundle:
    def test_its_program_publishes(self, shared: Up, subscriber: Callable[..., Lines]) -> None:
        lines = subscriber("toasters/+/telemetry", "-n", "1")
        bundle = shared.folder / "devices" / "toaster-1"
        program = [sys.executable, str(bundle / "client.py")]
        ran = subprocess.run(program, capture_output=True, text=True, check=False, timeout=30)
        assert ran.returncode == 0, ran.stderr
        assert lines.line() == f"{TELEMETRY}  hello"

    def test_its_program_tells_of_a_refusal(self, shared: Up) -> None:
        program = shared.folder / "devices" / "toaster-2" / "client.py"
        ran = subprocess.run(
            [sys.executable, str(program), TELEMETRY, "stolen"],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert ran.returncode == 1
        assert "Not authorized" in ran.stderr
        assert "Traceback" not in ran.stderr

    @pytest.mark.skipif(shutil.which("mosquitto_sub") is None, reason="needs mosquitto-clients")
    def test_its_readme_can_be_typed(self, shared: Up, background: Callable[..., Lines]) -> None:
        bundle = shared.folder / "devices" / "toaster-1"
        blocks = (bundle / "README.md").read_text().split("```sh\n")
        subscribe, publish_line = (block.split("```")[0] for block in blocks[1:3])
        reader = background(shared.folder, "sub", "--as", "dashboard", "toasters/+/telemetry")
        reader.until(lambda line: line.startswith("subscribed"))
        ran = subprocess.run(["sh", "-c", publish_line], cwd=bundle, check=False, timeout=30)
        assert ran.returncode == 0
        assert reader.line() == f"{TELEMETRY}  hello"
        reader.close()
        listening = Lines(["sh", "-c", f"exec {subscribe.strip()} -C 1"], cwd=bundle)
        wait_until(lambda: subscriptions(shared) == 1, "the subscription")
        sent = publish(shared, "toasters/toaster-1/command", "eject", identity="dashboard")
        assert sent.returncode == 0, sent.stderr
        listening.until(lambda line: line == "toasters/toaster-1/command eject")
        listening.close()
