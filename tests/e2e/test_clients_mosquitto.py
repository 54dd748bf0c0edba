"""mosquitto_pub and mosquitto_sub, as they come with Debian, over mutual TLS."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable

import pytest

from tests.support.space import Identity, Space
from tests.support.up import Lines

pytestmark = pytest.mark.skipif(
    shutil.which("mosquitto_sub") is None,
    reason="mosquitto-clients is not installed (apt-get install mosquitto-clients)",
)

PROTOCOL = pytest.mark.parametrize("protocol", ["mqttv311", "mqttv5"])


def _options(space: Space, who: Identity, protocol: str) -> list[str]:
    return [
        *("-h", "localhost", "-p", str(space.plane.port), "-V", protocol, "-i", who.id),
        *("--cafile", str(space.plane.authority.path)),
        *("--cert", str(who.credential.certificate), "--key", str(who.credential.key)),
    ]


def _pub(
    space: Space, who: Identity, protocol: str, *arguments: str, data: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    command = ["mosquitto_pub", *_options(space, who, protocol), *arguments]
    return subprocess.run(command, input=data, capture_output=True, check=False, timeout=20)


@pytest.fixture
def listen(space: Space, background_command: Callable[[list[str]], Lines]) -> Callable[..., Lines]:
    """Starts mosquitto_sub and waits until it is subscribed."""

    def start(who: Identity, protocol: str, *arguments: str) -> Lines:
        found = background_command(
            ["stdbuf", "-oL", "mosquitto_sub", "-d", *_options(space, who, protocol), *arguments]
        )
        found.until(lambda line: "received SUBACK" in line or line.startswith("Subscribed"))
        return found

    return start


@PROTOCOL
@pytest.mark.parametrize("qos", ["0", "1", "2"])
def test_from_a_device_to_the_dashboard(
    space: Space, listen: Callable[..., Lines], protocol: str, qos: str
) -> None:
    device = space.device("toaster")
    wildcard = f"{space.site}/dev/+/tel"
    dashboard = listen(space.service(), protocol, "-t", wildcard, "-q", qos, "-F", "got %q %t %p")
    done = _pub(space, device, protocol, "-t", space.of(device, "tel"), "-q", qos, "-m", "21.5 °C")
    assert done.returncode == 0, done.stderr
    line = dashboard.until(lambda text: text.startswith("got "))
    assert line == f"got {qos} {space.of(device, 'tel')} 21.5 °C"


@PROTOCOL
def test_a_retained_message(space: Space, listen: Callable[..., Lines], protocol: str) -> None:
    device = space.device("toaster")
    _pub(space, device, protocol, "-t", space.of(device, "state"), "-q", "1", "-r", "-m", "warm")
    wildcard = f"{space.site}/dev/+/state"
    dashboard = listen(space.service(), protocol, "-t", wildcard, "-F", "got %r %p")
    assert dashboard.until(lambda text: text.startswith("got ")) == "got 1 warm"


@PROTOCOL
def test_a_kept_session(space: Space, listen: Callable[..., Lines], protocol: str) -> None:
    device, backend = space.device("toaster"), space.service()
    kept = ["-c", "-q", "1"] + (["-x", "600"] if protocol == "mqttv5" else [])
    first = listen(device, protocol, "-t", space.of(device, "cmd"), *kept)
    first.close()
    done = _pub(space, backend, protocol, "-t", space.of(device, "cmd"), "-q", "1", "-m", "toast")
    assert done.returncode == 0, done.stderr
    again = listen(device, protocol, "-t", space.of(device, "cmd"), *kept, "-F", "got %p")
    assert any(line == "got toast" for line in again.seen) or again.until(
        lambda text: text == "got toast"
    )


@PROTOCOL
def test_a_will(space: Space, listen: Callable[..., Lines], protocol: str) -> None:
    device = space.device("toaster")
    wildcard = f"{space.site}/dev/+/tel"
    dashboard = listen(space.service(), protocol, "-t", wildcard, "-F", "got %p")
    will = ["--will-topic", space.of(device, "tel"), "--will-payload", "gone", "--will-qos", "1"]
    alive = listen(device, protocol, "-t", space.of(device, "cmd"), *will)
    alive.process.kill()
    assert dashboard.until(lambda text: text.startswith("got ")) == "got gone"


@PROTOCOL
def test_a_thief_with_the_device_key_hears_nothing(space: Space, protocol: str) -> None:
    thief = space.device("toaster")
    command = ["mosquitto_sub", *_options(space, thief, protocol), "-t", "#", "-W", "5"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=20)
    assert b"denied" in done.stderr.lower()
    assert done.stdout == b""


@PROTOCOL
def test_a_thief_without_a_key_gets_nothing(space: Space, protocol: str) -> None:
    command = ["mosquitto_pub", "-h", "localhost", "-p", str(space.plane.port), "-V", protocol]
    command += ["--cafile", str(space.plane.authority.path), "-t", "a", "-m", "x"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=20)
    assert done.returncode != 0


def test_properties(space: Space, listen: Callable[..., Lines]) -> None:
    device, backend = space.device("toaster"), space.service()
    reader = listen(
        device, "mqttv5", "-t", space.of(device, "cmd"), "-q", "1", "-F", "got %P|%C|%R|%D|%p"
    )
    answer = f"{space.site}/dev/{backend.id}/tel"
    done = _pub(
        space,
        backend,
        "mqttv5",
        *("-t", space.of(device, "cmd"), "-q", "1", "-m", "toast"),
        *("-D", "publish", "user-property", "shade", "brown"),
        *("-D", "publish", "content-type", "text/plain"),
        *("-D", "publish", "response-topic", answer),
        *("-D", "publish", "correlation-data", "7"),
    )
    assert done.returncode == 0, done.stderr
    line = reader.until(lambda text: text.startswith("got "))
    assert line == f"got shade:brown|text/plain|{answer}|7|toast"


@PROTOCOL
def test_a_large_file(space: Space, listen: Callable[..., Lines], protocol: str) -> None:
    device = space.device("toaster")
    wildcard = f"{space.site}/dev/+/tel"
    dashboard = listen(space.service(), protocol, "-t", wildcard, "-q", "1", "-F", "got %l")
    done = _pub(
        space, device, protocol, "-t", space.of(device, "tel"), "-q", "1", "-s", data=b"x" * 60_000
    )
    assert done.returncode == 0, done.stderr
    assert dashboard.until(lambda text: text.startswith("got ")) == "got 60000"
