"""The durable store of a deployment: looking at it, copying it, the way back from a damaged one."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from motte import _core
from motte.deployment import Deployment
from motte.errors import StoreError

_T = TypeVar("_T")

__all__ = ["Contents", "Restored", "back_up", "check", "restore"]


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in a store, and what is wrong with it."""

    path: Path
    bytes: int
    sessions: int
    subscriptions: int
    messages: int
    """On their way to clients."""
    held: int
    """QoS 2 messages of clients that wait for PUBREL."""
    retained: int
    wills: int
    problems: tuple[str, ...]
    raw: dict[str, Any] = field(repr=False)

    @classmethod
    def of(cls, raw: dict[str, Any]) -> "Contents":
        """From what the Rust half says."""
        known = {**raw, "path": Path(raw["path"]), "problems": tuple(raw["problems"])}
        return cls(**known, raw=raw)


@dataclass(frozen=True, slots=True)
class Restored:
    """A store that was put in the place of another."""

    contents: Contents
    """Of the new one; its problems are what was lost."""
    set_aside: Path | None
    """Where the former one is now."""
    raw: dict[str, Any] = field(repr=False)


def check(deployment: Deployment) -> Contents:
    """Looks at the store; a running data plane goes on."""
    return Contents.of(json.loads(_ask(lambda: _core.check_store(deployment.state))))


def back_up(deployment: Deployment, target: Path) -> None:
    """Copies the store; a running data plane goes on."""
    _ask(lambda: _core.back_up_store(deployment.state, target))


def restore(deployment: Deployment, *, backup: Path | None = None, empty: bool = False) -> Restored:
    """Puts a good store in the place of the one that is there; no data plane may run."""
    raw = json.loads(
        _ask(lambda: _core.restore_store(deployment.state, backup=backup, empty=empty))
    )
    aside = raw["set_aside"]
    return Restored(Contents.of(raw["saved"]), Path(aside) if aside else None, raw)


def _ask(question: Callable[[], _T]) -> _T:
    try:
        return question()
    except _core.ServeError as error:
        raise StoreError(str(error), hint=getattr(error, "hint", None)) from error
