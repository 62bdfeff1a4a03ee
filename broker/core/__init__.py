"""Decisions, pure: what to take, what to call, when, and what to publish.

Belongs here: the budget, the lanes, progress, identity, the lease, verdicts, as plain state machines fed with events
and an explicit `now_ms`, and the table of OpenAI's endpoints that they and the doors read (`endpoints`). Does not
belong here: I/O, clocks, chance, logging, prompts. Whole milliseconds and integers. Imports the standard library only.

Start with `dispatch`, the only way in (`events`) and out (`commands`), and with `ticket`. `headrace.broker.service`,
the planner and the tests drive it.
"""
