"""Beginnings of prompts: how long the common one is, how much of it can be cached, how many tokens a text has.

OpenAI caches a prompt's beginning from 1,024 tokens on, in steps of 128 (developers.openai.com, "Prompt caching";
docs/facts/openai.md). Models before gpt-4o have no cache, and nothing is known of those of other makers.
"""

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from headrace.broker.spending.advice.context import AdviceContext
from headrace.broker.spending.advice.records import BYTES_PER_TOKEN
from headrace.broker.spending.advice.views import WorkloadView

CACHED_FROM_TOKENS: Final = 1_024
CACHED_STEP_TOKENS: Final = 128
CLUSTER_SHARES: Final = (1.0, 0.5, 0.2, 0.05, 0.03)
CLUSTER_LEAST: Final = 3
_CACHED_MODELS: Final = re.compile(r"(?:ft:)?(?:gpt-(?:4o|4\.\d|[5-9]|\d\d)|chatgpt-|o\d|codex-)")


@dataclass(frozen=True, slots=True)
class Beginnings:
    """Beginnings of some prompts.

    Attributes:
        shared: For each prompt some of its beginnings that others have too, by length in characters and share of the
            prompts: a longer one is shared by fewer.
        common_chars: Characters that all prompts have in common.
    """

    shared: list[list[tuple[int, float]]]
    common_chars: int


class TokenCounts:
    """Counts tokens of texts of one view, scaled to what its usage reports; each text once."""

    def __init__(self, view: WorkloadView, context: AdviceContext) -> None:
        self._view, self._count = view, context.count
        self._known: dict[str, float] = {}

    def of(self, text: str) -> float:
        """Return the tokens of a text."""
        if text not in self._known:
            counted = None if self._count is None else self._count(self._view.price_model, text)
            plain = len(text.encode(errors="replace")) / BYTES_PER_TOKEN if counted is None else counted
            self._known[text] = plain * self._view.scale
        return self._known[text]


def has_cache(model: str) -> bool:
    """Return whether OpenAI caches prompts of a model: gpt-4o and newer ones."""
    return _CACHED_MODELS.match(model) is not None


def cacheable(tokens: float) -> float:
    """Return how many tokens of a beginning of this length can be cached; half a step less, as an estimate has it."""
    return 0.0 if tokens < CACHED_FROM_TOKENS else max(CACHED_FROM_TOKENS, tokens - CACHED_STEP_TOKENS / 2)


def beginnings_of(texts: list[str]) -> Beginnings:
    """Find for each text the longest beginnings that all, half, a fifth, a twentieth and 3 % of the texts have."""
    order = sorted(range(len(texts)), key=lambda index: texts[index])
    ordered = [texts[index] for index in order]
    common = [common_prefix(one, other) for one, other in pairwise(ordered)]
    shared: list[list[tuple[int, float]]] = [[] for _ in texts]
    sizes = {min(len(texts), max(CLUSTER_LEAST, round(share * len(texts)))) for share in CLUSTER_SHARES}
    for size in sorted(sizes):
        windows = [min(common[start : start + size - 1], default=0) for start in range(len(texts) - size + 1)]
        for place, index in enumerate(order):
            length = max(windows[max(0, place - size + 1) : place + 1], default=0)
            shared[index].append((length, _run_length(common, place, length) / len(texts)))
    return Beginnings(shared, min(common, default=len(texts[0]) if texts else 0))


def common_prefix(one: str, other: str) -> int:
    """Return the length of the common beginning of two texts, by halving: each comparison is one of slices."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _run_length(common: list[int], place: int, length: int) -> int:
    """Return how many of the sorted texts around a place share a beginning of this length."""
    first = last = place
    while first > 0 and common[first - 1] >= length:
        first -= 1
    while last < len(common) and common[last] >= length:
        last += 1
    return last - first + 1
