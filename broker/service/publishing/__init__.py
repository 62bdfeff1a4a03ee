"""Decisions of the core as Kafka records: outcomes, dead letters, parked requests and ledger lines.

`records` makes one transaction of a batch; `outcomes` and `short_forms` make the values in it.
"""
