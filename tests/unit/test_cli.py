"""The command line without a data plane: output, JSON, exit codes, errors."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer.main

from motte.cli import app, main
from motte.deployment import Deployment
from motte.errors import ExitCode
from tests.support.fleet import make_deployment

ABOUT_NO_DEPLOYMENT = (
    ["policy", "example"],
    ["policy", "diff"],
    ["policy", "import"],
    ["demo"],
    ["bench"],
    ["audit"],
)


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its output as JSON."""
        return json.loads(self.out)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template") / "deployment"
    make_deployment(folder)
    return folder


@pytest.fixture
def deployment(template: Path, tmp_path: Path) -> Deployment:
    shutil.copytree(template, tmp_path / "d")
    return Deployment(tmp_path / "d")


@pytest.fixture
def motte(
    deployment: Deployment, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Ran]:
    monkeypatch.setenv("MOTTE_DIRECTORY", str(deployment.root))

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        code = main(list(arguments))
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return run


def assert_an_error(ran: Ran, code: ExitCode, *, says: str) -> None:
    assert ran.code == code
    assert ran.out == ""
    assert ran.err.startswith("error: ")
    assert "\n\nhint: " in ran.err
    assert says in ran.err
    assert "Traceback" not in ran.err


def commands() -> Iterator[tuple[list[str], Any]]:
    def walk(path: list[str], command: Any) -> Iterator[tuple[list[str], Any]]:
        children = getattr(command, "commands", None)
        if children is None:
            yield path, command
        for name, child in (children or {}).items():
            yield from walk([*path, name], child)

    yield from walk([], typer.main.get_command(app))


class TestEveryCommand:
    @pytest.mark.parametrize("path", [path for path, _ in commands()], ids=" ".join)
    def test_has_help(self, motte: Callable[..., Ran], path: list[str]) -> None:
        ran = motte(*path, "--help")
        assert ran.code == ExitCode.OK
        assert ran.out.startswith(f"Usage: motte {' '.join(path)}")

    @pytest.mark.parametrize("path", [path for path, _ in commands()], ids=" ".join)
    def test_refuses_an_unknown_option_without_a_traceback(
        self, motte: Callable[..., Ran], path: list[str]
    ) -> None:
        ran = motte(*path, "--no-such-option")
        assert_an_error(ran, ExitCode.USAGE, says=f"motte {' '.join(path)} --help")

    def test_can_print_json_and_be_told_where(self) -> None:
        for path, command in commands():
            if path in ABOUT_NO_DEPLOYMENT:
                continue
            options = {name for parameter in command.params for name in parameter.opts}
            assert {"--json", "--directory", "-C"} <= options, path

    def test_there_are_the_ones_that_the_design_names(self) -> None:
        names = {" ".join(path) for path, _ in commands()}
        assert names >= {
            *("up", "status", "pub", "sub", "log follow", "log verify"),
            *("device add", "device list", "device show", "device revoke"),
            *("device quarantine", "device release", "device rotate"),
            *("policy check", "policy apply", "policy explain"),
        }


