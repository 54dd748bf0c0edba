"""Changes to identities that connected clients feel at once: registry first, then the barrier."""

from dataclasses import dataclass

from motte.errors import MotteError
from motte.fleet.service import Enrolled, Enrolment, Fleet, StatusChange
from motte.plane.publisher import Published, Publisher, Source

__all__ = ["Operations", "Outcome"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A change of status and what became of its snapshot."""

    change: StatusChange
    published: Published


class Operations:
    """Revoke, quarantine, release and rotate, effective when the method returns (law 6).

    The registry is written first. If the second step fails, the error says so, and running the
    command again does only the second step.
    """

    def __init__(self, fleet: Fleet, publisher: Publisher) -> None:
        self._fleet = fleet
        self._publisher = publisher

    def revoke(self, identity: str, *, why: str) -> Outcome:
        """Refuses an identity for ever and closes its connections."""
        return self._finish(self._fleet.revoke(identity, why=why), "revoke")

    def quarantine(self, identity: str, *, why: str) -> Outcome:
        """Refuses an identity until it is released and closes its connections."""
        return self._finish(self._fleet.quarantine(identity, why=why), "quarantine")

    def release(self, identity: str, *, why: str) -> Outcome:
        """Lets a quarantined identity in again."""
        return self._finish(self._fleet.release(identity, why=why), "release")

    def rotate(self, name: str, enrolment: Enrolment, *, why: str) -> tuple[Enrolled, Published]:
        """Gives an identity a new key; connections with the old one are closed."""
        enrolled = enrolment.rotate(name, fleet=self._fleet, why=why)
        published = self._publish(f"rotate {enrolled.identity.name}")
        return enrolled, published

    def _finish(self, change: StatusChange, action: str) -> Outcome:
        return Outcome(change, self._publish(f"{action} {change.identity.name}"))

    def _publish(self, why: str) -> Published:
        try:
            return self._publisher.publish(Source.IN_FORCE, why=why)
        except MotteError as error:
            error.hint = f"{error.hint}; the registry has the change" if error.hint else None
            raise
