"""Dead letters, put back on their lanes: each at most once by one job, whatever interrupts it.

Here belong which ones are meant, which of them can be put back, how fast, and how far a job is. What a person types
and reads is `broker.cli.dead_letters`'. It publishes no outcome: the dispatcher sees a replay, and decides.
"""
