"""A service tier without capacity, seen from the whole core."""

from dataclasses import replace

import pytest

from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.budget.tier_breaker import REST_MIN_MS
from headrace.broker.core.commands import BreakerClosed, BreakerOpened, Complete, Fail, Park
from headrace.broker.core.config import LaneRule
from headrace.broker.core.events import CallNotSent, Draining
from headrace.broker.core.progress.partition_progress import PartitionProgress
from headrace.broker.core.ticket import Candidate, ModelTier, TicketNumber
from tests.unit.core.shell import Shell, leading
from tests.unit.core.specimens import FAR_MS, candidate, place, verdict

HOUR_MS = 3_600_000
REFUSED = verdict(Meaning.TIER_UNAVAILABLE)


def flex(
    name: str, *, tier: str = "flex", deadline_ms: int = FAR_MS, charge: int = 100, order: bytes = b""
) -> Candidate:
    return replace(candidate(name, deadline_ms=deadline_ms, charge=charge, order=order), tier=tier)


def refuse(shell: Shell, span_ms: int, *, every_ms: int = 250) -> int:
    """Let time pass in which every call of the flex tier is refused and every other served; count the refusals."""
    refused = 0
    for _ in range(span_ms // every_ms):
        for number in list(shell.calls):
            is_flex = shell.core.registry._tickets[number].candidate.tier == "flex"
            refused += is_flex
            shell.answer(number, REFUSED if is_flex else None)
        shell.wait(every_ms)
    return refused


@pytest.mark.slow
def test_bulk_of_a_refused_tier_waits_for_hours_and_none_fails() -> None:
    shell = leading()
    numbers = [shell.take(flex(f"f-{number}"), partition=place("bulk")) for number in range(20)]
    refused = refuse(shell, 2 * HOUR_MS)
    assert 100 <= refused <= 300  # of those 20: three to open, then a probe about every 32 seconds; not 20 each time
    assert [shell.decisions(number) for number in numbers] == [[]] * 20
    shell.wait(60_000)
    shell.settle_all()
    for _ in range(5):
        shell.wait(60_000)
        shell.settle_all()
    assert [shell.decisions(number) for number in numbers] == [[Complete()]] * 20
    assert shell.is_empty()


def test_requests_of_other_tiers_are_called_meanwhile_as_if_it_did_not_exist() -> None:
    shell = leading()
    for number in range(50):
        shell.take(flex(f"f-{number}"), partition=place("bulk"))
    refuse(shell, 30_000)
    for number in range(40):
        mine = shell.take(candidate(f"u-{number}"), partition=place("urgent"))
        assert mine in shell.calls
        bulk = shell.take(flex(f"b-{number}", tier="default"), partition=place("bulk"))
        assert bulk in shell.calls
        shell.answer(mine)
        shell.answer(bulk)
        refuse(shell, 1_000)


def test_a_refused_request_fails_only_when_its_deadline_comes_and_says_why() -> None:
    shell = leading()
    number = shell.take(flex("x", deadline_ms=shell.now_ms + 300_000))
    refuse(shell, 298_000)
    assert shell.decisions(number) == []
    refuse(shell, 8_000)
    (failed,) = shell.decisions(number)
    assert isinstance(failed, Fail)
    assert failed.reason == "deadline_exceeded"


def test_the_reports_name_limit_model_and_tier() -> None:
    seen: list[BreakerOpened | BreakerClosed] = []

    class Listening(Shell):
        def carry_out(self) -> list:  # type: ignore[type-arg]
            found = super().carry_out()
            seen.extend(each for each in found if isinstance(each, BreakerOpened | BreakerClosed))
            return found

    shell = Listening().lead()
    numbers = [shell.take(flex(f"f-{number}")) for number in range(3)]
    for number in numbers:
        shell.answer(number, REFUSED)
    (opened,) = seen
    assert isinstance(opened, BreakerOpened)
    assert (opened.breaker, opened.tier, opened.rest_ms) == ("gpt", ModelTier("gpt", "flex"), 7_500)
    shell.wait(60_000)
    shell.settle_all()
    assert seen[1:] == [BreakerClosed("gpt", seen[1].open_ms, ModelTier("gpt", "flex"))]  # type: ignore[union-attr]


def test_a_tier_that_refuses_every_other_call_goes_on_serving() -> None:
    """Refusals in a row open a breaker; a tier that is merely scarce is used."""
    shell = leading()
    numbers = [shell.take(flex(f"f-{number}")) for number in range(100)]
    turn = 0
    for _ in range(4 * 600):
        for number in list(shell.calls):
            turn += 1
            shell.answer(number, REFUSED if turn % 2 else None)
        shell.wait(250)
    if shell.batch is not None:
        shell.commit()
    done = sum(shell.decisions(number) == [Complete()] for number in numbers)
    assert done == 100


def test_a_full_buffer_of_a_refused_tier_gives_way_to_requests_of_others() -> None:
    lane = LaneRule("standard", 1, 0, 300_000, 40, 1 << 30)
    shell = Shell(lanes=(lane,)).lead({place(): PartitionProgress(0)})
    numbers: list[TicketNumber] = []
    while shell.core.room(place()):
        numbers.append(shell.take(flex(f"f-{len(numbers)}")))
    refuse(shell, 90_000)
    assert shell.core.room(place()) >= 10
    parked = [decision for number in numbers for decision in shell.decisions(number)]
    assert parked
    assert all(isinstance(each, Park) and each.kind == "overloaded" for each in parked)
    other = shell.take("other")
    assert other in shell.calls


@pytest.mark.parametrize("way", ["cancel", "stand_by", "suspend"])
def test_requests_that_wait_apart_are_taken_out_like_any_others(way: str) -> None:
    shell = leading()
    numbers = [shell.take(flex(f"f-{number}")) for number in range(10)]
    refuse(shell, 20_000)
    if way == "cancel":
        for number in range(10):
            shell.cancel(f"f-{number}", at_ms=2_000_000_000_000)
        shell.settle_all()
        assert all(isinstance(shell.decisions(number)[0], Fail) for number in numbers)
        assert shell.is_empty()
    elif way == "stand_by":
        shell.stand_by()
        for number in list(shell.calls):
            shell.answer(number, REFUSED)
        assert shell.is_empty()
        shell.promote(shell.restored())
        shell.commit()
        assert shell.core.limits.waiting() == 0
    else:
        shell.suspend()
        assert shell.core.limits.waiting() > 0
        shell.promote(shell.restored())
        shell.commit()
        for _ in range(10):
            shell.wait(60_000)
            shell.settle_all()
        assert [shell.decisions(number) for number in numbers] == [[Complete()]] * 10


def test_a_probe_that_was_not_sent_is_followed_by_another_one() -> None:
    shell = leading()
    numbers = [shell.take(flex(f"f-{number}")) for number in range(6)]
    for number in numbers:
        shell.answer(number, REFUSED)
    for _ in range(400):
        if shell.calls:
            break
        shell.wait(250)
    (probe,) = shell.calls
    shell.post(CallNotSent(shell.calls.pop(probe).call))
    assert shell.core.registry._tickets[probe].in_tier_lanes
    shell.wait(REST_MIN_MS)
    assert len(shell.calls) == 1
    for _ in range(5):
        shell.settle_all()
        shell.wait(60_000)
    assert shell.is_empty()


def test_later_requests_of_an_ordering_key_wait_for_one_that_has_not_started() -> None:
    shell = leading()
    for number in [shell.take(flex(f"f-{number}")) for number in range(3)]:
        shell.answer(number, REFUSED)
    first = shell.take(flex("first", order=b"key"))
    second = shell.take(candidate("second", order=b"key"))
    assert shell.core.registry._tickets[first].in_tier_lanes
    assert second not in shell.calls
    for _ in range(40):
        shell.wait(5_000)
        if first in shell.calls:
            break
        shell.settle_all()
    assert first in shell.calls
    assert second in shell.calls
    shell.settle_all()
    assert shell.decisions(second) == [Complete()]


def test_a_slow_tier_is_not_called_by_a_process_that_leaves_and_a_fast_one_is() -> None:
    shell = leading()
    slow, fast = shell.take(flex("slow")), shell.take("fast")
    shell.wait(500)
    shell.answer(fast)
    shell.wait(120_000)
    shell.answer(slow)
    shell.post(Draining(shell.now_ms + 20_000))
    again, other = shell.take(flex("again")), shell.take("other")
    assert again not in shell.calls
    assert other in shell.calls


def test_a_request_is_not_called_unreachable_for_those_ahead_that_step_aside() -> None:
    shell = leading(tokens=60_000)
    for number in range(3):
        shell.answer(shell.take(flex(f"o-{number}")), REFUSED)
    for number in range(20):
        shell.take(flex(f"f-{number}", charge=6_000, deadline_ms=shell.now_ms + 20_000))
    mine = shell.take(candidate("mine", charge=6_000, deadline_ms=shell.now_ms + 30_000))
    refuse(shell, 15_000)
    assert shell.decisions(mine) == [Complete()]


def test_those_that_cannot_be_called_in_time_fail_early_while_another_tier_rests() -> None:
    shell = leading(tokens=60_000)
    for number in [shell.take(flex(f"f-{number}")) for number in range(3)]:
        shell.answer(number, REFUSED)
    waiting = [
        shell.take(candidate(f"x-{number}", charge=6_000, deadline_ms=shell.now_ms + 20_000)) for number in range(30)
    ]
    refuse(shell, 6_000)
    early = [each for number in waiting for each in shell.decisions(number) if isinstance(each, Fail)]
    assert len(early) > 5
    assert {each.reason for each in early} == {"deadline_unreachable"}


def test_a_stated_wait_of_a_tier_delays_no_other_tier() -> None:
    shell = leading()
    number = shell.take(flex("f"))
    shell.answer(number, verdict(Meaning.TIER_UNAVAILABLE, wait_ms=40_000))
    assert shell.take("other") in shell.calls


def test_a_refused_call_has_taken_nothing_from_its_limit() -> None:
    shell = leading(tokens=60_000)
    number = shell.take(flex("f", charge=50_000))
    shell.answer(number, REFUSED)
    assert shell.take(candidate("other", charge=50_000)) in shell.calls


def test_the_core_asks_to_be_woken_when_the_rest_ends() -> None:
    shell = leading()
    for number in [shell.take(flex(f"f-{number}")) for number in range(3)]:
        shell.answer(number, REFUSED)
    shell.take(flex("waits"))
    opened_ms = shell.now_ms
    breaker = shell.core.limits.limit_queues()["gpt"].budget.tiers.find(ModelTier("gpt", "flex"))
    assert breaker is not None
    rests_until_ms = breaker.rests_until(opened_ms)
    while not shell.calls:
        at_ms = shell.core.wake_at()
        if at_ms is None:
            shell.commit()
            continue
        assert at_ms <= rests_until_ms
        shell.now_ms = at_ms
        shell.renew()
        shell.carry_out()
        if shell.batch is not None:
            shell.commit()
    assert shell.now_ms == rests_until_ms


def test_a_limit_in_trouble_fails_none_of_its_requests_because_a_tier_is_refused_too() -> None:
    shell = leading()
    usual = [shell.take(f"d-{number}") for number in range(20)]
    for number in range(5):
        shell.take(flex(f"f-{number}"))
    trouble = verdict(Meaning.UPSTREAM_ERROR)
    for _ in range(4 * 600):
        for number in list(shell.calls):
            is_flex = shell.core.registry._tickets[number].candidate.tier == "flex"
            shell.answer(number, REFUSED if is_flex else trouble)
        shell.wait(250)
    assert [shell.decisions(number) for number in usual] == [[]] * 20


def test_an_account_is_not_asked_again_and_again_by_requests_of_a_refused_tier() -> None:
    shell = leading()
    urgent = shell.take(candidate("u", limit="a"), partition=place("urgent"))
    shell.answer(urgent, verdict(Meaning.QUOTA))
    for number in range(300):
        shell.take(flex(f"f-{number}"), partition=place("bulk"))
    calls = 0
    for _ in range(4 * 300):
        for number in list(shell.calls):
            is_flex = shell.core.registry._tickets[number].candidate.tier == "flex"
            calls += is_flex
            shell.answer(number, REFUSED if is_flex else None)
        shell.wait(250)
    assert shell.decisions(urgent) == [Complete()]
    assert calls < 60


@pytest.mark.slow
def test_requests_of_other_tiers_that_were_parked_return_at_their_own_pace() -> None:
    lane = LaneRule("standard", 1, 0, 300_000, 40, 1 << 30)
    shell = Shell(lanes=(lane,)).lead({place(): PartitionProgress(0)})
    for number in range(400):
        if shell.core.room(place()):
            shell.take(flex(f"f-{number}"))
        refuse(shell, 2_000, every_ms=1_000)
    parked_ms = [
        each.decision.not_before_ms
        for batch in shell.committed
        for each in batch.settlements
        if isinstance(each.decision, Park)
    ]
    assert len(parked_ms) > 20
    policy = shell.core._parking
    flex_lines = [line for line in policy._next_return_ms if line[0][1] is not None]
    assert flex_lines == [(("gpt", ModelTier("gpt", "flex")), "standard")]
    assert (("gpt", None), "standard") not in policy._next_return_ms
