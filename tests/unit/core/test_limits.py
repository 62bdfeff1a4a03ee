from collections.abc import Callable
from dataclasses import replace

from broker.core.bounds import LIMITS_MAX, REACH_EVERY_MS
from broker.core.breaker import ACCOUNT_REST_MS
from broker.core.budget import Budget, LimitSettings
from broker.core.charge import Law, Prices
from broker.core.limits import Limits
from broker.core.tenants import TenantRule, Tenants
from broker.core.ticket import Garbage, State, Ticket
from broker.core.verdict import Meaning
from tests.unit.core.specimens import LANES, budget, candidate, ticket, verdict


def limits(make: Callable[[str, int], Budget] = budget) -> Limits:
    return Limits(LANES, make)


def enqueued(made: Limits, limit: str = "gpt", charge: int = 100, *, lane: str = "standard") -> Ticket:
    waiting = ticket(candidate(limit=limit, charge=charge), lane=lane)
    made.enqueue(waiting, 0)
    return waiting


def call(made: Limits, now_ms: int = 0) -> Ticket | None:
    """Serve and pay for whoever may go."""
    waiting = next(made.payable(now_ms), None)
    if waiting is not None:
        waiting.state = State.CALLING
        made.serve(waiting, 0)
        made.desk(waiting.candidate.limit, now_ms).budget.reserve(waiting.number, waiting.charge, now_ms)
    return waiting


def test_a_desk_is_made_when_somebody_first_asks_for_its_limit() -> None:
    made = limits()
    assert dict(made.desks()) == {}
    desk = made.desk("gpt", 5)
    assert made.desk("gpt", 6) is desk
    assert list(made.desks()) == ["gpt"]


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


