"""What a transaction states of the leader's progress: its line in the ledger, and the offsets of the group."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from headrace.broker.clock import WallClock
from headrace.broker.core.commands import Batch
from headrace.broker.core.ticket import CONTROL, TicketNumber
from headrace.broker.ports import Outgoing, StoredOffset, TopicPartition
from headrace.broker.service.calls.base_url_proof import Proof
from headrace.broker.service.intake.grants import Grants
from headrace.broker.service.publishing.ledger_lines import step_record
from headrace.broker.service.publishing.outcome_counts import OutcomeCounts
from headrace.broker.settings.whole import Settings
from headrace.schemas import topics
from headrace.schemas.ledger import LedgerKind, LedgerRecord, encode_ledger, position
from headrace.schemas.record import Record

_IDS_SAID_EVERY_MS: Final = 600_000
_IDS_SAID_AGAIN_PARTS: Final = 4


class LedgerSteps:
    """Maker of the ledger lines of one dispatcher's transactions.

    Attributes:
        line: The last one.
    """

    def __init__(  # noqa: PLR0913 — three of them keyword-only
        self,
        settings: Settings,
        clock: WallClock,
        *,
        owner: str,
        grants: Grants,
        counts: OutcomeCounts,
        proof: Proof,
    ) -> None:
        """`owner` is the token in each line, which carries the `counts` after it.

        At intervals it also carries the key of `grants`, the `proof`, and the ids of the topics.
        """
        self.line = LedgerRecord(LedgerKind.STEP, 0, owner)
        self._owner = owner
        self._clock = clock
        self._grants = grants
        self._counts = counts
        self._proof = proof
        self._prefix = settings.kafka.topic_prefix
        self._topic_ids: dict[str, str] = {}
        self._ids_every_ms = min(_IDS_SAID_EVERY_MS, settings.dedupe.window_s * 1_000 // _IDS_SAID_AGAIN_PARTS)
        self._partitions: int | None = None
        self._said_ms = 0

    def begin(self, topic_ids: Mapping[str, str]) -> None:
        """Begin or resume a term: the next batch stores every partition of these topics."""
        self._topic_ids, self._partitions = dict(topic_ids), None

    def record(self, batch: Batch, term: int, now: datetime, crashed: Collection[TicketNumber] = ()) -> Outgoing:
        """Make the record of a batch's line; the outcomes of `crashed` are Failed though something else was decided."""
        named = tuple(
            position(self._topic(each.partition.lane), each.partition.number, each.offset) for each in batch.suspects
        )
        step = step_record(batch, term, self._owner, now, suspects=named, key=self._grants.for_step())
        counts, proved = self._counts.after(batch, crashed), self._proof.for_step()
        self.line = replace(step, topics=self._ids_to_say(batch), totals=counts, proved=proved)
        return Outgoing(topics.ledger_topic(self._prefix), Record(None, encode_ledger(self.line)))

    def offsets(self, batch: Batch) -> dict[TopicPartition, StoredOffset]:
        """Return the offsets of the group once the batch is committed."""
        return {
            TopicPartition(self._topic(place.lane), place.number): StoredOffset(stored.offset, stored.metadata)
            for place, stored in batch.offsets.items()
        }

    def _ids_to_say(self, batch: Batch) -> dict[str, str]:
        """Return the ids of the topics of the stored progress: where all of it is stored, and again at intervals."""
        now_ms = self._clock.now_ms()
        if self._partitions is None:
            self._partitions = len(batch.offsets)
        elif len(batch.offsets) < self._partitions or now_ms - self._said_ms < self._ids_every_ms:
            return {}
        self._said_ms = now_ms
        return self._topic_ids

    def _topic(self, lane: str) -> str:
        return topics.control_topic(self._prefix) if lane == CONTROL else topics.requests_topic(self._prefix, lane)
