"""A deployment on disk without a data plane, and a clock that tests can set."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from motte.deployment import Deployment
from motte.errors import MotteError
from motte.plane import setup

START = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


@dataclass
class SetClock:
    """A clock that stands still until it is told."""

    time: datetime = START

    def now(self) -> datetime:
        """The time that was set."""
        return self.time

    def advance(self, span: timedelta) -> None:
        """Moves on."""
        self.time += span


def make_deployment(folder: Path, clock: SetClock | None = None) -> Deployment:
    """A whole deployment with the example identities, on a free port."""
    deployment = Deployment(folder)
    assert setup.begin(deployment)
    used = clock or SetClock(datetime.now(UTC))
    setup.complete(deployment, clock=used, progress=lambda _: None, port=0)
    return deployment


def text_of(error: MotteError) -> str:
    """Message and hint of an error, as a person sees them."""
    return f"{error.message}\n\nhint: {error.hint}"


def assert_helpful(error: MotteError) -> None:
    """What every error promises: lower case, no final period, a hint."""
    assert error.message
    assert not error.message.endswith(".")
    first = error.message[0]
    assert not first.isupper(), error.message
    assert error.hint, error.message
    assert not error.hint.endswith("."), error.hint
