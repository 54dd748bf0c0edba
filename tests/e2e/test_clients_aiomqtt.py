"""aiomqtt, the asyncio client, in both versions."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import aiomqtt
import pytest

from tests.support import pki
from tests.support.space import Identity, Space
from tests.support.wire import Version

LEVELS = {Version.V311: aiomqtt.ProtocolVersion.V311, Version.V5: aiomqtt.ProtocolVersion.V5}


def _client(space: Space, who: Identity, version: Version, **options: object) -> aiomqtt.Client:
    return aiomqtt.Client(
        "localhost",
        space.plane.port,
        identifier=str(options.pop("identifier", who.id)),
        protocol=LEVELS[version],
        tls_context=pki.client_context(space.plane.authority.path, who.credential),
        **options,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_telemetry(space: Space, version: Version, qos: int) -> None:
    device = space.device("toaster")

    async def story() -> list[bytes]:
        async with (
            asyncio.timeout(20),
            _client(space, space.service(), version) as backend,
            _client(space, device, version) as toaster,
        ):
            await backend.subscribe(f"{space.site}/dev/+/tel", qos)
            for number in range(10):
                await toaster.publish(space.of(device, "tel"), str(number), qos)
            out = []
            async for message in backend.messages:
                assert isinstance(message.payload, bytes)
                out.append(message.payload)
                if len(out) == 10:
                    break
            return out

    assert asyncio.run(story()) == [b"%d" % number for number in range(10)]


def test_a_will(space: Space, version: Version) -> None:
    """The connection breaks without goodbye; the others are told."""
    device = space.device("toaster")
    will = aiomqtt.Will(space.of(device, "tel"), b"gone", qos=1)

    async def story() -> object:
        async with asyncio.timeout(20), _client(space, space.service(), version) as backend:
            await backend.subscribe(f"{space.site}/dev/+/tel", 1)
            with contextlib.suppress(aiomqtt.MqttError):
                async with _client(space, device, version, will=will) as toaster:
                    connection: Any = toaster._client.socket()
                    connection.shutdown(socket.SHUT_RDWR)
            async for message in backend.messages:
                return message.payload
        return None

    assert asyncio.run(story()) == b"gone"


def test_another_client_id_is_refused(space: Space, version: Version) -> None:
    async def story() -> None:
        thief = space.device("a")
        async with (
            asyncio.timeout(20),
            _client(space, thief, version, identifier=space.device("b").id),
        ):
            raise AssertionError("connected as somebody else")

    with pytest.raises(aiomqtt.MqttError):
        asyncio.run(story())


def test_a_denied_subscription_is_told(space: Space, version: Version) -> None:
    async def story() -> tuple[int, ...]:
        async with asyncio.timeout(20), _client(space, space.device(), version) as client:
            reasons: Any = await client.subscribe([("#", 0), (f"{space.site}/dev/x/cmd", 1)])
            return tuple(int(getattr(reason, "value", reason)) for reason in reasons)

    assert all(code >= 0x80 for code in asyncio.run(story()))
