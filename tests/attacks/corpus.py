"""Malformed packets, each as bytes after a good CONNECT; every one has to end the connection.

They come from the rows of group N, from published proofs of concept against other brokers, and
from walking through the grammar of both versions and breaking one thing at a time.
"""

from tests.support import wire
from tests.support.wire import Property, Type, Version

T = wire.text("t")


def _common() -> dict[str, bytes]:
    return {
        "remaining length of five bytes": b"\x30\x80\x80\x80\x80\x01",
        "remaining length of endless bytes": b"\x30" + b"\xff" * 16,
        "type 0": b"\x00\x00",
        "publish: nothing": b"\x30\x00",
        "publish: topic past the end": b"\x30\x02\xff\xff",
        "publish: qos 3": b"\x36" + bytes([len(T) + 3]) + T + b"\0\1\0",
        "publish: dup at qos 0": b"\x38" + bytes([len(T) + 1]) + T + b"\0",
        "publish: identifier 0": b"\x32" + bytes([len(T) + 3]) + T + b"\0\0\0",
        "publish: no identifier": b"\x32" + bytes([len(T)]) + T,
        "publish: topic with nul": wire.frame(0x30, wire.text("a\0b") + b"\0"),
        "publish: topic with hash": wire.frame(0x30, wire.text("a/#") + b"\0"),
        "publish: topic with plus": wire.frame(0x30, wire.text("+/a") + b"\0"),
        "publish: topic not utf-8": wire.frame(0x30, wire.text(b"\xff\xfe") + b"\0"),
        "publish: surrogate": wire.frame(0x30, wire.text(b"\xed\xa0\x80") + b"\0"),
        "puback: flags": b"\x4f\x02\0\1",
        "puback: identifier 0": b"\x40\x02\0\0",
        "puback: one byte": b"\x40\x01\0",
        "pubrec: flags": b"\x51\x02\0\1",
        "pubrel: flags 0": b"\x60\x02\0\1",
        "pubrel: identifier 0": b"\x62\x02\0\0",
        "pubcomp: flags": b"\x72\x02\0\1",
        "subscribe: flags 0": b"\x80\x06\0\1\0\1t\0",
        "subscribe: nothing": b"\x82\x00",
        "subscribe: identifier 0": b"\x82\x06\0\0\0\1t\0",
        "subscribe: filter past the end": b"\x82\x07\0\1\0\0\xfft\0",
        "unsubscribe: flags 0": b"\xa0\x05\0\1\0\1t",
        "unsubscribe: nothing": b"\xa2\x00",
        "unsubscribe: filter past the end": b"\xa2\x06\0\1\0\0\xfft",
        "pingreq: body": b"\xc0\x01\0",
        "pingreq: flags": b"\xcf\x00",
        "disconnect: flags": b"\xe1\x00",
        "connack": b"\x20\x02\0\0",
        "suback": b"\x90\x03\0\1\0",
        "unsuback": b"\xb0\x02\0\1",
        "pingresp": b"\xd0\x00",
        "length of 256 MB": b"\x30\xff\xff\xff\x7f" + b"x" * 100,
        "subscribe of 256 MB": b"\x82\xff\xff\xff\x7f" + b"x" * 100,
    }


def _only_311() -> dict[str, bytes]:
    version = Version.V311
    return {
        "auth": b"\xf0\x00",
        "disconnect with a body": b"\xe0\x02\0\0",
        "puback with a body": b"\x40\x03\0\1\0",
        "subscribe: qos 3": wire.subscribe(version, 1, [("t", 3)]),
        "subscribe: 5.0 options": wire.subscribe(version, 1, [("t", 4)]),
        "subscribe: reserved options": wire.subscribe(version, 1, [("t", 0x80)]),
        "subscribe: no options": b"\x82\x05\0\1\0\1t",
        "subscribe: empty filter": wire.subscribe(version, 1, [("", 0)]),
        "unsubscribe: empty filter": wire.unsubscribe(version, 1, [""]),
        "subscribe: trailing byte": b"\x82\x07\0\1\0\1t\0\0",
    }


