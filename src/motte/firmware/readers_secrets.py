"""Reads what opens brokers and clouds without a key: URLs, CONNECT packets, settings, tokens.

A password is never kept: what is reported is where it stands, whose it is, and that it is there.
"""

import base64
import json
import re
from datetime import UTC, datetime
from typing import Any, Final

from motte.firmware.model import Finding, Kind, Place
from motte.firmware.scan import Look, Reader

__all__ = ["READERS", "report_credential"]

WINDOW: Final = 1024
"""Bytes read around a mark: an address or a setting fits with what stands around it."""
TOKEN_BYTES: Final = 16 * 1024
"""Bytes of a token. Those that servers accept stay below 8 KiB, the limit of most HTTP headers."""
SCHEME_BYTES: Final = 16
NAME_BYTES: Final = 40
CONTEXT: Final = 256
"""Bytes before and after a setting in which something says that it is about MQTT or Wi-Fi."""
_NAME_CHARACTERS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"
MQTT_PORTS: Final = frozenset({1883, 8083, 8084, 8883, 8884})
"""Ports that are registered or commonly used for MQTT, by itself and over WebSockets."""
_MQTT_SCHEMES: Final = frozenset({"mqtt", "mqtts", "mqtt+ssl", "mqtt+tls", "ws", "wss"})
_SCHEME: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]{1,15}\Z")
_URL: Final = re.compile(
    rb"://(?:(?P<user>[A-Za-z0-9._~%!$&*+=@-]{1,128}?)(?::(?P<password>[^\s/@\"'<>`\x00-\x20\x7f]{1,256}))?@)?"
    rb"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9a-fA-F:]{2,39}\])(?::(?P<port>[0-9]{1,5}))?"
)
_CLOUD: Final = re.compile(
    rb"(?P<host>[A-Za-z0-9][A-Za-z0-9-]{1,62}(?:\.[a-z0-9-]{1,32})?\.(?:"
    rb"iot\.[a-z]{2}-[a-z]+-[0-9]\.amazonaws\.com|azure-devices\.net|hivemq\.cloud|emqxsl\.com"
    rb"|emqx\.cloud|cloudmqtt\.com|mqtt\.eventgrid\.azure\.net))(?![A-Za-z0-9-])"
)
_JWT: Final = re.compile(
    rb"(?P<header>eyJ[A-Za-z0-9_-]{8,})\.(?P<payload>eyJ[A-Za-z0-9_-]{4,})\.(?P<signature>[A-Za-z0-9_-]{20,})"
)
_SETTING: Final = re.compile(
    rb"(?P<name>[A-Za-z0-9_.\-]{0,60}?(?:pass(?:word|wd|phrase)?|pwd|psk|secret|token)(?:_[A-Za-z0-9_]{1,16}|[0-9]{1,2})?)"
    rb"(?:\\?[\"'])?(?P<sign>\s{0,4}(?:=>|:=|[:=])\s{0,4}|[ \t]{1,4})(?P<quote>\\?[\"'])?"
    rb"(?P<value>(?(quote)[^\"'\x00-\x1f\x7f\\]{4,128}(?=\\?[\"'])|[^\s\"',;<>(){}\x00-\x20\x7f-\xff]{4,128}))",
    re.IGNORECASE,
)
_ABOUT: Final = re.compile(rb"mqtt|broker|1883|8883|ssid|wi-?fi|wlan|wpa", re.IGNORECASE)
_PLACEHOLDER: Final = re.compile(
    rb"[%$<{\[(*]|\.\.\.|x{4,}|(?:null|none|true|false|nullptr|string|password|passwd|secret|token"
    rb"|optional|required|your.*|change.?me|example|undefined|const|char|bytes|str|int|len|file)\b",
    re.IGNORECASE,
)
_TOKENS: Final[dict[str, tuple[bytes, re.Pattern[bytes]]]] = {
    "AWS access key": (b"AKIA", re.compile(rb"AKIA[A-Z2-7]{16}(?![A-Za-z0-9])")),
    "Google API key": (b"AIza", re.compile(rb"AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])")),
    "GitHub token": (b"ghp_", re.compile(rb"ghp_[A-Za-z0-9]{36}(?![A-Za-z0-9])")),
    "GitLab token": (b"glpat-", re.compile(rb"glpat-[A-Za-z0-9_-]{20}(?![A-Za-z0-9_-])")),
    "Slack token": (b"xoxb-", re.compile(rb"xoxb-[0-9]{8,}-[A-Za-z0-9-]{16,}")),
    "Stripe key": (b"sk_live_", re.compile(rb"sk_live_[A-Za-z0-9]{16,}")),
    "Azure shared access signature": (
        b"SharedAccessSignature sr=",
        re.compile(rb"SharedAccessSignature sr=[^\s&\"']{1,256}&sig=[A-Za-z0-9%+/=]{16,}"),
    ),
    "Azure connection string": (
        b"SharedAccessKey=",
        re.compile(rb"SharedAccessKey=[A-Za-z0-9+/]{42,86}={0,2}"),
    ),
}


