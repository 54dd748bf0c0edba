"""The policy: a language for people, a compiler to snapshots, and answers to "may it?".

`language` reads ``policy.toml`` into the `model`; `compiler` writes the snapshot that the data
plane enforces, with test vectors from `vectors`; `explain` asks that snapshot. What decides is
always ``motte._core``, never Python.
"""

from importlib.resources import files

__all__ = ["default_policy_text"]


def default_policy_text() -> str:
    """The policy of a new deployment: toasters and a dashboard, with comments."""
    return files(__name__).joinpath("default_policy.toml").read_text(encoding="utf-8")
