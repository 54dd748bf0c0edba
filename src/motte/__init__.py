"""Motte: MQTT where one stolen device stays one stolen device.

This package is the control plane: registry, certificate authority, policy compiler and command
line. The data plane, which alone meets devices, is Rust and lives in ``motte._core``; Python
starts it as a process of its own and never stands in the path of a message.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
