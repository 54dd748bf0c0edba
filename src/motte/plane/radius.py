"""The blast radius in a deployment: of an identity that is enrolled, and of the whole fleet."""

from collections.abc import Mapping

from motte.deployment import Deployment
from motte.errors import EnrollmentError
from motte.fleet.identity import Identity, Kind
from motte.plane.context import ControlPlane
from motte.plane.explaining import find_asker
from motte.policy import model
from motte.policy.radius.analysis import Analysis, Numbers
from motte.policy.radius.document import Subject
from motte.text import printable

__all__ = ["numbers_here", "subject_here"]


def subject_here(
    deployment: Deployment | None, name: str, attributes: Mapping[str, str]
) -> Subject:
    """The identity of that name; without a deployment, one that could be enrolled.

    ``name`` is an id, or an id with its kind, ``service/dashboard``.
    """
    if deployment is not None:
        with ControlPlane(deployment) as plane:
            asker = find_asker(plane, name, attributes, service=name.startswith("service/"))
        return Subject(asker.kind, asker.id, asker.attributes)
    kind, separator, identity = name.rpartition("/")
    if separator and kind not in set(Kind):
        raise EnrollmentError(
            f"`{printable(kind)}` is not a kind of identity",
            hint="write device/ID or service/ID, or the id alone",
        )
    valid = Identity(Kind(kind or Kind.DEVICE), identity, attributes)
    return Subject(model.Kind(valid.kind.value), valid.id, valid.attributes)


def numbers_here(deployment: Deployment, analysis: Analysis) -> Numbers:
    """The radius of every identity of the fleet that is not revoked."""
    with ControlPlane(deployment) as plane:
        return analysis.numbers(plane.registry.members())
