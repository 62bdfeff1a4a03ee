"""What outcomes alone tell: answers cut off, late or lost, calls made again, models whose answers are short."""

from typing import Final

from headrace.broker.spending.advice.context import AdviceContext
from headrace.broker.spending.advice.finding import AdviceFinding, SavingEffect, Waste, percent
from headrace.broker.spending.advice.groups import CallSums, OutcomeGroup
from headrace.broker.spending.sizes import quantile

RETRIED_SHARE: Final = 0.1
SHORT_ANSWER_TOKENS: Final = 64
LABEL_TOKENS: Final = 16
"""Answers that end at so low a cap are labels, or one token for the sake of its probability: they are meant to."""
ALL_CUT: Final = 0.95
"""Where nearly all answers end at their cap, it may be meant as their length."""
MUCH_CHEAPER: Final = 0.7
LATE: Final = "deadline_exceeded"
_SUCCESSORS: Final = {
    "gpt-4": "gpt-4.1",
    "gpt-4-32k": "gpt-4.1",
    "gpt-4-turbo": "gpt-4.1",
    "gpt-4-turbo-preview": "gpt-4.1",
    "gpt-4.5-preview": "gpt-4.1",
    "gpt-3.5-turbo": "gpt-4.1-nano",
    "gpt-3.5-turbo-16k": "gpt-4.1-nano",
}
"""Models with a later successor that costs less; a question all the same."""
_SMALLER: Final = {"-mini": ("-nano",), "-nano": (), "": ("-mini", "-nano")}


def findings(group: OutcomeGroup, context: AdviceContext, cap: tuple[str, int] | None) -> list[AdviceFinding]:
    """Return findings on a group's outcomes; `cap` is the usual cap of its requests, if they are known."""
    found = [_cut_off(group, context, cap), _retries(group, context), _cheaper_model(group, context)]
    found += [_failed(group, context, reason, sums) for reason, sums in group.failed.items()]
    return [finding for finding in found if finding is not None]


def duplicates(
    group: OutcomeGroup, further: tuple[int, CallSums] | None, share: float, context: AdviceContext
) -> list[AdviceFinding]:
    """Return the finding on answers to requests that had an answer under another id, if there are enough.

    `further` counts the requests and sums the answers after the first, of the share of all requests that is followed.
    """
    if further is None:
        return []
    requests, sums = further
    money = context.pricing.paid(sums, group.price_model)
    saved = None if money is None else money / share
    if not context.matters(sums.tokens / share, group.answered.tokens, saved):
        return []
    finding = context.finding(
        Waste.DUPLICATES,
        group.subject,
        what=f"{requests / share:,.0f} requests were answered {sums.metered / share:,.0f} times more, under other ids.",
        how=(
            "Derive a request's id from the work it is for: a second submission of the same id costs nothing and "
            "gets the same outcome. Where the same question comes up again later, keep its answer."
        ),
        tokens=sums.tokens / share,
        effect=SavingEffect.SAVED,
        pico_usd=saved,
        evidence={
            "requests": requests,
            "further_answers": sums.metered,
            "share_of_requests_followed": round(share, 4),
        },
    )
    return [finding]


def _cut_off(group: OutcomeGroup, context: AdviceContext, cap: tuple[str, int] | None) -> AdviceFinding | None:
    cut = group.cut
    if cut.output_tokens <= LABEL_TOKENS * cut.metered:
        return None
    money, are_all = context.pricing.paid(cut, group.price_model), cut.metered >= ALL_CUT * group.answered.metered
    if not context.matters(cut.tokens, group.answered.tokens, money):
        return None
    parameter = "max_completion_tokens (of responses: max_output_tokens)" if cap is None else cap[0]
    usual = {} if cap is None else {"usual_cap": cap[1]}
    return context.finding(
        Waste.CUT_OFF,
        group.subject,
        what=f"{cut.metered:,} of {group.answered.metered:,} answers end in the middle, at the cap on their output.",
        how=(
            f"Raise {parameter}, or ask for shorter answers: one that is cut off is paid in full."
            + (" If this length is what is wanted, all is well." if are_all else "")
        ),
        tokens=cut.tokens,
        effect=SavingEffect.AT_STAKE if are_all else SavingEffect.IN_VAIN,
        pico_usd=money,
        evidence={"cut_off": cut.metered, "output_tokens_a_cut_answer": round(cut.output_tokens / cut.metered)} | usual,
    )


