from dataclasses import replace

import pytest

from broker.core.buckets import Level
from broker.core.budget import Budget, Caution, Checkpoint, LimitSettings
from broker.core.charge import Law, Prices
from broker.core.markup import PPM
from broker.core.mirror import ROUNDING_TOKENS
from broker.core.patience import FIRST_MS, GROWS_BY
from broker.core.reading import DAY_MS, MINUTE_MS, SECOND_MS, Metric
from broker.core.spread import QUIET_MS
from broker.core.verdict import Answer, Meaning, Verdict, judge
from broker.core.way import WAY_MAX_MS, WAY_MIN_MS
from broker.core.witness import Usage

SETTINGS = LimitSettings("gpt-4o-mini", tokens=60_000, requests=None)
UNKNOWN = LimitSettings("gpt-4o-mini", tokens=None, requests=None)
KEY = Level(Metric.TOKENS, 60_000, 60_000, 60_000, MINUTE_MS)


def answer(tokens: tuple[int, int, str] | None = None, requests: tuple[int, int, str] | None = None) -> Verdict:
    """A good answer; each triple is limit, remaining, reset."""
    headers = {}
    for metric, triple in (("tokens", tokens), ("requests", requests)):
        for what, value in zip(("limit", "remaining", "reset"), triple or (), strict=False):
            headers[f"x-ratelimit-{what}-{metric}"] = str(value)
    return judge(Answer(200, headers, None, None, None, ""))


def refusal(
    metric: str = "tokens", *, limit: int = 60_000, used: int, requested: int, wait: str = "1s", where: str = ""
) -> Verdict:
    text = (
        f"Rate limit reached for m in {where}organization o on {metric} per min: Limit {limit}, Used {used}, "
        f"Requested {requested}. Please try again in {wait}."
    )
    return judge(Answer(429, {}, "rate_limit_exceeded", metric, None, text))


def failure(status: int, **headers: str) -> Verdict:
    return judge(
        Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, "x", None, None, "x")
    )


def full(settings: LimitSettings = SETTINGS, *levels: Level) -> Budget:
    """A budget whose predecessor left it full, or as the levels say."""
    return Budget(settings, 0, Checkpoint(settings.name, 0, levels or (KEY,), 0, 0, PPM, borne_tokens=60_000))


def low(budget: Budget, now_ms: int = 0) -> int:
    return budget.levels(now_ms)[0].low


# Not knowing


@pytest.mark.parametrize(("settings", "next_ms"), [(SETTINGS, QUIET_MS), (UNKNOWN, None)])
def test_without_a_checkpoint_one_call_goes_first_and_its_headers_set_the_level(
    settings: LimitSettings, next_ms: int | None
) -> None:
    budget = Budget(settings, 0, None)
    assert not budget.believed
    budget.reserve(1, 400, 0)
    assert budget.payable_at(400, 0) == next_ms
    budget.answered(1, 500, answer((60_000, 20_000, "40s")))
    assert budget.believed
    (level,) = budget.levels(500)
    assert (level.low, level.high, level.capacity, level.period_ms) == (20_000, 20_501, 60_000, MINUTE_MS)
    assert budget.payable_at(400, 500) == 500


@pytest.mark.parametrize("verdict", [failure(500), failure(429), failure(401)])
def test_a_failure_without_numbers_leaves_the_level_unknown(verdict: Verdict) -> None:
    budget = Budget(SETTINGS, 0, None)
    budget.reserve(1, 400, 0)
    budget.answered(1, 100, verdict)
    assert not budget.believed


def test_a_call_without_any_answer_leaves_the_level_unknown_and_lets_the_next_one_go_first() -> None:
    budget = Budget(UNKNOWN, 0, None)
    budget.reserve(1, 400, 0)
    budget.abandoned(1, 100)
    assert (budget.believed, budget.inflight) == (False, 0)
    assert budget.payable_at(400, 100) == 100


def test_an_answer_without_headers_makes_us_believe_what_the_operator_does() -> None:
    budget = Budget(SETTINGS, 0, None)
    budget.reserve(1, 400, 0)
    budget.answered(1, 0, answer())
    assert budget.believed
    assert low(budget) == 60_000 - 400 - ROUNDING_TOKENS


