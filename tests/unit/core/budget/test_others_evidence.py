"""Whether others spend in a limit's windows."""

import pytest

from headrace.broker.core.answers.rate_limit_headers import REQUESTS, TOKENS, LimitMetric
from headrace.broker.core.answers.refill_detection import SHORT_MS
from headrace.broker.core.budget.achievement import NOTHING, REFUSED_MIN, Achieved
from headrace.broker.core.budget.bucket_mirror import Mirror
from headrace.broker.core.budget.fixed_window import FixedWindowMirror
from headrace.broker.core.budget.mirror_list import AnyMirror
from headrace.broker.core.budget.others_evidence import (
    AGREED_MAX,
    AGREED_MIN,
    CONTRADICTED,
    EXCUSED_PPM,
    LATE_PARTS,
    STAY_MS,
    OthersEvidence,
    levels_tell,
)
from headrace.broker.core.budget.sent_calls import SentCalls
from headrace.broker.core.budget.sliding_window import SlidingWindowMirror
from headrace.broker.core.budget.two_counters import TwoCounterMirror


def observed(*errors: int | None, proven: bool = True) -> OthersEvidence:
    evidence = OthersEvidence()
    for now_ms, error in enumerate(errors):
        evidence.observe(TOKENS, error, now_ms, proven=proven)
    return evidence


def test_others_have_spent_what_is_missing_if_answers_agreed_before() -> None:
    agreed = (0,) * (CONTRADICTED + 1)
    assert observed(*agreed, -500).by_others
    assert not observed(*agreed).by_others
    assert not observed(*agreed, 500).by_others
    assert not observed(*agreed, None).by_others
    assert not observed(*agreed, -500, proven=False).by_others, "a delay may explain it"
    assert not observed(*agreed, -500, 0).by_others


