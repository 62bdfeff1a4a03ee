"""Planted faults: each must break a promise within 500 seeds, or the simulation proves less than it says.

python -m tests.simulation.service.mutants
python -m tests.simulation.service.mutants --only "skip the fence" --trace
"""

import argparse
import os
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from time import perf_counter
from typing import Any
from unittest.mock import patch

from broker.clock import WallClock
from broker.core import identity as identities
from broker.core.budget import Budget
from broker.core.dispatch import Dispatch
from broker.core.events import Event, Promoted
from broker.core.progress import PartitionProgress, Stored
from broker.core.reception import Reception
from broker.core.suspects import Caution, Deaths
from broker.core.term import Candidacy, Trust
from broker.core.ticket import LanePartition
from broker.errors import ProducerDead
from broker.ports import Outgoing, StoredOffset, TopicPartition, TransactionLog
from broker.service.driver import Driver
from broker.service.intake import LaneIntake
from broker.service.leadership import Doubt, Leadership
from broker.service.ledger_follower import LedgerFollower
from broker.service.promotion import Promotion, Standing
from broker.service.renewal import Renewal
from broker.service.timekeeping import ByTheLeader
from broker.testing.kafka import MemoryKafka
from tests.simulation.service.run import simulate
from tests.simulation.service.wires import Transactions

SEEDS_MAX = 500
Plant = Callable[[], AbstractContextManager[object]]


def _commit_before_send() -> AbstractContextManager[object]:
    """Progress is committed first, what it is the progress of afterwards."""
    whole = Transactions.transact

    async def transact(
        self: Transactions, records: Sequence[Outgoing], offsets: Mapping[TopicPartition, StoredOffset]
    ) -> Sequence[int]:
        if offsets:
            await whole(self, [], offsets)
        return await whole(self, records, {})

    return patch.object(Transactions, "transact", transact)


def _drop_the_map() -> AbstractContextManager[object]:
    """The base is stored and the map above it forgotten: what is done above it is taken again."""
    whole = PartitionProgress.restore

    def restore(offset: int, metadata: str) -> PartitionProgress:
        return PartitionProgress(whole(offset, metadata).base)

    return patch.object(PartitionProgress, "restore", restore)


def _progress_runs_ahead() -> AbstractContextManager[object]:
    """Whatever was taken is stored as done."""

    def store(self: PartitionProgress, term: int) -> Stored:
        done = PartitionProgress(self.next_offset)
        return whole(done, term)

    whole = PartitionProgress.store
    return patch.object(PartitionProgress, "store", store)


def _skip_the_fence() -> AbstractContextManager[object]:
    """Nobody is fenced: a leader that was replaced goes on committing."""
    return patch.object(MemoryKafka, "is_fenced", lambda _self, _id, _epoch: False)


def _refund_twice() -> AbstractContextManager[object]:
    """Every answer gives its charge back, as if it had been refused, and nobody hears what it says of levels."""
    whole = Budget.answered

    def answered(self: Budget, attempt: int, *rest: Any) -> None:
        flight = self._flights[attempt]
        whole(self, attempt, *rest)
        self._give_back(flight, rest[0])
        self._give_back(flight, rest[0])

    return patch.multiple(Budget, answered=answered, _hear=lambda _self, _flight, _verdict, _now_ms: False)


def _join_without_settling() -> AbstractContextManager[object]:
    """Nobody looks again at those who joined, once the first is settled."""
    return patch.object(Reception, "judge_again", lambda _self, _waited, _now_ms: None)


def _dedupe_by_id_alone() -> AbstractContextManager[object]:
    """A replay is taken for the request it replays."""
    return patch.object(identities, "_is_answered", lambda _identity, _known: True)


def _reset_latest() -> AbstractContextManager[object]:
    """Where no progress is stored, the end is where to begin."""

    async def fresh(_self: Promotion, place: LanePartition, intake: LaneIntake) -> PartitionProgress:
        return PartitionProgress((await intake.log.bounds([place.number]))[place.number][1])

    return patch.object(Promotion, "_fresh", fresh)


