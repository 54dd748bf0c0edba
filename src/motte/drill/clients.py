"""The honest fleet: toasters and a dashboard, real MQTT clients that count what they see.

The counts are the drill's measure. A command with a mark that arrives proves that everything the
broker did before has happened; a telemetry message that is missing proves a disturbance.
"""

import contextlib
import json
import secrets
import ssl
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from motte.errors import DataPlaneError
from motte.fleet.bundle import open_bundle
from motte.text import printable

__all__ = ["DASHBOARD", "Endpoint", "House", "Tally", "Toaster"]

DASHBOARD: Final = "dashboard"
"""The one service: reads all telemetry, sends commands."""
BEAT_SECONDS: Final = 0.25
"""Between two telemetry messages of a toaster; well inside what its role grants."""
ARRIVE_SECONDS: Final = 10.0
"""How long a message between honest clients may take on a very busy host."""
RECONNECT_SECONDS: Final = 1
"""Pause of a client that lost its connection before it comes back."""
SESSION_SECONDS: Final = 300
"""How long a toaster's session waits for it: it must not miss a command."""
KEEP_ALIVE_SECONDS: Final = 60
"""Silence after which a client pings."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the broker is, and where the bundles are if it wants certificates."""

    host: str
    port: int
    bundles: Path | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """What one toaster has been through."""

    telemetry_sent: int
    telemetry_seen: int
    commands_sent: int
    commands_seen: int
    drops: int

    @property
    def is_whole(self) -> bool:
        """Whether nothing was lost and the connection never ended."""
        return (
            self.telemetry_sent == self.telemetry_seen
            and self.commands_sent == self.commands_seen
            and self.drops == 0
        )


class Member(ABC):
    """One honest client; it comes back by itself when it loses its connection."""

    def __init__(self, name: str, endpoint: Endpoint, news: threading.Condition) -> None:
        self.name = name
        self.drops = 0
        self.ready = False
        self.news = news
        self._leaving = False
        self._endpoint = endpoint
        self._trouble = "no answer"
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=name, protocol=MQTTProtocolVersion.MQTTv5
        )
        self.client.reconnect_delay_set(RECONNECT_SECONDS, RECONNECT_SECONDS)
        if endpoint.bundles is not None:
            self.client.tls_set_context(_tls_context(endpoint.bundles / name))
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = self._on_disconnect
        self.client.on_subscribe = self._on_subscribe
        self.client.on_message = self._on_message

    @abstractmethod
    def filters(self) -> list[str]:
        """What it subscribes to."""

    @abstractmethod
    def take(self, topic: str, content: dict[str, Any], *, retained: bool) -> None:
        """One message."""

    def join(self) -> None:
        """Connects and subscribes."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_SECONDS
        host, port = self._endpoint.host, self._endpoint.port
        try:
            self.client.connect(host, port, KEEP_ALIVE_SECONDS, properties=properties)
        except OSError as error:
            raise DataPlaneError(
                f"{self.name} could not connect to the broker of the drill: {error}",
                hint="run the drill again; with --keep the broker's log stays to be read",
            ) from error
        self.client.loop_start()
        self.settled()

    def settled(self) -> None:
        """Waits until it is connected and subscribed."""
        if not self.until(lambda: self.ready):
            raise DataPlaneError(
                f"{self.name} could not subscribe on the broker of the drill: {self._trouble}",
                hint="run the drill again; with --keep the broker's log stays to be read",
            )

    def leave(self) -> None:
        """Says goodbye."""
        self._leaving = True
        self.client.disconnect()
        self.client.loop_stop()

    def until(self, happened: Callable[[], bool], seconds: float = ARRIVE_SECONDS) -> bool:
        """Waits until something has happened to one of the clients; says whether it has."""
        with self.news:
            return self.news.wait_for(happened, seconds)

    def resubscribe(self) -> None:
        """Subscribes once more: what is retained comes again, as to a new subscriber."""
        with self.news:
            self.ready = False
        self._subscribe()
        self.settled()

    def _subscribe(self) -> None:
        self.client.subscribe([(name, 1) for name in self.filters()])

    def _on_connect(
        self, _c: object, _u: object, _f: object, reason: ReasonCode, _p: object
    ) -> None:
        if reason.is_failure:
            self._trouble = str(reason)
            return
        self._subscribe()

    def _on_subscribe(
        self, _c: object, _u: object, _mid: int, reasons: list[ReasonCode], _p: object
    ) -> None:
        with self.news:
            self.ready = not any(reason.is_failure for reason in reasons)
            self._trouble = ", ".join(map(str, reasons))
            self.news.notify_all()

    def _on_disconnect(self, *_: object) -> None:
        with self.news:
            if not self._leaving:
                self.drops += 1
            self.ready = False
            self.news.notify_all()

    def _on_message(self, _c: object, _u: object, message: paho.MQTTMessage) -> None:
        content: Any = None
        with contextlib.suppress(ValueError):
            content = json.loads(message.payload)
        if not isinstance(content, dict):
            return
        with self.news:
            self.take(message.topic, content, retained=message.retain)
            self.news.notify_all()


class Toaster(Member):
    """Publishes telemetry and takes commands."""

    def __init__(self, name: str, endpoint: Endpoint, news: threading.Condition) -> None:
        super().__init__(name, endpoint, news)
        self.beats = 0
        self.commands: dict[str, bool] = {}
        """Marks of the commands that arrived; true if one came as a retained message."""

    def filters(self) -> list[str]:
        """Its own command topic."""
        return [f"toasters/{self.name}/command"]

    def take(self, topic: str, content: dict[str, Any], *, retained: bool) -> None:
        """A command."""
        del topic
        nonce = str(content.get("nonce"))
        self.commands[nonce] = retained or self.commands.get(nonce, False)

    def beat(self) -> None:
        """One telemetry message, if it is connected."""
        if self.ready:
            self.beats += 1
            payload = json.dumps({"n": self.beats, "celsius": 180})
            self.client.publish(f"toasters/{self.name}/telemetry", payload, qos=1)


class Dashboard(Member):
    """Sees the telemetry of every toaster and sends commands."""

    def __init__(self, endpoint: Endpoint, news: threading.Condition) -> None:
        super().__init__(DASHBOARD, endpoint, news)
        self.seen: dict[str, set[int]] = {}
        self.marked: Counter[str] = Counter()
        """Messages with a mark of somebody's, by mark: no honest toaster puts one there."""

    def filters(self) -> list[str]:
        """All telemetry, as its role allows."""
        return ["toasters/+/telemetry"]

    def take(self, topic: str, content: dict[str, Any], *, retained: bool) -> None:
        """A telemetry message."""
        del retained
        if "nonce" in content:
            self.marked[str(content["nonce"])] += 1
            return
        name = topic.split("/")[1]
        self.seen.setdefault(name, set()).add(int(content.get("n", 0)))


