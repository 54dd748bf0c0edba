"""What is handed to the analysis: the roles of a policy of ours, or of somebody else's broker.

A foreign policy can be analysed and nothing else: there is no way from it to a snapshot. It may
hold what Motte refuses to enforce, such as devices that may read everything.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from motte.policy.compiler import encode, role_document
from motte.policy.model import HIGHEST_QOS, Kind, Policy, Role

__all__ = ["ForeignGrant", "ForeignPolicy", "ForeignRole", "Subject", "document_of"]

GRANTS_PER_ROLE: Final = 100
"""Grants of one list that the analysis takes in one role; a longer list becomes several roles."""


@dataclass(frozen=True, slots=True)
class ForeignGrant:
    """A right on another broker. ``unless`` are topics that an earlier rule takes away from it."""

    topic: str
    line: int
    qos: int = HIGHEST_QOS
    retain: bool = True
    will: bool = True
    unless: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ForeignRole:
    """Who may do what on another broker. Without ``id`` and attributes it is for everybody."""

    name: str
    line: int
    publish: tuple[ForeignGrant, ...] = ()
    subscribe: tuple[ForeignGrant, ...] = ()
    kind: Kind = Kind.DEVICE
    id: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ForeignPolicy:
    """The rules of another broker, as far as they could be translated."""

    file: str
    roles: tuple[ForeignRole, ...]


@dataclass(frozen=True, slots=True)
class Subject:
    """One identity whose radius is asked for."""

    kind: Kind
    id: str
    attributes: Mapping[str, str]


def document_of(policy: Policy | ForeignPolicy, subject: Subject | None = None) -> bytes:
    """The document that the analysis reads. A ``subject`` becomes one more role, the last one."""
    if isinstance(policy, ForeignPolicy):
        roles = [entry for role in policy.roles for entry in _foreign(role)]
    else:
        roles = [_own(role) for role in policy.roles]
    if subject is not None:
        roles.append(_subject(roles, subject))
    return encode({"policy_file": policy.file, "roles": roles})


def _own(role: Role) -> dict[str, Any]:
    return {
        "role": role_document(role),
        "relays": [
            {"from": relay.source.text, "to": relay.target.text, "line": relay.place.line}
            for relay in role.relays
        ],
        "publish_except": [],
        "subscribe_except": [],
    }


def _foreign(role: ForeignRole) -> list[dict[str, Any]]:
    """The role, in as many parts as its longest list needs."""
    length = max(len(role.publish), len(role.subscribe), 1)
    return [
        _part(
            role,
            role.publish[start : start + GRANTS_PER_ROLE],
            role.subscribe[start : start + GRANTS_PER_ROLE],
        )
        for start in range(0, length, GRANTS_PER_ROLE)
    ]


def _part(
    role: ForeignRole, publish: tuple[ForeignGrant, ...], subscribe: tuple[ForeignGrant, ...]
) -> dict[str, Any]:
    return {
        "role": {
            "name": role.name,
            "line": role.line,
            "match": {
                "kind": role.kind.value,
                "id": role.id,
                "attributes": dict(role.attributes),
            },
            "publish": [
                {
                    "topic": grant.topic,
                    "qos": grant.qos,
                    "retain": grant.retain,
                    "will": grant.will,
                    "line": grant.line,
                }
                for grant in publish
            ],
            "subscribe": [
                {"topic": grant.topic, "qos": grant.qos, "line": grant.line} for grant in subscribe
            ],
            "deny": [],
            "wildcards": False,
            "limits": {},
        },
        "relays": [],
        "publish_except": [list(grant.unless) for grant in publish],
        "subscribe_except": [list(grant.unless) for grant in subscribe],
    }


def _subject(roles: list[dict[str, Any]], subject: Subject) -> dict[str, Any]:
    """A role for one identity, with everything that its roles grant it.

    Denials need not be repeated: the identity still has the roles they stand in.
    """
    own = [entry for entry in roles if _matches(entry["role"]["match"], subject)]

    def together(key: str) -> list[Any]:
        return [item for entry in own for item in entry["role"][key]]

    def exceptions(key: str) -> list[Any]:
        return [
            item
            for entry in own
            for item in entry[f"{key}_except"] or [[] for _ in entry["role"][key]]
        ]

    return {
        "role": {
            "name": subject.id,
            "line": 1,
            "match": {
                "kind": subject.kind.value,
                "id": subject.id,
                "attributes": dict(subject.attributes),
            },
            "publish": together("publish"),
            "subscribe": together("subscribe"),
            "deny": [],
            "wildcards": False,
            "limits": {},
        },
        "relays": [relay for entry in own for relay in entry["relays"]],
        "publish_except": exceptions("publish"),
        "subscribe_except": exceptions("subscribe"),
    }


def _matches(match: dict[str, Any], subject: Subject) -> bool:
    return (
        match["kind"] == subject.kind
        and match["id"] in {None, subject.id}
        and match["attributes"].items() <= dict(subject.attributes).items()
    )
