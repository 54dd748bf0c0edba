"""The play: the same thief on one broker after the other, and the operator at the end."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final, Protocol

from motte import __version__
from motte.drill import mosquitto
from motte.drill.clients import DASHBOARD, Endpoint, House, Tally
from motte.drill.judge import Judge, itself, questions, radius
from motte.drill.report import Report, Revocation, Side, Verdict
from motte.drill.stage import TOASTERS, Stage, motte_stage, temporary_folder
from motte.drill.thief import Answer, Attack, Connection, Haul, Target, Thief, Tls
from motte.drill.witness import Witness
from motte.errors import DataPlaneError
from motte.fleet.bundle import open_bundle
from motte.plane.evidence import Verified, verify

__all__ = ["Audience", "Silent", "other_side", "play"]

OWN: Final = TOASTERS[0]
VICTIMS: Final = TOASTERS[1:]
THIEF_ADDRESS: Final = "127.0.0.66"
"""The thief has a loopback address of its own, so that the log tells it from the toasters."""
MESSAGES_AFTER: Final = 4
"""Telemetry messages of each other toaster that must arrive after the revocation."""
WHY: Final = "stolen"
"""The operator's reason in the registry."""


class Audience(Protocol):
    """Whoever watches."""

    def progress(self, what: str) -> None:
        """A step of the preparation is done."""

    def ready(self, side: str, endpoint: Endpoint, tallies: dict[str, Tally]) -> None:
        """A broker runs and everybody's messages arrive."""

    def stolen(self, name: str) -> None:
        """The thief has the key."""

    def trying(self, attack: Attack) -> None:
        """An attack begins."""

    def tried(self, verdict: Verdict) -> None:
        """An attack is over."""

    def judged(self, side: Side) -> None:
        """All attacks on one broker are over."""

    def revoking(self, name: str) -> None:
        """The operator revokes while the thief is connected."""

    def thrown_out(self, answer: Answer, closed_after: float | None, returned: float) -> None:
        """The command has returned; milliseconds from its beginning."""

    def revoked(self, revocation: Revocation) -> None:
        """The revocation is over."""


class Silent:
    """Nobody watches."""

    def __getattr__(self, _name: str) -> Callable[..., None]:
        return lambda *_arguments: None


@dataclass(frozen=True, slots=True)
class Scene:
    """One broker with its honest clients and the thief."""

    house: House
    target: Target
    thief: Thief
    witness: Witness | None
    audience: Audience

    def attack(self, attack: Attack) -> Verdict:
        """One attack, judged."""
        self.audience.trying(attack)
        judge = Judge(self.house, VICTIMS)
        mark = self.witness.mark() if self.witness else None
        haul = attack.carry_out()
        testimony = self.witness.since(mark, haul.answer) if self.witness and mark else None
        verdict = judge.verdict(attack, haul, testimony)
        self.audience.tried(verdict)
        return verdict

    def be_itself(self) -> Verdict:
        """What the key is good for."""
        attack = Attack("0", f"be {OWN}, with its own key", self.thief.act_as_itself)
        self.audience.trying(attack)
        verdict = itself(attack, attack.carry_out(), OWN)
        self.audience.tried(verdict)
        return verdict

    def side(self, broker: str) -> Side:
        """The whole series."""
        own = self.be_itself()
        attacks = tuple(self.attack(attack) for attack in self.thief.attacks())
        side = Side(broker, own, attacks, radius((own, *attacks), TOASTERS), questions(attacks))
        self.audience.judged(side)
        return side


def play(audience: Audience, *, keep: bool, with_mosquitto: bool) -> Report:
    """Plays everything and cleans up, also when it is interrupted."""
    began = time.monotonic()
    with _terminable(), temporary_folder(keep=keep) as folder:
        with motte_stage(folder, audience.progress) as stage:
            motte, revocation = _on_motte(stage, audience)
        log = verify(stage.deployment.evidence)
        other, note = other_side(folder, audience, wanted=with_mosquitto)
        return Report(
            motte=motte,
            revocation=revocation,
            evidence_lines=log.lines if isinstance(log, Verified) else log.intact,
            evidence_intact=isinstance(log, Verified),
            mosquitto=other,
            mosquitto_note=note,
            seconds=time.monotonic() - began,
            folder=str(folder) if keep else None,
        )


