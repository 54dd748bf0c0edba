"""The MQTT client behind ``motte pub`` and ``motte sub``: a bundle in, clear refusals out."""

import contextlib
import re
import shlex
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from motte.config import load
from motte.deployment import Deployment
from motte.errors import DataPlaneError, EnrollmentError, MotteError, RefusedError
from motte.fleet.bundle import Bundle, open_bundle
from motte.plane.process import announced_address
from motte.text import nearest, printable

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

__all__ = ["PROTOCOLS", "Client", "new_properties", "refusal"]

PROTOCOLS: Final = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}
"""The versions that Motte speaks, as people write them."""
ANSWER_SECONDS: Final = 10.0
"""How long an acknowledgement may take: the broker's own deadline for a whole connection."""
KEEP_ALIVE_SECONDS: Final = 60
"""Silence after which the client pings."""
LOOP_SECONDS: Final = 0.5
"""Longest wait inside the client before this module looks at its deadline again."""

SESSION_TAKEN_OVER: Final = 0x8E
"""Reason code of a connection that ends because the same identity has connected again."""

_LAYERS: Final = {
    0x81: "layer 5 protocol",
    0x82: "layer 5 protocol",
    0x85: "layer 3 identity",
    0x86: "layer 3 identity",
    0x87: "layer 4 authorization",
    0x8A: "layer 3 identity",
    0x90: "layer 5 protocol",
    0x93: "layer 6 quota",
    0x95: "layer 5 protocol",
    0x96: "layer 6 quota",
    0x97: "layer 6 quota",
    0x98: "layer 3 identity",
    0x9A: "layer 4 authorization",
    0x9B: "layer 4 authorization",
    0x9F: "layer 0 network",
    0xA2: "layer 4 authorization",
}
"""Which layer usually answers with a reason code. The evidence log names it for certain."""


@dataclass(slots=True)
class _Progress:
    """What the callbacks have seen."""

    connected: bool = False
    ended: str | None = None
    taken_over: bool = False
    tls_error: str | None = None
    acknowledged: dict[int, list[ReasonCode]] = field(default_factory=dict)
    refused: ReasonCode | None = None


