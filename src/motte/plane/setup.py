"""Makes a new deployment, and completes one whose making was interrupted.

Each step puts one thing in place in one go or not at all, and is left out if the thing is there.
A marker stands from the first step to the last: with it, what is missing is made; without it,
what is missing is lost, and that is an error.
"""

import random
import socket
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from cryptography import x509

from motte.config import DEFAULT_ADDRESS, Config, default_text, load
from motte.deployment import Deployment
from motte.errors import ConfigError
from motte.files import file_errors, make_private_folder, sync_folder, write_private
from motte.fleet.authority import create_authority
from motte.fleet.bundle import remove_drafts
from motte.fleet.identity import Clock, Kind
from motte.fleet.registry import create_registry
from motte.fleet.server import (
    ensure_server_certificate,
    server_certificate_serial,
    server_names,
)
from motte.fleet.service import current_actor
from motte.plane.context import ControlPlane
from motte.plane.control import connect
from motte.plane.foundation import begin
from motte.policy import default_policy_text

__all__ = [
    "EXAMPLE_IDENTITIES",
    "Progress",
    "begin",
    "complete",
    "keep_server_certificate",
    "renew_server_certificate",
]

Progress = Callable[[str], None]

EXAMPLE_IDENTITIES: Final[tuple[tuple[Kind, str, dict[str, str]], ...]] = (
    (Kind.DEVICE, "toaster-1", {"group": "toaster"}),
    (Kind.DEVICE, "toaster-2", {"group": "toaster"}),
    (Kind.SERVICE, "dashboard", {}),
)
"""Whom a new deployment enrols, so that there is something to try at once."""

FREE_PORTS: Final = (10_000, 32_768)
"""Where a free port is looked for: above the well-known ones, below those that Linux gives to
outgoing connections."""
PORT_ATTEMPTS: Final = 100
"""Ports tried before giving up; on a host where a hundred are taken something else is wrong."""
EDITABLE_FILE: Final = 0o644
"""Mode of the files that people edit: they hold no secret."""


def complete(deployment: Deployment, *, clock: Clock, progress: Progress, port: int | None) -> None:
    """Makes everything that a deployment needs and that is not there yet."""
    if not deployment.config_file.exists():
        text = default_text() if port is None else default_text(port=port or _free_port())
        write_private(deployment.config_file, text.encode(), mode=EDITABLE_FILE)
        progress("wrote motte.toml: what listens where")
    config = load(deployment.config_file)
    if not deployment.policy_file.exists():
        write_private(deployment.policy_file, default_policy_text().encode(), mode=EDITABLE_FILE)
        progress("wrote policy.toml: who may do what")
    if not deployment.authority.exists():
        create_authority(deployment.authority, fleet=config.fleet.name, clock=clock)
        progress(f"made the authority of the fleet `{config.fleet.name}`")
    if not deployment.registry.exists():
        create_registry(
            deployment.registry, fleet=config.fleet.name, clock=clock, actor=current_actor()
        )
        progress("made the registry")
    _enrol_examples(deployment, clock, progress)
    with file_errors("finish", deployment.root):
        deployment.unfinished.unlink()
        sync_folder(deployment.state)


def _free_port() -> int:
    """A port of the loopback address that nothing uses, and that no outgoing connection takes.

    It is written down, so that bundles can name it and it stays the same.
    """
    for port in random.sample(range(*FREE_PORTS), k=PORT_ATTEMPTS):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((DEFAULT_ADDRESS, port))
            except OSError:
                continue
            return port
    raise ConfigError(
        f"none of {PORT_ATTEMPTS} ports that were tried is free",
        hint="choose one yourself: motte up --port PORT",
    )


def renew_server_certificate(plane: ControlPlane, progress: Progress) -> None:
    """Makes or renews the broker's own certificate if that is due."""
    reason = ensure_server_certificate(
        plane.deployment.server,
        plane.authority,
        names=_names(plane.config),
        lifetime=timedelta(days=plane.config.certificates.server_days),
        clock=plane.clock,
    )
    if reason:
        progress(f"made a server certificate ({reason})")


def keep_server_certificate(plane: ControlPlane, progress: Progress) -> None:
    """Renews the certificate if that is due, and sees to it that the data plane shows it.

    What the data plane shows is compared with what is on disk, so a run that died between the two
    steps is made good by the next. Open connections go on undisturbed.
    """
    renew_server_certificate(plane, progress)
    on_disk = server_certificate_serial(plane.deployment.server)
    with connect(plane.deployment.control_socket) as client:
        if client.status().certificate_serial == on_disk:
            return
        client.reload_certificate()
    progress("the data plane shows the new server certificate")


def _enrol_examples(deployment: Deployment, clock: Clock, progress: Progress) -> None:
    make_private_folder(deployment.bundles)
    remove_drafts(deployment.bundles, clock.now())
    with ControlPlane(deployment, clock=clock, half_made=True) as plane:
        for kind, name, attributes in EXAMPLE_IDENTITIES:
            bundle = deployment.bundle(name)
            if plane.registry.get(name) is None:
                plane.enrolment.enrol(kind, name, attributes, why="example")
                progress(f"enrolled the {kind} {name}")
            elif not bundle.exists():
                # Interrupted between the registry and the bundle.
                plane.enrolment.rotate(name, fleet=plane.fleet, why="bundle was never finished")
                progress(f"enrolled the {kind} {name}")


def _names(config: Config) -> list[x509.GeneralName]:
    return server_names(config.listener.address, config.listener.names)
