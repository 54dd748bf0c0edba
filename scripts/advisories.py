"""Asks the advisory databases whether a locked dependency has a known vulnerability.

usage: advisories.py [--lint]

The RustSec database lives in a Git repository and the Python one behind PyPI's JSON interface;
neither is a package registry, so a machine may reach the registries and not these. It is said
plainly when a database could not be asked. With ``--lint`` that alone is no failure: a lint that
needs a third party's server would make every build depend on it.

Exit code: 0 nothing known, 1 a vulnerability is known, 2 at least one database could not be asked.
"""

from __future__ import annotations

import json
import subprocess
import sys
from enum import IntEnum
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
# A database that does not answer within this many seconds counts as unreachable.
PATIENCE_SECONDS = 60


class Verdict(IntEnum):
    """What came of one question; the larger number matters only to the order of the exit code."""

    CLEAR = 0
    VULNERABLE = 1
    NOT_CHECKED = 2


def ask(command: list[str]) -> subprocess.CompletedProcess[str] | None:
    """Runs a scanner, or gives None when it did not finish in time."""
    try:
        return subprocess.run(
            command, cwd=ROOT, check=False, text=True, capture_output=True, timeout=PATIENCE_SECONDS
        )
    except subprocess.TimeoutExpired:
        return None


def rust() -> tuple[Verdict, str]:
    """Asks the RustSec database about Cargo.lock."""
    answer = ask([str(BIN / "cargo-deny"), "--all-features", "check", "advisories"])
    if answer is None:
        return Verdict.NOT_CHECKED, "the RustSec database did not answer in time"
    if "advisories ok" in answer.stderr + answer.stdout and answer.returncode == 0:
        return Verdict.CLEAR, "no known vulnerability in Cargo.lock"
    if "advisories FAILED" in answer.stderr + answer.stdout:
        return Verdict.VULNERABLE, answer.stderr + answer.stdout
    return (
        Verdict.NOT_CHECKED,
        f"the RustSec database could not be fetched:\n{answer.stderr.strip()}",
    )


def python() -> tuple[Verdict, str]:
    """Asks PyPI about requirements.lock; a package that PyPI says nothing about was not checked."""
    pip_audit = [str(BIN / "pip-audit"), "--progress-spinner=off", "--format=json"]
    answer = ask([*pip_audit, "--require-hashes", "--disable-pip", "-r", "requirements.lock"])
    if answer is None:
        return Verdict.NOT_CHECKED, "PyPI did not answer in time"
    try:
        packages = json.loads(answer.stdout)["dependencies"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return Verdict.NOT_CHECKED, f"pip-audit gave no report:\n{answer.stderr.strip()}"
    known = [
        f"{package['name']} {package['version']}: {vulnerability['id']}"
        for package in packages
        for vulnerability in package.get("vulns", [])
    ]
    if known:
        return Verdict.VULNERABLE, "\n".join(known)
    silent = [package["name"] for package in packages if "skip_reason" in package]
    if silent:
        known_of = f"{len(packages) - len(silent)} of {len(packages)}"
        return Verdict.NOT_CHECKED, f"PyPI's advisory interface knew {known_of} packages"
    return Verdict.CLEAR, f"no known vulnerability in {len(packages)} packages of requirements.lock"


def main() -> int:
    """Asks both databases and prints what they said."""
    verdicts = []
    for name, question in (("Rust", rust), ("Python", python)):
        verdict, detail = question()
        print(f"{name}: {verdict.name.replace('_', ' ')}: {detail}")
        verdicts.append(verdict)
    if "--lint" in sys.argv[1:]:
        return int(Verdict.VULNERABLE in verdicts)
    return int(Verdict.VULNERABLE if Verdict.VULNERABLE in verdicts else max(verdicts))


if __name__ == "__main__":
    sys.exit(main())
