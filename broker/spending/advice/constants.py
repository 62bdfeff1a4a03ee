"""Text that stands in every prompt, is most of what is paid, and cannot be cached: a question."""

from typing import Final

from headrace.broker.spending.advice.beginnings import TokenCounts, beginnings_of, cacheable, has_cache
from headrace.broker.spending.advice.context import AdviceContext
from headrace.broker.spending.advice.finding import AdviceFinding, SavingEffect, Waste, percent
from headrace.broker.spending.advice.segments import ConstantText
from headrace.broker.spending.advice.views import WorkloadView

CONSTANT_SHARE: Final = 0.6
CONSTANT_TOKENS: Final = 128
CACHED_SHARE: Final = 0.1


def findings(view: WorkloadView, context: AdviceContext) -> list[AdviceFinding]:
    """Return the question about a view's constant text, if most of its tokens are that and none is cached."""
    if len(view.joined) < context.rules.samples or view.sums.cached_tokens > CACHED_SHARE * view.sums.input_tokens:
        return []
    each = _constant_tokens(view, context)
    if has_cache(view.model) and cacheable(each):
        return []
    cost = view.saved(context.pricing, input_tokens=view.sums.input_tokens / view.calls - each)
    share = each * view.calls / max(1, view.sums.tokens)
    if each < CONSTANT_TOKENS or share < CONSTANT_SHARE:
        return []
    if not context.matters(each * view.calls, view.sums.tokens, cost):
        return []
    finding = context.finding(
        Waste.CONSTANT_PART,
        view.subject,
        what=f"The same {each:,.0f} tokens stand in every prompt, uncached: {percent(share)} of all that is paid.",
        how=(
            "Could they be fewer, or could one request do the work of several, so that they are sent once for all of "
            "them? The amounts are what these tokens use now."
        ),
        tokens=each * view.calls,
        effect=SavingEffect.AT_STAKE,
        pico_usd=cost,
        sample=len(view.joined),
        evidence={"constant_tokens_a_call": round(each), "estimate_scaled_by": round(view.scale, 3)},
    )
    return [finding]


def _constant_tokens(view: WorkloadView, context: AdviceContext) -> float:
    """Return the tokens of a mean prompt that stand in nearly all others too."""
    texts = [pair.request.text() for pair in view.joined]
    counts, constant, beginning = TokenCounts(view, context), ConstantText(texts), beginnings_of(texts).common_chars
    total = 0.0
    for text in texts:
        blocks = constant.blocks(text, beginning)
        total += counts.of(text[:beginning]) + sum(counts.of(text[block.start : block.end]) for block in blocks)
    return total / len(texts)
