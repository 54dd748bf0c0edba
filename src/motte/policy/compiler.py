"""From a policy to the snapshot that the data plane enforces.

Compilation is deterministic: the same policy, fleet, generation and exceptions give the same
bytes, on every machine. The result is loaded by the data plane's own code before anybody else
sees it, with all its test vectors, so a snapshot that leaves here can be installed.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from motte import _core
from motte.errors import PolicyError
from motte.policy.diagnostics import Diagnostic
from motte.policy.language import ReadPolicy, load
from motte.policy.limits import complete
from motte.policy.model import Denial, Exceptions, Policy, PublishGrant, Role, SubscribeGrant
from motte.policy.vectors import vectors
from motte.text import printable

__all__ = ["CompiledPolicy", "compile_file", "compile_policy", "encode", "role_document"]

FORMAT: Final = 1
"""The snapshot format that this version writes."""
FILE_NAME_CHARACTERS: Final = 200
"""Characters of the policy file's name at most; it stands in every denial that is logged."""


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """A snapshot, the roles it was made of, and what is probably not meant in them."""

    snapshot_json: bytes
    roles: tuple[Role, ...]
    warnings: tuple[Diagnostic, ...]


def compile_file(
    path: Path, *, fleet: str, generation: int, exceptions: Exceptions
) -> CompiledPolicy:
    """Compiles the policy file at ``path``; raises a `PolicyError` if anything is wrong.

    Generation 0 makes a draft, which is checked like any other and cannot be installed.
    """
    return compile_policy(load(path), fleet=fleet, generation=generation, exceptions=exceptions)


def compile_policy(
    read: ReadPolicy, *, fleet: str, generation: int, exceptions: Exceptions
) -> CompiledPolicy:
    """Compiles a policy that has been read."""
    policy = read.policy
    document = {
        "format": FORMAT,
        "generation": generation,
        "fleet": fleet,
        "policy_file": printable(policy.file, limit=FILE_NAME_CHARACTERS),
        "roles": [role_document(role) for role in policy.roles],
        "exceptions": exceptions.as_json(),
        "vectors": _vectors(policy),
    }
    try:
        # A generation of 0 is a draft: the data plane counts from 1.
        _core.Snapshot(encode({**document, "generation": max(generation, 1)}))
    except ValueError as error:
        raise PolicyError(
            f"the compiled policy does not pass the data plane's check: {error}",
            hint="if the policy is not unusually large, this is a defect of Motte: "
            "please report it with the policy file",
        ) from error
    return CompiledPolicy(encode(document), policy.roles, read.warnings)


def encode(document: dict[str, Any]) -> bytes:
    """A snapshot as bytes, in the one form that equal snapshots have."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def role_document(role: Role) -> dict[str, Any]:
    """A role as a snapshot holds it."""
    match = role.match
    return {
        "name": role.name,
        "line": role.place.line,
        "match": {
            "kind": match.kind.value,
            "id": match.id,
            "attributes": dict(match.attributes),
        },
        "publish": [_publish(grant) for grant in role.publish],
        "subscribe": [_subscribe(grant) for grant in role.subscribe],
        "deny": [_denial(denial) for denial in role.deny],
        "wildcards": role.wildcards,
        "share": list(role.share),
        "limits": complete(match.kind, role.limits),
    }


def _publish(grant: PublishGrant) -> dict[str, Any]:
    return {
        "topic": grant.topic.text,
        "qos": grant.qos,
        "retain": grant.retain,
        "will": grant.will,
        "line": grant.place.line,
    }


def _subscribe(grant: SubscribeGrant) -> dict[str, Any]:
    return {"topic": grant.topic.text, "qos": grant.qos, "line": grant.place.line}


def _denial(denial: Denial) -> dict[str, Any]:
    return {
        "topic": denial.topic.text,
        "actions": [action.value for action in denial.actions],
        "line": denial.place.line,
    }


def _vectors(policy: Policy) -> list[dict[str, Any]]:
    return [vector.as_json() for vector in vectors(policy)]
