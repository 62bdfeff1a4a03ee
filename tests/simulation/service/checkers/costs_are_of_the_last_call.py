"""An outcome has the usage, the tier and the cost of its last call if that was answered, and else none of them."""

from collections.abc import Iterator, Mapping

from headrace.broker.testing.prices import CACHED_MICRO_USD, INPUT_MICRO_USD, OUTPUT_MICRO_USD
from tests.simulation.service.history import History


def check(history: History) -> Iterator[str]:
    """A cost without a paid call, a paid call without its cost, or a cost that is not that of the usage."""
    answered = {call.id for call in history.calls if call.status == 200}
    for at_s, outcome in history.outcomes():
        told = f"{outcome['id']}/{outcome['run']} at {at_s:.3f} s"
        usage, cost = outcome.get("usage"), outcome.get("cost")
        if outcome["status"] == "completed" and (usage is None or cost is None):
            yield f"{told} is completed, and does not say what its call used or cost"
        if (usage is None) != (cost is None):
            yield f"{told} has a usage without a cost, or a cost without a usage"
        if usage is None or cost is None:
            continue
        if outcome["id"] not in answered:
            yield f"{told} says what a call used, and none was answered"
        if cost["micro_usd"] != _expected(usage, outcome.get("tier_served") or outcome.get("tier_asked")):
            yield f"{told} costs {cost['micro_usd']}, which is not the price of its tokens"


def _expected(usage: Mapping[str, int], tier: str | None) -> float | None:
    cached = usage["cached_tokens"]
    whole = (usage["input_tokens"] - cached) * INPUT_MICRO_USD + cached * CACHED_MICRO_USD
    factor = {None: 1.0, "auto": 1.0, "default": 1.0, "flex": 0.5}.get(tier)
    return None if factor is None else (whole + usage["output_tokens"] * OUTPUT_MICRO_USD) * factor
