"""NET-02: old versions of TLS and weak cipher suites."""

from typing import Final

from motte.audit.hello import Hello, TlsVersion, say_hello
from motte.audit.model import (
    Check,
    Product,
    Question,
    Result,
    Severity,
    failed,
    not_tested,
    passed,
)
from motte.audit.probe import Probe

__all__ = ["CHECK"]

USUAL_SUITES: Final = (0xC013, 0xC014, 0xC009, 0xC00A, 0x002F, 0x0035, 0x000A, 0x0005)
"""What clients of TLS 1.0 and 1.1 offered."""
BROKEN_SUITES: Final = {
    "no encryption": (0x0001, 0x0002, 0x003B, 0xC006, 0xC010),
    "no authentication": (0x0018, 0x0034, 0x003A, 0x006D, 0x00A6, 0x00A7, 0xC018, 0xC019),
    "export strength": (0x0003, 0x0006, 0x0008, 0x0014),
    "RC4": (0x0004, 0x0005, 0xC007, 0xC011),
    "3DES": (0x000A, 0x0016, 0xC008, 0xC012),
}
"""Suites of TLS 1.2 that protect nothing today (RFC 7465, RFC 9325 section 4.1)."""
WEAK_SUITES: Final = {
    "key exchange without forward secrecy": (0x002F, 0x0035, 0x003C, 0x003D, 0x009C, 0x009D),
    "CBC": (0xC009, 0xC00A, 0xC013, 0xC014, 0xC023, 0xC024, 0xC027, 0xC028),
}
"""Suites of TLS 1.2 that RFC 9325 section 4.2 does not recommend."""


async def run(probe: Probe) -> Result:
    """Offers what no client should want, one kind at a time."""
    if not probe.target.tls:
        return not_tested("the target has no TLS; name it as mqtts://")
    evidence: list[str] = []
    broken: list[str] = []
    unclear: list[str] = []
    for version in (TlsVersion.SSL_3_0, TlsVersion.TLS_1_0, TlsVersion.TLS_1_1):
        answer = await _ask(probe, version, USUAL_SUITES, version.text, evidence)
        (broken if answer.version == version else unclear if _unclear(answer) else []).append(
            version.text
        )
    weak: list[str] = []
    for kinds, found in ((BROKEN_SUITES, broken), (WEAK_SUITES, weak)):
        for name, suites in kinds.items():
            answer = await _ask(probe, TlsVersion.TLS_1_2, suites, f"TLS 1.2, {name}", evidence)
            (found if answer.suite in suites else unclear if _unclear(answer) else []).append(name)
    if broken:
        return failed(f"accepts {', '.join(broken + weak)}", evidence)
    if weak:
        return failed(f"accepts in TLS 1.2: {', '.join(weak)}", evidence, Severity.MEDIUM)
    if unclear:
        return not_tested(f"no clear answer to {', '.join(unclear)}", evidence)
    return passed("refuses SSL 3.0, TLS 1.0, TLS 1.1 and every weak suite of TLS 1.2", evidence)


def _unclear(answer: Hello) -> bool:
    return answer.version is None and answer.refused is None


async def _ask(
    probe: Probe,
    version: TlsVersion,
    suites: tuple[int, ...],
    what: str,
    evidence: list[str],
) -> Hello:
    answer = await say_hello(probe.target, version, suites)
    evidence.append(f"> ClientHello {what}")
    if answer.version is not None and answer.suite is not None:
        evidence.append(f"< ServerHello {answer.version:#06x}, suite {answer.suite:#06x}")
    else:
        evidence.append(f"< {answer.refused or 'no clear answer'}")
    return answer


CHECK: Final = Check(
    id="NET-02",
    title="Only TLS 1.2 with forward-secret AEAD suites, and TLS 1.3",
    severity=Severity.HIGH,
    rows=("T2",),
    question=Question.CLEAR_TEXT,
    why="Somebody on the path can choose the weakest thing that both sides accept.",
    fix={
        Product.MOSQUITTO: "`tls_version tlsv1.3`, or `tlsv1.2` with "
        "`ciphers ECDHE+AESGCM:ECDHE+CHACHA20`",
        Product.EMQX: '`listeners.ssl.default.ssl_options.versions = ["tlsv1.3"]`',
        Product.HIVEMQ: "`<protocols><protocol>TLSv1.3</protocol></protocols>` in `<tls>`",
        Product.VERNEMQ: "`listener.ssl.tls_version = tlsv1.3` and `listener.ssl.ciphers`",
        Product.NATS: '`min_version: "1.3"` in the `tls {}` block',
        Product.RABBITMQ: "`ssl_options.versions.1 = tlsv1.3`",
        Product.MOTTE: "Motte speaks TLS 1.3; use a `constrained` listener only for devices that "
        "cannot",
    },
    references=("RFC 9325", "RFC 8996", "NIST SP 800-52 Rev. 2", "Mosquitto 2.1.0 ChangeLog"),
    run=run,
)
