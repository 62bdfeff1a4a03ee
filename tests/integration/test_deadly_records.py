"""Records that end whoever reads them: each ends itself after so many deaths, and nobody beside them fails."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from headrace.broker.core.bounds import DEATHS_BEFORE_CAUTION, DEATHS_BY_DECODING, DEATHS_BY_TAKING
from headrace.broker.local.services import LocalServices
from headrace.broker.simulator.upstream import Upstream
from headrace.schemas.topics import requests_topic
from tests.integration.fleet import Fleet, producing, read_all, request, send
from tests.integration.kafka_world import append_batch
from tests.integration.mortal import BURST, DEAD, MARKER, PACKED
from tests.integration.test_kills import plentiful
from tests.unit.adapters.raw_batches import ZSTD, batch, one

RESTARTED_AFTER_S = 1.0
"""A platform starts a dead process again; it does not do so at once."""
PLACES = 2
WITHIN_S = 90.0


def deadly(request_id: str) -> dict[str, object]:
    return request(request_id) | {
        "body": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": f"{MARKER}: {request_id}"}]}
    }


@asynccontextmanager
async def kept_running(fleet: Fleet) -> AsyncIterator[list[int]]:
    """A leader and a standby, each started again a second after it has ended; how each of them ended."""
    endings = list[int]()

    async def place() -> None:
        while True:
            process = await fleet.spawn()
            endings.append(await process.child.wait())
            await asyncio.sleep(RESTARTED_AFTER_S)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(place()) for _ in range(PLACES)]
        yield endings
        for task in tasks:
            task.cancel()


@asynccontextmanager
async def mortals(
    services: LocalServices, prefix: str, directory: Path
) -> AsyncIterator[tuple[Upstream, Fleet, AIOKafkaProducer]]:
    """Dispatchers that certain records end, with ten requests in front of what a test sends."""
    async with (
        Upstream(plentiful((0.1, 0.5))) as upstream,
        Fleet(services, prefix, upstream.base_url, directory, module="tests.integration.mortal") as fleet,
        producing(fleet) as producer,
    ):
        await send(producer, fleet, "standard", [request(f"before-{n}") for n in range(10)], partition=0)
        yield upstream, fleet, producer


@pytest.mark.timeout(150)
async def test_a_deadly_record_ends_in_five_deaths_and_all_others_are_answered_once(
    services: LocalServices, tmp_path: Path
) -> None:
    async with mortals(services, "deadly", tmp_path) as (upstream, fleet, producer):
        header = ("ce_subject", b"deadly")  # of what nobody can read only the headers can say who waits
        await send(producer, fleet, "standard", [deadly("deadly")], partition=0, headers=[header])
        await send(producer, fleet, "standard", [request(f"behind-{n}") for n in range(10)], partition=0)
        await send(producer, fleet, "standard", [request(f"beside-{n}") for n in range(20)], partition=1)
        await send(producer, fleet, "urgent", [request(f"urgent-{n}") for n in range(20)])
        begun_s = time.monotonic()
        async with kept_running(fleet) as endings:
            ledger = await read_all(fleet, "results", until=61, within_s=WITHIN_S)
            took_s, deaths = time.monotonic() - begun_s, list(endings)
        letters = await read_all(fleet, "dead-letters")

        print(f"{len(deaths)} deaths, {took_s:.1f} s, {upstream.books().calls} calls of 60 requests")
        assert deaths == [DEAD] * (DEATHS_BEFORE_CAUTION + 1 + DEATHS_BY_DECODING)
        assert set(ledger.counts().values()) == {1}
        ended = {value["id"]: (value["status"], value.get("reason")) for value in ledger.values}
        assert len(ended) == 61
        assert ended.pop("deadly") == ("failed", "crashed")
        assert {status for status, _ in ended.values()} == {"completed"}
        (letter,) = letters.records
        assert dict(letter.headers)["headrace-reason"] == b"crashed"
        assert MARKER.encode() in letter.value


@pytest.mark.timeout(150)
async def test_a_batch_that_must_not_be_unpacked_costs_one_death_more_and_one_dead_letter(
    services: LocalServices, tmp_path: Path
) -> None:
    """Before it stands what was taken: each promotion looks at that again, and the batch comes with the same fetch."""
    async with mortals(services, "bursting", tmp_path) as (_, fleet, producer):
        topic = requests_topic(fleet.prefix, "standard")
        await append_batch(fleet.connection, topic, 0, batch(0, [one(PACKED), one(b"{}")], codec=ZSTD))
        await send(producer, fleet, "standard", [request(f"behind-{n}") for n in range(10)], partition=0)
        await send(producer, fleet, "urgent", [request(f"urgent-{n}") for n in range(10)])
        async with kept_running(fleet) as endings:
            ledger = await read_all(fleet, "results", until=30, within_s=WITHIN_S)
            deaths = list(endings)
        letters = await read_all(fleet, "dead-letters")

        assert set(deaths) == {BURST}
        assert len(deaths) <= DEATHS_BEFORE_CAUTION + 1 + DEATHS_BY_TAKING
        assert set(ledger.counts().values()) == {1}
        assert {value["status"] for value in ledger.values} == {"completed"}
        (letter,) = letters.records
        headers = dict(letter.headers)
        assert (headers["headrace-reason"], headers["headrace-origin"]) == (b"crashed", f"{topic}/0/10".encode())
        assert headers["headrace-message"] == b"Offsets 10 to 11 ended every process that took them."
