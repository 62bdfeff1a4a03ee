"""OpenAI-compatible door in front of the lanes: HTTP requests become records, outcomes become HTTP answers.

Here belongs what turns one into the other: keys and their caps, ids, waits, streams, joins of repeated calls, batches,
and OpenAI's shapes. No budget, no lane order, no leadership: the dispatcher has these, and the gateway reaches it
through Kafka alone, by the doors that a producer and a reader use. A gateway keeps nothing that another could not take
up: any number of them serve the same keys.

Only `headrace.broker.cli` may import this package.
"""
