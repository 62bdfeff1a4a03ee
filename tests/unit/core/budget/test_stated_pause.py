"""The pause of a limit: how long it is after an answer that asks to wait, and what shortens it."""

from dataclasses import replace

import pytest

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, SECOND_MS, LimitMetric, Reading
from headrace.broker.core.answers.refill_detection import SHORT_MS
from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.core.budget.admission_guide import HONOURED_MS, AdmissionGuide
from headrace.broker.core.budget.bucket_set import BucketSet
from headrace.broker.core.budget.calibration import Calibration
from headrace.broker.core.budget.fixed_window import FixedWindowMirror
from headrace.broker.core.budget.rate_control import SILENCE_MS
from headrace.broker.core.budget.reservation import Reservation
from headrace.broker.core.budget.sent_calls import SentCalls
from headrace.broker.core.budget.side_limits import SideLimits
from headrace.broker.core.budget.sliding_sum import SlidingSum
from headrace.broker.core.budget.stated_age import StatedAge
from headrace.broker.core.budget.stated_pause import StatedPause
from tests.unit.core.budget.test_side_limits import carries, names
from tests.unit.core.budgets import SETTINGS, refusal
from tests.unit.core.specimens import verdict

CALL = Reservation(1, 400, 400, False, 0, 0, "", 0, 0, False)
OVERLOADED = verdict(Meaning.OVERLOADED, wait_ms=MINUTE_MS)


class Limit:
    """A limit of a token a millisecond, whose first refusal has come."""

    def __init__(self, now_ms: int = 0) -> None:
        self.sends, self.buckets = SentCalls(), BucketSet(SentCalls())
        sides = SideLimits(self.sends)
        self.buckets.believe(LimitMetric.TOKENS, 60_000, MINUTE_MS, 0)
        self.guide = AdmissionGuide(SETTINGS, self.buckets, sides, SlidingSum(), now_ms, known=True)
        self.guide.record_end(1, CALL, verdict(Meaning.RATE_LIMITED), now_ms)
        calibration = Calibration(SETTINGS, self.buckets, self.sends, None, now_ms)
        self.sides = calibration.sides
        self.pause = StatedPause(self.guide, self.buckets, calibration, now_ms)

    def show(self, *used: int) -> None:
        """Show a sliding minute, of which so much is used after each of a row of calls."""
        for number, each in enumerate(used):
            reading = Reading(LimitMetric.TOKENS, 60_000, 60_000 - each, None, MINUTE_MS)
            order = self.buckets._sends.admission_order(
                self.buckets._sends.append(400 * number, 1_000), 400 * number, 400 * number + 20, 20
            )
            self.buckets.pay(1_000, order.number, 400 * number)
            self.buckets.observe_headers(reading, order)

    def spend(self, tokens: int) -> None:
        for mirror in self.buckets:
            mirror.pay(tokens, 0, 0)

    def refuse(self, stated_ms: int, *, told: bool = True) -> None:
        answer = refusal(used=60_000, requested=400, wait=f"{stated_ms}ms") if told else verdict(Meaning.RATE_LIMITED)
        self.pause.record_wait(CALL, answer, stated_ms, self.pause.payable_ms(CALL, 20), 20)


def test_a_pause_lasts_until_the_longest_of_its_reasons() -> None:
    pause = Limit(7).pause
    assert pause.until_ms == 7
    pause.extend(500)
    pause.extend(300)
    assert pause.until_ms == 500


@pytest.mark.parametrize(("spent", "kept_ms"), [(120_000, 50_000), (60_000, HONOURED_MS)])
def test_a_refusals_wait_is_kept_if_the_mirrors_explain_it_and_tested_if_not(spent: int, kept_ms: int) -> None:
    limit = Limit()
    limit.spend(spent)
    limit.refuse(50_000)
    assert limit.pause.until_ms == 20 + kept_ms


def test_a_wait_that_says_nothing_of_what_is_left_grows_with_each_refusal() -> None:
    limit, waits = Limit(), []
    for _ in range(3):
        before_ms = limit.pause.until_ms
        limit.pause.record_wait(replace(CALL, sent_ms=before_ms), verdict(Meaning.RATE_LIMITED), 100, 0, before_ms + 20)
        waits.append(limit.pause.until_ms - before_ms)
    assert waits[0] < waits[1] < waits[2]


