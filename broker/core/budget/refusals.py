"""Conclusions from a server's refusal of a call.

Refusals of a producer's request are in `headrace.schemas.refusals`.
"""

from collections.abc import Iterator
from typing import Final

from headrace.broker.core.answers.rate_limit_headers import LimitMetric, Reading
from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.core.budget.reservation import Reservation

_TURNED_AWAY: Final = frozenset({Meaning.REJECTED, Meaning.AUTH, Meaning.NOT_THE_API, Meaning.TIER_UNAVAILABLE})


def is_explained(call: Reservation, verdict: Verdict) -> bool:
    """Return whether a refusal names a limit that could not pay."""
    stated, side = verdict.snapshot, verdict.side_limit
    if side is not None and side.capacity is not None and side.used is not None:
        return side.capacity - side.used < (side.requested or side.capacity)
    if stated is not None and stated.used is not None:
        return stated.project or stated.capacity - stated.used < (stated.requested or call.amount(stated.metric))
    return any(reading.remaining < call.amount(reading.metric) for reading in shown_by(verdict))


def spent_of(call: Reservation, verdict: Verdict) -> set[LimitMetric]:
    """Return what a refusal says is spent, tokens or requests: by its own figures, else by its headers."""
    if verdict.snapshot is not None:
        return {verdict.snapshot.metric}
    return {each.metric for each in shown_by(verdict) if each.remaining < call.amount(each.metric)}


def shown_by(verdict: Verdict) -> Iterator[Reading]:
    """Yield the buckets of tokens and requests that headers show, the account's and then the project's."""
    yield from verdict.readings
    for side in verdict.side_readings:
        if (reading := side.of_project()) is not None:
            yield reading


def was_turned_away(verdict: Verdict) -> bool:
    """Return whether the server turned a call away before it consulted its limits, as far as is known.

    OpenAI charges a 400 like an answer, and then its headers say so; 401 and 404 come without (facts/openai.md §2, §4).
    Answers of servers that never show limits cannot correct the mirror: without this rule, one typing error in
    `max_tokens` would freeze such a limit for as long as that many tokens take to flow in.
    """
    return verdict.meaning in _TURNED_AWAY and not verdict.readings and verdict.snapshot is None
