from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, LimitMetric, Snapshot
from headrace.broker.core.budget.burst_control import SILENCE_MS
from headrace.broker.core.budget.cooldown import (
    FIRST_MAX_MS,
    FIRST_MS,
    GROWS_BY,
    LONGEST_MS,
    Cooldown,
    leaves_level_open,
)


def test_each_refusal_in_a_row_lengthens_the_wait_up_to_a_bound() -> None:
    patience = Cooldown()
    now_ms, waits = 0, []
    for _ in range(6):
        waits.append(patience.record_refusal(50, now_ms, now_ms + 10))
        now_ms += 10 + waits[-1]
    assert waits[:4] == [FIRST_MS, FIRST_MS * GROWS_BY, FIRST_MS * GROWS_BY**2, FIRST_MS * GROWS_BY**3]
    assert waits[4:] == [LONGEST_MS, LONGEST_MS]


def test_a_longer_wait_that_the_server_states_is_kept() -> None:
    assert Cooldown().record_refusal(70_000, 0, 10) == 70_000


def test_refusals_of_calls_under_way_together_count_once() -> None:
    patience = Cooldown()
    assert patience.record_refusal(50, 0, 10) == FIRST_MS
    assert patience.record_refusal(50, 5, 12) == FIRST_MS
    assert patience.record_refusal(50, 11, 20) == FIRST_MS * GROWS_BY


def test_an_admission_ends_the_row_unless_the_call_was_sent_before_the_refusal() -> None:
    patience = Cooldown()
    patience.record_refusal(50, 0, 10)
    patience.record_admission(5)
    assert patience.record_refusal(50, 600, 610) == FIRST_MS * GROWS_BY
    patience.record_admission(800)
    assert patience.record_refusal(50, 2_600, 2_610) == FIRST_MS


def test_the_first_wait_is_half_of_what_it_took_the_last_time() -> None:
    patience = Cooldown()
    for at_ms, took_ms, wait_ms in ((0, 3_000, FIRST_MS), (10_000, 1_200, 1_500), (20_000, 90_000, 600)):
        assert patience.record_refusal(50, at_ms, at_ms + 10) == wait_ms
        assert patience.record_refusal(50, at_ms + 20, at_ms + 30) == wait_ms * GROWS_BY
        patience.record_admission(at_ms + 10 + took_ms)
    assert patience.record_refusal(50, 200_000, 200_010) == FIRST_MAX_MS


def test_what_it_took_is_told_by_the_first_call_that_was_admitted() -> None:
    patience = Cooldown()
    patience.record_refusal(50, 0, 10)
    patience.record_admission(2_010)
    patience.record_admission(9_000)
    assert patience.record_refusal(50, 10_000, 10_010) == 1_000


def test_nobody_need_ask_who_was_not_refused_since_a_call_was_admitted() -> None:
    patience = Cooldown()
    assert not patience.active
    patience.record_refusal(50, 0, 10)
    patience.record_admission(5)
    assert patience.active
    patience.record_admission(600)
    assert not patience.active


def test_after_a_refusal_one_call_goes_alone_until_silence_has_said_that_it_was_admitted() -> None:
    patience = Cooldown()
    assert not patience.record_send(0)
    patience.record_refusal(50, 0, 10)
    assert patience.may_call_at(600) == 600
    assert patience.record_send(600)
    assert patience.may_call_at(600 + SILENCE_MS - 1) == 600 + SILENCE_MS
    assert patience.may_call_at(600 + SILENCE_MS) == 600 + SILENCE_MS
    assert not patience.record_send(600 + SILENCE_MS)


def silent(at_ms: int) -> Cooldown:
    """Three refusals in a row, and silence about the call that was sent alone at `at_ms`."""
    patience = Cooldown()
    for sent_ms in (0, 600, 2_200):
        patience.record_refusal(50, sent_ms, sent_ms + 10)
    patience.record_send(at_ms)
    assert patience.may_call_at(at_ms + SILENCE_MS) == at_ms + SILENCE_MS
    return patience


def test_silence_about_the_call_that_went_alone_ends_the_row() -> None:
    """Before: where a front dropped one of the calls that followed, each pause was thrice as long as the one before."""
    patience = silent(7_000)
    assert patience.record_refusal(50, 7_000 + SILENCE_MS, 7_310) == (7_000 - 10) // 2
    assert not patience.probe_refused


def test_a_late_refusal_of_the_call_that_went_alone_goes_on_with_the_row() -> None:
    """A way that is longer than the silence must not undo the back-off."""
    patience = silent(7_000)
    assert patience.record_refusal(50, 7_000, 7_900) == FIRST_MS * GROWS_BY**3
    assert patience.probe_refused
    patience.record_admission(25_010)
    assert patience.record_refusal(50, 40_000, 40_010) == FIRST_MAX_MS, "it took 25 s from the first refusal on"


def test_it_goes_on_with_the_row_too_if_a_call_that_followed_was_refused_before() -> None:
    patience = silent(7_000)
    assert patience.record_refusal(50, 7_310, 7_400) == (7_000 - 10) // 2
    assert patience.record_refusal(50, 7_000, 7_450) == FIRST_MS * GROWS_BY**3


def test_a_late_refusal_of_a_call_sent_before_the_wait_goes_on_with_nothing() -> None:
    patience = silent(7_000)
    assert patience.record_refusal(50, 2_205, 7_400) == 50
    assert patience.record_refusal(50, 7_310, 7_410) == (7_000 - 10) // 2


def test_a_call_admitted_since_makes_a_late_refusal_one_like_any_other() -> None:
    patience = silent(7_000)
    assert patience.active
    patience.record_admission(7_400)
    assert not patience.active
    assert patience.record_refusal(50, 7_000, 20_000) == (7_000 - 10) // 2
    assert not patience.probe_refused


def test_an_answer_ends_it_sooner() -> None:
    patience = Cooldown()
    patience.record_refusal(50, 0, 10)
    patience.record_send(600)
    patience.record_admission(600)
    assert patience.may_call_at(610) == 610
    assert not patience.record_send(610)


def test_a_refusal_that_says_how_much_is_used_and_not_all_of_it_can_be_fathomed() -> None:
    def stated(used: int | None) -> Snapshot:
        return Snapshot(LimitMetric.TOKENS, MINUTE_MS, 1_000, used, None, None, None)

    assert leaves_level_open(None)
    assert [leaves_level_open(stated(used)) for used in (None, 1_000, 999)] == [True, True, False]


def test_a_call_is_refused_again_if_it_was_sent_alone_after_a_refusal() -> None:
    patience = Cooldown()
    patience.record_refusal(50, 0, 10)
    assert not patience.probe_refused
    assert patience.record_send(600)
    patience.record_refusal(50, 600, 610)
    assert patience.probe_refused


def test_it_is_not_if_the_server_has_been_silent_about_that_call_or_has_admitted_it() -> None:
    """What is refused then is one of a burst."""
    patience = Cooldown()
    patience.record_refusal(50, 0, 10)
    patience.record_send(600)
    assert patience.may_call_at(600 + SILENCE_MS) == 600 + SILENCE_MS
    patience.record_refusal(50, 600 + SILENCE_MS, 610 + SILENCE_MS)
    assert not patience.probe_refused
    patience.record_send(3_000)
    patience.record_admission(3_000)
    patience.record_refusal(50, 3_100, 3_110)
    assert not patience.probe_refused
