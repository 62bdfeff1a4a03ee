"""A budget whose server does something else than it says: when a measured rate is tried, and what goes on meanwhile."""

from collections.abc import Callable

import pytest

from headrace.broker.core.answers.rate_limit_headers import DAY_MS, HOUR_MS, MINUTE_MS, LimitMetric
from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.core.budget.achievement import COMPARED_MS, LASTS_MS
from headrace.broker.core.budget.admission_guide import GUESS
from headrace.broker.core.budget.budget import Budget, Checkpoint, LimitBeliefs
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.budget.mirror_trust import LATELY_MS, STORM
from headrace.broker.core.budget.trial import SETTLES_MS, TRIED_MS
from headrace.broker.core.units import PPM
from tests.unit.core.budgets import KEY, SETTINGS, UNKNOWN, answer, failure, full, refusal

RATE = 60_000
Told = Callable[[int], Verdict]
"""What the server answers, by the number of the call."""


def fine(_number: int) -> Verdict:
    return answer()


def refused(_number: int) -> Verdict:
    """It says that all is left, and refuses all the same."""
    return refusal(used=0, requested=400, wait="0s")


class Server:
    """A budget, and a server that answers within 20 ms. Requests wait unless there is a pause between them."""

    def __init__(self, budget: Budget, now_ms: int = 0) -> None:
        self.budget, self.now_ms, self.count = budget, now_ms, 0

    def call(self, told: Verdict, tokens: int = 400) -> None:
        """A call that may be sent now, and its answer."""
        self.count += 1
        self.budget.reserve(self.count, tokens, self.now_ms)
        self.now_ms += 20
        self.budget.record_answer(self.count, self.now_ms, told)

    def waits(self, tokens: int = 400) -> int:
        at_ms = self.budget.payable_at(tokens, self.now_ms)
        assert at_ms is not None
        return at_ms - self.now_ms

    def serve(self, for_ms: int, told: Told = fine, *, tokens: int = 400, pause_ms: int = 0) -> None:
        """Call as often as the budget allows, and no more often than each `pause_ms`."""
        until_ms = self.now_ms + for_ms
        while self.now_ms < until_ms:
            wait_ms = self.waits(tokens)
            if wait_ms > 0:
                self.now_ms += min(wait_ms, 1_000)
                continue
            self.call(told(self.count), tokens)
            self.now_ms += pause_ms

    def rest(self, tokens: int = 400) -> None:
        """Let pass the time until a call may be sent."""
        for _ in range(100):
            self.now_ms += self.waits(tokens)
        assert self.waits(tokens) == 0

    @property
    def measures(self) -> bool:
        return self.budget.guide.measures


def telling(budget: Budget) -> Server:
    """A server of which an answer has shown what is left."""
    server = Server(budget)
    server.call(answer((RATE, RATE - 401, "401ms")))
    return server


# ------------------------------------------------------------------ no doubt


