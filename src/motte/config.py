"""``motte.toml``: what listens where, how much one address may ask for, how long trust lasts.

The file is small and every key has a default. What it does not know it refuses, and a key that
opens something up beyond reason has a name that begins with ``danger_``. There is no key for
clear text, for anonymous clients or for TLS below 1.3: those choices do not exist.
"""

import ipaddress
import re
import stat
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from motte.errors import ConfigError
from motte.files import file_errors
from motte.text import nearest, printable

__all__ = [
    "Certificates",
    "Config",
    "Evidence",
    "Fleet",
    "Listener",
    "Log",
    "Metrics",
    "Network",
    "default_text",
    "load",
    "parse",
]

MAXIMUM_FILE_BYTES: Final = 256 * 1024
"""Size of ``motte.toml`` read at most: thousands of banned networks fit; a wrong file does not."""

DEFAULT_FLEET: Final = "home"
"""Name of a fleet that nobody named; it is the trust domain of every SPIFFE id."""
DEFAULT_ADDRESS: Final = "127.0.0.1"
"""Loopback until somebody writes another address: nothing is reachable by accident."""
DEFAULT_PORT: Final = 8883
"""The IANA port of MQTT over TLS."""

HIGHEST_PORT: Final = 65535
"""What TCP can express."""
METRICS_OFF: Final = "off"
"""No metrics: nothing listens unless somebody wants it."""

DEFAULT_CONNECTIONS_PER_ADDRESS: Final = 1024
"""Connections held by one address: a site behind one NAT address fits, one host cannot take the
connection table (see ``maximum_connections``) for itself."""
DEFAULT_HANDSHAKES_PER_SECOND: Final = 50
"""TLS handshakes per second from one address: about 1/60 of what one core can do, so sixty
hostile addresses are needed to busy it, and a site of 500 devices is back within 6 s."""
DEFAULT_HANDSHAKE_BURST: Final = 200
"""Handshakes one address may do at once: a site's devices after a power cut."""
DEFAULT_MAXIMUM_CONNECTIONS: Final = 10_000
"""Connections in all: half of a common limit of 20,000 open files for one process."""
DEFAULT_HANDSHAKE_DEADLINE: Final = 10
"""Seconds from TCP accept to a whole CONNECT packet; a 240 MHz microcontroller needs about 3."""
DEFAULT_FAILURES_TO_BAN: Final = 30
"""Failed handshakes or CONNECTs within a minute that ban an address: more than a device with a
wrong certificate makes while it backs off, and far fewer than a search needs."""
DEFAULT_BAN_SECONDS: Final = 300
"""How long such a ban lasts. Open connections from the address stay: a whole site may be behind
it, and one bad device must not cost the others theirs."""
MAXIMUM_BAN_SECONDS: Final = 86_400
"""A day; a longer ban is an operator's decision and belongs into ``banned``."""

DEFAULT_EVIDENCE_MEBIBYTES: Final = 4096
"""MiB of full evidence files that are kept: months of the loudest thief, years of a quiet fleet."""
MINIMUM_EVIDENCE_MEBIBYTES: Final = 64
"""MiB of one full evidence file; there is always one."""
MAXIMUM_EVIDENCE_MEBIBYTES: Final = 1024 * 1024
"""A TiB; who needs more copies full files elsewhere."""

DEFAULT_IDENTITY_DAYS: Final = 7
"""Days a device or service certificate lives: a stolen key is worth a week at most."""
LONG_LIVED_DAYS: Final = 90
"""Days past which an identity certificate needs ``danger_long_lived_identities``."""
MAXIMUM_IDENTITY_DAYS: Final = 3650
"""Days an identity certificate lives at most: it cannot outlive the authority."""
DEFAULT_SERVER_DAYS: Final = 90
"""Days the broker's own certificate lives; renewed in its last third, also while it is in use."""
MAXIMUM_SERVER_DAYS: Final = 397
"""Days a server certificate lives at most: the limit that TLS clients commonly enforce."""


def _check_network(value: str) -> str:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError("not an IP address or network such as 192.0.2.0/24") from None
    return value


