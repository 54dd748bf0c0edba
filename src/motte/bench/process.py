"""The process of the load generator: ``python -m motte.bench.process SCENARIO.json``."""

import resource
import signal
import sys
from pathlib import Path

from motte.errors import ExitCode

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Runs one scenario; the exit code."""
    from motte import _core

    # Rust runs until it is done: only the default action ends it before.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        _core.run_load(Path(arguments[0]).read_text(encoding="utf-8"))
    except RuntimeError as error:
        sys.stderr.write(f"error: {error}\n")
        return ExitCode.FAILURE
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
