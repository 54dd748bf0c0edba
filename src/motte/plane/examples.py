"""Topics that an identity may use, for the examples that people copy."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from motte.fleet.bundle import Examples
from motte.fleet.identity import Identity, Kind

__all__ = ["examples_for"]

STAND_IN: Final = "example"
"""What stands in an example where the policy says "any level"."""


def examples_for(snapshot: Mapping[str, Any], identity: Identity) -> Examples:
    """The first topic that ``identity`` may publish and the first filter it may subscribe.

    These are suggestions for people: whether they are allowed is decided by the data plane.
    """
    roles = [role for role in snapshot.get("roles", []) if _matches(role["match"], identity)]
    wildcards = any(role["wildcards"] for role in roles)
    publish = [grant["topic"] for role in roles for grant in role["publish"]]
    subscribe = [grant["topic"] for role in roles for grant in role["subscribe"]]
    return Examples(
        publish=_first(publish, identity, keep_wildcards=False),
        subscribe=_first(subscribe, identity, keep_wildcards=wildcards),
    )


def _matches(match: Mapping[str, Any], identity: Identity) -> bool:
    return (
        match["kind"] == identity.kind
        and match["id"] in {None, identity.id}
        and all(identity.attributes.get(key) == value for key, value in match["attributes"].items())
    )


def _first(patterns: Iterable[str], identity: Identity, *, keep_wildcards: bool) -> str | None:
    for pattern in patterns:
        levels = [_level(level, identity, keep_wildcards) for level in pattern.split("/")]
        if None not in levels:
            return "/".join(level for level in levels if level is not None)
    return None


def _level(level: str, identity: Identity, keep_wildcards: bool) -> str | None:
    if level in {"+", "#"}:
        return level if keep_wildcards else STAND_IN
    if not (level.startswith("{") and level.endswith("}")):
        return level
    name = level[1:-1]
    if name in {Kind.DEVICE, Kind.SERVICE}:
        return identity.id if name == identity.kind else None
    return identity.attributes.get(name)
