"""A policy as plain data: what the language reads, the compiler writes and the analysis asks.

Everything here is immutable and knows where in the file it was written.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias

from motte.policy.diagnostics import Location

__all__ = [
    "HIGHEST_QOS",
    "Action",
    "Denial",
    "Exceptions",
    "Grant",
    "Kind",
    "Level",
    "LevelKind",
    "Match",
    "Pattern",
    "Policy",
    "PublishGrant",
    "Relay",
    "Role",
    "Rule",
    "SubscribeGrant",
]

HIGHEST_QOS: Final = 2
"""Exactly once: the highest quality of service that MQTT has."""


class Kind(StrEnum):
    """What an identity is: a device in the field, or a service of the operator."""

    DEVICE = "device"
    SERVICE = "service"


class Action(StrEnum):
    """What a policy decides about."""

    PUBLISH = "publish"
    SUBSCRIBE = "subscribe"
    WILL = "will"
    RECEIVE = "receive"


class LevelKind(StrEnum):
    """What stands at one level of a pattern."""

    LITERAL = "literal"
    PLACEHOLDER = "placeholder"
    ONE = "+"
    REST = "#"


@dataclass(frozen=True, slots=True)
class Level:
    """One level of a pattern; ``text`` is the literal, the placeholder's name, or the sign."""

    kind: LevelKind
    text: str


@dataclass(frozen=True, slots=True)
class Pattern:
    """A topic as a grant writes it: levels that are literals, placeholders, ``+`` or ``#``."""

    text: str
    levels: tuple[Level, ...]

    def __str__(self) -> str:
        return self.text

    @property
    def placeholders(self) -> tuple[str, ...]:
        """Names of the placeholders, in order, each once."""
        names = (level.text for level in self.levels if level.kind is LevelKind.PLACEHOLDER)
        return tuple(dict.fromkeys(names))

    @property
    def has_wildcard(self) -> bool:
        """Whether ``+`` or ``#`` occurs."""
        return any(level.kind in {LevelKind.ONE, LevelKind.REST} for level in self.levels)

    @property
    def is_reserved(self) -> bool:
        """Whether the first level is a literal that begins with ``$``."""
        first = self.levels[0]
        return first.kind is LevelKind.LITERAL and first.text.startswith("$")


@dataclass(frozen=True, slots=True)
class Match:
    """Which identities a role is for: of this kind, with this id if given, and all attributes."""

    kind: Kind
    id: str | None
    attributes: Mapping[str, str]

    def __str__(self) -> str:
        parts = [f"{self.kind} {self.id}" if self.id is not None else f"any {self.kind}"]
        if self.attributes:
            pairs = (f"{name} = {value}" for name, value in sorted(self.attributes.items()))
            parts.append("with " + ", ".join(pairs))
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class PublishGrant:
    """A right to publish: on which topics, up to which QoS, retained or not, as a will or not."""

    topic: Pattern
    place: Location
    qos: int = HIGHEST_QOS
    retain: bool = False
    will: bool = True


@dataclass(frozen=True, slots=True)
class SubscribeGrant:
    """A right to subscribe and to receive, up to which QoS."""

    topic: Pattern
    place: Location
    qos: int = HIGHEST_QOS


@dataclass(frozen=True, slots=True)
class Denial:
    """Topics that stay refused whatever is granted; of ``publish``, ``subscribe`` or both."""

    topic: Pattern
    place: Location
    actions: tuple[Action, ...] = (Action.PUBLISH, Action.SUBSCRIBE)


@dataclass(frozen=True, slots=True)
class Relay:
    """A service that reads ``source`` may write ``target`` because of what it read.

    It grants nothing: the broker never looks at it. The analysis follows it.
    """

    source: Pattern
    target: Pattern
    place: Location


Grant: TypeAlias = PublishGrant | SubscribeGrant
"""A rule that gives a right."""
Rule: TypeAlias = PublishGrant | SubscribeGrant | Denial
"""Any rule of a role."""


@dataclass(frozen=True, slots=True)
class Role:
    """What the identities that match may do."""

    name: str
    place: Location
    match: Match
    publish: tuple[PublishGrant, ...] = ()
    subscribe: tuple[SubscribeGrant, ...] = ()
    deny: tuple[Denial, ...] = ()
    wildcards: bool = False
    share: tuple[str, ...] = ()
    """Groups of shared subscriptions that it may join, with the filters of its own grants."""
    limits: Mapping[str, int] = field(default_factory=dict)
    """The limits that the role states, by their name in the snapshot; the rest have defaults."""
    relays: tuple[Relay, ...] = ()

    @property
    def grants(self) -> tuple[Grant, ...]:
        """Both lists of grants together."""
        return (*self.publish, *self.subscribe)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Grants and denials together."""
        return (*self.publish, *self.subscribe, *self.deny)


@dataclass(frozen=True, slots=True)
class Policy:
    """All roles of one file, in the order of the file."""

    file: str
    roles: tuple[Role, ...]


@dataclass(frozen=True, slots=True)
class Exceptions:
    """Identities, certificates and addresses that are refused whatever their role says.

    They come from the registry, not from the policy file, and ride in the same snapshot so that
    both change in one step. Identities are written ``device/<id>`` or ``service/<id>``, serial
    numbers in hexadecimal, addresses as networks such as ``192.0.2.0/24``.
    """

    revoked_serials: frozenset[str] = frozenset()
    revoked: frozenset[str] = frozenset()
    quarantined: frozenset[str] = frozenset()
    banned: frozenset[str] = frozenset()

    def as_json(self) -> dict[str, list[str]]:
        """The exceptions as the snapshot holds them, sorted so that equal means equal bytes."""
        return {
            "revoked_serials": sorted(self.revoked_serials),
            "revoked": sorted(self.revoked),
            "quarantined": sorted(self.quarantined),
            "banned": sorted({_network(address) for address in self.banned}),
        }


def _network(address: str) -> str:
    """The one spelling of a network, ``192.0.2.0/24`` for ``192.0.2.7/24``."""
    try:
        return str(ipaddress.ip_network(address, strict=False))
    except ValueError:
        return address  # the data plane refuses the snapshot and says why
