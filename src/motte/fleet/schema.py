"""The tables of the registry."""

from enum import StrEnum

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

__all__ = [
    "APPLICATION_ID",
    "SCHEMA_VERSION",
    "Base",
    "CertificateRow",
    "ChangeRow",
    "IdentityRow",
    "MetaRow",
    "Status",
]

SCHEMA_VERSION = 1
"""Version of these tables; a registry with a higher one belongs to a newer Motte."""
APPLICATION_ID = 0x4D6F7474
"""``Mott`` in ASCII, SQLite's mark of whose database a file is."""


class Status(StrEnum):
    """Where an identity stands."""

    ACTIVE = "active"
    QUARANTINED = "quarantined"
    REVOKED = "revoked"


class Base(DeclarativeBase):
    """Common base of the tables."""


class MetaRow(Base):
    """One fact about the registry itself."""

    __tablename__ = "meta"

    key: Mapped[str] = mapped_column(String, primary_key=True)
    value: Mapped[str] = mapped_column(String)


class IdentityRow(Base):
    """A device or a service. Ids are unique in the whole fleet, whatever the kind."""

    __tablename__ = "identities"
    __table_args__ = (
        CheckConstraint("kind IN ('device', 'service')", name="identity_kind"),
        CheckConstraint("status IN ('active', 'quarantined', 'revoked')", name="identity_status"),
    )

    id: Mapped[str] = mapped_column(String, primary_key=True)
    kind: Mapped[str] = mapped_column(String)
    attributes: Mapped[dict[str, str]] = mapped_column(JSON)
    status: Mapped[str] = mapped_column(String, default=Status.ACTIVE.value)
    status_since: Mapped[int] = mapped_column(Integer)
    why: Mapped[str] = mapped_column(Text, default="")
    created: Mapped[int] = mapped_column(Integer)


class CertificateRow(Base):
    """A certificate that was issued to an identity."""

    __tablename__ = "certificates"
    __table_args__ = (Index("certificates_by_identity", "identity"),)

    serial: Mapped[str] = mapped_column(String, primary_key=True)
    identity: Mapped[str] = mapped_column(ForeignKey("identities.id"))
    not_before: Mapped[int] = mapped_column(Integer)
    not_after: Mapped[int] = mapped_column(Integer)
    revoked_at: Mapped[int | None] = mapped_column(Integer, default=None)


class ChangeRow(Base):
    """Who did what to whom, when and why. Rows are only ever added."""

    __tablename__ = "changes"

    sequence: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    at: Mapped[int] = mapped_column(Integer)
    actor: Mapped[str] = mapped_column(String)
    action: Mapped[str] = mapped_column(String)
    identity: Mapped[str | None] = mapped_column(String, default=None)
    why: Mapped[str] = mapped_column(Text, default="")
