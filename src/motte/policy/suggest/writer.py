"""A policy as the text of a file, such that reading it gives the same policy."""

from collections.abc import Iterable, Iterator

from motte.policy.limits import LIMITS, Limit
from motte.policy.model import HIGHEST_QOS, Denial, Policy, PublishGrant, Role, SubscribeGrant

__all__ = ["policy_toml"]


def policy_toml(policy: Policy) -> str:
    """The text. Comments of the file that the policy came from are not in it."""
    return "\n".join("\n".join(_role(role)) + "\n" for role in policy.roles)


def _role(role: Role) -> Iterator[str]:
    yield f"[role.{role.name}]"
    match = dict(role.match.attributes)
    if role.match.id is not None:
        match = {role.match.kind.value: role.match.id, **match}
    pairs = ", ".join(f"{_key(name)} = {_text(value)}" for name, value in match.items())
    yield f"match = {{ {pairs} }}"
    yield from _list("publish", map(_publish, role.publish))
    yield from _list("subscribe", map(_subscribe, role.subscribe))
    yield from _list("deny", map(_denial, role.deny))
    if role.wildcards:
        yield "wildcards = true"
    yield from _list("share", map(_text, role.share))
    if role.limits:
        stated = (limit for limit in LIMITS.values() if limit.field in role.limits)
        values = (f"{limit.key} = {_limit(limit, role.limits[limit.field])}" for limit in stated)
        yield f"limits = {{ {', '.join(values)} }}"
    yield from _list(
        "relays",
        (
            f"{{ from = {_text(relay.source.text)}, to = {_text(relay.target.text)} }}"
            for relay in role.relays
        ),
    )


def _list(key: str, items: Iterable[str]) -> Iterator[str]:
    found = list(items)
    if len(found) == 1:
        yield f"{key} = [{found[0]}]"
    elif found:
        yield f"{key} = ["
        yield from (f"    {item}," for item in found)
        yield "]"


def _publish(grant: PublishGrant) -> str:
    notes = [f"qos = {grant.qos}"] if grant.qos < HIGHEST_QOS else []
    notes += ["retain = true"] if grant.retain else []
    notes += [] if grant.will else ["will = false"]
    return _rule(grant.topic.text, notes)


def _subscribe(grant: SubscribeGrant) -> str:
    return _rule(grant.topic.text, [f"qos = {grant.qos}"] if grant.qos < HIGHEST_QOS else [])


def _denial(denial: Denial) -> str:
    if len(denial.actions) > 1:
        return _text(denial.topic.text)
    return _rule(denial.topic.text, [f'actions = ["{denial.actions[0]}"]'])


def _rule(topic: str, notes: list[str]) -> str:
    return f"{{ {', '.join((f'topic = {_text(topic)}', *notes))} }}" if notes else _text(topic)


def _limit(limit: Limit, value: int) -> str:
    shown = limit.shown(value)
    return shown if limit.parse is None else _text(shown)


def _key(name: str) -> str:
    is_bare = name.replace("-", "").replace("_", "").isalnum() and name.isascii()
    return name if is_bare else _text(name)


def _text(text: str) -> str:
    """A TOML basic string; everything that could be misread is escaped."""
    return '"' + "".join(map(_character, text)) + '"'


def _character(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004
