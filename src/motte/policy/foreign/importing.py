"""Reads a file of another broker: which one it is, and what it says."""

from dataclasses import dataclass
from pathlib import Path

from motte.errors import PolicyError, StoreError
from motte.files import file_errors
from motte.policy.foreign import aws_iot, emqx, hivemq, mosquitto_acl, mosquitto_dynsec
from motte.policy.foreign.formats import Format
from motte.policy.foreign.translation import MAXIMUM_FILE_BYTES, Translation

__all__ = ["Options", "read_foreign"]


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of the other broker that change what its rules mean."""

    client_id_is_user_name: bool = False
    no_match_denies: bool = False


def read_foreign(path: Path, format: Format | None, options: Options) -> Translation:  # noqa: A002
    """Translates a file; raises `PolicyError` where it is not what it should be."""
    text = _text(path)
    name = path.name
    match format or _guess(text):
        case Format.MOSQUITTO_ACL:
            return mosquitto_acl.translate(
                text, name, client_id_is_user_name=options.client_id_is_user_name
            )
        case Format.MOSQUITTO_DYNSEC:
            return mosquitto_dynsec.translate(text, name)
        case Format.EMQX:
            return emqx.translate(text, name, no_match_denies=options.no_match_denies)
        case Format.AWS_IOT:
            return aws_iot.translate(text, name)
        case Format.HIVEMQ:
            return hivemq.translate(text, name)


def _guess(text: str) -> Format:
    start = next((line.strip() for line in text.splitlines() if line.strip()), "")
    if start.startswith("<"):
        return Format.HIVEMQ
    if text.lstrip().startswith("{") and '"' in text and ("allow," not in text.split("\n", 1)[0]):
        if "Statement" in text or "policyDocument" in text:
            return Format.AWS_IOT
        if '"clients"' in text or '"roles"' in text:
            return Format.MOSQUITTO_DYNSEC
    stripped = [line.strip() for line in text.splitlines()]
    if any(line.startswith(("{allow", "{deny")) for line in stripped):
        return Format.EMQX
    return Format.MOSQUITTO_ACL


def _text(path: Path) -> str:
    if not path.is_file():
        raise PolicyError(f"{path} is no file", hint="name the file with the rules of the broker")
    try:
        with file_errors("read", path), path.open("rb") as file:
            data = file.read(MAXIMUM_FILE_BYTES + 1)
    except StoreError as error:
        raise PolicyError(error.message, hint=error.hint) from error
    if len(data) > MAXIMUM_FILE_BYTES:
        raise PolicyError(
            f"{path} is larger than {MAXIMUM_FILE_BYTES // 1024 // 1024} MiB",
            hint="it does not look like a file of rules",
        )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PolicyError(f"{path.name}:{line}: not UTF-8 text", hint="save it as UTF-8") from error
