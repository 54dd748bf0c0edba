"""Makes snapshots and puts them in force: registry and policy in, a new generation out.

A snapshot has two halves. The policy comes from ``policy.toml`` and changes only when somebody
applies it. The exceptions (who is revoked or quarantined) come from the registry and change with
every revocation, whatever state ``policy.toml`` is in: a revocation takes the policy in force, and
neither waits for a broken file nor brings a half-edited one into force.
"""

import contextlib
import json
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Final

from motte import _core
from motte.config import Config, load
from motte.deployment import Deployment
from motte.errors import DataPlaneError, MotteError, PolicyError, StoreError
from motte.files import read_private, write_private
from motte.fleet.registry import Registry
from motte.plane.control import connect
from motte.plane.process import DataPlane, find_data_plane, publish_lock
from motte.policy.compiler import compile_file, encode
from motte.policy.model import Exceptions

__all__ = ["Published", "Publisher", "Source"]

MAXIMUM_SNAPSHOT_BYTES: Final = 64 * 1024 * 1024 - 1024
"""Size of a snapshot read at most: what fits into one frame of the control socket."""


class Source(Enum):
    """Where the policy half of a snapshot comes from."""

    FILE = "file"
    """``policy.toml``, which must be right."""
    IN_FORCE = "in force"
    """The policy that is in force; ``policy.toml`` only if there is none."""


@dataclass(frozen=True, slots=True)
class Published:
    """What became of a snapshot."""

    generation: int
    changed: bool
    """False if exactly this was in force already."""
    live: bool
    """True if a data plane confirmed it; false if it waits on disk for the next start."""
    report: dict[str, Any] = field(default_factory=dict)
    """The data plane's account of what the barrier did."""
    warnings: tuple[str, ...] = ()
    """What the policy compiler thinks is odd."""
    note: str | None = None
    """Something about ``policy.toml`` that the person should know."""


@dataclass(frozen=True, slots=True)
class _Good:
    """A snapshot on disk that can be used."""

    generation: int
    text: bytes
    document: dict[str, Any]


