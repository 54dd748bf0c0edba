"""What is odd about a policy as a whole. Said by ``motte policy check``, which has the time."""

from motte.policy.diagnostics import Diagnostic, Problems
from motte.policy.language import ReadPolicy
from motte.policy.lint.fleet import Members, review_fleet
from motte.policy.lint.overlap import review_overlap
from motte.policy.lint.traffic import review_traffic

__all__ = ["review"]


def review(read: ReadPolicy, members: Members = ()) -> tuple[Diagnostic, ...]:
    """All warnings about a policy, in the order of its file.

    Those that were said when it was read, how its roles meet, and, where there are ``members``,
    what none of them has.
    """
    problems = Problems(read.source, read.warnings)
    review_overlap(read.policy, problems)
    review_traffic(read.policy, problems)
    review_fleet(read.policy, members, problems)
    return problems.warnings
