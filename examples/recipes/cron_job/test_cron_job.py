"""Tests of the jobs without Kafka, Redis or OpenAI: on the real dispatcher in memory."""

import asyncio
from pathlib import Path

import pytest

from cron_job.jobs import Lead, Result, collect, read_leads, submit
from cron_job.store import Store
from headrace import GenerationClient
from headrace.broker.testing import Asked, MemoryBroker, Said

LEADS = [Lead(str(number), f"Company {number}", "Ada", "en") for number in range(1, 6)]


async def requested(broker: MemoryBroker, store: Store, leads: list[Lead] = LEADS) -> int:
    return await submit(store, leads, broker.connection, topic_prefix="generation")


async def collected(broker: MemoryBroker, store: Store) -> Result:
    return await collect(store, broker.connection, topic_prefix="generation")


async def answered(broker: MemoryBroker, count: int) -> None:
    async with asyncio.timeout(10):
        while len(broker.outcomes) < count:
            await asyncio.sleep(0.005)


async def test_what_one_run_requests_another_one_collects() -> None:
    async with MemoryBroker(lambda asked: f"Dear {asked.request_id}") as broker:
        with Store(":memory:") as store:
            assert await requested(broker, store) == 5
            await answered(broker, 5)
            assert await collected(broker, store) == Result(written=5)
            assert store.emails()["3"] == "Dear first-email-v1/3"
            assert await collected(broker, store) == Result()


async def test_running_it_twice_costs_nothing() -> None:
    async with MemoryBroker() as broker:
        with Store(":memory:") as store:
            assert [await requested(broker, store) for _ in range(3)] == [5, 0, 0]
            await answered(broker, 5)
            assert await requested(broker, store, [*LEADS, Lead("6", "Company 6", "Ada", "en")]) == 1
            await answered(broker, 6)
        assert set(broker.calls_by_id.values()) == {1}


async def test_a_run_that_died_before_it_noted_anything_costs_nothing() -> None:
    async with MemoryBroker() as broker:
        with Store(":memory:") as dead:
            await requested(broker, dead)
        with Store(":memory:") as store:  # nothing of it was written
            assert await requested(broker, store) == 5
            await answered(broker, 5)
            assert await collected(broker, store) == Result(written=5)
        assert len(broker.calls) == 5


async def test_a_request_whose_receipt_was_lost_is_recognised_by_its_outcome() -> None:
    async with MemoryBroker() as broker:
        with Store(":memory:") as dead:
            await requested(broker, dead)
            await answered(broker, 5)
        with Store(":memory:") as store:  # as the next day, when no dispatcher remembers the ids
            assert await requested(broker, store) == 0
            assert store.counts() == {"written": 5}
        assert len(broker.calls) == 5


async def test_a_collection_that_dies_is_made_up_for_by_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async with MemoryBroker() as broker:
        with Store(":memory:") as store:
            await requested(broker, store)
            await answered(broker, 5)
            with monkeypatch.context() as broken:
                broken.setattr(Store, "ended", _disk_full)
                with pytest.raises(OSError, match="disk full"):
                    await collect(store, broker.connection, topic_prefix="generation")
            assert await collected(broker, store) == Result(written=5)


def _disk_full(*_: object, **__: object) -> bool:
    raise OSError("disk full")


async def test_a_failure_is_told_once_and_a_replay_of_it_replaces_it() -> None:
    def refuse(asked: Asked) -> Said | None:
        error = {"error": {"message": "Invalid prompt", "code": "invalid_prompt", "type": "x"}}
        return Said(400, error) if asked.request_id.endswith("/2") else None

    async with MemoryBroker(refuse) as broker:
        with Store(":memory:") as store:
            await requested(broker, store)
            await answered(broker, 5)
            assert await collected(broker, store) == Result(written=4, failures=(("2", "rejected"),))
            assert await collected(broker, store) == Result()
            assert store.ended("2", 1, email="Dear Ada", reason=None)
            assert store.counts() == {"written": 5}
            assert not store.ended("2", 0, email=None, reason="rejected")


async def test_an_answer_that_was_cut_short_is_no_email() -> None:
    cut = {"choices": [{"message": {"content": "Dear"}, "finish_reason": "length"}]}
    async with MemoryBroker(lambda _asked: cut) as broker:
        with Store(":memory:") as store:
            await requested(broker, store, LEADS[:1])
            await answered(broker, 1)
            assert await collected(broker, store) == Result(failures=(("1", "length"),))


async def test_outcomes_of_other_services_are_left_alone_even_if_they_use_our_ids() -> None:
    async with MemoryBroker() as broker:
        body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
        async with GenerationClient(connection=broker.connection) as generations:
            await generations.generate(body, lane="urgent", tenant="acme", id="first-email-v1/1")
            await generations.generate(body, lane="urgent", tenant="acme", id="something-else")
        with Store(":memory:") as store:
            await requested(broker, store, LEADS[:2])
            await answered(broker, 4)
            found = await collected(broker, store)
            assert found == Result(written=1, failures=(("1", "id_conflict"),))


def test_the_file_of_leads_is_read() -> None:
    assert [lead.id for lead in read_leads(Path(__file__).with_name("leads.csv"))] == ["1", "2", "3"]
