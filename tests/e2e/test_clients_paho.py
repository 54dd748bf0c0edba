"""paho-mqtt 2.x, the Python client that most programs use, in both versions."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from tests.support import pki
from tests.support.space import Identity, Space
from tests.support.wire import Version

DEADLINE = 10.0
LEVELS = {Version.V311: MQTTProtocolVersion.MQTTv311, Version.V5: MQTTProtocolVersion.MQTTv5}


def _properties(packet: int) -> Any:
    """Properties, whose names paho makes up at run time."""
    return Properties(packet)  # type: ignore[no-untyped-call]


class Paho:
    """A paho client with its events in queues."""

    def __init__(self, space: Space, who: Identity, version: Version, **options: Any) -> None:
        self.messages: queue.Queue[paho.MQTTMessage] = queue.Queue()
        self.events: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.version = version
        self.port = space.plane.port
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=options.pop("client_id", who.id),
            protocol=LEVELS[version],
            reconnect_on_failure=False,
            **options,
        )
        self.client.tls_set_context(pki.client_context(space.plane.authority.path, who.credential))
        self.client.on_message = lambda _client, _data, message: self.messages.put(message)
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = self._on_disconnect
        self.client.on_subscribe = self._on_subscribe
        self.client.on_publish = self._on_publish

    def _on_connect(self, _c: Any, _d: Any, _flags: Any, reason: ReasonCode, _p: Any) -> None:
        self.events.put(("connect", reason))

    def _on_disconnect(self, _c: Any, _d: Any, _flags: Any, reason: ReasonCode, _p: Any) -> None:
        self.events.put(("disconnect", reason))

    def _on_subscribe(
        self, _c: Any, _d: Any, _mid: int, reasons: list[ReasonCode], _p: Any
    ) -> None:
        self.events.put(("subscribe", reasons))

    def _on_publish(self, _c: Any, _d: Any, _mid: int, reason: ReasonCode, _p: Any) -> None:
        self.events.put(("publish", reason))

    def event(self, name: str) -> Any:
        """The next event of this name."""
        while True:
            found, value = self.events.get(timeout=DEADLINE)
            if found == name:
                return value

    def start(self, **options: Any) -> ReasonCode:
        """Connects; returns the reason of the CONNACK."""
        self.client.connect("localhost", self.port, **options)
        self.client.loop_start()
        reason = self.event("connect")
        assert isinstance(reason, ReasonCode)
        return reason

    def stop(self) -> None:
        """Disconnects and ends the thread."""
        self.client.disconnect()
        self.client.loop_stop()

    def message(self) -> paho.MQTTMessage:
        """The next message."""
        return self.messages.get(timeout=DEADLINE)


@pytest.fixture
def make(space: Space, version: Version) -> Iterator[Callable[..., Paho]]:
    """Makes clients that are stopped at the end."""
    made: list[Paho] = []

    def one(who: Identity, **options: Any) -> Paho:
        made.append(Paho(space, who, version, **options))
        return made[-1]

    yield one
    for each in made:
        each.stop()


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_telemetry_and_commands(
    space: Space, version: Version, make: Callable[..., Paho], qos: int
) -> None:
    device = space.device("toaster")
    toaster, backend = make(device), make(space.service())
    assert not toaster.start().is_failure
    assert not backend.start().is_failure
    backend.client.subscribe(f"{space.site}/dev/+/tel", qos)
    assert backend.event("subscribe")[0].value == qos
    toaster.client.subscribe(space.of(device, "cmd"), qos)
    toaster.event("subscribe")
    for number in range(20):
        toaster.client.publish(space.of(device, "tel"), str(number), qos)
    assert [backend.message().payload for _ in range(20)] == [b"%d" % n for n in range(20)]
    info = backend.client.publish(space.of(device, "cmd"), b"\0\xff", qos)
    info.wait_for_publish(DEADLINE)
    message = toaster.message()
    assert (message.payload, message.qos) == (b"\0\xff", qos)
    assert version in LEVELS


def test_a_session_that_is_kept(space: Space, version: Version, make: Callable[..., Paho]) -> None:
    device = space.device("toaster")
    clean = {"clean_session": False} if version is Version.V311 else {}
    options: dict[str, Any] = {}
    if version is Version.V5:
        properties = _properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 600
        options = {"clean_start": False, "properties": properties}
    first = make(device, **clean)
    first.start(**options)
    first.client.subscribe(space.of(device, "cmd"), 1)
    first.event("subscribe")
    first.stop()
    backend = make(space.service())
    backend.start()
    for number in range(5):
        backend.client.publish(space.of(device, "cmd"), str(number), 1).wait_for_publish(DEADLINE)
    again = make(device, **clean)
    again.start(**options)
    assert [again.message().payload for _ in range(5)] == [b"%d" % n for n in range(5)]


def test_a_denied_publication(space: Space, version: Version, make: Callable[..., Paho]) -> None:
    thief, victim = make(space.device("a")), space.device("b")
    thief.start()
    thief.client.publish(space.of(victim, "cmd"), b"burn", 1)
    reason = thief.event("publish")
    if version is Version.V5:
        assert reason == ReasonCode(PacketTypes.PUBACK, "Not authorized")


def test_a_denied_subscription(space: Space, version: Version, make: Callable[..., Paho]) -> None:
    thief, victim = make(space.device("a")), space.device("b")
    thief.start()
    thief.client.subscribe([("#", 0), (space.of(victim, "cmd"), 0)])
    assert all(reason.is_failure for reason in thief.event("subscribe"))
    assert version in LEVELS


def test_another_client_id(space: Space, version: Version, make: Callable[..., Paho]) -> None:
    thief = make(space.device("a"), client_id=space.device("b").id)
    assert thief.start().is_failure
    assert version in LEVELS


def test_a_will(space: Space, version: Version, make: Callable[..., Paho]) -> None:
    device = space.device("toaster")
    backend = make(space.service())
    backend.start()
    backend.client.subscribe(f"{space.site}/dev/+/tel", 1)
    backend.event("subscribe")
    toaster = Paho(space, device, version)
    toaster.client.will_set(space.of(device, "tel"), b"gone", 1)
    assert not toaster.start().is_failure
    connection: Any = toaster.client.socket()
    connection.shutdown(socket.SHUT_RDWR)
    assert backend.message().payload == b"gone"
    toaster.stop()


def test_revoke_ends_the_connection(
    space: Space, version: Version, make: Callable[..., Paho]
) -> None:
    device = space.device("toaster")
    toaster = make(device)
    toaster.start()
    space.plane.revoke(device.name)
    reason = toaster.event("disconnect")
    if version is Version.V5:
        assert reason == ReasonCode(PacketTypes.DISCONNECT, "Administrative action")


@pytest.mark.only(Version.V5)
def test_request_and_response(space: Space, version: Version, make: Callable[..., Paho]) -> None:
    """The backend asks, the toaster answers where it was told to, with what it was given."""
    space.role(
        "asker",
        kind="service",
        publish=["{site}/ask/+"],
        subscribe=["{site}/answer/{service}"],
    )
    space.role(
        "teller",
        publish=["{site}/answer/+"],
        subscribe=["{site}/ask/{device}"],
    )
    asker_identity = space.identity("asker", group="asker")
    teller_identity = space.device("teller", "teller")
    asker, teller = make(asker_identity), make(teller_identity)
    asker.start()
    teller.start()
    answers = f"{space.site}/answer/{asker_identity.id}"
    asker.client.subscribe(answers, 1)
    asker.event("subscribe")
    teller.client.subscribe(f"{space.site}/ask/{teller_identity.id}", 1)
    teller.event("subscribe")
    properties = _properties(PacketTypes.PUBLISH)
    properties.ResponseTopic = answers
    properties.CorrelationData = b"\0\1"
    asker.client.publish(f"{space.site}/ask/{teller_identity.id}", b"?", 1, properties=properties)
    request = teller.message()
    assert request.properties is not None
    asked: Any = request.properties
    back = _properties(PacketTypes.PUBLISH)
    back.CorrelationData = asked.CorrelationData
    teller.client.publish(asked.ResponseTopic, b"!", 1, properties=back)
    response = asker.message()
    assert response.payload == b"!"
    told: Any = response.properties
    assert told.CorrelationData == b"\0\1"
    assert version is Version.V5


def test_many_threads_at_once(space: Space, version: Version, make: Callable[..., Paho]) -> None:
    """Ten toasters publish at once; the backend hears all of it, each in its order."""
    backend = make(space.service())
    backend.start()
    backend.client.subscribe(f"{space.site}/dev/+/tel", 1)
    backend.event("subscribe")
    devices = [space.device("toaster") for _ in range(10)]
    toasters = [make(device) for device in devices]
    for toaster in toasters:
        toaster.start()

    def talk(toaster: Paho, device: Identity) -> None:
        for number in range(30):
            done = toaster.client.publish(space.of(device, "tel"), str(number), 1)
            assert done.rc == MQTTErrorCode.MQTT_ERR_SUCCESS

    threads = [
        threading.Thread(target=talk, args=pair) for pair in zip(toasters, devices, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    heard: dict[str, list[int]] = {}
    for _ in range(300):
        message = backend.message()
        heard.setdefault(message.topic, []).append(int(message.payload))
    assert all(numbers == list(range(30)) for numbers in heard.values())
    assert len(heard) == len(devices)
    assert version in LEVELS
