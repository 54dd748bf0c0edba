"""The state file of Mosquitto's dynamic security plugin.

Source: mosquitto.org, "Dynamic Security Plugin"; compared with the plugin of Mosquitto 2.0 by the
tests. Roles of a client come first, then those of its groups, each by priority; in a role the rules
by priority; the first rule that matches decides, else the default. To subscribe, a filter has to be
within the rule's topic; a message has to pass ``publishClientReceive``, too. For topics that begin
with ``$`` the translation is wider: the plugin's rules do not agree about them.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from motte import _core
from motte.policy.foreign.translation import (
    Remarks,
    Translation,
    everything,
    is_filter,
    line_of,
    narrowed,
    refuse,
    shown,
    stand_in,
)
from motte.policy.radius.document import ForeignGrant, ForeignPolicy, ForeignRole

__all__ = ["translate"]

_SEND: Final = "publishClientSend"
_RECEIVE: Final = "publishClientReceive"
_LITERAL: Final = "subscribeLiteral"
_PATTERN: Final = "subscribePattern"
_IGNORED: Final = frozenset({"unsubscribeLiteral", "unsubscribePattern"})


@dataclass(frozen=True, slots=True)
class _Rule:
    kind: str
    topic: str
    allows: bool
    line: int


def translate(text: str, file: str) -> Translation:
    """The clients of a dynamic-security.json, each as a role."""
    document = _document(text, file)
    reader = _Reader(document, text, file)
    roles = [
        reader.role(client)
        for client in _list(document, "clients", file, text)
        if not client.get("disabled", False)
    ]
    return Translation(
        "mosquitto-dynsec",
        ForeignPolicy(file, tuple(roles)),
        tuple(reader.remarks.found),
        reader.remarks.hidden,
    )


def _document(text: str, file: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        raise refuse(
            file, line, "this is not JSON", "give dynamic-security.json as it is"
        ) from error
    if not isinstance(document, dict) or not ({"clients", "roles"} & document.keys()):
        raise refuse(
            file,
            1,
            "there are no `clients` and `roles` in it",
            "give the dynamic-security.json of Mosquitto's plugin",
        )
    return document


def _list(document: dict[str, Any], key: str, file: str, text: str) -> list[dict[str, Any]]:
    found = document.get(key, [])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        line = line_of(text, f'"{key}"')
        raise refuse(file, line, f"`{key}` is not a list of objects", "give the file as it is")
    return found


class _Reader:
    def __init__(self, document: dict[str, Any], text: str, file: str) -> None:
        self.remarks = Remarks()
        self._text, self._file = text, file
        self._roles = {
            role.get("rolename"): _list(role, "acls", file, text)
            for role in _list(document, "roles", file, text)
        }
        self._groups = {
            group.get("groupname"): group for group in _list(document, "groups", file, text)
        }
        defaults = document.get("defaultACLAccess", {})
        topics = (
            acl.get("topic") for acls in self._roles.values() for acl in acls if "topic" in acl
        )
        self._everything = everything(str(topic) for topic in topics)
        self._defaults = {
            _SEND: bool(defaults.get(_SEND, False)),
            _RECEIVE: bool(defaults.get(_RECEIVE, True)),
            _PATTERN: bool(defaults.get("subscribe", False)),
        }

    def role(self, client: dict[str, Any]) -> ForeignRole:
        """One client with everything its roles say, in the order in which they are asked."""
        name = client.get("username")
        if not isinstance(name, str) or not name:
            raise refuse(self._file, 1, "a client without `username`", "give the file as it is")
        line = line_of(self._text, json.dumps(name, ensure_ascii=False))
        identity = stand_in(name)
        if identity != name:
            self.remarks.note(
                line,
                f"the client {shown(name)} is called `{identity}` here",
                "no certificate can hold the name; the answer is the same",
            )
        rules = list(self._rules(client))
        receive = list(self._first_match(rules, _RECEIVE))
        return ForeignRole(
            identity,
            line,
            tuple(self._first_match(rules, _SEND)),
            tuple(narrowed(self._subscriptions(rules), receive)),
            id=identity,
        )

    def _rules(self, client: dict[str, Any]) -> Iterator[_Rule]:
        for name in self._names(client, "roles", "rolename"):
            yield from self._of_role(name)
        for group in self._names(client, "groups", "groupname"):
            for name in self._names(self._groups.get(group, {}), "roles", "rolename"):
                yield from self._of_role(name)

    def _names(self, holder: dict[str, Any], key: str, field: str) -> list[str]:
        entries = _list(holder, key, self._file, self._text)
        ordered = sorted(entries, key=_priority)
        return [str(entry.get(field)) for entry in ordered]

    def _of_role(self, name: str) -> Iterator[_Rule]:
        for acl in sorted(self._roles.get(name, []), key=_priority):
            kind, topic = acl.get("acltype"), acl.get("topic")
            line = line_of(self._text, json.dumps(topic, ensure_ascii=False))
            if kind in _IGNORED:
                continue
            if kind not in {_SEND, _RECEIVE, _LITERAL, _PATTERN} or not (
                isinstance(topic, str) and is_filter(topic)
            ):
                self.remarks.left_out(
                    line,
                    f"a rule of role {shown(name)} is not known: {shown(f'{kind} {topic}')}",
                    "see what it is for; the radius may be larger than told",
                )
                continue
            if "%" in topic:
                self.remarks.note(
                    line,
                    f"`%` in {shown(topic)} is taken literally",
                    "Mosquitto 2.0 has no placeholders here",
                )
            yield _Rule(kind, topic, bool(acl.get("allow", False)), line)

    def _first_match(self, rules: Iterable[_Rule], kind: str) -> Iterator[ForeignGrant]:
        """Topics that the first matching rule allows, or the default."""
        denied: list[str] = []
        for rule in rules:
            if rule.kind != kind:
                continue
            if rule.allows:
                yield ForeignGrant(rule.topic, rule.line, unless=tuple(denied))
            else:
                denied.append(rule.topic)
        if self._defaults[kind]:
            line = line_of(self._text, '"defaultACLAccess"')
            for topic in self._everything:
                yield ForeignGrant(topic, line, unless=tuple(denied))

    def _subscriptions(self, rules: Iterable[_Rule]) -> Iterator[ForeignGrant]:
        """Filters that can be subscribed to. A denial takes away those within it alone."""
        denied: list[_Rule] = []
        for rule in rules:
            if rule.kind not in {_LITERAL, _PATTERN}:
                continue
            if rule.allows:
                yield from self._subscription(rule, denied)
            else:
                denied.append(rule)
        if self._defaults[_PATTERN]:
            line = line_of(self._text, '"defaultACLAccess"')
            for topic in self._everything:
                yield from self._subscription(
                    _Rule(_LITERAL, topic, allows=True, line=line), denied
                )

    def _subscription(self, rule: _Rule, denied: list[_Rule]) -> Iterator[ForeignGrant]:
        """The filters of a rule, unless a denial takes all of them away for certain."""
        first, _, rest = rule.topic.partition("/")
        spellings = [rule.topic]
        if rule.kind == _PATTERN and first in {"+", "#"}:
            # Within a rule the plugin knows no difference for topics that begin with `$`.
            own = [one.removesuffix("/#") for one in self._everything if one != "#"]
            spellings += [f"{name}/{'#' if first == '#' else rest}".rstrip("/") for name in own]
        for topic in spellings:
            certain = [one for one in denied if one.topic == topic or not _is_open(topic)]
            if not any(_holds(one.topic, topic) for one in certain if one.kind == _PATTERN):
                if any(_holds(one.topic, topic) for one in denied):
                    self.remarks.wider(
                        rule.line,
                        f"a denial takes filters away from {shown(rule.topic)}, and others get "
                        "round it",
                        "deny publishClientReceive instead: it is asked for each message",
                    )
                yield ForeignGrant(topic, rule.line)


def _priority(entry: dict[str, Any]) -> int:
    priority = entry.get("priority", -1)
    return -priority if isinstance(priority, int) else 1


def _is_open(topic: str) -> bool:
    """Whether it is a filter with other spellings, or one whose parts are filters."""
    return bool({"+", "#"} & set(topic.split("/")))


def _holds(wide: str, topic: str) -> bool:
    return _core.filter_contains([wide], [], topic) is None