def test_a_refusal_of_the_first_call_sets_the_level_too() -> None:
    budget = Budget(UNKNOWN, 0, None)
    budget.reserve(1, 400, 0)
    budget.answered(1, 0, refusal(used=59_900, requested=400))
    assert budget.believed
    assert low(budget) == 100


def test_nothing_is_too_large_for_a_limit_that_nobody_knows() -> None:
    budget = Budget(UNKNOWN, 0, None)
    assert budget.fits(10**9)
    budget.reserve(1, 400, 0)
    budget.answered(1, 0, answer((60_000, 20_000, "40s")))
    assert budget.fits(60_000)
    assert not budget.fits(60_001)


# Paying


def test_every_metric_is_paid_and_the_slowest_tells_when() -> None:
    budget = full(SETTINGS, KEY, Level(Metric.REQUESTS, 2, 2, 60, MINUTE_MS))
    budget.reserve(1, 400, 0)
    budget.reserve(2, 400, 0)
    tokens, requests = budget.levels(0)
    assert tokens.low == 60_000 - 2 * (400 + ROUNDING_TOKENS)
    assert requests.low == 0
    assert budget.payable_at(400, 0) == 1_000


def test_what_cannot_be_paid_now_is_payable_at_the_first_instant_it_can() -> None:
    budget = full(SETTINGS, replace(KEY, low=100))
    assert budget.payable_at(400, 0) == 300 + ROUNDING_TOKENS
    assert budget.payable_at(400, 0, keep_ppm=50_000) == 3_300 + ROUNDING_TOKENS


def test_a_reservation_that_cannot_pay_is_a_programming_error_and_takes_nothing() -> None:
    budget = full(SETTINGS, replace(KEY, low=100))
    with pytest.raises(AssertionError):
        budget.reserve(1, 400, 0)
    assert (low(budget), budget.inflight, budget.charged_last_minute(0)) == (100, 0, 0)


def test_a_reservation_beyond_the_in_flight_cap_is_a_programming_error() -> None:
    budget = full(replace(SETTINGS, inflight_max=1))
    budget.reserve(1, 400, 0)
    assert budget.payable_at(400, 0) is None
    with pytest.raises(AssertionError):
        budget.reserve(2, 400, 0)
    budget.abandoned(1, 0)
    assert budget.payable_at(400, 0) == 0


def test_a_reservation_ends_exactly_once() -> None:
    budget = full()
    budget.reserve(1, 400, 0)
    with pytest.raises(AssertionError):
        budget.reserve(1, 400, 0)
    budget.answered(1, 0, answer())
    with pytest.raises(KeyError):
        budget.answered(1, 0, answer())
    with pytest.raises(KeyError):
        budget.abandoned(1, 0)


def test_a_call_without_an_answer_keeps_its_charge() -> None:
    budget = full()
    budget.reserve(1, 400, 0)
    budget.abandoned(1, 0)
    assert (low(budget), budget.charged_last_minute(0)) == (60_000 - 400 - ROUNDING_TOKENS, 400)


def test_twice_of_what_the_server_has_borne_may_be_spent_at_once() -> None:
    budget = Budget(SETTINGS, 0, Checkpoint("gpt-4o-mini", 0, (KEY,), 0, 0, PPM, borne_tokens=15_000))
    budget.reserve(1, 20_000, 0)
    assert budget.payable_at(10_000, 0) == 0
    assert budget.payable_at(11_000, 0) == QUIET_MS  # then silence has said that 20,000 were borne
    budget.answered(1, 0, answer())
    assert budget.payable_at(11_000, 0) == 0


def test_an_operator_can_spread_the_load_further() -> None:
    budget = full(replace(SETTINGS, burst_ms=2_000))
    budget.reserve(1, 2_000, 0)
    assert budget.payable_at(500, 0) == 500
    assert budget.payable_at(50_000, 0) == 2_000  # larger than any burst: waits for depth 0
    budget.answered(1, 0, answer((120_000, 100_000, "10s")))  # twice the limit, twice the pace
    assert budget.payable_at(2_500, 0) == 250