@pytest.mark.slow
def test_a_server_that_does_what_it_says_is_never_doubted() -> None:
    server = telling(full())
    for _ in range(60):
        server.serve(MINUTE_MS // 4)
        assert not server.measures


def test_a_refusal_in_light_traffic_is_no_doubt() -> None:
    server = Server(full())
    server.serve(150_000, tokens=60, pause_ms=180)
    server.call(refusal(used=20_000, requested=60, wait="2s"), 60)
    for _ in range(20):
        server.serve(10_000, tokens=60, pause_ms=180)
        assert not server.measures


def test_a_large_call_that_waits_for_its_bucket_to_refill_is_no_doubt() -> None:
    server = telling(full())
    for _ in range(10):
        server.serve(MINUTE_MS, tokens=59_000)
        assert not server.measures
    assert server.count > 5


def test_an_idle_limit_is_not_doubted_when_requests_come_again() -> None:
    server = Server(full())
    for idle_ms in (MINUTE_MS, HOUR_MS, DAY_MS):
        server.serve(MINUTE_MS)
        assert server.waits(59_000) > 0, "held back, and cancelled"
        server.now_ms += idle_ms
        server.budget.pause_until(server.now_ms + 500)
        assert server.waits() > 0
        assert not server.measures


def test_a_limit_of_calls_that_binds_is_no_doubt_for_tokens() -> None:
    server = telling(full(LimitBeliefs("m", tokens=RATE, requests=20)))
    for _ in range(20):
        server.serve(20_000)
        assert not server.measures


@pytest.mark.slow
@pytest.mark.parametrize("times", [10, 2])
def test_a_limit_that_is_raised_is_no_doubt(times: int) -> None:
    """Before: the mirrors had spent a tenth of the new limit in the last minute, and were doubted at once."""
    server = telling(full(UNKNOWN))
    server.serve(3 * MINUTE_MS)
    server.rest()
    server.call(answer((RATE * times, RATE * times - 401, f"{401 // times}ms")))
    for _ in range(20):
        server.serve(20_000)
        assert not server.measures
    assert server.budget.charged_last_minute(server.now_ms) > 0.9 * RATE * times


def test_what_the_operators_cap_holds_back_is_no_doubt() -> None:
    server = Server(full(LimitBeliefs("m", tokens=RATE, requests=None, cap_tokens=RATE // 10)))
    for _ in range(30):
        server.serve(20_000)
        assert not server.measures


def test_a_limit_whose_breaker_is_open_begins_no_trial() -> None:
    server = Server(full())
    server.serve(10_000)
    server.budget.breaker.trip(Meaning.UPSTREAM_ERROR, server.now_ms, 5 * MINUTE_MS)
    server.budget.pause_until(server.now_ms + 10 * MINUTE_MS)
    for _ in range(300):
        assert server.waits() > 0
        server.now_ms += 1_000
        assert not server.measures
    server.waits()
    assert server.budget.guide._trust.lately(server.now_ms).waited_ms < 15_000, "nor is that a wait for the mirrors"


# ------------------------------------------------------------------ doubt


def test_where_nothing_states_a_limit_more_is_tried_after_two_minutes_without_a_refusal() -> None:
    server = Server(full(UNKNOWN))
    while not server.measures:
        server.serve(1_000)
    assert LASTS_MS <= server.now_ms <= LASTS_MS + 2_000 + COMPARED_MS
    rate = server.budget.guide.rate
    assert rate is not None
    assert RATE < rate < 1.1 * RATE
    server.serve(SETTLES_MS + TRIED_MS - 10_000)
    grown = server.budget.guide.rate
    assert grown is not None
    assert grown > 1.3 * rate, "it grows from the beginning"


def test_beyond_what_the_operator_states_nothing_is_tried() -> None:
    """Before: a server that refuses nothing was called thirty times as often as its operator had said."""
    server = Server(full())
    for _ in range(30):
        server.serve(20_000)
        assert not server.measures


@pytest.mark.slow
def test_where_a_call_was_refused_lately_no_more_is_tried() -> None:
    """But the pauses after refusals grow, until they leave a twelfth of the limit unused, which is a doubt."""
    server, minutes = Server(full()), 0
    while not server.measures:
        server.serve(MINUTE_MS)
        server.rest()
        server.call(refusal(used=RATE, requested=400, wait="1s"))
        minutes += 1
    assert 15 < minutes < 20


def test_a_pause_is_doubted_after_a_minute() -> None:
    server = Server(full())
    server.serve(10_000)
    server.budget.pause_until(server.now_ms + HOUR_MS)
    asked = 0
    while server.waits() > 1_000:
        server.now_ms += 1_000
        asked += 1
    assert server.measures
    assert LATELY_MS // 1_000 - 2 <= asked <= LATELY_MS // 1_000 + 2, "a second each"


def test_a_storm_of_refusals_is_a_doubt_although_a_call_is_never_held_back() -> None:
    server = Server(full())
    for _ in range(1_000):
        if server.measures:
            break
        server.now_ms += server.waits()
        server.call(refused(0))
    assert server.measures
    assert server.count <= STORM


# ------------------------------------------------------------------ meanwhile


def measured() -> Server:
    """A server that is paused for an hour and admits all the same."""
    server = Server(full())
    server.call(refusal(used=RATE, requested=400, wait="1s"))
    server.budget.pause_until(server.now_ms + HOUR_MS)
    for _ in range(2 * LATELY_MS // 1_000):
        if server.measures:
            break
        server.waits()
        server.now_ms += 1_000
    assert server.measures
    return server


def test_while_a_rate_is_measured_no_request_is_unreachable_and_no_pause_or_level_holds_it() -> None:
    server = measured()
    server.budget.pause_until(server.now_ms + HOUR_MS)
    assert server.budget.inflow(lambda _: 1, server.now_ms).rates == ()
    assert full().inflow(lambda _: 1, 0).rates == ((MINUTE_MS, RATE),)
    assert server.budget.unavailable_until(400, server.now_ms) <= server.now_ms
    assert server.waits() < 1_000
    server.call(failure(503, retry_after="30"))
    assert server.budget.unavailable_until(400, server.now_ms) == server.now_ms + 30_000
    assert server.waits() >= 30_000


def test_while_a_rate_is_measured_tokens_flow_at_that_rate_and_no_pause_but_an_overloaded_servers_is_told() -> None:
    server = measured()
    budget, rate = server.budget, server.budget.measured_tokens_per_minute
    assert rate is not None
    assert (budget.flow_ms(rate), budget.pace_ms(rate)) == (MINUTE_MS, MINUTE_MS)
    assert budget.guide._rate is not None
    budget.guide._rate.rate //= 2
    assert budget.flow_ms(rate) == 2 * MINUTE_MS, "by the rate, and by no bucket"
    assert budget.pause_ms(server.now_ms) == 0
    server.rest()
    server.call(failure(503, retry_after="30"))
    assert budget.pause_ms(server.now_ms) == 30_000
    assert budget.pause_ms(server.now_ms + MINUTE_MS) == 0


def test_before_the_first_answer_a_refusals_pause_is_kept_and_no_rate_is_measured() -> None:
    server = Server(Budget(UNKNOWN, 0, None))
    server.call(failure(429, retry_after="30"))
    assert (server.budget.measured_tokens_per_minute, server.budget.pause_ms(server.now_ms)) == (None, 30_000)
    assert server.budget.unavailable_until(400, server.now_ms) == server.now_ms + 30_000
    assert server.waits() >= 30_000


def test_a_rate_below_one_token_a_minute_is_told_as_one() -> None:
    budget = Budget(SETTINGS, 0, Checkpoint("m", 0, (KEY,), 0, 0, PPM, measured_tokens_per_minute=1))
    budget.guide.reprice(PPM // 2)
    assert (budget.measured_tokens_per_minute, budget.flow_ms(2)) == (1, 2 * MINUTE_MS)


def test_a_trial_is_not_handed_on_but_what_has_won_it_is() -> None:
    server = measured()
    assert server.budget.checkpoint(server.now_ms).measured_tokens_per_minute is None
    server.serve(2 * (SETTLES_MS + TRIED_MS))
    left = server.budget.checkpoint(server.now_ms)
    assert left.measured_tokens_per_minute is not None
    assert left.measured_tokens_per_minute > RATE // 2
    successor = Server(Budget(SETTINGS, 0, left.aged(server.now_ms + 1_000)), 0)
    assert successor.measures
    assert successor.budget.guide.rate == left.measured_tokens_per_minute
    assert successor.waits() < 1_000, "although nothing seems to be left"
    assert successor.budget.checkpoint(0).measured_tokens_per_minute == left.measured_tokens_per_minute


def test_a_checkpoint_without_a_measured_rate_lets_the_mirrors_be_followed() -> None:
    assert not Budget(SETTINGS, 0, Checkpoint("m", 0, (KEY,), 0, 0, PPM)).guide.measures


def test_a_successor_measures_where_only_calls_are_limited() -> None:
    calls = LevelBounds(LimitMetric.REQUESTS, 500, 500, 500, MINUTE_MS)
    budget = Budget(UNKNOWN, 0, Checkpoint("m", 0, (calls,), 0, 0, PPM, measured_tokens_per_minute=20_000))
    assert budget.payable_at(400, 0) == 0
    assert budget.guide.rate == 20_000


def test_where_nothing_is_stated_a_refusal_begins_to_measure_and_a_header_ends_it() -> None:
    server = Server(Budget(UNKNOWN, 0, None))
    server.call(answer())
    assert server.waits() == 0
    server.call(failure(429))
    assert (server.measures, server.budget.guide.rate) == (True, GUESS)
    assert server.budget.checkpoint(server.now_ms).measured_tokens_per_minute is None, "a guess is nothing to hand on"
    assert server.budget.unavailable_until(400, server.now_ms) <= server.now_ms
    server.rest()
    server.call(answer((RATE, RATE - 400, "400ms")))
    assert not server.measures


@pytest.mark.parametrize("sent", [True, False])
def test_calls_without_an_answer_are_forgotten(sent: bool) -> None:  # noqa: FBT001
    server = measured()
    for attempt in range(1_000, 1_020):
        server.rest()
        server.budget.reserve(attempt, 400, server.now_ms)
        server.budget.abandon(attempt, server.now_ms + 5, sent=sent)
    trust, rate = server.budget.guide._trust, server.budget.guide._rate
    assert rate is not None
    assert not trust._counted
    assert not rate._sent


def test_a_call_that_the_mirrors_would_have_held_back_is_known_as_a_test_of_them() -> None:
    server = measured()
    server.rest()
    server.budget.reserve(1_000, 400, server.now_ms)
    assert server.budget._calls[1_000].held
    budget = full()
    budget.reserve(1, 400, 0)
    budget.reserve(2, 400, 0)
    assert not any(call.held for call in budget._calls.values())


def test_other_prices_change_the_measured_rate_with_them() -> None:
    budget = Budget(SETTINGS, 0, Checkpoint("m", 0, (KEY,), 0, 0, PPM, measured_tokens_per_minute=20_000))
    budget.reserve(1, 400, 0)
    budget.record_answer(1, 9, refusal(used=0, requested=800))
    assert budget.checkpoint(9).markup_ppm == 2 * PPM
    assert budget.guide.rate is not None
    assert 30_000 < budget.guide.rate < 40_000, "twice as much, and less for the refusal"


# ------------------------------------------------------------------ bursts


def test_what_a_measured_rate_paces_is_part_of_no_burst() -> None:
    """Before: when the mirrors were followed again, its tokens had to flow in first: no call went for four minutes."""
    server = Server(Budget(SETTINGS, 0, Checkpoint("m", 0, (KEY,), 0, 0, PPM, measured_tokens_per_minute=RATE)))
    control = server.budget._calibration.burst
    assert control is not None
    before = control.spare(server.now_ms)
    server.serve(30_000)
    server.rest()
    server.call(refused(0))
    server.rest()
    server.budget.reserve(10_000, 400, server.now_ms)
    server.budget.abandon(10_000, server.now_ms, sent=False)
    assert (control.spare(server.now_ms), control.share_ppm, control.ceiling) == (before, PPM, None)
    control.tolerated_burst = 5_000
    server.rest()
    server.call(refusal(used=RATE, requested=400, wait="1s"))
    assert control.tolerated_burst == 5_000


def test_the_whole_rate_is_spent_again_once_a_cap_explains_refusals() -> None:
    budget = full()
    budget.reserve(1, 1, 0)
    budget.record_answer(1, 10, failure(429))
    assert budget.learned_limits().share_ppm < PPM
    budget.reserve(2, 1, MINUTE_MS)
    assert budget.guide._rate is not None
    budget.guide._rate._caps._is_new = True  # as an event's refusals leave it
    budget.guide._rate._cut_ms = MINUTE_MS
    budget.record_answer(2, MINUTE_MS + 10, failure(429))
    assert budget.learned_limits().share_ppm == PPM