class TestErrors:
    def test_no_deployment(self, motte: Callable[..., Ran], tmp_path: Path) -> None:
        ran = motte("device", "list", "-C", str(tmp_path / "nowhere"))
        assert_an_error(ran, ExitCode.CONFIG, says="motte up --directory")

    def test_as_json(self, motte: Callable[..., Ran], tmp_path: Path) -> None:
        ran = motte("device", "list", "--json", "-C", str(tmp_path / "nowhere"))
        found = json.loads(ran.err)["error"]
        assert found["kind"] == "ConfigError"
        assert found["exit_code"] == ran.code == ExitCode.CONFIG
        assert found["hint"]
        assert ran.out == ""

    def test_options_may_stand_in_front(self, motte: Callable[..., Ran], tmp_path: Path) -> None:
        ran = motte("--json", "-C", str(tmp_path), "device", "list")
        assert json.loads(ran.err)["error"]["kind"] == "ConfigError"

    def test_half_made(self, motte: Callable[..., Ran], deployment: Deployment) -> None:
        deployment.unfinished.touch(mode=0o600)
        assert_an_error(motte("device", "list"), ExitCode.CONFIG, says="only half made")

    def test_a_lost_registry(self, motte: Callable[..., Ran], deployment: Deployment) -> None:
        deployment.registry.unlink()
        ran = motte("device", "revoke", "toaster-1")
        assert_an_error(ran, ExitCode.STORE, says="registry.sqlite is missing")
        assert not deployment.registry.exists()

    def test_an_open_state_folder(self, motte: Callable[..., Ran], deployment: Deployment) -> None:
        deployment.state.chmod(0o755)
        assert_an_error(motte("device", "list"), ExitCode.STORE, says="chmod 700")

    def test_a_broken_configuration(
        self, motte: Callable[..., Ran], deployment: Deployment
    ) -> None:
        deployment.config_file.write_text("[listener]\nprot = 1\n")
        ran = motte("device", "list")
        assert_an_error(ran, ExitCode.CONFIG, says="motte.toml:2: listener.prot")
        assert "did you mean `port`?" in ran.err

    def test_no_data_plane(self, motte: Callable[..., Ran]) -> None:
        for arguments in (["status"], ["log", "follow"]):
            ran = motte(*arguments)
            assert_an_error(ran, ExitCode.DATA_PLANE, says="motte up")

    def test_nothing_listens(self, motte: Callable[..., Ran], deployment: Deployment) -> None:
        deployment.config_file.write_text("[listener]\nport = 1\n")
        ran = motte("pub", "--as", "toaster-1", "a/b", "x")
        assert_an_error(ran, ExitCode.DATA_PLANE, says="nothing listens on 127.0.0.1:1")

    def test_no_log_yet(self, motte: Callable[..., Ran]) -> None:
        assert_an_error(motte("log", "verify"), ExitCode.STORE, says="evidence.log is missing")

    def test_a_foreign_name_cannot_drive_the_terminal(self, motte: Callable[..., Ran]) -> None:
        for arguments in (["device", "show"], ["device", "add"], ["device", "revoke"]):
            ran = motte(*arguments, "\x1b[2J\x07")
            assert ran.code == ExitCode.ENROLLMENT
            assert "\x1b" not in ran.err
            assert "\\x1b[2J" in ran.err

    @pytest.mark.parametrize("attribute", ["group", "group=", "=toaster", "a=1 b", "device=x"])
    def test_a_wrong_attribute(self, motte: Callable[..., Ran], attribute: str) -> None:
        ran = motte("device", "add", "toaster-9", "--attribute", attribute)
        assert_an_error(ran, ExitCode.ENROLLMENT, says="attribute")

    def test_an_attribute_twice(self, motte: Callable[..., Ran]) -> None:
        ran = motte("device", "add", "x", "-a", "group=a", "-a", "group=b")
        assert_an_error(ran, ExitCode.ENROLLMENT, says="given twice")

    def test_an_unknown_bundle(self, motte: Callable[..., Ran]) -> None:
        ran = motte("pub", "--as", "toster-1", "a", "b")
        assert_an_error(ran, ExitCode.ENROLLMENT, says="did you mean `toaster-1`?")

    def test_an_unknown_version(self, motte: Callable[..., Ran]) -> None:
        ran = motte("sub", "--as", "toaster-1", "a", "--mqtt", "4")
        assert_an_error(ran, ExitCode.USAGE, says="write 5 or 3.1.1")


