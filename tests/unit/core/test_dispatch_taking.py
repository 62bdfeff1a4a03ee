"""Which records are taken, and what becomes of those that cannot be read."""

import pytest

from headrace.broker.core.bounds import OUTCOMES_PER_TRANSACTION_MAX
from headrace.broker.core.commands import Complete, DeadLetterOnly
from headrace.broker.core.events import Lost, PartitionFound, Promoted, Suspected, Taken
from headrace.broker.core.progress.partition_progress import PartitionProgress
from headrace.broker.core.requests.registry import Want
from headrace.broker.core.ticket import Garbage, Source, TicketNumber
from tests.unit.core.shell import Shell, leading
from tests.unit.core.specimens import place

P1 = place("standard", 1)


# ---------------------------------------------------------------------------------------------------- taking


def test_only_a_leader_takes_and_has_room() -> None:
    shell = Shell()
    follower = shell.take()
    assert shell.forgotten == [follower]
    assert shell.core.room(place()) == 0
    shell.lead()
    assert shell.core.room(place()) == 800
    shell.suspend()
    assert shell.core.room(place()) == 0


def test_a_record_that_comes_in_while_suspended_is_read_again_later() -> None:
    shell = leading()
    shell.suspend()
    dropped = shell.take_at(Source(place(), 0), "x")
    assert shell.forgotten == [dropped]
    shell.lead(shell.restored())
    assert shell.core.want(Source(place(), 0)) is Want.TAKE
    again = shell.take_at(Source(place(), 0), "x")
    shell.settle_all()
    assert shell.decisions(again) == [Complete()]


def test_a_record_of_a_partition_that_is_not_ours_is_let_go() -> None:
    shell = leading()
    number = shell.take_at(Source(place("standard", 9), 0))
    assert shell.forgotten == [number]


def test_a_record_that_is_read_twice_is_taken_once() -> None:
    shell = leading()
    source = Source(place(), 0)
    first, again = shell.take_at(source), shell.take_at(source)
    assert shell.forgotten == [again]
    shell.settle_all()
    assert shell.decisions(first) == [Complete()]


def test_a_new_partition_is_taken_from_its_first_record_and_only_by_a_leader() -> None:
    shell = Shell()
    shell.post(PartitionFound(P1, PartitionProgress(0)))
    assert shell.core.want(Source(P1, 0)) is Want.FULL
    shell.lead()
    shell.post(PartitionFound(P1, PartitionProgress(0)))
    shell.take_at(Source(P1, 0))
    shell.post(PartitionFound(P1, PartitionProgress(0)))  # found twice, begun once
    assert shell.core.want(Source(P1, 0)) is Want.SKIP


def test_a_lost_range_is_buried_in_the_transaction_that_first_stores_its_map() -> None:
    shell = Shell()
    shell.promote({place(): PartitionProgress(0), place("urgent"): PartitionProgress(0)})
    shell.take(Garbage(None, "No JSON."), partition=place("urgent"))
    shell.core.on(Lost(TicketNumber(99), place(), 40), shell.now_ms)
    first = shell.commit()
    second = shell.commit() if 40 not in {each.offset for each in first.offsets.values()} else first
    assert [each.decision.__class__ for each in second.settlements if each.number == 99] == [DeadLetterOnly]
    assert second.offsets[place()].offset == 40
    assert shell.is_empty()


@pytest.mark.slow
def test_a_lost_range_is_buried_before_all_that_waited_longer() -> None:
    """The first transaction of a term stores every map, and takes no more than so many decisions."""
    shell = Shell()
    progress = {place(): PartitionProgress(0), place("urgent"): PartitionProgress(0)}
    shell.core.on(Promoted(progress, 1, 0), shell.now_ms)
    for number in range(2 * OUTCOMES_PER_TRANSACTION_MAX):
        garbage = Taken(TicketNumber(number), Source(place("urgent"), number), 0, 1, Garbage(None, "No JSON."))
        shell.core.on(garbage, shell.now_ms)
    shell.core.on(Lost(TicketNumber(9_999), place(), 40), shell.now_ms)
    shell.carry_out()
    first = shell.commit()
    assert first.offsets[place()].offset == 40
    assert [each.decision.__class__ for each in first.settlements if each.number == 9_999] == [DeadLetterOnly]


@pytest.mark.parametrize(("removed", "reason"), [(True, "lost_by_retention"), (False, "undecodable")])
def test_a_lost_range_is_buried_under_what_became_of_it(removed: bool, reason: str) -> None:  # noqa: FBT001
    shell = leading()
    shell.post(Lost(TicketNumber(99), place(), 40, removed))
    shell.settle_all()
    (bury,) = shell.decisions(TicketNumber(99))
    assert isinstance(bury, DeadLetterOnly)
    assert (bury.reason, bury.lost) == (reason, range(40))
    assert bury.sentence.startswith("Offsets 0 to 39 ")


def test_a_lost_range_whose_transaction_did_not_stand_is_buried_again_as_the_range_it_is() -> None:
    shell = leading()
    shell.post(Lost(TicketNumber(99), place(), 40))
    shell.suspend()
    shell.promote({place(): PartitionProgress(0)})
    shell.settle_all()
    (bury,) = shell.decisions(TicketNumber(99))
    assert isinstance(bury, DeadLetterOnly)
    assert bury.lost == range(40)


def test_a_range_whose_records_are_all_done_is_not_lost() -> None:
    shell = leading()
    shell.take()
    shell.settle_all()
    shell.post(Lost(TicketNumber(99), place(), 1))
    shell.post(Lost(TicketNumber(98), place("standard", 9), 1))
    assert shell.forgotten[-2:] == [99, 98]
    assert shell.is_empty()


def test_who_is_about_to_be_read_with_caution_is_named_at_once_and_by_a_leader_only() -> None:
    shell = Shell()
    shell.post(Suspected((Source(place(), 7),)))
    assert not shell.core.batches.suspects.due
    shell.lead()
    shell.post(Suspected((Source(place(), 7),)))
    assert shell.batch is not None
    assert shell.commit().suspects == (Source(place(), 7),)
    assert shell.core.batches.suspects.is_written((Source(place(), 7),))
    shell.post(Suspected(()))
    assert shell.commit().suspects == ()


def test_what_ended_all_who_took_it_is_buried_as_that() -> None:
    shell = leading()
    shell.post(Lost(TicketNumber(99), place(), 1, removed=False, crashed=True))
    shell.settle_all()
    (decision,) = shell.decisions(TicketNumber(99))
    assert isinstance(decision, DeadLetterOnly)
    assert (decision.reason, decision.lost) == ("crashed", range(1))
