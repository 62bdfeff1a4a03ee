"""A rate where the calls of a span are capped: each call costs the pace as much as a mean one, whatever its size."""

import pytest

from headrace.broker.core.budget.pace import KEPT_MS
from headrace.broker.core.budget.rate_control import CUT_PPM, RateControl
from headrace.broker.core.budget.recent_spending import SPANS_MS
from headrace.broker.core.budget.span_caps import REFUSALS_MIN, SpanCaps
from headrace.broker.core.units import PPM
from tests.unit.core.pacing import LEEWAY_MS, RATE, Caller

SMALL, LARGE = 1_000, 12_000  # of which a token takes a millisecond
SECOND = SPANS_MS.index(1_000)


def cap(caller: Caller, *, of_calls: bool = True) -> None:
    """Let the rate know a cap that none of the tests reaches."""
    caller.control._caps._caps_ppm[of_calls][SECOND] = 10**9 * PPM


def capped(*, of_calls: bool = True) -> Caller:
    """Thirty small calls were admitted, and a cap is known since; the next call is large."""
    caller = Caller(tokens=SMALL).admit(30)
    cap(caller, of_calls=of_calls)
    caller.tokens = LARGE
    return caller


@pytest.mark.parametrize(("of_calls", "needs_ms"), [(True, SMALL), (False, LARGE)])
def test_a_large_call_waits_as_long_as_a_mean_one_only_if_calls_are_capped(*, of_calls: bool, needs_ms: int) -> None:
    caller = capped(of_calls=of_calls)
    assert caller.wait() == pytest.approx(needs_ms, abs=2 * LEEWAY_MS)


def test_no_more_is_saved_for_a_large_call_than_it_costs() -> None:
    caller = capped()
    due_ms = caller.due_ms()
    assert due_ms > caller.now_ms
    caller.tokens = SMALL
    caller.send(after_ms=due_ms + KEPT_MS - caller.now_ms)
    assert caller.due_ms() - caller.now_ms == pytest.approx(SMALL, abs=2 * LEEWAY_MS), "idle time is lost"


def test_the_throughput_counts_a_large_call_as_a_mean_one() -> None:
    caller = capped()
    throughput = caller.control._throughput
    busy_ms, admitted = throughput.busy_ms, throughput.admitted
    caller.control.record_admission(caller.send(after_ms=5_000), caller.now_ms, caller.now_ms)
    assert (throughput.busy_ms - busy_ms, throughput.admitted - admitted) == (SMALL, SMALL)


@pytest.mark.parametrize("large", [SMALL, LARGE])
def test_after_a_cut_the_pacing_leaves_out_the_time_of_half_a_mean_call_however_large_one_was(large: int) -> None:
    caller = Caller(tokens=large).admit()
    caller.tokens = SMALL
    caller.admit(30)
    cap(caller)
    caller.wait()
    attempt = caller.send()
    caller.control.record_refusal(attempt, SMALL, caller.now_ms, caller.now_ms, None)
    mean = caller.control._spending.tokens_mean()
    assert mean is not None
    left_out_ms = caller.control._pace._paid_us / 1_000 - caller.now_ms
    assert left_out_ms == pytest.approx(mean / 2 * RATE / caller.control.rate, abs=LEEWAY_MS)


def test_calls_keep_within_a_cap_of_them_evenly_whatever_the_rate_allows() -> None:
    caller = capped()
    caller.control._caps._caps_ppm[True][SECOND] = 5 * PPM
    caller.send()
    assert caller.control.capped_at(1, caller.now_ms) - caller.now_ms == 1_000 // 5 * 9 // 10


def test_refusals_that_caps_explain_lower_a_rate_by_no_more_than_one_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before: it fell to the lowest rate of any early cut, from 565,000 to 369,000 at seed 97409."""
    control = RateControl(60_000, 0)
    control._cut_rates.extend([20_000_000, 59_000_000])
    monkeypatch.setattr(SpanCaps, "learn", lambda *_: REFUSALS_MIN)
    control.record_send(0, 100, 1_000)
    control.record_refusal(0, 100, 1_000, 1_050, None)
    assert control.rate == 60_000_000 - 60_000_000 * CUT_PPM // PPM
    control._cut_rates.clear()
    control.record_send(1, 100, 9_000)
    control.record_refusal(1, 100, 9_000, 9_050, None)
    assert control.rate == 60_000_000 - 60_000_000 * CUT_PPM // PPM, "it came at no lower one"
