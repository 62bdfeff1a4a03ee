"""Planted faults: each breaks a promise of `docs/guarantees.md`, and the simulation must find out which.

A module here for each part of the product in which faults are planted. A fault is a patch of the product; what it
breaks stands beside it. `sentences.txt` says which faults break which sentence of that page, or why none can. No other
test imports this package.
"""
