"""Many requests of a tier that rests, and many such tiers: no turn of the loop is long, and none follows at once."""

from dataclasses import replace
from itertools import pairwise

import pytest

from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.bounds import PUT_OFF_AT_ONCE_MAX
from headrace.broker.core.budget.tier_breaker import IDLE_MS
from headrace.broker.core.commands import BreakerClosed, BreakerOpened, Command, Complete
from headrace.broker.core.config import LaneRule
from headrace.broker.core.events import Answered, Draining, StoodBy
from headrace.broker.core.lanes.limit_queue import PATIENCE_MS, SORTED_AT_ONCE_MAX
from headrace.broker.core.progress.partition_progress import PartitionProgress
from headrace.broker.core.ticket import Candidate, ModelTier
from tests.unit.core.shell import Shell
from tests.unit.core.specimens import FAR_MS, candidate, place, verdict

REFUSED = verdict(Meaning.TIER_UNAVAILABLE)
LANE = LaneRule("standard", 1, 0, 300_000, 100_000, 1 << 40, lift_ppm=50_000)
FLEX = ModelTier("gpt", "flex")


def flex(name: str, *, tier: str = "flex", deadline_ms: int = FAR_MS, charge: int = 10) -> Candidate:
    return replace(candidate(name, deadline_ms=deadline_ms, charge=charge), tier=tier)


def led(*, inflight_max: int = 1_000, tokens: int = 6_000_000) -> Shell:
    shell = Shell(lanes=(LANE,), inflight_max=inflight_max, tokens=tokens)
    return shell.lead({place("standard", number): PartitionProgress(0) for number in range(4)})


def refuse_three(shell: Shell, tier: str = "flex") -> None:
    for number in [shell.take(flex(f"o-{tier}-{number}", tier=tier)) for number in range(3)]:
        shell.answer(number, REFUSED)


@pytest.mark.slow
@pytest.mark.parametrize("in_flight", [True, False], ids=["no_slot_is_free", "a_commit_hangs"])
def test_a_backlog_is_sorted_and_its_unreachable_requests_fail_while_no_call_may_start(*, in_flight: bool) -> None:
    shell = led(inflight_max=4 if in_flight else 1_000, tokens=60_000)
    first = [shell.take(flex(f"o-{number}", charge=10 if in_flight else 19_000)) for number in range(3)]
    usual = [shell.take(candidate(f"d-{number}", charge=5_000)) for number in range(4 if in_flight else 0)]
    for number in range(3 * SORTED_AT_ONCE_MAX):
        shell.take(flex(f"f-{number}", charge=15), partition=place("standard", number % 4))
    if not in_flight:
        shell.wait(1_000)
        shell.hangs = True
        shell.wait(5_000)
    hopeless = shell.now_ms + 30_000
    usual += [shell.take(candidate(f"h-{number}", charge=5_000, deadline_ms=hopeless)) for number in range(20)]
    for number in first:
        shell.answer(number, REFUSED)
    queue = shell.core.limits.limit_queues()["gpt"]
    assert not queue.is_sorted
    turns = []
    while not queue.is_sorted:
        turns.append(sum(lanes.waiting() for lanes in queue.tier_lanes.values()))
        at_ms = shell.core.wake_at()
        assert at_ms is not None
        assert at_ms > shell.now_ms
        shell.now_ms = at_ms
        shell.renew()
        shell.carry_out()
    assert all(after - before <= SORTED_AT_ONCE_MAX for before, after in pairwise(turns))
    shell.wait(2_000)
    assert queue.lanes.waiting() < 20, "most could not be called in time, and have failed early"


@pytest.mark.slow
def test_a_backlog_that_cannot_be_called_before_the_process_leaves_is_put_off_in_parts() -> None:
    shell = led(tokens=6_000)
    slow, fast = shell.take(flex("slow")), shell.take("fast")
    shell.wait(500)
    shell.answer(fast)
    shell.wait(120_000)
    shell.answer(slow)
    shell.take(candidate("eats", charge=6_000))
    for number in range(3 * PUT_OFF_AT_ONCE_MAX):
        shell.take(flex(f"f-{number}", charge=1))
    shell.core.on(Draining(shell.now_ms + 20_000), shell.now_ms)
    put_off = []
    while (before := shell.core.limits.waiting()) > 0:
        shell.carry_out()
        put_off.append(before - shell.core.limits.waiting())
        at_ms = shell.core.wake_at()
        assert at_ms is None or at_ms > shell.now_ms
        shell.now_ms = at_ms or shell.now_ms + 100
        shell.renew()
    assert sum(put_off) > 2 * PUT_OFF_AT_ONCE_MAX
    assert max(put_off) <= PUT_OFF_AT_ONCE_MAX


