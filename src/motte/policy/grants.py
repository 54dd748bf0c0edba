"""``publish``, ``subscribe`` and ``deny`` of a role.

A rule is a topic in quotes, or a table that says more: ``{ topic = "…", qos = 1, retain = true }``.
"""

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from motte.policy.diagnostics import Location, Problems
from motte.policy.document import Entry, Node, Reader, Shape
from motte.policy.model import (
    HIGHEST_QOS,
    Action,
    Denial,
    Match,
    Pattern,
    PublishGrant,
    Relay,
    SubscribeGrant,
)
from motte.policy.patterns import PatternReader, Use
from motte.text import nearest, printable

__all__ = ["RuleReader"]

MAXIMUM_RULES_PER_LIST: Final = 100
"""Rules of one list at most, which is what the data plane looks through for each message."""

PUBLISH: Final = Use("publish", grants=True)
SUBSCRIBE: Final = Use("subscribe", grants=True)
DENY: Final = Use("deny", grants=False)

_PUBLISH_KEYS: Final = ("topic", "qos", "retain", "will")
_SUBSCRIBE_KEYS: Final = ("topic", "qos")
_DENY_KEYS: Final = ("topic", "actions")
_RELAY_KEYS: Final = ("from", "to")
_RELAY_EXAMPLE: Final = 'write `relays = [{ from = "home/+/telemetry", to = "home/+/command" }]`'
_DENIABLE: Final = (Action.PUBLISH, Action.SUBSCRIBE)

_Rule = TypeVar("_Rule", PublishGrant, SubscribeGrant, Denial)


