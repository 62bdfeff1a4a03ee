"""Replay of dead letters to their lanes: each at most once by one job, whatever interrupts it.

Belongs here: which dead letters are selected, which of them can be put back, how fast, and how far a job is. Does not
belong here: the command line (`headrace.broker.cli.dead_letters`). It publishes no outcome: the dispatcher sees a
replay, and decides.
"""
