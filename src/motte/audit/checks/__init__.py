"""The checks, one file each: what is sent, what a safe broker answers, why, and what to set.

A new check is a file with a `Check` named ``CHECK``; nothing else has to know it.
"""

import importlib
import pkgutil

from motte.audit.model import Check

__all__ = ["all_checks"]


def all_checks() -> list[Check]:
    """Every check, in the order of the file names."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    found: list[Check] = [importlib.import_module(f"{__name__}.{name}").CHECK for name in names]
    return found
