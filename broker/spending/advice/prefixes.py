"""Beginnings of prompts that repeat: what of them is cached, what could be, and what breaks them."""

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import Final

from headrace.broker.spending.advice.beginnings import (
    Beginnings,
    TokenCounts,
    beginnings_of,
    cacheable,
    has_cache,
)
from headrace.broker.spending.advice.context import AdviceContext
from headrace.broker.spending.advice.finding import AdviceFinding, SavingEffect, Waste
from headrace.broker.spending.advice.records import Joined
from headrace.broker.spending.advice.segments import ConstantText
from headrace.broker.spending.advice.views import WorkloadView

CACHE_KEY_CALLS_A_MINUTE: Final = 15
"""OpenAI's advice for one `prompt_cache_key`: beyond it calls go to further machines, whose caches are empty."""
SATISFIED: Final = 0.7
"""A cache that is used this well is left alone: none is always hit."""
GAIN_SHARE: Final = 0.2
GAIN_TOKENS: Final = 256
NEAR_CHARS: Final = 600
EXCERPT_CHARS: Final = 160
_MINUTES: Final = 1_440
_LOOKED_AT: Final = 24
_WORD_CHARS: Final = 40
_DATE: Final = (
    r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d{1,2}:\d{2}"
    r"|\b(?:Mon|Tues?|Wednes|Thurs?|Fri|Satur|Sun)(?:day)?\b"
    r"|\b(?:Jan|Febr?|March|Mar|Apr|May|June?|July?|Aug|Sept?|Oct|Nov|Dec)(?:uary|il|ust|ember|ober)?\b"
)
_CLASSES: Final = (
    ("a date or time", re.compile(_DATE)),
    ("an id", re.compile(r"(?=\S*\d)(?=\S*[A-Za-z])[\w-]{6,}|\d{7,}")),
    ("a number", re.compile(r"\d")),
    ("a name", re.compile(r"^\W*[A-Z]\w+")),
)
_OTHER: Final = "text"


@dataclass(frozen=True, slots=True)
class _Prompts:
    """The prompts of a view, looked at together. `potential` is what could be cached in another order."""

    texts: list[str]
    beginnings: Beginnings
    achievable: float
    potential: float
    distance: float
    keyed: int


def findings(view: WorkloadView, context: AdviceContext) -> list[AdviceFinding]:
    """Return findings on the beginnings of a view's prompts."""
    pairs = [pair for pair in view.joined if pair.request.is_cacheable]
    if len(pairs) < context.rules.samples or not (has_cache(view.model) or view.sums.cached_tokens):
        return []
    prompts = _looked_at(view, context, pairs)
    cached = view.sums.cached_tokens / view.calls
    found = (_uncached(view, context, prompts, cached), _broken(view, context, prompts, cached))
    return [finding for finding in found if finding is not None]


