"""Passwords, tokens and endpoints: found where they stand, shown never."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from motte.firmware.model import Finding, ImageReport, Kind
from tests.firmware.material import chance, scan, text_of

PASSWORD = "tr0ub4dor-and-3"
"""Stands in every image of these tests and in no report."""


def one(image: bytes, kind: Kind) -> Finding:
    report = scan(b"\xff" * 500 + image + b"\0" + b"\xff" * 500)
    assert not report.problems
    assert PASSWORD not in text_of(report)
    [finding] = [finding for finding in report.findings if finding.kind is kind]
    return finding


def none(report: ImageReport) -> bool:
    return not [finding for finding in report.findings if finding.kind.is_secret]


def jwt(header: Any, payload: Any) -> bytes:
    def part(value: Any) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    signature = base64.urlsafe_b64encode(chance(32)).rstrip(b"=")
    return b".".join([part(header), part(payload), signature])


@pytest.mark.parametrize(
    ("url", "endpoint", "user"),
    [
        (f"mqtt://toaster:{PASSWORD}@broker.example:1883", "mqtt://broker.example:1883", "toaster"),
        (f"mqtts://a%40b:{PASSWORD}@10.0.0.7", "mqtts://10.0.0.7", "a%40b"),
        (f"wss://u:{PASSWORD}@hub.example/mqtt", "wss://hub.example", "u"),
        (f"https://fw:{PASSWORD}@updates.example/x", "https://updates.example", "fw"),
        (f"tcp://u:{PASSWORD}@[fd00::1]:8883", "tcp://[fd00::1]:8883", "u"),
    ],
)
def test_a_password_in_a_url(url: str, endpoint: str, user: str) -> None:
    finding = one(b"server=" + url.encode(), Kind.CREDENTIAL)
    assert finding.facts == {"endpoint": endpoint, "user": user}
    assert finding.places[0].offset == 507


@pytest.mark.parametrize(
    "url",
    [
        "mqtt://broker.local",
        "mqtts://a1b2c3d4e5f6g7-ats.iot.eu-west-1.amazonaws.com:8883",
        "tcp://192.168.1.10:1883",
        "ws://hub:9001",
    ],
)
def test_an_endpoint_without_password(url: str) -> None:
    report = scan(b"\0" + url.encode() + b"\0")
    assert f"endpoint {url}" in [finding.title for finding in report.findings]
    assert none(report)


@pytest.mark.parametrize(
    "host",
    [
        "a1b2c3d4e5f6g7-ats.iot.eu-west-1.amazonaws.com",
        "toasters.azure-devices.net",
        "0123456789abcdef.s1.eu.hivemq.cloud",
    ],
)
def test_the_name_of_a_cloud_broker(host: str) -> None:
    report = scan(b"\xff\xff" + host.encode() + b"\0")
    [finding] = report.findings
    assert finding.kind is Kind.ENDPOINT
    assert host.endswith(finding.title.removeprefix("endpoint "))


def connect(level: int, user: bytes | None, password: bytes | None, *, will: bool = False) -> bytes:
    def field(value: bytes) -> bytes:
        return len(value).to_bytes(2, "big") + value

    name = b"MQIsdp" if level == 3 else b"MQTT"
    flags = (0x80 if user is not None else 0) | (0x40 if password is not None else 0)
    body = field(name) + bytes([level, flags | (0x04 if will else 0) | 2]) + b"\0\x3c"
    properties = b"\x05\x11\0\0\0\x0a" if level == 5 else b""
    body += properties + field(b"toaster-7")
    if will:
        body += (b"\0" if level == 5 else b"") + field(b"gone") + field(b"x" * 200)
    body += b"".join(field(value) for value in (user, password) if value is not None)
    low, high = len(body) & 127, len(body) >> 7
    length = bytes([low | 128, high]) if high else bytes([low])
    return b"\x10" + length + body


@pytest.mark.parametrize("level", [3, 4, 5])
@pytest.mark.parametrize("will", [False, True])
def test_a_connect_packet(level: int, will: bool) -> None:
    finding = one(connect(level, b"kitchen", PASSWORD.encode(), will=will), Kind.CREDENTIAL)
    assert finding.title == "password of kitchen"
    assert finding.facts == {"client id": "toaster-7", "user": "kitchen"}
    assert finding.places[0].form == "MQTT CONNECT"
    assert finding.places[0].offset == 500


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_cut_connect_packet_is_none(cut: int) -> None:
    whole = connect(4, b"kitchen", PASSWORD.encode())
    assert none(scan(whole[: max(len(whole) - cut, 0)]))


@pytest.mark.parametrize(
    "setting",
    [
        f"mqtt_password={PASSWORD}",
        f'{{"mqtt": {{"server": "b.example", "password": "{PASSWORD}"}}}}',
        f'#define MQTT_PASS "{PASSWORD}"',
        f'const char *mqttPassword = "{PASSWORD}";',
        f"connection bridge\naddress broker.example:8883\nremote_password {PASSWORD}\n",
        f'network={{\n  ssid="home"\n  psk="{PASSWORD}"\n}}',
        f"wifi:\n  password: {PASSWORD}\n",
    ],
)
def test_a_setting(setting: str) -> None:
    finding = one(setting.encode(), Kind.CREDENTIAL)
    assert finding.facts["setting"] in setting


@pytest.mark.parametrize(
    "text",
    [
        "mqtt_password=%s",
        '"mqtt": {"password": "<your password>"}',
        "mqtt_password: null",
        "the MQTT broker asks for a password when the secret has expired",
        "const char* mqtt_password = nullptr;",
        "mqtt://%s:%s@%s:%d",
        "password=letmein-elsewhere",
        "https://example.com/a:b@c",
        "eyJhbGciOiJIUzI1NiJ9.e30",
        "eyJub3QiOiJhIGp3dCJ9.eyJub3QiOiJhIGp3dCJ9.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "AKIASHORT",
    ],
)
def test_a_decoy_is_no_secret(text: str) -> None:
    assert none(scan(b"\0" * 300 + text.encode() + b"\0" * 300))


def test_a_jwt_is_reported_by_its_claims() -> None:
    claims = {"iss": "hub", "sub": "toaster-7", "exp": 1_800_000_000}
    token = jwt({"alg": "ES256"}, claims)
    finding = one(b"Bearer " + token, Kind.TOKEN)
    assert finding.facts == {
        "iss": "hub",
        "sub": "toaster-7",
        "algorithm": "ES256",
        "expires": "2027-01-15T08:00:00+00:00",
    }
    assert token.decode() not in text_of(scan(token))


@pytest.mark.parametrize(
    ("token", "title"),
    [
        ("AKIAIOSFODNN7EXAMPLE", "AWS access key"),
        ("AIza" + "Sy0123456789abcdefghijABCDEFGHIJ_-x", "Google API key"),
        ("ghp_" + "a1B2" * 9, "GitHub token"),
        (
            "SharedAccessSignature sr=h.azure-devices.net%2Fdevices%2Ft&sig="
            + "aB3%2B" * 8
            + "&se=1",
            "Azure shared access signature",
        ),
        (
            "HostName=h.azure-devices.net;DeviceId=t;SharedAccessKey=" + "Ab1+" * 10 + "Abc=",
            "Azure connection string",
        ),
    ],
)
def test_a_token(token: str, title: str) -> None:
    report = scan(b"\0" + token.encode() + b"\0")
    assert title in [finding.title for finding in report.findings if finding.kind is Kind.TOKEN]
    assert token[-20:] not in text_of(report)


@pytest.mark.parametrize("mark", [b"://", b"eyJ", b"assword", b"\x10\x20\0\x04MQTT\x04", b"psk="])
def test_an_image_of_nothing_but_marks_holds_no_secret(mark: bytes) -> None:
    assert none(scan(mark * (40_000 // len(mark))))
