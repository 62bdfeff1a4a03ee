"""Parts of a prompt that stand in it more than once.

Tools and schemas are left out: what they have in common, each of them must state.
"""

from dataclasses import dataclass
from typing import Final

from headrace.broker.spending.advice.beginnings import TokenCounts
from headrace.broker.spending.advice.context import AdviceContext
from headrace.broker.spending.advice.finding import AdviceFinding, SavingEffect, Waste
from headrace.broker.spending.advice.segments import repeats_in
from headrace.broker.spending.advice.views import WorkloadView

SEEN_SHARE: Final = 0.2
"""Share of the prompts that must repeat something: a rare one is a matter of its content."""
EXCERPT_CHARS: Final = 160


@dataclass(slots=True)
class _Repeated:
    """Repeated tokens of all sampled prompts; `in_cache` are those of them that the cache serves anyway."""

    tokens: float = 0.0
    in_cache: float = 0.0
    prompts: int = 0
    excerpt: str = ""


def findings(view: WorkloadView, context: AdviceContext) -> list[AdviceFinding]:
    """Return the finding on repeated parts of a view's prompts, if there is one."""
    sample = len(view.joined)
    if sample < context.rules.samples:
        return []
    repeated = _repeated(view, context)
    each, before = repeated.tokens / sample, view.usage()
    saved = view.saved(
        context.pricing,
        input_tokens=view.sums.input_tokens / view.calls - each,
        cached_tokens=view.sums.cached_tokens / view.calls - repeated.in_cache / sample,
    )
    if repeated.prompts < SEEN_SHARE * sample or not context.matters(each * view.calls, view.sums.tokens, saved):
        return []
    finding = context.finding(
        Waste.REPEATED_PART,
        view.subject,
        what=f"{repeated.prompts} of {sample} prompts looked at have a part twice or more: {each:,.0f} tokens a call.",
        how="Send each part once: look for a document that is put in twice, or a history that is appended to itself.",
        tokens=each * view.calls,
        effect=SavingEffect.SAVED,
        pico_usd=saved,
        sample=sample,
        evidence={
            "repeated_tokens_a_call": round(each),
            "input_tokens_a_call": before.input_tokens,
            "prompts_with_repeats": repeated.prompts,
            "estimate_scaled_by": round(view.scale, 3),
        },
        excerpts=(repeated.excerpt[:EXCERPT_CHARS],),
    )
    return [finding]


def _repeated(view: WorkloadView, context: AdviceContext) -> _Repeated:
    counts, cached, found = TokenCounts(view, context), view.sums.cached_tokens / view.calls, _Repeated()
    for pair in view.joined:
        text = pair.request.text()
        repeats = repeats_in(text, pair.request.definitions)
        tokens = sum(counts.of(part) for part in repeats.texts)
        found.tokens += tokens
        found.prompts += bool(repeats.texts)
        if cached and tokens and counts.of(text[: repeats.first_at]) + tokens <= cached:
            found.in_cache += tokens
        found.excerpt = found.excerpt or "".join(repeats.texts[:1])
    return found
