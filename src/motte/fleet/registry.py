"""The registry: every identity and certificate of the fleet, in one SQLite file.

A registry that is missing or damaged is an error that says so. It is never replaced by an empty
one: an empty registry would forget who was revoked.
"""

import contextlib
import functools
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Self

from sqlalchemy import Text, func, select, type_coerce, update
from sqlalchemy.orm import Session

from motte.errors import EnrollmentError, MotteError, StoreError
from motte.files import PRIVATE_FILE, file_errors, sync_folder
from motte.fleet.identity import Clock, Identity, Kind
from motte.fleet.schema import (
    APPLICATION_ID,
    SCHEMA_VERSION,
    Base,
    CertificateRow,
    ChangeRow,
    IdentityRow,
    MetaRow,
    Status,
)
from motte.fleet.storage import WRITES, check_file, damaged, open_engine, store_errors
from motte.text import printable

__all__ = [
    "CertificateRecord",
    "Change",
    "Exceptions",
    "IdentityRecord",
    "Registry",
    "create_registry",
]

EXPIRED_SERIAL_KEPT: Final = timedelta(days=1)
"""How long the serial of a revoked certificate stays in snapshots after it has expired: expiry
refuses it by then, and a day covers any difference between two clocks."""
ATTRIBUTES_REMEMBERED: Final = 65_536
"""Different sets of attributes whose text is read once where all identities are gone through: some
20 MiB."""
ROWS_AT_ONCE: Final = 10_000
"""Rows fetched together when all are read: a few MB, and the overhead of a fetch does not show."""


@dataclass(frozen=True, slots=True)
class CertificateRecord:
    """A certificate as the registry remembers it."""

    serial: str
    not_before: datetime
    not_after: datetime
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class IdentityRecord:
    """An identity as the registry remembers it, newest certificate first."""

    identity: Identity
    status: Status
    status_since: datetime
    why: str
    created: datetime
    certificates: tuple[CertificateRecord, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the registry's history."""

    sequence: int
    at: datetime
    actor: str
    action: str
    identity: str | None
    why: str


@dataclass(frozen=True, slots=True)
class Exceptions:
    """Whom the data plane must refuse although their certificates are good."""

    revoked_serials: tuple[str, ...]
    revoked: tuple[str, ...]
    quarantined: tuple[str, ...]


def create_registry(path: Path, *, fleet: str, clock: Clock, actor: str) -> None:
    """Makes the registry of a new fleet; it appears under its name only when it is whole."""
    temporary = path.with_name(f".{path.name}.new")
    with file_errors("make the registry", path):
        temporary.unlink(missing_ok=True)
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE))
    with store_errors(path):
        # Without a write-ahead log beside it, one whole file can be renamed.
        engine = open_engine(temporary, journal="DELETE")
        try:
            with engine.begin() as connection:
                connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
                Base.metadata.create_all(connection)
            with Session(engine) as session, session.begin():
                facts = {"schema_version": SCHEMA_VERSION, "generation": 0, "fleet": fleet}
                session.add_all(MetaRow(key=key, value=str(value)) for key, value in facts.items())
                now = _seconds(clock.now())
                session.add(ChangeRow(at=now, actor=actor, action="registry made", why=""))
        finally:
            engine.dispose()
    with file_errors("make the registry", path):
        temporary.rename(path)
        sync_folder(path.parent)


