"""What one test has for itself on a shared broker: a site, an address, identities, clients."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support import policy, wire
from tests.support.client import Client
from tests.support.deployment import FLEET, DataPlane
from tests.support.pki import Credential
from tests.support.wire import Version

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Identity:
    """A service or device and its credential."""

    kind: str
    id: str
    uri: str
    credential: Credential

    @property
    def name(self) -> str:
        """``device/x``: what exceptions and evidence call it."""
        return f"{self.kind}/{self.id}"


class Space:
    """Topics begin with the site of the test, so that no test hears another."""

    def __init__(self, plane: DataPlane) -> None:
        number = next(_numbers)
        self.plane = plane
        self.site = f"s{number}"
        # The network layer counts by address; each test comes from an address of its own.
        self.source = f"127.{1 + number // 62_500}.{number // 250 % 250}.{number % 250 + 2}"
        self.clients: list[Client] = []
        self._roles: list[dict[str, Any]] = []

    def topic(self, rest: str) -> str:
        """A topic of the roles ``tester`` and ``plain``."""
        return f"t/{self.site}/{rest}"

    def of(self, identity: Identity, leaf: str) -> str:
        """A topic of the attack catalogue's fleet, such as ``s1/dev/a-7/cmd``."""
        return f"{self.site}/dev/{identity.id}/{leaf}"

    def identity(
        self, name: str = "client", *, kind: str = "service", group: str = "tester"
    ) -> Identity:
        """A new identity with a certificate."""
        unique = f"{name}-{next(_numbers)}"
        uri = f"spiffe://{FLEET}/group/{group}/site/{self.site}/{kind}/{unique}"
        credential = self.plane.authority.issue(unique, uris=[uri])
        return Identity(kind, unique, uri, credential)

    def role(
        self,
        group: str,
        *,
        kind: str = "device",
        publish: Sequence[policy.Grant] = (),
        subscribe: Sequence[policy.Grant] = (),
        deny: Sequence[policy.Grant] = (),
        wildcards: bool = False,
        share: Sequence[str] = (),
        limits: Mapping[str, int] | None = None,
    ) -> dict[str, Any]:
        """A role for identities of this test and group alone, in force when this returns."""
        assert self.plane.policy is not None
        made = policy.role(
            f"{group}-{self.site}-{next(_numbers)}",
            kind=kind,
            attributes={"group": group, "site": self.site},
            publish=publish,
            subscribe=subscribe,
            deny=deny,
            wildcards=wildcards,
            share=share,
            limits=limits,
        )
        self.plane.policy.roles.append(made)
        self._roles.append(made)
        self.plane.apply()
        return made

    def device(self, name: str = "device", group: str = "device") -> Identity:
        """A new device."""
        return self.identity(name, kind="device", group=group)

    def service(self, name: str = "backend", group: str = "backend") -> Identity:
        """A new service."""
        return self.identity(name, kind="service", group=group)

    def open(self, version: Version, identity: Identity | None = None) -> Client:
        """A TLS connection on which no MQTT has been spoken yet."""
        who = identity or self.identity()
        client = Client(self.plane.tls(who.credential, self.source), version)
        client.client_id = who.id
        self.clients.append(client)
        return client

    def client(
        self,
        version: Version,
        identity: Identity | None = None,
        *,
        clean_start: bool = True,
        keep_alive: int = 60,
        will: wire.Will | None = None,
        properties: wire.Properties = (),
        session: bool | None = None,
    ) -> Client:
        """A connected client. ``session`` says what Session Present has to be, if it matters."""
        client = self.open(version, identity)
        connack = client.connect(
            client.client_id,
            clean_start=clean_start,
            keep_alive=keep_alive,
            will=will,
            properties=properties,
        )
        assert connack.reason == 0, f"refused: {connack}"
        if session is not None:
            assert connack.session_present is session
        return client

    def durable(
        self,
        version: Version,
        identity: Identity,
        *,
        clean_start: bool = False,
        expiry: int = 600,
        session: bool | None = None,
        will: wire.Will | None = None,
        properties: wire.Properties = (),
    ) -> Client:
        """A client whose session outlives its connection, in the way of each version."""
        pairs = list(properties)
        if version is Version.V5:
            pairs.append((wire.Property.SESSION_EXPIRY_INTERVAL, expiry))
        return self.client(
            version,
            identity,
            clean_start=clean_start,
            session=session,
            will=will,
            properties=pairs,
        )

    def close(self) -> None:
        """Ends every connection of the test and takes its roles out of the policy."""
        for client in self.clients:
            client.cut()
        if self._roles and self.plane.policy is not None:
            self.plane.policy.roles = [
                role for role in self.plane.policy.roles if role not in self._roles
            ]