def _start_without_the_lease() -> AbstractContextManager[object]:
    """After an error of the producer nobody asks whose the lease is: a new producer, a new claim."""

    async def mine(_self: Leadership, _renewal: Renewal) -> Doubt:
        return Doubt.MINE

    async def still(_self: Leadership, _renewal: Renewal) -> bool:
        return True

    return patch.multiple(Leadership, _settle_doubt=mine, _still_mine=still)


def _take_a_held_lease() -> AbstractContextManager[object]:
    """A standby believes a key gone that only was silent: it claims while the leader lives."""

    async def still(_self: Leadership, _renewal: Renewal) -> bool:
        return True

    return patch.multiple(Candidacy, may_take_at=lambda _self, now_ms: now_ms)


def _claim_is_not_read_back() -> AbstractContextManager[object]:
    """The first call comes before the ledger was read to our own claim: the predecessor's last answers are unknown."""

    async def read(_self: LedgerFollower, _within_ms: int) -> None:
        return None

    async def caught_up(self: LedgerFollower) -> None:
        await self.open()

    return patch.multiple(LedgerFollower, read_to_claim=read, catch_up=caught_up)


def _forget_the_ledger() -> AbstractContextManager[object]:
    """A successor does not learn who was answered."""
    whole = Driver.post

    def post(self: Driver, event: Event) -> None:
        if type(event).__name__ != "LedgerRead":
            whole(self, event)

    return patch.object(Driver, "post", post)


def _trust_for_ever() -> AbstractContextManager[object]:
    """Once confirmed, a leader trusts its lease whatever becomes of it."""
    return patch.object(Trust, "holds", lambda self, _now_ms: self.until() > 0)


def _an_unknown_commit_is_a_success() -> AbstractContextManager[object]:
    """An error of a commit is taken for its reply."""
    whole = Transactions.transact

    async def transact(
        self: Transactions, records: Sequence[Outgoing], offsets: Mapping[TopicPartition, StoredOffset]
    ) -> Sequence[int]:
        epoch = self._epoch
        try:
            return await whole(self, records, offsets)
        except ProducerDead:
            self._epoch = epoch
            return [-1] * len(records)

    return patch.object(Transactions, "transact", transact)


def _an_unknown_commit_is_a_failure() -> AbstractContextManager[object]:
    """After an error everything is published again, whatever the ledger says of it."""
    whole = Dispatch.on

    def on(self: Dispatch, event: Event, now_ms: int) -> None:
        if isinstance(event, Promoted):
            self.identities._fates.__init__(window_ms=3_600_000, ids_max=10_000)  # type: ignore[misc]
        whole(self, event, now_ms)

    return patch.object(Dispatch, "on", on)


def _offsets_before_the_fence() -> AbstractContextManager[object]:
    """Progress is read before the predecessor's last transaction is settled."""
    whole = Promotion.run

    async def run(
        self: Promotion, producer: TransactionLog, still_mine: Callable[[], Awaitable[bool]], own_term: int
    ) -> Standing:
        store = self._offsets
        places = [
            TopicPartition(intake.topic, number)
            for intake in self._intakes.values()
            for number in await intake.log.partitions()
        ]
        early = await store.read(places)

        class Early:
            async def read(self, asked: Sequence[TopicPartition]) -> dict[TopicPartition, StoredOffset]:
                return {place: early[place] if place in early else StoredOffset(-1, "") for place in asked}

        self._offsets = Early()
        try:
            return await whole(self, producer, still_mine, own_term)
        finally:
            self._offsets = store

    return patch.object(Promotion, "run", run)


def _cancel_is_forgotten() -> AbstractContextManager[object]:
    """A cancel that comes before its request is done, and nobody remembers it."""
    return patch.object(Reception, "is_cancelled", lambda _self, _ticket: False)


def _what_is_held_is_published() -> AbstractContextManager[object]:
    """After a fence what is in memory is published, although it may stand, or somebody else have answered it."""
    return patch.multiple(
        Dispatch, _still_answers=lambda _self, _ticket: True, _give_up=lambda _self, _ticket, _ms: None
    )


