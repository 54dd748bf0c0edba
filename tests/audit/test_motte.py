"""Motte under its own auditor comes out clean, or Motte gets fixed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from motte.audit.model import Question
from motte.audit.target import Credential
from tests.audit.support import CHECKS, FAIL, NOT_TESTED, PASS, outcomes, run
from tests.support.deployment import FLEET, DataPlane
from tests.support.policy import Policy, standard_roles
from tests.support.space import Space

WITHOUT_CREDENTIAL = ("NET-01", "NET-02", "NET-03", "NET-04", "NET-05", "AUT-01", "AUT-02")
"""What somebody with nothing in hand can find out about a broker that asks for a certificate."""


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataPlane]:
    """A data plane of its own that does not ban an auditor for what it tries."""
    folder = tmp_path_factory.mktemp("patient")
    plane = DataPlane(folder, Policy(FLEET, standard_roles()), network={"failures_to_ban": 10_000})
    try:
        yield plane.start()
    finally:
        plane.stop()


@pytest.fixture
def credential(patient: DataPlane) -> Credential:
    """A device with the rights of most: its own telemetry, its own commands."""
    device = Space(patient).device("a")
    files = device.credential
    return Credential(device.id, device.id, certificate=files.certificate, key=files.key)


def test_without_a_credential_nothing_fails_and_the_rest_says_why(patient: DataPlane) -> None:
    report = run(patient.port, authority=patient.authority.path)
    found = outcomes(report)
    assert {each: found[each] for each in WITHOUT_CREDENTIAL} == dict.fromkeys(
        WITHOUT_CREDENTIAL, PASS
    )
    assert FAIL not in found.values()
    assert report.answer_words(Question.ANONYMOUS) == "no"
    assert report.answer_words(Question.CLEAR_TEXT) == "no"
    assert report.answer(Question.WILDCARDS) is NOT_TESTED
    assert report.grade is None


def test_with_a_credential_every_check_passes(patient: DataPlane, credential: Credential) -> None:
    report = run(patient.port, authority=patient.authority.path, credentials=[credential])
    told = {each.check.id: each.result.text for each in report.findings if each.outcome is not PASS}
    assert told == {}
    assert set(outcomes(report)) == set(CHECKS)
    assert report.grade == "A"


def test_an_auditor_that_is_banned_claims_nothing(tmp_path: Path) -> None:
    # By default some dozens of failures earn a ban, and then every check would seem to pass.
    banning = DataPlane(tmp_path / "plane", Policy(FLEET, standard_roles()))
    try:
        report = run(banning.start().port, "AUT-02", "AUT-02", "AUT-02", "AUT-02", "AUT-01")
    finally:
        banning.stop()
    last = report.findings[-1]
    assert last.outcome is NOT_TESTED
    assert "stopped talking to this address" in last.result.text