class Registry:
    """An open registry; every method is one transaction."""

    def __init__(self, path: Path, *, fleet: str, clock: Clock, actor: str) -> None:
        check_file(path)
        self._path = path
        self._clock = clock
        self._actor = actor
        self._engine = open_engine(path)
        try:
            with store_errors(path):
                self._check_contents(fleet)
        except BaseException:
            self._engine.dispose()
            raise

    def close(self) -> None:
        """Gives the file back."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, identity: str) -> IdentityRecord | None:
        """The identity with that id, if there is one."""
        with self._read() as session:
            row = session.get(IdentityRow, identity)
            if row is None:
                return None
            return _record(row, _certificates(session, identity).get(row.id, []), self._path)

    def identities(self, status: Status | None = None) -> list[IdentityRecord]:
        """All identities, or those with one status, by kind and id."""
        query = select(IdentityRow).order_by(IdentityRow.kind, IdentityRow.id)
        if status is not None:
            query = query.where(IdentityRow.status == status.value)
        with self._read() as session:
            certificates = _certificates(session)
            return [
                _record(row, certificates.get(row.id, []), self._path)
                for row in session.scalars(query)
            ]

    def members(self) -> Iterator[tuple[str, str, Mapping[str, str]]]:
        """Kind, id and attributes of every identity that is not revoked, a row at a time."""
        # Whole fleets have the same few attributes: each text is read once, and not for every row.
        attributes_of = functools.lru_cache(ATTRIBUTES_REMEMBERED)(json.loads)
        text = type_coerce(IdentityRow.attributes, Text)
        columns = (IdentityRow.kind, IdentityRow.id, text)
        query = select(*columns).where(IdentityRow.status != Status.REVOKED.value)
        with self._read() as session:
            rows = session.execute(query.execution_options(yield_per=ROWS_AT_ONCE))
            for kind, identifier, attributes in rows:
                yield kind, identifier, attributes_of(attributes)

    def add(self, identity: Identity, certificate: CertificateRecord, *, why: str) -> None:
        """Enrols an identity with its first certificate."""
        now = _seconds(self._clock.now())
        row = IdentityRow(
            id=identity.id,
            kind=str(identity.kind),
            attributes=dict(identity.attributes),
            status_since=now,
            why=why,
            created=now,
        )
        with self._write("enrolled", identity.name, why) as session:
            if session.get(IdentityRow, identity.id) is not None:
                raise EnrollmentError(
                    f"{identity.id} is already enrolled", hint="choose another id"
                )
            session.add(row)
            session.flush()
            session.add(_certificate_row(identity.id, certificate))

    def set_status(self, identity: Identity, status: Status, *, why: str) -> None:
        """Moves an identity to a status; a revoked identity's certificates are revoked too."""
        now = _seconds(self._clock.now())
        with self._write(str(status), identity.name, why) as session:
            # Asked under the write lock: what the caller saw may be history by now.
            if status is not Status.REVOKED:
                _refuse_revoked(session, identity)
            session.execute(
                update(IdentityRow)
                .where(IdentityRow.id == identity.id)
                .values(status=status.value, status_since=now, why=why)
            )
            if status is Status.REVOKED:
                _revoke_certificates(session, identity.id, now)

    def replace_certificate(
        self, identity: Identity, certificate: CertificateRecord, *, why: str
    ) -> None:
        """Records a new certificate for an identity and revokes all its older ones."""
        now = _seconds(self._clock.now())
        with self._write("certificate rotated", identity.name, why) as session:
            _refuse_revoked(session, identity)
            _revoke_certificates(session, identity.id, now)
            session.add(_certificate_row(identity.id, certificate))

    def exceptions(self) -> Exceptions:
        """What the next snapshot must say about revoked and quarantined identities."""
        horizon = _seconds(self._clock.now() - EXPIRED_SERIAL_KEPT)
        serials = (
            select(CertificateRow.serial)
            .where(CertificateRow.revoked_at.is_not(None), CertificateRow.not_after > horizon)
            .order_by(CertificateRow.serial)
        )
        statuses = select(IdentityRow.kind, IdentityRow.id, IdentityRow.status)
        with self._read() as session:
            named = [(f"{kind}/{name}", status) for kind, name, status in session.execute(statuses)]
            return Exceptions(
                revoked_serials=tuple(session.scalars(serials)),
                revoked=tuple(sorted(n for n, status in named if status == Status.REVOKED)),
                quarantined=tuple(sorted(n for n, status in named if status == Status.QUARANTINED)),
            )

    def generation(self) -> int:
        """The highest snapshot generation that was ever given out."""
        with self._read() as session:
            return _generation(session)

    def raise_generation(self, generation: int, *, why: str) -> None:
        """Records that ``generation`` is given out; it never goes back."""
        with self._write(f"snapshot {generation}", None, why) as session:
            if generation <= _generation(session):
                raise StoreError(
                    f"snapshot generation {generation} was already given out",
                    hint="run the command again",
                )
            session.merge(MetaRow(key="generation", value=str(generation)))

    def last_change(self) -> int:
        """Number of the latest change of any kind; it only ever grows."""
        with self._read() as session:
            return session.scalar(select(func.max(ChangeRow.sequence))) or 0

    def changes(self, identity: str | None = None, *, limit: int = 100) -> list[Change]:
        """The latest changes, newest first; of one identity if named as ``kind/id``."""
        query = select(ChangeRow).order_by(ChangeRow.sequence.desc()).limit(limit)
        if identity is not None:
            query = query.where(ChangeRow.identity == identity)
        with self._read() as session:
            return [
                Change(row.sequence, _moment(row.at), row.actor, row.action, row.identity, row.why)
                for row in session.scalars(query)
            ]

    @contextlib.contextmanager
    def _read(self) -> Iterator[Session]:
        with store_errors(self._path), Session(self._engine) as session, session.begin():
            yield session

    @contextlib.contextmanager
    def _write(self, action: str, identity: str | None, why: str) -> Iterator[Session]:
        """A transaction that holds the write lock from its start and leaves a line of history."""
        with store_errors(self._path), Session(self._engine) as session, session.begin():
            session.connection(execution_options={WRITES: True})
            yield session
            session.add(
                ChangeRow(
                    at=_seconds(self._clock.now()),
                    actor=self._actor,
                    action=action,
                    identity=identity,
                    why=why,
                )
            )

    def _check_contents(self, fleet: str) -> None:
        with self._engine.connect() as connection:
            verdict = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
            if verdict != "ok":
                raise damaged(self._path, str(verdict))
        with self._read() as session:
            meta = {row.key: row.value for row in session.scalars(select(MetaRow))}
        try:
            version = int(meta["schema_version"])
            int(meta["generation"])
            owner = meta["fleet"]
        except (KeyError, ValueError) as error:
            raise damaged(self._path, "its own description is missing") from error
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{self._path} was written by a newer Motte (schema {version}, this one knows "
                f"{SCHEMA_VERSION})",
                hint="install that Motte again; nothing was changed",
            )
        if owner != fleet:
            raise StoreError(
                f"{self._path} belongs to the fleet `{owner}`, but motte.toml says `{fleet}`",
                hint=f'set [fleet] name = "{owner}" in motte.toml: every certificate says so too',
            )


