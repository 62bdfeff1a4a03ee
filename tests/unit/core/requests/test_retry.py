import pytest

from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.core.bounds import RETRY_BACKOFF_FIRST_MS, RETRY_BACKOFF_MAX_MS, THROTTLE_WAIT_DEFAULT_MS
from headrace.broker.core.budget.breaker import ACCOUNT, ACCOUNT_REST_MS
from headrace.broker.core.commands import Fail, Park
from headrace.broker.core.config import RetryRules
from headrace.broker.core.requests.retry import Again, Failing, backoff_ms, decide, kind
from tests.unit.core.specimens import FAR_MS, verdict

RULES = RetryRules(in_place_max_ms=60_000, attempts_max=3)
NOW = 1_000


def after(
    answer: Verdict, *, failures: int = 1, deadline_ms: int = FAR_MS, parkable: bool = True, dice: float = 0.5
) -> Again | Park | Fail:
    return decide(Failing(answer, failures + 4, failures, deadline_ms, parkable), RULES, NOW, dice)


@pytest.mark.parametrize(
    ("meaning", "reason"), [(Meaning.TOO_LARGE, "too_large"), (Meaning.REJECTED, "rejected")], ids=str
)
def test_what_repeating_cannot_mend_fails_at_once(meaning: Meaning, reason: str) -> None:
    assert after(verdict(meaning)) == Fail(reason, f"It was {meaning}.")


def test_a_throttled_call_waits_what_the_server_states_whatever_the_dice_say() -> None:
    answer = verdict(Meaning.RATE_LIMITED, wait_ms=700)
    assert after(answer, dice=0.0) == after(answer, dice=0.9) == Again(NOW + 700)


def test_a_throttle_that_states_nothing_waits_the_default() -> None:
    assert after(verdict(Meaning.RATE_LIMITED)) == Again(NOW + THROTTLE_WAIT_DEFAULT_MS)


def test_only_what_counts_uses_up_attempts() -> None:
    assert isinstance(after(verdict(Meaning.UPSTREAM_ERROR), failures=2), Again)
    exhausted = after(verdict(Meaning.UPSTREAM_ERROR), failures=3)
    assert isinstance(exhausted, Fail)
    assert exhausted.reason == "exhausted"
    assert isinstance(after(verdict(Meaning.QUOTA), failures=99), Again)
    assert isinstance(after(verdict(Meaning.RATE_LIMITED), failures=99), Again)


def test_what_would_come_at_the_deadline_or_after_it_is_answered_now() -> None:
    answer = verdict(Meaning.RATE_LIMITED, wait_ms=500)
    late = after(answer, deadline_ms=NOW + 500)
    assert isinstance(late, Fail)
    assert late.reason == "deadline_exceeded"
    assert after(answer, deadline_ms=NOW + 501) == Again(NOW + 500)


def test_a_wait_too_long_for_this_place_is_parked() -> None:
    assert after(verdict(Meaning.RATE_LIMITED, wait_ms=60_000)) == Again(NOW + 60_000)
    parked = after(verdict(Meaning.RATE_LIMITED, wait_ms=60_001), failures=2)
    assert parked == Park("rate_limited", "It was rate_limited.", NOW + 60_001, attempts=6, failures=2)


def test_what_does_not_fit_the_failures_topic_waits_in_place_however_long() -> None:
    assert after(verdict(Meaning.RATE_LIMITED, wait_ms=90_000), parkable=False) == Again(NOW + 90_000)


def test_a_failing_server_that_states_no_wait_is_met_with_jitter_alone() -> None:
    assert after(verdict(Meaning.OVERLOADED), dice=0.0) == Again(NOW)


