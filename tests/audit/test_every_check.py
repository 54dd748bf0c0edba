"""Every check can fail, by a broker with one flaw, and passes without the flaw."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import pytest

from motte.audit import wire
from motte.audit.model import Outcome, Product, Severity
from motte.audit.target import Credential
from tests.audit.flawed.broker import Flaw, flawed
from tests.audit.mosquitto import free_port
from tests.audit.support import CHECKS, FAIL, PASS, only, outcomes, run
from tests.support import pki

FLAWS: dict[str, Sequence[Flaw]] = {
    "NET-01": [Flaw.PLAIN_LISTENER],
    "NET-02": [Flaw.OLD_SUITES],
    "NET-03": [Flaw.WRONG_HOST],
    "NET-04": [Flaw.CERTIFICATE_OPTIONAL],
    "AUT-01": [Flaw.ANONYMOUS],
    "AUT-02": [Flaw.PASSWORD_OPTIONAL],
    "AUT-04": [Flaw.BEFORE_CONNECT],
    "AUT-04b": [Flaw.SECOND_CONNECT],
    "SUB-01": [Flaw.WILDCARDS],
    "INF-01": [Flaw.SYSTEM_TOPICS],
    "SES-01": [Flaw.CLIENT_ID],
    "PUB-01": [Flaw.WRITE],
    # One credential alone sees a message only where it may write it.
    "SUB-10": [Flaw.READ, Flaw.WRITE],
    # The will is watched by a second connection with the same credential.
    "WIL-01": [Flaw.WILL, Flaw.READ, Flaw.CLIENT_ID],
}
WITHOUT_CREDENTIAL = {"NET-01", "NET-02", "NET-04", "AUT-01", "AUT-02"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> pki.Authority:
    return pki.Authority(tmp_path_factory.mktemp("flawed"))


@pytest.fixture(scope="module")
def credential(authority: pki.Authority) -> Credential:
    files = authority.issue("alpha")
    return Credential("alpha", "alpha", certificate=files.certificate, key=files.key)


def test_no_check_is_without_a_flawed_broker() -> None:
    assert {*FLAWS, "NET-05"} == set(CHECKS)


def test_without_a_flaw_everything_passes(authority: pki.Authority, credential: Credential) -> None:
    with flawed(authority) as broker:
        report = run(broker.port, authority=authority.path, credentials=[credential])
    found = outcomes(report)
    assert {each for each in found if found[each] is not PASS} == set()
    assert report.grade == "A"


@pytest.mark.parametrize("check", FLAWS)
def test_it_fails_where_the_flaw_is(
    check: str, authority: pki.Authority, credential: Credential
) -> None:
    credentials = [] if check in WITHOUT_CREDENTIAL else [credential]
    with flawed(authority, *FLAWS[check]) as broker:
        ports = [broker.plain_port] if broker.plain_port else []
        report = run(
            broker.port,
            check,
            authority=authority.path,
            credentials=credentials,
            plain_ports=tuple(ports),
        )
    finding = only(report)
    assert finding.outcome is FAIL, finding.result
    assert finding.result.evidence


def test_wildcards_are_worst_where_the_canary_arrives(
    authority: pki.Authority, credential: Credential
) -> None:
    severities = []
    for flaws in ([Flaw.WILDCARDS], [Flaw.WILDCARDS, Flaw.WRITE]):
        with flawed(authority, *flaws) as broker:
            report = run(broker.port, "SUB-01", credentials=[credential])
        severities.append(only(report).severity)
    assert severities == [Severity.HIGH, Severity.CRITICAL]


@contextlib.contextmanager
def takes_any_certificate(authority: pki.Authority) -> Iterator[int]:
    """OpenSSL's test server, which asks for a certificate and takes every one, behind a CONNACK."""
    own = authority.issue("localhost", hosts=["localhost"], purposes=[pki.SERVER])
    port = free_port()
    openssl = shutil.which("openssl")
    assert openssl is not None, "scripts/system-packages test installs openssl"
    command = [openssl, "s_server", "-accept", f"127.0.0.1:{port}", "-Verify", "1", "-quiet"]
    command += ["-cert", str(own.certificate), "-key", str(own.key)]
    command += ["-CAfile", str(authority.path)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
    assert process.stdin is not None
    assert process.stdout is not None
    threading.Thread(target=_answer, args=(process.stdin, process.stdout), daemon=True).start()
    try:
        time_out = time.monotonic() + 10
        while not _listens(port):
            assert time.monotonic() < time_out
            time.sleep(0.01)
        yield port
    finally:
        process.kill()
        process.wait()
        process.stdin.close()


def _answer(to_client: IO[bytes], from_client: IO[bytes]) -> None:
    with contextlib.suppress(OSError, ValueError):
        while os.read(from_client.fileno(), 65536):
            to_client.write(wire.frame(0x20, b"\0\0\0"))
            to_client.flush()
    from_client.close()


def _listens(port: int) -> bool:
    wanted = re.compile(rf":{port:04X} 00000000:0000 0A ")
    return bool(wanted.search(Path("/proc/net/tcp").read_text()))


def test_a_certificate_that_anybody_can_make_is_found(authority: pki.Authority) -> None:
    with takes_any_certificate(authority) as port:
        finding = only(run(port, "NET-05"))
    assert finding.outcome is FAIL, finding.result


@pytest.mark.parametrize("check", CHECKS.values(), ids=lambda check: check.id)
def test_it_says_how_to_fix_it_on_every_product(check: object) -> None:
    found = next(each for each in CHECKS.values() if each is check)
    assert set(found.fix) == set(Product)
    assert found.why.endswith(".")
    assert found.references
    assert found.rows


def test_outcomes_are_three_words() -> None:
    assert [str(each) for each in Outcome] == ["fail", "not tested", "pass"]
