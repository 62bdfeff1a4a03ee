"""Lanes whose deadlines leave time for a cheaper service tier, and answers that came after their deadline."""

from typing import Final

from headrace.broker.spending.advice.context import AdviceContext
from headrace.broker.spending.advice.finding import AdviceFinding, SavingEffect, Waste, percent
from headrace.broker.spending.advice.groups import CallSums
from headrace.broker.spending.advice.records import Joined
from headrace.broker.spending.advice.views import WorkloadView, quantile_of_values, scaled

PATIENT_S: Final = 900.0
"""OpenAI advises a time-out of fifteen minutes for flex (docs/facts/openai.md §8)."""
CHEAP_TIER: Final = "flex"
USUAL_TIER: Final = "default"
_UNASKED: Final = frozenset({"", "auto"})


def findings(view: WorkloadView, context: AdviceContext) -> list[AdviceFinding]:
    """Return findings on the deadlines of a view's requests."""
    found = [_cheaper_tier(view, context, lane) for lane in sorted({pair.outcome.lane for pair in view.joined})]
    return [finding for finding in (*found, _late(view, context)) if finding is not None]


def _cheaper_tier(view: WorkloadView, context: AdviceContext, lane: str) -> AdviceFinding | None:
    pairs = [pair for pair in view.joined if pair.outcome.lane == lane and pair.outcome.tier in _UNASKED]
    left = [slack for pair in pairs if (slack := _time_left(pair, context)) is not None]
    at_least = quantile_of_values(left, 0.05)
    if len(left) < context.rules.samples or at_least < PATIENT_S or view.tier != USUAL_TIER:
        return None
    sums = _sums_of(view, lane, pairs)
    mean, paid = sums.mean(), context.pricing.paid(sums, view.price_model)
    remaining = context.pricing.remaining(view.price_model, (USUAL_TIER, mean), (CHEAP_TIER, mean))
    if remaining is None or paid is None or remaining >= 1:
        return None
    if not context.matters(sums.tokens, view.sums.tokens, paid * (1 - remaining)):
        return None
    return context.finding(
        Waste.CHEAPER_TIER,
        view.subject,
        what=f"Requests name no tier; 95 % of answers come {at_least / 60:,.0f} minutes or more before the deadline.",
        how=(
            f'Set service_tier to "{CHEAP_TIER}" in the bodies for this lane: {percent(remaining)} of the price, but '
            "slower, and at times without capacity; such a request is tried again until its deadline."
        ),
        tokens=sums.tokens,
        effect=SavingEffect.CHEAPER,
        pico_usd=paid * (1 - remaining),
        sample=len(pairs),
        lane=lane,
        evidence={
            "share_of_price": round(remaining, 4),
            "seconds_left_p05": round(at_least),
            "seconds_taken_p95": round(quantile_of_values([pair.outcome.total_ms / 1_000 for pair in pairs], 0.95), 1),
            "requests_with_a_deadline_of_their_own": sum(pair.request.deadline_s is not None for pair in pairs),
        },
    )


def _late(view: WorkloadView, context: AdviceContext) -> AdviceFinding | None:
    late = [pair for pair in view.joined if (left := _time_left(pair, context)) is not None and left < 0]
    if not late or len(view.joined) < context.rules.samples:
        return None
    sums = scaled(late, view.calls * len(late) / len(view.joined))
    money = context.pricing.paid(sums, view.price_model)
    if not context.matters(sums.tokens, view.sums.tokens, money):
        return None
    return context.finding(
        Waste.LATE,
        view.subject,
        what=f"{len(late)} of {len(view.joined)} answers that were looked at came after their deadline, and were paid.",
        how="Give these requests a later deadline, or a lane that is served sooner.",
        tokens=sums.tokens,
        effect=SavingEffect.IN_VAIN,
        pico_usd=money,
        sample=len(view.joined),
        evidence={"late": len(late)},
    )


def _time_left(pair: Joined, context: AdviceContext) -> float | None:
    """Return the seconds from an answer to its deadline; None if either is not known."""
    deadline_s, outcome = pair.request.deadline_s, pair.outcome
    if deadline_s is None and outcome.submitted_s is not None and outcome.lane in context.lane_deadlines_s:
        deadline_s = outcome.submitted_s + context.lane_deadlines_s[outcome.lane]
    return None if deadline_s is None or outcome.finished_s is None else deadline_s - outcome.finished_s


def _sums_of(view: WorkloadView, lane: str, pairs: list[Joined]) -> CallSums:
    """Return the sums of a view's calls in a lane that asked for no tier."""
    if view.template is None:
        return scaled(pairs, view.calls * len(pairs) / len(view.joined))
    total = CallSums()
    for (named, tier), sums in view.group.lanes.items():
        if named == lane and tier in _UNASKED:
            total.add_usages(sums)
    return total