def test_a_refusal_that_no_known_limit_explains_lowers_what_is_spent_at_once() -> None:
    budget = full()
    budget.reserve(1, 4_000, 0)
    budget.reserve(2, 1_000, 0)
    budget.answered(2, 0, refusal(used=5_000, requested=1_000, wait="1ms"))
    assert budget.checkpoint(0).ceiling_tokens == 4_000
    assert budget.payable_at(1_000, 1) == 1_000
    heir = Budget(SETTINGS, 0, budget.checkpoint(0))
    assert heir.checkpoint(0).ceiling_tokens == 4_000


@pytest.mark.parametrize(
    "explained",
    [
        refusal(used=59_500, requested=1_000),
        refusal(used=0, requested=1_000, where="project p "),
        replace(failure(429), readings=answer((60_000, 0, "60s")).readings),
    ],
)
def test_a_refusal_that_a_known_limit_explains_does_not(explained: Verdict) -> None:
    budget = full()
    budget.reserve(1, 4_000, 0)
    budget.reserve(2, 1_000, 0)
    budget.answered(2, 0, explained)
    assert budget.checkpoint(0).ceiling_tokens is None


# The own cap


def test_the_own_cap_is_never_exceeded_within_any_minute_whatever_headers_say() -> None:
    budget = full(replace(SETTINGS, cap_tokens=1_000))
    paid: list[int] = []
    now = 0
    while now < 5 * MINUTE_MS:
        budget.reserve(len(paid), 300, now)
        budget.answered(len(paid), now, answer((90_000, 89_000, "1s")))
        paid.append(now)
        at = budget.payable_at(300, now)
        assert at is not None
        now = at
    assert all(300 * sum(start <= at < start + MINUTE_MS for at in paid) <= 1_000 for start in paid)
    assert len(paid) == 3 * 5


def test_the_own_cap_makes_larger_charges_impossible_and_keeps_a_share_for_others() -> None:
    budget = full(replace(SETTINGS, cap_tokens=1_000))
    assert budget.fits(1_000)
    assert not budget.fits(1_001)
    budget.reserve(1, 900, 0)
    assert budget.payable_at(100, 0) == 0
    assert budget.payable_at(100, 0, keep_ppm=50_000) == MINUTE_MS + 100


# Answers


def test_an_answer_corrects_both_ways_and_says_by_how_much() -> None:
    budget = full()
    assert budget.last_error_tokens == 0
    budget.reserve(1, 400, 0)
    budget.answered(1, 0, answer((60_000, 40_000, "20s")))
    assert (low(budget), budget.corrections) == (40_000, 1)
    assert budget.last_error_tokens == 40_001 - (60_000 - 400 - ROUNDING_TOKENS)
    budget.reserve(2, 400, 0)
    budget.answered(2, 0, answer((60_000, 50_000, "10s")))
    assert (low(budget), budget.corrections) == (50_000, 2)
    assert budget.last_error_tokens > 0


def test_a_refused_call_takes_nothing_and_its_body_is_exact() -> None:
    budget = full()
    budget.reserve(1, 400, 0)
    budget.answered(1, 0, refusal(used=59_700, requested=400, wait="100ms"))
    assert (low(budget), budget.charged_last_minute(0)) == (300, 0)
    assert budget.payable_at(400, 0) == 100 + ROUNDING_TOKENS


def test_a_bucket_used_beyond_its_limit_is_an_empty_one() -> None:
    budget = full()
    budget.reserve(1, 400, 0)
    budget.answered(1, 0, refusal(used=70_000, requested=400))
    assert low(budget) == 0


def test_a_server_that_charges_refusals_is_paid_for_them_if_the_operator_says_so() -> None:
    budget = full(replace(SETTINGS, refusals_charged=True))
    budget.reserve(1, 400, 0)
    budget.answered(1, 0, refusal(used=59_700, requested=400, wait="100ms"))
    assert (low(budget), budget.charged_last_minute(0)) == (-100, 400)


def test_a_refused_request_counts_no_request_either() -> None:
    settings = replace(UNKNOWN, refusals_charged=True)
    for case, left in ((UNKNOWN, 1), (settings, 0)):
        budget = full(case, Level(Metric.REQUESTS, 5, 5, 500, MINUTE_MS))
        budget.reserve(1, 400, 0)
        budget.answered(1, 0, refusal("requests", limit=500, used=499, requested=1))
        assert low(budget) == left


