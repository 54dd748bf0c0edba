"""What the tests of ``motte policy`` share: a broken policy, and what a command did."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

BROKEN = '[role.toaster]\nmatch = { group = "toaster" }\npubish = ["a"]\n'
RENDERED = """\
error: unknown key `pubish` in role `toaster`
 --> policy.toml:3:1
  |
3 | pubish = ["a"]
  | ^^^^^^
  = hint: did you mean `publish`?
"""


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its output as JSON."""
        return json.loads(self.out)


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]
