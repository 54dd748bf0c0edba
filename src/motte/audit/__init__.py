"""The auditor: asks any MQTT broker, from outside, what a thief would ask it.

`motte.audit.run` runs the checks in `motte.audit.checks` against a `Target` and returns a `Report`.
Nothing here knows Motte's broker: probes write their own packets, malformed ones among them.
"""

__all__: list[str] = []
