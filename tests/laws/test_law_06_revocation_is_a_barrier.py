"""Law 6. When the command returns, no later delivery violates the new policy.

The paths are in `tests/attacks/test_V_revocation.py`; here is what the barrier reports, that it
costs the others nothing, and that the operator's own command is the same barrier.
"""

import pytest

from tests.support import wire
from tests.support.space import Space
from tests.support.wire import Property, Reason, Version


def test_the_report_counts_what_was_done(space: Space, version: Version) -> None:
    space.role(
        "all",
        publish=[{"topic": "{site}/dev/+/cmd", "retain": True}],
        subscribe=["{site}/dev/{device}/cmd"],
    )
    reader, sender = space.device("reader", "all"), space.device("sender", "all")
    away = space.durable(version, reader)
    away.subscribe(space.of(reader, "cmd"), qos=1)
    away.cut()
    client = space.client(version, sender, will=wire.Will(space.of(reader, "cmd"), b"will"))
    client.subscribe(space.of(sender, "cmd"))
    for number in range(3):
        client.publish(space.of(reader, "cmd"), bytes([number]), 1)
    client.publish(space.of(sender, "cmd"), b"kept", 1, retain=True)
    report = space.plane.revoke(sender.name)
    assert report["generation"] == space.plane.status()["generation"]
    assert report["disconnected"] == [sender.name] or report["disconnected"] == [sender.id]
    assert report["messages_withheld"] == 3
    assert report["retained_withheld"] == 1
    assert report["wills_dropped"] == 1
    client.drain()


def test_nobody_else_is_touched(space: Space, version: Version) -> None:
    """Twenty neighbours keep their connections, subscriptions and messages in flight."""
    neighbours = [space.client(version, space.device("n")) for _ in range(20)]
    for client in neighbours:
        client.subscribe(f"{space.site}/dev/{client.client_id}/cmd", qos=1)
    backend = space.client(version, space.service())
    backend.publish(f"{space.site}/dev/{neighbours[0].client_id}/cmd", b"in flight", 1)
    thief = space.device("thief")
    live = space.client(version, thief)
    space.plane.revoke(thief.name)
    live.expect_closed(Reason.ADMINISTRATIVE_ACTION, Reason.NOT_AUTHORIZED)
    assert neighbours[0].message().payload == b"in flight"
    for client in neighbours:
        backend.publish(f"{space.site}/dev/{client.client_id}/cmd", b"after", 1)
        assert client.message().payload == b"after"


def test_an_unchanged_policy_changes_nothing(space: Space, version: Version) -> None:
    who = space.device()
    client = space.durable(version, who)
    client.subscribe(space.of(who, "cmd"), qos=1)
    client.cut()
    backend = space.client(version, space.service())
    backend.publish(space.of(who, "cmd"), b"queued", 1)
    backend.publish(space.of(who, "cmd"), b"kept", 1, retain=True)
    report = space.plane.apply()
    assert report["disconnected"] == []
    assert (report["messages_withheld"], report["retained_withheld"]) == (0, 0)
    again = space.durable(version, who, session=True)
    assert [again.message().payload, again.message().payload] == [b"queued", b"kept"]


def test_a_renamed_role_with_the_same_rights_changes_nothing(
    space: Space, version: Version
) -> None:
    role = space.role("before", subscribe=["{site}/dev/{device}/cmd"])
    who = space.device("x", "before")
    client = space.client(version, who)
    client.subscribe(space.of(who, "cmd"), qos=1)
    role["name"] = f"after-{space.site}"
    assert space.plane.apply()["disconnected"] == []
    space.client(version, space.service()).publish(space.of(who, "cmd"), b"x", 1)
    assert client.message().payload == b"x"


def test_limits_that_shrink_hold_from_then_on(space: Space, version: Version) -> None:
    role = space.role("shrink", publish=["{site}/dev/{device}/tel"])
    who = space.device("x", "shrink")
    client = space.client(version, who)
    assert client.publish(space.of(who, "tel"), b"x" * 500, 1) < 0x80
    role["limits"]["payload"] = 100
    space.plane.apply()
    client.send(wire.publish(version, space.of(who, "tel"), b"x" * 500, qos=1, packet_id=9))
    for packet in client.receive_or_closed():
        assert packet.reason >= 0x80


def test_a_right_that_is_granted_holds_at_once(space: Space, version: Version) -> None:
    role = space.role("grow", subscribe=["{site}/dev/{device}/cmd"])
    who = space.device("x", "grow")
    client = space.client(version, who)
    assert client.subscribe(space.of(who, "more"))[0] >= 0x80
    role["subscribe"].append({"topic": "{site}/dev/{device}/more", "qos": 2, "line": 9})
    space.plane.apply()
    assert client.subscribe(space.of(who, "more")) == (0,)


@pytest.mark.only(Version.V5)
def test_the_disconnect_says_administrative_action(space: Space, version: Version) -> None:
    who = space.device()
    client = space.client(version, who, properties=[(Property.SESSION_EXPIRY_INTERVAL, 600)])
    space.plane.revoke(who.name)
    last = client.expect_closed(Reason.ADMINISTRATIVE_ACTION)
    assert last is not None
    # The thief is not told that it was found out, nor by whom.
    text = last.text(Property.REASON_STRING) or ""
    assert "revoke" not in text
