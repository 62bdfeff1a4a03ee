"""The dispatcher's core in virtual time against the simulated OpenAI: what a quota means before anybody pays for it.

Here belong arrivals, the run that plays them, and what is counted of it. No clock, no socket and no thread: a plan of a
day takes seconds. `broker.cli` and benchmarks import it.
"""
