"""Batches through real gateways, Kafka and dispatchers that are killed meanwhile: `python -m tests.gateway_batch`."""
