"""Writes docs/limits.md: every bound that stands in the code as a named constant.

``python scripts/limits.py`` writes the page, ``--check`` says whether it is current. A constant
with a comment is taken up by itself; what is no bound stands in `NO_BOUND`.
"""

import ast
import itertools
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "limits.md"

PARTS: Final = {
    "crates/mqtt/src": "Packets, before anything is believed",
    "crates/policy/src": "Policies, snapshots and their analysis",
    "crates/guard/src": "The layers",
    "crates/broker/src": "Connections, sessions and messages",
    "crates/store/src": "The durable store",
    "crates/server/src": "Sockets, files and the control socket",
    "crates/firmware/src": "The search in firmware images",
    "src/motte": "The control plane",
}
"""Where constants are looked for, and what the part of the page is called."""

HEAD: Final = """\
# Limits

Everything that a client or a file can make Motte hold or do has a bound. This page is made from
the code by `make limits`. What a role lets one identity use is in [policy.md](policy.md#limits);
what one address may cost is set in `motte.toml` under `[network]`. Ki, Mi, Gi: powers of 1,024.
"""

NO_BOUND: Final = frozenset(
    {
        "BLOCK_LENGTH", "DIGITS", "DIRECTORY_MODE", "DISTINCT", "EXPIRY_NEVER", "FILE_MODE",
        "FORMAT", "FREQUENT", "HASH_LENGTH", "INDEX_BITS", "IPV6_PREFIX",
        "LARGEST_VARIABLE_BYTE_INTEGER", "LONGEST", "LONGEST_FIELD", "LONGEST_TOPIC",
        "LONGEST_VARIABLE_BYTE_INTEGER", "MAPPED_PREFIX", "MARK_LENGTH", "POINT_LENGTH",
        "QOS_MAXIMUM", "READABLE_NAME", "RECORD_OVERHEAD", "RECORD_PLAINTEXT", "RELAYED",
        "SERIAL_LENGTH", "SHORT_PATTERN", "SOCKET_PATH", "VERSION", "WINDOW",
    }
)  # fmt: skip
"""Constants that are forms, formats and steps of an algorithm."""

_RUST: Final = re.compile(
    r"(?P<comment>(?:^[ ]*///.*\n)+)(?:^[ ]*#\[.*\n)*"
    r"^[ ]*(?:pub(?:\([a-z]+\))? )?const (?P<name>[A-Z][A-Z0-9_]*): "
    r"(?:u8|u16|u32|u64|usize|Duration)\s*=\s*(?P<value>[^;]+);",
    re.MULTILINE,
)
_PYTHON_NAME: Final = re.compile(r"MAXIMUM_[A-Z0-9_]+")
_DURATION: Final = re.compile(r"Duration::from_(secs|millis)\(([0-9_]+)\)")
_UNITS: Final = {"secs": "s", "millis": "ms"}
_LINK: Final = re.compile(r"\[`([^`\]]+)`\](?:\([^)]*\))?")
_BINARY: Final = ((2**40, "Ti"), (2**30, "Gi"), (2**20, "Mi"), (2**10, "Ki"))


@dataclass(frozen=True, slots=True)
class Limit:
    """One constant as the page shows it."""

    place: str
    name: str
    value: str
    reason: str


def main(arguments: list[str]) -> int:
    """Writes the page, or says whether it is current; the exit code."""
    text = page()
    if arguments == ["--check"]:
        current = PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text
        if not current:
            sys.stderr.write(f"{PAGE.relative_to(ROOT)} is not current: run `make limits`\n")
        return 0 if current else 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


def page() -> str:
    """The page as it has to be."""
    parts = [HEAD]
    for folder, title in PARTS.items():
        rows = [
            f"| `{limit.name}` | {limit.value} | {limit.reason} | `{limit.place}` |"
            for limit in sorted(limits(folder), key=lambda limit: (limit.place, limit.name))
        ]
        head = "| constant | value | what it bounds, and why | in |\n|---|---|---|---|\n"
        parts.append(f"## {title}\n\n{head}" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def limits(folder: str) -> Iterator[Limit]:
    """The constants of one part of the code."""
    for path in sorted((ROOT / folder).rglob("*")):
        if "tests" in path.relative_to(ROOT).parts or path.stem in {"tests", "testing"}:
            continue
        place = str(path.relative_to(ROOT / folder))
        if path.suffix == ".rs":
            yield from _of_rust(path.read_text(encoding="utf-8"), place)
        elif path.suffix == ".py":
            yield from _of_python(path.read_text(encoding="utf-8"), place)


def _of_rust(text: str, place: str) -> Iterator[Limit]:
    text = text.partition("#[cfg(test)]\nmod tests {")[0]
    known = {found["name"]: found["value"] for found in _RUST.finditer(text)}
    for found in _RUST.finditer(text):
        if found["name"] not in NO_BOUND:
            comment = re.sub(r"^[ ]*///", "", found["comment"], flags=re.MULTILINE)
            value = _value(found["value"], known)
            yield Limit(place, found["name"], value, _sentence(comment))


def _of_python(text: str, place: str) -> Iterator[Limit]:
    body = ast.parse(text).body
    known = {
        node.target.id: ast.unparse(node.value)
        for node in body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value
    }
    for node, following in itertools.pairwise(body):
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and _PYTHON_NAME.fullmatch(node.target.id)
            and node.value is not None
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
        ):
            reason = _sentence(str(following.value.value))
            yield Limit(place, node.target.id, _value(ast.unparse(node.value), known), reason)


def _sentence(text: str) -> str:
    joined = " ".join(text.split()).replace("|", "\\|")
    return _LINK.sub(r"`\1`", joined).rstrip(".")


def _value(expression: str, known: Mapping[str, str]) -> str:
    """The number with its unit, if it can be worked out; else the code."""
    code = " ".join(expression.split())
    for _ in range(3):  # constants that are made of others of the same file
        code = re.sub(r"[A-Z_]{2,}", lambda found: known.get(found[0], found[0]), code)
    if found := _DURATION.fullmatch(code):
        return f"{int(found[2]):,} {_UNITS[found[1]]}"
    if not re.fullmatch(r"[0-9_ *+<()-]+", code):
        return f"`{code}`"
    number = int(eval(code, {"__builtins__": {}}))  # noqa: S307 - digits and operators only
    for size, unit in _BINARY:
        if number >= size and number % size == 0:
            return f"{number // size:,} {unit}"
    return f"{number:,}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
