from headrace.broker.simulator.account import Account, Scene
from headrace.broker.simulator.admission import (
    DAY_US,
    MINUTE_US,
    SECOND_US,
    Admitted,
    HeaderTriple,
    Metric,
    Refusal,
    RefusedCost,
)
from headrace.broker.simulator.behaviours.bounds import Behaviour
from headrace.broker.simulator.behaviours.catalogue import behaviour
from headrace.broker.simulator.behaviours.enforcement import (
    ChargedRefusals,
    Foreign,
    LimitChange,
    PerDay,
    Period,
    ProjectLimits,
    Quantised,
)
from headrace.broker.simulator.rules import Limits

PLENTY = 10**6


def account(*behaviours: Behaviour, tokens: int = 60_000, requests: int = PLENTY, seed: int = 7) -> Account:
    return Account(Limits(tokens, requests), 0, Scene(behaviours, seed))


def tokens_of(account: Account, now_us: int) -> HeaderTriple:
    return account.refilled(now_us)[Metric.TOKENS]


def refused_by(account: Account, charge: int, now_us: int) -> Refusal:
    verdict = account.admit(charge, now_us)
    assert isinstance(verdict, Refusal)
    return verdict


def test_a_bucket_of_six_seconds_says_so_in_its_numbers() -> None:
    short = account(Period(6.0))
    assert isinstance(short.admit(1_500, 0), Admitted)
    assert tokens_of(short, 0) == HeaderTriple(6_000, 4_500, 1_500)
    refused = refused_by(short, 5_000, 0)
    assert (refused.limit, refused.used, refused.period_us, refused.wait_ms) == (6_000, 1_500, 6 * SECOND_US, 500)
    assert refused_by(short, 6_001, 0).wait_ms is None


def test_daily_tokens_hide_the_minute_in_headers_and_park_for_hours() -> None:
    daily = account(PerDay(tokens=86_400))
    assert isinstance(daily.admit(50_000, 0), Admitted)
    assert tokens_of(daily, 0) == HeaderTriple(86_400, 36_400, 50_000_000)
    refused = refused_by(daily, 40_000, MINUTE_US)
    assert (refused.period_us, refused.limit, refused.wait_ms) == (DAY_US, 86_400, 3_540_000)


def test_a_projects_limit_is_its_own_and_is_named_as_one() -> None:
    project = account(ProjectLimits(0.5))
    verdict = project.admit(20_000, 0)
    assert verdict.levels[Metric.TOKENS] == HeaderTriple(60_000, 40_000, 20_000)
    assert verdict.project_levels[Metric.TOKENS] == HeaderTriple(30_000, 10_000, 40_000)
    refused = refused_by(project, 20_000, 0)
    assert (refused.project, refused.limit, refused.used, refused.wait_ms) == (True, 30_000, 20_000, 20_000)
    assert project.tallies()[Metric.TOKENS].offered == 30_000


def test_limits_change_when_they_are_said_to_and_in_order() -> None:
    changing = account(LimitChange(30.0, 0.5), LimitChange(60.0, 4.0))
    assert tokens_of(changing, 30 * SECOND_US - 1).limit == 60_000
    assert tokens_of(changing, 30 * SECOND_US).limit == 30_000
    assert tokens_of(changing, 61 * SECOND_US).limit == 120_000


def test_an_account_that_is_opened_after_a_change_begins_with_what_is_in_force() -> None:
    scene = Scene((LimitChange(30.0, 0.5),), opened_us=100 * SECOND_US)
    late = Account(Limits(60_000, 60), 140 * SECOND_US, scene)
    assert late.levels()[Metric.TOKENS] == HeaderTriple(30_000, 30_000, 0)
    assert late.tallies()[Metric.TOKENS].offered == 30_000


def test_a_call_above_a_limit_that_fell_is_too_large_from_then_on() -> None:
    changing = account(LimitChange(30.0, 0.5))
    assert isinstance(changing.admit(40_000, 0), Admitted)
    assert refused_by(changing, 40_000, MINUTE_US).wait_ms is None


