"""The blast radius: if one identity is compromised, which others are?

The answer is worked out by the Rust half from the compiled policy, with the matcher that the broker
enforces with (law 12); see `motte.policy.radius.analysis`. Everything else here shows it: to people
and to programs.
"""
