"""Faults in what a transaction holds, in the progress it stores, and in what is made of an unknown one."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeAlias
from unittest.mock import patch

from headrace.broker.core.dispatch import Dispatch
from headrace.broker.core.events import Event, Promoted
from headrace.broker.core.progress.partition_progress import PartitionProgress, Stored
from headrace.broker.core.requests.outbox import Outbox
from headrace.broker.core.requests.settling import Settling
from headrace.broker.core.requests.succession import Succession
from headrace.broker.core.setback import Setback
from headrace.broker.core.ticket import State, Ticket
from headrace.broker.errors import ProducerDead
from headrace.broker.ports import Outgoing, StoredOffset, TopicPartition, TransactionLog
from headrace.broker.service.leadership.promotion import Promotion, RestoredState
from headrace.broker.testing.kafka import MemoryKafka
from tests.simulation.service.mutants.planting import MEMORY, planted
from tests.simulation.service.wires import Transactions

Patch: TypeAlias = AbstractContextManager[object]
Records: TypeAlias = Sequence[Outgoing]
Offsets: TypeAlias = Mapping[TopicPartition, StoredOffset]
REPLY_IS_LOST = "the reply to a commit is lost"


@planted(2)
def commit_before_send() -> Patch:
    """Progress is committed first, the outcomes that it is the progress of afterwards."""
    whole = Transactions.transact

    async def transact(self: Transactions, records: Records, offsets: Offsets) -> Sequence[int]:
        if offsets:
            await whole(self, [], offsets)
        return await whole(self, records, {})

    return patch.object(Transactions, "transact", transact)


@planted(1)
def send_before_commit() -> Patch:
    """Outcomes are committed first, the progress that says so afterwards: what dies between the two, answers twice."""
    whole = Transactions.transact

    async def transact(self: Transactions, records: Records, offsets: Offsets) -> Sequence[int]:
        first = await whole(self, [each for each in records if not each.topic.endswith("ledger")], {})
        return [*first, *await whole(self, [each for each in records if each.topic.endswith("ledger")], offsets)]

    return patch.object(Transactions, "transact", transact)


@planted(3)
def drop_the_map() -> Patch:
    """The base is stored and the map above it forgotten: records that are done above it are taken again."""
    whole = PartitionProgress.restore

    def restore(offset: int, metadata: str) -> PartitionProgress:
        return PartitionProgress(whole(offset, metadata).base)

    return patch.object(PartitionProgress, "restore", restore)


@planted(2)
def progress_runs_ahead() -> Patch:
    """Each record that was taken is stored as done."""
    whole = PartitionProgress.store

    def store(self: PartitionProgress, term: int) -> Stored:
        return whole(PartitionProgress(self.next_offset), term)

    return patch.object(PartitionProgress, "store", store)


@planted(5)
def skip_the_fence() -> Patch:
    """Kafka fences no producer: a leader that was replaced goes on committing."""
    return patch.object(MemoryKafka, "is_fenced", lambda _self, _id, _epoch: False)


@planted(1, REPLY_IS_LOST)
def an_unknown_commit_is_a_success() -> Patch:
    """An error of a commit is taken for its reply."""
    whole = Transactions.transact

    async def transact(self: Transactions, records: Records, offsets: Offsets) -> Sequence[int]:
        epoch = self._epoch
        try:
            return await whole(self, records, offsets)
        except ProducerDead:
            self._epoch = epoch
            return [-1] * len(records)

    return patch.object(Transactions, "transact", transact)


@planted(1, REPLY_IS_LOST)
def an_unknown_commit_is_a_failure() -> Patch:
    """After an error everything is published again, whatever the ledger says of it."""
    whole = Dispatch.on

    def on(self: Dispatch, event: Event, now_ms: int) -> None:
        if isinstance(event, Promoted):
            self.identities._fates.__init__(window_ms=3_600_000, ids_max=10_000)  # type: ignore[misc]
        whole(self, event, now_ms)

    return patch.object(Dispatch, "on", on)


@planted(2, REPLY_IS_LOST)
def what_an_unknown_commit_held_is_forgotten() -> Patch:
    """The decisions of a transaction whose reply is lost never come into another one."""

    def interrupt(self: Outbox, _setback: Setback = Setback.UNKNOWN) -> None:
        self._under_way, self.busy, self._front = [], False, 0

    return patch.object(Outbox, "interrupt", interrupt)


@planted(1, REPLY_IS_LOST)
def offsets_before_the_fence() -> Patch:
    """Progress is read before the predecessor's last transaction is settled."""
    whole = Promotion.run

    async def run(
        self: Promotion, producer: TransactionLog, still_mine: Callable[[], Awaitable[bool]], own_term: int
    ) -> RestoredState:
        store = self.offsets
        places = [
            TopicPartition(intake.topic, number)
            for intake in self.intakes.values()
            for number in await intake.log.partitions()
        ]
        early = await store.read(places)

        class Early:
            async def read(self, asked: Sequence[TopicPartition]) -> dict[TopicPartition, StoredOffset]:
                return {place: early[place] if place in early else StoredOffset(-1, "") for place in asked}

        self.offsets = Early()
        try:
            return await whole(self, producer, still_mine, own_term)
        finally:
            self.offsets = store

    return patch.object(Promotion, "run", run)


@planted(1)
def what_is_held_is_published() -> Patch:
    """After a fence what is in memory is published, although it may stand, or another leader have answered it."""
    return patch.multiple(
        Succession, _still_answers=lambda _self, _ticket: True, _give_up=lambda _self, _ticket, _ms: None
    )


@planted(4, "all of Kafka is away")
def held_answers_are_dropped_at_a_promotion() -> Patch:
    """Answers in memory whose commit is unknown are thrown away, and their calls are made and paid again."""
    whole = Succession._still_answers

    def still_answers(self: Succession, ticket: Ticket) -> bool:
        if ticket.state is State.SETTLED and self._registry.is_answering(ticket):
            self._identities.forget_open(ticket.candidate.identity)
            return False
        return whole(self, ticket)

    return patch.object(Succession, "_still_answers", still_answers)


@planted(2)
def an_identity_is_settled_before_its_commit() -> Patch:
    """An id counts as answered once its transaction is built: if that fails, a promotion takes it for done."""
    whole = Dispatch._publish

    def publish(self: Dispatch, now_ms: int) -> Any:
        command = whole(self, now_ms)
        for entry in command.batch.settled:
            self.identities.settle(entry.identity, entry.attempt, entry.fate, self.wall_ms(now_ms))
        return command

    return patch.object(Dispatch, "_publish", publish)


@planted(MEMORY)
def a_settled_ticket_stays() -> Patch:
    """What was committed is not forgotten by the machine."""
    whole = Settling.drop

    def drop(self: Settling, ticket: Ticket) -> bytes | None:
        whole(self, ticket)
        self.registry.add(ticket)
        return None

    return patch.object(Settling, "drop", drop)
