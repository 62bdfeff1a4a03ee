"""Dead letters put back on a real Kafka: killed, told to stop, started twice, and each with one outcome in the end."""

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from headrace.broker.adapters.kafka.scan import KafkaScan
from headrace.broker.local.services import LocalServices
from headrace.broker.simulator.upstream import Upstream, UpstreamSettings
from headrace.schemas.codec import encode_dead_letter, encode_outcome
from headrace.schemas.outcome import Completed, Failed
from tests.integration.fleet import Fleet, producing, read_all, request
from tests.integration.prefork import PREFORK, Forked

LETTERS = 300
_DAY = timedelta(days=1)


@dataclass
class Said:
    code: int
    out: str
    err: str

    @property
    def receipts(self) -> list[dict[str, Any]]:
        return [line for line in self._lines if "id" in line]

    @property
    def summary(self) -> dict[str, Any]:
        [summary] = [line["summary"] for line in self._lines if "summary" in line]
        return dict(summary)

    @property
    def _lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


async def begin(fleet: Fleet, *arguments: str, **settings: str) -> Forked:
    return await PREFORK.run(("dead-letters", "replay", *arguments), fleet.environment() | settings)


async def end(child: Forked, within_s: float = 60) -> Said:
    out, err = await asyncio.wait_for(child.communicate(), within_s)
    assert child.returncode is not None
    return Said(child.returncode, out.decode(), without_waiting(err.decode()))


def without_waiting(err: str) -> str:
    """What a process wrote, but for what it waits for, which it says after a second: a busy machine is slower."""
    return "".join(line for line in err.splitlines(keepends=True) if not line.startswith("Waiting for Kafka at "))


async def replay(fleet: Fleet, *arguments: str, **settings: str) -> Said:
    said = await end(await begin(fleet, *arguments, **settings))
    fleet.said[f"`dead-letters replay` number {len(fleet.said) + 1} of {fleet.prefix}"] = said.out + said.err
    return said


async def bury(
    producer: AIOKafkaProducer, fleet: Fleet, names: list[str], *, ago: timedelta = timedelta(minutes=5), **fields: Any
) -> None:
    """What a dispatcher wrote when it gave these up; Kafka's timestamps are as old as they are."""
    told: dict[str, Any] = {"reason": "exhausted", "attempts": 8, "run": 0, "max_bytes": 1_000_000}
    futures = []
    for number, name in enumerate(names):
        failed_at = datetime.now(UTC) - ago + timedelta(milliseconds=number)
        record = encode_dead_letter(
            name.encode(),
            json.dumps(request(name)).encode(),
            (("ce_id", name.encode()), ("ce_subject", name.encode()), ("x-note", b"\xff")),
            origin=(f"{fleet.prefix}.requests.bulk", 0, number),
            failed_at=failed_at,
            **(told | fields),
        )
        stamp = round(failed_at.timestamp() * 1_000)
        futures.append(
            await producer.send(
                f"{fleet.prefix}.dead-letters",
                record.value,
                key=record.key,
                headers=list(record.headers),
                timestamp_ms=stamp,
            )
        )
    await asyncio.gather(*futures)


@asynccontextmanager
async def stage(services: LocalServices, directory: Path) -> AsyncIterator[tuple[Fleet, AIOKafkaProducer, Upstream]]:
    plenty = UpstreamSettings(tokens_per_minute=60_000_000, requests_per_minute=600_000, latency_s=(0.05, 0.1), port=0)
    async with Upstream(plenty) as upstream:
        async with Fleet(services, f"replays-{uuid4().hex[:6]}", upstream.base_url, directory) as fleet:
            async with producing(fleet) as producer:
                yield fleet, producer, upstream


async def on_lane(fleet: Fleet, *, until: int = 0, lane: str = "bulk") -> list[tuple[str, str]]:
    """Id and run of each record there, as often as it stands there."""
    records = (await read_all(fleet, f"requests.{lane}", until=until)).records
    return [(json.loads(each.value)["id"], dict(each.headers).get("headrace-run", b"0").decode()) for each in records]


