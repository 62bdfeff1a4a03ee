"""A whole transaction: outcomes, offsets and the ledger line, and what becomes of a settlement that raises."""

import json
from dataclasses import replace

import pytest

from headrace.broker.core.commands import (
    AttemptEntry,
    Complete,
    DeadLetterOnly,
    Decision,
    Discard,
    Fail,
    Form,
    SettledEntry,
    Settlement,
)
from headrace.broker.core.identity.dedupe import Fate, Identity
from headrace.broker.core.progress.partition_progress import PartitionProgress
from headrace.broker.core.ticket import CONTROL, LanePartition, TicketNumber
from headrace.broker.ports import StoredOffset, TopicPartition
from headrace.broker.service.containment import said
from headrace.broker.service.spending.bookkeeping import Bookkeeping
from headrace.broker.service.spending.totals_topic import TotalsTopic
from headrace.broker.spending.book import SpendingBook
from headrace.broker.testing.kafka import KafkaLink
from headrace.broker.testing.kafka_doors import MemoryReplyTopics
from headrace.schemas.ids import id_hash
from headrace.schemas.ledger import LedgerKind, LedgerState, decode_ledger
from headrace.schemas.spending import decode_total
from tests.unit.core.specimens import identity
from tests.unit.service.publication_rig import BATCH, LANE, Rig, publication_of
from tests.unit.service.publishing.test_records_records import REPLIES, Bench

IDS = {"t.requests.standard": "id-1"}


def test_offsets_go_to_the_partitions_they_belong_to() -> None:
    five, nine = PartitionProgress(5).store(1), PartitionProgress(9).store(1)
    stored = {LANE: five, LanePartition("bulk", 0): nine}
    assert Rig().publication.offsets(replace(BATCH, offsets=stored)) == {
        TopicPartition("t.requests.standard", 3): StoredOffset(5, five.metadata),
        TopicPartition("t.requests.bulk", 0): StoredOffset(9, nine.metadata),
    }


def test_the_ledger_line_comes_last_and_tells_what_was_settled_and_begun() -> None:
    rig = Rig()
    rig.request()
    identity = Identity(b"i" * 16, 1, b"f" * 8)
    batch = replace(
        BATCH,
        settlements=(Settlement(next(iter(rig.hold.cargo)), Complete()),),
        settled=(SettledEntry(identity, 3, Fate.COMPLETED),),
        started=(AttemptEntry(identity, 4),),
    )
    outgoing = rig.publication.records(batch, 7)
    assert [each.topic for each in outgoing] == ["t.results", "t.ledger"]
    assert (outgoing[-1].record.key, outgoing[-1].record.headers) == (None, ())
    line = decode_ledger(outgoing[-1].record.value or b"")
    assert (line.kind, line.term, line.owner) == (LedgerKind.STEP, 7, "me")
    assert [(each.id_hash, each.run, each.attempt, each.state) for each in line.settled] == [
        (b"i" * 16, 1, 3, LedgerState.COMPLETED)
    ]
    assert [(each.id_hash, each.run, each.attempt) for each in line.started] == [(b"i" * 16, 1, 4)]


def test_the_progress_of_control_is_stored_under_its_own_topic() -> None:
    five = PartitionProgress(5).store(1)
    offsets = Rig().publication.offsets(replace(BATCH, offsets={LanePartition(CONTROL, 0): five}))
    assert offsets == {TopicPartition("t.control", 0): StoredOffset(5, five.metadata)}


def test_what_our_own_code_cannot_write_is_named_and_forgotten_with_the_next_batch() -> None:
    bench = Bench()
    cargo = bench.request()
    cargo.response = object()  # type: ignore[assignment] # a defect
    written = bench.contained_or_made(Complete())
    assert [each.topic for each in written] == ["t.results", "t.dead-letters"]
    assert bench.publication.crashed == {TicketNumber(1)}
    assert len(bench.told) == 1
    cargo.response = json.dumps({"model": "m"}).encode()
    assert [each.topic for each in bench.contained_or_made(Complete())] == ["t.results"]
    assert not bench.publication.crashed


