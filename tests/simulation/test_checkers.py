"""Every checker can fail: a history that is spoilt in one way is found out by the checker of that promise."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace

import pytest

from headrace.broker.core.commands import Complete, Discard, Fail, Remember
from headrace.broker.core.config import TenantRule
from headrace.broker.core.identity.pending_cancels import CancelRecord
from headrace.broker.core.progress.partition_progress import PartitionProgress
from headrace.broker.core.ticket import TicketNumber
from headrace.broker.core.units import PPM
from tests.simulation.checkers import (
    answers_are_real,
    buffers_are_bounded,
    calls_are_needed,
    cancels_hold,
    caps_hold,
    deadlines_are_kept,
    it_ends,
    ledger_agrees,
    memory_empties,
    one_outcome,
    order_holds,
    progress_is_true,
    published_once,
    refusals_are_few,
    shares_hold,
)
from tests.simulation.history import History, Lined, Remains
from tests.simulation.kafka import Request
from tests.simulation.scenario import Scenario
from tests.simulation.upstream import Ending
from tests.simulation.world import SimulatedWorld

Check = Callable[[History], Iterator[str]]
SEED = 0


def lost_outcome(history: History) -> None:
    for transaction in history.stored:
        transaction.settled = [each for each in transaction.settled if not isinstance(each.decision, Complete)]


def stranger(history: History) -> None:
    history.records.clear()


def committed_twice(history: History) -> None:
    history.stored.append(next(each for each in history.stored if each.settled))


def leap(history: History) -> None:
    """The first stored map of a partition calls everything done."""
    transaction = next(each for each in history.stored if each.batch.offsets)
    place = next(place for place in transaction.batch.offsets if history.kafka.logs[place])
    everything = PartitionProgress(history.kafka.ends[place]).store(1)
    transaction.batch = replace(transaction.batch, offsets={place: everything})


def left_open(history: History) -> None:
    place = next(place for place, log in history.kafka.logs.items() if log)
    history.kafka.offsets[place] = PartitionProgress(0).store(1)


def silent_ledger(history: History) -> None:
    for transaction in history.stored:
        transaction.batch = replace(transaction.batch, settled=())


def made_up_answer(history: History) -> None:
    history.answered.clear()


def known_answer(history: History) -> None:
    history.calls[0].known = True


def late_call(history: History) -> None:
    history.calls[0].late = True


def untrusted_call(history: History) -> None:
    history.calls[0].trusted = False


def early_failure(history: History) -> None:
    too_late = Fail("deadline_exceeded", "The deadline passed before a call could start.")
    for transaction in history.stored:
        transaction.settled = [replace(each, decision=too_late) for each in transaction.settled]
        transaction.row = replace(transaction.row, at_ms=0)


def leftover(history: History) -> None:
    history.remains.append(Remains("p1", {"held bytes": 1}))


def refused(history: History) -> None:
    for call in history.calls:
        call.ending = Ending.REFUSED


def call_in_spite_of_a_cancel(history: History) -> None:
    history.calls[0].cancelled = True


def cancel_without_effect(history: History) -> None:
    for transaction in history.stored:
        transaction.settled = [
            replace(each, decision=Discard()) if isinstance(each.decision, Remember) else each
            for each in transaction.settled
        ]


def cancel_that_waits_for_nothing(history: History) -> None:
    """The first line of the ledger says that whoever completes was cancelled."""
    completed = [
        each for transaction in history.stored for each in transaction.settled if isinstance(each.decision, Complete)
    ]
    record = completed[0].record
    assert record is not None
    assert isinstance(record.content, Request)
    waiting = CancelRecord(record.content.name.encode().ljust(16, b"."), record.timestamp_ms)
    history.stored[0].row = replace(history.stored[0].row, cancels=(waiting,))


def answer_after_a_cancel(history: History) -> None:
    for transaction in history.stored:
        history.ended.update((transaction.writer, transaction.life, each.source) for each in transaction.settled)


def forgotten_cancel(history: History) -> None:
    for transaction in history.stored:
        transaction.row = replace(transaction.row, cancels=())


def calls_in_another_order(history: History) -> None:
    """Of two requests that one process called, the later one was taken first, and their key is the same."""
    lane = history.calls[0].source.partition.lane
    calls = [call for call in history.calls if (call.life, call.source.partition.lane) == (0, lane)]
    one, other = calls[0], next(call for call in calls if call.source != calls[0].source)
    history.lined = [Lined(0, call.writer, call.life, call.source, "k") for call in (other, one)]


def call_beside_another(history: History) -> None:
    history.calls[-1].beside = 1


def spendthrift(history: History) -> None:
    history.tenants = {call.tenant: TenantRule(cap_tokens=1) for call in history.calls}


def crowd(history: History) -> None:
    history.tenants = {call.tenant: TenantRule(inflight_max=1) for call in history.calls}
    for call in history.calls:
        call.ended_ms = None


def too_many_held(history: History) -> None:
    history.held = {key: replace(held, count=held.rule.buffer_max + 1) for key, held in history.held.items()}


def too_much_held(history: History) -> None:
    """Bytes that were there before room was asked for."""
    history.held = {
        key: replace(held, bytes=held.rule.buffer_bytes_max + held.weight) for key, held in history.held.items()
    }


def starved(history: History) -> None:
    """Whatever was called for a lane with a floor was called for the first lane, and all lanes waited throughout."""
    everybody_waits(history)
    first = next(call.source for call in history.calls if call.source.partition.lane == "urgent")
    for call in history.calls:
        call.source = first


def greedy(history: History) -> None:
    """The same where half is the most that the first lane may have, and no other has a floor."""
    starved(history)
    history.lanes = [
        replace(rule, floor_ppm=0, ceiling_ppm=500_000 if rule.name == "urgent" else PPM) for rule in history.lanes
    ]


def everybody_waits(history: History) -> None:
    """One and the same request of each lane stands behind all calls."""
    waiting = {rule.name: {TicketNumber(0)} for rule in history.lanes}
    history.lanes = [replace(rule, ceiling_ppm=PPM) for rule in history.lanes]
    history.turns = [replace(turn, calm=True, waiting=waiting) for turn in history.turns]


def stall(history: History) -> None:
    history.quiet = False


def defect(history: History) -> None:
    history.defects.append("it broke")


def long_silence(history: History) -> None:
    history.silence_ms = 3_600_000


@pytest.fixture(scope="module")
def kept() -> History:
    """A run in which every promise is kept."""
    return SimulatedWorld(Scenario.drawn(SEED)).run()


@pytest.fixture
def history(kept: History) -> History:
    """A copy to be spoilt; all that is but called, the world that its Kafka told, is shared."""
    tell = kept.kafka.tell
    return deepcopy(kept, {id(tell): tell})


@pytest.mark.parametrize(
    ("spoil", "check"),
    [
        (lost_outcome, one_outcome.check),
        (stranger, one_outcome.check),
        (committed_twice, published_once.check),
        (leap, progress_is_true.check),
        (left_open, progress_is_true.check),
        (silent_ledger, ledger_agrees.check),
        (made_up_answer, answers_are_real.check),
        (known_answer, calls_are_needed.check),
        (late_call, calls_are_needed.check),
        (untrusted_call, calls_are_needed.check),
        (early_failure, deadlines_are_kept.check),
        (call_in_spite_of_a_cancel, calls_are_needed.check),
        (cancel_without_effect, cancels_hold.check),
        (cancel_that_waits_for_nothing, cancels_hold.check),
        (answer_after_a_cancel, cancels_hold.check),
        (forgotten_cancel, ledger_agrees.check),
        (leftover, memory_empties.check),
        (refused, refusals_are_few.check),
        (calls_in_another_order, order_holds.check),
        (call_beside_another, order_holds.check),
        (spendthrift, caps_hold.check),
        (crowd, caps_hold.check),
        (too_many_held, buffers_are_bounded.check),
        (too_much_held, buffers_are_bounded.check),
        (starved, shares_hold.check),
        (greedy, shares_hold.check),
        (stall, it_ends.check),
        (defect, it_ends.check),
        (long_silence, it_ends.check),
    ],
)
def test_a_broken_promise_is_found_out(history: History, spoil: Callable[[History], None], check: Check) -> None:
    assert list(check(history)) == []
    spoil(history)
    assert list(check(history)) != []