def test_a_slow_tier_that_rests_is_not_probed_by_a_process_that_leaves() -> None:
    shell = led()
    slow, fast = shell.take(flex("slow")), shell.take("fast")
    shell.wait(500)
    shell.answer(fast)
    shell.wait(120_000)
    shell.answer(slow)
    refuse_three(shell)
    for number in range(500):
        shell.take(flex(f"f-{number}"))
    shell.post(Draining(shell.now_ms + 20_000))
    shell.wait(15_000)
    assert not shell.calls
    assert shell.core.limits.waiting() >= 499, "all but the first one wait on"
    assert shell.take("other") in shell.calls


@pytest.mark.slow
def test_a_large_probe_holds_up_no_request_of_its_lane() -> None:
    shell = led(tokens=60_000)
    for number in range(20):
        shell.take(flex(f"f-{number}", charge=50_000))
    came, waits, refused = {}, [], 0
    for tick in range(4 * 900):
        burst = 50 if tick == 100 else 0
        for number in range(burst + (tick > 60 and tick % 9 in {0, 4})):  # 53,333 tokens a minute
            came[shell.take(candidate(f"d-{tick}-{number}", charge=1_000))] = shell.now_ms
        for called in list(shell.calls):
            if called in came:
                waits.append(shell.now_ms - came.pop(called))
                shell.answer(called)
            else:
                refused += 1
                shell.answer(called, REFUSED)
        shell.wait(250)
    assert max(waits) < 5_000
    assert refused > 10, "the tier is probed all the same"


def test_a_tier_whose_refusals_take_long_is_found_to_rest() -> None:
    shell = led()
    due: list[tuple[int, int]] = []
    for second in range(60):
        shell.take(flex(f"f-{second}"))
        known = {number for _, number in due}
        due += [(shell.now_ms + 6_000, number) for number in shell.calls if number not in known]
        shell.wait(1_000)
        for number in [number for number in shell.calls if (shell.now_ms, number) in due]:
            shell.answer(number, REFUSED)
    assert shell.core.limits.limit_queues()["gpt"].budget.tiers.any_open


@pytest.mark.slow
def test_memory_does_not_grow_with_the_requests_that_came_near_their_deadlines() -> None:
    shell = led(tokens=60_000)
    refuse_three(shell)
    for minute in range(20):
        for number in range(30):
            shell.take(flex(f"f-{minute}-{number}", deadline_ms=shell.now_ms + 50_000))
            shell.take(candidate(f"d-{minute}-{number}", charge=2_500, deadline_ms=shell.now_ms + 50_000))
        for _ in range(60):
            for called in list(shell.calls):
                is_flex = shell.core.registry._tickets[called].candidate.tier
                shell.answer(called, REFUSED if is_flex else None)
            shell.wait(1_000)
    queue = shell.core.limits.limit_queues()["gpt"]
    near = [lanes.queue("standard").nearing for lanes in (queue.lanes, *queue.tier_lanes.values())]
    assert sum(map(len, near)) < 250, "of 1,200"


def test_a_tier_that_is_forgotten_is_reported_as_closed() -> None:
    seen: list[Command] = []

    class Listening(Shell):
        def carry_out(self) -> list[Command]:
            found = super().carry_out()
            seen.extend(found)
            return found

    shell = Listening(lanes=(LANE,)).lead({place(): PartitionProgress(0)})
    opened_ms = shell.now_ms
    for number in [shell.take(flex(f"f-{number}", deadline_ms=opened_ms + 30_000)) for number in range(3)]:
        shell.answer(number, REFUSED)
    for _ in range(40):
        shell.wait(1_000)
        for number in list(shell.calls):
            shell.answer(number, REFUSED)
    shell.wait(IDLE_MS)
    other = shell.take("other")  # another one is called, and the queue of the limit is empty again
    shell.answer(other)
    shell.wait(120_000)
    (closed,) = [each for each in seen if isinstance(each, BreakerClosed)]
    assert (closed.breaker, closed.tier) == ("gpt", FLEX)
    rest_and_look_ms = 60_000 + 60_000
    assert IDLE_MS < closed.open_ms <= 40_000 + rest_and_look_ms + IDLE_MS
    assert shell.decisions(other) == [Complete()]
    assert shell.core.limits.limit_queues()["gpt"].is_sorted


