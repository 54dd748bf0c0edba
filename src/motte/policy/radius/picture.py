"""The picture of a policy: roles as boxes, what they do to each other as lines, the leaks in red.

Roles that do the same to the same are one box, so a policy of 500 roles is as readable as what it
says: devices on the left, services on the right.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Final

from motte.policy.model import Kind
from motte.policy.radius.analysis import PRIMARY, Question, Scope
from motte.policy.radius.summary import RoleRadius, Summary

__all__ = ["MAXIMUM_BOXES", "picture_svg"]

MAXIMUM_BOXES: Final = 40
"""Boxes of one column at most, the ones with the widest radius first; the rest are one box."""
REFINEMENTS: Final = 4
"""How often roles are told apart by what the ones they reach do: further than a person follows."""

BOX_WIDTH: Final = 230
BOX_HEIGHT: Final = 40
STEP: Final = 62
LEFT: Final = 190
RIGHT: Final = 660
WIDTH: Final = 1060
TOP: Final = 60
NAME_LENGTH: Final = 28
"""Characters of a name that fit into a box."""


@dataclass(frozen=True, slots=True)
class _Box:
    """Roles that are alike."""

    roles: tuple[RoleRadius, ...]
    kind: Kind

    @property
    def title(self) -> str:
        first = self.roles[0].role.name
        text = first if len(first) <= NAME_LENGTH else first[: NAME_LENGTH - 1] + "…"
        return text if len(self.roles) == 1 else f"{text} + {len(self.roles) - 1}"


@dataclass(frozen=True, slots=True)
class _Line:
    """What one box does to another."""

    source: int
    target: int
    scope: Scope
    questions: tuple[Question, ...]
    is_leak: bool


def picture_svg(summary: Summary) -> str:
    """A drawing that needs nothing but a browser."""
    boxes = _boxes(summary)
    lines = list(_lines(boxes))
    places = _places(boxes)
    height = max((y for _, y in places), default=TOP) + STEP + TOP
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="roles and what they reach">',
        *_markers(),
        f'<text x="{LEFT + BOX_WIDTH / 2}" y="30" class="head">devices</text>',
        f'<text x="{RIGHT + BOX_WIDTH / 2}" y="30" class="head">services</text>',
    ]
    lines.sort(key=lambda one: (one.is_leak, one.scope.width))
    parts += [_drawn(line, boxes, places) for line in lines]
    parts += [
        _box(box, place, leaks=_leaks_of(box, boxes, lines))
        for box, place in zip(boxes, places, strict=True)
    ]
    return "\n".join([*parts, "</svg>"])


def _boxes(summary: Summary) -> list[_Box]:
    """Alike roles together; in each column the widest first."""
    every = {one.role.place: one for one in (*summary.roles, *summary.subjects)}
    colours: dict[int, object] = {place: one.role.kind for place, one in every.items()}
    for _ in range(REFINEMENTS):
        numbers: dict[object, int] = {}
        refined: dict[int, object] = {}
        for place, one in every.items():
            seen = Counter(
                (question, scope, colours[other], other == place)
                for question in PRIMARY
                for other, scope in one.scopes[question].items()
                if other in colours
            )
            # How many does not matter for the picture, only whom.
            signature = (colours[place], frozenset(seen))
            refined[place] = numbers.setdefault(signature, len(numbers))
        if len(set(refined.values())) == len(set(colours.values())):
            break
        colours = refined
    groups: dict[object, list[RoleRadius]] = {}
    for place, one in every.items():
        groups.setdefault(colours[place], []).append(one)
    boxes = [_Box(tuple(roles), roles[0].role.kind) for roles in groups.values()]
    boxes.sort(key=lambda box: (box.kind is Kind.SERVICE, -_width(box), box.roles[0].role.place))
    return [*_bounded(boxes, Kind.DEVICE), *_bounded(boxes, Kind.SERVICE)]


def _bounded(boxes: list[_Box], kind: Kind) -> list[_Box]:
    own = [box for box in boxes if box.kind is kind]
    if len(own) <= MAXIMUM_BOXES:
        return own
    rest = own[MAXIMUM_BOXES - 1 :]
    together = _Box(tuple(role for box in rest for role in box.roles), kind)
    return [*own[: MAXIMUM_BOXES - 1], together]


def _width(box: _Box) -> int:
    return max(sum(role.to_devices[question].width for question in PRIMARY) for role in box.roles)


def _lines(boxes: list[_Box]) -> Iterator[_Line]:
    owner = {role.role.place: index for index, box in enumerate(boxes) for role in box.roles}
    found: dict[tuple[int, int], dict[Question, Scope]] = {}
    for source, box in enumerate(boxes):
        for role in box.roles:
            for question in PRIMARY:
                for place, scope in role.scopes[question].items():
                    if place in owner:
                        known = found.setdefault((source, owner[place]), {})
                        before = known.get(question, Scope.ISOLATED)
                        known[question] = max(before, scope, key=lambda one: one.width)
    for (source, target), scopes in found.items():
        kinds = {boxes[source].kind, boxes[target].kind}
        is_leak = kinds == {Kind.DEVICE}
        # Reading is told by the arrow of who sends, except where it is a leak.
        told = {
            question: scope
            for question, scope in scopes.items()
            if is_leak or question in {Question.INFLUENCE, Question.REACH}
        }
        if told:
            widest = max(told.values(), key=lambda scope: scope.width)
            yield _Line(source, target, widest, tuple(told), is_leak)


def _places(boxes: list[_Box]) -> list[tuple[int, int]]:
    rows = {Kind.DEVICE: 0, Kind.SERVICE: 0}
    places: list[tuple[int, int]] = []
    for box in boxes:
        x = LEFT if box.kind is Kind.DEVICE else RIGHT
        places.append((x, TOP + STEP * rows[box.kind]))
        rows[box.kind] += 1
    return places


def _markers() -> Iterator[str]:
    yield "<defs>"
    for name in ("quiet", "named", "class", "everyone"):
        yield (
            f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
            f'markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" class="{name}"/></marker>'
        )
    yield "</defs>"


def _drawn(line: _Line, boxes: list[_Box], places: list[tuple[int, int]]) -> str:
    style = line.scope.value if line.is_leak else "quiet"
    (x1, y1), (x2, y2) = places[line.source], places[line.target]
    middle1, middle2 = y1 + BOX_HEIGHT // 2, y2 + BOX_HEIGHT // 2
    if line.source == line.target:
        side = x1 if x1 == LEFT else x1 + BOX_WIDTH
        out = -70 if x1 == LEFT else 70
        curve = _curve((side, middle1 - 9), (side + out, middle1 - 24), (side, middle1 + 9), 48)
    elif x1 == x2:
        side = x1 if x1 == LEFT else x1 + BOX_WIDTH
        out = (60 + min(110, abs(y2 - y1) // 4)) * (-1 if x1 == LEFT else 1)
        curve = _curve((side, middle1), (side + out, middle1), (side, middle2), middle2 - middle1)
    else:
        forward = x2 > x1
        start = x1 + BOX_WIDTH if forward else x1
        end = x2 if forward else x2 + BOX_WIDTH
        # Both directions are seen beside each other.
        shift = -6 if forward else 6
        bend = (start + end) // 2
        first, last = middle1 + shift, middle2 + shift
        curve = _curve((start, first), (bend, first), (end, last), last - first)
    dash = ' stroke-dasharray="5 4"' if line.questions == (Question.REACH,) else ""
    what = ", ".join(question.value for question in line.questions)
    title = f"{boxes[line.source].title} → {boxes[line.target].title}: {what} ({line.scope.value})"
    return (
        f'<path d="{curve}" class="line {style}" marker-end="url(#{style})"{dash}>'
        f"<title>{escape(title)}</title></path>"
    )


def _curve(
    start: tuple[int, int], handle: tuple[int, int], end: tuple[int, int], across: int
) -> str:
    """A curve whose second handle is the first one, moved down by ``across``."""
    (x1, y1), (x2, y2), (x3, y3) = start, handle, end
    return f"M{x1} {y1}C{x2} {y2} {x2} {y2 + across} {x3} {y3}"


def _leaks_of(box: _Box, boxes: list[_Box], lines: list[_Line]) -> Scope:
    own = [line.scope for line in lines if line.is_leak and boxes[line.source] is box]
    return max(own, key=lambda scope: scope.width, default=Scope.ISOLATED)


def _box(box: _Box, place: tuple[int, int], *, leaks: Scope) -> str:
    x, y = place
    names = ", ".join(role.role.name for role in box.roles[:20])
    more = "" if len(box.roles) <= 20 else f" and {len(box.roles) - 20} more"  # noqa: PLR2004
    return (
        f'<g class="box {box.kind.value} {leaks.value}"><title>{escape(names + more)}</title>'
        f'<rect x="{x}" y="{y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="7"/>'
        f'<text x="{x + BOX_WIDTH / 2}" y="{y + 26}">{escape(box.title)}</text></g>'
    )