def test_a_refusal_without_numbers_refunds_nothing_and_rests() -> None:
    budget = full()
    budget.reserve(1, 400, 0)
    budget.answered(1, 0, failure(429, retry_after="7"))
    assert low(budget) == 60_000 - 400 - ROUNDING_TOKENS
    assert budget.payable_at(1, 0) == 7_000


def test_a_refusal_of_a_project_says_nothing_of_the_organisations_bucket() -> None:
    budget = full()
    budget.reserve(1, 400, 0)
    budget.answered(1, 0, refusal(limit=5_000, used=5_000, requested=400, where="project p "))
    assert budget.levels(0)[0].capacity == 60_000
    assert budget.payable_at(1, 0) == 1_000


def test_a_limit_change_is_followed_up_and_down() -> None:
    budget = full()
    for attempt, (capacity, reset) in enumerate(((90_000, "46.666s"), (30_000, "20s"))):
        budget.reserve(attempt, 400, 0)
        budget.answered(attempt, 0, answer((capacity, 20_000, reset)))
        (level,) = budget.levels(0)
        assert (level.low, level.capacity) == (20_000, capacity)


def test_an_answer_to_an_older_call_does_not_bring_back_the_old_limit() -> None:
    budget = full()
    budget.reserve(1, 400, 0)
    budget.reserve(2, 400, 0)
    budget.answered(2, 0, answer((90_000, 80_000, "6.666s")))
    budget.answered(1, 0, answer((60_000, 59_600, "400ms")))
    assert budget.levels(0)[0].capacity == 90_000


def test_too_large_without_a_level_still_tells_the_limit() -> None:
    budget = full()
    budget.reserve(1, 400, 0)
    text = "Request too large for m in organization o on tokens per min (TPM): Limit 30000, Requested 36278."
    budget.answered(1, 0, judge(Answer(429, {}, "rate_limit_exceeded", "tokens", None, text)))
    assert budget.levels(0)[0].capacity == 30_000
    assert not budget.fits(36_278)


def test_headers_of_a_refusal_speak_for_the_other_metric_only() -> None:
    budget = full(SETTINGS, KEY, Level(Metric.REQUESTS, 500, 500, 500, MINUTE_MS))
    budget.reserve(1, 400, 0)
    both = answer((60_000, 7_777, "0s"), (500, 123, "0s"))
    budget.answered(1, 0, replace(refusal(used=59_700, requested=400), readings=both.readings))
    assert [level.low for level in budget.levels(0)] == [300, 123]


def test_what_the_server_has_less_than_believed_is_told_as_others_tokens() -> None:
    budget = full()
    for attempt, remaining in enumerate((50_000, 49_600, 58_000)):
        budget.reserve(attempt, 400, 0)
        budget.answered(attempt, 0, answer((60_000, remaining, f"{60_000 - remaining}ms")))
    assert budget.foreign_tokens == 60_000 - 400 + ROUNDING_TOKENS - 50_001 - 4


def test_a_bucket_in_debt_is_left_alone_longer_each_time_and_then_asked_by_one_call() -> None:
    budget = full()
    now, waits = 0, []
    for attempt in range(3):
        budget.reserve(attempt, 400, now)
        budget.answered(attempt, now + 10, refusal(used=60_000, requested=400, wait="400ms"))
        at = budget.payable_at(400, now + 10)
        assert at is not None
        waits.append(at - now - 10)
        now = at
    assert waits == [FIRST_MS, FIRST_MS * GROWS_BY, FIRST_MS * GROWS_BY**2]
    budget.reserve(9, 400, now)
    assert low(budget, now) == 0
    assert budget.payable_at(1, now) == now + QUIET_MS
    budget.answered(9, now + 20, answer())
    assert budget.payable_at(10, now + 20) == now + 20


def test_a_refusal_that_says_what_is_left_is_waited_for_as_long_as_it_says() -> None:
    budget = full()
    budget.reserve(1, 400, 0)
    budget.answered(1, 10, refusal(used=59_700, requested=400, wait="100ms"))
    assert budget.payable_at(400, 10) == 110 + ROUNDING_TOKENS


def test_what_has_been_found_out_is_told() -> None:
    assert Budget(UNKNOWN, 0, None).caution() == Caution(WAY_MAX_MS, 0, None, PPM)
    assert full().caution() == Caution(WAY_MAX_MS, 60_000, None, PPM)