def report_credential(
    look: Look, title: str, secret: bytes, form: str, facts: dict[str, str], kind: Kind
) -> None:
    """Reports a secret by its place and its facts, in which it must not stand."""
    same = look.scan.hidden(b"\0".join([title.encode(), secret]))
    place = Place(look.part.path_at(look.offset), look.offset, form)
    look.scan.found(look.part, look.offset, Finding(kind, title, same, [place], facts=facts))


def _url(look: Look) -> None:
    before = look.part.read(look.offset - SCHEME_BYTES, SCHEME_BYTES)
    scheme_found = _SCHEME.search(before)
    found = _URL.match(look.read(WINDOW))
    if scheme_found is None or found is None:
        return
    scheme = scheme_found[0].decode().lower()
    host, port = found["host"].decode(), int(found["port"] or 0)
    place = f"{scheme}://{host}" + (f":{port}" if port else "")
    begin = Look(look.scan, look.part, look.offset - len(scheme))
    password = found["password"]
    if password is not None and not _PLACEHOLDER.match(password):
        facts = {"endpoint": place, "user": found["user"].decode()}
        report_credential(begin, f"password for {place}", password, "URL", facts, Kind.CREDENTIAL)
    if scheme in _MQTT_SCHEMES or port in MQTT_PORTS:
        _endpoint(begin, place)


def _endpoint(look: Look, place: str) -> None:
    where = Place(look.part.path_at(look.offset), look.offset, "text")
    finding = Finding(Kind.ENDPOINT, f"endpoint {place}", place, [where])
    look.scan.found(look.part, look.offset, finding)


def _cloud_host(look: Look) -> None:
    """A mark is in the middle of the name of a host."""
    start = max(look.offset - 128, 0)
    for found in _CLOUD.finditer(look.part.read(start, 320)):
        if start + found.start() < look.offset < start + found.end():
            place = Look(look.scan, look.part, start + found.start())
            _endpoint(place, found["host"].decode())


def _jwt(look: Look) -> None:
    if look.read(1, before=1).isalnum() and look.offset:
        return
    found = _JWT.match(look.read(WINDOW)) or _JWT.match(look.read(TOKEN_BYTES))
    if found is None:
        return
    header, payload = _segment(found["header"]), _segment(found["payload"])
    if header is None or payload is None or "alg" not in header:
        return
    claims = ("iss", "sub", "aud")
    facts = {name: str(payload[name]) for name in claims if isinstance(payload.get(name), str)}
    facts["algorithm"] = str(header["alg"])
    if isinstance(expiry := payload.get("exp"), int | float) and 0 < expiry < 2**33:
        facts["expires"] = datetime.fromtimestamp(expiry, UTC).isoformat()
    report_credential(look, "JSON Web Token", found["signature"], "JWT", facts, Kind.TOKEN)


def _segment(text: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4)))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _setting(look: Look) -> None:
    """A mark is in the name of a setting; what follows may be its value."""
    before = look.part.read(look.offset - NAME_BYTES, min(look.offset, NAME_BYTES))
    begin = look.offset - (len(before) - len(before.rstrip(_NAME_CHARACTERS)))
    found = _SETTING.match(look.part.read(begin, WINDOW))
    if found is None or begin + found.end("name") <= look.offset:
        return
    around = look.part.read(max(look.offset - CONTEXT, 0), 2 * CONTEXT)
    if _PLACEHOLDER.match(found["value"]) or not _ABOUT.search(around):
        return
    if found["quote"] is None and not _is_written_by_a_program(found):
        return
    name = found["name"].decode()
    report_credential(
        Look(look.scan, look.part, begin),
        f"value of `{name}`",
        found["value"],
        "text",
        {"setting": name},
        Kind.CREDENTIAL,
    )


def _is_written_by_a_program(found: re.Match[bytes]) -> bool:
    """Whether a setting without quotes is one, and not a sentence about passwords."""
    sign, name = found["sign"], found["name"]
    if sign.isspace():  # as mosquitto.conf has it: `remote_password secret`
        return b"_" in name and name.islower()
    return sign == b"=" or not found["value"].isalpha() or _ABOUT.search(name) is not None


def _token(title: str, pattern: re.Pattern[bytes]) -> Reader:
    def read(look: Look) -> None:
        found = pattern.match(look.read(WINDOW))
        if found is not None and not (look.offset and look.read(1, before=1).isalnum()):
            report_credential(look, title, found[0], "text", {}, Kind.TOKEN)

    return read


READERS: Final[dict[bytes, Reader]] = {
    b"://": _url,
    b"eyJ": _jwt,
    **{mark: _token(title, pattern) for title, (mark, pattern) in _TOKENS.items()},
    **dict.fromkeys([b".iot.", b".azure-devices.net", b".hivemq.cloud", b".emqx"], _cloud_host),
    **dict.fromkeys(
        [
            b"assw",
            b"ASSW",
            b"assphrase",
            b"_pass",
            b"_PASS",
            b"psk",
            b"PSK",
            b"pwd",
            b"ecret",
            b"SECRET",
        ],
        _setting,
    ),
}
