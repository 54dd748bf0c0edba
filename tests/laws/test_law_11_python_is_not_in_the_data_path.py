"""Law 11. The control plane may die at any moment; the data plane goes on with its last policy."""

import contextlib
import os
import signal
import socket
import threading
from pathlib import Path

import pytest

from tests.support import wire
from tests.support.client import Client, Closed
from tests.support.deployment import FLEET, DataPlane
from tests.support.pki import client_context
from tests.support.policy import Policy, standard_roles
from tests.support.space import Space
from tests.support.up import Up, ended, motte
from tests.support.wire import Reason, Version


def _bundle_client(up: Up, name: str, version: Version) -> Client:
    """A client with the bundle of an enrolled identity."""
    bundle = up.folder / "devices" / name
    context = client_context(bundle / "authority.pem", None)
    context.load_cert_chain(bundle / "certificate.pem", bundle / "key.pem")
    raw = socket.create_connection(("127.0.0.1", up.port), 5)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client = Client(context.wrap_socket(raw, server_hostname="localhost"), version)
    with contextlib.suppress(OSError, Closed):
        if client.connect(name).reason == 0:
            return client
    client.cut()
    raise Closed(f"{name} was refused")


@pytest.fixture
def up(tmp_path: Path) -> Up:
    return Up(tmp_path / "deployment", "--port", "0")


def test_a_killed_control_plane_drops_no_connection_and_a_new_one_resumes(up: Up) -> None:
    again: Up | None = None
    try:
        up.ready()
        data_plane = up.data_plane
        toaster = _bundle_client(up, "toaster-1", Version.V311)
        dashboard = _bundle_client(up, "dashboard", Version.V5)
        dashboard.subscribe("toasters/+/telemetry", qos=1)
        up.send(signal.SIGKILL)
        up.lines.wait()
        assert not ended(data_plane)
        # The same connections, a new connection, and the same policy.
        toaster.publish("toasters/toaster-1/telemetry", b"still here", 1)
        assert dashboard.message().payload == b"still here"
        late = _bundle_client(up, "toaster-2", Version.V5)
        assert late.publish("toasters/toaster-1/telemetry", b"x", 1) == Reason.NOT_AUTHORIZED
        # Commands work without it, and a new control plane finds the same data plane.
        revoked = motte(up.folder, "device", "revoke", "toaster-2")
        assert revoked.returncode == 0, revoked.stderr
        late.expect_closed(Reason.ADMINISTRATIVE_ACTION, Reason.NOT_AUTHORIZED)
        again = Up(up.folder).ready()
        assert again.data_plane == data_plane
        toaster.publish("toasters/toaster-1/telemetry", b"resumed", 1)
        assert dashboard.message().payload == b"resumed"
        for client in (toaster, dashboard, late):
            client.cut()
        assert again.stop() == 0
        assert ended(data_plane)
    finally:
        up.close()
        if again is not None:
            again.close()


def test_a_data_plane_that_was_killed_is_replaced_with_the_policy_in_force(up: Up) -> None:
    try:
        up.ready()
        motte(up.folder, "device", "revoke", "toaster-2")
        os.kill(up.data_plane, signal.SIGKILL)
        up.ready()
        client = _bundle_client(up, "toaster-1", Version.V5)
        client.cut()
        with pytest.raises((OSError, AssertionError)):
            _bundle_client(up, "toaster-2", Version.V5)
        assert up.stop() == 0
    finally:
        up.close()


def test_no_python_runs_while_the_data_plane_serves(folder: Path) -> None:
    """Its one Python thread is inside the module: a signal handler of Python would never run.

    The process ends by SIGTERM through the Rust half, with a goodbye to its clients.
    """
    plane = DataPlane(folder, Policy(FLEET, standard_roles()))
    space = Space(plane)
    try:
        plane.start()
        client = space.client(Version.V5, space.device())
        closer = threading.Thread(target=lambda: plane.stop(signal.SIGTERM))
        closer.start()
        client.expect_closed(Reason.SERVER_SHUTTING_DOWN, within=10)
        closer.join()
    finally:
        space.close()
        plane.stop()


@pytest.mark.parametrize("garbage", [b"", b"\0", b"\0\0\0\5\x02null", b"\xff" * 100, b"\0\0\0\1\1"])
def test_nonsense_on_the_control_socket_disturbs_nobody(
    space: Space, version: Version, garbage: bytes
) -> None:
    client = space.client(version)
    with space.plane.control() as control:
        control.connection.sendall(garbage)
    for command in ("", "frobnicate", "install"):
        with space.plane.control() as control:
            body = b'\x01{"id":1,"command":"%b"}' % command.encode()
            control.connection.sendall(len(body).to_bytes(4, "big") + body)
            assert control.receive()["ok"] is False
    client.expect_nothing()
    assert space.plane.status()["generation"] >= 1


def test_a_follower_that_does_not_read_is_left_behind(space: Space, version: Version) -> None:
    """Evidence is written to disk whatever becomes of its readers."""
    with space.plane.control() as control:
        control.call("follow")
        client = space.client(version, space.device())
        for number in range(100):
            client.send(wire.publish(version, f"not/mine/{number}", b"x"))
        client.drain_or_fence()
        neighbour = space.client(version)
        neighbour.expect_nothing()