# Which bucket a header speaks of


def test_a_limit_per_day_stands_beside_the_one_per_minute_and_both_are_paid() -> None:
    budget = Budget(replace(UNKNOWN, requests=500), 0, None)
    budget.reserve(1, 400, 0)
    budget.answered(1, 0, answer(requests=(10_000, 9_990, "86.4s")))
    assert [(level.capacity, level.period_ms) for level in budget.levels(0)] == [(500, MINUTE_MS), (10_000, DAY_MS)]
    budget.reserve(2, 400, 0)
    assert [level.low for level in budget.levels(0)] == [498, 9_989]


def test_a_header_of_unknown_period_is_told_by_its_capacity() -> None:
    budget = full(UNKNOWN, Level(Metric.REQUESTS, 0, 500, 500, MINUTE_MS), Level(Metric.REQUESTS, 9, 9, 10_000, DAY_MS))
    budget.pause_until(SECOND_MS)
    budget.reserve(1, 400, SECOND_MS)
    budget.answered(1, SECOND_MS, answer(requests=(10_000, 10_000, "0s")))
    assert [level.low for level in budget.levels(SECOND_MS)] == [7, 10_000]


def test_a_period_that_was_a_guess_is_replaced_by_the_one_answers_tell() -> None:
    budget = Budget(UNKNOWN, 0, None)
    for attempt, triple in enumerate([(200, 200, "0s"), (200, 198, "14m24s")]):
        assert all(level.period_ms == MINUTE_MS for level in budget.levels(0))
        budget.reserve(attempt, 400, 0)
        budget.answered(attempt, 0, answer(requests=triple))
    assert [(level.capacity, level.period_ms) for level in budget.levels(0)] == [(200, DAY_MS)]


# A day's limits, from the settings


DAILY = replace(UNKNOWN, tokens_per_day=100_000, requests_per_day=1_000)


def days(budget: Budget) -> dict[Metric, tuple[int, int]]:
    return {level.metric: (level.low, level.capacity) for level in budget.levels(0) if level.period_ms == DAY_MS}


def test_a_limit_per_day_of_the_settings_is_paid_together_with_the_others() -> None:
    budget = full(replace(SETTINGS, tokens_per_day=61_000, requests_per_day=10), KEY)
    budget.reserve(1, 29_000, 0)
    assert days(budget) == {
        Metric.TOKENS: (61_000 - 29_000 - ROUNDING_TOKENS, 61_000),
        Metric.REQUESTS: (9, 10),
    }
    at_ms = budget.payable_at(33_000, MINUTE_MS)
    assert at_ms is not None
    assert at_ms > 15 * MINUTE_MS, "the minute could pay, the day cannot"
    budget.reserve(2, 29_000, MINUTE_MS)
    assert days(budget)[Metric.REQUESTS][0] == 8


def test_each_of_a_days_limits_holds_alone() -> None:
    few = full(replace(SETTINGS, requests_per_day=1))
    few.reserve(1, 10, 0)
    assert few.payable_at(10, 0) == DAY_MS
    small = full(replace(SETTINGS, tokens_per_day=10))
    small.reserve(1, 8, 0)
    assert small.payable_at(8, 0) == DAY_MS


def test_a_header_that_speaks_of_a_day_corrects_the_day_and_one_of_a_minute_does_not() -> None:
    budget = full(DAILY)
    budget.reserve(1, 400, 0)
    budget.answered(1, 0, answer((60_000, 50_000, "10s"), (10_000, 9_990, "86.4s")))
    assert days(budget)[Metric.REQUESTS] == (9_990, 10_000)
    assert days(budget)[Metric.TOKENS] == (100_000 - 400 - ROUNDING_TOKENS, 100_000)


def test_a_header_without_a_period_is_not_taken_for_the_day_that_was_configured() -> None:
    budget = Budget(DAILY, 0, None)
    budget.reserve(1, 400, 0)
    budget.answered(1, 0, answer((60_000, 60_000, "0s"), (500, 500, "0s")))
    assert [(level.capacity, level.period_ms) for level in budget.levels(0)] == [
        (100_000, DAY_MS),
        (1_000, DAY_MS),
        (60_000, MINUTE_MS),
        (500, MINUTE_MS),
    ]