def test_a_stated_wait_is_never_cut_by_the_jitter() -> None:
    answer = verdict(Meaning.OVERLOADED, wait_ms=5_000)
    assert after(answer, dice=0.0) == Again(NOW + 5_000)
    assert after(answer, dice=0.5) == Again(NOW + 5_000 + RETRY_BACKOFF_FIRST_MS // 2)


@pytest.mark.parametrize("meaning", sorted(ACCOUNT))
def test_a_request_that_blames_the_account_waits_as_long_as_the_account_rests(meaning: Meaning) -> None:
    assert after(verdict(meaning), failures=0, dice=0.0) == Again(NOW + ACCOUNT_REST_MS)
    assert after(verdict(meaning), failures=0, dice=0.5) == Again(NOW + ACCOUNT_REST_MS + RETRY_BACKOFF_FIRST_MS // 2)


def test_the_wait_doubles_with_each_blame_that_others_refute_but_never_parks_the_request() -> None:
    blaming = [Failing(verdict(Meaning.AUTH), 9, 0, FAR_MS, True, refuted) for refuted in (0, 1, 2, 3, 1_000_000)]
    waits = [decide(each, RULES, NOW, 0.0) for each in blaming]
    assert waits == [Again(NOW + wait_ms) for wait_ms in (10_000, 20_000, 40_000, 60_000, 60_000)]


def test_a_request_that_blames_the_account_is_tried_again_before_its_deadline_and_never_fails_for_the_rest() -> None:
    for left_ms, wait_ms in ((15_000, 7_500), (1_000, 500), (300, 150), (2, 1)):
        failing = Failing(verdict(Meaning.QUOTA), 9, 0, NOW + left_ms, parkable=True)
        assert decide(failing, RULES, NOW, 0.0) == Again(NOW + wait_ms)


def test_a_wait_that_an_answer_without_credit_states_is_kept() -> None:
    assert after(verdict(Meaning.QUOTA, wait_ms=30_000), failures=0, dice=0.0) == Again(NOW + 30_000)
    assert after(verdict(Meaning.QUOTA, wait_ms=3_000), failures=0, dice=0.0) == Again(NOW + ACCOUNT_REST_MS)
    assert isinstance(after(verdict(Meaning.QUOTA, wait_ms=90_000)), Park)


def test_the_back_off_doubles_up_to_its_bound_and_never_overflows() -> None:
    ceilings = [backoff_ms(failures, 0.999_999) for failures in (1, 2, 3, 10, 1_000_000)]
    assert ceilings == [
        RETRY_BACKOFF_FIRST_MS - 1,
        2 * RETRY_BACKOFF_FIRST_MS - 1,
        4 * RETRY_BACKOFF_FIRST_MS - 1,
        RETRY_BACKOFF_MAX_MS - 1,
        RETRY_BACKOFF_MAX_MS - 1,
    ]
    assert backoff_ms(5, 0.0) == 0


def test_a_failure_is_named_by_what_it_was() -> None:
    assert [kind(meaning) for meaning in (Meaning.QUOTA, Meaning.TIMEOUT, Meaning.UPSTREAM_ERROR)] == [
        "quota",
        "timeout",
        "upstream_error",
    ]


def test_a_retryable_failure_says_in_the_words_of_the_contract_why_it_waits() -> None:
    assert [kind(each) for each in (Meaning.CONNECTION, Meaning.RATE_LIMITED)] == ["connection", "rate_limited"]
    assert kind(Meaning.NOT_THE_API) == "not_the_api", "an operator's mistake is no server's error"
    assert kind(Meaning.REJECTED) == "upstream_error", "whatever has no word of its own"


REFUSED_TIER = verdict(Meaning.TIER_UNAVAILABLE)


@pytest.mark.parametrize(
    ("attempts", "dice", "wait_ms"), [(1, 0.0, 5_000), (1, 0.999, 9_995), (3, 0.999, 39_965), (99, 0.999, 59_945)]
)
def test_a_refused_tier_is_asked_again_within_a_minute_and_uses_up_no_attempt(
    attempts: int, dice: float, wait_ms: int
) -> None:
    failing = Failing(REFUSED_TIER, attempts, 99, FAR_MS, parkable=True)
    assert decide(failing, RULES, NOW, dice) == Again(NOW + wait_ms)


@pytest.mark.parametrize(("left_ms", "wait_ms"), [(100_000, 50_000), (10_000, 5_000), (1_500, 1_000)])
def test_a_refused_tier_is_asked_once_more_before_the_deadline(left_ms: int, wait_ms: int) -> None:
    failing = Failing(REFUSED_TIER, 99, 0, NOW + left_ms, parkable=True)
    assert decide(failing, RULES, NOW, 0.9) == Again(NOW + wait_ms)


def test_a_refused_tier_fails_a_request_only_within_a_second_of_its_deadline() -> None:
    failed = decide(Failing(REFUSED_TIER, 99, 0, NOW + 1_000, parkable=True), RULES, NOW, 0.9)
    assert isinstance(failed, Fail)
    assert failed.reason == "deadline_exceeded"


def test_a_refused_tier_that_states_a_wait_is_asked_then_but_before_the_deadline() -> None:
    told = verdict(Meaning.TIER_UNAVAILABLE, wait_ms=45_000)
    assert after(told, dice=0.1) == after(told, dice=0.9) == Again(NOW + 45_000)
    assert after(told, deadline_ms=NOW + 50_000) == Again(NOW + 25_000)
    parked = after(verdict(Meaning.TIER_UNAVAILABLE, wait_ms=90_000))
    assert isinstance(parked, Park)
    assert (parked.kind, parked.not_before_ms) == ("overloaded", NOW + 90_000)
    assert kind(Meaning.TIER_UNAVAILABLE) == kind(Meaning.OVERLOADED) == "overloaded"