class House:
    """All honest clients on one broker."""

    def __init__(self, endpoint: Endpoint, names: Iterable[str]) -> None:
        self.news = threading.Condition()
        self.dashboard = Dashboard(endpoint, self.news)
        self.toasters = {name: Toaster(name, endpoint, self.news) for name in names}
        self.ordered: dict[str, set[str]] = {name: set() for name in self.toasters}
        """Marks of the commands that the dashboard sent, by toaster."""
        self._stop = threading.Event()
        self._pulse = threading.Thread(target=self._beat, name="toasters", daemon=True)

    def __enter__(self) -> Self:
        try:
            for member in (self.dashboard, *self.toasters.values()):
                member.join()
        except BaseException:
            self.__exit__()
            raise
        self._pulse.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.pause()
        for member in (self.dashboard, *self.toasters.values()):
            member.leave()

    def pause(self) -> None:
        """No more telemetry."""
        self._stop.set()
        if self._pulse.is_alive():
            self._pulse.join()

    def until(self, happened: Callable[[], bool], seconds: float = ARRIVE_SECONDS) -> bool:
        """Waits until something has happened to one of the clients; says whether it has."""
        return self.dashboard.until(happened, seconds)

    def command(self, name: str) -> str:
        """The dashboard sends a command; the answer is its mark."""
        nonce = secrets.token_hex(8)
        self.ordered[name].add(nonce)
        payload = json.dumps({"do": "toast", "nonce": nonce})
        self.dashboard.client.publish(f"toasters/{name}/command", payload, qos=1)
        return nonce

    def reaches(self, name: str) -> bool:
        """Whether a command of the dashboard arrives at a toaster: all before it has happened."""
        nonce, toaster = self.command(name), self.toasters[name]
        return self.until(lambda: nonce in toaster.commands)

    def fresh_telemetry(self, names: Iterable[str], count: int = 1) -> bool:
        """Whether the dashboard sees messages that the toasters send from now on."""
        wanted = [(name, self.toasters[name].beats + count) for name in names]
        return self.until(
            lambda: all(max(self.dashboard.seen.get(name, {0})) >= beat for name, beat in wanted)
        )

    def remove(self, name: str) -> None:
        """A toaster is taken away: it says goodbye and does not come back."""
        self.toasters[name].leave()
        with self.news:
            self.toasters[name].ready = False

    def tally(self, name: str) -> Tally:
        """What one toaster has been through."""
        toaster = self.toasters[name]
        with self.news:
            return Tally(
                telemetry_sent=toaster.beats,
                telemetry_seen=len(self.dashboard.seen.get(name, ())),
                commands_sent=len(self.ordered[name]),
                commands_seen=len(self.ordered[name] & toaster.commands.keys()),
                drops=toaster.drops,
            )

    def _beat(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            for toaster in self.toasters.values():
                toaster.beat()


def _tls_context(folder: Path) -> ssl.SSLContext:
    bundle = open_bundle(folder)
    try:
        return bundle.tls_context()
    except ssl.SSLError as error:
        raise DataPlaneError(
            f"the bundle in {folder} cannot be used: {printable(str(error))}",
            hint="run the drill again; nothing of it is kept",
        ) from error
