"""Windows of a second or two, before servers whose answers take longer."""

from dataclasses import replace

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, SECOND_MS, LimitMetric, Reading
from headrace.broker.core.answers.refill_detection import Refill, RefillEvidence, RefillPattern
from tests.unit.core.answers.listening import Listener, reading


def short(*, off_ms: int = 0, took_ms: int = 3_000, answers: int = 12) -> list[tuple[RefillPattern | None, int]]:
    """What is believed of a counter of a second after each answer, and when; answers take several windows.

    Calls take 5 to 25 ms to the server, and `reset` is older by up to `off_ms`.
    """
    evidence, believed = RefillEvidence(), []
    for call in range(answers):
        sent_ms = 370 * call
        taken_ms = sent_ms + 5 + 20 * (call % 3) // 2
        shown = reading(1_000 * (1 + call % 5), SECOND_MS - (taken_ms + 611 * call * off_ms) % SECOND_MS)
        believed.append((evidence.observe(shown, sent_ms, sent_ms + took_ms), sent_ms + took_ms))
    return believed


def test_the_marks_of_a_short_counter_are_known_though_answers_take_several_windows() -> None:
    """Before: the marks of such a counter were believed anywhere, and it was spent across them."""
    (pattern, now_ms) = short()[-1]
    assert pattern is not None
    assert (pattern.refill, pattern.period_ms) == (Refill.FIXED, SECOND_MS)
    assert pattern.mark_ms > now_ms
    margin_ms = 1 + 20 // 8
    assert pattern.mark_ms % SECOND_MS == SECOND_MS - 5 + margin_ms, "a call sent then comes in after the mark"
    assert pattern.spread_ms == 20 + 2 * margin_ms


def test_a_short_counter_whose_marks_are_not_known_is_taken_for_a_sliding_window_which_allows_least() -> None:
    anywhere = RefillPattern(Refill.SLIDING, SECOND_MS, loose=True)
    assert short(off_ms=1)[-1][0] == anywhere
    assert short(answers=9)[-1][0] is None


def test_a_window_of_a_minute_near_its_end_is_no_short_one() -> None:
    """Before: it was taken for one of two seconds, and six hundred calls were refused at once."""
    listener = Listener()
    listener.evidence.rule_out(Refill.FIXED)
    for call in range(40):
        at_ms = 58_500 + 100 * call
        believed = listener.hear(1_000 * (1 + call % 5), MINUTE_MS - at_ms % MINUTE_MS, at_ms)
        assert believed is None or believed.period_ms > 2_000


def test_a_short_counter_that_is_ruled_out_is_taken_for_two_and_these_for_a_sliding_window() -> None:
    believed = []
    for ruled_out in ((), (Refill.FIXED,), (Refill.FIXED, Refill.TWO)):
        listener = Listener(took_ms=3_000)
        for refill in ruled_out:
            listener.evidence.rule_out(refill)
        for call in range(12):
            pattern = listener.hear(1_000 * (1 + call % 5), SECOND_MS - 370 * call % SECOND_MS, 370 * call)
        assert pattern is not None
        believed.append(pattern)
    fixed, two, sliding = believed
    assert two == replace(fixed, refill=Refill.TWO, loose=True)
    assert sliding == RefillPattern(Refill.SLIDING, SECOND_MS, loose=True)


def test_a_short_window_whose_every_pattern_is_ruled_out_is_a_bucket() -> None:
    listener = Listener(took_ms=3_000)
    listener.evidence.rule_out(Refill.SLIDING)
    for call in range(12):
        believed = listener.hear(1_000 * (1 + call % 5), SECOND_MS - 370 * call % SECOND_MS, 370 * call)
    assert believed == RefillPattern(Refill.BUCKET, SECOND_MS)


def looked_up(period_ms: int, age_ms: int, answers: int = 240) -> list[tuple[RefillPattern | None, int]]:
    """What is believed of a counter whose levels are looked up at times, and repeated meanwhile; and when."""
    evidence, believed, level_ms = RefillEvidence(), [], 0
    for call in range(answers):
        sent_ms = 290 * call
        level_ms = sent_ms if sent_ms >= level_ms + age_ms else level_ms
        shown = reading(1_000 + level_ms % period_ms, period_ms - level_ms % period_ms)
        believed.append((evidence.observe(shown, sent_ms, sent_ms + 2_000), sent_ms + 2_000))
    return believed


def test_the_marks_of_a_counter_are_those_of_new_levels_where_others_are_some_seconds_old() -> None:
    """Before: they wandered by as much, or lay anywhere (seeds 92012, 92092, 92268, 92416, 92435)."""
    for period_ms, age_ms in ((SECOND_MS, 3_500), (6_000, 1_800), (10_000, 3_400)):
        for pattern, now_ms in looked_up(period_ms, age_ms)[120:]:
            assert pattern is not None
            assert (pattern.refill, pattern.period_ms) == (Refill.FIXED, period_ms)
            assert 0 <= pattern.mark_ms % period_ms <= 300, "no call comes sooner behind the mark"
            assert now_ms < pattern.mark_ms <= now_ms + period_ms