class Client:
    """One connection as one identity of the fleet."""

    def __init__(
        self,
        deployment: Deployment,
        identity: str,
        *,
        version: str,
        session_expiry: int | None = None,
        on_message: Callable[[paho.MQTTMessage], None] | None = None,
        suffix: str | None = None,
    ) -> None:
        self.identity = identity
        self._protocol = PROTOCOLS[version]
        self._session_expiry = session_expiry
        self._bundle = _find_bundle(deployment, identity)
        self._host, self._port = _endpoint(deployment)
        self._progress = _Progress()
        clean = session_expiry is None
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"{identity}:{suffix}" if suffix else identity,
            protocol=self._protocol,
            clean_session=clean if self._protocol is MQTTProtocolVersion.MQTTv311 else None,
        )
        self._client.tls_set_context(_tls_context(self._bundle))
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_log = self._on_log
        self._client.on_publish = lambda _c, _u, mid, reason, _p: self._acknowledge(mid, [reason])
        self._client.on_subscribe = lambda _c, _u, mid, reasons, _p: self._acknowledge(mid, reasons)
        if on_message is not None:
            self._client.on_message = lambda _c, _u, message: on_message(message)

    @property
    def is_version_5(self) -> bool:
        """Whether this is an MQTT 5 connection."""
        return self._protocol is MQTTProtocolVersion.MQTTv5

    @contextlib.contextmanager
    def connected(self) -> Iterator["Client"]:
        """Holds the connection open for the block and says goodbye at its end."""
        properties = None
        if self.is_version_5:
            properties = new_properties(PacketTypes.CONNECT)
            if self._session_expiry is not None:
                properties.SessionExpiryInterval = self._session_expiry
        try:
            self._client.connect(
                self._host,
                self._port,
                keepalive=KEEP_ALIVE_SECONDS,
                clean_start=self._session_expiry is None if self.is_version_5 else 3,
                properties=properties,
            )
        except OSError as error:
            raise self._unreachable(error) from error
        try:
            self._until(lambda: self._progress.connected, "connect")
            yield self
        finally:
            self._client.disconnect()
            self._client.loop(timeout=0.1)

    def publish(
        self, topic: str, payload: bytes, *, qos: int, retain: bool, properties: Properties | None
    ) -> None:
        """Publishes one message and waits for its acknowledgement."""
        try:
            sent = self._client.publish(topic, payload, qos, retain, properties)
        except ValueError as error:
            raise RefusedError(
                f"`{printable(topic)}` cannot be published to: {_words(error)}",
                hint="a topic name has no wildcards and is not empty",
            ) from error
        what = f"publish to `{printable(topic)}`"
        reasons = self._wait(sent.mid, what)
        _check(reasons, what, self.identity, f"publish {_quoted(topic)}")

    def subscribe(self, filters: list[str], *, qos: int) -> None:
        """Subscribes and waits for the answer to each filter."""
        try:
            result, mid = self._client.subscribe([(text, qos) for text in filters])
        except ValueError as error:
            raise RefusedError(
                f"the broker cannot be asked for that: {_words(error)}",
                hint="a topic filter is not empty; `+` and `#` are whole levels, `#` the last one",
            ) from error
        if result != paho.MQTT_ERR_SUCCESS or mid is None:
            raise self._lost("subscribe")
        reasons = self._wait(mid, "subscribe")
        for text, reason in zip(filters, reasons, strict=True):
            _check(
                [reason],
                f"subscribe to `{printable(text)}`",
                self.identity,
                f"subscribe {_quoted(text)}",
            )

    def loop(self) -> None:
        """Handles whatever arrives next, for a moment."""
        self._client.loop(timeout=LOOP_SECONDS)
        if self._progress.ended is not None:
            raise self._lost("stay connected")

    def _wait(self, mid: int, what: str) -> list[ReasonCode]:
        self._until(lambda: mid in self._progress.acknowledged, what)
        return self._progress.acknowledged.pop(mid)

    def _until(self, done: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + ANSWER_SECONDS
        while not done():
            if self._progress.refused is not None:
                _check([self._progress.refused], what, self.identity, None)
            if self._progress.ended is not None or self._progress.tls_error is not None:
                raise self._lost(what)
            if time.monotonic() >= deadline:
                raise DataPlaneError(
                    f"the broker did not answer within {ANSWER_SECONDS:g} s",
                    hint="see what it is doing: motte status",
                )
            self._client.loop(timeout=LOOP_SECONDS)

    def _lost(self, what: str) -> MotteError:
        expired = _expired(self._bundle, self.identity)
        if expired is not None:
            return expired
        why = self._progress.ended or "the connection ended"
        if self._progress.taken_over:
            return RefusedError(
                f"{self.identity} could not {what}: {why}",
                hint=f"somebody else connected as {self.identity} under the same client id; "
                "`motte log follow` shows from where",
            )
        if not self._progress.connected:
            why += " without an answer, as it does when it refuses the certificate"
        if self._progress.tls_error:
            why = f"refused in the TLS handshake, by layer 1 tls: {self._progress.tls_error}"
        return RefusedError(
            f"{self.identity} could not {what}: {why}",
            hint=f"`motte log follow` shows the layer and the rule; `motte device show "
            f"{self.identity}` shows whether it is in good standing",
        )

    def _unreachable(self, error: OSError) -> MotteError:
        if isinstance(error, ssl.SSLCertVerificationError):
            return DataPlaneError(
                f"whoever listens on {self._host}:{self._port} is not the broker of this fleet: "
                f"{error.verify_message}",
                hint="another program has the port, or the bundle belongs to another fleet",
            )
        if isinstance(error, ConnectionRefusedError):
            return DataPlaneError(
                f"nothing listens on {self._host}:{self._port}", hint="start it with `motte up`"
            )
        self._progress.tls_error = (
            _tls_words(str(error)) if isinstance(error, ssl.SSLError) else None
        )
        if self._progress.tls_error is None:
            self._progress.ended = f"{error.strerror or error}"
        return self._lost("connect")

    def _acknowledge(self, mid: int, reasons: list[ReasonCode]) -> None:
        self._progress.acknowledged[mid] = reasons

    def _on_connect(
        self, _c: object, _u: object, _f: object, reason: ReasonCode, _p: object
    ) -> None:
        if reason.is_failure:
            self._progress.refused = reason
        else:
            self._progress.connected = True

    def _on_disconnect(
        self,
        _c: object,
        _u: object,
        flags: paho.DisconnectFlags,
        reason: ReasonCode,
        properties: object,
    ) -> None:
        if self._progress.ended is not None:
            return
        if not flags.is_disconnect_packet_from_server:
            self._progress.ended = "the broker closed the connection"
            return
        said = getattr(properties, "ReasonString", None)
        text = f"{_code_text(reason)}{f': {printable(said)}' if said else ''}"
        self._progress.ended = f"the broker disconnected it with {text}"
        self._progress.taken_over = reason.value == SESSION_TAKEN_OVER

    def _on_log(self, _c: object, _u: object, _level: int, message: str) -> None:
        # The only place where the client says which TLS alert ended a connection.
        if "SSL" in message and "alert" in message.lower():
            self._progress.tls_error = _tls_words(message)


def new_properties(packet_type: int) -> Properties:
    """Empty properties of a packet; paho's own constructor is not typed."""
    return Properties(packet_type)  # type: ignore[no-untyped-call]


def refusal(reason: ReasonCode, what: str, identity: str, question: str | None) -> RefusedError:
    """The error for a reason code that means no."""
    hint = "`motte log follow` shows the rule"
    if question is not None:
        hint = f"why, and what would allow it: motte policy explain --as {identity} {question}"
    return RefusedError(f"{identity} may not {what}: refused with {_code_text(reason)}", hint=hint)


def _check(reasons: list[ReasonCode], what: str, identity: str, question: str | None) -> None:
    for reason in reasons:
        if reason.is_failure:
            raise refusal(reason, what, identity, question)


def _code_text(reason: ReasonCode) -> str:
    layer = _LAYERS.get(reason.value)
    return f"0x{reason.value:02X} {reason}{f' ({layer})' if layer else ''}"


def _quoted(topic: str) -> str:
    """A topic as a shell takes it."""
    return shlex.quote(printable(topic))


def _words(error: ValueError) -> str:
    """What paho says, in the style of our own messages."""
    return str(error).lower().removesuffix(".")


def _tls_words(message: str) -> str:
    """The alert's own words out of OpenSSL's message."""
    found = re.search(r"alert ([a-z ]+)", message, re.IGNORECASE)
    return f"alert {found[1].strip()}" if found else printable(message)


def _find_bundle(deployment: Deployment, identity: str) -> Bundle:
    folder = deployment.bundle(identity)
    names = [path.name for path in deployment.bundles.glob("[!.]*") if path.is_dir()]
    if identity not in names:
        meant = nearest(identity, names)
        raise EnrollmentError(
            f"there is no bundle of `{printable(identity)}` in {deployment.bundles}",
            hint=f"did you mean `{meant}`?"
            if meant
            else f"there are: {', '.join(sorted(names)) or 'none'}; `motte device add` makes one",
        )
    return open_bundle(folder)


def _endpoint(deployment: Deployment) -> tuple[str, int]:
    """Where the broker listens, on its own word if it runs."""
    listener = load(deployment.config_file).listener
    announced = announced_address(deployment)
    return listener.host, announced[1] if announced else listener.port


def _tls_context(bundle: Bundle) -> ssl.SSLContext:
    try:
        return bundle.tls_context()
    except (ssl.SSLError, OSError) as error:
        raise EnrollmentError(
            f"the bundle in {bundle.folder} cannot be used: {printable(str(error))}",
            hint=f"make a new one: motte device rotate {bundle.folder.name}",
        ) from error


def _expired(bundle: Bundle, identity: str) -> EnrollmentError | None:
    from cryptography import x509

    try:
        certificate: Certificate = x509.load_pem_x509_certificate(bundle.certificate.read_bytes())
    except (OSError, ValueError):
        return None
    until = certificate.not_valid_after_utc
    if until >= datetime.now(UTC):
        return None
    return EnrollmentError(
        f"the certificate of {identity} expired on {until:%Y-%m-%d %H:%M} UTC",
        hint=f"make a new one: motte device rotate {identity}",
    )