def test_a_wait_beside_what_is_left_is_kept_twice_and_grows_where_that_does_not_help() -> None:
    """Before: a window that was taken for a bucket was asked seven times a second until it ended."""
    limit, waits = Limit(), []
    limit.guide.record_send(1, CALL.paid, 40)
    limit.guide.record_end(1, replace(CALL, sent_ms=40), verdict(), 60)
    for number in range(2, 8):
        before_ms = limit.pause.until_ms + SILENCE_MS
        answer = refusal(used=59_000, requested=1_100, wait="100ms")
        call = replace(CALL, sent_ms=before_ms)
        limit.guide.record_send(number, call.paid, before_ms)
        limit.guide.record_end(number, call, answer, before_ms + 20)
        limit.pause.record_wait(call, answer, 100, 0, before_ms + 20)
        waits.append(limit.pause.until_ms - before_ms - 20)
    assert waits == [100, 100, 1_200, 2_400, 4_800, 9_600]


def test_an_answer_after_which_the_mirrors_see_no_reason_shortens_the_pause() -> None:
    limit = Limit()
    limit.spend(120_000)
    limit.refuse(50_000)
    assert not limit.pause.reconsider(1_000)
    assert limit.pause.until_ms == 50_020
    limit.spend(-120_000)
    assert limit.pause.reconsider(1_000)
    assert limit.pause.until_ms == 20 + HONOURED_MS
    assert not limit.pause.reconsider(1_000), "it is short already"


def test_a_pause_that_is_over_or_has_another_reason_is_not_shortened() -> None:
    for longer_ms, now_ms in ((90_000, 1_000), (0, 50_020)):
        limit = Limit()
        limit.spend(120_000)
        limit.refuse(50_000)
        limit.pause.extend(longer_ms)
        limit.spend(-120_000)
        assert not limit.pause.reconsider(now_ms)
        assert limit.pause.until_ms == max(50_020, longer_ms)


def test_an_overloaded_servers_wait_is_kept_and_not_shortened() -> None:
    limit = Limit()
    limit.refuse(50_000)
    limit.pause.record_wait(CALL, OVERLOADED, MINUTE_MS, 0, 30)
    assert limit.pause.until_ms == 30 + MINUTE_MS
    assert not limit.pause.reconsider(40)


def test_before_any_refusal_there_is_nothing_to_shorten() -> None:
    limit = Limit()
    limit.pause.extend(1_000)
    assert not limit.pause.reconsider(0)


@pytest.mark.parametrize(("kind", "paused_ms"), [("input-images", 0), ("input-tokens", 1_020)])
def test_a_refusal_for_images_pauses_only_calls_that_carry_some(kind: str, paused_ms: int) -> None:
    limit, heard = Limit(), names(kind, used=5, requested=2, limit=6)
    for _ in range(CALL.number + 1):
        limit.sends.append(0, CALL.paid, None, carries(100, images=2))
    limit.sides.record_answer(CALL, heard, 20)
    limit.pause.record_wait(CALL, heard, 1_000, limit.pause.payable_ms(CALL, 20), 20)
    assert limit.pause.until_ms == paused_ms
    assert limit.sides.payable_at(carries(0, images=1), 0, 20) >= (1_020 if kind == "input-images" else 20)


def test_a_wait_for_images_that_the_mirrors_see_no_reason_for_is_tested_like_any_other() -> None:
    limit, heard = Limit(), names("input-images", used=5, requested=2, limit=6)
    for _ in range(CALL.number + 1):
        limit.sends.append(0, CALL.paid, None, carries(100, images=2))
    limit.sides.record_answer(CALL, heard, 20)
    limit.pause.record_wait(CALL, heard, 50_000, limit.pause.payable_ms(CALL, 20), 20)
    assert limit.sides.rests_ms(carries(0, images=1), 20) == HONOURED_MS


def refused(remaining: int) -> Verdict:
    """A refusal that states nothing but what is left, in headers."""
    return replace(
        verdict(Meaning.RATE_LIMITED), readings=(Reading(LimitMetric.TOKENS, 6_000, remaining, None, 6_000),)
    )


