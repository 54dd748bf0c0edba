"""``motte up``: make a deployment if there is none, run it, and say what is going on."""

import os
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from motte.cli.invocation import DirectoryOption, Invocation, JsonOption, invocation
from motte.deployment import Deployment, place

if TYPE_CHECKING:
    from rich.text import Text

    from motte.errors import MotteError
    from motte.plane.context import ControlPlane
    from motte.plane.control import Status
    from motte.plane.publisher import Published

__all__ = ["up"]

SHOWN_KINDS = frozenset(
    {
        "connected", "disconnected", "refused", "withheld", "session_taken_over", "banned",
        "subscription_pruned", "will_dropped", "store",
    }
)  # fmt: skip
"""Kinds of event worth a line in the foreground; `motte log follow` shows all of them."""


def up(
    context: typer.Context,
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Port of a deployment that is made now; 0: a free one."
        ),
    ] = None,
    directory: DirectoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a deployment if there is none, run broker and control plane until Ctrl-C."""
    run = invocation(context, directory, as_json)
    deployment = place(run.directory)
    from motte.plane.foundation import begin
    from motte.plane.process import PreparedDataPlane, single_control_plane
    from motte.plane.signals import Signals

    screen = _Screen(run, deployment)
    with Signals() as signals:
        half_made = begin(deployment)
        with single_control_plane(deployment), PreparedDataPlane(deployment) as prepared:
            # The data plane's process gets ready while the modules below are loaded.
            from motte.fleet.identity import SystemClock
            from motte.plane import setup
            from motte.plane.context import ControlPlane
            from motte.plane.supervisor import Supervisor

            clock = SystemClock()
            if half_made:
                screen.making()
                setup.complete(deployment, clock=clock, progress=screen.progress, port=port)
            with ControlPlane(deployment, clock=clock) as plane:
                setup.renew_server_certificate(plane, screen.progress)
                screen.opened(plane)
                Supervisor(plane, screen, signals, prepared).run()


class _Screen:
    """Shows a person, or a program, what the control plane is doing."""

    def __init__(self, run: Invocation, deployment: Deployment) -> None:
        self._run = run
        self._deployment = deployment
        self._is_first = True
        self._last_trouble: str | None = None
        self._plane: ControlPlane | None = None

    def making(self) -> None:
        """A deployment is being made."""
        if not self._run.json:
            self._say(f"making a deployment in {self._deployment.root}", style="bold")

    def progress(self, what: str) -> None:
        """One step is done."""
        self._tell({"event": "made", "what": what}, f"  {what}")

    def opened(self, plane: "ControlPlane") -> None:
        """The deployment could be opened."""
        self._plane = plane

    def running(self, status: "Status", *, attached: bool) -> None:
        """A data plane listens."""
        took = _age_of_this_process() if self._is_first else None
        self._is_first = False
        if self._run.json:
            self._json(
                {
                    "event": "running",
                    "address": status.address,
                    "port": status.port,
                    "pid": status.pid,
                    "attached": attached,
                    "generation": status.generation,
                    "seconds": round(took, 3) if took is not None else None,
                    "directory": str(self._deployment.root),
                }
            )
            return
        if took is None:
            self._say(f"the data plane runs again (process {status.pid})", style="green")
            return
        host = f"[{status.address}]" if ":" in status.address else status.address
        how = (
            f"found the running data plane again (process {status.pid}, "
            f"{status.connections} connected)"
            if attached
            else f"listening after {took:.2f} s (process {status.pid})"
        )
        self._say()
        self._say(f"motte is up: {host}:{status.port}, TLS 1.3 with client certificates")
        self._say(f"  {how}")
        if self._plane is not None and not self._plane.config.listener.is_loopback:
            self._say("  other hosts of the network can reach this port", style="yellow")
        self._hints(status)

    def published(self, published: "Published") -> None:
        """A snapshot is in force."""
        from motte.cli.render import warn

        if self._run.json:
            self._json(
                {
                    "event": "published",
                    "generation": published.generation,
                    "changed": published.changed,
                    "warnings": list(published.warnings),
                    "note": published.note,
                }
            )
            return
        if published.changed:
            self._say(f"in force: snapshot {published.generation}", style="cyan")
        for text in (*published.warnings, *filter(None, [published.note])):
            warn(text)

    def records(self, records: tuple[dict[str, Any], ...], dropped: int) -> None:
        """Something happened in the data plane."""
        from motte.cli.render import event_line

        for record in records:
            if self._run.json:
                self._json({"event": "record", "record": record})
            elif record.get("kind") in SHOWN_KINDS:
                self._say(event_line(record))
        if dropped:
            text = f"{dropped} events came too fast to be shown; `motte log follow` reads the log"
            self._tell({"event": "dropped", "count": dropped}, text)

    def trouble(self, error: "MotteError") -> None:
        """Something failed, and it goes on."""
        from motte.cli.render import print_error

        # The same trouble every few seconds is told once.
        if error.message != self._last_trouble:
            print_error(error, as_json=self._run.json)
        self._last_trouble = error.message

    def died(self, pid: int, restart_in: float) -> None:
        """The data plane ended by itself."""
        from motte.cli.render import warn

        if self._run.json:
            self._json({"event": "died", "pid": pid, "restart_in_seconds": restart_in})
        else:
            log = self._deployment.data_plane_log
            warn(
                f"the data plane (process {pid}) ended by itself; again in {restart_in:g} s ({log})"
            )

    def stopping(self) -> None:
        """The data plane is asked to end."""
        self._tell({"event": "stopping"}, "\nstopping: saying goodbye to every client")

    def stopped(self, how: str) -> None:
        """The data plane has ended."""
        self._tell({"event": "stopped", "how": how}, how)

    def _hints(self, status: "Status") -> None:
        """What to type next, as it works from the folder where the person stands."""
        root = self._deployment.root
        motte = _command()
        if _needs_option(root):
            motte = f"{motte} -C {_shell_path(root)}"
        bundle = root / "devices" / "dashboard"
        self._say()
        self._say("next, in other terminals:", style="bold")
        if bundle.is_dir():
            pem = _shell_path(bundle)
            host = "localhost" if status.address in {"0.0.0.0", "::"} else status.address  # noqa: S104
            self._say(f"  {motte} sub --as dashboard 'toasters/+/telemetry'")
            self._say(f"  {motte} pub --as toaster-1 toasters/toaster-1/telemetry hello")
            self._say("  # instead of `motte sub`, any MQTT client (one at a time as dashboard):")
            self._say(
                f"  mosquitto_sub -h {host} -p {status.port} --cafile {pem}/authority.pem "
                f"--cert {pem}/certificate.pem --key {pem}/key.pem -V mqttv5 -i dashboard "
                "-v -t 'toasters/+/telemetry'"
            )
        self._say(f"  {motte} device revoke toaster-1")
        self._say(f"  {motte} log follow")
        self._say()
        self._say("Ctrl-C stops everything", style="dim")

    def _tell(self, document: dict[str, Any], text: str) -> None:
        if self._run.json:
            self._json(document)
        else:
            self._say(text)

    def _say(self, text: "str | Text" = "", *, style: str | None = None) -> None:
        from motte.cli.render import say

        say(text, style=style)

    def _json(self, document: dict[str, Any]) -> None:
        from motte.cli.render import print_json

        print_json(document)


def _age_of_this_process() -> float:
    """Seconds since the command was started, the interpreter's own start included."""
    fields = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


def _needs_option(root: Path) -> bool:
    """Whether a command typed here needs to be told where the deployment is."""
    from motte.deployment import find
    from motte.errors import ConfigError

    try:
        # The environment of another terminal may be another one.
        return find(None, {}).root.resolve() != root.resolve()
    except ConfigError:
        return True


def _command() -> str:
    """How the ``motte`` command is typed here: its name if the shell finds it, else its path."""
    called = Path(sys.argv[0])
    found = shutil.which(called.name)
    if found is not None and Path(found).resolve() == called.resolve():
        return called.name
    return _shell_path(called.absolute()) if called.name == "motte" else "motte"


def _shell_path(path: Path) -> str:
    """The shortest way to write a path here: relative if it is below the current folder."""
    relative = os.path.relpath(path)
    return shlex.quote(str(path) if relative.startswith("..") else relative)
