"""EMQX's ``acl.conf``.

Source: EMQX documentation, "Use ACL File" and "Authorization"; `apps/emqx_auth/src/emqx_authz` for
the order of things. Rules are tried from the top, the first that matches decides; what none matches
is decided by ``authorization.no_match``, which is ``allow`` unless somebody changed it. A filter is
compared as it is written, so a denial does not reach a wider filter.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from motte import _core
from motte.policy.foreign.erlang import Atom, Term, parse_terms
from motte.policy.foreign.translation import (
    Remarks,
    Translation,
    everything,
    is_filter,
    shown,
    stand_in,
)
from motte.policy.radius.document import ForeignGrant, ForeignPolicy, ForeignRole

__all__ = ["translate"]

_ACTIONS: Final = {
    "publish": (True, False),
    "subscribe": (False, True),
    "pubsub": (True, True),
    "all": (True, True),
}
_LISTED: Final = "listed"
"""The attribute that tells users whom a rule names from the others."""
_USER: Final = re.compile(r"\$\{username\}|%u")
_CLAIMED: Final = re.compile(r"\$\{clientid\}|%c")
_OTHER: Final = re.compile(r"\$\{[^}]*\}")


@dataclass(frozen=True, slots=True)
class _Rule:
    line: int
    allows: bool
    user: str | None
    """For this user alone; otherwise for everybody."""
    conditional: bool
    """Only for some clients, and which is not known here."""
    writes: bool
    reads: bool
    retain: bool
    topics: tuple[tuple[str, bool, bool], ...]
    """A filter, whether it is exactly what was meant, and whether it is for that spelling alone."""


def translate(text: str, file: str, *, no_match_denies: bool = False) -> Translation:
    """The rules of an acl.conf; ``no_match_denies`` is ``authorization.no_match = deny``."""
    remarks = Remarks()
    reader = _Reader(remarks)
    rules = [rule for term, line in parse_terms(text, file) for rule in reader.rules(term, line)]
    if not no_match_denies:
        remarks.note(
            text.count("\n") + 1,
            "what no rule matches is allowed, which is EMQX's default",
            "set `authorization.no_match = deny` and say so with --no-match-denies",
        )
    users = sorted({rule.user for rule in rules if rule.user is not None})
    roles = [_role(user, rules, no_match_denies) for user in (*users, None)]
    return Translation(
        "emqx", ForeignPolicy(file, tuple(roles)), tuple(remarks.found), remarks.hidden
    )


def _role(user: str | None, rules: list[_Rule], no_match_denies: bool) -> ForeignRole:
    own = [rule for rule in rules if rule.user in {None, user}]
    publish = list(_publish(own))
    subscribe = list(_subscribe(own))
    if not no_match_denies:
        last = max((rule.line for rule in rules), default=1)
        denied = _denied(own, "writes")
        for topic in everything(one for rule in rules for one, _, _ in rule.topics):
            publish.append(ForeignGrant(topic, last, unless=denied))
            if not _is_denied(topic, [rule for rule in own if rule.reads and not rule.allows]):
                subscribe.append(ForeignGrant(topic, last))
    return ForeignRole(
        stand_in(user) if user is not None else "everybody-else",
        next((rule.line for rule in own), 1),
        tuple(publish),
        tuple(subscribe),
        id=stand_in(user) if user is not None else None,
        attributes={_LISTED: "yes" if user is not None else "no"},
    )


def _publish(rules: list[_Rule]) -> Iterator[ForeignGrant]:
    for index, rule in enumerate(rules):
        if rule.allows and rule.writes:
            for topic, _, literal in rule.topics:
                # Nobody publishes to a filter, so one that is meant literally grants nothing.
                if not (literal and {"+", "#"} & set(topic.split("/"))):
                    denied = _denied(rules[:index], "writes")
                    yield ForeignGrant(topic, rule.line, retain=rule.retain, unless=denied)


def _denied(rules: list[_Rule], action: str) -> tuple[str, ...]:
    """What earlier denials take away for certain."""
    return tuple(
        topic
        for rule in rules
        if not rule.allows and not rule.conditional and getattr(rule, action)
        for topic, exact, literal in rule.topics
        if exact and not literal
    )


def _subscribe(rules: list[_Rule]) -> Iterator[ForeignGrant]:
    for index, rule in enumerate(rules):
        if rule.allows and rule.reads:
            earlier = [one for one in rules[:index] if one.reads and not one.allows]
            for topic, _, _ in rule.topics:
                if not _is_denied(topic, earlier):
                    yield ForeignGrant(topic, rule.line)


def _is_denied(topic: str, denials: list[_Rule]) -> bool:
    """Whether every filter of these topics is denied: a wider one gets round a narrow denial."""
    return any(
        exact
        and not rule.conditional
        and (
            (literal and denied == topic and "#" not in topic)
            or (not literal and _core.filter_contains([denied], [], topic) is None)
        )
        for rule in denials
        for denied, exact, literal in rule.topics
    )


class _Reader:
    """Understands one rule at a time."""

    def __init__(self, remarks: Remarks) -> None:
        self._remarks = remarks

    def rules(self, term: Term, line: int) -> Iterator[_Rule]:
        """The rule, once for each user it names."""
        match term:
            case (Atom("allow" | "deny" as permission), Atom("all")):
                yield _Rule(
                    line,
                    permission == "allow",
                    None,
                    conditional=False,
                    writes=True,
                    reads=True,
                    retain=True,
                    topics=(("#", True, False), ("$SYS/#", True, False)),
                )
            case (Atom("allow" | "deny" as permission), who, action, list(topics)):
                yield from self._full(permission == "allow", who, action, topics, line)
            case _:
                self._left_out(line, "this is no rule of an acl.conf")

    def _full(
        self,
        allows: bool,
        who: Term,
        action: Term,
        topics: list[Term],
        line: int,
    ) -> Iterator[_Rule]:
        users, conditional = self._who(who, line, allows=allows)
        rights = self._action(action, line)
        if rights is None or users is None:
            return
        writes, reads, retain = rights
        read = [one for topic in topics for one in self._topic(topic, line)]
        for user in users:
            yield _Rule(line, allows, user, conditional, writes, reads, retain, tuple(read))

    def _who(self, who: Term, line: int, *, allows: bool) -> tuple[list[str | None] | None, bool]:
        match who:
            case Atom("all"):
                return [None], False
            case (Atom("user" | "username"), str(name)):
                return [name], False
            case (Atom("or"), list(members)):
                found = [self._who(member, line, allows=allows) for member in members]
                users = [user for named, _ in found for user in named or []]
                return (users or None), any(conditional for _, conditional in found)
        return self._some_clients(line, allows=allows)

    def _some_clients(self, line: int, *, allows: bool) -> tuple[list[str | None], bool]:
        if allows:
            self._remarks.wider(
                line,
                "the rule is for some clients, by address, client id or a pattern; here for all",
                "a client id is a claim and an address no identity: name users",
            )
        else:
            self._remarks.left_out(
                line,
                "the denial is for some clients, by address, client id or a pattern",
                "it counts as nothing; the radius is not larger than told",
            )
        return [None], True

    def _action(self, action: Term, line: int) -> tuple[bool, bool, bool] | None:
        match action:
            case Atom(name) if name in _ACTIONS:
                return (*_ACTIONS[name], True)
            case (Atom(name), list(options)) if name in _ACTIONS:
                retain = (Atom("retain"), Atom("false")) not in options
                return (*_ACTIONS[name], retain)
        self._left_out(line, "the action of the rule is not known")
        return None

    def _topic(self, topic: Term, line: int) -> Iterator[tuple[str, bool, bool]]:
        literal = False
        match topic:
            case (Atom("eq"), str(text)):
                literal = True
            case str(text):
                pass
            case _:
                self._left_out(line, "a topic of the rule is not known")
                return
        levels: list[str] = []
        exact = True
        for level in text.split("/"):
            if _USER.fullmatch(level):
                levels.append("{device}")
            elif _CLAIMED.search(level) or _OTHER.search(level) or _USER.search(level):
                exact = False
                claimed = _CLAIMED.fullmatch(level)
                self._remarks.wider(
                    line,
                    f"{shown(level)} in {shown(text)} counts as any level",
                    "a client id is a claim: use ${username}" if claimed else "give it one level",
                )
                levels.append("+")
            else:
                levels.append(level)
        result = "/".join(levels)
        if is_filter(result):
            yield result, exact, literal
        else:
            self._left_out(line, f"{shown(text)} is no topic filter")

    def _left_out(self, line: int, what: str) -> None:
        self._remarks.left_out(line, what, "the line counts as nothing; correct it or look at it")
