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
class Spending:
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


class SpendingByModel:
    """Sums by model; the number of models is bounded."""

    def __init__(self) -> None:
        """Nothing is spent."""
        self._sums: dict[str, Spending] = {}

    def items(self) -> Iterator[tuple[str, Spending]]:
        """Yield models with their sums."""
        yield from self._sums.items()

    def record(self, cargo: Payload) -> None:
        """Add an answered call."""
        model = model_of(cargo)
        name = model if model in self._sums or len(self._sums) < MODELS_MAX else _OTHERS
        spent = self._sums.setdefault(name, Spending())
        spent.requests += 1
        spent.charge_tokens += cargo.charge
        if cargo.usage is not None:
            spent.input_tokens += cargo.usage.input_tokens
            spent.output_tokens += cargo.usage.output_tokens