def waits(limit: Limit, told: Verdict, times: int = 3) -> list[int]:
    lasted = []
    for number in range(times):
        sent_ms = 2_000 + 20 * number
        limit.pause.until_ms = sent_ms
        limit.pause.record_wait(replace(CALL, sent_ms=sent_ms), told, 1_000, sent_ms + 10, sent_ms + 10)
        lasted.append(limit.pause.until_ms - sent_ms - 10)
    return lasted


def test_a_wait_does_not_grow_where_headers_show_what_is_left() -> None:
    """Before: a limit was left unused for up to 16 s after others had spent twice in a row."""
    assert waits(Limit(), refused(100)) == [1_000, 1_000, 1_000]
    assert waits(Limit(), refused(0))[2] > 1_000, "it may be in debt"
    assert waits(Limit(), refused(400))[2] > 1_000, "another limit refuses"


def test_a_wait_ends_when_enough_of_a_spent_window_has_ceased_to_count() -> None:
    limit = Limit()
    limit.show(1_000, 2_000, 3_000, 4_000, 60_000)
    assert limit.pause.payable_ms(CALL, 2_010) > 50_000
    assert waits(limit, refused(0)) == [1_000, 1_000, 1_000], "it owes nothing"
    assert waits(limit, refused(400))[2] > 1_000, "another limit refuses"
    told = refusal(used=60_000, requested=400)
    assert waits(limit, told) == [1_000, 1_000, 1_000]
    until_ms = limit.pause.payable_ms(CALL, 2_010)
    limit.pause.record_wait(replace(CALL, sent_ms=until_ms - 220), refused(0), 1_000, until_ms - 200, until_ms - 200)
    assert limit.pause.until_ms == until_ms


def spent_second() -> Limit:
    limit = Limit()
    limit.buckets = limit.pause._buckets = BucketSet(limit.sends)
    limit.buckets.believe(LimitMetric.TOKENS, 6_000, SHORT_MS, 0)
    limit.buckets.slide(SHORT_MS, 0, slides=True)
    for mirror in limit.buckets:
        mirror.pay(6_000, 0, 1_900)
    return limit


def test_a_spent_sliding_second_leaves_open_how_empty_it_is() -> None:
    """What arrives in it may not be known in time."""
    assert waits(spent_second(), refused(0))[2] > 1_000


def test_the_wait_for_a_spent_second_is_kept_where_others_explain_its_refusals() -> None:
    """Before: it tripled with each, as for a bucket in debt. A window owes nothing once it is over."""
    limit = spent_second()
    for error in (*(0,) * 32, -500):
        limit.buckets.others.observe(LimitMetric.TOKENS, error, 1_900, proven=True, levels_tell=True)
    assert waits(limit, refused(0)) == [1_000, 1_000, 1_000]


def test_a_wait_ends_at_the_mark_of_a_spent_second_that_begins_anew() -> None:
    """Before: a wait of a minute that was never true was tested after ten seconds (seed 90126)."""
    limit = Limit()
    limit.buckets._mirrors.keep(lambda mirror: mirror.period_ms == SECOND_MS)
    limit.buckets._mirrors.add(FixedWindowMirror(LimitMetric.TOKENS, 6_000, SECOND_MS, 3_000, 0))
    assert waits(limit, refused(0)) == [990, 970, 950]


def test_a_spent_bucket_leaves_open_whether_it_is_in_debt() -> None:
    limit = Limit()
    limit.spend(64_000)
    assert waits(limit, refused(0))[2] > 1_000


def test_what_old_headers_show_to_be_left_may_be_gone() -> None:
    limit, age = Limit(), StatedAge(SentCalls())
    age.ms = 2_000
    limit.buckets._shown._age = age
    assert waits(limit, refused(100))[2] > 1_000


def test_the_wait_for_a_spent_window_is_kept_whole_where_its_level_is_old() -> None:
    limit, age = Limit(), StatedAge(SentCalls())
    limit.show(1_000, 2_000, 3_000, 4_000, 60_000)
    until_ms = limit.pause.payable_ms(CALL, 2_010)
    age.ms = 2_000
    limit.buckets._shown._age = age
    limit.pause.record_wait(replace(CALL, sent_ms=until_ms - 220), refused(0), 1_000, until_ms - 200, until_ms - 200)
    assert limit.pause.until_ms == until_ms + 800
