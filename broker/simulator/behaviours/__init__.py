"""What the simulated OpenAI may do to its callers, as frozen values that say on what evidence, or that it is inferred.

Values only: who enforces, spells or delays reads them (`limiter`, `speech`, `trouble`, `latency`). `catalogue` gives
each a name. Nothing here decides anything, knows a clock or imports another room of the simulator but `admission` and
`pricing`.
"""
