"""The rules of other brokers, translated for the analysis.

A translation is exact or wider than the original, never narrower, and wherever it is wider it says
so with the line: whoever is told that two devices are isolated can rely on it. What has no
translation is named and counts as nothing. Nothing of this can be put in force.
"""
