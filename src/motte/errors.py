"""Everything that can go wrong for a person, and the exit code each kind ends with.

An error says what is wrong and where (``message``) and what to do next (``hint``). The command
line prints both and nothing else; a traceback means a defect in Motte. Messages start in lower
case, end without a period and never hold a secret.
"""

from enum import IntEnum

__all__ = [
    "ConfigError",
    "DataPlaneError",
    "EnrollmentError",
    "ExitCode",
    "MotteError",
    "PolicyError",
    "RefusedError",
    "StoreError",
]


class ExitCode(IntEnum):
    """Exit codes of the ``motte`` command; this list is their documentation."""

    OK = 0
    """The command did what it was asked to do."""
    FAILURE = 1
    """A defect in Motte itself, or a failure of no other kind."""
    USAGE = 2
    """The command line could not be understood."""
    CONFIG = 3
    """``motte.toml`` or the deployment folder is wrong or missing."""
    POLICY = 4
    """``policy.toml`` is wrong; the policy in force did not change."""
    ENROLLMENT = 5
    """An identity, a certificate or a bundle could not be made, found or changed."""
    DATA_PLANE = 6
    """The data plane is not running, did not start or did not answer."""
    STORE = 7
    """A file of the deployment is missing, damaged, unsafe or could not be written."""
    REFUSED = 8
    """The broker or the policy said no."""
    FOUND = 9
    """What must not be there was found, or could not be ruled out: a key in a firmware image."""
    INTERRUPTED = 130
    """Ended by Ctrl-C."""


class MotteError(Exception):
    """Root of all errors that a person can do something about."""

    exit_code: ExitCode = ExitCode.FAILURE

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class ConfigError(MotteError):
    """``motte.toml`` or the choice of deployment folder is wrong."""

    exit_code = ExitCode.CONFIG


class PolicyError(MotteError):
    """``policy.toml`` cannot be compiled."""

    exit_code = ExitCode.POLICY


class EnrollmentError(MotteError):
    """An identity cannot be enrolled, found or changed as asked."""

    exit_code = ExitCode.ENROLLMENT


class DataPlaneError(MotteError):
    """The data plane is absent, failed or answered with an error."""

    exit_code = ExitCode.DATA_PLANE


class RefusedError(DataPlaneError):
    """The data plane works and refused what was asked."""

    exit_code = ExitCode.REFUSED


class StoreError(MotteError):
    """A file of the deployment is missing, damaged, unsafe or cannot be written."""

    exit_code = ExitCode.STORE
