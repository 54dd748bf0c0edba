"""What the auditor says about Debian's Mosquitto 2.0, in a good and in several bad configurations.

What is expected comes from mosquitto.conf(5) and mosquitto(8), not from the auditor.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from motte.audit.model import Outcome, Product, Question, Severity
from motte.audit.target import Credential
from tests.audit.mosquitto import Site, mosquitto
from tests.audit.support import FAIL, NOT_TESTED, PASS, outcomes, run
from tests.support import pki

WITHOUT_CREDENTIAL = (
    *("NET-01", "NET-02", "NET-03", "NET-04", "NET-05"),
    *("AUT-01", "AUT-02", "AUT-04", "AUT-04b", "SUB-01", "INF-01"),
)
GOOD = (
    "allow_anonymous false\nrequire_certificate true\nuse_identity_as_username true\n"
    "tls_version tlsv1.2\nciphers ECDHE+AESGCM:ECDHE+CHACHA20\n"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("mosquitto"))


def credential(site: Site, name: str = "alpha") -> Credential:
    files = site.devices[name]
    return Credential(name, name, certificate=files.certificate, key=files.key)


def test_with_certificates_and_good_suites_it_passes_what_needs_no_credential(site: Site) -> None:
    with mosquitto(site, site.tls + GOOD) as port:
        report = run(port, *WITHOUT_CREDENTIAL, authority=site.authority.path)
    found = outcomes(report)
    assert {each for each, outcome in found.items() if outcome is NOT_TESTED} == {
        # They need somebody who is let in.
        *("AUT-04b", "SUB-01", "INF-01"),
        # It ends the handshake, so that nothing can be sent before a CONNECT.
        "AUT-04",
    }
    assert not report.failures()
    assert report.answer(Question.ANONYMOUS) is PASS
    assert report.answer(Question.CLEAR_TEXT) is PASS
    assert report.answer(Question.WILDCARDS) is NOT_TESTED
    assert report.grade is None


def test_the_configuration_of_most_tutorials_gives_three_wrong_answers(site: Site) -> None:
    # "allow_anonymous true" lets clients connect without a user name; a listener without
    # certfile has no TLS; without an acl_file everybody may read and write everything.
    with mosquitto(site, "allow_anonymous true") as port:
        report = run(port, *WITHOUT_CREDENTIAL, tls=False)
    found = outcomes(report)
    wrong = {each for each, outcome in found.items() if outcome is FAIL}
    assert wrong == {"NET-01", "AUT-01", "AUT-02", "SUB-01", "INF-01"}
    assert found["AUT-04b"] is PASS
    assert all(found[each] is NOT_TESTED for each in ("NET-02", "NET-03", "NET-04", "NET-05"))
    assert report.answer_words(Question.ANONYMOUS) == "yes"
    assert report.answer_words(Question.CLEAR_TEXT) == "yes"
    assert report.answer_words(Question.WILDCARDS) == "no"
    assert report.grade == "F"
    assert report.product is Product.MOSQUITTO
    assert (report.version or "").startswith("mosquitto version 2.0")


def test_tls_without_client_certificates_and_without_passwords(site: Site) -> None:
    with mosquitto(site, site.tls + "allow_anonymous true\ntls_version tlsv1.2") as port:
        report = run(port, *WITHOUT_CREDENTIAL, authority=site.authority.path)
    found = outcomes(report)
    assert found["NET-01"] is PASS
    assert found["NET-03"] is PASS
    assert found["NET-04"] is FAIL
    # It asks for no certificate at all, so that nothing is known about which it would take.
    assert found["NET-05"] is NOT_TESTED
    assert found["AUT-01"] is FAIL
    assert found["SUB-01"] is FAIL


def test_passwords_over_tls_are_a_lesser_finding(site: Site) -> None:
    lines = f"allow_anonymous false\npassword_file {site.passwords}\n"
    with mosquitto(site, site.tls + lines) as port:
        report = run(port, "NET-04", "AUT-01", "AUT-02", authority=site.authority.path)
    found = {each.check.id: each for each in report.findings}
    assert found["NET-04"].outcome is FAIL
    assert found["NET-04"].severity is Severity.MEDIUM
    assert found["AUT-01"].outcome is found["AUT-02"].outcome is PASS


def test_its_default_suites_hold_some_without_forward_secrecy(site: Site) -> None:
    # Without `ciphers` OpenSSL's default list is offered, CBC among it.
    with mosquitto(site, site.tls + "allow_anonymous false\ntls_version tlsv1.2") as port:
        report = run(port, "NET-02")
    (finding,) = report.findings
    assert finding.outcome is FAIL
    assert finding.severity is Severity.MEDIUM
    assert "CBC" in finding.result.text


def test_tls_13_alone_has_no_weak_suite(site: Site) -> None:
    with mosquitto(site, site.tls + "allow_anonymous false\ntls_version tlsv1.3") as port:
        report = run(port, "NET-02")
    assert outcomes(report) == {"NET-02": PASS}


def test_without_its_authority_a_private_chain_is_not_tested(site: Site) -> None:
    with mosquitto(site, site.tls + GOOD) as port:
        report = run(port, "NET-03")
    (finding,) = report.findings
    assert finding.outcome is NOT_TESTED
    assert "--ca" in finding.result.text


def test_a_listener_without_tls_beside_the_good_one(site: Site) -> None:
    with (
        mosquitto(site, "allow_anonymous false") as plain,
        mosquitto(site, site.tls + GOOD) as port,
    ):
        report = run(port, "NET-01", plain_ports=(plain,))
    (finding,) = report.findings
    assert finding.outcome is FAIL
    assert str(plain) in finding.result.text
    assert str(port) not in finding.result.text


def test_a_certificate_without_an_acl_file_reads_everything(site: Site) -> None:
    # "If no acl_file is given, all clients have access to all topics."
    with mosquitto(site, site.tls + GOOD) as port:
        report = run(port, "SUB-01", credentials=[credential(site)])
    (finding,) = report.findings
    assert finding.outcome is FAIL
    assert finding.severity is Severity.CRITICAL


def test_an_acl_file_decides_delivery_and_not_the_subscription(site: Site) -> None:
    acl = site.file("acl", "pattern read dev/%u/command\npattern write dev/%u/telemetry\n")
    acl.chmod(0o600)
    with mosquitto(site, site.tls + GOOD + f"acl_file {acl}") as port:
        report = run(port, "SUB-01", credentials=[credential(site)])
    (finding,) = report.findings
    assert finding.outcome is FAIL
    assert finding.severity is Severity.HIGH
    assert "read rules" in finding.result.text


def test_a_bad_chain_a_wrong_name_and_the_past_are_found(site: Site, tmp_path: Path) -> None:
    other = site.authority.issue("elsewhere", hosts=["elsewhere.example"], purposes=[pki.SERVER])
    lines = f"cafile {site.authority.path}\ncertfile {other.certificate}\nkeyfile {other.key}\n"
    with mosquitto(site, lines) as port:
        wrong_name = run(port, "NET-03", authority=site.authority.path)
    assert outcomes(wrong_name) == {"NET-03": Outcome.FAIL}
    assert "ostname" in wrong_name.findings[0].result.text

    stranger = Site(tmp_path)
    with mosquitto(site, site.tls) as port:
        wrong_chain = run(port, "NET-03", authority=stranger.authority.path)
    assert outcomes(wrong_chain) == {"NET-03": Outcome.FAIL}