def test_a_second_is_enforced_while_headers_speak_of_a_minute() -> None:
    hidden = account(Quantised(1.0))
    assert isinstance(hidden.admit(900, 0), Admitted)
    refused = refused_by(hidden, 200, SECOND_US // 2)
    assert (refused.limit, refused.period_us, refused.wait_ms) == (60_000, MINUTE_US, 500)
    assert isinstance(hidden.admit(200, SECOND_US), Admitted)
    hidden.refilled(2 * SECOND_US - 1)
    assert hidden.tallies()[Metric.TOKENS].offered == 2_000


def test_a_settlement_is_debited_when_its_call_ends_and_may_leave_a_debt() -> None:
    settled = account()
    settled.admit(59_000, 0)
    settled.settle(4_000, 2 * SECOND_US)
    assert tokens_of(settled, 2 * SECOND_US - 1).remaining == 2_999
    assert tokens_of(settled, 2 * SECOND_US).remaining == 0
    assert refused_by(settled, 1, 3 * SECOND_US - 1).used == 60_000
    assert isinstance(settled.admit(1, 3 * SECOND_US + 1_000), Admitted)
    assert settled.tallies()[Metric.TOKENS].charged == 63_001


def test_foreigners_take_their_rate_in_their_bursts_from_the_same_bucket() -> None:
    shared = account(Foreign(share=0.3, burst=0.05, regular=True))
    assert tokens_of(shared, 10 * SECOND_US - 1).remaining == 60_000
    assert tokens_of(shared, 10 * SECOND_US).remaining == 57_000
    shared.refilled(10 * MINUTE_US)
    tally = shared.tallies()[Metric.TOKENS]
    assert tally.foreign == 60 * 3_000
    assert tally.offered == 60_000 * 11 - tally.foreign
    assert shared.tallies()[Metric.REQUESTS].foreign == 60


def test_foreigners_come_at_random_by_seed_and_about_as_often() -> None:
    def taken(seed: int) -> int:
        shared = account(Foreign(share=0.3, burst=0.01), seed=seed)
        shared.refilled(100 * MINUTE_US)
        return shared.tallies()[Metric.TOKENS].foreign

    assert taken(1) == taken(1)
    assert taken(1) != taken(2)
    assert 0.9 < taken(1) / (0.3 * 60_000 * 100) < 1.1


def test_foreigners_find_no_more_than_there_is_unless_they_insist() -> None:
    lost, insisting = (
        account(Foreign(share=1.0, burst=0.5, regular=True, insists=insists)) for insists in (False, True)
    )
    for shared in (lost, insisting):
        shared.admit(60_000, 25 * SECOND_US)
        shared.refilled(30 * SECOND_US)
    assert lost.tallies()[Metric.TOKENS].foreign == 5_000
    assert insisting.tallies()[Metric.TOKENS].foreign == 30_000
    assert isinstance(lost.admit(1_000, 31 * SECOND_US + 1), Admitted)
    assert isinstance(insisting.admit(1_000, 31 * SECOND_US + 1), Refusal)


def test_foreigners_come_and_go() -> None:
    shared = account(Foreign(tokens_per_minute=6_000, burst_tokens=100, regular=True, from_s=60, to_s=120))
    shared.refilled(10 * MINUTE_US)
    assert shared.tallies()[Metric.TOKENS].foreign == 59 * 100  # the one at the end comes no more


def test_a_project_does_not_pay_for_foreigners() -> None:
    project = account(ProjectLimits(1.0), Foreign(regular=True))
    verdict = project.admit(1, 10 * SECOND_US)
    assert verdict.levels[Metric.TOKENS].remaining == 56_999
    assert verdict.project_levels[Metric.TOKENS].remaining == 59_999


def test_what_refusals_take_is_counted_apart_from_charges() -> None:
    charging = account(ChargedRefusals(RefusedCost.ALL))
    charging.admit(50_000, 0)
    charging.admit(20_000, 0)
    tally = charging.tallies()[Metric.TOKENS]
    assert (tally.charged, tally.refused, tally.wasted) == (50_000, 1, 10_000)
    assert charging.tallies()[Metric.REQUESTS].wasted == 1


def test_a_tally_of_an_interval_is_the_difference_of_two() -> None:
    plain = account()
    plain.admit(60_000, 0)
    before = plain.tallies()[Metric.TOKENS]
    plain.admit(30_000, MINUTE_US)
    between = plain.tallies()[Metric.TOKENS].since(before)
    assert (between.offered, between.charged, between.share) == (60_000, 30_000, 0.5)
    assert between.as_json()["share"] == 0.5


def test_every_named_behaviour_can_be_enforced() -> None:
    for name in ("bucket-1s", "hidden-bucket-6s", "fixed-window", "sliding-window", "sliding-approximate"):
        played = account(behaviour(name), requests=60)
        for second in range(0, 600, 7):
            assert isinstance(played.admit(900, second * SECOND_US), Admitted), name
        assert 0 < (played.tallies()[Metric.TOKENS].share or 0) <= 1