def _host_and_port(
    value: str,
) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int] | None:
    host, _, port = value.rpartition(":")
    if not port.isascii() or not port.isdecimal() or int(port) > HIGHEST_PORT:
        return None
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]")), int(port)
    except ValueError:
        return None


def _check_name(value: str) -> str:
    label = r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)"
    if len(value) > 253 or not re.fullmatch(rf"{label}(\.{label})*", value):  # noqa: PLR2004
        raise ValueError("not a DNS host name such as broker.example.org")
    return value.lower()


_Count = Annotated[int, Field(ge=1, le=1_000_000)]
_Network = Annotated[str, AfterValidator(_check_network)]
_HostName = Annotated[str, AfterValidator(_check_name)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Fleet(_Table):
    """``[fleet]``: who the identities belong to."""

    name: str = DEFAULT_FLEET

    @field_validator("name")
    @classmethod
    def _trust_domain(cls, value: str) -> str:
        # The SPIFFE standard's alphabet for a trust domain, which is what the name becomes.
        if not re.fullmatch(r"[a-z0-9._-]{1,255}", value):
            raise ValueError("a fleet name has 1 to 255 of the characters a-z 0-9 . _ -")
        return value


class Listener(_Table):
    """``[listener]``: the one place where devices connect; always TLS 1.3, always mutual."""

    address: str = DEFAULT_ADDRESS
    port: Annotated[int, Field(ge=0, le=65535)] = DEFAULT_PORT
    names: tuple[_HostName, ...] = Field(default=(), strict=False)

    @field_validator("address")
    @classmethod
    def _ip_address(cls, value: str) -> str:
        try:
            return str(ipaddress.ip_address(value))
        except ValueError:
            raise ValueError(
                "not an IP address such as 127.0.0.1, or 0.0.0.0 for all of this host's"
            ) from None

    @property
    def is_loopback(self) -> bool:
        """Whether only programs on this host can connect."""
        return ipaddress.ip_address(self.address).is_loopback

    @property
    def host(self) -> str:
        """The name or address that a client on this host dials."""
        if self.names:
            return self.names[0]
        return "localhost" if self.is_wildcard else self.address

    @property
    def is_wildcard(self) -> bool:
        """Whether every address of this host is listened on."""
        return ipaddress.ip_address(self.address).is_unspecified


class Network(_Table):
    """``[network]``: layer 0, what one address may cost before anybody knows who it is."""

    connections_per_address: _Count = DEFAULT_CONNECTIONS_PER_ADDRESS
    handshakes_per_second: _Count = DEFAULT_HANDSHAKES_PER_SECOND
    handshake_burst: _Count = DEFAULT_HANDSHAKE_BURST
    maximum_connections: _Count = DEFAULT_MAXIMUM_CONNECTIONS
    handshake_deadline_seconds: Annotated[int, Field(ge=1, le=60)] = DEFAULT_HANDSHAKE_DEADLINE
    failures_to_ban: _Count = DEFAULT_FAILURES_TO_BAN
    ban_seconds: Annotated[int, Field(ge=1, le=MAXIMUM_BAN_SECONDS)] = DEFAULT_BAN_SECONDS
    banned: tuple[_Network, ...] = Field(default=(), strict=False)


class Evidence(_Table):
    """``[evidence]``: how much of what happened is kept."""

    keep_mebibytes: Annotated[
        int, Field(ge=MINIMUM_EVIDENCE_MEBIBYTES, le=MAXIMUM_EVIDENCE_MEBIBYTES)
    ] = DEFAULT_EVIDENCE_MEBIBYTES


class Metrics(_Table):
    """``[metrics]``: where Prometheus, and whoever else is on this host, can read figures."""

    listen: str = METRICS_OFF
    danger_beyond_loopback: bool = False

    @field_validator("listen")
    @classmethod
    def _off_or_address(cls, value: str) -> str:
        if value != METRICS_OFF and _host_and_port(value) is None:
            raise ValueError(
                f'neither "{METRICS_OFF}" nor an IP address with a port such as 127.0.0.1:9464'
            )
        return value

    @model_validator(mode="after")
    def _on_loopback(self) -> Self:
        address = self.address
        if address and not address[0].is_loopback and not self.danger_beyond_loopback:
            raise ValueError(
                f"listen is {self.listen}: without TLS, other hosts could read how many clients "
                "there are and what is refused; only danger_beyond_loopback = true allows that"
            )
        return self

    @property
    def address(self) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int] | None:
        """Address and port; ``None`` where there are no metrics."""
        return None if self.listen == METRICS_OFF else _host_and_port(self.listen)


