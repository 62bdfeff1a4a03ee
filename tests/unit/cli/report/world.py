"""A results topic, and one of totals, in a Kafka in memory that the verb reads instead of a real one."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.cli.main import main
from headrace.broker.spending.sums import SpendingSums, key_of
from headrace.broker.testing.client_doors import MemoryClientDoors
from headrace.broker.testing.kafka import KafkaLink, MemoryKafka
from headrace.schemas.codec import encode_outcome
from headrace.schemas.outcome import Completed, Cost, Failed, Outcome, Timings, Usage
from headrace.schemas.spending import SpendingKey, SpendingTotal, SpentOutcome, encode_total

NOW = datetime.now(UTC).replace(minute=30, second=0, microsecond=0)
PARTITIONS = 3
RESULTS, TOTALS = "generation.results", "generation.totals"


def completed(ago: timedelta = timedelta(hours=1), **given: Any) -> Completed:
    """An outcome of 300 + 100 tokens for a cent and a half, that finished so long ago."""
    told: dict[str, Any] = {
        "id": "lead-1",
        "lane": "bulk",
        "model": "gpt-4",
        "attempts": 1,
        "usage": Usage(input_tokens=300, output_tokens=100),
        "cost": Cost(micro_usd=15_000, price_list="list 1"),
        "timings": Timings(finished_at=NOW - ago),
        "response": {},
        "charge_tokens": 320,
    }
    return Completed(**{**told, **given})


def failed(**given: Any) -> Failed:
    """An outcome of a request that was not called."""
    return Failed(**{"id": "lead-2", "lane": "bulk", "model": "gpt-4", "reason": "cancelled", **given})


@dataclass
class World:
    """Its clock is set by each record."""

    at: datetime = NOW
    kafka: MemoryKafka = field(init=False)
    doors: MemoryClientDoors = field(init=False)

    def __post_init__(self) -> None:
        self.kafka = MemoryKafka(lambda: int(self.at.timestamp() * 1_000))
        self.kafka.create(RESULTS, PARTITIONS)
        self.doors = MemoryClientDoors(self.kafka, KafkaLink(self.kafka))

    def publish(self, *outcomes: Outcome, partition: int = 0) -> None:
        for outcome in outcomes:
            self.at = outcome.timings.finished_at or NOW - timedelta(minutes=5)
            self.kafka.append(RESULTS, encode_outcome(outcome, time=self.at), partition=partition)

    def total(self, outcomes: Iterable[Outcome], *, series: str = "s1") -> None:
        """Write the totals of these outcomes as one leader."""
        sums: dict[SpendingKey, SpendingSums] = {}
        for outcome in outcomes:
            spent = SpentOutcome.model_validate(outcome)
            sums.setdefault(key_of(spent), SpendingSums()).add(spent)
        if TOTALS not in self.kafka.topic_names():
            self.kafka.create(TOTALS, 1)
        for key, each in sorted(sums.items(), key=lambda item: item[0].hour):
            self.at = datetime.fromtimestamp(key.hour * 3_600 + 1_800, UTC)
            self.kafka.append(TOTALS, encode_total(key, series, SpendingTotal(**each.fields())), partition=0)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(KafkaConnection, "of", lambda settings: made.doors)
    return made


def told(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    """What `headrace report --json` says."""
    assert main(["report", "--json", "--until", f"{NOW:%Y-%m-%dT%H:%M:%SZ}", *arguments]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def printed(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """What `headrace report` prints without a terminal."""
    assert main(["report", "--until", f"{NOW:%Y-%m-%dT%H:%M:%SZ}", *arguments]) == code
    return capsys.readouterr().out
