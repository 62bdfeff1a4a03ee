"""The dispatcher's core in virtual time against the simulated OpenAI: the effect of a quota before it is paid for.

Belongs here: arrivals, the run that simulates them, and its counts. No clock, no socket and no thread: a plan of a day
takes seconds. `headrace.broker.cli`, benchmarks and tests import it.
"""
