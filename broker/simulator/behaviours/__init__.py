"""Possible behaviour of the simulated OpenAI, as frozen values that state their evidence, or that they are inferred.

Values only: the modules that enforce, spell or delay read them (`limiter`, `speech`, `trouble`, `latency`). `catalogue`
gives each a name. Nothing here decides anything, knows a clock or imports another room of the simulator but `admission`
and `pricing`.
"""
