"""Decision after a failed attempt: another attempt and when, or no more and why.

One retry layer for the whole system. A throttled call waits for as long as the server states and counts as no attempt;
a failing server is met with full jitter, so that many waiting calls do not come back as one wave; a request that would
wait too long in place is parked for the retrier; a request whose next attempt would come after the deadline is answered
now. The random number is an argument.

A service tier without capacity is waited for: such a refusal counts as no attempt, its wait is drawn between five
seconds and a minute, and it is shortened before the deadline so that the last attempt still comes in time.

A request whose answer blames the account waits for as long as the account would rest, though others may be served
meanwhile. The wait doubles each time that a later call is served and so refutes such a blame; before the deadline it is
half of the time left.
"""

from dataclasses import dataclass

from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.core.bounds import (
    RETRY_BACKOFF_FIRST_MS,
    RETRY_BACKOFF_MAX_MS,
    THROTTLE_WAIT_DEFAULT_MS,
    TIER_WAIT_MIN_MS,
)
from headrace.broker.core.budget.breaker import ACCOUNT, ACCOUNT_REST_MS
from headrace.broker.core.budget.tier_breaker import REST_FIRST_MS, REST_MAX_MS, rest_ms
from headrace.broker.core.commands import Fail, Park
from headrace.broker.core.config import RetryRules

DOUBLINGS_MAX = 16  # beyond any bound of a wait; a shift by the number of all calls could be of any size
_KINDS = {
    Meaning.RATE_LIMITED: "rate_limited",
    Meaning.QUOTA: "quota",
    Meaning.AUTH: "auth",
    Meaning.NOT_THE_API: "not_the_api",
    Meaning.OVERLOADED: "overloaded",
    Meaning.TIER_UNAVAILABLE: "overloaded",
    Meaning.TIMEOUT: "timeout",
    Meaning.CONNECTION: "connection",
}


@dataclass(frozen=True, slots=True)
class Again:
    """Another attempt, not before that instant."""

    not_before_ms: int


@dataclass(frozen=True, slots=True)
class Failing:
    """What is known of a failed attempt.

    Attributes:
        verdict: What the answer meant.
        attempts: HTTP calls made, this one included, and those before parking too.
        failures: Those of them that count towards the maximum.
        deadline_ms: The instant after which the answer is no longer wanted.
        parkable: Whether the request may be parked: it fits the failures topic, its lane is not serial, its attempts
            can still be counted, and there is room for one more parked request.
        refuted: How many of its blames of the account a later call of its limit has refuted, by being served.
    """

    verdict: Verdict
    attempts: int
    failures: int
    deadline_ms: int
    parkable: bool
    refuted: int = 0


def kind(meaning: Meaning) -> str:
    """Return the `kind` that a RetryableFailure of that meaning carries."""
    return _KINDS.get(meaning, "upstream_error")


def backoff_ms(failures: int, dice: float) -> int:
    """Return a wait with full jitter: between 0 and a bound that doubles with each failure. `dice` in [0, 1)."""
    ceiling = min(RETRY_BACKOFF_MAX_MS, RETRY_BACKOFF_FIRST_MS << min(failures - 1, DOUBLINGS_MAX))
    return int(ceiling * dice)


def decide(failing: Failing, rules: RetryRules, now_ms: int, dice: float) -> Again | Park | Fail:
    """Decide what becomes of a request whose attempt failed, whether its verdict is retryable or not.

    Args:
        failing: The attempt and its request.
        rules: The bounds.
        now_ms: Now.
        dice: A number in [0, 1) drawn by the caller.
    """
    verdict = failing.verdict
    if not verdict.retryable:
        reason = "too_large" if verdict.meaning is Meaning.TOO_LARGE else "rejected"
        return Fail(reason, verdict.sentence)
    if verdict.counts_as_attempt and failing.failures >= rules.attempts_max:
        return Fail("exhausted", f"Gave up after {failing.failures} failed attempts; the last: {verdict.sentence}")
    is_tier = verdict.meaning is Meaning.TIER_UNAVAILABLE
    wait_ms = _tier_wait_ms(failing, now_ms, dice) if is_tier else _wait_ms(verdict, failing.failures, dice)
    if verdict.meaning in ACCOUNT:
        wait_ms = max(wait_ms, min(_account_wait_ms(failing, now_ms, dice), rules.in_place_max_ms))
    if now_ms + wait_ms >= failing.deadline_ms:
        return Fail(
            "deadline_exceeded", f"The next attempt would come after the deadline; the last: {verdict.sentence}"
        )
    if wait_ms > rules.in_place_max_ms and failing.parkable:
        return Park(kind(verdict.meaning), verdict.sentence, now_ms + wait_ms, failing.attempts, failing.failures)
    return Again(now_ms + wait_ms)


def _tier_wait_ms(failing: Failing, now_ms: int, dice: float) -> int:
    """Return the wait that the server states, else one drawn below a bound that doubles with each call.

    It is at most half of the time left, so that the request is tried again before its deadline, but at least a second.
    """
    bound_ms = min(REST_MAX_MS, REST_FIRST_MS << min(failing.attempts - 1, DOUBLINGS_MAX))
    wait_ms = failing.verdict.wait_ms or rest_ms(bound_ms, dice)
    return max(TIER_WAIT_MIN_MS, min(wait_ms, _half_ms(failing, now_ms)))


def _account_wait_ms(failing: Failing, now_ms: int, dice: float) -> int:
    """Return the account's rest, doubled for each refuted blame, and a little more so that requests come back apart.

    It is at most half of the time left: the account may be well again before the deadline.
    """
    wait_ms = (ACCOUNT_REST_MS << min(failing.refuted, DOUBLINGS_MAX)) + backoff_ms(1, dice)
    return min(wait_ms, _half_ms(failing, now_ms))


def _half_ms(failing: Failing, now_ms: int) -> int:
    return (failing.deadline_ms - now_ms) // 2


def _wait_ms(verdict: Verdict, failures: int, dice: float) -> int:
    if verdict.meaning is Meaning.RATE_LIMITED:
        return THROTTLE_WAIT_DEFAULT_MS if verdict.wait_ms is None else verdict.wait_ms
    stated = verdict.wait_ms or 0
    return stated + backoff_ms(max(1, failures), dice)
