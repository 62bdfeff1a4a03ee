from typing import Any

import pytest

from headrace.broker.simulator.account import Account, Scene
from headrace.broker.simulator.admission import DAY_US, MINUTE_US, Admitted, Metric, Refusal, RefusedCost
from headrace.broker.simulator.behaviours.enforcement import LimitChange, SharedLimit
from headrace.broker.simulator.limiter import Limiter
from headrace.broker.simulator.meters.bucket import Bucket
from headrace.broker.simulator.rules import Limits
from headrace.broker.simulator.wording import go_duration
from tests.unit.simulator.recorded import HEADERS, REFUSALS

FORMULA_ROWS = [row for row in REFUSALS if row["used"] is not None and row["retry_after_ms"] is not None]
PLENTY = 10**9


def account_used_up_to(row: dict[str, Any]) -> Account:
    """An account in the state in which OpenAI refused the recorded call."""
    if row["dimension"] == "tokens":
        account = Account(Limits(row["limit"], PLENTY), 0)
        assert isinstance(account.admit(row["used"], 0), Admitted)
        return account
    daily = row["limit"] if row["period"] == "day" else None
    account = Account(Limits(PLENTY, PLENTY if daily else row["limit"], requests_per_day=daily), 0)
    for _ in range(row["used"]):
        assert isinstance(account.admit(1, 0), Admitted)
    return account


@pytest.mark.parametrize("row", FORMULA_ROWS, ids=lambda row: f"{row['limit']}-{row['used']}-{row['requested']}")
def test_a_refusal_states_the_recorded_numbers_and_the_recorded_wait(row: dict[str, Any]) -> None:
    charge = row["requested"] if row["dimension"] == "tokens" else 1
    refused = account_used_up_to(row).admit(charge, 0)
    assert isinstance(refused, Refusal)
    assert (refused.metric, refused.limit, refused.used, refused.requested, refused.wait_ms) == (
        row["dimension"],
        row["limit"],
        row["used"],
        row["requested"],
        row["retry_after_ms"],
    )
    assert refused.period_us == (DAY_US if row["period"] == "day" else MINUTE_US)


def test_enough_messages_were_recorded_to_mean_something() -> None:
    assert len(FORMULA_ROWS) == 14
    assert {row["dimension"] for row in FORMULA_ROWS} == {"tokens", "requests"}


def test_the_headers_after_one_call_on_a_full_bucket_are_the_recorded_ones() -> None:
    unlike = []
    for row in HEADERS:
        limit = int(row["headers"]["limit-tokens"])
        level = account_after(limit, row["charge"]).levels()[Metric.TOKENS]
        recorded = (limit, int(row["headers"]["remaining-tokens"]), row["headers"]["reset-tokens"])
        if (level.limit, level.remaining, go_duration(level.reset_ms)) != recorded:
            unlike.append((limit, row["charge"], recorded[2]))
    # The bucket had refilled by half a token by then: 56.5 used are shown as 57, and 56.5 tokens as 16 ms.
    assert unlike == [(200_000, 57, "16ms")]
    assert len(HEADERS) > 300


def account_after(limit: int, charge: int) -> Account:
    account = Account(Limits(limit, PLENTY), 0)
    if charge:
        assert isinstance(account.admit(charge, 0), Admitted)
    return account


def test_a_refused_call_is_admitted_exactly_when_the_stated_wait_is_over() -> None:
    account = account_after(60_000, 60_000)  # one token a millisecond
    refused = account.admit(250, 0)
    assert isinstance(refused, Refusal)
    assert refused.wait_ms == 250
    assert isinstance(account.admit(250, 249_999), Refusal)
    assert isinstance(account.admit(250, 250_000), Admitted)


def test_both_buckets_are_charged_or_none() -> None:
    account = Account(Limits(tokens_per_minute=1_000, requests_per_minute=1), 0)
    assert isinstance(account.admit(100, 0), Admitted)
    refused = account.admit(100, 0)
    assert isinstance(refused, Refusal)
    assert refused.metric is Metric.REQUESTS
    assert refused.levels[Metric.TOKENS].remaining == 900


def test_when_both_are_short_the_longer_wait_is_stated() -> None:
    account = Account(Limits(tokens_per_minute=1_000, requests_per_minute=1), 0)
    account.admit(10, 0)
    refused = account.admit(1_000, 0)  # tokens: 0.6 s; requests: 60 s
    assert isinstance(refused, Refusal)
    assert (refused.metric, refused.wait_ms) == (Metric.REQUESTS, 60_000)


def test_a_call_above_the_limit_is_too_large_even_on_a_full_bucket() -> None:
    refused = Account(Limits(10_000, 10), 0).admit(10_005, 0)
    assert isinstance(refused, Refusal)
    assert refused.wait_ms is None
    assert isinstance(Account(Limits(10_000, 10), 0).admit(10_000, 0), Admitted)


