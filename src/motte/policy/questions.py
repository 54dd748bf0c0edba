"""A question to a policy, its answer, and the rule of the policy file that decided."""

import re
from dataclasses import dataclass
from typing import Final

from motte.policy.model import Action, Policy, Role, Rule
from motte.policy.rule import Asker
from motte.text import printable

__all__ = ["Answer", "FoundRule", "Question", "find_rule"]


@dataclass(frozen=True, slots=True)
class Question:
    """May this identity do that?"""

    asker: Asker
    action: Action
    topic: str
    """A topic name; for ``subscribe`` a topic filter."""
    qos: int = 0
    retain: bool = False

    def __str__(self) -> str:
        details = ""
        if self.action in {Action.PUBLISH, Action.WILL}:
            details = f" with QoS {self.qos}" + (" and retain" if self.retain else "")
        topic = printable(self.topic)
        return f"{self.asker.kind}/{self.asker.id} {self.action} `{topic}`{details}"

    @property
    def filter(self) -> str:
        """The topic filter, without the group of a shared subscription."""
        return self.topic.split("/", 2)[-1] if self._is_shared else self.topic

    @property
    def group(self) -> str:
        """The group of a shared subscription."""
        return self.topic.split("/", 2)[1] if self._is_shared else ""

    @property
    def _is_shared(self) -> bool:
        is_whole = self.topic.startswith("$share/") and self.topic.count("/") > 1
        return is_whole and self.action is Action.SUBSCRIBE


@dataclass(frozen=True, slots=True)
class FoundRule:
    """A rule of the policy file, found again by the reference that the data plane gave."""

    reference: str
    role: Role
    rule: Rule


@dataclass(frozen=True, slots=True)
class Answer:
    """What one snapshot says."""

    allowed: bool
    cause: str | None
    rule: str | None
    nearest: str | None
    counterexample: str | None
    maximum_qos: int | None
    roles: tuple[str, ...]
    generation: int


_REFERENCE: Final = re.compile(r":(\d+) role\.([A-Za-z0-9._-]+) (publish|subscribe|deny) ")


def find_rule(policy: Policy, reference: str | None) -> FoundRule | None:
    """The rule that a reference such as ``policy.toml:12 role.toaster publish "…"`` names."""
    found = _REFERENCE.search(reference or "")
    if reference is None or found is None:
        return None
    text = reference[found.end() :]
    for role in policy.roles:
        if role.name != found[2]:
            continue
        lists: dict[str, tuple[Rule, ...]] = {
            "publish": role.publish,
            "subscribe": role.subscribe,
            "deny": role.deny,
        }
        in_line = [rule for rule in lists[found[3]] if rule.place.line == int(found[1])]
        # Several rules may stand in one line; the reference ends with the topic as Rust quotes it.
        named = [rule for rule in in_line if rule.topic.text == _unquoted(text)]
        for rule in named or in_line:
            return FoundRule(reference, role, rule)
    return None


def _unquoted(text: str) -> str:
    return text[1:-1].replace('\\"', '"').replace("\\'", "'").replace("\\\\", "\\")
