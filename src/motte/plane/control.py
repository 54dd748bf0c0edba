"""Client of the data plane's control socket.

A frame is a big-endian 32-bit length, one version byte and UTF-8 JSON; the length counts the
version byte. The socket is a Unix socket in a private folder, and both sides check that the other
one is the same user.
"""

import contextlib
import json
import os
import select
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from motte.errors import DataPlaneError
from motte.text import printable

__all__ = ["ControlClient", "EventBatch", "Follower", "NotRunningError", "Status", "connect"]

PROTOCOL_VERSION: Final = 1
"""Version byte of every frame."""
MAXIMUM_FRAME_BYTES: Final = 64 * 1024 * 1024
"""Longest frame body that either side accepts: a snapshot with a million exceptions fits."""
ANSWER_SECONDS: Final = 30.0
"""How long an answer may take. `install` answers after the barrier of law 6, which for 10,000
connections takes well under a second; half a minute means that the data plane hangs."""
SOCKET_PATH_LIMIT: Final = 107
"""Longest path that the kernel takes for a Unix socket, in bytes."""
_LENGTH: Final = struct.Struct(">I")
_PEER: Final = struct.Struct("3i")
_START: Final = "start it with `motte up`"


class NotRunningError(DataPlaneError):
    """No data plane listens on the control socket."""