class TestDevices:
    def test_added_listed_shown(self, motte: Callable[..., Ran], deployment: Deployment) -> None:
        added = motte("device", "add", "kettle-1", "-a", "group=kettle", "-a", "site=home")
        assert added.code == ExitCode.OK
        assert str(deployment.bundle("kettle-1")) in added.out
        listed = motte("device", "list")
        assert "kettle-1" in listed.out
        assert "group=kettle site=home" in listed.out
        shown = motte("device", "show", "kettle-1")
        assert "spiffe://home/group/kettle/site/home/device/kettle-1" in shown.out
        assert "enrolled" in shown.out

    def test_as_json(self, motte: Callable[..., Ran], deployment: Deployment) -> None:
        added = motte("device", "add", "watcher", "--service", "--json", "--why", "new").json
        assert added["identity"] == "service/watcher"
        assert Path(added["bundle"]) == deployment.bundle("watcher")
        by_id = {one["id"]: one for one in motte("device", "list", "--json").json}
        assert by_id["watcher"]["kind"] == "service"
        assert by_id["watcher"]["certificates"][0]["serial"] == added["serial"]
        shown = motte("device", "show", "watcher", "--json").json
        assert shown["history"][0]["why"] == "new"

    def test_revoked_for_the_next_start(
        self, motte: Callable[..., Ran], deployment: Deployment
    ) -> None:
        ran = motte("device", "revoke", "toaster-1", "--why", "stolen")
        assert ran.code == ExitCode.OK
        assert "device/toaster-1 is revoked" in ran.out
        assert "no data plane is running" in ran.out
        exceptions = json.loads(deployment.snapshot.read_bytes())["exceptions"]
        assert exceptions["revoked"] == ["device/toaster-1"]
        again = motte("device", "revoke", "toaster-1", "--json").json
        assert again["before"] == again["status"] == "revoked"
        listed = motte("device", "list", "--status", "revoked", "--json").json
        assert [one["id"] for one in listed] == ["toaster-1"]

    def test_quarantine_and_release(self, motte: Callable[..., Ran]) -> None:
        assert motte("device", "quarantine", "toaster-2").code == ExitCode.OK
        assert motte("device", "release", "toaster-2", "--json").json["status"] == "active"

    def test_a_broken_policy_does_not_stop_a_revocation(
        self, motte: Callable[..., Ran], deployment: Deployment
    ) -> None:
        assert motte("policy", "apply").code == ExitCode.OK
        deployment.policy_file.write_text("[role.\n")
        ran = motte("device", "revoke", "toaster-1")
        assert ran.code == ExitCode.OK
        assert "warning: policy.toml cannot be compiled" in ran.err

    def test_rotate(self, motte: Callable[..., Ran], deployment: Deployment) -> None:
        before = (deployment.bundle("toaster-1") / "key.pem").read_bytes()
        rotated = motte("device", "rotate", "toaster-1", "--json").json
        assert (deployment.bundle("toaster-1") / "key.pem").read_bytes() != before
        certificates = motte("device", "show", "toaster-1", "--json").json["certificates"]
        revoked = {one["serial"]: one["revoked_at"] is not None for one in certificates}
        assert revoked.pop(rotated["serial"]) is False
        assert list(revoked.values()) == [True]


