"""A stand-in for OpenAI that limits, prices and answers as recorded, and the naive clients the demo compares with.

Shares no code with `headrace.broker.core`, because it is the reference for the core's beliefs. Only
`headrace.broker.cli`, `headrace.broker.planner`, tests and benchmarks import it.
"""
