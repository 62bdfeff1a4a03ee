"""Bills of the simulated OpenAI: what each answer that was sent whole said of its model, tier and tokens.

They hold no prices: a check of costs brings its own. A bill is kept once its answer is written out; the
client may be gone by then. The oldest are forgotten, and counted.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

BILLS_MAX: Final = 100_000


@dataclass(frozen=True, slots=True)
class AnswerBill:
    """What one answer said.

    `request_id` is the client's own id of the request, `upstream_request_id` the `x-request-id` of the answer.
    """

    request_id: str
    upstream_request_id: str
    endpoint: str
    model: str
    tier: str
    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    image_tokens: int = 0
    reasoning_tokens: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the fields by name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


@dataclass(slots=True)
class Bills:
    """The bills sent last."""

    kept: deque[AnswerBill] = field(default_factory=lambda: deque(maxlen=BILLS_MAX))
    forgotten: int = 0

    def __iter__(self) -> Iterator[AnswerBill]:
        return iter(self.kept)

    def __len__(self) -> int:
        return len(self.kept)

    def add(self, request_id: str, upstream_request_id: str, endpoint: str, body: Mapping[str, Any]) -> None:
        """Keep the bill of an answer."""
        usage = body.get("usage") or {}
        inside = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
        outside = usage.get("completion_tokens_details") or usage.get("output_tokens_details") or {}
        self.forgotten += len(self.kept) == self.kept.maxlen
        self.kept.append(
            AnswerBill(
                request_id,
                upstream_request_id,
                endpoint,
                str(body.get("model", "")),
                str(body.get("service_tier") or ""),
                usage.get("prompt_tokens", usage.get("input_tokens", 0)),
                usage.get("completion_tokens", usage.get("output_tokens", 0)),
                inside.get("cached_tokens", 0),
                inside.get("cache_write_tokens", 0),
                inside.get("image_tokens", 0),
                outside.get("reasoning_tokens", 0),
            )
        )
