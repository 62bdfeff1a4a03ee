"""The retrier: RetryableFailures go back to their lane when they are due, each once, in one transaction.

Belongs here: what has been put back and what comes next, the records that wait, putting them back. Does not belong
here: whether a request may be tried again, its deadline, its attempts (the dispatcher decides, before parking and after
taking); outcomes (only the dispatcher publishes them); who holds the lease (`broker.service`, handed in by the cli).
"""
