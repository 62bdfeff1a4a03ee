from dataclasses import replace

import pytest

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, LimitMetric
from headrace.broker.core.bounds import LIMITS_MAX
from headrace.broker.core.budget.budget import Budget, LimitBeliefs
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.endpoints import Law
from headrace.broker.core.lanes.scheduler import Scheduler
from headrace.broker.core.pricing.laws import Prices
from headrace.broker.core.ticket import State, Ticket
from tests.unit.core.desks import call, enqueued, limits
from tests.unit.core.specimens import LANES, budget, candidate, ticket, verdict


def test_a_desk_is_made_when_somebody_first_asks_for_its_limit() -> None:
    made = limits()
    assert dict(made.limit_queues()) == {}
    desk = made.limit_queue("gpt", 5)
    assert made.limit_queue("gpt", 6) is desk
    assert list(made.limit_queues()) == ["gpt"]


def test_who_can_pay_goes_and_who_cannot_is_told_when() -> None:
    made = limits()
    rich, poor = enqueued(made, charge=50_000), enqueued(made, charge=20_000)
    assert made.wake_at() is None
    assert call(made) is rich
    assert (rich.queued, poor.queued) == (False, True)
    assert call(made) is None
    at_ms = made.wake_at()
    assert at_ms is not None
    assert call(made, at_ms - 1) is None
    assert call(made, at_ms) is poor
    assert call(made, at_ms) is None
    assert made.wake_at() is None


@pytest.mark.interpreted
def test_a_limit_that_cannot_pay_is_asked_once_however_many_others_serve() -> None:
    asked: list[int] = []

    class Poor(Budget):
        """Pays an hour later."""

        def payable_at(self, charge: int, now_ms: int, **_particulars: object) -> int:
            asked.append(now_ms)
            return now_ms + 3_600_000

    made = limits(
        lambda name, now_ms: Poor(LimitBeliefs(name, 1_000, 1_000), now_ms, None) if name == "poor" else budget(name)
    )
    enqueued(made, "poor")
    waiting = [enqueued(made, name, 10) for name in ("one", "other") for _ in range(3)]
    for place, ticket_ in zip((0, 3, 1, 4, 2, 5), made.payable(0), strict=True):  # in turn, as ever
        assert ticket_ is waiting[place]
        ticket_.state = State.CALLING
        made.serve(ticket_, 0)
    assert asked == [0]
    assert made.wake_at() == 3_600_000


def test_the_head_of_one_limit_never_blocks_another() -> None:
    made = limits()
    enqueued(made, "big", 60_000)
    enqueued(made, "big", 60_000)
    other = enqueued(made, "small", 10)
    calls = [call(made), call(made), call(made)]
    assert other in calls
    assert calls[-1] is None


def test_the_earliest_head_of_all_limits_sets_the_alarm() -> None:
    made = limits()
    for limit, charge in (("a", 60_000), ("b", 60_000), ("a", 30_000), ("b", 10_000), ("c", 60_000), ("c", 50_000)):
        enqueued(made, limit, charge)
    assert [call(made) is None for _ in range(4)] == [False, False, False, True]
    assert made.wake_at() is not None
    assert 22_000 <= (made.wake_at() or 0) <= 22_010  # 10,000 and the idle reserve


def test_limits_that_could_all_pay_take_turns() -> None:
    made = limits()
    for limit in ("a", "b", "c"):
        for _ in range(3):
            enqueued(made, limit, 1)
    served = [waiting.candidate.limit for _ in range(9) if (waiting := call(made)) is not None]
    assert served == ["a", "b", "c"] * 3


def test_where_an_answer_must_come_first_no_instant_is_named() -> None:
    made = limits(lambda limit, now_ms: budget(limit, now_ms, inflight_max=1))
    first, _ = enqueued(made), enqueued(made)
    assert call(made) is first
    assert call(made) is None
    assert made.wake_at() is None


def test_rest_names_no_instant_although_a_head_waits_for_money() -> None:
    made = limits()
    enqueued(made, charge=60_000)
    enqueued(made, charge=60_000)
    call(made)
    assert call(made) is None
    assert made.wake_at() is not None
    made.cancel_wake_up()
    assert made.wake_at() is None


def test_who_leaves_is_not_waited_for() -> None:
    made = limits()
    stays, leaves = enqueued(made, charge=5), enqueued(made, charge=7)
    made.withdraw(leaves, 0)
    made.withdraw(leaves, 0)  # stands in no line any more
    assert made.waiting() == 1
    assert made.limit_queue("gpt", 0).lanes.queue("standard").waiting_tokens == 5
    assert [call(made), call(made)] == [stays, None]


def test_a_reserve_is_kept_from_the_lanes_below() -> None:
    made = limits()
    enqueued(made, charge=45_000, lane="bulk")
    enqueued(made, charge=10_000, lane="bulk")
    assert call(made) is not None
    assert call(made) is None  # 15,000 are left, 12,000 of them are kept
    urgent = enqueued(made, charge=10_000, lane="urgent")
    assert call(made) is urgent


def test_a_successor_is_told_of_believed_levels_only() -> None:
    made = limits(lambda limit, now_ms: budget(limit, now_ms, believed=limit == "known"))
    for limit in ("known", "guessed"):
        made.limit_queue(limit, 0)
    assert [checkpoint.limit for checkpoint in made.checkpoints(0)] == ["known"]
    assert [each.settings.name for each in made.believed(0, 2)] == ["known"]
    assert [each.settings.name for each in made.unstated()] == ["known"]


