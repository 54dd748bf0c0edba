"""``motte policy``: what a person sees, what a program reads, and how each command ends."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from motte import _core
from motte.cli import main, policy
from motte.deployment import Deployment
from motte.errors import ExitCode, PolicyError
from motte.policy import default_policy_text
from tests.policy.command import BROKEN, RENDERED, Ran, lines
from tests.support import up as process
from tests.support.up import MOTTE, Lines, Up


class TestCheck:
    def test_a_right_policy(self, motte: Callable[..., Ran], deployment: Deployment) -> None:
        ran = motte("check")
        assert (ran.code, ran.err) == (ExitCode.OK, "")
        assert lines(ran.out) == [
            f"{deployment.policy_file} is right: 2 roles, no warnings",
            "",
            "role",
            "toaster     who             any device with group = toaster",
            "            may publish     toasters/{device}/telemetry",
            "                            toasters/{device}/state (retained, too)",
            "            may subscribe   toasters/{device}/command",
            "            limits          messages 10/s, payload 4KiB",
            "dashboard   who             service dashboard",
            "            may publish     toasters/+/command",
            "            may subscribe   toasters/+/telemetry",
            "                            toasters/+/state",
            "                            (with wildcards)",
            "            limits          defaults",
        ]

    def test_the_table_says_everything_that_a_rule_can_say(
        self, motte: Callable[..., Ran], tmp_path: Path
    ) -> None:
        path = tmp_path / "all.toml"
        path.write_text(
            '[role.a]\nmatch = { service = "x" }\n'
            'publish = [{ topic = "a", qos = 1, will = false }]\n'
            'subscribe = [{ topic = "b/+", qos = 0 }]\n'
            'deny = ["a/x", { topic = "b/y", actions = ["subscribe"] }]\n'
        )
        assert lines(motte("check", str(path)).out)[3:] == [
            "a      who             service x",
            "       may publish     a (QoS 1 at most, not as a will)",
            "       may subscribe   b/+ (QoS 0 at most)",
            "                       (concrete topics only)",
            "       never           a/x",
            "                       b/y (to subscribe)",
            "       limits          defaults",
        ]

    def test_a_warning(self, motte: Callable[..., Ran], tmp_path: Path) -> None:
        path = tmp_path / "policy.toml"
        path.write_text('[role.a]\nmatch = { group = "x" }\n')
        ran = motte("check", str(path))
        assert ran.code == ExitCode.OK
        assert ran.out.startswith(f"{path} is right: 1 role, 1 warning\n")
        assert ran.err.startswith(
            "warning: role `a` grants nothing: its identities can connect and do no more\n"
            " --> policy.toml:1:7\n"
        )

    def test_an_error(self, motte: Callable[..., Ran], tmp_path: Path) -> None:
        path = tmp_path / "policy.toml"
        path.write_text(BROKEN)
        ran = motte("check", str(path))
        assert (ran.code, ran.out) == (ExitCode.POLICY, "")
        assert ran.err == (
            f"{RENDERED}\nerror: policy.toml has 1 error\n\nhint: correct {path} and check it "
            "again\n"
        )

    def test_an_error_as_json(self, motte: Callable[..., Ran], tmp_path: Path) -> None:
        path = tmp_path / "policy.toml"
        path.write_text(BROKEN)
        ran = motte("check", str(path), "--json")
        assert (ran.code, ran.err) == (ExitCode.POLICY, "")
        assert ran.json == {
            "file": str(path),
            "ok": False,
            "diagnostics": [
                {
                    "severity": "error",
                    "code": "unknown-key",
                    "file": "policy.toml",
                    "line": 3,
                    "column": 1,
                    "message": "unknown key `pubish` in role `toaster`",
                    "hint": "did you mean `publish`?",
                }
            ],
            "roles": [],
        }

    def test_a_right_policy_as_json(self, motte: Callable[..., Ran]) -> None:
        found = motte("check", "--json").json
        assert (found["ok"], found["diagnostics"]) == (True, [])
        toaster, dashboard = found["roles"]
        assert toaster["match"] == {
            "kind": "device",
            "id": None,
            "attributes": {"group": "toaster"},
        }
        assert toaster["publish"][1]["retain"]
        assert toaster["limits"] == {"messages_per_second": 10, "payload": 4096}
        assert dashboard["wildcards"]

    def test_a_missing_file(self, motte: Callable[..., Ran], tmp_path: Path) -> None:
        ran = motte("check", str(tmp_path / "none.toml"))
        assert ran.code == ExitCode.POLICY
        assert ran.err == (
            f"error: {tmp_path}/none.toml is missing\n\nhint: put one there; "
            "`motte policy example` prints one to start from\n"
        )

    def test_needs_no_deployment_for_a_named_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.delenv("MOTTE_DIRECTORY", raising=False)
        monkeypatch.chdir(tmp_path)
        Path("p.toml").write_text(default_policy_text())
        assert main(["policy", "check", "p.toml"]) == ExitCode.OK
        assert capsys.readouterr().out.startswith("p.toml is right: 2 roles, no warnings\n")

    def test_an_empty_policy(self, motte: Callable[..., Ran], tmp_path: Path) -> None:
        path = tmp_path / "policy.toml"
        path.write_text("")
        ran = motte("check", str(path))
        assert (ran.code, ran.out) == (ExitCode.OK, f"{path} is right: no roles, 1 warning\n")
        assert "every client is refused everything" in ran.err


class TestApply:
    def test_without_a_data_plane(self, motte: Callable[..., Ran], deployment: Deployment) -> None:
        ran = motte("apply")
        assert (ran.code, ran.err) == (ExitCode.OK, "")
        assert ran.out == "no data plane is running: snapshot 1 waits for its start, `motte up`\n"
        assert _core.Snapshot(deployment.snapshot.read_bytes()).generation == 1
        again = motte("apply")
        assert again.out == "nothing to do: snapshot 1 already is this policy\n"

    def test_as_json(self, motte: Callable[..., Ran]) -> None:
        assert motte("apply", "--json").json == {
            "generation": 1,
            "changed": True,
            "live": False,
            "report": {},
            "warnings": [],
        }

    def test_a_broken_policy_changes_nothing(
        self, motte: Callable[..., Ran], deployment: Deployment
    ) -> None:
        assert motte("apply").code == ExitCode.OK
        before = deployment.snapshot.read_bytes()
        deployment.policy_file.write_text(BROKEN)
        ran = motte("apply")
        assert (ran.code, ran.out) == (ExitCode.POLICY, "")
        assert ran.err == (
            f"{RENDERED}\nerror: policy.toml has 1 error; snapshot 1 stays in force, unchanged\n\n"
            "hint: correct the file and run `motte policy check`\n"
        )
        assert deployment.snapshot.read_bytes() == before
        assert motte("apply", "--json").code == ExitCode.POLICY
        deployment.policy_file.unlink()
        ran = motte("apply")
        assert ran.code == ExitCode.POLICY
        assert "is missing; snapshot 1 stays in force, unchanged\n\nhint: put one there" in ran.err

    def test_a_broken_first_policy(self, motte: Callable[..., Ran], deployment: Deployment) -> None:
        deployment.policy_file.write_text(BROKEN)
        ran = motte("apply")
        assert ran.code == ExitCode.POLICY
        assert "no policy is in force, so every client is refused" in ran.err
        assert not deployment.snapshot.exists()

    def test_a_warning_does_not_stop_it(
        self, motte: Callable[..., Ran], deployment: Deployment
    ) -> None:
        deployment.policy_file.write_text("")
        ran = motte("apply")
        assert ran.code == ExitCode.OK
        assert ran.err.startswith("warning: policy.toml:1:1: warning: the policy has no role")


class TestSubApp:
    """The commands as a typer application, without the rest of ``motte``."""

    def test_example_is_the_default_policy(self) -> None:
        result = CliRunner().invoke(policy.app, ["example"])
        assert (result.exit_code, result.output) == (0, default_policy_text())

    def test_help(self) -> None:
        result = CliRunner().invoke(policy.app, ["--help"])
        assert result.exit_code == 0
        for command in ("check", "apply", "explain", "example"):
            assert command in result.output

    def test_an_unknown_action_is_a_usage_error(self) -> None:
        result = CliRunner().invoke(policy.app, ["explain", "--as", "x", "connect", "a"])
        assert result.exit_code == 2

    def test_a_broken_policy_is_a_policy_error(self, tmp_path: Path) -> None:
        path = tmp_path / "policy.toml"
        path.write_text(BROKEN)
        result = CliRunner().invoke(policy.app, ["check", str(path)])
        assert isinstance(result.exception, PolicyError)


@pytest.fixture
def running(template: Path, tmp_path: Path) -> Iterator[Up]:
    shutil.copytree(template, tmp_path / "live")
    up = Up(tmp_path / "live").ready()
    yield up
    up.close()


class TestProcess:
    def test_the_commands_as_processes(self, template: Path, tmp_path: Path) -> None:
        folder = tmp_path / "d"
        shutil.copytree(template, folder)
        check = process.motte(folder, "policy", "check")
        assert (check.returncode, check.stderr) == (0, "")
        explain = process.motte(folder, "policy", "explain", "--as", "toaster-1", "publish", "x")
        assert explain.returncode == ExitCode.REFUSED
        assert explain.stdout.startswith("refused  device/toaster-1 publish `x` with QoS 0\n")
        (folder / "policy.toml").write_text(BROKEN)
        broken = process.motte(folder, "policy", "check")
        assert (broken.returncode, broken.stdout) == (ExitCode.POLICY, "")
        assert broken.stderr.startswith(RENDERED)
        assert "Traceback" not in broken.stderr

    def test_apply_says_what_happened_to_connected_clients(self, running: Up) -> None:
        readers = [
            Lines([*MOTTE, "-C", str(running.folder), "sub", "--as", name, topic])
            for name, topic in (
                ("toaster-1", "toasters/toaster-1/command"),
                ("dashboard", "toasters/+/telemetry"),
            )
        ]
        try:
            for reader in readers:
                reader.until(lambda line: line.startswith("subscribed"))
            path = running.folder / "policy.toml"
            text = path.read_text()
            path.write_text(text.replace('"toasters/+/telemetry", ', ""))
            pruned = process.motte(running.folder, "policy", "apply")
            assert lines(pruned.stdout) == ["in force now: snapshot 2", "  subscriptions pruned: 1"]
            path.write_text("")
            closed = process.motte(running.folder, "policy", "apply")
            first, second, *_ = lines(closed.stdout)
            assert first == "in force now: snapshot 3"
            assert second.startswith("  disconnected: ")
            assert {"dashboard", "toaster-1"} <= set(
                second.replace(",", "").replace("device/", "").replace("service/", "").split()
            )
            for reader in readers:
                assert reader.wait() == ExitCode.REFUSED
        finally:
            for reader in readers:
                reader.close()
