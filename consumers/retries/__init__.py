"""The retrier: RetryableFailures go back to their lane when they are due, each once, in one transaction.

Belongs here: the progress of putting back and the order of release, the waiting records, and putting them back. Does
not belong here: whether a request may be retried, its deadline, its attempts (the dispatcher decides, before parking
and after taking); outcomes (only the dispatcher publishes them); the election of the lease holder
(`headrace.broker.service`, handed in by the cli).
"""
