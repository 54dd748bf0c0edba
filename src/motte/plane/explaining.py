"""Explains a question about an identity: by ``policy.toml``, and by what is in force."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from motte import _core
from motte.errors import EnrollmentError, StoreError
from motte.files import read_private
from motte.fleet.identity import Identity, Kind
from motte.plane.context import ControlPlane
from motte.policy import model
from motte.policy.compiler import compile_policy
from motte.policy.explain import Explanation, decide, explain
from motte.policy.language import load
from motte.policy.questions import Answer, Question
from motte.policy.rule import Asker
from motte.text import printable

__all__ = ["Explained", "explain_here", "find_asker", "generation_in_force"]

MAXIMUM_SNAPSHOT_BYTES: Final = 32 * 1024 * 1024
"""Size of a snapshot read at most, which is what the data plane takes."""


@dataclass(frozen=True, slots=True)
class Explained:
    """What ``policy.toml`` says, and what the snapshot in force says if there is one."""

    explanation: Explanation
    in_force: Answer | None

    @property
    def differs(self) -> bool:
        """Whether the broker would answer otherwise until the policy is applied."""
        return (
            self.in_force is not None and self.in_force.allowed != self.explanation.answer.allowed
        )


def find_asker(
    plane: ControlPlane, name: str, attributes: Mapping[str, str], *, service: bool
) -> Asker:
    """The identity of that name; one that could be enrolled if attributes or a kind are given.

    ``name`` is an id, or an id with its kind, ``service/dashboard``.
    """
    kind, separator, identity = name.rpartition("/")
    hypothetical = bool(attributes) or service
    known = plane.registry.get(identity)
    wanted = Kind.SERVICE if service else (kind if separator else None)
    if known is not None and wanted in {None, known.identity.kind}:
        found = known.identity
        return _asker(found.kind, found.id, {**found.attributes, **attributes})
    if not hypothetical:
        return _refuse(plane, name)
    if separator and kind not in set(Kind):
        raise EnrollmentError(
            f"`{printable(kind)}` is not a kind of identity",
            hint="write device/ID or service/ID, or the id alone",
        )
    valid = Identity(Kind(wanted or Kind.DEVICE), identity, attributes)
    return _asker(valid.kind, valid.id, valid.attributes)


def _refuse(plane: ControlPlane, name: str) -> Asker:
    try:
        found = plane.fleet.get(name).identity
    except EnrollmentError as error:
        ask = "to ask about one that could be enrolled, give its attributes: --attribute group=…"
        hint = error.hint or "check the id"
        separator = " " if hint.endswith("?") else "; "
        raise EnrollmentError(error.message, hint=f"{hint}{separator}{ask}") from None
    return _asker(found.kind, found.id, found.attributes)


def _asker(kind: Kind, identity: str, attributes: Mapping[str, str]) -> Asker:
    return Asker(model.Kind(kind.value), identity, dict(attributes))


def explain_here(plane: ControlPlane, question: Question) -> Explained:
    """Asks ``policy.toml`` with the registry's exceptions, and the snapshot in force."""
    read = load(plane.deployment.policy_file)
    found = plane.registry.exceptions()
    exceptions = model.Exceptions(
        revoked_serials=frozenset(found.revoked_serials),
        revoked=frozenset(found.revoked),
        quarantined=frozenset(found.quarantined),
        banned=frozenset(plane.config.network.banned),
    )
    # Generation 1 because a draft cannot be asked; nobody sees it.
    compiled = compile_policy(
        read, fleet=plane.config.fleet.name, generation=1, exceptions=exceptions
    )
    explanation = explain(read.policy, compiled.snapshot_json, question)
    return Explained(explanation, _in_force(plane, question))


def generation_in_force(plane: ControlPlane) -> int:
    """The number of the snapshot in force, 0 if there is none that can be used."""
    with contextlib.suppress(StoreError, ValueError):
        text = read_private(plane.deployment.snapshot, limit=MAXIMUM_SNAPSHOT_BYTES)
        return _core.Snapshot(text).generation
    return 0


def _in_force(plane: ControlPlane, question: Question) -> Answer | None:
    with contextlib.suppress(StoreError, ValueError):
        text = read_private(plane.deployment.snapshot, limit=MAXIMUM_SNAPSHOT_BYTES)
        return decide(text, question)
    return None
