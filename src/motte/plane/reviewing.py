"""What is odd about the policy of a deployment, with those in view who are enrolled in it."""

from motte.deployment import Deployment
from motte.plane.context import ControlPlane
from motte.policy.diagnostics import Diagnostic
from motte.policy.language import ReadPolicy
from motte.policy.lint.review import review

__all__ = ["review_here"]


def review_here(deployment: Deployment, read: ReadPolicy) -> tuple[Diagnostic, ...]:
    """All warnings about a policy, for the identities that are enrolled and not revoked."""
    with ControlPlane(deployment) as plane:
        return review(read, plane.registry.members())