def test_a_header_without_a_period_that_names_the_configured_days_capacity_speaks_of_it() -> None:
    budget = Budget(DAILY, 0, None)
    budget.reserve(1, 400, 0)
    budget.answered(1, 0, answer(requests=(1_000, 1_000, "0s")))
    assert days(budget)[Metric.REQUESTS] == (1_000, 1_000)
    assert len(budget.levels(0)) == 2


def test_a_successor_knows_what_a_day_has_spent_and_believes_its_own_settings_of_the_capacity() -> None:
    before = full(replace(SETTINGS, tokens_per_day=100_000))
    before.reserve(1, 40_000, 0)
    left = before.checkpoint(0)
    assert days(Budget(replace(SETTINGS, tokens_per_day=100_000), 0, left))[Metric.TOKENS][0] < 60_001
    low, capacity = days(Budget(replace(SETTINGS, tokens_per_day=200_000), 0, left))[Metric.TOKENS]
    assert (low < 60_001, capacity) == (True, 200_000)


def test_a_limit_is_shut_by_a_pause_or_a_day_and_never_by_a_minute() -> None:
    budget = full(replace(SETTINGS, requests=1, tokens_per_day=86_400, requests_per_day=10))
    budget.reserve(1, 30_000, 0)
    assert budget.shut_until(30_000, 0) == 0
    assert budget.shut_until(86_400, 0) == (30_000 + ROUNDING_TOKENS) * SECOND_MS
    budget.pause_until(DAY_MS)
    assert budget.shut_until(1, 0) == DAY_MS
    few = full(replace(SETTINGS, requests_per_day=1))
    few.reserve(1, 1, 0)
    assert few.shut_until(1, 0) == DAY_MS
    assert few.shut_until(1, 2 * DAY_MS) == 2 * DAY_MS


def test_a_limits_pace_is_that_of_its_slowest_bucket() -> None:
    assert full().pace_ms(500) == 500
    assert full(replace(SETTINGS, requests_per_day=86_400)).pace_ms(500) == SECOND_MS
    assert Budget(UNKNOWN, 0, None).pace_ms(500) == 0


def test_what_the_server_itself_has_named_is_paid_of_a_day_without_a_markup() -> None:
    budget = full(replace(SETTINGS, tokens_per_day=86_400))
    budget.reserve(1, 100, 0)
    budget.answered(1, 0, refusal(used=60_000, requested=200))
    assert budget.shut_until(43_200, 0, stated=True) == SECOND_MS, "its pause"
    assert budget.shut_until(43_200, 0) > 60 * SECOND_MS


# Rests


def test_a_pause_is_never_shortened_and_nobody_pays_before_its_end() -> None:
    budget = full()
    budget.pause_until(5_000)
    budget.pause_until(3_000)
    assert budget.payable_at(1, 0) == 5_000
    with pytest.raises(AssertionError):
        budget.reserve(1, 1, 4_999)


def test_an_overloaded_server_rests_too_but_a_failing_one_does_not() -> None:
    budget = full()
    budget.reserve(1, 400, 0)
    budget.answered(1, 0, failure(500, retry_after="9"))
    assert budget.payable_at(1, 0) == 0
    budget.reserve(2, 400, 0)
    budget.answered(2, 0, failure(503, retry_after="9"))
    assert budget.payable_at(1, 0) == 9_000


# A law that is wrong


def test_the_servers_own_charge_marks_up_ours_until_the_law_is_identified() -> None:
    budget = full()
    budget.reserve(1, 400, 0)
    budget.answered(1, 0, refusal(used=59_900, requested=680, wait="1ms"))
    assert budget.payable_at(400, 10) == 580 + ROUNDING_TOKENS
    assert budget.payable_at(680, 10, stated=True) == 580 + ROUNDING_TOKENS
    budget.reserve(2, 680, 1_000, stated=True)
    budget.answered(2, 1_000, refusal(used=59_900, requested=680, wait="1ms"))
    assert budget.checkpoint(1_000).markup_ppm == 1_700_000  # a charge that the server stated proves nothing


