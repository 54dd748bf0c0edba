"""Keys and certificates in each form, at any offset, and what only looks like one."""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from motte.firmware.limits import MAXIMUM_CHUNK_BYTES
from motte.firmware.model import Kind
from tests.firmware.material import (
    DER,
    OPENSSH,
    PASSPHRASE,
    PEM,
    PKCS8,
    TRADITIONAL,
    Pair,
    chance,
    found,
    pair,
    scan,
    text_of,
)


def c_array(data: bytes) -> bytes:
    rows = [
        ", ".join(f"0x{byte:02x}" for byte in data[start : start + 12])
        for start in range(0, len(data), 12)
    ]
    return b"static const uint8_t key[] = {\n  " + ",\n  ".join(rows).encode() + b"\n};"


def c_string(data: bytes) -> bytes:
    return b'"' + data.replace(b"\n", b'\\n"\n  "') + b'";'


def escapes(data: bytes) -> bytes:
    return b'char key[] = "' + b"".join(b"\\x%02x" % byte for byte in data) + b'";'


def bare_sec1(one: Pair) -> bytes:
    inner = b"\x02\x01\x01\x04\x20" + one.scalar
    return b"\x30" + bytes([len(inner)]) + inner


KEY_FORMS: dict[str, Callable[[], tuple[bytes, Pair]]] = {
    "PEM PKCS#8": lambda: (pair().private(PEM, PKCS8), pair()),
    "PEM SEC1": lambda: (pair().private(PEM, TRADITIONAL), pair()),
    "PEM PKCS#1": lambda: (pair("RSA").private(PEM, TRADITIONAL), pair("RSA")),
    "PEM Ed25519": lambda: (pair("Ed25519").private(PEM, PKCS8), pair("Ed25519")),
    "PEM OpenSSH": lambda: (pair().private(PEM, OPENSSH), pair()),
    "PEM with CRLF": lambda: (pair().private(PEM, PKCS8).replace(b"\n", b"\r\n"), pair()),
    "PEM in a C string": lambda: (c_string(pair().private(PEM, PKCS8)), pair()),
    "PEM in JSON": lambda: (
        json.dumps({"key": pair().private(PEM, PKCS8).decode()}).encode(),
        pair(),
    ),
    "PEM in a C array": lambda: (c_array(pair().private(PEM, PKCS8)), pair()),
    "DER PKCS#8": lambda: (pair().private(DER, PKCS8), pair()),
    "DER PKCS#8 P-384": lambda: (pair("P-384").private(DER, PKCS8), pair("P-384")),
    "DER PKCS#8 RSA": lambda: (pair("RSA").private(DER, PKCS8), pair("RSA")),
    "DER PKCS#8 Ed25519": lambda: (pair("Ed25519").private(DER, PKCS8), pair("Ed25519")),
    "DER SEC1": lambda: (pair().private(DER, TRADITIONAL), pair()),
    "DER SEC1 P-384": lambda: (pair("P-384").private(DER, TRADITIONAL), pair("P-384")),
    "DER SEC1 without curve": lambda: (bare_sec1(pair()), pair()),
    "DER PKCS#1": lambda: (pair("RSA").private(DER, TRADITIONAL), pair("RSA")),
    "DER in a C array": lambda: (c_array(pair().private(DER, TRADITIONAL)), pair()),
    "DER in a C string": lambda: (escapes(pair("RSA").private(DER, TRADITIONAL)), pair("RSA")),
    "hex": lambda: (pair().private(DER, PKCS8).hex().encode(), pair()),
    "hex SEC1, upper case": lambda: (
        pair().private(DER, TRADITIONAL).hex().upper().encode(),
        pair(),
    ),
    "base64": lambda: (base64.b64encode(pair().private(DER, PKCS8)), pair()),
    "base64 SEC1": lambda: (base64.b64encode(pair().private(DER, TRADITIONAL)), pair()),
    "base64 Ed25519": lambda: (
        base64.b64encode(pair("Ed25519").private(DER, PKCS8)),
        pair("Ed25519"),
    ),
    "base64 RSA": lambda: (base64.encodebytes(pair("RSA").private(DER, TRADITIONAL)), pair("RSA")),
    "number before its point": lambda: (pair().scalar + pair().point, pair()),
    "number after its point": lambda: (pair().point + b"\0" * 7 + pair().scalar, pair()),
    "number near its certificate": lambda: (
        pair().certificate.public_bytes(DER) + b"\xff" * 20 + pair().scalar,
        pair(),
    ),
}


