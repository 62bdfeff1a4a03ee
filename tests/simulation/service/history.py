"""What the checkers read: everything that matters for a promise, in order, as the world saw it."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from headrace.broker.ports import StoredOffset, TopicPartition
from headrace.broker.testing.kafka import MemoryKafka
from headrace.broker.testing.kafka_log import Slot
from headrace.schemas import headers as names
from headrace.schemas import topics
from headrace.schemas.codec import decode_failure
from headrace.schemas.failure import RetryableFailure
from headrace.schemas.ledger import LedgerKind, LedgerRecord, decode_ledger
from headrace.schemas.record import Record
from tests.simulation.service.openai import Arrival
from tests.simulation.service.producers import Sent
from tests.simulation.service.scenario import PREFIX, Scenario
from tests.simulation.service.wires import Start

RESULTS, FAILURES = topics.results_topic(PREFIX), topics.failures_topic(PREFIX)
LEDGER, DEAD_LETTERS = topics.ledger_topic(PREFIX), topics.dead_letters_topic(PREFIX)
TOTALS = topics.totals_topic(PREFIX)
RETRIER = f"{PREFIX}.retrier"
Identity = tuple[str, int]
CONVICTED_BY = 2
"""Deaths of leaders, with a record named alone, that are held against it whatever they were caused by."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A transaction of the dispatchers or the retriers that stands.

    Attributes:
        at_s: When the coordinator decided on it.
        group: Whose.
        records: By topic.
        outcomes: What it answers.
        parked: What it parks.
        lines: Its ledger records.
        offsets: The progress that it stores.
    """

    at_s: float
    group: str
    records: Mapping[str, Sequence[Record]]
    outcomes: Sequence[dict[str, Any]]
    parked: Sequence[dict[str, Any]]
    lines: Sequence[LedgerRecord]
    offsets: Mapping[TopicPartition, StoredOffset] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        at_s: float,
        group: str,
        records: Mapping[str, Sequence[Record]],
        offsets: Mapping[TopicPartition, StoredOffset],
    ) -> "Commit":
        """What its records say."""
        lines = [decode_ledger(record.value or b"") for record in records.get(LEDGER, ())]
        outcomes, parked = _values(records.get(RESULTS, ())), _values(records.get(FAILURES, ()))
        return cls(at_s, group, records, outcomes, parked, lines, offsets)


def _values(records: Sequence[Record]) -> list[dict[str, Any]]:
    return [json.loads(record.value or b"{}") for record in records]


@dataclass(frozen=True, slots=True)
class Lived:
    """A process: from when to when, how it ended, what its metrics said last.

    Attributes:
        repeated: Calls it counted as repeated.
    """

    name: str
    role: str
    born_s: float
    ended_s: float
    ending: str
    repeated: int = 0


class Deadly(Enum):
    """What of a request ends the process that does it."""

    DECODED = "decoded"
    CALLED = "called"


class Removed(NamedTuple):
    """A record that retention has removed."""

    topic: str
    partition: int
    offset: int
    id: str | None


@dataclass(slots=True)
class History:
    """One run.

    Attributes:
        sent: What services wrote.
        calls: What reached OpenAI.
        begun: What left for OpenAI, arrived or not: when, from which process, for which id.
        commits: What was committed, in order.
        starts: Every start of a transactional producer.
        lived: Every process that has ended, and those that live at the end.
        excused: Ids of which retention or a rotten batch took a record before it was done.
        trimmed: Whether retention has removed anything.
        removed: Records that retention removed before they were done.
        stepped_down: When which process stopped leading.
        killed: Which request ended a process, by being decoded or by its call.
        killed_superseded: Which one ended, by being decoded, a process that another leader had superseded.
        flawed: When which process began the call of which request that shows a defect in it.
        refused: Ids whose answers Kafka refuses each time.
        unsound: What did not add up in which core, and after which event.
        logged: Lines of the log that hold a part of a prompt or of an answer.
        defects: What nobody caught, processes that ended by themselves.
        remains: What the last leader still holds once the world is quiet.
        forgotten_s: When retention removed lines of the ledger.
        undone: Records of lanes that are not done in the end, by what Kafka stores.
        quiet_s: When everything had ended; None: never.
    """

    scenario: Scenario
    kafka: MemoryKafka
    sent: list[Sent] = field(default_factory=list)
    calls: list[Arrival] = field(default_factory=list)
    begun: list[tuple[float, str, str]] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    lived: list[Lived] = field(default_factory=list)
    excused: set[str] = field(default_factory=set)
    trimmed: bool = False
    removed: list[Removed] = field(default_factory=list)
    stepped_down: list[tuple[float, str]] = field(default_factory=list)
    killed: list[tuple[Deadly, str]] = field(default_factory=list)
    killed_superseded: list[str] = field(default_factory=list)
    flawed: list[tuple[float, str, str]] = field(default_factory=list)
    refused: frozenset[str] = frozenset()
    unsound: list[str] = field(default_factory=list)
    logged: list[str] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)
    remains: dict[str, int] = field(default_factory=dict)
    forgotten_s: list[float] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)
    quiet_s: float | None = None

    def asked(self) -> set[Identity]:
        """Every (id, run) that somebody asked for, however badly."""
        return {(each.id, each.run) for each in self.sent if each.id is not None and not each.is_cancel}

    def waiting(self) -> set[Identity]:
        """Those that have no outcome, but for the excused and the convicted."""
        answered = {(outcome["id"], outcome["run"]) for _, outcome in self.outcomes()}
        left = {identity for identity in self.asked() - answered if identity[0] not in self.excused}
        return left - self.convicted() if left else left

    def convicted(self) -> set[Identity]:
        """Those whose record was named alone when two leaders died, and has a dead letter and no outcome for that."""
        alone: Counter[str] = Counter()
        last: LedgerRecord | None = None
        for line in (line for commit in self.commits for line in commit.lines):
            if last is not None and last.kind is LedgerKind.STEP and last.owner != line.owner:
                alone.update(last.suspects if len(last.suspects) == 1 else ())
            last = line
        twice = {position for position, deaths in alone.items() if deaths >= CONVICTED_BY}
        letters = [dict(each.headers) for commit in self.commits for each in commit.records.get(DEAD_LETTERS, ())]
        crashed = {told[names.ORIGIN].decode() for told in letters if told[names.REASON] == b"crashed"}
        return {
            (each.id, each.run)
            for each in self.sent
            if each.id is not None and f"{each.topic}/{each.partition}/{each.offset}" in twice & crashed
        }

    def put_back(self) -> Counter[str]:
        """How often the retrier has put back the request of which position of the failures topic."""
        records = [each for commit in self.commits if commit.group == RETRIER for each in commit.records.values()]
        return Counter(dict(one.headers).get(names.FAILURE, b"").decode() for each in records for one in each)

    def failure_of(self, copy: Record) -> tuple[Slot, RetryableFailure] | None:
        """What the retrier read of a request that it put back, and where it stood; None for any other record."""
        found = dict(copy.headers).get(names.FAILURE)
        if found is None:
            return None
        _, partition, offset = found.decode().split("/")
        slot = self.kafka.logs(FAILURES)[int(partition)].slots[int(offset)]
        assert slot.record is not None
        return slot, decode_failure(slot.record.value, slot.record.headers)

    def parked(self) -> set[str]:
        """The positions of everything that was parked."""
        logs = enumerate(self.kafka.logs(FAILURES))
        return {f"{FAILURES}/{number}/{each.offset}" for number, log in logs for each in log.committed()}

    def claims(self) -> list[tuple[float, int, str]]:
        """Every claim that stands: when, of which term, by whom."""
        return [(at_s, line.term, line.owner) for at_s, line in self._lines(LedgerKind.CLAIM)]

    def _lines(self, kind: LedgerKind) -> Iterator[tuple[float, LedgerRecord]]:
        return ((commit.at_s, line) for commit in self.commits for line in commit.lines if line.kind is kind)

    def outcomes(self) -> list[tuple[float, dict[str, Any]]]:
        """Every outcome, and when it was committed."""
        return [(commit.at_s, outcome) for commit in self.commits for outcome in commit.outcomes]
