"""What checks work with: the target, the credentials, canary topics, connections.

The auditor is a guest. What it publishes goes to topics under `Probe.prefix`, its client ids begin
with `NAME`, its sessions end with their connections, and it has the broker retain nothing.
"""

import contextlib
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from motte.audit import wire
from motte.audit.peer import Closed, Peer, Silent, Unreachable
from motte.audit.target import Credential, Target
from motte.audit.wire import Answer, Kind, Will, WireError
from motte.text import printable

__all__ = ["Login", "Probe"]

NAME: Final = "motte-audit"
"""How the auditor's client ids and topics begin."""
SETTLE_SECONDS: Final = 0.5
"""How long a message may take through the broker before it counts as not delivered."""

VERSION_TOPICS: Final = ("$SYS/broker/version", "$SYS/brokers/version", "$SYS/version")
"""Where brokers tell what they are."""
VERSION_LENGTH: Final = 60
"""Characters of a version that are shown."""


@dataclass(slots=True)
class Login:
    """How a CONNECT ended: with a CONNACK, or with ``ended`` saying what came instead."""

    log: list[str]
    connack: Answer | None = None
    ended: str | None = None
    peer: Peer | None = None
    refused: bool = False
    """Whether the broker said no or hung up; silence and TLS that we do not speak are neither."""

    @property
    def accepted(self) -> bool:
        """Whether the broker let it in."""
        return self.connack is not None and self.connack.accepted

    @property
    def text(self) -> str:
        """The outcome in words."""
        return str(self.connack) if self.connack is not None else self.ended or "nothing"


@dataclass(slots=True)
class Probe:
    """One audit as its checks see it."""

    target: Target
    credentials: Sequence[Credential] = ()
    topics: Sequence[str] = ()
    """Patterns of topics of one client, with ``{id}`` where its id stands."""
    version: str | None = None
    """What the broker says that it is, once a check has seen it."""
    nonce: str = field(default_factory=lambda: secrets.token_hex(4))
    _anonymous: Login | None = None
    _count: int = 0

    @property
    def prefix(self) -> str:
        """Canary topics stand under this one."""
        return f"{NAME}/{self.nonce}"

    def new_id(self) -> str:
        """A client id that nobody else uses."""
        self._count += 1
        return f"{NAME}-{self.nonce}-{self._count}"

    def canary(self, name: str) -> str:
        """A topic that no policy can have granted to anybody by name."""
        return f"{self.prefix}/{name}"

    def topics_of_others(self) -> list[str]:
        """Topics that the first credential has no business with: of a client that nobody is."""
        nobody = f"{NAME}-{self.nonce}"
        return [self.canary("others"), *(topic.replace("{id}", nobody) for topic in self.topics)]

    @contextlib.asynccontextmanager
    async def login(
        self,
        credential: Credential | None = None,
        *,
        version: int = wire.V5,
        client_id: str | None = None,
        username: str | None = None,
        password: bytes | None = None,
        will: Will | None = None,
        clean: bool = True,
    ) -> AsyncIterator[Login]:
        """CONNECT; the connection ends with the block. What happened is never an exception."""
        if credential is not None:
            client_id = credential.client_id if client_id is None else client_id
            username = credential.username if username is None else username
            password = credential.password if password is None else password
        used_id = self.new_id() if client_id is None else client_id
        try:
            peer = await Peer.open(self.target, credential=credential)
        except Unreachable as error:
            yield Login(
                [f"! {self.target.url}: {error}"], ended=str(error), refused=error.by_broker
            )
            return
        peer.version = version
        packet = wire.connect(
            version, used_id, username=username, password=password, will=will, clean=clean
        )
        what = _connect_text(version, used_id, username, password, will)
        try:
            yield await _shake_hands(peer, packet, what)
        finally:
            await peer.leave()

    async def talks(self) -> bool:
        """Whether the broker still sets up connections with us at all; a banned address gets none.

        Raises nothing: a broker that refuses TLS without a certificate has talked.
        """
        try:
            peer = await Peer.open(self.target)
        except Unreachable as error:
            return error.by_broker
        await peer.close()
        return True

    async def anonymous(self) -> Login:
        """How the broker answers a CONNECT without a user name and password; asked once."""
        if self._anonymous is None:
            for version in (wire.V5, wire.V311):
                async with self.login(version=version) as found:
                    self._anonymous = found
                if found.accepted:
                    break
        assert self._anonymous is not None  # noqa: S101 (the loop has run)
        return self._anonymous

    async def holder(self) -> Credential | str | None:
        """Whom checks of rights act as: the first credential, nobody, or (text) why they cannot."""
        if self.credentials:
            return self.credentials[0]
        if (await self.anonymous()).accepted:
            return None
        return "it needs a credential: --bundle, --cert or --user"

    def remember_version(self, messages: Sequence[Answer]) -> None:
        """Takes the broker's name and version from the topics that tell it."""
        for message in messages:
            if message.topic in VERSION_TOPICS and message.payload:
                text = message.payload.decode(errors="replace")
                self.version = printable(text, limit=VERSION_LENGTH)


async def _shake_hands(peer: Peer, packet: bytes, what: str) -> Login:
    login = Login(peer.log, peer=peer)
    try:
        await peer.send(packet, what)
        login.connack = await peer.answer(Kind.CONNACK)
        login.refused = not login.accepted
    except Closed as error:
        login.ended, login.refused = str(error), True
    except WireError as error:
        login.ended = f"no MQTT: {error}"
    except Silent:
        login.ended = "silence"
    return login


def _connect_text(
    version: int,
    client_id: str,
    username: str | None,
    password: bytes | None,
    will: Will | None,
) -> str:
    name = "5.0" if version == wire.V5 else "3.1.1"
    user = "no user name" if username is None else f"user name `{username}`"
    secret = {None: "no password", b"": "an empty password"}.get(password, "password ****")
    shown = f"CONNECT {name} as `{client_id}`, {user}, {secret}"
    return shown if will is None else f"{shown}, will on {will.topic}"
