"""A `Publication` on doubles: requests in, the records of their decisions out."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from headrace.broker.adapters.prometheus.meter import Meter
from headrace.broker.clock import WallClock
from headrace.broker.core.commands import (
    Batch,
    Decision,
    Settlement,
)
from headrace.broker.core.ticket import LanePartition, Source
from headrace.broker.ports import Outgoing
from headrace.broker.service.calls.base_url_proof import Proof
from headrace.broker.service.containment import Containment, ContainmentReporter
from headrace.broker.service.payloads import Payload, PayloadStore
from headrace.broker.service.publishing.costing import Costing
from headrace.broker.service.publishing.ledger_steps import LedgerSteps
from headrace.broker.service.publishing.outcome_counts import OutcomeCounts
from headrace.broker.service.publishing.publication import Publication
from headrace.broker.service.publishing.records import SettlementRecords
from headrace.broker.service.publishing.reply_topics import Replies
from headrace.broker.service.publishing.short_forms import ShortForms
from headrace.broker.service.spending.bookkeeping import Bookkeeping
from headrace.broker.settings.whole import Settings
from headrace.broker.testing.kafka import KafkaLink, MemoryKafka
from headrace.broker.testing.kafka_doors import MemoryReplyTopics
from headrace.schemas.record import Record
from headrace.schemas.request_codec import decode_request
from tests.unit.service.rig import bookkeeping_of, grants_of, proof_of, settings_of

NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
LANE = LanePartition("standard", 3)


def failing(step: str, error: BaseException) -> None:
    raise AssertionError(step) from error


UNPRICED = Costing(None, failing)


def publication_of(
    settings: Settings,
    hold: PayloadStore,
    clock: WallClock,
    replies: Any,
    *,
    contained: ContainmentReporter,
    bookkeeping: Bookkeeping,
    costing: Costing = UNPRICED,
    grants: Any = None,
    proof: Proof | None = None,
) -> Publication:
    """A publication of parts that are given, or do nothing; `replies` and `grants` as far as they are asked."""
    grants, prefix = grants or grants_of(clock), settings.kafka.topic_prefix
    settlements = SettlementRecords(settings, clock, replies, grants=grants, costing=costing)
    return Publication(
        hold,
        clock,
        settlements=settlements,
        short_forms=ShortForms(prefix, contained, settlements.dead_letter, costing),
        steps=LedgerSteps(
            settings, clock, owner="me", grants=grants, counts=OutcomeCounts(), proof=proof or proof_of(clock)
        ),
        bookkeeping=bookkeeping,
    )


class Rig:
    def __init__(self, **groups: Any) -> None:
        self.settings: Settings = settings_of(**groups)
        self.hold = PayloadStore()
        self.clock = clock = WallClock(lambda: 100.0, lambda: NOW)
        self.kafka = MemoryKafka(lambda: 0)
        self.meter = Meter()
        self.replies = Replies(
            MemoryReplyTopics(KafkaLink(self.kafka)), self.settings.replies.allow, meter=self.meter, clock=clock
        )
        self.contained = Containment(self.meter, clock).contained
        self.publish_with(UNPRICED)

    def publish_with(self, costing: Costing, contained: ContainmentReporter | None = None) -> None:
        """Publish with these costs from now on."""
        self.publication = publication_of(
            self.settings,
            self.hold,
            self.clock,
            self.replies,
            contained=contained or self.contained,
            costing=costing,
            bookkeeping=bookkeeping_of(self.kafka, self.clock),
        )

    def cargo(
        self, value: bytes | None, key: bytes | None = b"key", headers: tuple[tuple[str, bytes], ...] = ()
    ) -> Payload:
        record = Record(key, value, headers)
        at = NOW - timedelta(seconds=5)
        cargo = Payload(Source(LANE, 42), "t.requests.standard", record, decode_request(value, headers), at, at, 95_000)
        self.hold.put(cargo)
        return cargo

    def request(self, **fields: Any) -> Payload:
        shape = {"id": "lead-1", "tenant": "acme", "body": {"model": "gpt-4o-mini"}, "metadata": {"lead": 8}} | fields
        cargo = self.cargo(json.dumps(shape).encode())
        cargo.called_at, cargo.called_ms = NOW - timedelta(seconds=3), 97_000
        cargo.finished_at, cargo.finished_ms = NOW - timedelta(seconds=1), 99_000
        cargo.calls, cargo.charge = 2, 33
        return cargo

    def published(self, *decisions: Decision) -> list[Outgoing]:
        """What the decisions write, one for each ticket from the first on; the ledger's line left out."""
        numbers = list(self.hold.cargo)
        settlements = tuple(Settlement(number, each) for number, each in zip(numbers, decisions, strict=True))
        *outgoing, ledger = self.publication.records(replace(BATCH, settlements=settlements), 7)
        assert ledger.topic == "t.ledger"
        return outgoing


BATCH = Batch(1, (), {}, (), (), ())


def headers(outgoing: Outgoing) -> dict[str, str]:
    return {name: value.decode() for name, value in outgoing.record.headers}
