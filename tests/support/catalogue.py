"""The fleet that the rows of the attack catalogue are played on."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from tests.support.client import Client
from tests.support.space import Identity, Space
from tests.support.wire import Version


@dataclass(frozen=True, slots=True)
class Fleet:
    """Two devices that have nothing to do with each other, and the services around them.

    A is the attacker, with a good certificate; B is its victim. Each may publish its own telemetry
    and read its own commands. The backend reads all telemetry and writes all commands. The
    observer hears everything: the canary's ear.
    """

    space: Space
    version: Version
    a: Identity
    b: Identity
    backend: Identity
    observer: Identity

    @property
    def a_tel(self) -> str:
        """What A may publish."""
        return self.space.of(self.a, "tel")

    @property
    def a_cmd(self) -> str:
        """What A may read."""
        return self.space.of(self.a, "cmd")

    @property
    def b_tel(self) -> str:
        """What B publishes."""
        return self.space.of(self.b, "tel")

    @property
    def b_cmd(self) -> str:
        """What B obeys."""
        return self.space.of(self.b, "cmd")

    def attacker(self) -> Client:
        """A, connected."""
        return self.space.client(self.version, self.a)

    def victim(self, *, durable: bool = False, session: bool | None = None) -> Client:
        """B, connected and subscribed to its commands."""
        client = (
            self.space.durable(self.version, self.b, session=session)
            if durable
            else self.space.client(self.version, self.b)
        )
        assert client.subscribe(self.b_cmd, qos=2) == (2,)
        return client

    def service(self, identity: Identity | None = None) -> Client:
        """The backend, connected."""
        return self.space.client(self.version, identity or self.backend)

    def ear(self) -> Client:
        """The observer, subscribed to everything."""
        client = self.space.client(self.version, self.observer)
        assert client.subscribe("#", qos=2) == (2,)
        return client

    def heard(self, listener: Client, topic: str) -> list[bytes]:
        """What a listener has been sent on a topic until now; a canary marks the end.

        The observer hears other tests as well, so the canary is a command to B that the backend
        sends with a nonce.
        """
        nonce = secrets.token_bytes(8)
        self.service(self.space.service("canary")).publish(self.b_cmd, nonce, 1)
        found = listener.messages_until(nonce)
        return [packet.payload for packet in found if packet.topic == topic]

    def evidence(self, identity: Identity, **fields: object) -> dict[str, Any]:
        """Oracle 3: the refusal in the log names layer, rule, identity, client id and peer."""
        record = self.space.plane.await_evidence(identity=identity.name, **fields)
        assert record["rule"]
        assert self.space.source in record["peer"]
        return record
