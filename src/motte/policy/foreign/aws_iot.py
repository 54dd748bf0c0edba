"""AWS IoT Core policies.

Source: AWS IoT Core Developer Guide, "AWS IoT Core policies", "policy actions", "policy variables".
``*`` and ``?`` stand for any characters, ``/`` too; ``+`` and ``#`` are characters. To read a
topic a client needs `iot:Subscribe` for a filter and `iot:Receive` for the topic. A denial wins.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from motte import _core
from motte.policy.foreign.translation import (
    Remarks,
    Translation,
    is_filter,
    is_identity_value,
    line_of,
    narrowed,
    refuse,
    shown,
)
from motte.policy.radius.document import ForeignGrant, ForeignPolicy, ForeignRole

__all__ = ["translate"]

_VARIABLE: Final = re.compile(r"\$\{(iot|aws):([^}]*)\}")
_THING: Final = {"Connection.Thing.ThingName", "ThingName"}
_CLIENT: Final = "ClientId"
_ATTRIBUTE: Final = re.compile(r"Connection\.Thing\.Attributes\[([^]]+)\]")
_KINDS: Final = {
    "iot:publish": "topic",
    "iot:retainpublish": "topic",
    "iot:receive": "topic",
    "iot:subscribe": "topicfilter",
    "iot:connect": "client",
}
ANYWHERE: Final = "*"


@dataclass(frozen=True, slots=True)
class _Topics:
    """Topics that a resource stands for; ``exact`` says that they are no more than it means."""

    filter: str
    exact: bool
    line: int


def translate(text: str, file: str) -> Translation:
    """One policy document, as every thing has it to which it is attached."""
    statements = _statements(text, file)
    reader = _Reader(text, file, statements)
    publish = list(reader.granted("iot:publish"))
    retained = list(reader.granted("iot:retainpublish"))
    grants = [
        *(ForeignGrant(g.topic, g.line, g.qos, retain=False, unless=g.unless) for g in publish),
        *narrowed(retained, publish),
    ]
    subscribe = narrowed(reader.granted("iot:subscribe"), list(reader.granted("iot:receive")))
    role = ForeignRole("thing", 1, tuple(_each_once(grants)), tuple(_each_once(list(subscribe))))
    return Translation(
        "aws-iot",
        ForeignPolicy(file, (role,)),
        tuple(reader.remarks.found),
        reader.remarks.hidden,
    )


def _each_once(grants: list[ForeignGrant]) -> list[ForeignGrant]:
    return list({(g.topic, g.retain, g.unless): g for g in grants}.values())


def _statements(text: str, file: str) -> list[dict[str, Any]]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        raise refuse(file, line, "this is not JSON", "give the policy document as it is") from error
    if isinstance(document, dict) and isinstance(document.get("policyDocument"), str):
        return _statements(document["policyDocument"], file)
    statements = document.get("Statement") if isinstance(document, dict) else None
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not all(isinstance(one, dict) for one in statements):
        raise refuse(
            file, 1, "there is no `Statement` in it", "give the policy document of `get-policy`"
        )
    return statements


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


class _Reader:
    def __init__(self, text: str, file: str, statements: list[dict[str, Any]]) -> None:
        self.remarks = Remarks()
        self._text, self._file = text, file
        self._statements = statements
        self._own_client_id = self._connects_only_as_thing()

    def granted(self, action: str) -> Iterator[ForeignGrant]:
        """What is allowed, each with what is denied for certain."""
        denied: list[str] = []
        for topics in self._of("Deny", action):
            if topics.exact:
                denied.append(topics.filter)
            else:
                self.remarks.left_out(
                    topics.line,
                    "a denial cannot be said exactly and counts as nothing",
                    "the radius is not larger than told",
                )
        for topics in self._of("Allow", action):
            # A denied filter does not keep a wider one from being subscribed to.
            if action == "iot:subscribe":
                if not any(
                    _core.filter_contains([one], [], topics.filter) is None for one in denied
                ):
                    yield ForeignGrant(topics.filter, topics.line)
            else:
                yield ForeignGrant(topics.filter, topics.line, unless=tuple(denied))

    def _of(self, effect: str, action: str) -> Iterator[_Topics]:
        for statement in self._statements:
            if statement.get("Effect") != effect:
                continue
            line = self._line(statement)
            if "NotAction" in statement or "NotResource" in statement:
                self.remarks.left_out(
                    line, "`NotAction` and `NotResource` are not for IoT policies",
                    "say what is meant with `Action` and `Resource`",
                )  # fmt: skip
                continue
            if not any(_glob(one, action) for one in _texts(statement.get("Action"))):
                continue
            conditional = bool(statement.get("Condition"))
            if conditional and effect == "Allow":
                self.remarks.wider(
                    line, "a `Condition` is not looked at", "the rule counts without it"
                )
            for resource in _texts(statement.get("Resource")):
                found = self._topics(resource, action, line_of(self._text, json.dumps(resource)))
                if found is not None:
                    yield _Topics(found.filter, found.exact and not conditional, found.line)

    def _line(self, statement: dict[str, Any]) -> int:
        resources = _texts(statement.get("Resource"))
        return line_of(self._text, json.dumps(resources[0])) if resources else 1

    def _connects_only_as_thing(self) -> bool:
        clients = [
            resource.rsplit(":", 1)[-1] if "${" not in resource else resource
            for statement in self._statements
            if statement.get("Effect") == "Allow"
            and any(_glob(one, "iot:connect") for one in _texts(statement.get("Action")))
            for resource in _texts(statement.get("Resource"))
        ]
        own = "client/${iot:Connection.Thing.ThingName}"
        return bool(clients) and all(client.endswith(own) for client in clients)

    def _topics(self, resource: str, action: str, line: int) -> _Topics | None:
        if resource == ANYWHERE:
            return _Topics("#", exact=True, line=line)
        kind = _KINDS[action]
        # arn:aws:iot:region:account:kind/rest, where the rest may hold colons.
        parts = resource.split(":", 5)
        last = parts[-1] if len(parts) == 6 else ""  # noqa: PLR2004 (the parts of an ARN)
        if last == ANYWHERE:
            return _Topics("#", exact=True, line=line)
        name, separator, rest = last.partition("/")
        if not separator:
            self.remarks.left_out(
                line, f"{shown(resource)} is no resource of IoT",
                "write arn:aws:iot:REGION:ACCOUNT:topic/TOPIC",
            )  # fmt: skip
            return None
        if name != kind:
            return None
        return self._glob_topics(rest, resource, line, is_filter_kind=kind == "topicfilter")

    def _glob_topics(
        self, text: str, resource: str, line: int, *, is_filter_kind: bool
    ) -> _Topics | None:
        levels: list[str] = []
        exact = True
        for index, level in enumerate(text.split("/")):
            if "*" in level:
                is_last = index == text.count("/")
                # `a/*` is everything below a; with a filter `a/#` it is a itself, too.
                whole = level == "*" and is_last
                if not whole:
                    exact = False
                    self.remarks.wider(
                        line, f"`*` in {shown(resource)} is in the middle of a level or a topic",
                        "it counts as everything from there on",
                    )  # fmt: skip
                levels.append("#" if whole and (is_filter_kind or index == 0) else "+/#")
                break
            if level in {"+", "#"} and not is_filter_kind:
                self.remarks.note(
                    line, f"{shown(level)} in {shown(resource)} is a character, no wildcard",
                    "no topic has it, so the resource grants nothing",
                )  # fmt: skip
                return None
            filled, is_exact = self._level(level, line)
            exact = exact and is_exact
            levels.append(filled)
        result = "/".join(levels)
        if not is_filter(result):
            self.remarks.left_out(line, f"{shown(resource)} is no topic", "look at the line")
            return None
        return _Topics(result, exact, line)

    def _level(self, level: str, line: int) -> tuple[str, bool]:
        found = _VARIABLE.search(level)
        if found is None and "?" not in level:
            return level, True
        if found is not None and found[0] == level:
            name = found[2]
            attribute = _ATTRIBUTE.fullmatch(name)
            if name in _THING or (name == _CLIENT and self._own_client_id):
                return "{device}", True
            if attribute and is_identity_value(attribute[1]):
                return "{" + attribute[1] + "}", True
            if name == _CLIENT:
                self.remarks.wider(
                    line, "`${iot:ClientId}` is whatever a client says",
                    "let it connect only as client/${iot:Connection.Thing.ThingName}",
                )  # fmt: skip
                return "+", False
        self.remarks.wider(
            line, f"{shown(level)} counts as any level", "give the variable a level of its own"
        )
        return "+", False


def _glob(pattern: str, text: str) -> bool:
    """Whether an action of a policy, which may hold ``*``, is this one."""
    expression = re.escape(pattern.lower()).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, text) is not None
