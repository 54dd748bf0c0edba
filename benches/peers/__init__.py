"""Brokers that package registries give, configured like the others."""
