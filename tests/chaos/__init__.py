"""Chaos on the real thing: three Kafka nodes, a Valkey, dispatchers and retriers as processes, a network that fails.

Here belong faults, what is written and answered meanwhile, the ledger of outcomes, and what is measured of it. What one
promise needs without faults at random belongs into `tests.integration`.

    python -m tests.chaos              # lists what can be played
    make chaos KILLS=200               # faults at random
"""
