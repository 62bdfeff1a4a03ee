import pytest

from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.core.bounds import TIERS_MAX
from headrace.broker.core.budget.breaker import FAILURES_IN_A_ROW
from headrace.broker.core.budget.tier_breaker import (
    IDLE_MS,
    REFUSED_WITHIN_MS,
    REST_FIRST_MS,
    REST_MAX_MS,
    REST_MIN_MS,
    CallToTier,
    TierBreakers,
    rest_ms,
)
from headrace.broker.core.ticket import ModelTier
from tests.unit.core.specimens import verdict

FLEX = ModelTier("gpt", "flex")
REFUSED = verdict(Meaning.TIER_UNAVAILABLE)


class Rig:
    """The tiers of one limit, and a clock."""

    def __init__(self) -> None:
        self.tiers = TierBreakers()
        self.now_ms = 0

    def ended(
        self,
        told: Verdict = REFUSED,
        *,
        tier: ModelTier = FLEX,
        sent_ms: int | None = None,
        probe: bool = False,
        served_since_ms: int = -1,
        served_for_ms: int = REFUSED_WITHIN_MS,
    ) -> bool:
        """End a call; return whether that changed a breaker. One sent later may have been under way for so long."""
        sent_ms = self.now_ms if sent_ms is None else sent_ms
        call = CallToTier(
            tier, told, sent_ms, probe, lambda since_ms, for_ms: since_ms < served_since_ms and for_ms <= served_for_ms
        )
        return self.tiers.observe(call, self.now_ms, 0.5) is not None

    def open(self, *, tier: ModelTier = FLEX) -> None:
        for _ in range(FAILURES_IN_A_ROW):
            self.ended(tier=tier)
        assert self.tiers.rests(tier)

    def rest_ms(self, tier: ModelTier = FLEX) -> int:
        breaker = self.tiers.find(tier)
        assert breaker is not None
        return breaker.rests_until(self.now_ms) - self.now_ms

    def probe(self, told: Verdict) -> bool:
        """Let the rest pass, and end the probe after it."""
        breaker = self.tiers.find(FLEX)
        assert breaker is not None
        self.now_ms += self.rest_ms()
        assert breaker.may_call_at(self.now_ms) == self.now_ms
        assert breaker.probe()
        return self.ended(told, probe=True)


@pytest.mark.parametrize(("dice", "wait_ms"), [(0.0, REST_MIN_MS), (0.5, 7_500), (0.999999, 9_999)])
def test_a_rest_is_drawn_between_five_seconds_and_its_bound(dice: float, wait_ms: int) -> None:
    assert rest_ms(REST_FIRST_MS, dice) == wait_ms


def test_a_tier_opens_after_three_refusals_in_a_row_and_no_other_with_it() -> None:
    rig = Rig()
    assert [rig.ended() for _ in range(FAILURES_IN_A_ROW)] == [False, False, True]
    assert rig.tiers.any_open
    assert rig.tiers.version == 1
    assert [tier for tier, _ in rig.tiers.resting()] == [FLEX]
    assert not rig.tiers.rests(ModelTier("gpt", ""))
    assert not rig.tiers.rests(ModelTier("another", "flex"))
    assert rig.rest_ms() == 7_500


def test_a_success_between_refusals_starts_the_count_anew() -> None:
    rig = Rig()
    for _ in range(3 * FAILURES_IN_A_ROW):
        rig.ended()
        rig.ended()
        rig.ended(verdict())
    assert not rig.tiers.any_open
    assert len(rig.tiers) == 0


def test_each_failed_probe_doubles_the_bound_of_the_rest_up_to_a_minute() -> None:
    rig = Rig()
    rig.open()
    rests = [rig.rest_ms()]
    for _ in range(5):
        assert not rig.probe(REFUSED)
        rests.append(rig.rest_ms())
    most_ms = rest_ms(REST_MAX_MS, 0.5)
    assert rests == [7_500, 12_500, 22_500, most_ms, most_ms, most_ms]


def test_the_wait_that_a_server_states_is_kept_if_it_is_longer() -> None:
    rig = Rig()
    for _ in range(FAILURES_IN_A_ROW):
        rig.ended(verdict(Meaning.TIER_UNAVAILABLE, wait_ms=45_000))
    assert rig.rest_ms() == 45_000


def test_only_its_probe_closes_it() -> None:
    rig = Rig()
    rig.open()
    assert not rig.ended(verdict())
    assert rig.tiers.rests(FLEX)
    assert rig.probe(verdict())
    assert not rig.tiers.rests(FLEX)
    assert not rig.tiers.any_open


def test_the_bound_is_halved_with_each_success_and_then_the_tier_is_forgotten() -> None:
    rig = Rig()
    rig.open()
    assert not rig.probe(REFUSED)  # the bound is 40 s now
    assert rig.probe(verdict())
    rig.now_ms += 1
    rig.open()
    assert rig.rest_ms() == rest_ms(40_000, 0.5)
    assert rig.probe(verdict())
    rig.now_ms += 1
    counts = []
    for _ in range(4):
        rig.ended(verdict())
        counts.append(len(rig.tiers))
    assert counts == [1, 1, 0, 0]


def test_refusals_of_calls_sent_before_the_last_probe_are_out_of_date() -> None:
    rig = Rig()
    rig.open()
    assert rig.probe(verdict())
    for _ in range(2 * FAILURES_IN_A_ROW):
        rig.ended(sent_ms=rig.now_ms)
    assert not rig.tiers.any_open
    for _ in range(FAILURES_IN_A_ROW):
        rig.ended(sent_ms=rig.now_ms + 1)
    assert rig.tiers.any_open


