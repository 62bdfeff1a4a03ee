"""`headrace demo`: the story of the README, live, with real lead records.

This package contains the leads and their prompts, the timetable, the two sides that run beside each other, and their
view and comparison. Nothing here limits, prices or dispatches: the dispatchers are processes of their own, started as a
user would start them, and every number about calls comes from the simulators' books. Only `headrace.broker.cli`,
benchmarks and tests import it.
"""
