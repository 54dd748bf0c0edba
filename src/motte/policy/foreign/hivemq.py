"""HiveMQ's file based access control: the File RBAC extension, and the file realm of ESE.

Source: HiveMQ, "File Role based Access Control Extension" (``credentials.xml``) and "Enterprise
Security Extension", file realm. Nothing is granted that no permission grants; there are no denials.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

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

MAXIMUM_DEPTH: Final = 32
"""Elements in elements at most: these files have six or seven."""
_USER: Final = re.compile(r"\$\{\{username\}\}|\$\{mqtt-username\}|\$\{authentication-key\}")
_CLAIMED: Final = re.compile(r"\$\{\{clientid\}\}|\$\{mqtt-clientid\}|\$\{mqtt-client-id\}")
_ANY: Final = re.compile(r"\$\{.*?\}\}?")
_QOS: Final = {"ZERO": 0, "ONE": 1, "TWO": 2, "ZERO_ONE": 1, "ONE_TWO": 2, "ZERO_TWO": 2, "ALL": 2}


@dataclass(slots=True)
class _Element:
    name: str
    line: int
    text: str = ""
    children: list["_Element"] = field(default_factory=list)

    def all(self, *names: str) -> Iterator["_Element"]:
        """Every element below with one of these names."""
        for child in self.children:
            if child.name in names:
                yield child
            else:
                yield from child.all(*names)

    def value(self, *names: str) -> str:
        """The text of the first child with one of these names."""
        return next((child.text.strip() for child in self.children if child.name in names), "")


def translate(text: str, file: str) -> Translation:
    """The users of a credentials.xml or an ese-file-realm.xml, each as a role."""
    root = _parse(text, file)
    if root.name not in {"file-rbac", "ese-file-realm", "extension-configuration"}:
        raise refuse(
            file,
            root.line,
            f"the file begins with <{root.name}>",
            "give credentials.xml of the File RBAC extension, or ese-file-realm.xml",
        )
    remarks = Remarks()
    # The file realm has sections for people as well, whose permissions are not about topics.
    part = next((child for child in root.children if child.name == "mqtt"), root)
    roles = {
        role.value("id", "name"): role
        for role in part.all("role", "mqtt-role")
        if list(role.all("permission", "mqtt-permission"))
    }
    users = [_user(user, roles, remarks) for user in part.all("user", "mqtt-user")]
    return Translation(
        "hivemq", ForeignPolicy(file, tuple(users)), tuple(remarks.found), remarks.hidden
    )


def _user(user: _Element, roles: dict[str, _Element], remarks: Remarks) -> ForeignRole:
    name = user.value("name", "username")
    identity = stand_in(name)
    if identity != name:
        remarks.note(
            user.line,
            f"the user {shown(name)} is called `{identity}` here",
            "no certificate can hold the name; the answer is the same",
        )
    publish: list[ForeignGrant] = []
    subscribe: list[ForeignGrant] = []
    own = [part for part in user.children if part.name in {"permissions", "mqtt-permissions"}]
    for permission in (each for part in own for each in part.all("permission", "mqtt-permission")):
        _permission(permission, publish, subscribe, remarks)
    for reference in user.all("id", "role", "mqtt-role-name", "role-name"):
        called = reference.text.strip() or reference.value("id", "name")
        role = roles.get(called)
        if role is None:
            remarks.left_out(
                reference.line,
                f"there is no role {shown(called)}",
                "correct the name; the user has no rights by it",
            )
            continue
        for permission in role.all("permission", "mqtt-permission"):
            _permission(permission, publish, subscribe, remarks)
    if not publish and not subscribe:
        remarks.note(
            user.line,
            f"no permission was found for the user {shown(name)}",
            "nothing is concluded about it but that it may do nothing; check the file",
        )
    return ForeignRole(identity, user.line, tuple(publish), tuple(subscribe), id=identity)


def _permission(
    permission: _Element,
    publish: list[ForeignGrant],
    subscribe: list[ForeignGrant],
    remarks: Remarks,
) -> None:
    topic = _topic(permission, remarks)
    activity = permission.value("activity") or "ALL"
    if activity not in {"ALL", "PUBLISH", "SUBSCRIBE"}:
        remarks.left_out(
            permission.line,
            f"the activity {shown(activity)} is not known",
            "write ALL, PUBLISH or SUBSCRIBE",
        )
        return
    if topic is None:
        return
    qos = _QOS.get(permission.value("qos") or "ALL", 2)
    if activity in {"ALL", "PUBLISH"}:
        retain = permission.value("retain") or "ALL"
        publish.append(ForeignGrant(topic, permission.line, qos, retain=retain != "NOT_RETAINED"))
    if activity in {"ALL", "SUBSCRIBE"}:
        shared = permission.value("shared-subscription") or "ALL"
        if shared == "SHARED":
            remarks.note(
                permission.line,
                "the permission is for shared subscriptions only",
                "who has it reads a part of the messages, and takes them from others",
            )
        subscribe.append(ForeignGrant(topic, permission.line, qos))


def _topic(permission: _Element, remarks: Remarks) -> str | None:
    text = permission.value("topic", "topic-filter")
    levels: list[str] = []
    for level in text.split("/"):
        if _USER.fullmatch(level):
            levels.append("{device}")
        elif _ANY.search(level):
            claimed = _CLAIMED.fullmatch(level)
            remarks.wider(
                permission.line,
                f"{shown(level)} in {shown(text)} counts as any level",
                "a client id is a claim: use the user name"
                if claimed
                else "give the placeholder a level of its own",
            )
            levels.append("+")
        else:
            levels.append(level)
    result = "/".join(levels)
    if is_filter(result):
        return result
    remarks.left_out(
        permission.line, f"{shown(text)} is no topic filter", "the permission counts as nothing"
    )
    return None


def _parse(text: str, file: str) -> _Element:
    top = _Element("", 1)
    stack = [top]
    parser = expat.ParserCreate()

    def start(name: str, _: dict[str, str]) -> None:
        if len(stack) > MAXIMUM_DEPTH:
            line = parser.CurrentLineNumber
            raise refuse(file, line, "too many elements in each other", "six or seven are usual")
        element = _Element(name.rpartition(":")[2], parser.CurrentLineNumber)
        stack[-1].children.append(element)
        stack.append(element)

    def end(_: str) -> None:
        stack.pop()

    def characters(data: str) -> None:
        stack[-1].text += data

    def doctype(*_: object) -> None:
        line = parser.CurrentLineNumber
        raise refuse(file, line, "there is a document type", "remove `<!DOCTYPE …>`")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise refuse(
            file, error.lineno, f"this is not XML: {expat.ErrorString(error.code)}",
            "give the file as it is",
        ) from error  # fmt: skip
    return top.children[0]
