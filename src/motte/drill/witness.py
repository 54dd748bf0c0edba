"""The witness: reads from the evidence log, and from the broker's counters, which layer refused.

The broker writes a record for the first of several equal refusals and counts the ones that follow
within a minute, so that an attack cannot fill the disk. For an attack that was only counted the
counters name the layer; the rule is that of the record it was counted with.
"""

from dataclasses import dataclass
from typing import Any, Final

from motte.drill.report import Testimony
from motte.drill.stage import Stage
from motte.drill.thief import Answer
from motte.errors import StoreError
from motte.plane.evidence import LAYERS, tail
from motte.text import printable

__all__ = ["Mark", "Witness"]

RECORDS: Final = 200
"""Records looked at after an attack; each writes fewer than twenty."""
FLUSH_TRIES: Final = 500
"""How often the broker is asked whether everything is written; a try takes milliseconds."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The state before an attack."""

    sequence: int
    refused: dict[str, int]


class Witness:
    """Follows one thief, by the address that it comes from."""

    def __init__(self, stage: Stage, address: str) -> None:
        self._stage = stage
        self._address = address
        self._known: dict[tuple[str, int | None], str | None] = {}
        """Rules by layer and the code that came back; ``None`` if two share them."""

    def mark(self) -> Mark:
        """To be taken before an attack."""
        figures = self._settled()
        return Mark(int(figures["evidence"]["seq"]), dict(figures["counters"]["refused"]))

    def since(self, mark: Mark, answer: Answer) -> Testimony | None:
        """Which layer refused what has happened since."""
        figures = self._settled()
        records = [
            record
            for record in tail(self._stage.deployment.evidence, RECORDS)
            if record.get("seq", 0) > mark.sequence and self._is_refusal(record)
        ]
        if records:
            return self._spoken(records[0], answer)
        rose = [
            name
            for name, count in figures["counters"]["refused"].items()
            if count > mark.refused.get(name, 0)
        ]
        # With several layers it could not be said which one it was.
        return self._counted(rose[0], answer) if len(rose) == 1 else None

    def _spoken(self, record: dict[str, Any], answer: Answer) -> Testimony:
        name, rule = str(record["layer"]), printable(str(record.get("rule", "")))
        place = (name, answer.code)
        self._known[place] = rule if self._known.get(place, rule) == rule else None
        return Testimony(
            LAYERS[name], name, rule, int(record["seq"]), printable(str(record.get("detail", "")))
        )

    def _counted(self, name: str, answer: Answer) -> Testimony:
        return Testimony(
            LAYERS[name],
            name,
            self._known.get((name, answer.code)),
            None,
            "counted with an equal one",
        )

    def _is_refusal(self, record: dict[str, Any]) -> bool:
        peer = str(record.get("peer", "")).rpartition(":")[0]
        return peer == self._address and record.get("layer") in LAYERS

    def _settled(self) -> dict[str, Any]:
        """The broker's figures once everything it has recorded is written."""
        for _ in range(FLUSH_TRIES):
            figures = self._stage.ask()
            if figures["evidence"]["waiting"] == 0:
                return figures
        raise StoreError(
            "the evidence log is not being written",
            hint="is the disk full? `motte demo --keep` keeps the broker's log",
        )