def test_what_rests_when_a_term_ends_is_reported_then_and_the_next_term_knows_nothing_of_it() -> None:
    shell = led()
    began_ms = shell.now_ms
    refuse_three(shell)
    opened_ms = shell.now_ms
    shell.core.limits.account.breaker.trip(Meaning.QUOTA, opened_ms, 1_000)
    shell.now_ms += 1_000
    probe = shell.calls.pop(shell.take("probe"))
    shell.now_ms += 1_000
    shell.batch = None
    shell.core.on(StoodBy(), shell.now_ms)
    told = [each for each in shell.carry_out() if isinstance(each, BreakerClosed)]
    assert [(each.breaker, each.tier) for each in told] == [("gpt", FLEX), (None, None)]
    assert all(2_000 <= each.open_ms <= shell.now_ms - began_ms for each in told)
    shell.now_ms += 3_600_000
    shell.lead({place("standard"): PartitionProgress(0)})
    shell.core.on(Answered(probe.call, REFUSED, 0), shell.now_ms)
    assert not [each for each in shell.carry_out() if isinstance(each, BreakerClosed | BreakerOpened)]
    assert shell.core.limits.account.breaker.closed


def test_answers_to_calls_of_a_former_term_open_no_breaker_that_nothing_would_close() -> None:
    shell = led()
    calls = [shell.calls.pop(shell.take(flex(f"f-{number}"))) for number in range(3)]
    shell.stand_by()
    shell.lead({place("standard"): PartitionProgress(0)})
    for call in calls:
        shell.core.on(Answered(call.call, REFUSED, 0), shell.now_ms)
    assert not [each for each in shell.carry_out() if isinstance(each, BreakerOpened)]
    assert len(shell.core.flights) == 0


def answer_all(shell: Shell) -> set[str]:
    """Refuse the calls of tiers, answer the others; return the tiers."""
    tiers = {number: shell.core.registry._tickets[number].candidate.tier for number in shell.calls}
    for number, tier in tiers.items():
        shell.answer(number, REFUSED if tier else None)
    return {*tiers.values()}


@pytest.mark.slow
@pytest.mark.parametrize("another_in_bulk", [False, True])
def test_a_large_probe_is_called_in_the_end_where_others_take_all_tokens(*, another_in_bulk: bool) -> None:
    low = LaneRule("bulk", 2, 0, 0, 100_000, 1 << 40)
    shell = Shell(lanes=(LANE, low), tokens=60_000)
    shell.lead({place(rule.name, number): PartitionProgress(0) for rule in (LANE, low) for number in range(2)})
    for tier in ("a", "b"):
        soon_ms = shell.now_ms + 3_000
        for number in [shell.take(flex(f"o-{tier}-{each}", tier=tier, deadline_ms=soon_ms)) for each in range(3)]:
            shell.answer(number, REFUSED)
    shell.wait(4_000)
    for large in range(5 if another_in_bulk else 0):
        shell.take(flex(f"a-{large}", tier="a", charge=50_000), partition=place("bulk"))
    shell.answer(shell.take(candidate("eats", charge=59_000)))
    shell.take(candidate("kept", charge=55_000), partition=place("bulk"))
    for _ in range(30):
        answer_all(shell)
        shell.wait(1_000)
    shell.take(flex("b", tier="b", charge=50_000))
    for small in range(60):
        shell.take(candidate(f"x-{small}", charge=1_000))
    probes = []
    for second in range(70 * 60):
        shell.take(candidate(f"d-{second}", charge=1_000, deadline_ms=shell.now_ms + 60_000))
        probes += [shell.now_ms] if "b" in answer_all(shell) else []
        shell.wait(1_000)
    assert len(probes) >= 2
    assert max(later - earlier for earlier, later in pairwise(probes)) < 3 * PATIENCE_MS


def test_a_tier_that_serves_again_is_reported_at_once_though_nothing_else_waits() -> None:
    shell = led()
    for number in [shell.take(flex(f"f-{number}", deadline_ms=shell.now_ms + 3_000)) for number in range(3)]:
        shell.answer(number, REFUSED)
    shell.wait(15_000)
    probe = shell.calls.pop(shell.take(flex("probe"))).call
    assert shell.core.limits.waiting() == 0
    shell.core.on(Answered(probe, verdict(), 10), shell.now_ms)
    assert shell.core.wake_at() == shell.now_ms
    assert [each.tier for each in shell.carry_out() if isinstance(each, BreakerClosed)] == [FLEX]