class Publisher:
    """Publishes the snapshots of one deployment."""

    def __init__(self, deployment: Deployment, config: Config, registry: Registry) -> None:
        self._deployment = deployment
        self._config = config
        self._registry = registry

    def publish(self, source: Source, *, why: str) -> Published:
        """Puts the present state in force, live if a data plane runs, else at its next start.

        Returns after the barrier: from then on nothing that it forbids is delivered.
        """
        with publish_lock(self._deployment):
            running = find_data_plane(self._deployment)
            try:
                return self.publish_locked(source, running, why=why)
            finally:
                if running is not None:
                    running.close()

    def publish_locked(self, source: Source, running: DataPlane | None, *, why: str) -> Published:
        """As `publish`, for a caller that holds the lock and knows what is running."""
        good = self._last_good()
        in_force = max(
            good.generation if good else 0,
            running.status.generation if running else 0,
        )
        known = self._registry.generation()
        note: str | None = None
        warnings: tuple[str, ...] = ()
        if source is Source.IN_FORCE and good is not None:
            text = _with_exceptions(good.document, good.generation, self._exceptions())
            note = self._difference(good)
        else:
            text, warnings = self._compile(good.generation if good else in_force)
            if source is Source.IN_FORCE:
                note = "no policy was in force (state/snapshot.json): policy.toml was taken"
        current = running.status.generation if running else in_force
        if good and text == good.text and good.generation == current >= known:
            return Published(
                current, changed=False, live=running is not None, warnings=warnings, note=note
            )
        generation = max(in_force, known) + 1
        text = _with_generation(text, generation)
        self._check(text)
        self._registry.raise_generation(generation, why=why)
        report: dict[str, Any] = {}
        if running is None:
            write_private(self._deployment.snapshot, text)
        else:
            report = self._install(text, generation)
        return Published(
            generation,
            changed=True,
            live=running is not None,
            report=report,
            warnings=warnings,
            note=note,
        )

    def misses_exceptions(self) -> bool:
        """Whether somebody's status changed and no snapshot says so: a command died half-way."""
        good = self._last_good()
        return good is not None and good.document.get("exceptions") != self._exceptions().as_json()

    def policy_in_force(self) -> dict[str, Any]:
        """The compiled policy that is in force, or the one in ``policy.toml`` if none is."""
        good = self._last_good()
        return good.document if good else json.loads(self._compile(0)[0])

    def _install(self, text: bytes, generation: int) -> dict[str, Any]:
        try:
            with connect(self._deployment.control_socket) as client:
                return client.install(text.decode())
        except DataPlaneError as error:
            raise DataPlaneError(
                f"the change is recorded, but the data plane did not confirm snapshot "
                f"{generation}: {error.message}",
                hint=f"{error.hint or 'see state/data-plane.log'}; `motte up` installs it as soon "
                "as the data plane answers",
            ) from error

    def _compile(self, generation: int) -> tuple[bytes, tuple[str, ...]]:
        _check_owned(self._deployment.policy_file)
        compiled = compile_file(
            self._deployment.policy_file,
            fleet=self._config.fleet.name,
            generation=generation,
            exceptions=self._exceptions(),
        )
        return compiled.snapshot_json, tuple(str(warning) for warning in compiled.warnings)

    def _exceptions(self) -> Exceptions:
        found = self._registry.exceptions()
        return Exceptions(
            revoked_serials=frozenset(found.revoked_serials),
            revoked=frozenset(found.revoked),
            quarantined=frozenset(found.quarantined),
            banned=frozenset(self._banned()),
        )

    def _banned(self) -> Iterable[str]:
        """The banned networks as ``motte.toml`` has them now: `motte up` runs for months."""
        try:
            return load(self._deployment.config_file).network.banned
        except MotteError:
            # No reason to let anybody in again.
            good = self._last_good()
            known = good.document.get("exceptions", {}).get("banned", []) if good else []
            return {*known, *self._config.network.banned}

    def _last_good(self) -> _Good | None:
        """The snapshot on disk, unless it is missing, damaged or another fleet's."""
        path = self._deployment.snapshot
        if not path.exists():
            return None
        with contextlib.suppress(ValueError, StoreError, TypeError):
            text = read_private(path, limit=MAXIMUM_SNAPSHOT_BYTES)
            snapshot = _core.Snapshot(text)
            document = json.loads(text)
            if snapshot.fleet == self._config.fleet.name and isinstance(document, dict):
                return _Good(snapshot.generation, text, document)
        return None

    def _difference(self, good: _Good) -> str | None:
        """What to say about a ``policy.toml`` that is not what is in force."""
        try:
            text, _ = self._compile(good.generation)
        except PolicyError as error:
            first = error.message.splitlines()[0]
            return (
                f"policy.toml cannot be compiled ({first}); the policy in force was kept and "
                "only who is refused has changed"
            )
        except MotteError as error:
            return f"policy.toml could not be read ({error.message}); the policy in force was kept"
        if _policy_half(json.loads(text)) != _policy_half(good.document):
            return (
                "policy.toml has changes that are not in force; `motte policy apply` applies them"
            )
        return None

    def _check(self, text: bytes) -> None:
        """The data plane's own check, so that nothing reaches it that it would refuse."""
        if len(text) > MAXIMUM_SNAPSHOT_BYTES:
            raise PolicyError(
                f"the compiled policy has {len(text)} bytes, more than {MAXIMUM_SNAPSHOT_BYTES}",
                hint="use fewer roles, or fewer banned networks",
            )
        try:
            _core.Snapshot(text)
        except ValueError as error:
            raise PolicyError(
                f"the compiled policy does not pass its own check: {error}",
                hint="the policy in force was kept; this is a defect of Motte, please report it",
            ) from error


def _check_owned(path: Path) -> None:
    """Refuses a policy that every user of this host could have written."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # who reads it says what is wrong
    if mode & stat.S_IWOTH:
        raise PolicyError(
            f"{path} can be changed by every user of this host",
            hint=f"check what it says, then: chmod o-w {path}",
        )


def _with_exceptions(document: dict[str, Any], generation: int, exceptions: Exceptions) -> bytes:
    changed = {**document, "generation": generation, "exceptions": exceptions.as_json()}
    return encode(changed)


def _with_generation(text: bytes, generation: int) -> bytes:
    return encode({**json.loads(text), "generation": generation})


def _policy_half(document: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value
        for key, value in document.items()
        if key not in {"generation", "exceptions", "vectors"}
    }
