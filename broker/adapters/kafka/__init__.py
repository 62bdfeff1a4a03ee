"""Kafka through aiokafka, the only package that imports it.

A dispatcher reads with `lanes`, `ledger` and `offsets`, writes with `transactions` and `chunks`, and checks with
`coordinators`, `rights`, `topics` and `reply_topics`. `client` composes the doors of a producer or reader: `submit`,
`outcomes`, `results`, `scan`. `consumer`, `fetch`, `batches` and `watch` are below all that read; `connection` and
`setbacks` say what an error means.
"""
