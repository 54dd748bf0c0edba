"""An identity of the fleet: a device or a service, its id and its attributes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol

from motte import _core
from motte.errors import EnrollmentError
from motte.text import printable

__all__ = ["Clock", "Identity", "Kind", "SystemClock"]


class Kind(StrEnum):
    """What an identity is."""

    DEVICE = "device"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Identity:
    """A valid identity; the constructor refuses anything that a topic level could not hold.

    The rules are those of the data plane, asked of the same code: an id or attribute is one whole
    topic level, so it holds no ``/ + #``, no control character and does not begin with ``$``.
    """

    kind: Kind
    id: str
    attributes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            _core.check_identity_value(self.id)
        except ValueError as error:
            raise EnrollmentError(
                f"`{printable(self.id)}` cannot be the id of a {self.kind}: {error}",
                hint="use letters, digits, `-`, `_` and `.`, for example toaster-1",
            ) from error
        for name, value in self.attributes.items():
            try:
                _core.check_identity_value(value)
            except ValueError as error:
                raise EnrollmentError(
                    f"`{printable(value)}` cannot be the {printable(name)} of {self.kind} "
                    f"{self.id}: {error}",
                    hint="an attribute is one topic level, for example group=toaster",
                ) from error

    @property
    def name(self) -> str:
        """Kind and id, as logs and snapshots write it: ``device/toaster-1``."""
        return f"{self.kind}/{self.id}"

    def spiffe_id(self, fleet: str) -> str:
        """The URI that stands in this identity's certificate."""
        try:
            return _core.format_spiffe(str(self.kind), self.id, dict(self.attributes), fleet)
        except ValueError as error:
            raise EnrollmentError(
                f"{self.name} cannot be written as a SPIFFE id: {error}",
                hint="give attributes as key=value with keys such as group, site, tenant or model",
            ) from error


class Clock(Protocol):
    """Where the time of day comes from, so that tests can say what it is."""

    def now(self) -> datetime:
        """The time now, with time zone UTC."""


class SystemClock:
    """The clock of this host."""

    def now(self) -> datetime:
        """The time now, with time zone UTC."""
        return datetime.now(UTC)