def test_marks_of_whole_seconds_are_all_counted_though_they_lie_far_apart() -> None:
    """Before: the mark moved as they and the newest ones took turns (seed 92422: 17.7 refusals of 1,000, now 8)."""
    listener = Listener(took_ms=300)
    for call in range(120):
        sent_ms = 290 * call
        pattern = listener.hear(1_000 + call, -(-(6_000 - sent_ms % 6_000) // 1_000) * 1_000, sent_ms)
    assert pattern is not None
    assert pattern.refill is Refill.FIXED
    assert 900 < pattern.mark_ms % 6_000 < 1_200, "the latest of all"


def test_where_the_marks_of_a_short_window_lie_is_known_whatever_levels_have_disproved() -> None:
    disproved = (Refill.FIXED, Refill.TWO, Refill.SLIDING)
    for count in range(len(disproved) + 1):
        listener = Listener(took_ms=3_000)
        for refill in disproved[:count]:
            listener.evidence.rule_out(refill)
        for call in range(12):
            listener.hear(1_000 * (1 + call % 5), SECOND_MS - 370 * call % SECOND_MS, 370 * call)
        phase = listener.evidence.close_phase
        assert phase is not None
        assert phase.mark_ms % SECOND_MS == 1
        assert [refill in listener.evidence._ruled_out for refill in disproved] == [each < count for each in range(3)]
        listener.evidence.observe(replace(reading(1_000, 300), remaining=0), 5_000, 5_000)
        assert listener.evidence.close_phase is phase, "an empty limit shows none"
        listener.evidence.believe_anew()
        assert [refill in listener.evidence._ruled_out for refill in disproved] == [False, count > 1, False]
        listener.hear(1_000, MINUTE_MS, 6_000)
        assert listener.evidence.close_phase is None


def test_marks_that_old_headers_show_elsewhere_do_not_lie_at_one_phase() -> None:
    """Levels of such headers do not tell what a window counts (seed 93214)."""
    evidence = RefillEvidence()
    for call in range(40):
        sent_ms = 370 * call
        shown = reading(1_000 * (1 + call % 5), SECOND_MS - (sent_ms - 611 * (call % 4)) % SECOND_MS)
        evidence.observe(shown, sent_ms, sent_ms + 3_000)
    assert evidence.close_phase is None


def calls_left(levels: list[tuple[int, int]], capacity: int = 11) -> list[RefillPattern | None]:
    """What is believed of a limit of calls after each answer: what is used, and how long until nothing is."""
    evidence, believed = RefillEvidence(), []
    for number, (used, full_in_ms) in enumerate(levels):
        shown = Reading(LimitMetric.REQUESTS, capacity, capacity - used, None, full_in_ms)
        believed.append(evidence.observe(shown, 300 * number, 300 * number + 2_000))
    return believed


def test_a_bucket_of_calls_whose_levels_are_as_of_the_answer_is_one() -> None:
    """Before: less than the call itself was used by then, and no bucket explained that (seed 96147: 88 %)."""
    bucket = RefillPattern(Refill.BUCKET, SECOND_MS)
    levels = [(11, 961), (9, 808), (7, 587), (4, 347), (3, 262), (1, 75), (1, 60), (6, 495), (1, 17)]
    assert calls_left(levels) == [bucket] * len(levels)


def test_while_whole_calls_explain_its_levels_they_are_as_of_the_calls() -> None:
    """Otherwise a limit of calls that is used up would tell nothing."""
    evidence = RefillEvidence()
    for used in (4, 5, 3, 11):
        shown = Reading(LimitMetric.REQUESTS, 11, 11 - used, None, used * SECOND_MS // 11)
        evidence.observe(shown, 300 * used, 300 * used + 50)
    assert not evidence._is_late


def test_a_sliding_window_of_calls_is_no_such_bucket() -> None:
    sliding = calls_left([(1 + number % 7, SECOND_MS) for number in range(12)])[-1]
    assert sliding is not None
    assert sliding.refill is Refill.SLIDING


def test_a_short_window_that_may_be_any_is_a_bucket_once_its_levels_fit_one() -> None:
    listener = Listener(took_ms=3_000)
    for call in range(12):
        pattern = listener.hear(1_000 * (1 + call % 5), SECOND_MS, 370 * call)
    assert pattern == RefillPattern(Refill.SLIDING, SECOND_MS, loose=True)
    assert listener.evidence.is_loose
    listener.evidence.fits_bucket = True
    assert listener.hear(2_000, SECOND_MS, 5_000) == RefillPattern(Refill.BUCKET, SECOND_MS)
    assert not listener.evidence.is_loose
    listener.evidence.fits_bucket = False
    assert listener.hear(2_000, SECOND_MS, 5_400) == RefillPattern(Refill.SLIDING, SECOND_MS, loose=True)


def test_levels_that_fit_a_bucket_tell_nothing_of_a_window_whose_kind_is_stated() -> None:
    listener = Listener()
    listener.evidence.fits_bucket = True
    for call in range(12):
        pattern = listener.hear(1_000 * (1 + call % 5), MINUTE_MS, 1_370 * call)
    assert pattern == RefillPattern(Refill.SLIDING, MINUTE_MS)
    assert not listener.evidence.is_loose


def test_a_short_window_whose_marks_lie_anywhere_may_be_a_bucket_too() -> None:
    evidence = RefillEvidence()
    evidence.fits_bucket = True
    for call in range(12):
        sent_ms = 370 * call
        shown = reading(1_000 * (1 + call % 5), SECOND_MS - (sent_ms + 611 * call) % SECOND_MS)
        pattern = evidence.observe(shown, sent_ms, sent_ms + 3_000)
    assert pattern == RefillPattern(Refill.BUCKET, SECOND_MS)
