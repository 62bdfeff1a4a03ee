"""Everything that reads response topics: library and processes.

Belongs here: readers of results, chunks, failures and dead letters. Does not belong here: publishing outcomes (only
the leading dispatcher does). May import `schemas`, `broker.client`, `broker.ports`, `broker.errors` and the kafka
doors.
"""