def _a_wrong_clock_stays_wrong() -> AbstractContextManager[object]:
    """A process that began with a clock an hour off goes on by it."""
    return patch.object(WallClock, "correct", lambda _self, _by_ms: None)


def _a_retriers_clock_stays_wrong() -> AbstractContextManager[object]:
    """A retrier goes by its own clock, whatever it is told."""

    async def ask(self: ByTheLeader) -> None:
        self.is_settled = True

    return patch.object(ByTheLeader, "ask", ask)


def _the_window_begins_by_our_own_clock() -> AbstractContextManager[object]:
    """A clock that is ahead begins the dedupe window so late that nobody is known."""

    async def reach(_self: LedgerFollower, _utc_ms: int) -> None:
        return None

    return patch.object(LedgerFollower, "reach_back", reach)


def _nobody_is_suspected() -> AbstractContextManager[object]:
    """What ended former leaders is read again as if nothing had been."""
    return patch.object(Deaths, "caution", lambda _self, _partition, _until: None)


def _a_suspect_is_decoded_again() -> AbstractContextManager[object]:
    """Who was named in two deaths gets another chance, in every term."""
    return patch.multiple(Caution, may_decode=lambda _self, _offset: True, may_take=lambda _self, _offset: True)


MUTANTS: dict[str, Plant] = {
    plant.__name__.strip("_").replace("_", " "): plant
    for plant in (
        _commit_before_send,
        _drop_the_map,
        _progress_runs_ahead,
        _skip_the_fence,
        _refund_twice,
        _join_without_settling,
        _dedupe_by_id_alone,
        _reset_latest,
        _start_without_the_lease,
        _take_a_held_lease,
        _claim_is_not_read_back,
        _forget_the_ledger,
        _trust_for_ever,
        _an_unknown_commit_is_a_success,
        _an_unknown_commit_is_a_failure,
        _offsets_before_the_fence,
        _cancel_is_forgotten,
        _what_is_held_is_published,
        _a_wrong_clock_stays_wrong,
        _a_retriers_clock_stays_wrong,
        _the_window_begins_by_our_own_clock,
        _nobody_is_suspected,
        _a_suspect_is_decoded_again,
    )
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """After how many seeds a planted fault was caught, and by which sentence; None: it was not."""

    name: str
    seeds: int | None
    sentence: str
    trace: str

    def line(self) -> str:
        """A row of the table."""
        if self.seeds is None:
            return f"{self.name:<34} NOT CAUGHT within {SEEDS_MAX} seeds"
        return f"{self.name:<34} caught after {self.seeds:>3} seeds: {self.sentence}"


def hunt(name: str) -> Verdict:
    """Run seed after seed until the fault shows."""
    for seed in range(SEEDS_MAX):
        with MUTANTS[name]():
            report = simulate(seed)
        if report.broken:
            if simulate(seed).broken:
                raise ValueError(f"seed {seed} is broken without a planted fault: find out why first")
            return Verdict(name, seed + 1, report.broken[0].splitlines()[-1][:160], report.trace)
    return Verdict(name, None, "", "")


def verdicts(names: Sequence[str]) -> Iterator[Verdict]:
    """All of them, in the order of the table."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(hunt, names)


def main(arguments: list[str] | None = None) -> int:
    """The command; 1 if a planted fault was not caught."""
    parser = argparse.ArgumentParser(description="Plant faults and see whether the simulation finds them.")
    parser.add_argument("--only", choices=MUTANTS)
    parser.add_argument("--trace", action="store_true")
    options = parser.parse_args(arguments)
    names = [options.only] if options.only else list(MUTANTS)
    began, missed = perf_counter(), 0
    for verdict in verdicts(names):
        missed += verdict.seeds is None
        print(verdict.line(), flush=True)
        if options.trace:
            print(verdict.trace)
    print(f"{len(names) - missed} of {len(names)} planted faults caught in {perf_counter() - began:.0f} s")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
