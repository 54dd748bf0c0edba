"""Containers: what holds other things, and how it is taken apart. One file per family."""