def _looked_at(view: WorkloadView, context: AdviceContext, pairs: list[Joined]) -> _Prompts:
    texts = [pair.request.text() for pair in pairs]
    beginnings, constant, tokens = beginnings_of(texts), ConstantText(texts), TokenCounts(view, context)
    achievable, potential, distances = 0.0, 0.0, []
    hits = cache(lambda share: view.group.hit_share(share * view.share))
    for text, shared in zip(texts, beginnings.shared, strict=True):
        served = [(cacheable(tokens.of(text[:chars])) * hits(share), chars, share) for chars, share in shared]
        best, length, share = max(served, key=lambda each: each[0])
        if not best:
            _, length, share = served[-1]  # what all prompts have in common
        reordered = [best]
        for chars, shared_by in {(length, share), (beginnings.common_chars, 1.0)}:
            blocks = constant.blocks(text, chars)
            moved = sum(tokens.of(text[block.start : block.end]) for block in blocks)
            reordered.append(cacheable(tokens.of(text[:chars]) + moved) * hits(shared_by))
            distances += [blocks[0].start - chars] if blocks and chars == length else []
        achievable += best
        potential += max(reordered)
    keyed = sum(pair.request.has_cache_key for pair in pairs)
    distance = sorted(distances)[len(distances) // 2] if distances else 0
    return _Prompts(texts, beginnings, achievable / len(texts), potential / len(texts), distance, keyed)


def _uncached(view: WorkloadView, context: AdviceContext, prompts: _Prompts, cached: float) -> AdviceFinding | None:
    if cached >= SATISFIED * prompts.achievable:
        return None
    gained = (prompts.achievable - cached) * view.calls
    saved = view.saved(context.pricing, cached_tokens=prompts.achievable)
    if not context.matters(gained, view.sums.input_tokens, saved):
        return None
    return context.finding(
        Waste.UNCACHED_PREFIX,
        view.subject,
        what=(
            f"On average {prompts.achievable:,.0f} tokens at a prompt's beginning could be cached, {cached:,.0f} are."
        ),
        how=_how_to_cache(view, context, prompts),
        tokens=gained,
        effect=SavingEffect.CACHED,
        pico_usd=saved,
        sample=len(prompts.texts),
        evidence=_evidence(view, prompts, cached),
        excerpts=(prompts.texts[0][: min(EXCERPT_CHARS, prompts.beginnings.shared[0][-1][0])],),
    )


def _how_to_cache(view: WorkloadView, context: AdviceContext, prompts: _Prompts) -> str:
    keys = f"at most {CACHE_KEY_CALLS_A_MINUTE} calls a minute with one key"
    if prompts.keyed == len(prompts.texts):
        return (
            f"prompt_cache_key is set: check that requests which begin alike have the same one ({keys}), and that "
            "tools, instructions and first messages are the same byte for byte."
        )
    return (
        f"Set the same prompt_cache_key in all requests that begin alike ({keys}; here there are "
        f"{view.calls / context.days / _MINUTES:.1f} a minute), and keep tools, instructions and first messages the "
        "same byte for byte."
    )


def _broken(view: WorkloadView, context: AdviceContext, prompts: _Prompts, cached: float) -> AdviceFinding | None:
    now = max(prompts.achievable, cached)
    each = prompts.potential - now
    if each < max(GAIN_TOKENS, GAIN_SHARE * view.sums.input_tokens / view.calls):
        return None
    best = view.saved(context.pricing, cached_tokens=prompts.potential)
    soon = view.saved(context.pricing, cached_tokens=now)
    saved = None if best is None or soon is None else best - soon
    if not context.matters(each * view.calls, view.sums.input_tokens, saved):
        return None
    piece = _piece_class(prompts) if prompts.distance <= NEAR_CHARS else _OTHER
    place = prompts.beginnings.common_chars
    return context.finding(
        Waste.BROKEN_PREFIX,
        view.subject,
        what=f"Prompts differ by {piece} before what never varies: {prompts.potential:,.0f} tokens could be cached.",
        how=(
            f"Put what differs ({piece}) after what never varies: at the end of the instructions, or into the last "
            "message. Then set one prompt_cache_key in these requests."
        ),
        tokens=each * view.calls,
        effect=SavingEffect.CACHED,
        pico_usd=saved,
        sample=len(prompts.texts),
        evidence=_evidence(view, prompts, cached) | {"differs_by": piece},
        excerpts=tuple(dict.fromkeys(text[max(0, place - 60) : place + 60] for text in prompts.texts[:3])),
    )


def _evidence(view: WorkloadView, prompts: _Prompts, cached: float) -> dict[str, int | float | str]:
    return {
        "input_tokens_a_call": round(view.sums.input_tokens / view.calls),
        "cached_tokens_a_call": round(cached),
        "cacheable_tokens_a_call": round(prompts.achievable),
        "cacheable_in_another_order": round(prompts.potential),
        "requests_with_cache_key": prompts.keyed,
        "estimate_scaled_by": round(view.scale, 3),
    }


def _piece_class(prompts: _Prompts) -> str:
    """Return what kind of text it is, in most prompts, by which they first differ."""
    place = prompts.beginnings.common_chars
    classes = Counter(_class_of(_word_at(text, place)) for text in prompts.texts[:_LOOKED_AT])
    return classes.most_common(1)[0][0]


def _word_at(text: str, place: int) -> str:
    """Return the word that stands at a place, with as much around it as belongs to it."""
    before = re.split(r"\s", text[max(0, place - _WORD_CHARS) : place])[-1]
    after = re.split(r"\s", text[place : place + _WORD_CHARS], maxsplit=1)[0]
    return before + after


def _class_of(word: str) -> str:
    return next((name for name, pattern in _CLASSES if pattern.search(word)), _OTHER)
