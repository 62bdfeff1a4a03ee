"""Wrong usages of the console script, as a table: what people type, and the one sentence that they get.

A module for each group of verbs has rows; `row.py` says what one is, and `rows.py` which modules there are.
"""
