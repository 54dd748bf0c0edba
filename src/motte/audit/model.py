"""What an audit says: checks, their results with evidence, the four answers, the grade."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Final

from motte.errors import ExitCode, MotteError

if TYPE_CHECKING:
    from motte.audit.probe import Probe

__all__ = [
    "AuditError",
    "Check",
    "Finding",
    "Outcome",
    "Product",
    "Question",
    "Report",
    "Result",
    "Severity",
    "failed",
    "not_tested",
    "passed",
]


class AuditError(MotteError):
    """The audit cannot run."""

    exit_code = ExitCode.USAGE


class Severity(StrEnum):
    """How bad a failed check is."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Severity).index(self)


class Outcome(StrEnum):
    """Three different answers; what could not be tested has never passed."""

    FAIL = "fail"
    NOT_TESTED = "not tested"
    PASS = "pass"  # noqa: S105 (an outcome)


class Question(IntEnum):
    """The four questions; the right answers are no, no, yes, yes."""

    ANONYMOUS = 1
    CLEAR_TEXT = 2
    STRICT = 3
    WILDCARDS = 4

    @property
    def text(self) -> str:
        """The question."""
        return _QUESTIONS[self]

    @property
    def right_answer(self) -> str:
        """What a safe broker's owner can say."""
        return "no" if self in {Question.ANONYMOUS, Question.CLEAR_TEXT} else "yes"

    @property
    def wrong_answer(self) -> str:
        """What a thief hopes for."""
        return "yes" if self.right_answer == "no" else "no"


_QUESTIONS: Final = {
    Question.ANONYMOUS: "Can anyone connect without authentication?",
    Question.CLEAR_TEXT: "Does anything, a password above all, travel without TLS?",
    Question.STRICT: "Is authorization strict: each client only its own topics and identity?",
    Question.WILDCARDS: "Are wildcard subscriptions disabled?",
}


class Product(StrEnum):
    """Brokers that the advice knows."""

    MOSQUITTO = "mosquitto"
    EMQX = "emqx"
    HIVEMQ = "hivemq"
    VERNEMQ = "vernemq"
    NATS = "nats"
    RABBITMQ = "rabbitmq"
    MOTTE = "motte"


@dataclass(frozen=True, slots=True)
class Result:
    """What a check saw. ``evidence`` is what was sent and received, one line each."""

    outcome: Outcome
    text: str
    evidence: tuple[str, ...] = ()
    severity: Severity | None = None


def passed(text: str, evidence: Sequence[str] = ()) -> Result:
    """The broker did what it should."""
    return Result(Outcome.PASS, text, tuple(evidence))


def failed(text: str, evidence: Sequence[str] = (), severity: Severity | None = None) -> Result:
    """The broker did what it should not; ``severity`` where it differs from the check's own."""
    return Result(Outcome.FAIL, text, tuple(evidence), severity)


def not_tested(why: str, evidence: Sequence[str] = ()) -> Result:
    """Nothing is known, and why."""
    return Result(Outcome.NOT_TESTED, why, tuple(evidence))


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that the auditor looks at. Each lives in a file of `motte.audit.checks`."""

    id: str
    title: str
    severity: Severity
    rows: tuple[str, ...]
    """Rows of the attack catalogue that it tests."""
    why: str
    fix: Mapping[Product, str]
    """What to set, by product."""
    references: tuple[str, ...]
    run: Callable[["Probe"], Awaitable[Result]]
    question: Question | None = None
    """The question that it helps to answer."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A check with its result."""

    check: Check
    result: Result

    @property
    def outcome(self) -> Outcome:
        """Pass, fail or not tested."""
        return self.result.outcome

    @property
    def severity(self) -> Severity:
        """How bad it is, or would be."""
        return self.result.severity or self.check.severity


_GRADES: Final = {
    Severity.CRITICAL: "F",
    Severity.HIGH: "D",
    Severity.MEDIUM: "C",
    Severity.LOW: "B",
}


@dataclass(slots=True)
class Report:
    """A whole audit."""

    target: str
    started: datetime
    product: Product | None = None
    version: str | None = None
    """What the broker says that it is; ``None`` where it does not tell."""
    credentials: int = 0
    findings: list[Finding] = field(default_factory=list)

    def fixes(self, check: Check) -> Mapping[Product, str]:
        """What to set: on this product if it is known, else on each."""
        if self.product is not None and self.product in check.fix:
            return {self.product: check.fix[self.product]}
        return check.fix

    def ordered(self) -> list[Finding]:
        """Failures first, the worst first; then what was not tested; then what passed."""
        order = list(Outcome)
        return sorted(
            self.findings,
            key=lambda found: (order.index(found.outcome), found.severity.rank, found.check.id),
        )

    def failures(self) -> list[Finding]:
        """Failed checks, the worst first."""
        return [found for found in self.ordered() if found.outcome is Outcome.FAIL]

    def answer(self, question: Question) -> Outcome:
        """A question fails with one check and passes only with all of them."""
        outcomes = {found.outcome for found in self.findings if found.check.question is question}
        if Outcome.FAIL in outcomes:
            return Outcome.FAIL
        return Outcome.PASS if outcomes == {Outcome.PASS} else Outcome.NOT_TESTED

    def answer_words(self, question: Question) -> str:
        """The answer as one word, or that there is none."""
        match self.answer(question):
            case Outcome.PASS:
                return question.right_answer
            case Outcome.FAIL:
                return question.wrong_answer
            case Outcome.NOT_TESTED:
                return "not tested"

    @property
    def grade(self) -> str | None:
        """A (nothing failed) to F; ``None`` where nothing failed and a question has no answer."""
        failures = self.failures()
        if failures:
            return _GRADES[failures[0].severity]
        if any(self.answer(question) is Outcome.NOT_TESTED for question in Question):
            return None
        return "A"

    def reaches(self, threshold: Severity) -> bool:
        """Whether something at least this bad was found."""
        return any(found.severity.rank <= threshold.rank for found in self.failures())