def _failed(group: OutcomeGroup, context: AdviceContext, reason: str, sums: CallSums) -> AdviceFinding | None:
    money = context.pricing.paid(sums, group.price_model or group.model)
    if not context.matters(sums.tokens, group.answered.tokens + sums.tokens, money):
        return None
    is_late = reason == LATE
    how = "Look at the dead letters of this reason: each of these requests was answered, and the answer lost."
    if is_late:
        how = "Give these requests a later deadline, or a lane that is served sooner."
    return context.finding(
        Waste.LATE if is_late else Waste.PAID_FAILURES,
        group.subject,
        what=f"{sums.metered:,} calls were paid whose requests failed: {reason}.",
        how=how,
        tokens=sums.tokens,
        effect=SavingEffect.IN_VAIN,
        pico_usd=money,
        evidence={"paid_failures": sums.metered, "late_after_a_call_without_usage": group.unmetered_late},
    )


def _retries(group: OutcomeGroup, context: AdviceContext) -> AdviceFinding | None:
    if group.extra_attempts < RETRIED_SHARE * group.outcomes or not group.answered.metered:
        return None
    each = group.answered.tokens / group.answered.metered
    if not context.matters(group.extra_attempts * each, group.answered.tokens, None):
        return None
    return context.finding(
        Waste.RETRIES,
        group.subject,
        what=f"{group.retried:,} of {group.outcomes:,} requests took {group.extra_attempts:,} calls more than one.",
        how=(
            "Look in /status and metrics for what these calls were answered with: refused ones count towards the rate "
            "limit, and one that timed out may be paid. The tokens are those of as many mean calls."
        ),
        tokens=group.extra_attempts * each,
        effect=SavingEffect.AT_STAKE,
        pico_usd=None,
        evidence={"retried": group.retried, "further_calls": group.extra_attempts, "tokens_a_call": round(each)},
    )


def _cheaper_model(group: OutcomeGroup, context: AdviceContext) -> AdviceFinding | None:
    """Return the question about the dearest cheaper model that costs much less."""
    sums, model = group.answered, group.price_model
    long_answer = quantile(group.outputs, 0.95)
    money = context.pricing.paid(sums, model)
    if long_answer is None or money is None:
        return None
    names = [_SUCCESSORS[group.model]] if group.model in _SUCCESSORS else []
    if long_answer <= SHORT_ANSWER_TOKENS and not group.reasoning:
        names += _smaller(group.model)
    mean = sums.mean()
    for name in names:
        remaining = context.pricing.remaining(model, ("default", mean), ("default", mean), other=name)
        if remaining is None or remaining > MUCH_CHEAPER:
            continue
        if not context.matters(sums.tokens, sums.tokens, money * (1 - remaining)):
            continue
        return context.finding(
            Waste.CHEAPER_MODEL,
            group.subject,
            what=(
                f"Would {name} do? It costs {percent(remaining)} of {group.model}, and 95 % of the answers have "
                f"{long_answer} tokens or less."
            ),
            how=f'Send a hundred of these requests with model "{name}" as well, and compare the answers.',
            tokens=sums.tokens,
            effect=SavingEffect.AT_STAKE,
            pico_usd=money * (1 - remaining),
            evidence={"share_of_price": round(remaining, 4), "answer_tokens_p95": long_answer, "model": name},
        )
    return None


def _smaller(model: str) -> list[str]:
    ending = next((end for end in ("-mini", "-nano") if model.endswith(end)), "")
    return [model.removesuffix(ending) + smaller for smaller in _SMALLER[ending]]
