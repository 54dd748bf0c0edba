"""A broker of some lines that does right by every check, and wrong where a test says so.

It knows MQTT 5.0 and 3.1.1 as far as the auditor speaks them. A client is the common name of its
certificate and owns ``dev/<name>/``; each `Flaw` opens one thing.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from motte.audit import wire
from tests.support import pki

CONNACK_REFUSED = 0x87


class Flaw(StrEnum):
    """What the broker does wrong."""

    PLAIN_LISTENER = "a second listener without TLS"
    OLD_SUITES = "TLS 1.2 with CBC"
    WRONG_HOST = "a certificate for another host"
    CERTIFICATE_OPTIONAL = "a user name is enough"
    ANONYMOUS = "anybody is let in"
    PASSWORD_OPTIONAL = "a user name without a password is let in"
    BEFORE_CONNECT = "PINGREQ is answered before CONNECT"
    SECOND_CONNECT = "a second CONNECT is answered"
    WILDCARDS = "wildcards are granted"
    SYSTEM_TOPICS = "$SYS is shown"
    CLIENT_ID = "any client id will do"
    READ = "any topic is read"
    WRITE = "any topic is written"
    WILL = "any will is taken"


@dataclass
class Client:
    """One connection that has said CONNECT."""

    name: str
    stream: socket.socket
    version: int
    filters: set[str] = field(default_factory=set)
    will: tuple[str, bytes] | None = None

    def tell(self, packet: bytes) -> None:
        with contextlib.suppress(OSError):
            self.stream.sendall(packet)


class Broker:
    """Serves on loopback until it is stopped."""

    def __init__(self, authority: pki.Authority, *flaws: Flaw) -> None:
        self.flaws = set(flaws)
        self.clients: list[Client] = []
        self.lock = threading.Lock()
        host = "elsewhere.example" if Flaw.WRONG_HOST in self.flaws else "localhost"
        own = authority.issue(host, hosts=[host], purposes=[pki.SERVER])
        self.context = self._context(own, authority.path)
        self.port = self._listen(self.context)
        self.plain_port = self._listen(None) if Flaw.PLAIN_LISTENER in self.flaws else None

    def _context(self, own: pki.Credential, authority: Path) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        if Flaw.OLD_SUITES in self.flaws:
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers("ECDHE-ECDSA-AES128-SHA")
        context.load_cert_chain(own.certificate, own.key)
        context.load_verify_locations(authority)
        lets_in = {Flaw.CERTIFICATE_OPTIONAL, Flaw.ANONYMOUS, Flaw.PASSWORD_OPTIONAL}
        context.verify_mode = ssl.CERT_OPTIONAL if lets_in & self.flaws else ssl.CERT_REQUIRED
        return context

    # --- sockets ---------------------------------------------------------------------------------

    def _listen(self, context: ssl.SSLContext | None) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        self.listeners = [*getattr(self, "listeners", []), listener]
        threading.Thread(target=self._accept, args=(listener, context), daemon=True).start()
        return int(listener.getsockname()[1])

    def stop(self) -> None:
        for listener in self.listeners:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _accept(self, listener: socket.socket, context: ssl.SSLContext | None) -> None:
        with contextlib.suppress(OSError):
            while True:
                stream, _ = listener.accept()
                threading.Thread(target=self._serve, args=(stream, context), daemon=True).start()

    def _serve(self, stream: socket.socket, context: ssl.SSLContext | None) -> None:
        name = None
        with contextlib.closing(stream), contextlib.suppress(OSError, wire.WireError):
            if context is None:
                self._talk(stream, None)
                return
            with context.wrap_socket(stream, server_side=True) as secured:
                data = secured.getpeercert(binary_form=True)
                if data:
                    subject = x509.load_der_x509_certificate(data).subject
                    name = str(subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
                self._talk(secured, name)

    def _talk(self, stream: socket.socket, name: str | None) -> None:
        client: Client | None = None
        buffer = b""
        try:
            while data := stream.recv(65536):
                buffer += data
                while found := wire.read_answer(buffer, wire.V5):
                    packet, size = found
                    buffer = buffer[size:]
                    if client is None:
                        client = self._first(packet, stream, name)
                        if client is None:
                            continue
                    elif not self._next(packet, client):
                        return
        finally:
            self._gone(client)

    # --- MQTT ------------------------------------------------------------------------------------

    def _first(self, packet: wire.Answer, stream: socket.socket, name: str | None) -> Client | None:
        if packet.kind is not wire.Kind.CONNECT:
            if Flaw.BEFORE_CONNECT in self.flaws and packet.kind is wire.Kind.PINGREQ:
                stream.sendall(wire.frame(0xD0, b""))
                return None
            raise OSError("no CONNECT")
        client, username, password = read_connect(packet.body, stream)
        client.name, client_id = name or "", client.name
        version = client.version
        may = bool(name) and (client_id == name or Flaw.CLIENT_ID in self.flaws)
        may = may or (Flaw.ANONYMOUS in self.flaws and not name and username is None)
        if username is not None and not name:
            may = Flaw.CERTIFICATE_OPTIONAL in self.flaws and username == "motte-audit"
            may = may or (Flaw.PASSWORD_OPTIONAL in self.flaws and not password)
        if client.will and not self._may(client, client.will[0], Flaw.WILL):
            may = False
        code = 0 if may else CONNACK_REFUSED if version == wire.V5 else 5
        stream.sendall(wire.frame(0x20, bytes([0, code]) + (b"\0" if version == wire.V5 else b"")))
        if not may:
            raise OSError("refused")
        with self.lock:
            self.clients.append(client)
        return client

    def _may(self, client: Client, topic: str, flaw: Flaw) -> bool:
        own = bool(client.name) and topic.startswith(f"dev/{client.name}/")
        return own or (flaw in self.flaws and not topic.startswith("$"))

    def _next(self, packet: wire.Answer, client: Client) -> bool:
        """Answers one packet; whether the connection stays."""
        match packet.kind:
            case wire.Kind.SUBSCRIBE:
                self._subscribe(packet, client)
            case wire.Kind.PUBLISH:
                topic = wire.Answer(packet.kind, packet.flags, packet.body, client.version)
                may = self._may(client, topic.topic, Flaw.WRITE)
                heard = may and self._route(topic.topic, topic.payload)
                code = 0x87 if not may else 0 if heard else 0x10
                client.tell(wire.frame(0x40, topic.message_id.to_bytes(2, "big") + bytes([code])))
            case wire.Kind.PINGREQ:
                client.tell(wire.frame(0xD0, b""))
            case wire.Kind.PUBACK:
                pass
            case wire.Kind.CONNECT if Flaw.SECOND_CONNECT in self.flaws:
                client.tell(wire.frame(0x20, b"\0\0\0"))
            case _:
                client.will = None
                return False
        return True

    def _subscribe(self, packet: wire.Answer, client: Client) -> None:
        start = 3 if client.version == wire.V5 else 2
        size = int.from_bytes(packet.body[start : start + 2], "big")
        topic_filter = packet.body[start + 2 : start + 2 + size].decode()
        if topic_filter.startswith("$SYS"):
            may = Flaw.SYSTEM_TOPICS in self.flaws
        elif set("+#") & set(topic_filter):
            may = Flaw.WILDCARDS in self.flaws
        else:
            may = self._may(client, topic_filter, Flaw.READ)
        properties = b"\0" if client.version == wire.V5 else b""
        answer = packet.body[:2] + properties + bytes([1 if may else 0x80])
        client.tell(wire.frame(0x90, answer))
        if may:
            client.filters.add(topic_filter)
        if may and topic_filter.startswith("$SYS"):
            version = b"mosquitto version 1.4.0"
            client.tell(wire.publish(client.version, "$SYS/broker/version", version, retain=True))

    def _route(self, topic: str, payload: bytes) -> bool:
        with self.lock:
            readers = [each for each in self.clients if {"#", topic} & each.filters]
        for each in readers:
            each.tell(wire.publish(each.version, topic, payload))
        return bool(readers)

    def _gone(self, client: Client | None) -> None:
        if client is None:
            return
        with self.lock:
            self.clients.remove(client)
        if client.will is not None:
            self._route(*client.will)


def read_connect(body: bytes, stream: socket.socket) -> tuple[Client, str | None, bytes | None]:
    """A CONNECT as the auditor writes it: the client, its user name, its password."""
    version, flags = body[6], body[7]
    fields: list[bytes] = []
    position = 11 if version == wire.V5 else 10
    while position < len(body):
        if version == wire.V5 and flags & 0x04 and len(fields) == 1:
            position += 1  # the properties of the will, which are none
        size = int.from_bytes(body[position : position + 2], "big")
        fields.append(body[position + 2 : position + 2 + size])
        position += 2 + size
    client = Client(fields.pop(0).decode(), stream, version)
    if flags & 0x04:
        client.will = (fields.pop(0).decode(), fields.pop(0))
    username = fields.pop(0).decode() if flags & 0x80 else None
    return client, username, fields.pop(0) if flags & 0x40 else None


@contextlib.contextmanager
def flawed(authority: pki.Authority, *flaws: Flaw) -> Iterator[Broker]:
    """Runs the broker for the block."""
    broker = Broker(authority, *flaws)
    try:
        yield broker
    finally:
        broker.stop()
