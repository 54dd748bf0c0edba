"""``motte sub``: show messages as an identity of the fleet receives them."""

import base64
from typing import TYPE_CHECKING, Annotated, Any

import typer

from motte.cli.invocation import DirectoryOption, JsonOption, invocation
from motte.cli.pub import AsOption, MqttOption, QosOption, check_version
from motte.text import printable

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

__all__ = ["sub"]

SHOWN_CHARACTERS = 4096
"""Characters of a payload shown on a terminal at most; ``--json`` shows all."""


def sub(  # noqa: PLR0913 (options of one command)
    context: typer.Context,
    topic: Annotated[list[str], typer.Argument(metavar="FILTER...", show_default=False)],
    *,
    identity: AsOption,
    qos: QosOption = 1,
    mqtt: MqttOption = "5",
    count: Annotated[
        int | None, typer.Option("--count", "-n", min=1, help="End after that many messages.")
    ] = None,
    session: Annotated[
        int | None,
        typer.Option(min=1, max=2**32 - 1, help="Keep the session that many seconds."),
    ] = None,
    suffix: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Connect as one of several: the client id becomes ID:NAME. The members of a "
            "group, `$share/GROUP/FILTER`, need one each.",
        ),
    ] = None,
    directory: DirectoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Subscribe and print each message: topic, then payload. Ctrl-C ends it."""
    run = invocation(context, directory, as_json)
    check_version(mqtt)
    from motte.cli.mqtt import Client
    from motte.cli.render import console, print_json, say

    received = 0

    def show(message: "MQTTMessage") -> None:
        nonlocal received
        received += 1
        if run.json:
            print_json(_as_json(message))
        else:
            say(f"{printable(message.topic)}  {_payload_text(message)}")

    client = Client(
        run.deployment(), identity, version=mqtt, session_expiry=session, on_message=show,
        suffix=suffix,
    )  # fmt: skip
    with client.connected():
        client.subscribe(topic, qos=qos)
        if not run.json:
            filters = " ".join(printable(text) for text in topic)
            console(error=True).print(f"subscribed to {filters} as {identity}", style="dim")
        while count is None or received < count:
            client.loop()


def _payload_text(message: "MQTTMessage") -> str:
    try:
        text = message.payload.decode()
    except UnicodeDecodeError:
        return f"({len(message.payload)} bytes, not text)"
    return printable(text, limit=SHOWN_CHARACTERS) + (" (retained)" if message.retain else "")


def _as_json(message: "MQTTMessage") -> dict[str, Any]:
    document: dict[str, Any] = {
        "topic": message.topic,
        "qos": message.qos,
        "retain": bool(message.retain),
    }
    try:
        document["payload"] = message.payload.decode()
    except UnicodeDecodeError:
        document["payload_base64"] = base64.b64encode(message.payload).decode()
    if message.properties is not None:
        properties = message.properties.json()  # type: ignore[no-untyped-call]
        if properties:
            document["properties"] = properties
    return document
