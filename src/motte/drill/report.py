"""What the drill found, as values; `show` renders them for people, `document` for programs."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

from motte import __version__
from motte.drill.clients import Tally
from motte.drill.thief import Answer

__all__ = [
    "Effect",
    "Outcome",
    "Question",
    "Radius",
    "Report",
    "Revocation",
    "Side",
    "Testimony",
    "Verdict",
    "document",
]

DOCUMENT_FORMAT: Final = 1
"""Version of the JSON document."""
ADMINISTRATIVE: Final = 0x98
"""The reason code of a connection that the operator ended."""


class Outcome(StrEnum):
    """What became of one attack."""

    REFUSED = "refused"
    """The broker said no, and nothing happened."""
    NO_EFFECT = "no effect"
    """The broker did not say no, but nothing happened."""
    SUCCEEDED = "SUCCEEDED"
    """It had an effect that somebody felt."""


@dataclass(frozen=True, slots=True)
class Effect:
    """Something that an attack brought about, as the honest clients or the thief measured it."""

    kind: str
    """``connected``, ``read``, ``commanded``, ``evicted``, ``flooded`` or ``learned``."""
    words: str
    toasters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Testimony:
    """What the evidence log says about an attack."""

    layer: int
    name: str
    rule: str | None
    sequence: int | None
    """Number of the record; ``None`` if the broker only counted it with an equal one."""
    detail: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """One attack: what was tried, what came back, what it did and who refused it."""

    key: str
    title: str
    answer: Answer
    outcome: Outcome
    effects: tuple[Effect, ...]
    finding: str
    """What was measured, in words; also where nothing happened."""
    testimony: Testimony | None

    @property
    def is_named_refusal(self) -> bool:
        """Whether it was refused and the log says by which layer."""
        return self.outcome is Outcome.REFUSED and self.testimony is not None


@dataclass(frozen=True, slots=True)
class Question:
    """One of the four questions, answered by attacks."""

    number: int
    text: str
    answer: bool
    right: bool
    """Whether that is the right answer."""
    keys: tuple[str, ...]
    """The attacks that answer it."""


@dataclass(frozen=True, slots=True)
class Radius:
    """Toasters that one stolen key reaches."""

    of: int
    read: tuple[str, ...]
    commanded: tuple[str, ...]
    evicted: tuple[str, ...]

    @property
    def toasters(self) -> tuple[str, ...]:
        """All of them, the stolen one included."""
        return tuple(sorted({*self.read, *self.commanded, *self.evicted}))

    def __str__(self) -> str:
        return f"{len(self.toasters)} of {self.of}"


@dataclass(frozen=True, slots=True)
class Revocation:
    """The operator revokes the stolen identity while the thief is connected."""

    answer: Answer
    """How the thief's connection ended."""
    closed_after_ms: float | None
    """From the beginning of the command until the thief saw its connection end."""
    returned_after_ms: float
    """From its beginning to its end."""
    again: Verdict
    """The thief's attempt to come back."""
    before: dict[str, Tally]
    after: dict[str, Tally]

    @property
    def worked(self) -> bool:
        """Whether the thief was thrown out, stays out, and nobody else noticed."""
        return (
            self.answer.code == ADMINISTRATIVE
            and self.closed_after_ms is not None
            and self.again.is_named_refusal
            and self.is_undisturbed
        )

    @property
    def is_undisturbed(self) -> bool:
        """Whether every other toaster went on without a gap."""
        return all(
            tally.is_whole and tally.telemetry_seen > self.before[name].telemetry_seen
            for name, tally in self.after.items()
        )


@dataclass(frozen=True, slots=True)
class Side:
    """The drill on one broker."""

    broker: str
    itself: Verdict
    """What the valid key gives: the device's own topics."""
    attacks: tuple[Verdict, ...]
    radius: Radius
    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """The whole drill."""

    motte: Side
    revocation: Revocation
    evidence_lines: int
    evidence_intact: bool
    mosquitto: Side | None
    mosquitto_note: str | None
    """Why there is no other side."""
    seconds: float
    folder: str | None
    """Where everything was kept, if it was."""

    @property
    def passed(self) -> bool:
        """Whether Motte held: each attack refused by a named layer, and the revocation worked."""
        return (
            all(verdict.is_named_refusal for verdict in self.motte.attacks)
            and all(question.right for question in self.motte.questions)
            and len(self.motte.radius.toasters) == 1
            and self.revocation.worked
            and self.evidence_intact
        )


def document(report: Report) -> dict[str, Any]:
    """The report for programs."""
    return {
        "format": DOCUMENT_FORMAT,
        "version": __version__,
        "passed": report.passed,
        "seconds": round(report.seconds, 1),
        "folder": report.folder,
        "motte": {
            **_side(report.motte),
            "revocation": _revocation(report.revocation),
            "evidence": {"lines": report.evidence_lines, "intact": report.evidence_intact},
        },
        "mosquitto": _side(report.mosquitto) if report.mosquitto else None,
        "mosquitto_note": report.mosquitto_note,
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "broker": side.broker,
        "as_itself": _verdict(side.itself),
        "attacks": [_verdict(verdict) for verdict in side.attacks],
        "questions": [asdict(question) for question in side.questions],
        "blast_radius": {
            "toasters": side.radius.toasters,
            "count": len(side.radius.toasters),
            **asdict(side.radius),
        },
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "step": verdict.key,
        "tried": verdict.title,
        "answer": asdict(verdict.answer),
        "outcome": verdict.outcome.value,
        "finding": verdict.finding,
        "effects": [asdict(effect) for effect in verdict.effects],
        "layer": asdict(verdict.testimony) if verdict.testimony else None,
    }


def _revocation(revocation: Revocation) -> dict[str, Any]:
    return {
        "worked": revocation.worked,
        "answer": asdict(revocation.answer),
        "closed_after_ms": revocation.closed_after_ms,
        "returned_after_ms": revocation.returned_after_ms,
        "again": _verdict(revocation.again),
        "undisturbed": revocation.is_undisturbed,
        "others": {
            name: {"before": asdict(revocation.before[name]), "after": asdict(tally)}
            for name, tally in revocation.after.items()
        },
    }
