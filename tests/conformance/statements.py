"""Which normative statements there are, and which of them no test can or need show.

The numbers are those of appendix B of MQTT 3.1.1 (OASIS, 29 October 2014) and of MQTT 5.0 (OASIS,
7 March 2019). A statement is either named by a test or stands in :data:`UNTESTED` with the reason;
`test_coverage.py` holds both to it.
"""

from __future__ import annotations

from tests.support.wire import Version

CLIENT = "binds clients; Motte is a server"
WEBSOCKET = "there is no WebSocket listener"


def _numbers(spans: str) -> list[str]:
    """`3.1.0:2 3.1.2:24` as `MQTT-3.1.0-1`, `MQTT-3.1.0-2`, `MQTT-3.1.2-1` and so on."""
    out = []
    for span in spans.split():
        section, _, last = span.partition(":")
        out += [f"MQTT-{section}-{number}" for number in range(1, int(last) + 1)]
    return out


STATEMENTS: dict[Version, list[str]] = {
    Version.V311: _numbers(
        "1.5.3:3 2.2.2:2 2.3.1:7 3.1.0:2 3.1.2:24 3.1.3:11 3.1.4:5 3.2.0:1 3.2.2:6 "
        "3.3.1:12 3.3.2:3 3.3.4:1 3.3.5:2 3.6.1:1 3.8.1:1 3.8.3:4 3.8.4:6 3.9.3:2 3.10.1:1 "
        "3.10.3:2 3.10.4:6 3.12.4:1 3.14.1:1 3.14.4:3 4.1.0:2 4.3.1:1 4.3.2:2 4.3.3:2 "
        "4.4.0:1 4.5.0:2 4.6.0:6 4.7.1:3 4.7.2:1 4.7.3:4 4.8.0:2 6.0.0:4 7.0.0:2 7.1.1:1 7.1.2:1"
    ),
    Version.V5: _numbers(
        "1.5.4:3 1.5.5:1 1.5.7:1 2.1.3:1 2.2.1:6 2.2.2:1 3.1.0:2 3.1.2:30 3.1.3:12 3.1.4:6 "
        "3.2.0:2 3.2.2:22 3.3.1:13 3.3.2:20 3.3.4:10 3.4.2:3 3.5.2:3 3.6.1:1 3.6.2:3 3.7.2:3 "
        "3.8.1:1 3.8.3:5 3.8.4:8 3.9.2:2 3.9.3:2 3.10.1:1 3.10.3:2 3.10.4:6 3.11.2:2 3.11.3:2 "
        "3.12.4:1 3.14.0:1 3.14.1:1 3.14.2:4 3.14.4:3 3.15.1:1 3.15.2:3 4.1.0:2 4.2.0:1 4.3.1:1 "
        "4.3.2:5 4.3.3:13 4.4.0:2 4.5.0:2 4.6.0:6 4.7.0:1 4.7.1:2 4.7.2:1 4.7.3:4 4.8.2:6 "
        "4.9.0:3 4.12.0:7 4.12.1:2 4.13.1:1 4.13.2:1 6.0.0:4"
    ),
}

UNTESTED: dict[Version, dict[str, str]] = {
    Version.V311: {
        "MQTT-2.3.1-3": CLIENT,
        "MQTT-3.1.2-23": CLIENT,
        "MQTT-3.1.3-7": CLIENT,
        "MQTT-3.1.3-2": "the key of every session test; nothing of its own to observe",
        "MQTT-3.1.3-4": "shown with MQTT-1.5.3-1, which names the client id",
        "MQTT-3.1.3-10": "shown with MQTT-1.5.3-1, which names the will topic",
        "MQTT-3.1.3-11": "shown with MQTT-1.5.3-1, which names the user name",
        "MQTT-3.2.2-6": "every refusal of Motte has a return code of table 3.1",
        "MQTT-4.5.0-2": CLIENT,
        "MQTT-6.0.0-1": WEBSOCKET,
        "MQTT-6.0.0-2": WEBSOCKET,
        "MQTT-6.0.0-3": WEBSOCKET,
        "MQTT-6.0.0-4": WEBSOCKET,
        "MQTT-7.0.0-1": "Motte connects to no other server in this version",
        "MQTT-7.0.0-2": "shown by the clients of tests/e2e, which know nothing of Motte",
        "MQTT-7.1.2-1": CLIENT,
    },
    Version.V5: {
        "MQTT-2.2.1-1": "not used by the standard",
        "MQTT-3.1.2-20": CLIENT,
        "MQTT-3.1.2-21": CLIENT,
        "MQTT-3.1.2-30": CLIENT,
        "MQTT-3.1.3-2": "the key of every session test; nothing of its own to observe",
        "MQTT-3.1.3-4": "shown with MQTT-1.5.4-1, which names the client id",
        "MQTT-3.1.3-12": "shown with MQTT-1.5.4-1, which names the user name",
        "MQTT-3.1.4-2": "lets a server check more; the attack rows are that check",
        "MQTT-3.2.2-4": CLIENT,
        "MQTT-3.2.2-5": CLIENT,
        "MQTT-3.2.2-8": "the parser of the tests reads the code of every CONNACK",
        "MQTT-3.2.2-9": "Motte takes every QoS, so it announces none as the highest",
        "MQTT-3.2.2-10": "Motte takes every QoS",
        "MQTT-3.2.2-11": CLIENT,
        "MQTT-3.2.2-12": "Motte takes every QoS",
        "MQTT-3.2.2-13": "Motte has retained messages; a role without them says 0x87",
        "MQTT-3.2.2-14": CLIENT,
        "MQTT-3.3.2-10": CLIENT,
        "MQTT-3.3.4-5": "Motte sends one copy (MQTT-3.3.4-4)",
        "MQTT-3.3.4-8": CLIENT,
        "MQTT-3.5.2-2": "written by the code that MQTT-3.4.2-2 shows",
        "MQTT-3.5.2-3": "written by the code that MQTT-3.4.2-3 shows",
        "MQTT-3.6.2-2": "written by the code that MQTT-3.4.2-2 shows",
        "MQTT-3.6.2-3": "written by the code that MQTT-3.4.2-3 shows",
        "MQTT-3.7.2-2": "written by the code that MQTT-3.4.2-2 shows",
        "MQTT-3.7.2-3": "written by the code that MQTT-3.4.2-3 shows",
        "MQTT-3.11.2-1": "written by the code that MQTT-3.9.2-1 shows",
        "MQTT-3.11.2-2": "written by the code that MQTT-3.9.2-2 shows",
        "MQTT-3.15.2-2": "Motte sends no AUTH",
        "MQTT-3.15.2-3": "Motte sends no AUTH",
        "MQTT-4.5.0-2": CLIENT,
        "MQTT-4.12.0-2": "Motte has no enhanced authentication",
        "MQTT-4.12.0-3": CLIENT,
        "MQTT-4.12.0-4": "Motte has no enhanced authentication",
        "MQTT-4.12.0-5": "Motte has no enhanced authentication",
        "MQTT-4.12.1-2": "Motte has no enhanced authentication",
        "MQTT-6.0.0-1": WEBSOCKET,
        "MQTT-6.0.0-2": WEBSOCKET,
        "MQTT-6.0.0-3": WEBSOCKET,
        "MQTT-6.0.0-4": WEBSOCKET,
    },
}
