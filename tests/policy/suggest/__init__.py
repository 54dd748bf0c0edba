"""The proposed policy."""