def test_calls_on_their_way_are_marked_up_as_well() -> None:
    budget = full(SETTINGS, KEY, Level(Metric.REQUESTS, 500, 500, 500, MINUTE_MS))
    budget.reserve(1, 400, 0)
    budget.reserve(2, 400, 0)
    budget.answered(1, 0, refusal(used=50_000, requested=680, wait="1ms"))
    assert low(budget) == 10_000 - 680 - ROUNDING_TOKENS


def test_what_was_believed_of_cheaper_calls_does_not_outlive_the_markup() -> None:
    budget = full()
    for attempt in range(10):
        budget.reserve(attempt, 400, 0)
    budget.answered(9, 0, answer((60_000, 56_000, "4s")))
    before = low(budget)
    budget.answered(0, 0, refusal(used=1_000, requested=680, wait="1ms"))
    assert low(budget) == 59_000 - 9 * (680 + ROUNDING_TOKENS) < before


def test_a_refused_call_does_not_count_towards_the_burst() -> None:
    budget = full()
    budget.reserve(1, 30_000, 0)
    budget.answered(1, 0, refusal(used=40_000, requested=30_000, wait="1ms"))
    assert budget.payable_at(15_000, 10) == 10


def test_a_refusal_that_agrees_with_our_law_changes_no_charge() -> None:
    budget = full()
    budget.reserve(1, 400, 0)
    budget.answered(1, 0, refusal(used=59_900, requested=400, wait="1ms"))
    assert budget.checkpoint(0).markup_ppm == PPM


# Handing over


def test_a_successor_believes_the_lower_ends_the_pause_the_markup_and_what_the_cap_counts() -> None:
    settings = replace(SETTINGS, cap_tokens=1_000)
    budget = full(settings, replace(KEY, low=20_000, high=30_000))
    budget.reserve(1, 600, 0)
    budget.pause_until(4_000)
    left = budget.checkpoint(1_000)
    assert left == Checkpoint(
        limit="gpt-4o-mini",
        at_ms=1_000,
        levels=budget.levels(1_000),
        charged_last_minute=600,
        pause_ms=3_000,
        markup_ppm=PPM,
        borne_tokens=60_000,
    )
    heir = Budget(settings, 77_000, replace(left, markup_ppm=2 * PPM))
    assert heir.believed
    (level,) = heir.levels(77_000)
    assert (level.low, level.high) == (20_000 - 600 - ROUNDING_TOKENS + 1_000, 60_000)
    assert heir.payable_at(1, 77_000) == 80_000
    assert heir.payable_at(201, 77_000) == 77_000 + MINUTE_MS + 100  # twice 201 on top of 600 is above the cap


def test_an_answer_lowers_what_a_predecessor_left() -> None:
    budget = full()
    budget.reserve(1, 400, 0)
    budget.answered(1, 0, answer((60_000, 10_000, "50s")))
    assert low(budget) == 10_000


def test_a_limit_configured_since_is_added_to_those_a_predecessor_left() -> None:
    budget = full(replace(SETTINGS, requests=500))
    assert [level.metric for level in budget.levels(0)] == [Metric.TOKENS, Metric.REQUESTS]


def test_a_limit_in_trouble_rests_and_then_one_call_goes_alone() -> None:
    budget = Budget(LimitSettings("gpt", 60_000, None), 0, None)
    budget.believed = True
    for _ in range(3):
        budget.breaker.heard(Meaning.CONNECTION, 0, None)
    at_ms = budget.payable_at(100, 0)
    assert at_ms is not None
    assert at_ms > 0
    budget.reserve(1, 100, at_ms)
    budget.breaker.probe()
    assert budget.payable_at(100, at_ms) is None


def test_what_was_paid_for_a_call_in_flight_can_be_asked() -> None:
    budget = Budget(LimitSettings("gpt", 60_000, None), 0, None)
    budget.reserve(7, 321, 0)
    assert budget.paid(7) == 321


CHAT = Prices("chat.completions", (Law.CHAT_LEGACY, Law.CHAT_2025), (680, 400))


def identifying(*, laws: dict[str, Law] | None = None) -> Budget:
    levels = (KEY,)
    return Budget(SETTINGS, 0, Checkpoint(SETTINGS.name, 0, levels, 0, 0, PPM, laws or {}, borne_tokens=60_000))