class Log(_Table):
    """``[log]``: how the data plane writes ``state/data-plane.log``."""

    format: Literal["text", "json"] = "text"


class Certificates(_Table):
    """``[certificates]``: how long a credential is worth anything."""

    identity_days: Annotated[int, Field(ge=1, le=MAXIMUM_IDENTITY_DAYS)] = DEFAULT_IDENTITY_DAYS
    server_days: Annotated[int, Field(ge=1, le=MAXIMUM_SERVER_DAYS)] = DEFAULT_SERVER_DAYS
    danger_long_lived_identities: bool = False

    @model_validator(mode="after")
    def _short_lived(self) -> Self:
        if self.identity_days > LONG_LIVED_DAYS and not self.danger_long_lived_identities:
            raise ValueError(
                f"identity_days is {self.identity_days}: a stolen key would be good for more than "
                f"{LONG_LIVED_DAYS} days; only danger_long_lived_identities = true allows that"
            )
        return self


class Config(_Table):
    """All of ``motte.toml``, checked."""

    fleet: Fleet = Fleet()
    listener: Listener = Listener()
    network: Network = Network()
    evidence: Evidence = Evidence()
    metrics: Metrics = Metrics()
    log: Log = Log()
    certificates: Certificates = Certificates()


def load(path: Path) -> Config:
    """Reads and checks ``motte.toml``."""
    if not path.exists():
        raise ConfigError(
            f"{path} is missing",
            hint="put it back; every key has a default, so a file with the one line "
            '`[fleet]` and the fleet\'s name, `name = "…"`, is enough',
        )
    with file_errors("read", path):
        if path.stat().st_mode & stat.S_IWOTH:
            raise ConfigError(
                f"{path} can be changed by every user of this host",
                hint=f"check what it says, then: chmod o-w {path}",
            )
        with path.open("rb") as file:
            data = file.read(MAXIMUM_FILE_BYTES + 1)
    if len(data) > MAXIMUM_FILE_BYTES:
        raise ConfigError(
            f"{path} is larger than {MAXIMUM_FILE_BYTES // 1024} KiB",
            hint="it does not look like a motte.toml; put the original back",
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path}:{line}: not UTF-8 text", hint="save the file as UTF-8"
        ) from error
    return parse(text, str(path))


