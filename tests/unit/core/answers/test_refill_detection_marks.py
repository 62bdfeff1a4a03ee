"""The marks of a counter, as the sending of calls shows them."""

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS
from headrace.broker.core.answers.refill_detection import Refill, RefillEvidence, RefillPattern
from tests.unit.core.answers.listening import CAPACITY, Listener, reading
from tests.unit.core.answers.test_refill_detection import counter


def phased(*sent_ms: int, took_ms: int = 3_000) -> list[RefillPattern | None]:
    """What is believed of a counter of ten seconds after each answer; calls take 5 to 25 ms to the server."""
    evidence, believed = RefillEvidence(), []
    for call, at_ms in enumerate(sent_ms):
        taken_ms = at_ms + 5 + 10 * (call % 3)
        shown = reading(1_000 + 100 * call, 10_000 - taken_ms % 10_000)
        believed.append(evidence.observe(shown, at_ms, at_ms + took_ms))
    return believed


def test_the_end_of_a_counter_is_known_by_the_sending_of_calls_though_answers_take_seconds() -> None:
    """Before: it was believed up to three seconds later, and so were the windows after it."""
    margin_ms = 1 + 20 // 8
    latest, *_, closely = (each for each in phased(*range(0, 4_400, 400)) if each is not None)
    assert (latest.refill, latest.spread_ms) == (Refill.FIXED, None)
    assert latest.mark_ms > 12_900
    assert closely == RefillPattern(Refill.FIXED, 10_000, 9_995 + margin_ms, 20 + 2 * margin_ms)


def test_an_answer_that_comes_behind_the_end_of_its_window_tells_that_of_the_next() -> None:
    """Before: the end was shifted to the latest that this answer allowed, and the window was spent twice."""
    believed = phased(*range(0, 8_000, 400))
    assert [each.mark_ms for each in believed[-3:] if each is not None] == [9_998, 19_998, 19_998]


def test_what_the_levels_have_ruled_out_may_be_believed_again_once_they_are_judged_anew() -> None:
    listener = Listener()
    listener.evidence.rule_out(Refill.FIXED)
    listener.evidence.judge_anew()
    believed = listener.hear_all(counter())[-1]
    assert believed is not None
    assert believed.refill is Refill.FIXED


def test_two_counters_stay_what_one_is_not_though_laws_change() -> None:
    """Before: after each change of prices it took two windows to find out again (seed 91101: 97 % of the ideal, 82)."""
    listener = Listener()
    listener.evidence.rule_out(Refill.FIXED)
    assert listener.hear_all(counter())[-1] is not None
    assert not listener.evidence.is_disproved
    listener.evidence.judge_anew()
    believed = listener.hear_all(counter())[-1]
    assert believed is not None
    assert believed.refill is Refill.TWO
    listener.evidence.rule_out(Refill.TWO)
    assert listener.evidence.is_disproved


def test_the_end_of_a_window_of_a_minute_is_the_latest_that_answers_allow() -> None:
    """Known more closely, late answers of the window before would prove a window that is none (seed 91398)."""
    evidence, believed = RefillEvidence(), []
    for call, at_ms in enumerate(range(0, 8_000, 400)):
        shown = reading(1_000 + 100 * call, 60_000 - at_ms - 5)
        believed.append(evidence.observe(shown, at_ms, at_ms + 3_000))
    assert {each.spread_ms for each in believed if each is not None} == {None}


def test_a_limit_is_open_until_a_pattern_of_it_is_believed() -> None:
    listener = Listener()
    assert listener.evidence.is_open
    listener.hear_all(counter(calls=12))
    assert not listener.evidence.is_open


def spent_evenly(*levels: int) -> list[tuple[int, int, int | None]]:
    """What a counter of a minute says of these levels, a second apart."""
    return [(used, MINUTE_MS - 1_000 * (call + 1), 1_000 * call) for call, used in enumerate(levels)]


def test_what_has_risen_between_marks_is_two_counters_at_once() -> None:
    """Before: once two windows in a row were short, and those after one that was not are not (seed 92434)."""
    listener = Listener()
    *_, one = listener.hear_all(spent_evenly(*range(1_000, 9_000, 1_000)))
    assert one is not None
    assert one.refill is Refill.FIXED
    before, two = listener.hear_all(spent_evenly(*range(1_000, 9_000, 1_000), 7_900, 7_800, 7_700))[-2:]
    assert before is not None
    assert before.refill is Refill.FIXED
    assert two is not None
    assert (two.refill, two.period_ms) == (Refill.TWO, MINUTE_MS)


def test_what_has_risen_is_no_counter_whatever_calls_were_charged() -> None:
    listener = Listener()
    listener.hear_all(spent_evenly(*range(1_000, 9_000, 1_000), 7_900, 7_800, 7_700))
    listener.evidence.rule_out(Refill.TWO)
    assert listener.hear(7_600, MINUTE_MS - 12_000, 11_000) is None
    assert listener.evidence.has_risen
    assert listener.evidence.judge_anew()
    *_, believed = listener.hear_all(spent_evenly(*range(1_000, 9_000, 1_000)))
    assert believed is not None
    assert believed.refill is Refill.TWO


def test_of_a_limit_of_another_size_no_level_has_risen_yet() -> None:
    listener = Listener()
    for capacity in (CAPACITY, 2 * CAPACITY) * 4:
        for used, full_in_ms, sent_ms in spent_evenly(1_000, 3_000, 2_900, 2_800):
            listener.hear(used, full_in_ms, sent_ms or 0, capacity=capacity)
    *_, one = listener.hear_all(spent_evenly(*range(1_000, 9_000, 1_000)))
    assert one is not None
    assert one.refill is Refill.FIXED