class RuleReader:
    """Reads the rules of one role."""

    def __init__(self, problems: Problems, match: Match | None) -> None:
        self._problems = problems
        self._reader = Reader(problems)
        self._patterns = PatternReader(problems, match)

    def publish(self, entry: Entry) -> tuple[PublishGrant, ...]:
        """The rights to publish."""
        return self._rules(entry, PUBLISH, self._publish_grant)

    def subscribe(self, entry: Entry) -> tuple[SubscribeGrant, ...]:
        """The rights to subscribe."""
        return self._rules(entry, SUBSCRIBE, self._subscribe_grant)

    def deny(self, entry: Entry) -> tuple[Denial, ...]:
        """What stays refused."""
        return self._rules(entry, DENY, self._denial)

    def relays(self, entry: Entry) -> tuple[Relay, ...]:
        """What the service passes on."""
        if not self._reader.expect(entry, Shape.LIST, _RELAY_EXAMPLE):
            return ()
        if len(entry.node.items) > MAXIMUM_RULES_PER_LIST:
            self._problems.error(
                "too-large",
                entry.node.items[MAXIMUM_RULES_PER_LIST].place,
                f"`relays` has {len(entry.node.items)} entries, {MAXIMUM_RULES_PER_LIST} is the "
                "most of one role",
                "use wildcards, or split the role in two with the same match",
            )
            return ()
        return tuple(relay for node in entry.node.items if (relay := self._relay(node)) is not None)

    def _relay(self, node: Node) -> Relay | None:
        if not self._reader.expect_node(node, Shape.TABLE, "a relay", _RELAY_EXAMPLE):
            return None
        found: dict[str, Pattern] = {}
        for entry in node.entries:
            if entry.name not in _RELAY_KEYS:
                self._reader.unknown(entry, _RELAY_KEYS, "a relay")
            elif self._reader.text(entry) is not None:
                use = SUBSCRIBE if entry.name == "from" else PUBLISH
                pattern = self._pattern(entry.node, use)
                if pattern is None:
                    return None
                found[entry.name] = pattern
        for name in _RELAY_KEYS:
            if name not in {entry.name for entry in node.entries}:
                self._problems.error(
                    "missing-key", node.place, f"this relay has no `{name}`", _RELAY_EXAMPLE
                )
        if len(found) < len(_RELAY_KEYS):
            return None
        return Relay(found["from"], found["to"], node.place)

    def _rules(
        self, entry: Entry, use: Use, read: Callable[[Node], _Rule | None]
    ) -> tuple[_Rule, ...]:
        if not self._reader.expect(entry, Shape.LIST, f'write `{use.noun} = ["…"]`'):
            return ()
        if len(entry.node.items) > MAXIMUM_RULES_PER_LIST:
            self._problems.error(
                "too-large",
                entry.node.items[MAXIMUM_RULES_PER_LIST].place,
                f"`{use.noun}` has {len(entry.node.items)} rules, {MAXIMUM_RULES_PER_LIST} is "
                "the most of one role",
                "use placeholders or wildcards, or split the role in two with the same match",
            )
            return ()
        rules = [rule for node in entry.node.items if (rule := read(node)) is not None]
        self._check_duplicates(rules, use)
        return tuple(rules)

    def _check_duplicates(self, rules: Iterable[_Rule], use: Use) -> None:
        first: dict[str, Location] = {}
        for rule in rules:
            earlier = first.setdefault(rule.topic.text, rule.place)
            if earlier is not rule.place:
                self._problems.error(
                    "duplicate-rule",
                    rule.place,
                    f"`{printable(rule.topic.text, limit=60)}` stands twice in `{use.noun}`, "
                    f"first in line {earlier.line}",
                    "keep one of them, with everything it is meant to say",
                )

    def _publish_grant(self, node: Node) -> PublishGrant | None:
        if node.shape is Shape.TEXT:
            topic = self._pattern(node, PUBLISH)
            return PublishGrant(topic, node.place) if topic else None
        table = self._table(node, PUBLISH, _PUBLISH_KEYS)
        if table is None:
            return None
        topic = self._topic(node, table, PUBLISH)
        qos = self._qos(table.get("qos"))
        retain = self._flag(table.get("retain"), default=False)
        will = self._flag(table.get("will"), default=True)
        return PublishGrant(topic, node.place, qos, retain, will) if topic else None

    def _subscribe_grant(self, node: Node) -> SubscribeGrant | None:
        if node.shape is Shape.TEXT:
            topic = self._pattern(node, SUBSCRIBE)
            return SubscribeGrant(topic, node.place) if topic else None
        table = self._table(node, SUBSCRIBE, _SUBSCRIBE_KEYS)
        if table is None:
            return None
        topic = self._topic(node, table, SUBSCRIBE)
        qos = self._qos(table.get("qos"))
        return SubscribeGrant(topic, node.place, qos) if topic else None

    def _denial(self, node: Node) -> Denial | None:
        if node.shape is Shape.TEXT:
            topic = self._pattern(node, DENY)
            return Denial(topic, node.place) if topic else None
        table = self._table(node, DENY, _DENY_KEYS)
        if table is None:
            return None
        topic = self._topic(node, table, DENY)
        actions = self._actions(table["actions"]) if "actions" in table else _DENIABLE
        return Denial(topic, node.place, actions) if topic and actions else None

    def _table(self, node: Node, use: Use, keys: tuple[str, ...]) -> dict[str, Entry] | None:
        if node.shape is not Shape.TABLE:
            self._problems.error(
                "wrong-type",
                node.place,
                f"a rule of `{use.noun}` is a topic or a table, not {node.shape}",
                'write `"home/{device}/state"` or `{ topic = "home/{device}/state" }`',
            )
            return None
        table: dict[str, Entry] = {}
        for entry in node.entries:
            if entry.name in keys:
                table[entry.name] = entry
            elif entry.name in _PUBLISH_KEYS:
                self._problems.error(
                    "unknown-key",
                    entry.place,
                    f"`{entry.name}` is not for `{use.noun}`",
                    "a denial is for every QoS and for wills; leave it out"
                    if use is DENY
                    else "it says how something may be published; leave it out here",
                )
            else:
                self._reader.unknown(entry, keys, f"a rule of `{use.noun}`")
        return table

    def _topic(self, node: Node, table: dict[str, Entry], use: Use) -> Pattern | None:
        entry = table.get("topic")
        if entry is None:
            self._problems.error(
                "missing-key",
                node.place,
                f"this rule of `{use.noun}` has no `topic`",
                'write `{ topic = "home/{device}/state" }`',
            )
            return None
        if self._reader.text(entry) is None:
            return None
        return self._pattern(entry.node, use)

    def _pattern(self, node: Node, use: Use) -> Pattern | None:
        return self._patterns.read(str(node.scalar), node.place, use)

    def _qos(self, entry: Entry | None) -> int:
        if entry is None:
            return HIGHEST_QOS
        value = self._reader.integer(entry, "the highest QoS that is allowed: 0, 1 or 2")
        if value is None:
            return HIGHEST_QOS
        if not 0 <= value <= HIGHEST_QOS:
            self._problems.error(
                "qos-out-of-range",
                entry.node.place,
                f"`qos` is 0, 1 or 2, not {value}",
                "it is the highest QoS that is allowed; without it every QoS is",
            )
        return value

    def _flag(self, entry: Entry | None, *, default: bool) -> bool:
        value = self._reader.boolean(entry) if entry is not None else default
        return default if value is None else value

    def _actions(self, entry: Entry) -> tuple[Action, ...]:
        """The denied actions in a fixed order; empty if anything is wrong with them."""
        hint = 'write `actions = ["publish"]` or `["subscribe"]`; without it both are denied'
        if not self._reader.expect(entry, Shape.LIST, hint):
            return ()
        if not entry.node.items:
            self._problems.error(
                "empty-actions", entry.node.place, "`actions` is empty: this denies nothing", hint
            )
            return ()
        found: list[Action] = []
        sound = True
        for node in entry.node.items:
            action = self._action(node, hint)
            if action is None:
                sound = False
            elif action in found:
                self._problems.error(
                    "duplicate-action", node.place, f"`{action}` stands twice in `actions`",
                    "keep one of them",
                )  # fmt: skip
                sound = False
            else:
                found.append(action)
        return tuple(action for action in _DENIABLE if action in found) if sound else ()

    def _action(self, node: Node, hint: str) -> Action | None:
        if not self._reader.expect_node(node, Shape.TEXT, "an action", hint):
            return None
        name = str(node.scalar)
        if name in {action.value for action in _DENIABLE}:
            return Action(name)
        implied = {Action.WILL.value: Action.PUBLISH, Action.RECEIVE.value: Action.SUBSCRIBE}
        if name in implied:
            hint = f"`{implied[name]}` denies this, too"
        elif meant := nearest(name.lower(), [action.value for action in _DENIABLE]):
            hint = f"did you mean `{meant}`?"
        self._problems.error(
            "unknown-action", node.place,
            f"`{printable(name, limit=60)}` is not an action that can be denied", hint,
        )  # fmt: skip
        return None
