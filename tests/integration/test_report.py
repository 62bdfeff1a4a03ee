"""`headrace report` and its reader of ranges on a real Kafka."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from aiokafka import TopicPartition

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.ranges import KafkaRanges
from headrace.broker.adapters.kafka.topics import create_missing
from headrace.broker.cli.main import main
from headrace.broker.local.services import LocalServices
from headrace.broker.range_ports import RangeLog
from headrace.broker.spending.sums import SpendingSums, key_of
from headrace.schemas.codec import encode_outcome
from headrace.schemas.outcome import Completed, Cost, Outcome, Timings, Usage
from headrace.schemas.record import Record
from headrace.schemas.spending import SpendingKey, SpendingTotal, SpentOutcome, encode_total
from headrace.schemas.topics import TopicSpec, results_topic
from tests.contract import range_log_contract
from tests.contract.range_log_contract import RangeLogContract
from tests.integration.dispatching import markers_written
from tests.integration.kafka_world import producing, remove

PARTITIONS = 3


class RealRangeWorld:
    def __init__(self, connection: KafkaConnection, topic: str) -> None:
        self._connection = connection
        self._topic = topic

    def log(self, topic: str | None = None) -> RangeLog:
        return KafkaRanges(self._connection, topic=topic or self._topic)

    async def append(self, partition: int, minute: int, *values: bytes) -> None:
        at_ms = int(range_log_contract.at(minute).timestamp() * 1_000)
        async with producing(self._connection) as producer:
            batch = producer.create_batch()
            for value in values:
                assert batch.append(timestamp=at_ms, key=b"k", value=value, headers=[("name", b"text")])
            await (await producer.send_batch(batch, self._topic, partition=partition))

    async def transact(self, partition: int, minute: int, *values: bytes, commit: bool) -> None:
        at_ms = int(range_log_contract.at(minute).timestamp() * 1_000)
        async with producing(self._connection, transactional_id=f"{self._topic}-t") as producer:
            await producer.begin_transaction()
            for value in values:
                await producer.send_and_wait(self._topic, value, partition=partition, timestamp_ms=at_ms)
            await (producer.commit_transaction() if commit else producer.abort_transaction())
        await markers_written(self._connection, [TopicPartition(self._topic, partition)])

    async def trim(self, partition: int, before: int) -> None:
        await remove(self._connection, TopicPartition(self._topic, partition), before)


class TestKafkaRanges(RangeLogContract):
    @pytest.fixture
    async def world(self, services: LocalServices) -> RealRangeWorld:
        connection = KafkaConnection(services.endpoints.bootstrap_servers)
        topic = f"ranges-{uuid4().hex[:8]}"
        # without retention: the records of the contract have a date of their own
        spec = TopicSpec(topic, range_log_contract.PARTITIONS, 1, {"retention.ms": "-1"})
        await create_missing(connection, [spec])
        return RealRangeWorld(connection, topic)


def outcome(number: int, finished_at: datetime) -> Completed:
    return Completed(
        id=f"lead-{number}",
        lane=("urgent", "bulk")[number % 2],
        model="gpt-4",
        tenant=f"t{number % 5}",
        attempts=1,
        usage=Usage(input_tokens=300 + number, output_tokens=100),
        cost=Cost(micro_usd=number + 0.25, price_list="list 1"),
        timings=Timings(finished_at=finished_at),
        response={"choices": [{"message": {"content": "x" * 1_500}}]},
    )


async def publish(connection: KafkaConnection, topic: str, records: Sequence[tuple[Record, datetime]]) -> None:
    async with producing(connection) as producer:
        sent = [
            await producer.send(
                topic,
                record.value,
                key=record.key,
                headers=list(record.headers),
                timestamp_ms=int(at.timestamp() * 1_000),
            )
            for record, at in records
        ]
        await asyncio.gather(*sent)


def totals(outcomes: Sequence[Outcome]) -> list[tuple[Record, datetime]]:
    sums: dict[SpendingKey, SpendingSums] = {}
    for each in outcomes:
        spent = SpentOutcome.model_validate(each)
        sums.setdefault(key_of(spent), SpendingSums()).add(spent)
    return [
        (encode_total(key, "s1", SpendingTotal(**each.fields())), datetime.fromtimestamp((key.hour + 1) * 3_600, UTC))
        for key, each in sorted(sums.items(), key=lambda item: item[0].hour)
    ]


@pytest.mark.parametrize("read_from", ["results", "totals"])
def test_a_report_of_outcomes_and_one_of_totals_add_up_on_a_real_kafka(
    services: LocalServices, capsys: pytest.CaptureFixture[str], read_from: str
) -> None:
    prefix = f"report-{uuid4().hex[:8]}"
    connection = KafkaConnection(services.endpoints.bootstrap_servers)
    now = datetime.now(UTC)
    ends = now.replace(minute=0, second=0, microsecond=0)
    last_week = [outcome(number, ends - timedelta(minutes=number + 1)) for number in range(2_000)]
    before = [
        outcome(0, each.timings.finished_at - timedelta(days=7)) for each in last_week[:50] if each.timings.finished_at
    ]

    async def fill() -> None:
        configs = {"retention.ms": "-1"}
        names = (results_topic(prefix), PARTITIONS), (f"{prefix}.totals", 1)
        await create_missing(connection, [TopicSpec(name, partitions, 1, configs) for name, partitions in names])
        records = [(encode_outcome(each, time=now), each.timings.finished_at or now) for each in last_week]
        await publish(connection, names[0][0], sorted(records, key=lambda each: each[1]))
        await publish(connection, names[1][0], totals([*before, *last_week]))

    asyncio.run(fill())
    options = ["--bootstrap-servers", connection.bootstrap_servers, "--prefix", prefix, "--by", "tenant,lane"]
    until = f"{ends:%Y-%m-%dT%H:%M:%SZ}"
    assert main(["report", *options, "--from", read_from, "--until", until, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    total = told["total"]
    assert (total["outcomes"], total["micro_usd"]) == (2_000, sum(range(2_000)) + 500)
    assert total["input_tokens"] == sum(300 + number for number in range(2_000))
    assert [row["outcomes"] for row in told["rows"]] == [200] * 10
    assert told["compared_with"]["topic"] == f"{prefix}.totals"
    assert total["tokens_mean_before"] == 400
