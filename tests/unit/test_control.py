"""The client of the control socket, against a peer that says exactly what a test tells it to."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from motte.errors import DataPlaneError
from motte.plane import control
from motte.plane.control import MAXIMUM_FRAME_BYTES, Follower, NotRunningError, connect
from tests.support.fleet import assert_helpful

STATUS: dict[str, Any] = {
    "pid": 7,
    "version": "0",
    "generation": 3,
    "listening": {"address": "127.0.0.1", "port": 8883},
    "connections": 2,
    "sessions": 1,
    "server_certificate": {"serial": "0a1b", "not_after": 2_000_000_000},
}


def frame(document: object, *, version: int = 1) -> bytes:
    body = bytes([version]) + json.dumps(document).encode()
    return len(body).to_bytes(4, "big") + body


def read_request(stream: socket.socket) -> dict[str, Any]:
    data = b""
    while len(data) < 4 or len(data) < 4 + int.from_bytes(data[:4], "big"):
        more = stream.recv(65536)
        assert more
        data += more
    assert data[4] == 1
    found: dict[str, Any] = json.loads(data[5:])
    return found


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Callable[[socket.socket], None]], Path]]:
    """Answers one connection with a function of the test's own."""
    listener = socket.socket(socket.AF_UNIX)
    threads: list[threading.Thread] = []
    path = tmp_path / "control.sock"

    def start(answer: Callable[[socket.socket], None]) -> Path:
        listener.bind(str(path))
        listener.listen()

        def run() -> None:
            stream, _ = listener.accept()
            with stream:
                answer(stream)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return path

    yield start
    for thread in threads:
        thread.join(5)
    listener.close()


def answering(document: dict[str, Any]) -> Callable[[socket.socket], None]:
    def answer(stream: socket.socket) -> None:
        request = read_request(stream)
        stream.sendall(frame({"id": request["id"], **document}))

    return answer


def test_a_status_is_read(serve: Any) -> None:
    with connect(serve(answering({"ok": True, "result": STATUS}))) as client:
        assert client.peer_pid == os.getpid()
        status = client.status()
    assert (status.pid, status.generation, status.port) == (7, 3, 8883)
    assert status.raw == STATUS


def test_an_answer_may_come_in_pieces(serve: Any) -> None:
    def answer(stream: socket.socket) -> None:
        request = read_request(stream)
        for byte in frame({"id": request["id"], "ok": True, "result": {"disconnected": 4}}):
            stream.sendall(bytes([byte]))

    with connect(serve(answer)) as client:
        assert client.disconnect("device/x") == 4


def test_a_refusal_becomes_an_error_with_its_hint(serve: Any) -> None:
    error = {"message": "older \x1b[31m generation", "hint": "publish again"}
    path = serve(answering({"ok": False, "error": error}))
    with connect(path) as client, pytest.raises(DataPlaneError) as caught:
        client.install("{}")
    assert caught.value.message == "older \\x1b[31m generation"
    assert caught.value.hint == "publish again"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00\x00",
        b"\x00\x00\x00\x00",
        (MAXIMUM_FRAME_BYTES + 1).to_bytes(4, "big"),
        frame({"id": 1, "ok": True, "result": STATUS}, version=2),
        frame({"id": 99, "ok": True, "result": STATUS}),
        frame({"id": 1, "ok": True, "result": {}}),
        frame({"id": 1, "ok": True, "result": {**STATUS, "generation": "x"}}),
        frame({"id": 1, "ok": "yes"}),
        frame({"id": 1}),
        frame([1]),
        b"\x00\x00\x00\x03\x01{x",
        b"\x00\x00\x00\x03\x01\xff\xfe",
    ],
    ids=lambda answer: answer[:24].hex(),
)
def test_nonsense_is_an_error_not_a_crash(serve: Any, answer: bytes) -> None:
    def nonsense(stream: socket.socket) -> None:
        read_request(stream)
        stream.sendall(answer)

    with connect(serve(nonsense)) as client, pytest.raises(DataPlaneError) as caught:
        client.status()
    assert_helpful(caught.value)


def test_silence_ends_at_the_deadline(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "ANSWER_SECONDS", 0.05)
    over = threading.Event()
    with (
        connect(serve(lambda _: over.wait(5) and None)) as client,
        pytest.raises(DataPlaneError, match="did not answer within") as caught,
    ):
        client.status()
    over.set()
    assert_helpful(caught.value)


def test_dripping_does_not_move_the_deadline(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "ANSWER_SECONDS", 0.2)
    over = threading.Event()

    def drip(stream: socket.socket) -> None:
        stream.sendall((1000).to_bytes(4, "big"))
        while not over.wait(0.01):
            try:
                stream.sendall(b"x")
            except OSError:
                return

    with connect(serve(drip)) as client, pytest.raises(DataPlaneError):
        client.status()
    over.set()


class TestFollowing:
    def test_events_arrive_in_batches(self, serve: Any) -> None:
        def answer(stream: socket.socket) -> None:
            request = read_request(stream)
            assert request["command"] == "follow"
            batches = [
                {"event": "batch", "dropped": 0, "events": [{"seq": 1}, {"seq": 2}]},
                {"event": "batch", "dropped": 5, "events": [{"seq": 9}]},
            ]
            first = frame({"id": request["id"], "ok": True, "result": {}})
            stream.sendall(first)
            stream.sendall(b"".join(frame(batch) for batch in batches))

        follower = connect(serve(answer)).follow()
        batches = collect(follower)
        assert [event["seq"] for batch in batches for event in batch.events] == [1, 2, 9]
        assert sum(batch.dropped for batch in batches) == 5
        follower.close()

    def test_events_right_behind_the_answer_are_not_lost(self, serve: Any) -> None:
        def answer(stream: socket.socket) -> None:
            request = read_request(stream)
            first = frame({"id": request["id"], "ok": True, "result": {}})
            stream.sendall(first + frame({"event": "batch", "dropped": 0, "events": [{"seq": 1}]}))

        follower = connect(serve(answer)).follow()
        assert [event["seq"] for batch in collect(follower) for event in batch.events] == [1]
        follower.close()

    def test_an_unknown_event_is_an_error(self, serve: Any) -> None:
        def answer(stream: socket.socket) -> None:
            request = read_request(stream)
            stream.sendall(frame({"id": request["id"], "ok": True, "result": {}}))
            stream.sendall(frame({"event": "surprise"}))

        follower = connect(serve(answer)).follow()
        with pytest.raises(DataPlaneError):
            collect(follower)
        follower.close()


def collect(follower: Follower) -> list[control.EventBatch]:
    import select

    found: list[control.EventBatch] = []
    while (batches := follower.read()) is not None:
        found.extend(batches)
        select.select([follower], [], [], 5)
    return found


class TestConnecting:
    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(NotRunningError) as caught:
            connect(tmp_path / "control.sock")
        assert "motte up" in str(caught.value.hint)

    def test_left_behind(self, tmp_path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / "control.sock"))
        with pytest.raises(NotRunningError):
            connect(tmp_path / "control.sock")

    def test_not_a_socket(self, tmp_path: Path) -> None:
        (tmp_path / "control.sock").write_text("x")
        with pytest.raises(DataPlaneError):
            connect(tmp_path / "control.sock")

    def test_however_deep_the_deployment_lies(self, tmp_path: Path, serve: Any) -> None:
        path = serve(answering({"ok": True, "result": STATUS}))
        deep = tmp_path.joinpath(*["x" * 60] * 4)
        deep.mkdir(parents=True)
        moved = path.rename(deep / "control.sock")
        with connect(moved) as client:
            assert client.status().generation == 3