def parse(text: str, name: str = "motte.toml") -> Config:
    """Checks the text of a ``motte.toml``; ``name`` is what errors call it."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            _syntax_message(str(error), name), hint="see https://toml.io for the syntax"
        ) from error
    try:
        return Config.model_validate(document)
    except ValidationError as error:
        raise _explain(error, text, name) from error


def _syntax_message(message: str, name: str) -> str:
    """Moves the position that ``tomllib`` appends to the front, where editors look for it."""
    found = re.search(r" \(at line (\d+), column (\d+)\)$", message)
    what = message[: found.start()] if found else message.removesuffix(" (at end of document)")
    where = f"{name}:{found[1]}:{found[2]}" if found else f"{name}: at its end"
    return f"{where}: {what[:1].lower()}{what[1:]}"


def _explain(error: ValidationError, text: str, name: str) -> ConfigError:
    """One line for each thing that is wrong, and a hint for the first."""
    lines: list[str] = []
    hints: list[str] = []
    for issue in error.errors(include_url=False, include_context=False):
        location = [str(part) for part in issue["loc"]]
        line = _line_of(text, location)
        what = _WORDS.get(issue["type"], issue["msg"].removeprefix("Value error, "))
        if issue["type"] != "extra_forbidden" and isinstance(issue["input"], str | int):
            what = f"{what}; it says `{printable(str(issue['input']))}`"
        where = f"{name}:{line}" if line else name
        lines.append(f"{where}: {'.'.join(location)}: {what[:1].lower()}{what[1:]}")
        hints.append(_hint(issue["type"], location))
    return ConfigError("\n".join(lines), hint=hints[0])


_WORDS: Final = {
    "extra_forbidden": "there is no such key",
    "model_type": "this is a table, not a value",
    "int_type": "this must be a whole number without quotes",
    "bool_type": "this must be true or false",
    "string_type": "this must be text in quotes",
    "literal_error": "this must be one of the words that it can be",
    "tuple_type": "this must be a list in [ ]",
}


def _hint(kind: str, location: list[str]) -> str:
    known = _keys(location[:-1])
    if kind == "extra_forbidden" and known:
        meant = nearest(location[-1], known)
        if meant:
            return f"did you mean `{meant}`?"
        return f"known here: {', '.join(sorted(known))}"
    return "correct that line; a key that is left out has its default"


def _keys(location: list[str]) -> set[str]:
    """The keys that a table of the file can have."""
    table: Any = Config
    for part in location:
        field = table.model_fields.get(part)
        table = field.annotation if field else None
        if not (isinstance(table, type) and issubclass(table, BaseModel)):
            return set()
    return set(table.model_fields)


def _line_of(text: str, location: list[str]) -> int | None:
    """The line of a key written in the plain way, ``[table]`` and ``key = …`` below it."""
    table, key = location[:1], location[1:2]
    current: list[str] = []
    header: int | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if found := re.match(r"\s*\[\s*([\w.-]+)\s*\]", line):
            current = [found[1]]
            header = number if current == table else header
        found = re.match(r"\s*\"?([\w-]+)\"?\s*=", line)
        # A key of the table, or the table itself written as a key.
        if found and [*current, found[1]] in ([*table, *key], table):
            return number
    return header


def default_text(*, fleet: str = DEFAULT_FLEET, port: int = DEFAULT_PORT) -> str:
    """The ``motte.toml`` of a new deployment: every key, its default and what it is for."""
    return f"""\
# Motte: what listens where. Every key can be left out; what stands here are the defaults.
# A change takes effect when `motte up` starts the data plane again.

[fleet]
# The trust domain in every certificate. It cannot be changed once devices are enrolled.
name = "{fleet}"

[listener]
# Always TLS 1.3 with client certificates. 127.0.0.1 can be reached from this host alone;
# 0.0.0.0 or one address of this host opens the port to the network.
address = "{DEFAULT_ADDRESS}"
port = {port}
# Host names by which devices reach the broker, for its certificate.
names = []

[network]
# Layer 0: what one address may ask for before anybody knows who it is.
connections_per_address = {DEFAULT_CONNECTIONS_PER_ADDRESS}
handshakes_per_second = {DEFAULT_HANDSHAKES_PER_SECOND}
handshake_burst = {DEFAULT_HANDSHAKE_BURST}
maximum_connections = {DEFAULT_MAXIMUM_CONNECTIONS}
# Seconds from accepting a connection to a whole CONNECT.
handshake_deadline_seconds = {DEFAULT_HANDSHAKE_DEADLINE}
# So many failed handshakes within a minute ban an address for so long.
failures_to_ban = {DEFAULT_FAILURES_TO_BAN}
ban_seconds = {DEFAULT_BAN_SECONDS}
# Networks that are refused, such as "192.0.2.0/24".
banned = []

[evidence]
# MiB of the log that are kept. It is closed and begun anew every 64 MiB; of more than this the
# oldest files go, and the log says so.
keep_mebibytes = {DEFAULT_EVIDENCE_MEBIBYTES}

[metrics]
# "off", or where Prometheus finds /metrics, and a supervisor /healthz and /readyz, on this host:
# "127.0.0.1:9464". It names no identity, topic or address.
listen = "{METRICS_OFF}"

[log]
# How state/data-plane.log is written: "text" for people, "json" for programs.
format = "text"

[certificates]
# Days a device or service certificate is good for.
identity_days = {DEFAULT_IDENTITY_DAYS}
# Days the broker's own certificate is good for; it is renewed by itself.
server_days = {DEFAULT_SERVER_DAYS}
"""
