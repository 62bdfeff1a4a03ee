"""Decisions of the core as Kafka records: outcomes, dead letters, parked requests and ledger lines.

`records` turns a batch into one transaction; `outcomes` and `short_forms` make the values in it.
"""
