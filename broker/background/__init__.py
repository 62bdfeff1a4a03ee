"""The background event loop of a process: what clients and readers for code without one run in.

Belongs here: the loop, its thread, and what becomes of both when a process forks or ends. Does not belong here: Kafka,
requests, outcomes. `headrace.broker.sync_client` and the sync readers of `consumers` use it.
"""