@pytest.mark.parametrize("surroundings", ["padding", "chance", "text"])
@pytest.mark.parametrize("form", KEY_FORMS)
def test_a_private_key_is_found_in_each_form(form: str, surroundings: str) -> None:
    planted, one = KEY_FORMS[form]()
    around = {"padding": b"\xff" * 9001, "chance": chance(9001), "text": b"int x; // " * 901}
    if surroundings == "chance" and form.startswith("number"):
        # A bare number inside of chance is nothing: it stands in a page of its own.
        around["chance"] = chance(8192) + b"\xff" * 4096
    report = scan(around[surroundings] + b"\n" + planted + b"\n" + around[surroundings][::-1])
    assert found(report, Kind.PRIVATE_KEY) == {one.name: "private key"}
    assert not report.problems


@pytest.mark.parametrize("kind", ["P-256", "P-384", "RSA", "Ed25519"])
@pytest.mark.parametrize(
    "write",
    [lambda der: der, c_array, base64.b64encode, lambda der: der.hex().encode()],
    ids=["DER", "C array", "base64", "hex"],
)
def test_a_certificate_is_found_in_each_form(kind: str, write: Callable[[bytes], bytes]) -> None:
    planted = write(pair(kind).certificate.public_bytes(DER))
    report = scan(b"\xff" * 777 + b"\n" + planted + b"\n" + chance(5000))
    assert found(report) == {pair(kind).certificate_name: "certificate"}
    facts = report.findings[0].certificate
    assert facts is not None
    assert facts.subject == f"CN=toaster {kind}"
    assert facts.spiffe_id == "spiffe://home/group/toaster/device/toaster-9"
    assert facts.serial == 0x1234


@pytest.mark.parametrize("offset", [0, 1, 3])
def test_the_offset_is_that_of_the_first_byte(offset: int) -> None:
    report = scan(b"\0" * offset + pair().private(DER, PKCS8))
    assert [place.offset for place in report.findings[0].places] == [offset]


@pytest.mark.parametrize("back", [1, 2, 40, 130, 239])
def test_a_key_across_two_chunks_is_found(back: int) -> None:
    planted = pair().private(PEM, PKCS8)
    image = b"\xff" * (MAXIMUM_CHUNK_BYTES - back) + planted + b"\xff" * 9
    assert found(scan(image), Kind.PRIVATE_KEY) == {pair().name: "private key"}


@pytest.mark.parametrize("back", [1, 33, 64, 65, 90])
def test_a_point_across_two_chunks_is_found(back: int) -> None:
    image = b"\xff" * (MAXIMUM_CHUNK_BYTES - back) + pair().point + pair().scalar + b"\xff" * 900
    assert found(scan(image), Kind.PRIVATE_KEY) == {pair().name: "private key"}


ENCRYPTED: dict[str, Callable[[], tuple[bytes, str]]] = {
    "PEM": lambda: (pair().private(PEM, PKCS8, PASSPHRASE), "encrypted private key"),
    "DER": lambda: (pair("RSA").private(DER, PKCS8, PASSPHRASE), "encrypted private key"),
    "OpenSSL": lambda: (pair().private(PEM, TRADITIONAL, PASSPHRASE), "encrypted private key"),
    "PKCS#12": lambda: (pair().store(), "key store"),
    "JKS": lambda: (java_store(b"\xfe\xed\xfe\xed"), "key store"),
    "JCEKS": lambda: (java_store(b"\xce\xce\xce\xce"), "key store"),
}


def java_store(magic: bytes) -> bytes:
    """A Java key store with one key entry, as sun.security.provider.JavaKeyStore writes it."""
    key = pair().private(DER, PKCS8, PASSPHRASE)
    alias = b"device"
    entry = struct.pack(">IH", 1, len(alias)) + alias + struct.pack(">QI", 0, len(key)) + key
    return magic + struct.pack(">II", 2, 1) + entry + struct.pack(">I", 0) + chance(20)


@pytest.mark.parametrize("form", ENCRYPTED)
def test_an_encrypted_key_is_found_and_told_apart(form: str) -> None:
    planted, kind = ENCRYPTED[form]()
    report = scan(chance(3000) + b"\n" + planted + chance(3000, seed=2))
    assert kind in found(report).values()
    assert report.has_key
    assert "private key" not in found(report).values()


