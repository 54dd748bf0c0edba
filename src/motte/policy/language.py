"""The policy language: text in, roles out, or everything that is wrong with the text.

The language is total. Whatever can fail fails here, with file, line, column and a hint; a policy
that was read without an error can be compiled and enforced, and nothing in it is decided later.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from motte import _core
from motte.errors import PolicyError, StoreError
from motte.files import file_errors
from motte.policy.diagnostics import (
    Diagnostic,
    InvalidPolicyError,
    Location,
    Problems,
    Source,
)
from motte.policy.document import Entry, Node, Reader, Shape, document_of
from motte.policy.grants import RuleReader
from motte.policy.limits import read_limits
from motte.policy.lint.roles import advise
from motte.policy.model import Kind, Match, Policy, Relay, Role
from motte.policy.patterns import (
    KNOWN_ATTRIBUTES,
    MAXIMUM_ATTRIBUTES,
    NOT_ATTRIBUTES,
    is_identity_value,
)
from motte.text import nearest, printable

__all__ = ["POLICY_FILE", "ReadPolicy", "load", "parse"]

POLICY_FILE: Final = "policy.toml"
"""What the policy file is called in a deployment folder."""
MAXIMUM_FILE_BYTES: Final = 1024 * 1024
"""Size of a policy file at most: thousands of rules fit; a wrong file does not."""
MAXIMUM_ROLES: Final = 256
"""Roles of one policy at most. Roles are kinds of things, not things; who needs more wants
attributes and placeholders."""
MAXIMUM_SHARES: Final = 16
"""Groups of one role at most, which is what the data plane looks through for each message."""
MAXIMUM_RULES: Final = 4096
"""Grants and denials of one policy at most, so that a snapshot has room for an allowed and a
refused test question about each."""

_ROLE_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ROLE_KEYS: Final = (
    "match", "publish", "subscribe", "deny", "wildcards", "share", "limits", "relays"
)  # fmt: skip
_SHARE_EXAMPLE: Final = 'write the names of the groups: `share = ["workers"]`'


@dataclass(frozen=True, slots=True)
class ReadPolicy:
    """A policy without errors, what is probably not meant in it, and its text."""

    policy: Policy
    warnings: tuple[Diagnostic, ...]
    source: Source


def load(path: Path) -> ReadPolicy:
    """Reads and checks the policy file at ``path``."""
    data = _read(path)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        start = data.rfind(b"\n", 0, error.start) + 1
        column = len(data[start : error.start].decode("utf-8", "replace")) + 1
        source = Source.of(path.name, data.decode("utf-8", "replace"))
        problems = Problems(source)
        problems.error(
            "not-utf-8",
            Location(data.count(b"\n", 0, error.start) + 1, column),
            f"the byte 0x{data[error.start]:02x} is not UTF-8 text",
            "save the file as UTF-8",
        )
        raise InvalidPolicyError(source, problems.ordered()) from error
    return parse(text, path.name)


def parse(text: str, name: str = POLICY_FILE) -> ReadPolicy:
    """Checks the text of a policy; ``name`` is what diagnostics call the file."""
    source = Source.of(name, text)
    problems = Problems(source)
    try:
        document = document_of(text)
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        column = error.start - (text.rfind("\n", 0, error.start) + 1) + 1
        problems.error(
            "not-utf-8",
            Location(line, column),
            f"the character U+{ord(text[error.start]):04X} is no text",
            "save the file as UTF-8",
        )
        raise InvalidPolicyError(source, problems.ordered()) from error
    except _core.TomlError as error:
        problems.error(
            "syntax",
            Location(error.line, error.column),
            error.message,
            "each key, and each `[role.NAME]`, stands once: put the two together"
            if error.message == "duplicate key"
            else "this is not TOML yet; see https://toml.io for the syntax",
        )
        raise InvalidPolicyError(source, problems.ordered()) from error
    policy = _PolicyReader(problems).read(document, name)
    if not problems.failed:
        advise(policy, problems)
    if problems.failed:
        raise InvalidPolicyError(source, problems.ordered())
    return ReadPolicy(policy, problems.warnings, source)


def _read(path: Path) -> bytes:
    missing = "put one there; `motte policy example` prints one to start from"
    if not path.exists():
        raise PolicyError(f"{path} is missing", hint=missing)
    if path.is_dir():
        raise PolicyError(f"{path} is a folder, not a policy file", hint="name the file in it")
    try:
        with file_errors("read", path), path.open("rb") as file:
            data = file.read(MAXIMUM_FILE_BYTES + 1)
    except StoreError as error:
        raise PolicyError(error.message, hint=error.hint) from error
    if len(data) > MAXIMUM_FILE_BYTES:
        raise PolicyError(
            f"{path} is larger than {MAXIMUM_FILE_BYTES // 1024} KiB",
            hint="roles are for kinds of things: use attributes and placeholders, "
            "not one role for each device",
        )
    return data


class _PolicyReader:
    """Walks the document once and collects every problem on the way."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._reader = Reader(problems)

    def read(self, document: Node, name: str) -> Policy:
        roles: list[Role] = []
        for entry in document.entries:
            if entry.name != "role":
                self._reader.unknown(entry, ("role",), "a policy")
            elif self._reader.expect(entry, Shape.TABLE, "write `[role.NAME]` above the role"):
                roles.extend(self._role(one) for one in entry.node.entries)
        self._check_size(roles)
        return Policy(name, tuple(roles))

    def _check_size(self, roles: list[Role]) -> None:
        if len(roles) > MAXIMUM_ROLES:
            self._problems.error(
                "too-large",
                roles[MAXIMUM_ROLES].place,
                f"the policy has {len(roles)} roles, {MAXIMUM_ROLES} is the most",
                "a role is for a kind of thing: tell single things apart with `{device}` and "
                "attributes",
            )
        rules = sum(len(role.rules) for role in roles)
        if rules > MAXIMUM_RULES:
            self._problems.error(
                "too-large",
                Location(1, 1),
                f"the policy has {rules} grants and denials, {MAXIMUM_RULES} is the most",
                "placeholders such as `{device}` say for all devices what is written out here",
            )

    def _role(self, entry: Entry) -> Role:
        """The role; what is wrong in it has been reported and is left out of it."""
        if not _ROLE_NAME.fullmatch(entry.name):
            self._problems.error(
                "role-name",
                entry.place,
                f"`{printable(entry.name, limit=60)}` cannot be the name of a role",
                "use 1 to 64 letters, digits, `-` and `_`",
            )
        nobody = Match(Kind.DEVICE, None, {})
        if not self._reader.expect(entry, Shape.TABLE, "write `[role.NAME]` above the role"):
            return Role(entry.name, entry.place, nobody)
        keys = self._keys(entry)
        match = self._match(entry, keys.get("match"))
        rules = RuleReader(self._problems, match)
        publish = rules.publish(keys["publish"]) if "publish" in keys else ()
        subscribe = rules.subscribe(keys["subscribe"]) if "subscribe" in keys else ()
        deny = rules.deny(keys["deny"]) if "deny" in keys else ()
        wildcards = self._wildcards(keys.get("wildcards"), match)
        share = self._share(keys["share"], match) if "share" in keys else ()
        kind = match.kind if match else None
        limits = read_limits(self._reader, keys["limits"], kind) if "limits" in keys else {}
        relays = self._relays(keys["relays"], match, rules) if "relays" in keys else ()
        return Role(
            entry.name,
            entry.place,
            match or nobody,
            publish,
            subscribe,
            deny,
            wildcards,
            share,
            limits,
            relays,
        )

    def _relays(self, entry: Entry, match: Match | None, rules: RuleReader) -> tuple[Relay, ...]:
        if match and match.kind is Kind.DEVICE:
            self._problems.error(
                "device-relays", entry.place,
                "a device is not a relay: `relays` say what a service passes on",
                'remove it, or put it into the role of a service, `match = { service = "…" }`',
            )  # fmt: skip
            return ()
        return rules.relays(entry)

    def _keys(self, entry: Entry) -> dict[str, Entry]:
        keys: dict[str, Entry] = {}
        for one in entry.node.entries:
            if one.name in _ROLE_KEYS:
                keys[one.name] = one
            else:
                shown = printable(entry.name, limit=60)
                self._reader.unknown(one, _ROLE_KEYS, f"role `{shown}`")
        return keys

    def _match(self, role: Entry, entry: Entry | None) -> Match | None:
        example = 'write `match = { group = "…" }` or `match = { service = "…" }`'
        if entry is None:
            self._problems.error(
                "missing-key",
                role.place,
                f"role `{printable(role.name, limit=60)}` does not say whom it is for",
                example,
            )
            return None
        if not self._reader.expect(entry, Shape.TABLE, example):
            return None
        if not entry.node.entries:
            self._problems.error(
                "empty-match",
                entry.node.place,
                "an empty match would be every device of the fleet",
                f"say which: {example}",
            )
            return None
        values = {one.name: self._match_value(one) for one in entry.node.entries}
        if None in values.values():
            return None
        return self._match_of(entry, {name: str(value) for name, value in values.items()})

    def _match_value(self, entry: Entry) -> str | None:
        shown = printable(entry.name, limit=60)
        if entry.name in NOT_ATTRIBUTES:
            self._problems.error(
                "unknown-key", entry.place, f"`{shown}` is not an attribute",
                'write `device = "…"` or `service = "…"` for one identity by its id',
            )  # fmt: skip
            return None
        if not is_identity_value(entry.name):
            self._problems.error(
                "bad-attribute", entry.place, f"`{shown}` cannot be the name of an attribute",
                "use letters, digits, `-`, `_` and `.`, 64 at most, such as `group`",
            )  # fmt: skip
            return None
        hint = f'one value in quotes: `{shown} = "…"`; for several values write one role for each'
        value = self._reader.text(entry, hint)
        if value is None or is_identity_value(value):
            return value
        wild = any(sign in value for sign in "+#*{}")
        self._problems.error(
            "bad-match-value", entry.node.place,
            f"no identity can have the {shown} `{printable(value, limit=60)}`",
            f"a match is compared literally; leave `{shown}` out to match every value" if wild
            else "use letters, digits, `-`, `_` and `.`, 64 at most",
        )  # fmt: skip
        return None

    def _match_of(self, entry: Entry, values: dict[str, str]) -> Match | None:
        device, service = values.pop("device", None), values.pop("service", None)
        if device is not None and service is not None:
            self._problems.error(
                "bad-match", entry.node.place, "no identity is a device and a service",
                "keep `device` or `service`, and write a second role for the other",
            )  # fmt: skip
            return None
        if len(values) > MAXIMUM_ATTRIBUTES:
            self._problems.error(
                "bad-match", entry.node.place,
                f"the match has {len(values)} attributes, an identity has {MAXIMUM_ATTRIBUTES} "
                "at most",
                "leave some out",
            )  # fmt: skip
            return None
        self._advise_attributes(entry, values)
        if service is not None:
            return Match(Kind.SERVICE, service, values)
        return Match(Kind.DEVICE, device, values)

    def _advise_attributes(self, entry: Entry, values: dict[str, str]) -> None:
        """A misspelt attribute matches nobody, which is safe and hard to find."""
        likely = (*KNOWN_ATTRIBUTES, "device", "service")
        for one in entry.node.entries:
            if one.name not in values or one.name in KNOWN_ATTRIBUTES:
                continue
            if meant := nearest(one.name.lower(), likely):
                self._problems.warning(
                    "unknown-attribute", one.place,
                    f"the role is only for identities with the attribute `{one.name}`",
                    f"did you mean `{meant}`?",
                )  # fmt: skip

    def _wildcards(self, entry: Entry | None, match: Match | None) -> bool:
        if entry is None:
            return False
        value = self._reader.boolean(entry)
        if value and match and match.kind is Kind.DEVICE:
            self._problems.error(
                "device-wildcards", entry.node.place,
                "a device cannot hold a wildcard subscription",
                "remove `wildcards`: devices subscribe to concrete topics inside their grants; "
                'only a service, `match = { service = "…" }`, may have wildcards',
            )  # fmt: skip
        return bool(value)

    def _share(self, entry: Entry, match: Match | None) -> tuple[str, ...]:
        """The groups whose shared subscriptions the role may have."""
        if not self._reader.expect(entry, Shape.LIST, _SHARE_EXAMPLE):
            return ()
        names: list[str] = []
        if entry.node.items and match and match.kind is Kind.DEVICE:
            self._problems.error(
                "device-share", entry.node.place,
                "a device cannot hold a shared subscription",
                "remove `share`: who joins a group takes messages away from the others; only a "
                'service, `match = { service = "…" }`, may have groups',
            )  # fmt: skip
            return ()
        if len(entry.node.items) > MAXIMUM_SHARES:
            self._problems.error(
                "too-large", entry.node.items[MAXIMUM_SHARES].place,
                f"`share` has {len(entry.node.items)} groups, {MAXIMUM_SHARES} is the most of one "
                "role",
                "split the role in two with the same match",
            )  # fmt: skip
            return ()
        for node in entry.node.items:
            name = self._share_name(node)
            if name in names:
                self._problems.error(
                    "duplicate-share", node.place, f"`{name}` stands twice in `share`",
                    "keep one of them",
                )  # fmt: skip
            elif name is not None:
                names.append(name)
        return tuple(names)

    def _share_name(self, node: Node) -> str | None:
        if not self._reader.expect_node(node, Shape.TEXT, "a group", _SHARE_EXAMPLE):
            return None
        name = str(node.scalar)
        if is_identity_value(name):
            return name
        shown = printable(name, limit=60)
        parts = name.split("/")
        self._problems.error(
            "bad-share", node.place, f"`{shown}` cannot be the name of a group",
            f"write the name alone, `{parts[1]}`; the topics stand in `subscribe`"
            if parts[0] == "$share" and len(parts) > 1 and is_identity_value(parts[1])
            else "a group is named literally: letters, digits, `-`, `_` and `.`, 64 at most",
        )  # fmt: skip
        return None
