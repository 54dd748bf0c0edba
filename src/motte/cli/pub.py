"""``motte pub``: publish one message as an identity of the fleet."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from motte.cli.invocation import DirectoryOption, JsonOption, invocation
from motte.errors import ConfigError
from motte.files import file_errors
from motte.text import printable

if TYPE_CHECKING:
    from paho.mqtt.properties import Properties

__all__ = ["AsOption", "MqttOption", "QosOption", "check_version", "pub"]

AsOption = Annotated[
    str, typer.Option("--as", metavar="ID", help="Whose bundle to use.", show_default=False)
]
MqttOption = Annotated[
    str, typer.Option("--mqtt", metavar="VERSION", help="Protocol version: 5 or 3.1.1.")
]
QosOption = Annotated[int, typer.Option("--qos", "-q", min=0, max=2)]


def pub(  # noqa: PLR0913 (one option for each thing that MQTT can say about a message)
    context: typer.Context,
    topic: Annotated[str, typer.Argument(show_default=False)],
    payload: Annotated[str | None, typer.Argument(show_default=False)] = None,
    *,
    identity: AsOption,
    qos: QosOption = 1,
    retain: Annotated[bool, typer.Option("--retain", "-r", help="Keep it on the topic.")] = False,
    mqtt: MqttOption = "5",
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Payload from a file; - is standard input.")
    ] = None,
    expiry: Annotated[
        int | None, typer.Option(min=0, max=2**32 - 1, help="Seconds after which it is worthless.")
    ] = None,
    content_type: Annotated[str | None, typer.Option(help="What the payload is.")] = None,
    response_topic: Annotated[str | None, typer.Option(help="Where an answer should go.")] = None,
    correlation_data: Annotated[str | None, typer.Option(help="What the answer carries.")] = None,
    user_property: Annotated[
        list[str] | None,
        typer.Option("--user-property", "-D", metavar="KEY=VALUE", help="Repeatable."),
    ] = None,
    directory: DirectoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish one message and say whether it was taken."""
    run = invocation(context, directory, as_json)
    check_version(mqtt)
    if payload is not None and file is not None:
        raise typer.BadParameter("a payload is given twice, as an argument and as a file")
    body = _read(file) if file is not None else (payload or "").encode()
    from motte.cli.mqtt import Client
    from motte.cli.render import print_json, say

    client = Client(run.deployment(), identity, version=mqtt)
    properties = _properties(expiry, content_type, response_topic, correlation_data, user_property)
    if properties is not None and not client.is_version_5:
        raise typer.BadParameter("properties need MQTT 5")
    with client.connected():
        client.publish(topic, body, qos=qos, retain=retain, properties=properties)
    if run.json:
        print_json({"topic": topic, "bytes": len(body), "qos": qos, "retain": retain})
        return
    taken = "published" if qos and client.is_version_5 else "sent"
    size = "1 byte" if len(body) == 1 else f"{len(body)} bytes"
    say(f"{taken} {size} to {printable(topic)} as {identity}")
    if taken == "sent":
        why = "QoS 0 is never answered" if qos == 0 else "MQTT 3.1.1 cannot say no"
        say(f"  {why}: `motte log follow` shows whether it was refused", style="dim")


def check_version(version: str) -> None:
    """Refuses a protocol version that Motte does not speak."""
    if version not in {"5", "3.1.1"}:
        raise typer.BadParameter(f"`{printable(version)}` is not a version; write 5 or 3.1.1")


def _read(file: Path) -> bytes:
    if str(file) == "-":
        return sys.stdin.buffer.read()
    with file_errors("read", file):
        return file.read_bytes()


def _properties(
    expiry: int | None,
    content_type: str | None,
    response_topic: str | None,
    correlation_data: str | None,
    user_properties: list[str] | None,
) -> "Properties | None":
    from paho.mqtt.packettypes import PacketTypes

    from motte.cli.mqtt import new_properties

    given = {
        "MessageExpiryInterval": expiry,
        "ContentType": content_type,
        "ResponseTopic": response_topic,
        "CorrelationData": correlation_data.encode() if correlation_data is not None else None,
        "UserProperty": [_pair(text) for text in user_properties or []] or None,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if not given:
        return None
    properties = new_properties(PacketTypes.PUBLISH)
    for name, value in given.items():
        setattr(properties, name, value)
    return properties


def _pair(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator:
        raise ConfigError(
            f"`{printable(text)}` is not a user property", hint="write it as key=value"
        )
    return key, value
