"""Proposes a policy for a deployment, from what its evidence log tells."""

import contextlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from motte.errors import PolicyError, StoreError
from motte.files import read_private
from motte.fleet.registry import Registry
from motte.plane.context import ControlPlane
from motte.plane.evidence import records
from motte.plane.explaining import MAXIMUM_SNAPSHOT_BYTES
from motte.policy.compiler import role_document
from motte.policy.language import load
from motte.policy.model import Policy
from motte.policy.radius.compare import Difference, compare
from motte.policy.suggest.proposal import Proposal, propose
from motte.policy.suggest.uses import Uses, read_uses

__all__ = ["Suggestion", "suggest_here"]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What is proposed, and from what."""

    proposal: Proposal
    difference: Difference
    watched: timedelta
    """How far back the log goes, or how far it was asked to."""


def suggest_here(plane: ControlPlane, *, within: timedelta | None = None) -> Suggestion:
    """What the uses in the log, of the last ``within`` or all, leave of the policy in force.

    Raises `PolicyError` if ``policy.toml`` is not the policy in force: its grants were not watched.
    """
    policy = load(plane.deployment.policy_file).policy
    _check_in_force(plane, policy)
    now = plane.clock.now()
    after = 0 if within is None else int((now - within).timestamp() * 1000)
    uses = read_uses(records(plane.deployment.evidence), policy, after=after)
    proposal = propose(policy, uses, _names(plane.registry, uses))
    return Suggestion(proposal, compare(policy, proposal.policy), _watched(uses, now))


def _check_in_force(plane: ControlPlane, policy: Policy) -> None:
    ours = [_rules(role_document(role)) for role in policy.roles]
    with contextlib.suppress(StoreError, ValueError, KeyError, TypeError):
        text = read_private(plane.deployment.snapshot, limit=MAXIMUM_SNAPSHOT_BYTES)
        if [_rules(role) for role in json.loads(text)["roles"]] == ours:
            return
    raise PolicyError(
        "policy.toml is not the policy in force, so nobody has used its grants yet",
        hint="put it in force with `motte policy apply`, and ask again when it has been used",
    )


def _rules(role: object) -> object:
    """A role without the lines it stands in, which comments move."""
    if isinstance(role, dict):
        return {key: _rules(value) for key, value in role.items() if key != "line"}
    if isinstance(role, list):
        return [_rules(item) for item in role]
    return role


def _names(registry: Registry, uses: Uses) -> Collection[str]:
    """Of the words in the topics that were seen, those that are ids or attributes of somebody."""
    words = {
        level
        for found in uses.by_rule.values()
        for use in found
        if use.topic is not None
        for level in use.topic.split("/")
    }
    names: set[str] = set()
    for _, identifier, attributes in registry.members():
        names.update(words.intersection((identifier, *attributes.values())))
    return names


def _watched(uses: Uses, now: datetime) -> timedelta:
    if uses.since is None:
        return timedelta(0)
    return max(timedelta(0), now - datetime.fromtimestamp(uses.since / 1000, UTC))
