"""Names of the certificate files, for those who need the names and nothing else."""

from typing import Final

__all__ = ["SERVER_CERTIFICATE", "SERVER_KEY", "TRUSTED_AUTHORITY"]

SERVER_CERTIFICATE: Final = "server.pem"
"""The broker's certificate."""
SERVER_KEY: Final = "server.key"
"""The broker's private key."""
TRUSTED_AUTHORITY: Final = "fleet.pem"
"""The authority certificate that clients of the broker must chain to."""
