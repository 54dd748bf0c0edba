"""What a translation says about single questions, worked out rule by rule."""

from __future__ import annotations

from collections.abc import Mapping

from motte import _core
from motte.policy.foreign.translation import Translation
from motte.policy.radius.document import ForeignGrant


def allows(
    translation: Translation,
    user: str,
    action: str,
    topic: str,
    attributes: Mapping[str, str] | None = None,
    *,
    retain: bool = False,
) -> bool:
    """Whether a user may ``publish`` to or ``read`` a topic."""
    own = dict(attributes or {})
    names = {"{device}": user} | {f"{{{name}}}": value for name, value in own.items()}
    return any(
        _covers(grant, topic, names)
        for role in translation.policy.roles
        if role.id in {None, user} and all(own.get(k, v) == v for k, v in role.attributes.items())
        for grant in (role.publish if action == "publish" else role.subscribe)
        if action != "publish" or grant.retain >= retain
    )


def _covers(grant: ForeignGrant, topic: str, names: Mapping[str, str]) -> bool:
    def matches(text: str) -> bool:
        levels = [names.get(level, level) for level in text.split("/")]
        return _core.filter_matches("/".join(levels), topic)

    return matches(grant.topic) and not any(matches(one) for one in grant.unless)
