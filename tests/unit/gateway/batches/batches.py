"""Batches as the catalogue has them, for tests."""

from typing import Any

from headrace.broker.gateway.batches.records import BatchCreated, ResultsPlace, StoredParts


def created(**fields: Any) -> BatchCreated:
    usual = {
        "id": "batch_1",
        "tenant": "acme",
        "key": "ada",
        "lane": "bulk",
        "endpoint": "/v1/chat/completions",
        "input_file_id": "file-1",
        "source": StoredParts(partition=1, offsets=(0,), size=10),
        "window": "24h",
        "created_s": 1_000,
        "expires_s": 1_000 + 86_400,
        "partition": 8,
        "start": 0,
        "results": ResultsPlace(home=2, ends=(0, 0, 0)),
    }
    return BatchCreated(**{**usual, **fields})