async def test_killed_three_times_and_gone_on_with_each_has_one_outcome(
    services: LocalServices, tmp_path: Path
) -> None:
    names = [f"lead-{number}" for number in range(LETTERS)]
    async with stage(services, tmp_path) as (fleet, producer, upstream):
        await bury(producer, fleet, names)
        asked = ("--reason", "exhausted", "--since", "1d", "--rate", "60", "--json")
        for seconds in (0.4, 0.9, 1.3):
            child = await begin(fleet, *asked)
            await asyncio.wait_for(child.stdout.readline(), 30)  # it is at work
            await asyncio.sleep(seconds)
            os.kill(child.pid, signal.SIGKILL)
            await end(child)
            assert child.returncode == -signal.SIGKILL
        last = await replay(fleet, *asked)
        assert last.code == 0, last.err
        assert last.summary["done"]
        assert 0 < last.summary["put_back"] < LETTERS
        assert last.summary["skipped"] == {}  # by its progress alone: nothing is answered yet
        assert Counter(await on_lane(fleet, until=LETTERS)) == {(name, "1"): 1 for name in names}
        await fleet.start("dispatcher")
        ledger = await read_all(fleet, "results", until=LETTERS)
        assert ledger.counts() == {(name, 1): 1 for name in names}
        assert {value["status"] for value in ledger.values} == {"completed"}
        assert upstream.books().calls == LETTERS
        again = await replay(fleet, *asked)
        assert (again.code, again.summary["put_back"]) == (0, 0)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_a_signal_ends_the_transaction_under_way_and_says_how_to_go_on(
    services: LocalServices, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    names = [f"lead-{each}" for each in range(200)]
    async with stage(services, tmp_path) as (fleet, producer, _):
        await bury(producer, fleet, names)
        child = await begin(fleet, "--reason", "exhausted", "--rate", "20", "--json")
        first = await asyncio.wait_for(child.stdout.readline(), 30)
        os.kill(child.pid, number)
        said = await end(child, within_s=10)
        assert said.code == code, said.err
        assert said.err.startswith("headrace: Put back ")
        assert said.err.endswith("the same command continues there and puts nothing back twice.\n")
        receipts = [json.loads(first), *said.receipts]
        assert sorted(await on_lane(fleet)) == sorted((each["id"], "1") for each in receipts)
        rest = await replay(fleet, "--reason", "exhausted", "--rate", "500")
        assert rest.code == 0, rest.err
        assert Counter(await on_lane(fleet)) == {(name, "1"): 1 for name in names}


async def test_two_signals_in_one_instant_wait_for_no_transaction_and_lose_nothing(
    services: LocalServices, tmp_path: Path
) -> None:
    names = [f"lead-{each}" for each in range(200)]
    async with stage(services, tmp_path) as (fleet, producer, _):
        await bury(producer, fleet, names)
        for _ in range(3):  # whatever was under way is undone by the next one
            child = await begin(fleet, "--reason", "exhausted", "--rate", "40", "--json")
            await asyncio.wait_for(child.stdout.readline(), 30)
            # Both are there when it goes on: on a busy machine it could end between two sent one after the other.
            for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGCONT):
                os.kill(child.pid, number)
            said = await end(child, within_s=10)
            assert said.code in {130, 143}, said.err
            assert "the same command continues there" in said.err
        rest = await replay(fleet, "--reason", "exhausted", "--rate", "500")
        assert rest.code == 0, rest.err
        assert Counter(await on_lane(fleet)) == {(name, "1"): 1 for name in names}


async def test_a_second_replay_ends_the_first_with_one_sentence(services: LocalServices, tmp_path: Path) -> None:
    names = [f"lead-{each}" for each in range(200)]
    async with stage(services, tmp_path) as (fleet, producer, _):
        await bury(producer, fleet, names)
        first = await begin(fleet, "--reason", "exhausted", "--rate", "20", "--json")
        assert first.stdout is not None
        await asyncio.wait_for(first.stdout.readline(), 30)
        second = await replay(fleet, "--reason", "exhausted", "--rate", "500")
        assert second.code == 0, second.err
        ended = await end(first)
        assert ended.code == 3
        assert f"another replay of {fleet.prefix} has begun, or Kafka was unavailable" in ended.err
        assert ended.err.count("\n") == 1
        assert Counter(await on_lane(fleet)) == {(name, "1"): 1 for name in names}


