"""Parts that some prompts have and others lack, without a difference in the length of answers: a question."""

from collections import Counter, defaultdict
from statistics import fmean, pvariance
from typing import Final

from headrace.broker.spending.advice.beginnings import TokenCounts
from headrace.broker.spending.advice.context import AdviceContext
from headrace.broker.spending.advice.finding import AdviceFinding, SavingEffect, Waste, percent
from headrace.broker.spending.advice.segments import clauses_of
from headrace.broker.spending.advice.views import WorkloadView

PROMPTS_LEAST: Final = 32
PRESENT: Final = (0.2, 0.8)
PART_SHARE: Final = 0.15
"""Of all tokens of the workload: a smaller part is not worth a trial."""
CERTAIN: Final = 0.1
"""The standard error that the difference of mean answers may have, as a share of the mean answer."""
INDEED_SHORTER: Final = 0.5
EXCERPT_CHARS: Final = 160


def findings(view: WorkloadView, context: AdviceContext) -> list[AdviceFinding]:
    """Return the question about the largest optional part of a view's prompts, if it makes no visible difference."""
    if len(view.joined) < PROMPTS_LEAST:
        return []
    part = _largest_part(view)
    if part is None:
        return []
    text, places = part
    tokens, share = TokenCounts(view, context).of(text), len(places) / len(view.joined)
    difference = _difference(view, places, tokens)
    used = tokens * share * view.calls
    cost = view.saved(context.pricing, input_tokens=view.sums.input_tokens / view.calls - tokens * share)
    if difference is None or used < PART_SHARE * view.sums.tokens:
        return []
    if not context.matters(used, view.sums.tokens, cost):
        return []
    finding = context.finding(
        Waste.OPTIONAL_PART,
        view.subject,
        what=(
            f"{percent(share)} of the prompts contain a part of {tokens:,.0f} tokens, without which answers were as "
            f"long: {difference[0]:,.0f} tokens with it, {difference[1]:,.0f} without."
        ),
        how=(
            "Is it needed? The length of answers says nothing of their worth: compare some with it and some without. "
            "The amounts are what this part uses now."
        ),
        tokens=used,
        effect=SavingEffect.AT_STAKE,
        pico_usd=cost,
        sample=len(view.joined),
        evidence={
            "prompts_with_it": len(places),
            "part_tokens": round(tokens),
            "answer_tokens_with_it": round(difference[0]),
            "answer_tokens_without_it": round(difference[1]),
            "estimate_scaled_by": round(view.scale, 3),
        },
        excerpts=(text[:EXCERPT_CHARS],),
    )
    return [finding]


def _largest_part(view: WorkloadView) -> tuple[str, frozenset[int]] | None:
    """Return the longest text that the same prompts have, and the places of these prompts."""
    masks: Counter[str] = Counter()
    for place, pair in enumerate(view.joined):
        for clause in clauses_of(pair.request.text()):
            masks[clause] |= 1 << place
    low, high = (round(share * len(view.joined)) for share in PRESENT)
    parts: defaultdict[int, list[str]] = defaultdict(list)
    for clause, mask in masks.items():
        if low <= mask.bit_count() <= high:
            parts[mask].append(clause)
    if not parts:
        return None
    mask = max(parts, key=lambda each: sum(map(len, parts[each])))
    return "".join(parts[mask]), frozenset(place for place in range(len(view.joined)) if mask >> place & 1)


def _difference(view: WorkloadView, places: frozenset[int], tokens: float) -> tuple[float, float] | None:
    """Return the mean answers with the part and without; None if they differ, or if the figures are too few to tell.

    Prompts without it must be shorter indeed: else they have something else in its place.
    """
    with_it = [pair.outcome for place, pair in enumerate(view.joined) if place in places]
    without = [pair.outcome for place, pair in enumerate(view.joined) if place not in places]
    shorter = fmean(each.input for each in with_it) - fmean(each.input for each in without)
    answers, others = [each.output for each in with_it], [each.output for each in without]
    mean, other = fmean(answers), fmean(others)
    error = (pvariance(answers) / len(answers) + pvariance(others) / len(others)) ** 0.5
    if shorter < INDEED_SHORTER * tokens or error > CERTAIN * max(mean, other) or abs(mean - other) > 2 * error:
        return None
    return mean, other
