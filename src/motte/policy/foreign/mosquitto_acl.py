"""Mosquitto's ``acl_file``.

Source: mosquitto.conf(5), ``acl_file``, and the behaviour of Mosquitto 2.0, with which the tests
compare this file: denials of a user come before its grants, those before all patterns, and denied
patterns before granted ones. Lines before the first ``user`` are for clients without a user name.
A subscription is not looked at, a message is when it is delivered.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from motte.policy.foreign.translation import (
    Remarks,
    Translation,
    is_filter,
    refuse,
    shown,
    stand_in,
)
from motte.policy.radius.document import ForeignGrant, ForeignPolicy, ForeignRole

__all__ = ["translate"]

_ACCESS: Final = {
    "read": (True, False),
    "write": (False, True),
    "readwrite": (True, True),
    "deny": (False, False),
}
LOGIN: Final = "login"
"""The attribute that tells users with lines of their own from others, and from clients without a
name: only the first kind has denials of its own."""


@dataclass(frozen=True, slots=True)
class _Rule:
    topic: str
    line: int
    reads: bool
    writes: bool

    @property
    def denies(self) -> bool:
        return not (self.reads or self.writes)


@dataclass(slots=True)
class _File:
    """The rules by whom they are for."""

    anonymous: list[_Rule] = field(default_factory=list)
    users: dict[str, list[_Rule]] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    patterns: list[_Rule] = field(default_factory=list)


def translate(text: str, file: str, *, client_id_is_user_name: bool = False) -> Translation:
    """The rules of an ACL file.

    With ``client_id_is_user_name`` (``use_username_as_clientid true``) a client id is no claim.
    """
    remarks = Remarks()
    rules = _read(text, file)
    names = {name: stand_in(name) for name in rules.users}
    for name, stand in names.items():
        if name != stand:
            remarks.note(
                rules.lines[name],
                f"the user {shown(name)} is called `{stand}` here",
                "no certificate can hold the name; the answer is the same",
            )
    placeholders = _Placeholders(remarks, names, client_id_is_user_name)
    patterns = [one for rule in rules.patterns for one in placeholders.pattern(rule)]
    roles = [
        _role(stand_in(name), rules.lines[name], own, patterns, names, user=names[name])
        for name, own in rules.users.items()
    ]
    if rules.anonymous:
        remarks.note(
            rules.anonymous[0].line,
            "lines before the first `user` are for clients without a user name",
            "they count only where `allow_anonymous true` lets such clients in",
        )
        without = [rule for rule in patterns if "{device}" not in rule.topic.split("/")]
        roles.append(_role("anonymous", rules.anonymous[0].line, rules.anonymous, without, names))
    if rules.patterns:
        roles.append(_role("other-users", rules.patterns[0].line, [], patterns, names))
    return Translation(
        "mosquitto-acl", ForeignPolicy(file, tuple(roles)), tuple(remarks.found), remarks.hidden
    )


def _read(text: str, file: str) -> _File:
    found = _File()
    current = found.anonymous
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.rstrip()
        if not line or line.startswith("#"):
            continue
        keyword, _, rest = line.partition(" ")
        rest = rest.lstrip()
        if keyword == "user":
            if not rest:
                raise refuse(file, number, "`user` without a name", "write `user NAME`")
            current = found.users.setdefault(rest, [])
            found.lines.setdefault(rest, number)
        elif keyword in {"topic", "pattern"}:
            rule = _rule(rest, number, file, keyword)
            (found.patterns if keyword == "pattern" else current).append(rule)
        else:
            raise refuse(
                file,
                number,
                f"{shown(keyword)} is no keyword of an ACL file",
                "an ACL file has lines with `user`, `topic` and `pattern`, and comments with `#`",
            )
    return found


def _rule(rest: str, number: int, file: str, keyword: str) -> _Rule:
    first, _, topic = rest.partition(" ")
    if first in _ACCESS and topic.strip():
        reads, writes = _ACCESS[first]
        rest = topic.lstrip()
    else:
        reads = writes = True
    if not rest or not is_filter(rest):
        raise refuse(
            file,
            number,
            f"{shown(rest)} is no topic filter",
            f"write `{keyword} readwrite a/b/#`",
        )
    return _Rule(rest, number, reads, writes)


@dataclass(frozen=True, slots=True)
class _Placeholders:
    """Turns ``%u`` and ``%c`` into what they can be."""

    remarks: Remarks
    names: dict[str, str]
    client_id_is_user_name: bool

    def pattern(self, rule: _Rule) -> Iterator[_Rule]:
        """The rule with placeholders of ours; wider where need be, no denial is."""
        levels: list[str] = []
        exact = True
        for level in rule.topic.split("/"):
            text = level.replace("%c", "%u") if self.client_id_is_user_name else level
            if "%c" in text:
                exact = False
                levels.append("#")
                self.remarks.wider(
                    rule.line,
                    f"`%c` in {shown(rule.topic)} is whatever a client says, with `/` in it too",
                    "a client id is a claim: use `%u`, or `use_username_as_clientid true` "
                    "(then add --client-id-is-user-name)",
                )
                break
            if text == "%u":
                levels.append("{device}")
            elif "%u" in text:
                exact = False
                levels.append("+")
                self.remarks.wider(
                    rule.line,
                    f"`%u` in {shown(rule.topic)} is a part of a level; it counts as any level",
                    "give the user name a level of its own",
                )
            else:
                levels.append(self.names.get(text, text))
        if exact or not rule.denies:
            yield _Rule("/".join(levels), rule.line, rule.reads, rule.writes)
        else:
            self.remarks.left_out(
                rule.line,
                f"the denial {shown(rule.topic)} counts as nothing",
                "it takes away less than can be said here; the radius is not smaller than told",
            )


def _role(
    name: str,
    line: int,
    own: list[_Rule],
    patterns: list[_Rule],
    names: dict[str, str],
    *,
    user: str | None = None,
) -> ForeignRole:
    """Own denials before own grants before denied patterns before granted patterns."""
    renamed = [
        _Rule(
            "/".join(names.get(level, level) for level in rule.topic.split("/")),
            rule.line,
            rule.reads,
            rule.writes,
        )
        for rule in own
    ]
    denied = [rule.topic for rule in renamed if rule.denies]
    everywhere = [*denied, *(rule.topic for rule in patterns if rule.denies)]
    publish: list[ForeignGrant] = []
    subscribe: list[ForeignGrant] = []
    for rules, unless in ((renamed, denied), (patterns, everywhere)):
        for rule in rules:
            grant = ForeignGrant(rule.topic, rule.line, unless=tuple(unless))
            if rule.writes:
                publish.append(grant)
            if rule.reads:
                subscribe.append(grant)
    login = "listed" if user is not None else "none" if name == "anonymous" else "other"
    return ForeignRole(
        name, line, tuple(publish), tuple(subscribe), id=user, attributes={LOGIN: login}
    )