def _generation(session: Session) -> int:
    row = session.get(MetaRow, "generation")
    return int(row.value) if row else 0


def _certificates(
    session: Session, identity: str | None = None
) -> Mapping[str, list[CertificateRecord]]:
    found: dict[str, list[CertificateRecord]] = {}
    query = select(CertificateRow).order_by(CertificateRow.not_after.desc(), CertificateRow.serial)
    if identity is not None:
        query = query.where(CertificateRow.identity == identity)
    for row in session.scalars(query):
        found.setdefault(row.identity, []).append(
            CertificateRecord(
                row.serial,
                _moment(row.not_before),
                _moment(row.not_after),
                _moment(row.revoked_at) if row.revoked_at is not None else None,
            )
        )
    return found


def _certificate_row(identity: str, certificate: CertificateRecord) -> CertificateRow:
    return CertificateRow(
        serial=certificate.serial,
        identity=identity,
        not_before=_seconds(certificate.not_before),
        not_after=_seconds(certificate.not_after),
    )


def _refuse_revoked(session: Session, identity: Identity) -> None:
    """Revoked is for ever, also if it happened between a command's look and its change."""
    row = session.get(IdentityRow, identity.id)
    if row is None or row.status == Status.REVOKED:
        raise EnrollmentError(
            f"{identity.id} has just been revoked by another command, and that is for ever",
            hint=f"see who did it and why: motte device show {identity.id}",
        )


def _revoke_certificates(session: Session, identity: str, now: int) -> None:
    session.execute(
        update(CertificateRow)
        .where(CertificateRow.identity == identity, CertificateRow.revoked_at.is_(None))
        .values(revoked_at=now)
    )


def _record(row: IdentityRow, certificates: list[CertificateRecord], path: Path) -> IdentityRecord:
    try:
        identity = Identity(Kind(row.kind), row.id, dict(row.attributes))
        status = Status(row.status)
    except (MotteError, TypeError, ValueError) as error:
        raise damaged(path, f"the row of `{printable(row.id)}` is not valid") from error
    return IdentityRecord(
        identity=identity,
        status=status,
        status_since=_moment(row.status_since),
        why=row.why,
        created=_moment(row.created),
        certificates=tuple(certificates),
    )


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
