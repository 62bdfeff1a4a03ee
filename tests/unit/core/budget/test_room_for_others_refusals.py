"""What buckets keep for what was refused, though their level seemed to suffice."""

from dataclasses import replace

import pytest

from headrace.broker.core.answers.meaning import ADMITTED
from headrace.broker.core.answers.rate_limit_headers import HOUR_MS, MINUTE_MS, LimitMetric
from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.core.budget.bucket_mirror import Mirror
from headrace.broker.core.budget.reservation import Reservation
from headrace.broker.core.budget.room_for_others import (
    CALLS_PER_REFUSAL,
    FILLED_MS,
    FORGIVEN,
    MOST_PARTS,
    RAISED_PPM,
    SPENT_PARTS,
)
from headrace.broker.core.units import PPM
from tests.unit.core.budgets import answer, refusal
from tests.unit.core.shown import CAPACITY, Limit
from tests.unit.core.specimens import verdict

OK, REFUSED = verdict(), verdict(Meaning.RATE_LIMITED, requested=500)


def call(sent_ms: int, *, held: bool = False) -> Reservation:
    return Reservation(0, 500, 500, False, sent_ms, 0, "chat.completions", 0, held=held)


def shown(period_ms: int = MINUTE_MS) -> Limit:
    """A bucket of tokens that headers show, of which three quarters are spent."""
    limit = Limit()
    rate_ms = period_ms / CAPACITY
    limit.show(
        limit.send(CAPACITY * 3 // 4, 0), CAPACITY * 3 // 4, round(CAPACITY * 3 // 4 * rate_ms), period_ms=period_ms
    )
    return limit


def room(limit: Limit) -> int:
    (mirror,) = limit.buckets
    spare = limit.buckets.spare(0, 100)
    assert spare is not None
    return mirror.low(100) - spare[0]


def refuse(limit: Limit, times: int, from_ms: int = 0, *, held: bool = False, says: Verdict = REFUSED) -> None:
    """Calls that are refused one after another."""
    for number in range(times):
        sent_ms = from_ms + 100 * number
        limit.buckets.make_room(call(sent_ms, held=held), says, sent_ms + 50)


def test_each_refusal_that_more_room_would_have_prevented_makes_a_bucket_keep_more() -> None:
    limit, rooms = shown(), []
    for number in range(FORGIVEN + 4):
        refuse(limit, 1, 100 * number)
        rooms.append(room(limit) * MOST_PARTS / CAPACITY)
    raised = [RAISED_PPM / PPM, 2 * RAISED_PPM / PPM, 1, 1]
    assert rooms == pytest.approx([0] * FORGIVEN + raised, abs=0.001)


def test_refusals_of_calls_sent_before_the_last_one_was_known_are_one() -> None:
    limit = shown()
    refuse(limit, FORGIVEN)
    for sent_ms in (1_000, 1_000, 1_010, 1_049):
        limit.buckets.make_room(call(sent_ms), REFUSED, sent_ms + 50)
    assert room(limit) == CAPACITY * RAISED_PPM // PPM // MOST_PARTS


def test_admissions_take_back_what_a_refusal_has_added_and_forgive_others() -> None:
    limit = shown()
    refuse(limit, FORGIVEN + 1)
    for number in range(CALLS_PER_REFUSAL):
        limit.buckets.make_room(call(1_000 + number), OK, 1_000 + number)
    assert room(limit) == 0
    refuse(limit, 1, 2_000)
    assert room(limit) > 0, "it was forgiven no other"
    for number in range((FORGIVEN + 2) * CALLS_PER_REFUSAL):
        limit.buckets.make_room(call(3_000 + number), OK, 3_000 + number)
    refuse(limit, FORGIVEN, 4_100)
    assert room(limit) == 0, "no more than these are forgiven"
    refuse(limit, 1, 4_500)
    assert room(limit) > 0


def test_an_answer_that_tells_nothing_of_limits_changes_no_room() -> None:
    limit = shown()
    refuse(limit, FORGIVEN + 1)
    before = room(limit)
    for number in range(CALLS_PER_REFUSAL):
        limit.buckets.make_room(call(1_000 + number), verdict(Meaning.OVERLOADED), 1_000 + number)
    assert room(limit) == before > 0


@pytest.mark.parametrize(("period_ms", "keeps"), [(FILLED_MS - 1, False), (FILLED_MS, True), (HOUR_MS, False)])
def test_a_bucket_that_fills_soon_keeps_nothing_and_neither_does_an_hours(period_ms: int, *, keeps: bool) -> None:
    limit = shown(period_ms)
    refuse(limit, FORGIVEN + 1)
    (mirror,) = limit.buckets
    assert mirror.low(100 * FORGIVEN + 50) * SPENT_PARTS < CAPACITY, "so it counts as spent"
    assert (room(limit) > 0) is keeps


def test_a_refusal_that_no_room_would_have_prevented_makes_none() -> None:
    limit = Limit()
    limit.show(limit.send(1_000, 0), 1_000, 1_000, period_ms=MINUTE_MS)
    refuse(limit, FORGIVEN + 1)
    assert room(limit) == 0, "the bucket was full"
    limit = shown()
    refuse(limit, FORGIVEN + 1, held=True)
    assert room(limit) == 0, "the mirrors would have held it back"


def headers(tokens_left: int, requests_left: int) -> Verdict:
    """A refusal whose headers show both limits."""
    shown = answer((CAPACITY, tokens_left, "1s"), (600, requests_left, "1s"))
    return replace(shown, meaning=Meaning.RATE_LIMITED)


@pytest.mark.parametrize(
    ("says", "makes"),
    [
        (refusal(used=59_900, requested=500), True),
        (refusal(used=59_900, requested=500, where="project p in "), False),
        (refusal("requests", limit=600, used=600, requested=1), False),
        (refusal("input-tokens", used=59_900, requested=500), False),
        (headers(100, 500), True),
        (headers(100, 0), True),
        (headers(20_000, 0), False),
        (headers(20_000, 500), True),  # it does not say what is spent
        (verdict(Meaning.RATE_LIMITED), False),  # nor which limit there is
    ],
)
def test_only_the_accounts_tokens_make_room_by_refusing(says: Verdict, *, makes: bool) -> None:
    """Before: a limit of requests, or a project's, made the bucket of tokens keep a third of what it holds."""
    assert says.meaning is Meaning.RATE_LIMITED
    limit = shown()
    refuse(limit, FORGIVEN + 1, says=says)
    assert (room(limit) > 0) is makes


def test_a_bucket_that_no_header_shows_keeps_nothing_for_what_was_refused() -> None:
    """Nothing tells that it is one: a window would lose what is left in it."""
    limit = Limit()
    limit.buckets.believe(LimitMetric.TOKENS, CAPACITY, MINUTE_MS, 0)
    limit.send(CAPACITY * 3 // 4, 0)
    limit.buckets.record_missing(1, 0)  # so that others are known to spend
    refuse(limit, FORGIVEN + 1)
    assert room(limit) == 0


def test_bursts_that_answers_show_are_kept_room_for_though_nothing_is_refused() -> None:
    limit = shown()
    for now_ms in (0, 200, 400):
        limit.buckets.record_missing(6_000, now_ms)
    limit.buckets.make_room(call(0), OK, 400)
    assert room(limit) > 0


@pytest.mark.parametrize("meaning", sorted(ADMITTED))
def test_every_admission_takes_back_a_part(meaning: Meaning) -> None:
    limit = shown()
    refuse(limit, FORGIVEN + 1)
    for number in range(CALLS_PER_REFUSAL):
        limit.buckets.make_room(call(1_000 + number), verdict(meaning), 1_000 + number)
    assert room(limit) == 0


def test_room_shrinks_with_the_bucket_that_keeps_it() -> None:
    """Before, a limit that fell to a tenth kept three times what it holds, for ever if headers stopped."""
    limit = shown()
    refuse(limit, FORGIVEN + 3)
    (mirror,) = limit.buckets
    assert isinstance(mirror, Mirror)
    assert mirror.room == CAPACITY // MOST_PARTS
    mirror.adopt_capacity(CAPACITY // 10, 99, 1_000)
    assert mirror.room == CAPACITY // 10 // MOST_PARTS


def test_a_bucket_whose_period_is_only_assumed_keeps_nothing() -> None:
    """What is refused there may be refused by its true period: room would not prevent that."""
    limit = Limit()
    limit.show(limit.send(CAPACITY * 3 // 4, 0), CAPACITY * 3 // 4, None)
    (mirror,) = limit.buckets
    assert mirror.low(50) * SPENT_PARTS < CAPACITY
    assert not limit.buckets.is_stated(mirror)
    refuse(limit, FORGIVEN + 2)
    assert room(limit) == 0
