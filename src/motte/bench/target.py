"""Which broker is put under load, and the check that it may be."""

import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from motte.errors import MotteError, RefusedError
from motte.text import printable

__all__ = ["BenchError", "Target", "resolve"]

DEFAULT_PORT = 8883
"""The IANA port of MQTT over TLS."""


class BenchError(MotteError):
    """A run that gives no figure, because the broker or the generator failed."""


@dataclass(frozen=True, slots=True)
class Target:
    """A broker's listener."""

    address: str
    """IP address."""
    port: int
    server_name: str
    """The name that its certificate must carry."""
    authority: Path
    """PEM file that its certificate is checked with."""
    owned: bool = False
    """Whether the user said that it is theirs; needed for anything but the loopback interface."""
    sources: int = 1
    """Loopback addresses that connections come from."""

    def scenario(self, mode: dict[str, object]) -> dict[str, object]:
        """What the generator is told: this target and what to do with it."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return {
            "address": f"{host}:{self.port}",
            "i_own_this": self.address if self.owned else None,
            "server_name": self.server_name,
            "authority": str(self.authority),
            "sources": self.sources,
            "mode": mode,
        }


def resolve(url: str, authority: Path, i_own_this: str | None) -> Target:
    """The target that a URL names.

    Args:
        url: ``mqtts://HOST[:PORT]``.
        authority: PEM file that the broker's certificate is checked with.
        i_own_this: The host once more, where it is not this machine.

    Raises:
        RefusedError: The host is another machine and was not named as one's own.
        BenchError: The URL is none, or the host has no address.
    """
    host, port = _parts(url)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise BenchError(
            f"the host `{printable(host)}` has no address: {error.strerror or error}",
            hint="check the spelling of the URL",
        ) from error
    address = str(found[0][4][0])
    loopback = ipaddress.ip_address(address).is_loopback
    if not loopback and i_own_this != host:
        raise RefusedError(
            f"{printable(host)} ({address}) is not this machine, and load can take a broker down",
            hint=f"if the broker is yours to load, add `--i-own-this {printable(host)}`",
        )
    return Target(address, port, host, authority, owned=not loopback)


def _parts(url: str) -> tuple[str, int]:
    hint = "write it as mqtts://HOST or mqtts://HOST:PORT"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise BenchError(f"`{printable(url)}` is not a URL: {error}", hint=hint) from error
    if parts.scheme not in {"mqtts", "ssl", "tls"} or not host:
        raise BenchError(f"`{printable(url)}` is not the URL of an MQTT broker with TLS", hint=hint)
    if parts.path not in {"", "/"} or parts.query or parts.username:
        raise BenchError(f"`{printable(url)}` says more than host and port", hint=hint)
    return host, port or DEFAULT_PORT
