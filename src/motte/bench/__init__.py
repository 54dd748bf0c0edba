"""Load against a broker: this one, set up for the purpose, or any other by its address.

The generator is Rust (crate ``benches/load``) in a process of its own; here is what it is told and
what is made of its reports.
"""