def _on_motte(stage: Stage, audience: Audience) -> tuple[Side, Revocation]:
    bundle = open_bundle(stage.deployment.bundle(OWN))
    tls = Tls(bundle.authority, bundle.certificate, bundle.key)
    with _scene(f"Motte {__version__}", stage.endpoint, tls, audience, stage) as scene:
        side = scene.side(f"Motte {__version__}")
        return side, _revoke(stage, scene)


def other_side(folder: Path, audience: Audience, *, wanted: bool) -> tuple[Side | None, str | None]:
    """The same thief on an open Mosquitto; else why not."""
    if not wanted:
        return None, "left out with --no-mosquitto"
    program = mosquitto.find()
    if program is None:
        return None, f"not installed; to compare: {mosquitto.INSTALL_HINT}"
    name = f"Mosquitto {mosquitto.version(program)}"
    with (
        mosquitto.mosquitto_stage(program, folder) as endpoint,
        _scene(name, endpoint, None, audience) as scene,
    ):
        return scene.side(name), None


@contextlib.contextmanager
def _scene(
    name: str, endpoint: Endpoint, tls: Tls | None, audience: Audience, stage: Stage | None = None
) -> Iterator[Scene]:
    """Honest clients at work, then one of them is stolen."""
    target = Target(endpoint.host, endpoint.port, OWN, VICTIMS, tls, THIEF_ADDRESS)
    with House(endpoint, TOASTERS) as house:
        if not (house.fresh_telemetry(TOASTERS) and all(map(house.reaches, TOASTERS))):
            raise DataPlaneError(
                f"messages of the honest clients do not arrive on {name}",
                hint=f"run it again; does {DASHBOARD} have time to run on this host?",
            )
        audience.ready(name, endpoint, {toaster: house.tally(toaster) for toaster in TOASTERS})
        house.remove(OWN)
        audience.stolen(OWN)
        thief = Thief(target, lambda connection, who: _traffic(house, connection, who))
        witness = Witness(stage, THIEF_ADDRESS) if stage else None
        yield Scene(house, target, thief, witness, audience)


def _traffic(house: House, connection: Connection, identity: str) -> None:
    """Everything there is to hear: telemetry of the others, a command to each, one to itself.

    Messages come in order, so a thief that has heard the last one has heard all that it ever will.
    Under a victim's client id it hears that victim's, and only until the victim is back.
    """
    others = VICTIMS if identity == OWN else ()
    house.fresh_telemetry(others)
    for name in others:
        house.reaches(name)
    nonce = house.command(identity)
    connection.wait(
        lambda: (
            connection.ended is not None
            or any(nonce in message.payload for message in connection.heard)
        )
    )


def _revoke(stage: Stage, scene: Scene) -> Revocation:
    """The operator's part: the same call as `motte device revoke`."""
    house, audience = scene.house, scene.audience
    with scene.thief.connect() as connection:
        connection.subscribe(scene.target.topic(OWN, "command"))
        audience.revoking(OWN)
        before = _settled(house)
        began = time.monotonic()
        stage.plane.operations.revoke(OWN, why=WHY)
        returned = time.monotonic()
        closed = connection.wait(lambda: connection.ended is not None)
        answer = connection.ended or Answer("still connected", accepted=True)
        closed_after = _milliseconds(connection.ended_at - began) if closed else None
    returned_after = _milliseconds(returned - began)
    audience.thrown_out(answer, closed_after, returned_after)
    back = Attack("7", "come back with the revoked key", lambda: _come_back(scene.target))
    again = scene.attack(back)
    house.fresh_telemetry(VICTIMS, MESSAGES_AFTER)
    revocation = Revocation(
        answer,
        closed_after,
        returned_after,
        again,
        before,
        _settled(house, last=True),
    )
    audience.revoked(revocation)
    return revocation


def _come_back(target: Target) -> Haul:
    with Connection(target, OWN) as connection:
        return Haul((connection.open(),))


def _settled(house: House, *, last: bool = False) -> dict[str, Tally]:
    """The others' counts; at the end, after everything that is under way has arrived."""
    if last:
        house.pause()
        house.until(lambda: all(house.tally(name).is_whole for name in VICTIMS))
    return {name: house.tally(name) for name in VICTIMS}


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM and SIGHUP clean up like Ctrl-C."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
