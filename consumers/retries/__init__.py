"""The retrier: RetryableFailures go back to their lane when they are due, each once, in one transaction.

Belongs here: which records wait (`heap`, `record_cache`), in what order they leave and how far that is done
(`releases`), how many a lane takes back (`retry_budget`), and the transactions that move them (`retrier`, `rewriting`).
Does not belong here: whether a request may be retried, its deadline, its attempts (the dispatcher decides, before
parking and after taking); outcomes (only the dispatcher publishes them); the election
(`headrace.broker.service.leadership.lease_only`).
"""
