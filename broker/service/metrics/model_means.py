"""Tokens of answered calls by model, since the start: what `/status` shows as means."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from headrace.broker.service.metrics.payload_facts import model_of
from headrace.broker.service.payloads import Payload

MODELS_MAX: Final = 100
_OTHERS: Final = "other"
"""The name that all further models share: producers choose the names of models."""


@dataclass(slots=True)
class ModelSums:
    """Sums of one model since the start, for means."""

    requests: int = 0
    charge_tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def means(self) -> dict[str, float]:
        """Return the mean tokens per request."""
        count = max(1, self.requests)
        return {
            "requests": self.requests,
            "charge_tokens_mean": round(self.charge_tokens / count, 1),
            "input_tokens_mean": round(self.input_tokens / count, 1),
            "output_tokens_mean": round(self.output_tokens / count, 1),
        }


class ModelMeans:
    """Sums by model; the number of models is bounded."""

    def __init__(self) -> None:
        """Start without calls."""
        self._sums: dict[str, ModelSums] = {}

    def items(self) -> Iterator[tuple[str, ModelSums]]:
        """Yield models with their sums."""
        yield from self._sums.items()

    def record(self, cargo: Payload) -> None:
        """Add an answered call."""
        model = model_of(cargo)
        name = model if model in self._sums or len(self._sums) < MODELS_MAX else _OTHERS
        sums = self._sums.setdefault(name, ModelSums())
        sums.requests += 1
        sums.charge_tokens += cargo.charge
        if cargo.usage is not None:
            sums.input_tokens += cargo.usage.input_tokens
            sums.output_tokens += cargo.usage.output_tokens
