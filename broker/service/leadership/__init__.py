"""Leadership of one process: standing by, promotion, renewal of the lease, and leaving.

The rules are the core's (`headrace.broker.core.lease`); here they meet Redis, Kafka and the ledger. `lease_only` elects
the retrier, which has no ledger.
"""
