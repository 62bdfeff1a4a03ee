"""Chance that depends on a seed and on the request's content, never on time or order.

Two upstreams with the same seed answer the same request with the same text after the same time, so that four naive
workers and one dispatcher can be compared on equal terms.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from headrace.broker.simulator.pricing import Endpoint

ASKED = ("model", "messages", "input", "instructions", "n", "max_tokens", "max_completion_tokens", "response_format")


class Chance:
    """Seeded draws; `content` identifies the request's content, whitespace, key order and metadata aside."""

    def __init__(self, seed: int) -> None:
        self._seed = seed.to_bytes(16, "big", signed=True)
        self._keyed = hashlib.blake2b(digest_size=8, key=self._seed)  # copied for each draw: the key is hashed once

    def content_of(self, endpoint: Endpoint, body: Mapping[str, Any]) -> bytes:
        """Return a digest of the request's content."""
        asked = {key: body[key] for key in ASKED if key in body}
        canonical = json.dumps(asked, sort_keys=True, separators=(",", ":")).encode()
        return hashlib.blake2b(canonical, digest_size=16, key=self._seed, person=endpoint.name.encode()[:16]).digest()

    def draw(self, content: bytes, purpose: str) -> float:
        """Draw a number in [0, 1), the same for the same content and purpose."""
        return self.number(content, purpose) / 2**64

    def number(self, content: bytes, purpose: str) -> int:
        """Draw a whole number below 2^64, the same for the same content and purpose."""
        drawn = self._keyed.copy()
        drawn.update(content + purpose.encode("utf-8", "surrogatepass"))
        return int.from_bytes(drawn.digest(), "big")
