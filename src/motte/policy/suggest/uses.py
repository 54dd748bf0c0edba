"""What grants were used for, as the evidence log tells it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from motte.policy.model import Action, Grant, Policy, PublishGrant, Role

__all__ = ["Use", "Uses", "read_uses"]

TEXT_LENGTH: Final = 480
"""Characters of a text that a record surely holds whole. What is longer may have been cut, so
nothing is concluded from it."""

_RULE: Final = re.compile(r":\d+ (role\.[A-Za-z0-9_-]+ (?:publish|subscribe) \".*\")\Z")
_ESCAPED: Final = re.compile(r"\\u\{([0-9a-f]{1,6})\}")
_CUT: Final = re.compile(r"\[\+\d+ bytes\]\Z")


@dataclass(frozen=True, slots=True)
class Use:
    """One manner in which a grant was used."""

    act: str
    """``publish``, ``will``, ``subscribe``; ``many`` for more than can be told."""
    qos: int
    retain: bool
    topic: str | None
    """The topic or filter, with what is the identity's own as placeholders; ``None`` where the
    grant says it."""
    moment: int
    """Milliseconds since the Unix epoch."""

    @property
    def is_unclear(self) -> bool:
        """Whether it is known that there was a use, but not which."""
        return self.act == "many" or (self.topic is not None and len(self.topic) > TEXT_LENGTH)


@dataclass(frozen=True, slots=True)
class Uses:
    """All uses that are known, by the grants of one policy."""

    by_rule: Mapping[str, tuple[Use, ...]]
    since: int | None
    """The moment of the first record of any kind, in milliseconds since the Unix epoch."""

    def of(self, role: Role, grant: Grant) -> tuple[Use, ...]:
        """The uses of a grant."""
        return self.by_rule.get(_name(role, grant), ())

    def of_role(self, role: Role) -> tuple[Use, ...]:
        """The uses of all grants of a role."""
        return tuple(use for grant in role.grants for use in self.of(role, grant))


def read_uses(records: Iterable[Mapping[str, Any]], policy: Policy, *, after: int = 0) -> Uses:
    """The uses among the records of a log that are later than ``after``.

    A grant is known by its role and its words: lines move when comments are written.
    """
    known = {_name(role, grant) for role in policy.roles for grant in role.grants}
    found: dict[str, dict[Use, None]] = {}
    since: int | None = None
    for record in records:
        moment = record.get("at_unix_ms")
        if not isinstance(moment, int) or moment < after:
            continue
        since = moment if since is None else min(since, moment)
        rule = _RULE.search(str(record.get("rule", "")))
        use = _use(record, moment)
        if use is not None and rule is not None and rule[1] in known:
            found.setdefault(rule[1], {})[use] = None
    return Uses({rule: tuple(uses) for rule, uses in found.items()}, since)


def _use(record: Mapping[str, Any], moment: int) -> Use | None:
    manner = record.get("manner")
    if record.get("kind") != "used" or not isinstance(manner, Mapping):
        return None
    act, qos, retain = manner.get("act"), manner.get("qos"), manner.get("retain")
    topic = record.get("topic")
    if not (isinstance(act, str) and isinstance(qos, int) and isinstance(retain, bool)):
        return None
    if topic is not None and _CUT.search(str(topic)):
        act, topic = "many", None
    return Use(act, qos, retain, None if topic is None else _unescaped(str(topic)), moment)


def _name(role: Role, grant: Grant) -> str:
    """A grant as the data plane names it in evidence: printable ASCII, in quotes."""
    kind = Action.PUBLISH if isinstance(grant, PublishGrant) else Action.SUBSCRIBE
    quoted = grant.topic.text.replace("\\", "\\\\").replace('"', '\\"')
    safe = "".join(
        character if " " <= character <= "~" else f"\\u{{{ord(character):x}}}"
        for character in quoted
    )
    return f'role.{role.name} {kind} "{safe}"'


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: chr(min(int(found[1], 16), 0x10FFFF)), text)