def test_the_ledger_says_that_it_failed_and_of_all_others_what_was_decided() -> None:
    bench = Bench()
    bench.request().response = object()  # type: ignore[assignment] # a defect
    ids = [Identity(id_hash(name), run, b"f" * 8) for name, run in (("lead-1", 0), ("other", 0), ("lead-1", 1))]
    settled = tuple(SettledEntry(each, 1, Fate.COMPLETED) for each in ids)
    (number,) = bench.hold.cargo
    bench.publication.records(replace(BATCH, settlements=(Settlement(number, Complete()),), settled=settled), 7)
    states = [each.state for each in bench.publication.line.settled]
    assert states == [LedgerState.FAILED, LedgerState.COMPLETED, LedgerState.COMPLETED]
    assert bench.publication.line.totals == {"crashed": 1}


def test_without_a_crash_the_ledger_says_what_was_decided() -> None:
    bench = Bench()
    bench.request().response = {}
    (number,) = bench.hold.cargo
    settled = (SettledEntry(identity("lead-1"), 1, Fate.COMPLETED),)
    bench.publication.records(replace(BATCH, settlements=(Settlement(number, Complete()),), settled=settled), 7)
    assert [each.state for each in bench.publication.line.settled] == [LedgerState.COMPLETED]


@pytest.mark.parametrize(
    ("decision", "form", "found"),
    [
        (Complete(), Form.WHOLE, {REPLIES}),
        (Fail("rejected", "No."), Form.WHOLE, {REPLIES}),
        (Fail("rejected", "No."), Form.UNCOPIED, {REPLIES}),
        (Fail("rejected", "No."), Form.SMALL, set()),
        (Discard(returned=True), Form.WHOLE, {REPLIES}),
        (Discard(), Form.WHOLE, set()),
        (DeadLetterOnly("id_conflict", "Taken."), Form.WHOLE, set()),
    ],
)
def test_the_topics_of_copies_are_known_before_the_transaction(decision: Decision, form: Form, found: set[str]) -> None:
    bench = Bench()
    bench.request(reply_to=REPLIES)
    (number,) = bench.hold.cargo
    batch = replace(BATCH, settlements=(Settlement(number, decision, form), Settlement(TicketNumber(9), Complete())))
    assert bench.publication.reply_topics(batch) == found


def test_a_settlement_whose_record_is_gone_ends_the_process_for_then_the_state_is_wrong() -> None:
    rig = Rig()
    rig.request()
    settlements = (Settlement(TicketNumber(99), Complete()),)
    with pytest.raises(KeyError):
        rig.publication.records(replace(BATCH, settlements=settlements), 7)
    assert rig.publication.reply_topics(replace(BATCH, settlements=settlements)) == set()


async def test_a_transaction_has_the_sums_of_its_outcomes_and_each_term_begins_them_anew() -> None:
    rig, numbers = Rig(), iter(range(99))
    rig.kafka.create("t.totals")
    topic = TotalsTopic(MemoryReplyTopics(KafkaLink(rig.kafka)), "t.totals", rig.clock, said)
    await topic.check()
    book = SpendingBook(lambda: f"series-{next(numbers)}")
    publication = publication_of(
        rig.settings,
        rig.hold,
        rig.clock,
        rig.replies,
        contained=rig.contained,
        bookkeeping=Bookkeeping(book, topic, counted=lambda _: None, observed=said),
    )
    rig.request()
    batch = replace(BATCH, settlements=(Settlement(next(iter(rig.hold.cargo)), Complete()),))
    summed = list[tuple[str, int]]()
    for topic_ids in (IDS, {}, IDS):
        if topic_ids:
            publication.begin(topic_ids)
        records = publication.records(batch, 7)
        assert publication.line.topics == topic_ids
        book.committed()
        _, series, total = decode_total(next(each.record for each in records if each.topic == "t.totals"))
        summed.append((series, total.outcomes))
    (first, one), (second, two), (third, again) = summed
    assert first == second != third
    assert (one, two, again) == (1, 2, 1)
