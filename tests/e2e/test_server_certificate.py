"""The broker's own certificate is renewed under the running data plane."""

from __future__ import annotations

import shutil
import signal
import ssl
from collections.abc import Callable

import pytest

from motte.deployment import Deployment
from motte.errors import DataPlaneError
from motte.plane.context import ControlPlane
from motte.plane.control import connect
from motte.plane.setup import keep_server_certificate, renew_server_certificate
from tests.support.up import Lines, Up, motte


@pytest.fixture
def up(start: Callable[..., Up]) -> Up:
    """A data plane alone: its control plane was killed, so nobody but the test renews anything."""
    running = start().ready()
    running.send(signal.SIGKILL)
    running.lines.process.wait()
    return running


def shown(up: Up) -> str:
    """The certificate that a new handshake is shown."""
    with connect(Deployment(up.folder).control_socket) as client:
        status = client.status()
    return ssl.get_server_certificate((status.address, status.port), timeout=10)


def on_disk(up: Up) -> str:
    return ssl.DER_cert_to_PEM_cert(
        ssl.PEM_cert_to_DER_cert((Deployment(up.folder).server / "server.pem").read_text())
    )


def keep(up: Up) -> list[str]:
    """What the supervisor does every hour."""
    done: list[str] = []
    with ControlPlane(Deployment(up.folder)) as plane:
        keep_server_certificate(plane, done.append)
    return done


def renew_on_disk_only(up: Up) -> None:
    """A renewal that dies before the data plane is told."""
    shutil.rmtree(Deployment(up.folder).server)
    with ControlPlane(Deployment(up.folder)) as plane:
        renew_server_certificate(plane, lambda _: None)


def test_a_renewed_certificate_is_shown_and_nobody_is_cut_off(
    up: Up, background: Callable[..., Lines]
) -> None:
    reader = background(up.folder, "sub", "--as", "toaster-1", "toasters/toaster-1/command")
    reader.until(lambda line: line.startswith("subscribed"))
    first = shown(up)
    assert keep(up) == []
    shutil.rmtree(Deployment(up.folder).server)
    made, told = keep(up)
    assert made == "made a server certificate (there was none)"
    assert "shows the new server certificate" in told
    assert shown(up) == on_disk(up) != first
    sent = motte(up.folder, "pub", "--as", "dashboard", "toasters/toaster-1/command", "x")
    assert sent.returncode == 0
    assert reader.line() == "toasters/toaster-1/command  x"
    assert keep(up) == []


def test_a_renewal_that_died_before_the_data_plane_was_told_is_made_good(up: Up) -> None:
    renew_on_disk_only(up)
    assert shown(up) != on_disk(up)
    (told,) = keep(up)
    assert "shows the new server certificate" in told
    assert shown(up) == on_disk(up)


def test_a_damaged_file_leaves_the_certificate_in_force(up: Up) -> None:
    first = shown(up)
    (Deployment(up.folder).server / "server.pem").write_text("not a certificate")
    with (
        connect(Deployment(up.folder).control_socket) as client,
        pytest.raises(DataPlaneError, match="the server certificate stays") as refused,
    ):
        client.reload_certificate()
    assert refused.value.hint
    assert shown(up) == first


def test_motte_up_sees_to_it_by_itself(up: Up, start: Callable[..., Up]) -> None:
    first = shown(up)
    renew_on_disk_only(up)
    again = start(folder=up.folder).ready()
    assert again.data_plane == up.data_plane
    again.lines.until(lambda line: "shows the new server certificate" in line)
    assert shown(up) == on_disk(up) != first