def _only_5() -> dict[str, bytes]:
    version = Version.V5
    twice = [(Property.MESSAGE_EXPIRY_INTERVAL, 1)] * 2
    out = {
        "publish: property block past the end": wire.frame(0x30, T + b"\x7f"),
        "publish: property block of five bytes": wire.frame(0x30, T + b"\xff\xff\xff\xff\x01"),
        "publish: unknown property": wire.publish(version, "t", properties=b"\x02\x7f\0"),
        "publish: property twice": wire.publish(version, "t", properties=twice),
        "publish: alias 0": wire.publish(version, "t", properties=[(Property.TOPIC_ALIAS, 0)]),
        "publish: alias beyond": wire.publish(
            version, "t", properties=[(Property.TOPIC_ALIAS, 0xFFFF)]
        ),
        "publish: unknown alias": wire.publish(version, "", properties=[(Property.TOPIC_ALIAS, 1)]),
        "publish: empty topic": wire.publish(version, ""),
        "publish: subscription identifier": wire.publish(
            version, "t", properties=[(Property.SUBSCRIPTION_IDENTIFIER, 1)]
        ),
        "publish: format 2": wire.publish(
            version, "t", properties=[(Property.PAYLOAD_FORMAT_INDICATOR, 2)]
        ),
        "publish: response wildcard": wire.publish(
            version, "t", properties=[(Property.RESPONSE_TOPIC, "a/#")]
        ),
        "puback: unknown reason": wire.acknowledge(version, Type.PUBACK, 1, 0x7F),
        "pubrel: reason of puback": wire.acknowledge(version, Type.PUBREL, 1, 0x87),
        "subscribe: identifier 0 (property)": wire.subscribe(
            version, 1, [("t", 0)], [(Property.SUBSCRIPTION_IDENTIFIER, 0)]
        ),
        "subscribe: reserved options": wire.subscribe(version, 1, [("t", 0x40)]),
        "subscribe: qos 3": wire.subscribe(version, 1, [("t", 3)]),
        "subscribe: retain handling 3": wire.subscribe(version, 1, [("t", 0x30)]),
        "subscribe: shared no local": wire.subscribe(version, 1, [("$share/g/t", 4)]),
        "subscribe: empty filter": wire.subscribe(version, 1, [("", 0)]),
        "subscribe: no filters": wire.subscribe(version, 1, []),
        "unsubscribe: no filters": wire.unsubscribe(version, 1, []),
        "disconnect: unknown reason": wire.disconnect(version, 0x7F),
        "disconnect: server reason": wire.disconnect(version, 0x8E),
        "disconnect: expiry twice": wire.disconnect(
            version, 0, [(Property.SESSION_EXPIRY_INTERVAL, 0)] * 2
        ),
        "auth: out of the blue": wire.auth(0x18, [(Property.AUTHENTICATION_METHOD, "m")]),
        "auth: nothing": b"\xf0\x00",
    }
    for identifier in sorted(set(range(0x30)) - set(wire.PROPERTY_KINDS)):
        block = bytes([2, identifier, 0])
        out[f"publish: property {identifier:#04x}"] = wire.publish(version, "t", properties=block)
    return out


AFTER_CONNECT: dict[Version, dict[str, bytes]] = {
    Version.V311: _common() | _only_311(),
    Version.V5: _common() | _only_5(),
}


def first_packets(version: Version) -> dict[str, bytes]:
    """What a peer sends instead of a good CONNECT."""
    good = wire.connect(version, "somebody")
    body = good[2:]
    return {
        "nothing in it": b"\x10\x00",
        "name only": b"\x10\x06\x00\x04MQTT",
        "cut short": wire.frame(0x10, body[:-1]),
        "one byte more": wire.frame(0x10, body + b"\0"),
        "name past the end": b"\x10\x04\xff\xffMQ",
        "length of 256 MB": b"\x10\xff\xff\xff\x7f" + body,
        "length of five bytes": b"\x10\xff\xff\xff\xff\x01" + body,
        "flags": b"\x1f" + good[1:],
        "reserved flag": wire.connect(version, "a", flags=0x03),
        "will qos 3": wire.connect(version, "a", will=wire.Will("t"), flags=0x1E),
        "will flags without will": wire.connect(version, "a", flags=0x3A),
        "user name missing": wire.connect(version, "a", flags=0x82),
        "password missing": wire.connect(version, "a", username="a", flags=0xC2),
        "will missing": wire.connect(version, "a", flags=0x06),
        "old name": wire.connect(version, "a", protocol_name="MQIsdp", level=3),
        "wrong name": wire.connect(version, "a", protocol_name="MQTX"),
        "level 99": wire.connect(version, "a", level=99),
        "client id not utf-8": wire.connect(version, b"\xff"),
        "publish": wire.publish(version, "t"),
        "subscribe": wire.subscribe(version, 1, [("t", 0)]),
        "pingreq": wire.PINGREQ,
        "connack": b"\x20\x02\0\0",
        "zeros": b"\0" * 100,
        "ones": b"\xff" * 100,
        "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "tls inside tls": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
    }


CVE_2021_28166 = bytes.fromhex("101000044d5154540502003c03210014000029020001e000")
"""The proof of concept against Mosquitto, whole: CONNECT and CONNACK in one write."""