def test_a_mirror_that_is_contradicted_all_the_time_is_wrong_itself() -> None:
    assert not observed(-500).by_others
    assert not observed(*(0, 0, -500) * 20).by_others
    assert observed(*(0, 0, 0, 0, -500) * 20).by_others
    assert not observed(*(0,) * 1_000, *(-500,) * (AGREED_MAX // CONTRADICTED + 1)).by_others
    assert observed(*(-500,) * 1_000, *(0,) * (CONTRADICTED + 1), -500).by_others, "that is over"


def test_others_who_have_spent_are_taken_to_spend_for_a_minute() -> None:
    evidence = observed(*(0,) * 9, -500)
    assert evidence.spend(TOKENS, 9 + STAY_MS - 1)
    assert not evidence.spend(TOKENS, 9 + STAY_MS)
    assert not evidence.spend(REQUESTS, 9)


def test_of_a_mirror_that_is_known_to_be_right_one_answer_proves_others() -> None:
    for error in (-500, 0, 500, None):
        evidence = OthersEvidence()
        evidence.observe(TOKENS, error, 0, proven=True, trusted=True)
        assert evidence.spend(TOKENS, 0)
        assert evidence.by_others is (error == -500), "nothing is missing otherwise"
        evidence.observe(TOKENS, error, 0, proven=False, trusted=True)
        assert not evidence.by_others


def test_others_explain_a_refusal_only_where_the_mirror_is_known_to_be_right() -> None:
    assert not observed(*(0,) * 9, -500).explain(TOKENS, 9), "it may be wrong"
    evidence = OthersEvidence()
    assert not evidence.explain(TOKENS, 0)
    evidence.observe(TOKENS, 0, 0, proven=False, trusted=True)
    assert not evidence.explain(TOKENS, 0), "they have not spent"
    evidence.observe(TOKENS, -500, 1, proven=True, trusted=True)
    assert evidence.explain(TOKENS, STAY_MS)
    assert not evidence.explain(TOKENS, 1 + STAY_MS)
    assert not evidence.explain(REQUESTS, 1)
    evidence.observe(TOKENS, 0, 2, proven=False)
    assert not evidence.explain(TOKENS, 2), "the last level is of another bucket"


def test_a_mirror_is_known_to_be_right_by_its_levels_alone_if_most_answers_of_late_agreed() -> None:
    evidence = OthersEvidence()
    for _ in range(AGREED_MIN):
        evidence.observe(TOKENS, 0, 0, proven=False, levels_tell=True)
    evidence.observe(TOKENS, -500, 1, proven=True, levels_tell=True)
    assert evidence.explain(TOKENS, STAY_MS)
    evidence.observe(TOKENS, 0, 2, proven=False, levels_tell=True)
    assert not evidence.explain(TOKENS, 2), "too many fell short of late"
    for _ in range(CONTRADICTED):
        evidence.observe(TOKENS, 0, 3, proven=False, levels_tell=True)
    assert evidence.explain(TOKENS, 3)


def test_no_level_proves_others_spending_where_too_few_of_late_agreed() -> None:
    """Before: a mirror of the wrong kind blamed others for its own refusals (seed 94020)."""
    for agreed in (AGREED_MIN - 1, AGREED_MIN):
        evidence = OthersEvidence()
        for _ in range(AGREED_MIN):
            evidence.observe(TOKENS, 0, 0, proven=False, levels_tell=True)
        for _ in range(AGREED_MIN - agreed):
            evidence.observe(TOKENS, 500, 0, proven=False, levels_tell=True)
        evidence.observe(TOKENS, -500, 1, proven=True, levels_tell=True)
        assert evidence.by_others is evidence.spend(TOKENS, 1) is (agreed == AGREED_MIN)


def test_more_left_than_believed_is_no_doubt_of_a_mirror_that_is_known_otherwise() -> None:
    evidence = OthersEvidence()
    for error in (*(0,) * (CONTRADICTED + 1), 500):
        evidence.observe(TOKENS, error, 0, proven=False)
    evidence.observe(TOKENS, -500, 1, proven=True)
    assert evidence.by_others


SENDS = SentCalls()


def slides(metric: LimitMetric = TOKENS, period_ms: int = SHORT_MS, step: int = 1) -> SlidingWindowMirror:
    mirror = SlidingWindowMirror(metric, 6_000, period_ms, 0, SENDS)
    mirror.step = step
    return mirror


@pytest.mark.parametrize(
    "mirror",
    [slides(), slides(period_ms=SHORT_MS // 2), TwoCounterMirror(TOKENS, 6_000, SHORT_MS, 0, SENDS, mark_ms=0)],
)
def test_levels_tell_of_a_sliding_second_of_which_delays_blur_a_quarter_at_most(mirror: AnyMirror) -> None:
    assert levels_tell(mirror, 0, mirror.period_ms // LATE_PARTS)
    assert not levels_tell(mirror, 0, mirror.period_ms // LATE_PARTS + 1)
    assert not levels_tell(mirror, 1, 1), "they are old"


@pytest.mark.parametrize(
    "mirror",
    [
        slides(REQUESTS),
        slides(period_ms=SHORT_MS + 1),
        slides(step=10),
        FixedWindowMirror(TOKENS, 6_000, SHORT_MS, 0, 0),
        Mirror(TOKENS, 6_000, SHORT_MS, 0),
    ],
)
def test_levels_tell_of_no_other_window_that_it_is_right(mirror: AnyMirror) -> None:
    assert not levels_tell(mirror, 0, 1)


def test_others_excuse_refusals_by_a_window_that_is_known_only_up_to_a_part_of_all_calls() -> None:
    """Before: where others spent all the time, a third of all calls was refused, and nothing was learned of it."""
    few, most, many = (Achieved(calls=each, refused=6) for each in (0, 94, 93))
    few.refused = REFUSED_MIN - 1
    assert most.refused_ppm == EXCUSED_PPM
    evidence = OthersEvidence()
    evidence.observe(TOKENS, None, 0, proven=True, trusted=True)
    assert evidence.excuse({TOKENS}, 0, most) == evidence.excuse({TOKENS}, 0, few) == (True, True)
    assert evidence.excuse({TOKENS}, 0, many) == (False, False)
    assert evidence.excuse({TOKENS}, STAY_MS, NOTHING) == (False, False)
    assert evidence.excuse({REQUESTS, TOKENS}, 0, many) == (True, False), "nothing is known of requests"
    assert evidence.excuse(set(), 0, NOTHING) == (False, False)
    evidence.observe(REQUESTS, None, 0, proven=True, trusted=True)
    assert evidence.excuse({REQUESTS, TOKENS}, 0, most) == (True, True)
