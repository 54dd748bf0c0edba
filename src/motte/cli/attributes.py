"""``--attribute key=value``, as several commands take it."""

from collections.abc import Iterable

import typer

__all__ = ["parse_attributes"]


def parse_attributes(given: Iterable[str]) -> dict[str, str]:
    """The attributes of a command line."""
    attributes: dict[str, str] = {}
    for text in given:
        key, separator, value = text.partition("=")
        if not (separator and key and value) or key in attributes:
            raise typer.BadParameter(
                f"{text!r}: write key=value, each key once, for example --attribute group=toaster"
            )
        attributes[key] = value
    return attributes
