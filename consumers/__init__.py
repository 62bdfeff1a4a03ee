"""Everything that reads response topics: library and processes.

Belongs here: readers of results, chunks, failures and dead letters. Does not belong here: publishing outcomes (only the
leading dispatcher does). May import `schemas`, the Kafka adapters, and of `broker` only `background`, `client`,
`client_ports`, `clock`, `errors`, `ports`, `tasks`, `tenure` and `traces`.
"""
