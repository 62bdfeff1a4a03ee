"""Caps on the output far above what is used: quota that some charge laws take in advance."""

import math
from collections import Counter
from collections.abc import Iterable
from typing import Final

from headrace.broker.spending.advice.context import AdviceContext
from headrace.broker.spending.advice.finding import AdviceFinding, SavingEffect, Waste
from headrace.broker.spending.advice.records import BYTES_PER_TOKEN, Joined
from headrace.broker.spending.advice.views import WorkloadView

ROOM: Final = 1.25
"""A cap this much above the longest answer seen is left alone."""
STEP_TOKENS: Final = 16
FAR_ABOVE: Final = 2.0
CAPPED_SHARE: Final = 0.9
CHARGE_SHARE: Final = 0.2
_MINUTES: Final = 1_440


def cap_of(pairs: Iterable[Joined]) -> tuple[str, int] | None:
    """Return the parameter and the value with which most of some requests cap their output."""
    caps = Counter((pair.request.cap_name, cap) for pair in pairs if (cap := pair.request.cap) is not None)
    return caps.most_common(1)[0][0] if caps else None


def findings(view: WorkloadView, context: AdviceContext) -> list[AdviceFinding]:
    """Return the finding on a view's caps, if they are far too high and charged in advance."""
    capped = [pair for pair in view.joined if pair.request.cap is not None and pair.outcome.charge is not None]
    cap = cap_of(capped)
    if cap is None or len(capped) < max(context.rules.samples, CAPPED_SHARE * len(view.joined)):
        return []
    longest = _longest(view, capped)
    enough = max(STEP_TOKENS, math.ceil(ROOM * longest / STEP_TOKENS) * STEP_TOKENS)
    freed = _freed(capped, enough) / len(capped)
    charge = sum(pair.outcome.charge or 0 for pair in capped) / len(capped)
    if cap[1] < FAR_ABOVE * enough or freed < CHARGE_SHARE * charge:
        return []
    if not context.matters(freed * view.calls, charge * view.calls, None):
        return []
    finding = context.finding(
        Waste.CAP_TOO_HIGH,
        view.subject,
        what=f"{cap[0]} is {cap[1]:,}, charged to the rate limit in advance; the longest answer has {longest:,.0f}.",
        how=f"Set {cap[0]} to {enough:,}: it costs no money either way, and lets more calls start in each minute.",
        tokens=freed * view.calls,
        effect=SavingEffect.QUOTA,
        pico_usd=0.0,
        sample=len(capped),
        evidence={
            "cap": cap[1],
            "longest_answer_tokens": round(longest),
            "charge_tokens_a_call": round(charge),
            "freed_tokens_a_call": round(freed),
            "freed_tokens_a_minute": round(freed * view.calls / context.days / _MINUTES),
        },
    )
    return [finding]


def _longest(view: WorkloadView, capped: list[Joined]) -> float:
    """Return the tokens of the longest answer: of all the view's calls, if they have a group of their own."""
    longest = max(pair.outcome.output / pair.request.answers for pair in capped)
    if view.template is None:
        return longest
    return max(longest, view.group.output_max / min(pair.request.answers for pair in capped))


def _freed(capped: list[Joined], enough: int) -> float:
    """Return the tokens by which the sampled calls would be charged less, by the law that fits their charges best."""
    error = {"sum": 0.0, "greater": 0.0, "neither": 0.0}
    freed = {"sum": 0.0, "greater": 0.0, "neither": 0.0}
    for pair in capped:
        prompt = pair.request.bytes_total / BYTES_PER_TOKEN
        cap = (pair.request.cap or 0) * pair.request.answers
        lower = min(cap, enough * pair.request.answers)
        charge = pair.outcome.charge or 0
        error["sum"] += abs(charge - prompt - cap)
        error["greater"] += abs(charge - max(prompt, cap))
        error["neither"] += abs(charge - prompt)
        freed["sum"] += cap - lower
        freed["greater"] += max(prompt, cap) - max(prompt, lower)
    return freed[min(error, key=lambda law: error[law])]
