"""Topics that are made larger, or anew, while a group of readers or a dispatcher takes from them, on a real Kafka."""

import asyncio
import json
import uuid
from contextlib import suppress
from pathlib import Path

import pytest

from headrace.broker.local.services import LocalServices
from headrace.broker.simulator.upstream import Upstream, UpstreamSettings
from headrace.consumers.results import ResultReader
from headrace.schemas.record import Record
from headrace.schemas.topics import ledger_topic, requests_topic, results_topic
from tests.contract.changing_topics_contract import FOUND_WITHIN_S, outcome
from tests.integration.fleet import AS_SHIPPED, Fleet, read_all, request
from tests.integration.real_topics import RealTopics, topics_of


async def test_a_group_and_an_onlooker_read_all_of_twelve_results_partitions_made_twenty_four(
    services: LocalServices,
) -> None:
    world = await topics_of(services, 12)
    topic = results_topic(world.prefix)
    wanted = {f"lead-{number}" for number in range(24)}
    by_group: set[str] = set()
    by_onlooker: set[str] = set()

    def reader(group: str | None) -> ResultReader:
        return ResultReader(connection=world.connection, topic_prefix=world.prefix, group=group, start="latest")

    async def read(results: ResultReader, seen: set[str], all_read: asyncio.Event) -> None:
        async for each in results:
            seen.add(each.id)
            if wanted <= seen:
                all_read.set()

    async with reader("mailer") as first, reader("mailer") as second, reader(None) as onlooker:
        group_done, onlooker_done = asyncio.Event(), asyncio.Event()
        async with asyncio.TaskGroup() as readers:
            tasks = [
                readers.create_task(read(first, by_group, group_done)),
                readers.create_task(read(second, by_group, group_done)),
                readers.create_task(read(onlooker, by_onlooker, onlooker_done)),
            ]
            await world.add_partitions(topic, 24)
            for number in range(24):
                await world.publish(topic, outcome(f"lead-{number}"), partition=number)
            with suppress(TimeoutError):
                async with asyncio.timeout(FOUND_WITHIN_S):
                    await group_done.wait()
                    await onlooker_done.wait()
            for task in tasks:
                task.cancel()
    assert (wanted - by_group, wanted - by_onlooker) == (set(), set())


@pytest.mark.timeout(120)
async def test_a_lane_made_anew_under_its_leader_is_taken_from_its_first_record(
    services: LocalServices, tmp_path: Path
) -> None:
    def written(*names: str) -> list[Record]:
        return [Record(b"acme", json.dumps(request(name)).encode()) for name in names]

    prefix = f"anew-{uuid.uuid4().hex[:8]}"
    settings = UpstreamSettings(
        tokens_per_minute=60_000_000, requests_per_minute=600_000, latency_s=(0.01, 0.02), seed=7, port=0
    )
    async with (
        Upstream(settings) as upstream,
        Fleet(services, prefix, upstream.base_url, tmp_path, shapes=AS_SHIPPED) as fleet,
    ):
        leader = await fleet.start()
        await fleet.until(leader, "leader")
        world, topic = RealTopics(fleet.connection, prefix), requests_topic(prefix, "urgent")
        former, new = [f"former-{number}" for number in range(3)], [f"new-{number}" for number in range(20)]
        await world.publish(topic, *written(*former), partition=0)
        await read_all(fleet, "results", until=len(former), within_s=20)
        await world.make_anew(topic, 2)
        await world.publish(topic, *written(*new), partition=0)
        await world.publish(requests_topic(prefix, "bulk"), *written("aside"), partition=0)
        ledger = await read_all(fleet, "results", until=len(former) + len(new) + 1, within_s=40)
        assert {name for name, _ in ledger.counts()} == {*former, *new, "aside"}
        assert set(ledger.counts().values()) == {1}
        assert leader.child.returncode is None
        assert "lane_made_anew" in leader.said()


@pytest.mark.timeout(180)
async def test_a_ledger_made_anew_under_its_leader_holds_again_what_was_answered(
    services: LocalServices, tmp_path: Path
) -> None:
    """Its successor calls nothing again."""
    prefix = f"anew-{uuid.uuid4().hex[:8]}"
    settings = UpstreamSettings(
        tokens_per_minute=60_000_000, requests_per_minute=600_000, latency_s=(0.01, 0.02), seed=7, port=0
    )
    async with (
        Upstream(settings) as upstream,
        Fleet(services, prefix, upstream.base_url, tmp_path, shapes=AS_SHIPPED) as fleet,
    ):
        leader = await fleet.start()
        await fleet.until(leader, "leader")
        world, topic = RealTopics(fleet.connection, prefix), requests_topic(prefix, "urgent")
        asked = [Record(b"acme", json.dumps(request(f"lead-{number}")).encode()) for number in range(20)]
        await world.publish(topic, *asked, partition=0)
        await read_all(fleet, "results", until=20, within_s=20)
        await world.make_anew(ledger_topic(prefix), 1)
        async with asyncio.timeout(40):
            while "ledger_made_anew" not in leader.said():
                await asyncio.sleep(0.2)
        retold = await read_all(fleet, "ledger", until=3, within_s=30)
        assert retold.values[0]["kind"] == "claim"
        await fleet.until(leader, "leader")
        await fleet.kill(leader)
        successor = await fleet.start()
        await fleet.until(successor, "leader")
        await world.publish(topic, *asked, Record(b"acme", json.dumps(request("last")).encode()), partition=0)
        ledger = await read_all(fleet, "results", until=21, within_s=40)
        assert len(ledger.counts()) == 21
        assert set(ledger.counts().values()) == {1}
        assert upstream.books().calls == 21