def test_a_limit_that_cannot_pay_is_asked_once_however_many_others_serve() -> None:
    asked: list[int] = []

    class Poor(Budget):
        """Pays an hour later."""

        def payable_at(self, charge: int, now_ms: int, *, keep_ppm: int = 0, stated: bool = False) -> int:
            asked.append(now_ms)
            return now_ms + 3_600_000

    made = limits(
        lambda name, now_ms: Poor(LimitSettings(name, 1_000, 1_000), now_ms, None) if name == "poor" else budget(name)
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
    made.rest()
    assert made.wake_at() is None


def test_who_leaves_is_not_waited_for() -> None:
    made = limits()
    stays, leaves = enqueued(made, charge=5), enqueued(made, charge=7)
    made.withdraw(leaves, 0)
    made.withdraw(leaves, 0)  # stands in no line any more
    assert made.waiting() == 1
    assert made.desk("gpt", 0).lanes.queue("standard").waiting_tokens == 5
    assert [call(made), call(made)] == [stays, None]


def test_a_reserve_is_kept_from_the_lanes_below() -> None:
    made = limits()
    enqueued(made, charge=45_000, lane="bulk")
    enqueued(made, charge=10_000, lane="bulk")
    assert call(made) is not None
    assert call(made) is None  # 15,000 are left, 12,000 of them are kept
    urgent = enqueued(made, charge=10_000, lane="urgent")
    assert call(made) is urgent


def test_the_backlog_of_a_lane_is_the_time_its_tokens_take_to_flow_in() -> None:
    made = limits()
    assert made.backlog_ms("bulk", 0) == 0
    enqueued(made, "a", 30_000, lane="bulk")
    enqueued(made, "b", 90_000, lane="bulk")
    enqueued(made, "a", 500, lane="urgent")
    assert made.backlog_ms("bulk", 0) == 90_000
    assert made.backlog_ms("urgent", 0) == 500


def test_requests_do_not_count_as_backlog_of_tokens() -> None:
    def by_requests(limit: str, now_ms: int) -> Budget:
        return Budget(LimitSettings(limit, None, 10), now_ms, None)

    made = limits(by_requests)
    enqueued(made, charge=1_000)
    assert made.backlog_ms("standard", 0) == 0


def test_a_successor_is_told_of_believed_levels_only() -> None:
    made = limits(lambda limit, now_ms: budget(limit, now_ms, believed=limit == "known"))
    for limit in ("known", "guessed"):
        made.desk(limit, 0)
    assert [checkpoint.limit for checkpoint in made.checkpoints(0)] == ["known"]


def test_limits_that_nobody_needs_make_room_for_new_ones() -> None:
    limits = Limits(LANES, lambda name, now_ms: budget(name))
    busy = ticket(candidate(limit="busy"))
    limits.enqueue(busy, 0)
    for number in range(LIMITS_MAX + 10):
        limits.desk(f"invented-{number}", 0)
    assert len(limits.desks()) == LIMITS_MAX
    assert "busy" in limits.desks()
    assert f"invented-{LIMITS_MAX + 9}" in limits.desks()


def test_limits_that_are_all_needed_stay() -> None:
    limits = Limits(LANES, lambda name, now_ms: budget(name))
    for number in range(LIMITS_MAX + 2):
        limits.enqueue(ticket(candidate(limit=f"needed-{number}")), 0)
    assert len(limits.desks()) == LIMITS_MAX + 2


def test_who_led_meanwhile_knows_better_so_every_limit_is_made_anew() -> None:
    made = limits()
    enqueued(made, charge=60_000)
    call(made)
    enqueued(made, charge=60_000)
    assert call(made) is None
    made.clear()
    assert (dict(made.desks()), made.waiting(), made.wake_at()) == ({}, 0, None)
    assert call(made) is None
    enqueued(made, charge=60_000)
    assert call(made) is not None


# An account, or a limit, in trouble


def blamed(made: Limits, limit: str = "gpt", meaning: Meaning = Meaning.QUOTA) -> None:
    """An answer of that limit blames the account."""
    made.account.heard(limit, made.desk(limit, 0).budget.breaker, verdict(meaning), 0, probe=False)


def test_an_account_in_trouble_rests_every_limit_and_wakes_for_its_probe() -> None:
    made = limits()
    enqueued(made, "a")
    enqueued(made, "b")
    blamed(made, "a")
    assert next(made.payable(0), None) is None
    assert made.wake_at() == ACCOUNT_REST_MS


def test_an_account_nobody_waits_for_wakes_nobody() -> None:
    made = limits()
    blamed(made)
    assert next(made.payable(0), None) is None
    assert made.wake_at() is None


def test_the_probe_of_an_account_is_the_cheapest_of_all_that_wait() -> None:
    made = limits()
    blamed(made, "c")
    for limit, charge in (("a", 900), ("b", 500), ("b", 300), ("a", 20), ("b", 20)):
        enqueued(made, limit, charge)
    for expected in (20, 20, 300):
        probe = next(made.payable(ACCOUNT_REST_MS), None)
        assert probe is not None
        assert probe.charge == expected
        made.withdraw(probe, 0)


def test_a_limit_that_has_not_blamed_the_account_is_probed_before_one_that_has() -> None:
    made = limits()
    blamed(made, "a")
    enqueued(made, "a", 10)
    dear = enqueued(made, "b", 900)
    assert next(made.payable(ACCOUNT_REST_MS), None) is dear


def test_a_probe_that_failed_lets_others_go_first_whatever_their_limit() -> None:
    made = limits()
    blamed(made, "c")
    poison, dear = enqueued(made, "a", 1), enqueued(made, "b", 900)
    poison.calls = 1
    assert next(made.payable(ACCOUNT_REST_MS), None) is dear


def test_one_probe_goes_in_an_instant_and_nobody_is_woken_for_another() -> None:
    made = limits()
    blamed(made, "c")
    enqueued(made, "a")
    enqueued(made, "b")
    payable = made.payable(ACCOUNT_REST_MS)
    probe = next(payable)
    made.serve(probe, 0)
    assert made.account.breaker.probe()
    assert list(payable) == []
    assert made.wake_at() is None


def test_no_second_probe_goes_while_one_is_in_flight() -> None:
    made = limits()
    blamed(made, "a")
    enqueued(made, "b")
    made.account.breaker.probe()
    assert next(made.payable(ACCOUNT_REST_MS), None) is None
    assert made.wake_at() is None


def test_a_probe_is_paid_like_any_call_and_waits_for_a_limit_that_can_pay() -> None:
    made = limits()
    blamed(made, "a")
    enqueued(made, "b", 10)
    enqueued(made, "c", 20)
    for name, until_ms in (("b", ACCOUNT_REST_MS + 5_000), ("c", ACCOUNT_REST_MS + 9_000)):
        made.desk(name, 0).budget.pause_until(until_ms)
    assert next(made.payable(ACCOUNT_REST_MS), None) is None
    assert made.wake_at() == ACCOUNT_REST_MS + 5_000
    made.desk("a", 0).budget.breaker.trip(Meaning.TIMEOUT, 0, 0)
    made.desk("a", 0).budget.breaker.probe()
    enqueued(made, "a", 1)
    assert next(made.payable(ACCOUNT_REST_MS), None) is None, (
        "a limit with a probe of its own in flight is no limit to probe with"
    )


def test_a_limit_in_trouble_is_probed_by_the_cheapest_of_its_lanes() -> None:
    made = limits()
    enqueued(made, charge=900, lane="urgent")
    enqueued(made, charge=300, lane="urgent")
    cheapest = enqueued(made, charge=20, lane="bulk")
    enqueued(made, charge=500)
    made.desk("gpt", 0).budget.breaker.trip(Meaning.TIMEOUT, 0, 0)
    assert next(made.payable(0), None) is cheapest


def test_what_was_known_of_the_account_is_forgotten_with_the_limits() -> None:
    made = limits()
    blamed(made)
    made.clear()
    assert made.account.breaker.closed


def test_a_limit_that_rests_wakes_when_its_rest_is_over_and_nobody_if_nobody_waits() -> None:
    made = limits()
    made.desk("gpt", 0).budget.breaker.trip(Meaning.TIMEOUT, 0, 700)
    assert next(made.payable(0), None) is None
    assert made.wake_at() is None
    waiting = enqueued(made)
    assert next(made.payable(0), None) is None
    assert made.wake_at() == 700
    assert next(made.payable(700), None) is waiting


CHAT = Prices("chat.completions", (Law.CHAT_LEGACY, Law.CHAT_2025), (700, 200))


def chatting(made: Limits) -> Ticket:
    waiting = ticket(replace(candidate(), prices=CHAT))
    made.enqueue(waiting, 0)
    return waiting


def test_a_ticket_is_priced_by_the_dearest_law_until_an_answer_tells_and_then_by_the_one_it_supports() -> None:
    made = limits()
    first, second = chatting(made), chatting(made)
    assert (first.charge, second.charge) == (700, 700)
    desk = made.desk("gpt", 0)
    assert next(made.payable(0), None) is first
    made.serve(first, 0)
    desk.budget.reserve(1, first.charge, 0, prices=CHAT)
    desk.budget.answered(1, 500, verdict(remaining=60_000 - 200))
    assert next(made.payable(500), None) is second
    assert (second.charge, made.backlog_ms("standard", 500)) == (200, 200)
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


def test_of_one_key_the_next_lines_up_when_the_one_before_has_started_or_left() -> None:
    made = limits()
    first, second, third = (ticket(candidate(order=b"k")) for _ in range(3))
    for each in (first, second, third):
        made.enqueue(each, 0)
    assert [each.queued for each in (first, second, third)] == [True, False, False]
    assert call(made) is first
    assert [each.queued for each in (first, second, third)] == [False, True, False]
    fourth = ticket(candidate(order=b"k"))
    made.enqueue(fourth, 0)
    made.withdraw(fourth, 0)
    assert not fourth.queued
    first.state = State.WAITING
    made.enqueue(first, 0, front=True)  # a retry is no first start
    assert first.queued
    made.withdraw(second, 0)
    assert third.queued
    made.clear()
    again = ticket(candidate(order=b"k"))
    made.enqueue(again, 0)
    assert again.queued


def test_in_a_serial_lane_the_next_lines_up_when_the_one_before_is_decided() -> None:
    made = Limits([replace(rule, serial=True) for rule in LANES], budget)
    first, second = (ticket(candidate(order=b"k")) for _ in range(2))
    for each in (first, second):
        made.enqueue(each, 0)
    assert call(made) is first
    made.desk("gpt", 0).budget.abandoned(first.number, 0)
    first.state = State.WAITING
    made.enqueue(first, 0, front=True)
    assert call(made) is first
    assert call(made) is None
    made.withdraw(first, 0)
    assert call(made) is second


def test_who_needs_no_call_stands_in_no_line() -> None:
    made, garbage = limits(), ticket()
    garbage.content = Garbage(None, "rotten")
    made.withdraw(garbage, 0)
    assert made.waiting() == 0


def test_a_head_without_room_beside_the_reserve_may_use_it_after_a_full_refill() -> None:
    made = limits()
    large = enqueued(made, charge=55_000)  # of 60,000, of which urgent has reserved 12,000
    small = enqueued(made, charge=10_000, lane="urgent")
    assert call(made) is small
    for now_ms in range(0, 60_000, 4_000):  # urgent spends, so that the bucket is never full
        assert call(made, now_ms) is None
        spent = enqueued(made, charge=3_500, lane="urgent")
        assert call(made, now_ms) is spent
        assert call(made, now_ms) is None
    assert made.wake_at() == 60_000
    assert call(made, 59_999) is None
    assert call(made, 60_000) is large


def test_a_head_with_room_beside_the_reserve_never_uses_it() -> None:
    made = limits()
    enqueued(made, charge=48_000)
    for now_ms in range(0, 130_000, 1_000):
        spent = enqueued(made, charge=1_000, lane="urgent")
        assert call(made, now_ms) is spent
        assert call(made, now_ms) is None, "12,000 would not be left"


def test_who_must_leave_places_to_others_waits_for_one() -> None:
    made = limits()
    waits, goes = enqueued(made, charge=10), enqueued(made, charge=10, lane="urgent")
    assert next(made.payable(0, lambda keep_ppm: not keep_ppm), None) is goes
    made.serve(goes, 0)
    assert next(made.payable(0, lambda keep_ppm: not keep_ppm), None) is None
    assert made.wake_at() is None
    assert next(made.payable(0), None) is waits


def test_who_cannot_come_in_time_is_told_at_once_and_again_a_while_later() -> None:
    made = limits()
    first, late = enqueued(made, charge=60_000), enqueued(made, charge=1_000)
    assert made.out_of_reach(0) == []
    near = ticket(candidate(charge=500, deadline_ms=1_000))
    made.enqueue(near, 0)
    assert made.out_of_reach(0) == []  # the nearest deadline goes first, and there is enough
    assert call(made) is near
    nearer = ticket(candidate(charge=61_500, deadline_ms=1_000))
    made.enqueue(nearer, 0)
    assert made.out_of_reach(0) == [nearer]
    assert made.out_of_reach(REACH_EVERY_MS - 1) == []
    assert made.out_of_reach(REACH_EVERY_MS) == [nearer]
    made.withdraw(nearer, 0)
    assert made.out_of_reach(2 * REACH_EVERY_MS) == []
    assert not made._tight
    for each in (first, late):
        made.withdraw(each, 0)


def test_a_line_in_which_nobody_waits_any_more_is_not_looked_over() -> None:
    made = limits()
    late = ticket(candidate(charge=61_500, deadline_ms=1_000))
    made.enqueue(late, 0)
    made.withdraw(late, 0)
    assert made.out_of_reach(0) == []
    assert not made._tight


def test_a_tenants_cap_is_waited_for_to_the_instant_at_which_it_gives_way() -> None:
    made = Limits(LANES, budget, Tenants({"acme": TenantRule(cap_tokens=100)}))
    for _ in range(2):
        made.enqueue(ticket(candidate(tenant="acme")), 0)
    assert call(made) is not None
    assert call(made) is None
    assert made.wake_at() == 60_100
    assert call(made, 60_100) is not None
