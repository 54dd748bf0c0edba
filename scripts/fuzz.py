"""Runs every fuzz target for an equal share of a time budget, from its stored corpus.

usage: fuzz.py [--seconds N]

The targets need compiler flags that a stable toolchain keeps for nightly; RUSTC_BOOTSTRAP lets it
accept them, so no second toolchain is needed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CARGO_FUZZ = str(ROOT / ".venv" / "bin" / "cargo-fuzz")
# A single input that takes longer than this is a finding: decoding is linear.
SLOW_INPUT_SECONDS = 5


def main() -> int:
    """Builds all targets, then runs each; every target runs even after one has failed."""
    parser = argparse.ArgumentParser(description="smoke run of the fuzz targets")
    parser.add_argument("--seconds", type=int, default=60, help="time for all targets together")
    seconds: int = parser.parse_args().seconds
    environment = os.environ | {"RUSTC_BOOTSTRAP": "1"}

    def cargo_fuzz(*arguments: str, capture: bool = False) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [CARGO_FUZZ, *arguments],
            cwd=ROOT,
            env=environment,
            check=False,
            text=True,
            stdout=subprocess.PIPE if capture else None,
        )

    listing = cargo_fuzz("list", capture=True)
    targets = listing.stdout.split()
    if listing.returncode != 0 or not targets:
        print("error: no fuzz target found in fuzz/", file=sys.stderr)
        return 1
    if cargo_fuzz("build").returncode != 0:
        return 1
    share = max(1, seconds // len(targets))
    failed = [
        target
        for target in targets
        if cargo_fuzz(
            "run", target, "--", f"-max_total_time={share}", f"-timeout={SLOW_INPUT_SECONDS}",
            "-print_final_stats=1", "-verbosity=0",
        ).returncode
        != 0
    ]  # fmt: skip
    for target in targets:
        print(f"{'FAILED' if target in failed else 'ok':7} {target} ({share} s)")
    return int(bool(failed))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
