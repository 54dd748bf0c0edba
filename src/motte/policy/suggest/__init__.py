"""Proposes a policy that grants no more than what was used.

`motte.policy.suggest.uses` reads what the data plane tells of grants, `motte.policy.suggest.topics`
finds the narrowest topics for it, `motte.policy.suggest.proposal` puts a policy together.
"""