def test_a_key_and_its_certificate_have_the_same_public_half() -> None:
    report = scan(pair().private(PEM, PKCS8) + pair().certificate.public_bytes(PEM))
    assert len(report.findings) == 2
    assert {finding.public_key for finding in report.findings} == {pair().name}


def test_the_same_key_in_many_places_is_one_finding() -> None:
    planted = [pair().private(PEM, PKCS8), pair().private(DER, TRADITIONAL), b"\xff" * 50]
    report = scan(b"".join(planted) * 30)
    [finding] = report.findings
    assert len(finding.places) == 20
    assert finding.more_places == 40


def test_no_report_shows_a_secret() -> None:
    everything = b"\n".join(make()[0] for make in KEY_FORMS.values())
    report = scan(everything)
    shown = text_of(report)
    for one in (pair(), pair("RSA"), pair("Ed25519")):
        der = one.private(DER, PKCS8)
        for secret in (der.hex(), base64.b64encode(der).decode(), repr(der)[2:-1]):
            for start in range(60, len(secret) - 24, 12):
                assert secret[start : start + 24] not in shown
    assert pair().scalar.hex() not in shown
    assert str(int.from_bytes(pair().scalar, "big")) not in shown


def broken_point() -> bytes:
    sec1 = bytearray(pair().private(DER, TRADITIONAL))
    sec1[-1] ^= 1
    return bytes(sec1)


def broken_rsa() -> bytes:
    whole = pair("RSA").private(DER, TRADITIONAL)
    at = whole.index(int(pair("RSA").key.private_numbers().d).to_bytes(256, "big").lstrip(b"\0"))
    return whole[: at + 9] + bytes([whole[at + 9] ^ 4]) + whole[at + 10 :]


DECOYS: dict[str, Callable[[], bytes]] = {
    "strings of a library": lambda: (
        b"\0-----BEGIN RSA PRIVATE KEY-----\0-----END RSA PRIVATE KEY-----\0"
    ),
    "a placeholder": lambda: b"-----BEGIN PRIVATE KEY-----\nMII...\n-----END PRIVATE KEY-----\n",
    "a cut PEM": lambda: pair().private(PEM, PKCS8)[:150],
    "a cut DER": lambda: pair().private(DER, PKCS8)[:100],
    "a public key": lambda: pair().point * 3,
    "a number beside a strange point": lambda: (
        pair().point
        + ec.generate_private_key(ec.SECP256R1())
        .private_numbers()
        .private_value.to_bytes(32, "big")
    ),
    "a key whose halves differ": broken_point,
    "an RSA key with a wrong exponent": broken_rsa,
    "chance": lambda: chance(2_000_000),
    "chance in base64": lambda: base64.b64encode(chance(100_000)),
    "headers of DER": lambda: b"\x30\x82\x01\x22\x02\x01\x00\x30\x0d" + chance(400),
    "numbers in source": lambda: c_array(chance(5000)),
    "a magic number of Java": lambda: b"\xfe\xed\xfe\xed\0\0\0\2\0\0\0\1" + chance(400),
}


@pytest.mark.parametrize("decoy", DECOYS)
def test_a_decoy_is_no_key(decoy: str) -> None:
    report = scan(b"\xff" * 100 + DECOYS[decoy]() + b"\xff" * 5000)
    assert not report.has_key, report.findings
    assert not report.problems


@pytest.mark.parametrize("form", KEY_FORMS)
def test_cut_and_flipped_bytes_never_stop_a_scan(form: str) -> None:
    planted, _ = KEY_FORMS[form]()
    marker = pair("P-384")
    end = b"\n" + b"\xff" * 2048 + marker.private(DER, PKCS8)
    for seed in range(12):
        noise = chance(8, seed)
        cut = noise[0] * len(planted) // 256
        flipped = bytearray(planted)
        flipped[noise[1] * len(planted) // 256] ^= noise[2] | 1
        for hostile in (planted[:cut], bytes(flipped)):
            report = scan(hostile + end)
            assert marker.name in found(report)
            for finding in report.findings:
                assert re.fullmatch(r"[0-9a-f]{64}", finding.fingerprint or "")