def test_refusals_of_calls_sent_before_it_opened_do_not_lengthen_the_rest() -> None:
    rig = Rig()
    rig.open()
    rig.now_ms += 100
    rig.ended(sent_ms=0)
    assert rig.rest_ms() == 7_400


@pytest.mark.parametrize("meaning", [Meaning.RATE_LIMITED, Meaning.TIMEOUT, Meaning.REJECTED, Meaning.QUOTA], ids=str)
def test_a_probe_that_says_nothing_of_the_tier_is_followed_by_the_shortest_rest(meaning: Meaning) -> None:
    rig = Rig()
    rig.ended(verdict(meaning))
    assert len(rig.tiers) == 0
    rig.open()
    assert not rig.ended(verdict(meaning))
    breaker = rig.tiers.find(FLEX)
    assert breaker is not None
    for _ in range(3):
        assert not rig.probe(verdict(meaning))
        assert rig.tiers.rests(FLEX)
        assert breaker.may_call_at(rig.now_ms) == rig.now_ms + REST_MIN_MS
    rig.now_ms += REST_MIN_MS
    assert breaker.probe()
    breaker.release_probe(rig.now_ms)  # it was not sent, or was cut off at its deadline
    assert breaker.may_call_at(rig.now_ms + 100) == rig.now_ms + REST_MIN_MS, "from its end, whenever that is looked at"
    assert rig.probe(verdict())
    breaker.release_probe(rig.now_ms)
    assert breaker.may_call_at(rig.now_ms) == rig.now_ms


def test_refusals_are_not_in_a_row_while_a_call_sent_between_them_is_being_served() -> None:
    """Calls of such a tier take minutes, refusals a moment: successes alone would come too late to count."""
    rig = Rig()
    for number in range(10):
        rig.now_ms = 1_000 * number
        rig.ended(served_since_ms=rig.now_ms)
    assert not rig.tiers.any_open
    rig.ended()
    rig.ended()
    assert rig.tiers.any_open


def test_where_refusals_take_long_a_call_must_be_under_way_for_longer_to_count_as_served() -> None:
    """Calls that wait for their own refusals are not being served."""
    rig = Rig()
    for number in range(FAILURES_IN_A_ROW):
        assert not rig.tiers.any_open
        rig.now_ms = 6_000 + 1_000 * number
        rig.ended(sent_ms=1_000 * number, served_since_ms=rig.now_ms, served_for_ms=11_999)
    assert rig.tiers.any_open


def test_with_each_success_a_call_may_count_as_served_sooner_again() -> None:
    rig = Rig()
    rig.open()
    rig.probe(REFUSED)
    rig.probe(verdict())
    rig.now_ms += 20_001
    rig.ended(sent_ms=rig.now_ms - 20_000)
    rig.ended(verdict())
    for _ in range(FAILURES_IN_A_ROW):
        rig.ended(served_since_ms=rig.now_ms + 1, served_for_ms=20_000)
    assert not rig.tiers.any_open
    for _ in range(FAILURES_IN_A_ROW - 1):
        rig.ended(served_since_ms=rig.now_ms + 1, served_for_ms=19_999)
    assert rig.tiers.any_open


def test_a_second_call_sent_during_a_probe_is_none_and_its_refusal_is_out_of_date() -> None:
    rig = Rig()
    rig.open()
    rig.now_ms += rig.rest_ms()
    breaker = rig.tiers.find(FLEX)
    assert breaker is not None
    assert breaker.probe()
    second = breaker.probe()
    rig.ended(verdict(), probe=True, sent_ms=rig.now_ms)
    rig.now_ms += 1
    rig.ended(probe=second, sent_ms=rig.now_ms - 1)
    assert not rig.tiers.any_open


def test_a_tier_that_no_request_waits_for_is_forgotten_a_quarter_of_an_hour_after_its_rest() -> None:
    rig = Rig()
    rig.open()
    version, breaker = rig.tiers.version, rig.tiers.find(FLEX)
    assert breaker is not None
    rig.now_ms = 7_500 + IDLE_MS - 1
    assert rig.tiers.forget_idle((), rig.now_ms) == []
    rig.now_ms += 1
    assert rig.tiers.forget_idle({FLEX}, rig.now_ms) == []
    assert breaker.probe()
    assert rig.tiers.forget_idle((), rig.now_ms) == [], "while its probe is under way"
    assert rig.tiers.rests(FLEX)
    assert rig.tiers.version == version
    breaker.release_probe(7_500 - REST_MIN_MS)
    assert rig.tiers.forget_idle((), rig.now_ms) == [(FLEX, breaker)]
    assert (len(rig.tiers), rig.tiers.any_open) == (0, False)
    assert rig.tiers.version > version


def test_a_producer_that_invents_tiers_fills_no_memory() -> None:
    rig = Rig()
    rig.ended()
    for number in range(TIERS_MAX):  # the first, which does not rest, gives way
        rig.open(tier=ModelTier("gpt", f"t{number}"))
    assert len(rig.tiers) == TIERS_MAX
    assert rig.tiers.find(FLEX) is None
    for _ in range(FAILURES_IN_A_ROW):
        assert not rig.ended()
    assert rig.tiers.find(FLEX) is None
    assert len(rig.tiers) == TIERS_MAX
