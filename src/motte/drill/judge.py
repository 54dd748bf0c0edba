"""The judge: what an attack did, by what the honest clients and the thief really received.

What a broker answers is not what it does, so the answers count for nothing here but for telling
`refused` from `no effect`. What counts are canaries: marks in messages, and connections that drop.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from motte.drill.clients import House
from motte.drill.report import Effect, Outcome, Question, Radius, Testimony, Verdict
from motte.drill.thief import Attack, Haul, Heard

__all__ = ["Judge", "itself", "questions", "radius"]

TOLERATED_SHARE: Final = 0.1
"""Share of a flood that may get through: the burst of a role that sends ten messages a second is
a few percent of it; a broker that lets a tenth of it pass has not held it back."""
NO_CREDENTIALS: Final = ("1",)
CLEAR_TEXT: Final = ("2",)
STRICT: Final = ("3d", "4a", "4b", "4c", "5")
WILDCARDS: Final = ("3a", "3b", "3c")
"""Which attacks answer which question."""
LET_IN: Final = ("1", "2", "7")
"""Attacks that are about being let in at all; the last one is the attempt after the revocation."""
TAKE_OVER: Final = ("5",)
"""Attacks that are about the victims' connections."""


class Judge:
    """Watches the honest clients during one attack."""

    def __init__(self, house: House, victims: Sequence[str]) -> None:
        self._house = house
        self._victims = victims
        self._drops = self._count_drops()

    def verdict(self, attack: Attack, haul: Haul, testimony: Testimony | None) -> Verdict:
        """What the attack came to. Ends after everything it could have caused has happened."""
        self._let_it_happen(haul)
        effects = tuple(self._effects(attack, haul))
        if effects:
            outcome = Outcome.SUCCEEDED
        else:
            outcome = Outcome.NO_EFFECT if haul.answer.accepted else Outcome.REFUSED
        finding = "; ".join(effect.words for effect in effects) or self._nothing(attack, haul)
        return Verdict(attack.key, attack.title, haul.answer, outcome, effects, finding, testimony)

    def _nothing(self, attack: Attack, haul: Haul) -> str:
        """What was measured where nothing happened."""
        if haul.flood is not None:
            return self._flood_words(haul.flood)
        if haul.nonces:
            return f"{_list(self._victims)} did not get it"
        if attack.key in TAKE_OVER:
            return f"{_list(self._victims)} stayed connected"
        if attack.key in LET_IN:
            return "it was not let in"
        return f"heard nothing of {_list(self._victims)}"

    def _flood_words(self, flood: tuple[str, int]) -> str:
        nonce, sent = flood
        return f"{self._house.dashboard.marked[nonce]} of {sent} messages got through"

    def _let_it_happen(self, haul: Haul) -> None:
        """Waits for effects of what was accepted, then for a fence behind whatever there was."""
        toasters = self._house.toasters
        if haul.answer.accepted:
            for victim, nonce in haul.nonces.items():
                self._house.until(lambda v=victim, n=nonce: n in toasters[v].commands)  # type: ignore[misc]
        for victim in self._victims:
            # Whoever lost its connection is on its way back.
            toasters[victim].settled()
            if haul.nonces:
                toasters[victim].resubscribe()
            self._house.reaches(victim)
        if haul.flood is not None:
            self._house.fresh_telemetry(self._victims)

    def _effects(self, attack: Attack, haul: Haul) -> Iterable[Effect]:
        if attack.key in LET_IN and haul.answer.accepted:
            yield Effect("connected", "it was let in")
        yield from self._read(haul.heard)
        commanded = tuple(
            victim for victim, nonce in haul.nonces.items() if self._obeyed(victim, nonce)
        )
        if commanded:
            kept = any(self._house.toasters[v].commands[haul.nonces[v]] for v in commanded)
            later = ", and whoever subscribes later" if kept else ""
            yield Effect("commanded", f"{_list(commanded)} obeyed{later}", commanded)
        drops = self._count_drops()
        evicted = tuple(name for name in self._victims if drops[name] > self._drops[name])
        if evicted:
            yield Effect("evicted", f"{_list(evicted)} lost the connection", evicted)
        if haul.flood is not None:
            nonce, sent = haul.flood
            if self._house.dashboard.marked[nonce] > sent * TOLERATED_SHARE:
                yield Effect("flooded", self._flood_words(haul.flood))

    def _read(self, heard: Sequence[Heard]) -> Iterable[Effect]:
        """What reached the thief that is not its own device's."""
        owners = {_owner(message.topic) for message in heard}
        others = tuple(name for name in self._victims if name in owners)
        if others:
            yield Effect("read", f"heard {_list(others)}", others)
        elif None in owners:
            yield Effect("learned", "heard about the broker itself")

    def _obeyed(self, victim: str, nonce: str) -> bool:
        return nonce in self._house.toasters[victim].commands

    def _count_drops(self) -> dict[str, int]:
        return {name: self._house.toasters[name].drops for name in self._victims}


def itself(attack: Attack, haul: Haul, own: str) -> Verdict:
    """What the valid key is good for: the device's own commands."""
    heard = any(_owner(message.topic) == own for message in haul.heard)
    effects = (Effect("read", f"is {own}, reads its commands", (own,)),) if heard else ()
    outcome = Outcome.SUCCEEDED if heard else Outcome.REFUSED
    finding = effects[0].words if effects else f"did not hear a command to {own}"
    return Verdict(attack.key, attack.title, haul.answer, outcome, effects, finding, None)


def radius(verdicts: Iterable[Verdict], fleet: Sequence[str]) -> Radius:
    """The toasters that were reached, by any attack or with the stolen key itself."""
    reached: dict[str, set[str]] = {"read": set(), "commanded": set(), "evicted": set()}
    for verdict in verdicts:
        for effect in verdict.effects:
            if effect.kind in reached:
                reached[effect.kind].update(effect.toasters)
    return Radius(len(fleet), *(tuple(sorted(names)) for names in reached.values()))


def questions(verdicts: Sequence[Verdict]) -> tuple[Question, ...]:
    """The four questions, answered by what the attacks did."""

    def happened(keys: Sequence[str]) -> bool:
        return any(v.outcome is Outcome.SUCCEEDED for v in verdicts if v.key in keys)

    anonymous, clear = happened(NO_CREDENTIALS), happened(CLEAR_TEXT)
    strict, wildcards = not happened(STRICT), not happened(WILDCARDS)
    return (
        Question(
            1,
            "Can anyone connect without authentication?",
            anonymous,
            not anonymous,
            NO_CREDENTIALS,
        ),
        Question(
            2,
            "Does anything, a password above all, travel without TLS?",
            clear,
            not clear,
            CLEAR_TEXT,
        ),
        Question(3, "Is authorization strict, each client its own topics?", strict, strict, STRICT),
        Question(4, "Are wildcard subscriptions disabled?", wildcards, wildcards, WILDCARDS),
    )


def _owner(topic: str) -> str | None:
    """The toaster that a topic belongs to."""
    levels = topic.split("/")
    return levels[1] if levels[0] == "toasters" and len(levels) > 1 else None


def _list(names: Sequence[str]) -> str:
    return " and ".join(names)
