"""Possible behaviour of the simulated OpenAI, as frozen values that state their evidence, or that they are inferred.

Values only: the modules of the simulator that enforce, word or delay read them (`account`, `admission_gate`, `foreign`,
`response_headers`, `rules`, `trouble`, `virtual`). `catalogue` gives each a name. Nothing here decides anything, knows
a clock or imports another module of the simulator but `admission` and `pricing`.
"""