def run_process(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    code = "import sys; from motte.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_a_reader_that_leaves_early_is_no_error_worth_a_traceback(deployment: Deployment) -> None:
    code = (
        "import os, sys; from motte.cli import main\n"
        "reader, writer = os.pipe(); os.close(reader); os.dup2(writer, 1)\n"
        "sys.exit(main())"
    )
    for arguments in (["device", "list"], ["device", "list", "--json"], ["--help"]):
        command = [sys.executable, "-c", code, *arguments, "-C", str(deployment.root)]
        ran = subprocess.run(
            command if arguments != ["--help"] else command[:-2],
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert "Traceback" not in ran.stderr
        assert "Exception ignored" not in ran.stderr


@pytest.mark.parametrize(
    "arguments", [["device", "list"], ["device", "list", "--json"], ["--help"]]
)
def test_output_that_cannot_be_written_is_said(
    deployment: Deployment, arguments: list[str]
) -> None:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "motte", *arguments],
            env={**os.environ, "MOTTE_DIRECTORY": str(deployment.root)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ran.returncode == ExitCode.FAILURE
    assert "the output cannot be written: No space left on device" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert "Exception ignored" not in ran.stderr


@pytest.mark.parametrize("closed", [[0], [1], [2], [0, 1, 2]])
def test_closed_standard_streams_harm_nothing(deployment: Deployment, closed: list[int]) -> None:
    """What is opened next must not become the standard output by its number."""
    closing = "".join(f"os.close({number});" for number in closed)
    run = "os.execv(sys.executable,[sys.executable,'-m','motte',*sys.argv[1:]])"
    command = f"import os,sys;{closing}{run}"
    for arguments, code in (
        (["device", "show", "nobody"], ExitCode.ENROLLMENT),
        (["policy", "check"], ExitCode.OK),
        (["device", "revoke", "toaster-1"], ExitCode.OK),
        (["device", "list"], ExitCode.OK),
        (["--version"], ExitCode.OK),
    ):
        ran = subprocess.run(
            [sys.executable, "-c", command, *arguments],
            env={**os.environ, "MOTTE_DIRECTORY": str(deployment.root)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == code, ran.stderr
        assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["device", "show", b"\xff"],
        ["device", "add", "kettle-1", "--why", b"\xff\x1b[2J"],
        ["pub", "--as", "toaster-1", b"\xff", "x"],
        [b"--\xff\x1b[2J"],
    ],
)
def test_bytes_that_are_no_text_are_refused(
    deployment: Deployment, arguments: list[str | bytes]
) -> None:
    for more in ([], ["--json"]):
        ran = subprocess.run(
            [sys.executable, "-m", "motte", *arguments, *more],
            env={**os.environ, "MOTTE_DIRECTORY": str(deployment.root)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == ExitCode.USAGE
        assert "is not UTF-8 text" in ran.stderr
        assert "\x1b" not in ran.stderr
        assert not more or json.loads(ran.stderr)["error"]["hint"]


def test_usage_errors_are_json_too(motte: Callable[..., Ran]) -> None:
    for arguments in (["device", "add"], ["status", "more"], ["nosuch"], ["device", "--\x1b[2J"]):
        found = json.loads(motte("--json", *arguments).err)["error"]
        assert found["kind"] == "UsageError"
        assert found["exit_code"] == ExitCode.USAGE
        assert found["hint"].startswith("see `motte")
    assert "\x1b" not in motte("--\x1b[2J").err


def test_json_cannot_drive_a_terminal(motte: Callable[..., Ran]) -> None:
    """C1 controls and bidirectional overrides are legal in JSON, and harmful on a screen."""
    why = "\x9b2J \u202e \x7f ü"
    motte("device", "revoke", "toaster-1", "--why", why)
    shown = motte("device", "show", "toaster-1", "--json")
    assert shown.json["why"] == why
    assert shown.out.removesuffix("\n").isprintable()
    assert shown.out.isascii()


def test_output_in_a_pipe_has_no_colour_and_is_not_cut(deployment: Deployment) -> None:
    long = "x" * 60
    environment = {**os.environ, "COLUMNS": "40"}
    added = run_process(
        *("device", "add", long, "-a", f"group={long}", "-C", str(deployment.root)),
        env=environment,
    )
    assert added.returncode == 0, added.stderr
    listed = run_process("device", "list", "-C", str(deployment.root), env=environment)
    assert "\x1b" not in listed.stdout
    row = next(line for line in listed.stdout.splitlines() if line.startswith(long))
    assert f"group={long}" in row


def test_the_version(motte: Callable[..., Ran]) -> None:
    from motte import __version__

    assert motte("--version").out == f"motte {__version__}\n"


def test_the_command_line_by_itself_loads_little() -> None:
    """Each command loads what it needs, so that `--help` and completion answer at once."""
    code = "import sys, motte.cli; print(*sorted(sys.modules))"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True, timeout=60
    )
    loaded = set(ran.stdout.split())
    assert "typer" in loaded
    assert not loaded & {"cryptography", "motte._core", "motte.policy.compiler", "sqlalchemy"}
