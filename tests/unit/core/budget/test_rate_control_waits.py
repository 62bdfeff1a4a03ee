import pytest

from headrace.broker.core.budget.rate_control import MANY_CALLS, SILENCE_MS, RateControl
from headrace.broker.core.budget.stated_waits import BACKOFF_FIRST_MS, BACKOFF_MAX_MS
from tests.unit.core.pacing import Caller


def test_each_refusal_in_a_row_doubles_the_back_off_up_to_a_bound() -> None:
    caller = Caller()
    rests = []
    for _ in range(8):
        caller.refuse()
        rests.append(caller.wait())
    assert rests == [min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS << step) for step in range(8)]


def test_after_a_refusal_one_call_goes_alone_until_the_server_has_been_silent_about_it() -> None:
    caller = Caller(tokens=1).refuse()
    caller.wait()
    caller.send()
    assert caller.due_ms() == caller.now_ms + SILENCE_MS
    assert caller.wait() == SILENCE_MS
    caller.send()
    assert caller.due_ms() < caller.now_ms + SILENCE_MS


def test_an_answer_to_the_call_that_goes_alone_ends_it_sooner() -> None:
    caller = Caller(tokens=1).refuse()
    caller.wait()
    caller.control.record_admission(caller.send(), caller.now_ms, caller.now_ms)
    assert caller.due_ms() < caller.now_ms + SILENCE_MS


def test_a_call_that_goes_alone_and_is_lost_delays_the_next_by_the_time_of_silence() -> None:
    caller = Caller(tokens=1).refuse()
    caller.wait()
    caller.control.record_loss(caller.send())
    assert caller.wait() == SILENCE_MS


def test_an_admission_ends_the_row_and_that_of_a_call_sent_before_the_refusal_does_not() -> None:
    caller = Caller()
    early = caller.send()
    caller.refuse()
    caller.refuse()
    caller.control.record_admission(early, 0, caller.now_ms)
    caller.refuse()
    assert caller.wait() == 4 * BACKOFF_FIRST_MS
    caller.admit().refuse()
    assert caller.wait() == BACKOFF_FIRST_MS


def test_silence_about_calls_sent_before_the_refusal_does_not_end_the_row() -> None:
    caller = Caller(tokens=1)
    caller.send()
    caller.refuse()
    caller.now_ms += SILENCE_MS
    caller.due_ms()
    caller.refuse()
    assert caller.wait() == 2 * BACKOFF_FIRST_MS


def proved(caller: Caller, times: int, stated_ms: int = 9_280) -> Caller:
    """Be refused until a stated wait has ended; each refusal states its end."""
    for _ in range(times):
        caller.admit().refuse(stated_ms)
        until_ms = caller.now_ms + stated_ms
        while caller.now_ms + caller.wait() < until_ms:
            caller.refuse(until_ms - caller.now_ms)
        caller.now_ms = until_ms
        caller.admit()
    return caller


def test_long_waits_are_kept_once_such_have_proved_true_twice() -> None:
    for times, are_kept in ((1, False), (2, True), (9, True)):
        assert (proved(Caller(), times).admit().refuse(30_000).wait() >= 30_000) is are_kept


@pytest.mark.parametrize("times", [0, 3, 4])
def test_a_call_admitted_before_the_stated_end_costs_twice_the_trust_that_was_earned(times: int) -> None:
    caller = Caller().refuse(30_000).admit()
    assert caller.now_ms < 1_000
    assert (proved(caller, times).admit().refuse(30_000).wait() >= 30_000) is (times == 4)


def test_the_next_rate_at_a_limit_goes_on_with_what_its_waits_have_shown() -> None:
    """Before: each trial tested anew waits that had proved true in the one before."""
    caller = proved(Caller(), 2)
    later = RateControl(caller.control.rate // 1_000, caller.now_ms, learned=caller.control.learned)
    later.record_send(0, 1_000, caller.now_ms)
    later.record_refusal(0, 1_000, caller.now_ms, caller.now_ms + 20, 30_000)
    assert later.rest_ms(caller.now_ms + 20) >= 30_000


def test_trust_is_lost_at_once() -> None:
    caller = proved(Caller(), 9).admit().refuse(30_000)
    early = caller.send(after_ms=1_000)
    caller.control.record_admission(early, caller.now_ms, caller.now_ms)
    caller.now_ms += 30_000
    assert caller.admit().refuse(30_000).wait() <= 1_000


def test_a_refusal_slower_than_the_silence_neither_cuts_anew_nor_shortens_the_back_off() -> None:
    caller = Caller().admit(MANY_CALLS).refuse()
    after = caller.control.rate
    for _ in range(200):
        caller.refuse(took_ms=SILENCE_MS + 50)
    assert caller.control.rate == after
    assert caller.control.events == 1
    assert caller.wait() == BACKOFF_MAX_MS


def test_what_was_refused_late_was_not_admitted() -> None:
    caller = Caller().admit(MANY_CALLS)
    before = caller.control._throughput.admitted
    caller.refuse(took_ms=SILENCE_MS + 50)
    assert caller.control._throughput.admitted == before


def test_an_answer_after_the_silence_admits_the_call_once() -> None:
    caller = Caller()
    attempt = caller.send()
    caller.now_ms += SILENCE_MS
    caller.due_ms()
    admitted = caller.control._throughput.admitted
    caller.control.record_admission(attempt, 0, 5_000)
    assert caller.control._throughput.admitted == admitted == 1_000
