"""Mosquitto's rules, translated, against Mosquitto itself: every decision of random files."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from motte.policy.foreign import mosquitto_acl, mosquitto_dynsec
from motte.policy.foreign.translation import Severity, Translation
from motte.policy.radius.analysis import Question, Scope, analyse
from tests.policy.foreign.decisions import allows
from tests.support import wire
from tests.support.client import Client
from tests.support.wire import Reason, Type, Version

USERS = ("alice", "bob")
OBSERVER = "observer"
TOPICS = ("a", "a/b", "a/b/c", "a/alice", "a/bob/x", "alice/b", "bob", "b/a", "b//c", "$x/a")
LEVELS = ("a", "b", "alice", "bob", "+", "+", "%u", "")
PLUGIN = Path("/usr/lib/x86_64-linux-gnu/mosquitto_dynamic_security.so")
MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
START_SECONDS = 10.0

needs_mosquitto = pytest.mark.skipif(
    MOSQUITTO is None, reason="Debian's mosquitto is not installed"
)


@contextmanager
def running(folder: Path, settings: str) -> Iterator[int]:
    """Mosquitto on a free loopback port."""
    assert MOSQUITTO is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    file = folder / "mosquitto.conf"
    # As root it becomes another user, who must be able to read what is here.
    file.write_text(f"listener {port} 127.0.0.1\nuser root\n{settings}")
    log = (folder / "log").open("wb")
    process = subprocess.Popen([MOSQUITTO, "-c", file], stdout=log, stderr=log)
    try:
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < until
        yield port
    finally:
        process.terminate()
        process.wait()
        log.close()


@contextmanager
def client(port: int, user: str) -> Iterator[Client]:
    """A client of that user, connected."""
    with Client(socket.create_connection(("127.0.0.1", port), 5), Version.V5) as one:
        one.send(wire.connect(Version.V5, f"{user}-id", username=user, password=b"x"))
        assert one.expect(Type.CONNACK).reason == 0
        yield one


def decisions(
    port: int, user: str, topics: tuple[str, ...], filters: tuple[str, ...] = ()
) -> dict[tuple[str, str], bool]:
    """What the broker lets a user publish to and read, with these filters besides the topics."""
    found: dict[tuple[str, str], bool] = {}
    with client(port, user) as own, client(port, OBSERVER) as observer:
        for number, topic in enumerate(topics, start=1):
            own.send(wire.publish(Version.V5, topic, b"own", qos=1, packet_id=number))
            found["publish", topic] = own.expect(Type.PUBACK).reason != Reason.NOT_AUTHORIZED
        for number, topic in enumerate((*topics, *filters), start=1):
            own.send(wire.subscribe(Version.V5, number, [(topic, 0)]))
            own.expect(Type.SUBACK)
        for number, topic in enumerate(topics, start=1):
            observer.send(wire.publish(Version.V5, topic, b"read", qos=1, packet_id=number))
            assert observer.expect(Type.PUBACK).reason != Reason.NOT_AUTHORIZED, topic
        heard = {packet.topic for packet in own.fence() if packet.payload == b"read"}
        found |= {("read", topic): topic in heard for topic in topics}
    return found


def filters(chance: random.Random) -> str:
    """A filter of few levels, so that rules meet each other and the topics."""
    while True:
        levels = [chance.choice(LEVELS) for _ in range(chance.randint(1, 3))]
        if chance.random() < 0.4:
            levels[-1] = "#"
        text = "/".join(levels)
        if text and not text.startswith("/"):
            return text if chance.random() > 0.1 else f"$x/{text}"


def acl_text(chance: random.Random) -> str:
    """An ACL file; `%u` stands in patterns only."""
    lines = [f"user {OBSERVER}", "topic readwrite #", "topic readwrite $x/#"]
    for user in chance.sample(USERS, chance.randint(0, 2)):
        lines.append(f"user {user}")
        for _ in range(chance.randint(0, 4)):
            access = chance.choice(["read ", "write ", "readwrite ", "", "deny "])
            lines.append(f"topic {access}{filters(chance).replace('%u', 'a')}")
    for _ in range(chance.randint(0, 4)):
        access = chance.choice(["read ", "write ", "readwrite ", "", "deny "])
        lines.append(f"pattern {access}{filters(chance)}")
    return "\n".join(lines) + "\n"


@needs_mosquitto
@pytest.mark.parametrize("seed", range(12))
def test_an_acl_file_means_here_what_it_means_there(tmp_path: Path, seed: int) -> None:
    text = acl_text(random.Random(seed))  # noqa: S311
    (tmp_path / "acl").write_text(text)
    (tmp_path / "passwords").write_text("")
    (tmp_path / "passwords").chmod(0o600)
    for user in (*USERS, OBSERVER):
        command = ["mosquitto_passwd", "-b", str(tmp_path / "passwords"), user, "x"]
        subprocess.run(command, check=True, capture_output=True)
    translation = mosquitto_acl.translate(text, "acl")
    assert {remark.severity.value for remark in translation.remarks} <= {"note"}
    settings = f"acl_file {tmp_path}/acl\npassword_file {tmp_path}/passwords\n"
    with running(tmp_path, settings) as port:
        for user in USERS:
            listed = any(role.id == user for role in translation.policy.roles)
            login = {"login": "listed" if listed else "other"}
            told = {
                (action, topic): allows(translation, user, action, topic, login)
                for action in ("publish", "read")
                for topic in TOPICS
            }
            assert told == decisions(port, user, TOPICS), f"{user} of\n{text}"


SALT = b"twelve bytes"
"""As long as the plugin wants it."""


def _password() -> dict[str, object]:
    """The password `x` as the plugin keeps it."""
    hashed = hashlib.pbkdf2_hmac("sha512", b"x", SALT, 101, 64)
    encoded = {"password": hashed, "salt": SALT}
    return {key: base64.b64encode(value).decode() for key, value in encoded.items()} | {
        "iterations": 101
    }


PASSWORD = _password()


@needs_mosquitto
@pytest.mark.skipif(not PLUGIN.exists(), reason="the plugin of Debian's mosquitto is not installed")
@pytest.mark.parametrize("seed", range(12))
def test_dynamic_security_means_here_what_it_means_there(tmp_path: Path, seed: int) -> None:
    document = dynsec(random.Random(seed))  # noqa: S311
    text = json.dumps(document, indent=1)
    (tmp_path / "dynsec.json").write_text(text)
    translation = mosquitto_dynsec.translate(text, "dynsec.json")
    named = re.findall(r'"topic": "([^"]*)"', text)
    # Other spellings get round a denial that names one: `+/#` is as good as `#`.
    further = [f"{one[:-1]}+/#" for one in named if one.endswith("#")]
    asked = tuple(dict.fromkeys([*named, *further, "#", "+/#", "$x/#"]))
    settings = f"plugin {PLUGIN}\nplugin_opt_config_file {tmp_path}/dynsec.json\n"
    with running(tmp_path, settings) as port:
        for user in USERS:
            told = {
                (action, topic): allows(translation, user, action, topic)
                for action in ("publish", "read")
                for topic in TOPICS
            }
            found = decisions(port, user, TOPICS, asked)
            # Never narrower; and exact, except where the translation says that it is wider, and for
            # topics that begin with `$`, about which the plugin's rules do not agree.
            assert not [one for one in found if found[one] and not told[one]], f"{user} of\n{text}"
            if not any(remark.severity is Severity.WIDER for remark in translation.remarks):
                plain = {one for one in found if not one[1].startswith("$")}
                assert {one: told[one] for one in plain} == {one: found[one] for one in plain}, text


def dynsec(chance: random.Random) -> dict[str, object]:
    """A state file of the plugin with random roles, groups and defaults."""
    kinds = ["publishClientSend", "publishClientReceive", "subscribePattern", "subscribeLiteral"]
    everything = [
        {"acltype": kind, "topic": topic, "priority": 0, "allow": True}
        for kind in (*kinds[:3],)
        for topic in ("#", "$x/#")
    ]
    priorities = chance.sample(range(100), 40)
    roles = [
        {
            "rolename": f"r{number}",
            "acls": [
                {
                    "acltype": chance.choice(kinds),
                    "topic": filters(chance).replace("%u", "a"),
                    "priority": priorities.pop(),
                    "allow": chance.random() < 0.6,
                }
                for _ in range(chance.randint(1, 4))
            ],
        }
        for number in range(3)
    ]
    return {
        "defaultACLAccess": {
            "publishClientSend": chance.random() < 0.3,
            "publishClientReceive": chance.random() < 0.7,
            "subscribe": chance.random() < 0.3,
            "unsubscribe": True,
        },
        "clients": [
            {
                "username": user,
                **PASSWORD,
                "roles": [
                    {"rolename": f"r{number}", "priority": priority}
                    for number, priority in enumerate(chance.sample(range(10), 3))
                    if chance.random() < 0.5
                ],
            }
            for user in USERS
        ]
        + [{"username": OBSERVER, **PASSWORD, "roles": [{"rolename": "all", "priority": 1}]}],
        "groups": [],
        "roles": [*roles, {"rolename": "all", "acls": everything}],
    }


def test_dynamic_security_by_its_own_rules() -> None:
    """Priorities, first match, defaults, and that a denial does not reach a wider filter."""
    acls = [
        {"acltype": "publishClientSend", "topic": "a/#", "priority": 1, "allow": True},
        {"acltype": "publishClientSend", "topic": "a/secret", "priority": 5, "allow": False},
        {"acltype": "subscribePattern", "topic": "a/#", "priority": 1, "allow": True},
        {"acltype": "subscribePattern", "topic": "a/hidden", "priority": 5, "allow": False},
        {"acltype": "publishClientReceive", "topic": "a/secret", "priority": 5, "allow": False},
    ]
    document = {
        "defaultACLAccess": {"publishClientSend": False, "publishClientReceive": True},
        "clients": [
            {"username": "alice", "groups": [{"groupname": "g"}]},
            {"username": "gone", "disabled": True, "roles": [{"rolename": "r"}]},
        ],
        "groups": [{"groupname": "g", "roles": [{"rolename": "r"}]}],
        "roles": [{"rolename": "r", "acls": acls}],
    }
    translation = mosquitto_dynsec.translate(json.dumps(document, indent=1), "dynsec.json")
    assert [role.name for role in translation.policy.roles] == ["alice"]
    assert allows(translation, "alice", "publish", "a/b")
    assert not allows(translation, "alice", "publish", "a/secret")
    assert not allows(translation, "alice", "publish", "b")
    assert not allows(translation, "alice", "read", "a/secret")
    # Subscribing to `a/#` gets round the denial of `a/hidden`.
    assert allows(translation, "alice", "read", "a/hidden")


def test_the_default_of_dynamic_security() -> None:
    for seed in range(20):
        document = dynsec(random.Random(seed))  # noqa: S311
        translation = mosquitto_dynsec.translate(json.dumps(document), "dynsec.json")
        assert allows(translation, OBSERVER, "read", "$x/a")
        assert allows(translation, OBSERVER, "publish", "a/b/c")


def radius(translation: Translation) -> Scope:
    analysis = analyse(translation.policy)
    return max(
        (analysis.widest(Question.INFLUENCE, role.place) for role in analysis.roles),
        key=lambda scope: scope.width,
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pattern readwrite #\n", Scope.EVERYONE),
        ("topic readwrite #\n", Scope.EVERYONE),
        ("pattern readwrite home/%u/#\n", Scope.ISOLATED),
        ("pattern write home/%u/out\npattern read home/%u/in\n", Scope.ISOLATED),
        ("pattern readwrite home/%c/#\n", Scope.EVERYONE),
        ("user a\ntopic write t\nuser b\ntopic read t\n", Scope.EVERYONE),
        ("user a\ntopic deny t\ntopic write t\nuser b\ntopic read t\n", Scope.ISOLATED),
    ],
)
def test_the_radius_of_well_known_files(text: str, expected: Scope) -> None:
    assert radius(mosquitto_acl.translate(text, "acl")) is expected


def test_a_client_id_is_a_claim_unless_the_broker_says_otherwise() -> None:
    text = "pattern readwrite home/%c/#\n"
    translation = mosquitto_acl.translate(text, "acl")
    assert [(one.line, one.severity.value) for one in translation.remarks] == [(1, "wider")]
    own = mosquitto_acl.translate(text, "acl", client_id_is_user_name=True)
    assert own.remarks == ()
    assert radius(own) is Scope.ISOLATED