async def test_a_dry_run_says_the_same_and_writes_nothing_and_what_was_answered_days_ago_is_recognised(
    services: LocalServices, tmp_path: Path
) -> None:
    async with stage(services, tmp_path) as (fleet, producer, _):
        await bury(producer, fleet, [f"old-{each}" for each in range(40)], ago=3 * _DAY)
        await bury(producer, fleet, [f"new-{each}" for each in range(20)])
        await bury(producer, fleet, ["conflict"], reason="id_conflict")
        await bury(producer, fleet, ["cut"], max_bytes=1_000)
        for each in range(40):  # long before any dedupe window
            name, at = f"old-{each}", datetime.now(UTC) - 2 * _DAY
            record = encode_outcome(
                Completed(id=name, run=0, response={})
                if each < 10
                else Failed(id=name, run=int(each < 25), reason="exhausted", message="No."),
                time=at,
            )
            await producer.send_and_wait(
                f"{fleet.prefix}.results",
                record.value,
                key=record.key,
                headers=list(record.headers),
                timestamp_ms=round(at.timestamp() * 1_000),
            )
        dry = await replay(fleet, "--dry-run", "--json")
        assert dry.code == 0, dry.err
        assert dry.summary["skipped"] == {"answered": 25, "cut": 1, "id_conflict": 1}
        assert not await on_lane(fleet)
        assert not [group for group in await groups(fleet) if group.startswith(fleet.prefix)]
        done = await replay(fleet, "--yes", "--rate", "500", "--json")
        assert done.code == 0, done.err
        assert dry.summary | {"dry_run": False} == done.summary
        wanted = {f"old-{each}" for each in range(25, 40)} | {f"new-{each}" for each in range(20)}
        assert Counter(await on_lane(fleet)) == {(name, "1"): 1 for name in wanted}
        assert {each["id"] for each in dry.receipts} == {each["id"] for each in done.receipts} == wanted
        assert done.summary["job"] in await groups(fleet)


async def test_a_conflict_is_answered_under_its_new_id(services: LocalServices, tmp_path: Path) -> None:
    async with stage(services, tmp_path) as (fleet, producer, _):
        await bury(producer, fleet, ["taken"], reason="id_conflict")
        await fleet.start("dispatcher")
        done = await replay(fleet, "--reason", "id_conflict", "--new-id", "--lane", "urgent", "--json")
        [receipt] = done.receipts
        assert (receipt["run"], receipt["lane"]) == (0, "urgent")
        ledger = await read_all(fleet, "results", until=1)
        assert ledger.counts() == {(receipt["id"], 0): 1}
        assert await on_lane(fleet, lane="urgent") == [(receipt["id"], "0")]


async def test_a_scan_goes_on_from_any_offsets(services: LocalServices, tmp_path: Path) -> None:
    async with stage(services, tmp_path) as (fleet, producer, _):
        await bury(producer, fleet, [f"lead-{each}" for each in range(30)])
        scan = KafkaScan(fleet.connection, topic=f"{fleet.prefix}.dead-letters")
        await scan.open()
        try:
            assert scan.firsts == {0: 0, 1: 0, 2: 0}
            assert sum(scan.ends.values()) == scan.offsets == 30
            assert (there := await scan.at(1, 2)) is not None
            assert there.offset == 2
            scan.go_to({0: scan.ends[0], 1: 1, 2: scan.ends[2]})
            assert (scan.offsets, scan.offsets_done) == (scan.ends[1] - 1, 0)
            assert [list(await scan.take(number)) for number in (0, 2)] == [[], []]
            assert [each.offset for each in await scan.take(1)] == list(range(1, scan.ends[1]))
            assert scan.offsets_done == scan.offsets
        finally:
            await scan.close()


async def groups(fleet: Fleet) -> list[str]:
    admin = AIOKafkaAdminClient(**fleet.connection.client_kwargs())
    await admin.start()
    try:
        return [name for name, *_ in await admin.list_consumer_groups()]
    finally:
        await admin.close()