@dataclass(frozen=True, slots=True)
class Status:
    """What the data plane says about itself; ``raw`` is its whole answer."""

    pid: int
    generation: int
    address: str
    port: int
    connections: int
    sessions: int
    certificate_serial: int
    """Serial number of the certificate that the listener shows."""
    raw: dict[str, Any] = field(repr=False)

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Self:
        """Reads an answer to ``status``."""
        try:
            listening = raw["listening"]
            return cls(
                pid=int(raw["pid"]),
                generation=int(raw["generation"]),
                address=str(listening["address"]),
                port=int(listening["port"]),
                connections=int(raw["connections"]),
                sessions=int(raw["sessions"]),
                certificate_serial=int(raw["server_certificate"]["serial"], 16),
                raw=raw,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise _garbled("its status lacks a field") from error


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Evidence records that the data plane pushed, and how many it had to leave out."""

    dropped: int
    events: tuple[dict[str, Any], ...]


class ControlClient:
    """One connection to the control socket; answers come in the order of the requests."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._received = bytearray()
        self._next_id = 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection."""
        self._stream.close()

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._stream.fileno()

    @property
    def peer_pid(self) -> int:
        """The process that listens on the socket, on the kernel's word."""
        return _peer(self._stream)[0]

    def status(self) -> Status:
        """What the data plane is doing."""
        return Status.of(self._ask("status"))

    def install(self, snapshot: str) -> dict[str, Any]:
        """Puts a snapshot in force; returns after the barrier of law 6."""
        return self._ask("install", snapshot=snapshot)

    def disconnect(self, identity: str) -> int:
        """Closes the connections of ``kind/id``; says how many there were."""
        result = self._ask("disconnect", identity=identity)
        return int(result.get("disconnected", 0))

    def reload_certificate(self) -> None:
        """Shows the certificate on disk to new connections; those that are open go on.

        Raises:
            DataPlaneError: the files were refused; the certificate in force stays in force.
        """
        self._ask("reload_certificate")

    def stop(self) -> None:
        """Asks the data plane to say goodbye to everybody and end."""
        self._ask("stop")

    def follow(self) -> "Follower":
        """Turns this connection into a stream of events."""
        self._ask("follow")
        return Follower(self._stream, self._received)

    def _ask(self, command: str, **arguments: object) -> dict[str, Any]:
        request = {"id": self._next_id, "command": command, **arguments}
        self._next_id += 1
        body = json.dumps(request, separators=(",", ":")).encode()
        if len(body) + 1 > MAXIMUM_FRAME_BYTES:
            raise DataPlaneError(
                f"the {command} message has {len(body)} bytes, more than the data plane takes",
                hint="make the policy smaller",
            )
        deadline = time.monotonic() + ANSWER_SECONDS
        with _io_errors():
            self._stream.settimeout(ANSWER_SECONDS)
            header = _LENGTH.pack(len(body) + 1) + bytes([PROTOCOL_VERSION])
            self._stream.sendall(header + body)
            answer = _read_frame(self._stream, self._received, deadline)
        if answer.get("id") != request["id"]:
            raise _garbled("it answered another request")
        result = answer.get("result")
        if answer.get("ok") is True and isinstance(result, dict):
            return result
        error = answer.get("error")
        if answer.get("ok") is not False or not isinstance(error, dict):
            raise _garbled("its answer is neither a result nor an error")
        hint = error.get("hint")
        raise DataPlaneError(
            printable(str(error.get("message", "the data plane refused without a reason"))),
            hint=printable(str(hint)) if hint else None,
        )


class Follower:
    """The events of a data plane as they happen, without ever blocking the caller."""

    def __init__(self, stream: socket.socket, received: bytearray) -> None:
        self._stream = stream
        self._stream.setblocking(False)
        self._buffer = received
        self._ended = False

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._stream.fileno()

    def close(self) -> None:
        """Ends the stream."""
        self._stream.close()

    def read(self) -> list[EventBatch] | None:
        """The batches that have arrived, or ``None`` once the data plane has hung up."""
        while not self._ended and len(self._buffer) < MAXIMUM_FRAME_BYTES:
            try:
                data = self._stream.recv(65536)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            self._ended = not data
            self._buffer += data
        batches = self._batches()
        return None if self._ended and not batches else batches

    def _batches(self) -> list[EventBatch]:
        batches: list[EventBatch] = []
        while (body := _take_frame(self._buffer)) is not None:
            message = _parse(body)
            events = message.get("events")
            if message.get("event") != "batch" or not isinstance(events, list):
                raise _garbled("it sent an event of an unknown kind")
            records = tuple(record for record in events if isinstance(record, dict))
            batches.append(EventBatch(int(message.get("dropped", 0)), records))
        return batches


def connect(path: Path) -> ControlClient:
    """Connects to the data plane whose control socket is at ``path``."""
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _reachable(path) as address:
            stream.settimeout(ANSWER_SECONDS)
            stream.connect(address)
        owner = _peer(stream)[1]
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
        stream.close()
        raise NotRunningError("no data plane is running here", hint=_START) from error
    except OSError as error:
        stream.close()
        raise DataPlaneError(
            f"cannot connect to {path}: {error.strerror or error}",
            hint="run as the user who started the data plane",
        ) from error
    if owner != os.geteuid():
        stream.close()
        raise DataPlaneError(
            f"the process behind {path} belongs to user {owner}, not to you",
            hint="find out who put it there; Motte sends it nothing",
        )
    return ControlClient(stream)


@contextlib.contextmanager
def _reachable(path: Path) -> Iterator[str]:
    """A name for the socket that is short enough, however deep the deployment lies."""
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _peer(stream: socket.socket) -> tuple[int, int]:
    """Process id and user id of the other side."""
    raw = stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    pid, user, _group = _PEER.unpack(raw)
    return pid, user


def _read_frame(stream: socket.socket, buffer: bytearray, deadline: float) -> dict[str, Any]:
    while (body := _take_frame(buffer)) is None:
        left = deadline - time.monotonic()
        # poll, not select: the descriptor's number may be high.
        poller = select.poll()
        poller.register(stream, select.POLLIN)
        if left <= 0 or not poller.poll(left * 1000):
            raise TimeoutError
        data = stream.recv(65536)
        if not data:
            raise ConnectionResetError
        buffer += data
    return _parse(body)


def _take_frame(buffer: bytearray) -> bytes | None:
    """Takes one whole frame's JSON off the front of ``buffer``, if it is there."""
    if len(buffer) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack_from(buffer)
    if not 1 <= length <= MAXIMUM_FRAME_BYTES:
        raise _garbled(f"it announced a message of {length} bytes")
    end = _LENGTH.size + length
    if len(buffer) < end:
        return None
    version = buffer[_LENGTH.size]
    if version != PROTOCOL_VERSION:
        raise DataPlaneError(
            f"the data plane speaks version {version} of the control protocol, this command "
            f"version {PROTOCOL_VERSION}",
            hint="stop it (Ctrl-C in `motte up`) and start it again with this Motte",
        )
    body = bytes(buffer[_LENGTH.size + 1 : end])
    del buffer[:end]
    return body


def _parse(body: bytes) -> dict[str, Any]:
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _garbled("it is not JSON") from error
    if not isinstance(message, dict):
        raise _garbled("it is not a JSON object")
    return message


@contextlib.contextmanager
def _io_errors() -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise DataPlaneError(
            f"the data plane did not answer within {ANSWER_SECONDS:g} s",
            hint="see what it says in state/data-plane.log",
        ) from error
    except OSError as error:
        raise DataPlaneError(
            "the data plane ended before it answered",
            hint="see what it said in state/data-plane.log, then `motte up`",
        ) from error


def _garbled(what: str) -> DataPlaneError:
    return DataPlaneError(
        f"the data plane's answer cannot be understood: {what}",
        hint="are both from the same installation? stop it and run `motte up` again",
    )