@pytest.mark.parametrize(
    ("cost", "tokens_left", "requests_left"),
    [(RefusedCost.NOTHING, 400, 9), (RefusedCost.REQUEST, 400, 8), (RefusedCost.ALL, 0, 8)],
)
def test_a_refused_call_takes_what_the_limits_say(cost: RefusedCost, tokens_left: int, requests_left: int) -> None:
    account = Account(Limits(1_000, 10, refused_cost=cost), 0)
    account.admit(600, 0)
    refused = account.admit(500, 0)
    assert isinstance(refused, Refusal)
    assert refused.used == 600
    assert (refused.levels[Metric.TOKENS].remaining, refused.levels[Metric.REQUESTS].remaining) == (
        tokens_left,
        requests_left,
    )


def test_a_daily_request_limit_is_what_headers_show() -> None:
    account = Account(Limits(100_000, 500, requests_per_day=10_000), 0)
    account.admit(10, 0)
    level = account.levels()[Metric.REQUESTS]
    assert (level.limit, level.remaining, go_duration(level.reset_ms)) == (10_000, 9_999, "8.64s")


def test_remaining_is_rounded_down_and_reset_comes_from_the_true_level() -> None:
    # Recorded: limit 10000, remaining 9993, reset 59.369s, which is 6.87 requests used a day's limit.
    bucket = Bucket(10_000, DAY_US, DAY_US, 0)
    bucket.pay(7)
    bucket.refill(1_111_000)
    assert (bucket.level().remaining, go_duration(bucket.level().reset_ms)) == (9_993, "59.369s")


def test_a_hidden_burst_bucket_refuses_what_the_headers_would_allow() -> None:
    account = Account(Limits(60_000, 6_000, burst_us=1_000_000), 0)  # 1,000 tokens at once
    assert isinstance(account.admit(1_000, 0), Admitted)
    refused = account.admit(500, 0)
    assert isinstance(refused, Refusal)
    assert (refused.limit, refused.used, refused.wait_ms) == (60_000, 1_000, 500)
    assert isinstance(account.admit(500, 499_999), Refusal)
    assert isinstance(account.admit(500, 500_000), Admitted)


def test_a_call_above_the_hidden_bucket_passes_when_it_is_full_and_leaves_a_debt() -> None:
    account = Account(Limits(60_000, 6_000, burst_us=1_000_000), 0)
    assert isinstance(account.admit(3_000, 0), Admitted)
    refused = account.admit(1, 0)
    assert isinstance(refused, Refusal)
    assert refused.wait_ms == 2_001


def test_a_clock_that_steps_back_refills_nothing() -> None:
    account = Account(Limits(60_000, 6_000), 1_000_000)
    account.admit(60_000, 1_000_000)
    assert isinstance(account.admit(1, 0), Refusal)
    assert isinstance(account.admit(1, 1_001_000), Admitted)


def test_models_have_their_own_buckets_and_a_reset_fills_them() -> None:
    limiter = Limiter(Limits(100, 10))
    assert isinstance(limiter.admit("a", 100, 0), Admitted)
    assert isinstance(limiter.admit("a", 100, 0), Refusal)
    assert isinstance(limiter.admit("b", 100, 0), Admitted)
    assert limiter.models == ("a", "b")
    limiter.reset()
    assert isinstance(limiter.admit("a", 100, 0), Admitted)


def test_invented_model_names_do_not_fill_the_memory() -> None:
    limiter = Limiter(Limits(100, 10))
    for number in range(1_000):
        limiter.admit(f"m{number}", 1, 0)
    assert not limiter.has_room_for("one more")
    assert limiter.has_room_for("m7")


def test_models_that_share_a_limit_draw_from_one_account_and_a_refusal_names_it() -> None:
    shared = SharedLimit("gpt-4.1-family", ("gpt-4.1*",))
    limiter = Limiter(Limits(1_000, 10), Scene((shared,)))
    assert isinstance(limiter.admit("gpt-4.1", 600, 0), Admitted)
    refused = limiter.admit("gpt-4.1-mini", 600, 0)
    assert isinstance(refused, Refusal)
    assert (refused.limit_name, refused.used) == ("gpt-4.1-family", 600)
    other = limiter.admit("gpt-4o", 1_001, 0)
    assert isinstance(other, Refusal)
    assert other.limit_name is None
    assert set(limiter.tallies()) == {"gpt-4.1-family", "gpt-4o"}
    assert limiter.tallies()["gpt-4.1-family"][Metric.TOKENS].charged == 600


def test_behaviours_begin_anew_with_a_reset() -> None:
    limiter = Limiter(Limits(1_000, 10), Scene((LimitChange(30.0, 2.0),)))
    assert limiter.levels("a", 30_000_000)[Metric.TOKENS].limit == 2_000
    limiter.reset(100_000_000)
    assert limiter.levels("a", 129_000_000)[Metric.TOKENS].limit == 1_000
    assert limiter.levels("a", 130_000_000)[Metric.TOKENS].limit == 2_000


def test_tallies_may_be_asked_for_at_an_instant() -> None:
    limiter = Limiter(Limits(60_000, 10))
    limiter.admit("a", 30_000, 0)
    assert limiter.tallies()["a"][Metric.TOKENS].offered == 60_000
    assert limiter.tallies(60_000_000)["a"][Metric.TOKENS].offered == 120_000