def test_a_law_that_an_answer_supports_reprices_the_calls_on_their_way() -> None:
    budget = identifying(laws={"chat.completions": Law.CHAT_LEGACY})
    for attempt in range(3):
        budget.reserve(attempt, 680, 0, prices=CHAT)
    budget.answered(0, 500, answer((60_000, 59_600, "400ms")))
    assert budget.tariff.price(CHAT) == 400
    assert low(budget, 500) == 59_600 - 2 * (400 + ROUNDING_TOKENS)
    assert budget.checkpoint(500).laws == {"chat.completions": Law.CHAT_2025}


def test_a_charge_that_a_law_explains_changes_the_law_and_needs_no_markup() -> None:
    budget = identifying(laws={"chat.completions": Law.CHAT_2025})
    for attempt in range(3):
        budget.reserve(attempt, 400, 0, prices=CHAT)
    budget.answered(0, 0, refusal(used=50_000, requested=680, wait="1ms"))
    assert (budget.tariff.price(CHAT), budget.checkpoint(0).markup_ppm) == (680, PPM)
    assert low(budget) == 10_000 - 2 * (680 + ROUNDING_TOKENS)


def test_a_law_that_explains_a_charge_ends_the_markup_of_one_that_did_not() -> None:
    budget = identifying(laws={"chat.completions": Law.CHAT_2025})
    for attempt, requested in enumerate((500, 680)):
        budget.reserve(attempt, 400, 2_000 * attempt, prices=CHAT)
        budget.answered(attempt, 2_000 * attempt, refusal(used=50_000, requested=requested, wait="1ms"))
        assert budget.checkpoint(0).markup_ppm == (1_250_000 if requested == 500 else PPM)


def test_headers_of_a_limit_that_settles_at_the_end_still_hold_the_outputs_of_calls_in_flight() -> None:
    usage = Prices("chat.completions", (Law.USAGE,), (100,))
    budget = identifying()
    for attempt in range(3):
        budget.reserve(attempt, budget.tariff.price(usage), 0, prices=usage)
    budget.answered(0, 2_000, answer((60_000, 50_000, "10s")), Usage(100, 300))
    assert budget.tariff.price(usage) == 400
    assert budget.levels(2_000)[0].high <= 50_000 - 2 * 300 + 2_000 + 1


def test_headers_that_nobody_can_date_refill_in_the_period_that_is_known() -> None:
    budget = Budget(LimitSettings("m", None, None), 0, None)
    budget.reserve(1, 680, 0, prices=CHAT)
    budget.answered(1, 500, answer((60_000, 59_600, "")))
    assert budget.tariff.laws() == {"chat.completions": Law.CHAT_2025}
    budget.reserve(2, 400, 600, prices=CHAT)
    budget.answered(2, 900, answer((60_000, 59_600, "")))
    assert budget.tariff.standings()[0].error_tokens == 0


def test_before_the_first_answer_a_quarter_of_a_configured_limit_is_spent() -> None:
    budget = Budget(SETTINGS, 0, None)
    now, sent = 0, 0
    while (at := budget.payable_at(1_000, now)) is not None:
        now = at
        budget.reserve(sent, 1_000, now)
        sent += 1
    assert sent == 15
    budget.answered(0, now, answer((60_000, 20_000, "40s")))
    assert budget.payable_at(1_000, now) is not None


def test_a_surprise_larger_than_any_way_is_put_down_to_others_and_a_small_one_to_the_way() -> None:
    for remaining, way_ms in ((40_000, WAY_MIN_MS), (59_400, 2 * WAY_MIN_MS)):
        budget = full()
        now = 0
        for attempt in range(600):
            now += 2_000
            budget.reserve(attempt, 400, now)
            budget.answered(attempt, now, answer((60_000, 59_600, "400ms")))
        assert budget.caution().way_ms == WAY_MIN_MS
        budget.reserve(1_000, 400, now)
        budget.answered(1_000, now, answer((60_000, remaining - 400, f"{60_400 - remaining}ms")))
        assert budget.caution().way_ms == 2 * WAY_MIN_MS
        for attempt in range(2_000, 2_600):
            now += 60_000
            budget.reserve(attempt, 400, now)
            budget.answered(attempt, now, answer((60_000, 59_600, "400ms")))
        assert budget.caution().way_ms == way_ms
