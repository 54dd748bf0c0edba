"""The data plane process: reads ``motte.toml``, hands over to Rust and is not heard of again.

Run as ``python -m motte.plane.data_plane DIRECTORY``. With ``-`` as a second argument the settings
come from standard input instead of ``motte.toml``: such a process can be started ahead of time and
waits until it is told to serve. Whatever stops it is said in two lines on standard error,
``error: …`` and ``hint: …``, which `motte.plane.process` reads back.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from motte.deployment import Deployment
from motte.errors import ExitCode, MotteError
from motte.fleet.layout import SERVER_CERTIFICATE, SERVER_KEY, TRUSTED_AUTHORITY

if TYPE_CHECKING:
    from motte.config import Config

__all__ = ["ERROR_PREFIX", "FROM_STANDARD_INPUT", "HINT_PREFIX", "main", "settings_json"]

ERROR_PREFIX: Final = "error: "
"""How the line that says what is wrong begins."""
HINT_PREFIX: Final = "hint: "
"""How the line that says what to do begins."""


FROM_STANDARD_INPUT: Final = "-"
"""The second argument of a process that waits for its settings."""


def settings_json(config: "Config", deployment: Deployment) -> str:
    """What ``motte._core.serve`` is told at its start."""
    network = config.network
    metrics = config.metrics.address
    return json.dumps(
        {
            "fleet": config.fleet.name,
            "listener": {"address": config.listener.address, "port": config.listener.port},
            "server_certificate": str(deployment.server / SERVER_CERTIFICATE),
            "server_key": str(deployment.server / SERVER_KEY),
            "client_authority": str(deployment.server / TRUSTED_AUTHORITY),
            "state_directory": str(deployment.state),
            "threads": 0,
            "network": {
                "connections_per_address": network.connections_per_address,
                "handshakes_per_second": network.handshakes_per_second,
                "handshake_burst": network.handshake_burst,
                "maximum_connections": network.maximum_connections,
                "failures_to_ban": network.failures_to_ban,
                "ban_seconds": network.ban_seconds,
                "banned": list(network.banned),
            },
            "metrics": metrics
            and {
                "address": str(metrics[0]),
                "port": metrics[1],
                "danger_beyond_loopback": config.metrics.danger_beyond_loopback,
            },
            "log_format": config.log.format,
            "evidence": {"kept_bytes": config.evidence.keep_mebibytes * 1024 * 1024},
            "handshake_deadline_seconds": network.handshake_deadline_seconds,
        }
    )


def main(arguments: list[str]) -> int:
    """Serves until stopped; the exit code."""
    if len(arguments) not in {1, 2} or arguments[1:] not in ([], [FROM_STANDARD_INPUT]):
        return _fail("one argument is needed: the deployment folder", None, ExitCode.USAGE)
    from motte import _core

    deployment = Deployment(Path(arguments[0]).absolute())
    try:
        settings = sys.stdin.read() if len(arguments) > 1 else _settings(deployment)
        if settings:  # none are an order not to start after all
            _core.serve(settings)
    except MotteError as error:
        return _fail(error.message, error.hint, error.exit_code)
    except _core.ServeError as error:
        hint = getattr(error, "hint", None)
        return _fail(str(error), hint, ExitCode.DATA_PLANE)
    return ExitCode.OK


def _settings(deployment: Deployment) -> str:
    # Not at the top: a process that is told its settings needs no parser for them.
    from motte.config import load

    return settings_json(load(deployment.config_file), deployment)


def _fail(message: str, hint: str | None, code: ExitCode) -> int:
    text = " ".join(message.split("\n"))
    sys.stderr.write(f"{ERROR_PREFIX}{text}\n")
    if hint:
        sys.stderr.write(f"{HINT_PREFIX}{hint}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