def test_without_a_believed_level_no_limit_has_its_turn() -> None:
    assert limits().believed(3, 2) == []


@pytest.mark.slow
def test_limits_that_nobody_needs_make_room_for_new_ones() -> None:
    limits = Scheduler(LANES, lambda name, now_ms: budget(name))
    busy = ticket(candidate(limit="busy"))
    limits.enqueue(busy, 0)
    for number in range(LIMITS_MAX + 10):
        limits.limit_queue(f"invented-{number}", 0)
    assert len(limits.limit_queues()) == LIMITS_MAX
    assert "busy" in limits.limit_queues()
    assert f"invented-{LIMITS_MAX + 9}" in limits.limit_queues()


@pytest.mark.slow
def test_limits_that_are_all_needed_stay() -> None:
    limits = Scheduler(LANES, lambda name, now_ms: budget(name))
    for number in range(LIMITS_MAX + 2):
        limits.enqueue(ticket(candidate(limit=f"needed-{number}")), 0)
    assert len(limits.limit_queues()) == LIMITS_MAX + 2


def test_who_led_meanwhile_knows_better_so_every_limit_is_made_anew() -> None:
    made = limits()
    enqueued(made, charge=60_000)
    call(made)
    enqueued(made, charge=60_000)
    assert call(made) is None
    made.clear()
    assert (dict(made.limit_queues()), made.waiting(), made.wake_at()) == ({}, 0, None)
    assert call(made) is None
    enqueued(made, charge=60_000)
    assert call(made) is not None


# An account, or a limit, in trouble


CHAT = Prices("chat.completions", (Law.CHAT_LEGACY, Law.CHAT_2025), (700, 200))


def chatting(made: Scheduler) -> Ticket:
    waiting = ticket(replace(candidate(), prices=CHAT))
    made.enqueue(waiting, 0)
    return waiting


def test_a_ticket_is_priced_by_the_dearest_law_until_an_answer_tells_and_then_by_the_one_it_supports() -> None:
    made = limits()
    first, second = chatting(made), chatting(made)
    assert (first.charge, second.charge) == (700, 700)
    desk = made.limit_queue("gpt", 0)
    assert next(made.payable(0), None) is first
    made.serve(first, 0)
    desk.budget.reserve(1, first.charge, 0, prices=CHAT)
    desk.budget.record_answer(1, 500, verdict(remaining=60_000 - 200))
    assert next(made.payable(500), None) is second
    assert (second.charge, made.limit_queue("gpt", 500).lanes.queue("standard").waiting_tokens) == (200, 200)
    assert chatting(made).charge == 200


def test_what_the_server_has_priced_keeps_its_charge() -> None:
    made = limits()
    waiting = ticket(replace(candidate(), prices=CHAT))
    waiting.charge, waiting.stated = 650, True
    made.enqueue(waiting, 0)
    assert waiting.charge == 650


def test_a_call_is_too_large_only_if_no_law_that_may_hold_would_fit_it() -> None:
    made = limits(lambda name, now_ms: budget(name, now_ms, tokens=500))
    waiting = ticket(replace(candidate(), prices=CHAT))
    assert made.too_large(waiting, 0) is None
    assert made.too_large(ticket(candidate(charge=500)), 0) is None
    waiting.charge, waiting.stated = 650, True
    assert made.too_large(waiting, 0) == 650
    assert made.too_large(ticket(candidate(charge=501)), 0) == 501


def test_who_stands_before_a_request_of_its_ordering_key_can_be_asked() -> None:
    made = limits()
    first, second = ticket(candidate(order=b"k")), ticket(candidate(order=b"k"))
    for each in (first, second):
        made.enqueue(each, 0)
    assert [made.predecessors(each) for each in (first, second)] == [[], [first]]
    assert call(made) is first
    assert made.predecessors(second) == []


def test_lines_are_sound_while_they_hold_what_is_counted() -> None:
    limits = Scheduler(LANES, budget)
    assert limits.is_sound(0)
    limits.enqueue(ticket(), 0)
    assert limits.is_sound(1)
    assert not limits.is_sound(2)
    heavy = ticket()
    heavy.buffer_bytes = heavy.bytes + 3_500
    limits.enqueue(heavy, 0)
    assert limits.is_sound(2), "what is decoded weighs more than what is written"
    limits.limit_queues()["gpt"].lanes.queue("standard").waiting_bytes += 1
    assert not limits.is_sound(2)


def test_what_a_request_carries_decides_when_it_goes_where_input_is_limited() -> None:
    made = limits()
    budget = made.limit_queue("gpt", 0).budget
    budget.sides.inherit((LevelBounds(LimitMetric.TOKENS, 100, 100, 6_000, MINUTE_MS, kind="input-tokens"),), 0)
    long, short = (
        ticket(
            replace(candidate(), prices=Prices("chat.completions", (Law.DOCUMENTED,), (100,), input_tokens=tokens)),
            lane="urgent",
        )
        for tokens in (600, 50)
    )
    made.enqueue(long, 0)
    assert call(made) is None
    assert call(made, 5_100) is long
    made.enqueue(short, 5_100)
    assert call(made, 10_100) is short
