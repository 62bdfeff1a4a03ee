"""Tests of the service without Kafka, Redis or OpenAI: on the real dispatcher in memory, with a scripted model."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace import GenerationClient
from headrace.broker.testing import Answer, Asked, MemoryBroker, Said
from lead_ingest.leads import BadLeads, Lead, body_of, lead_of, read_leads, request_id
from lead_ingest.service import DEAD_LETTERS, TENANT, LeadIngest
from lead_ingest.store import Store

LEADS = [Lead(number, f"Company {number}", "Ada", "en", "", urgent=number % 2 == 0) for number in range(1, 7)]


def broker_of(answer: Callable[[Asked], Answer] | None = None) -> MemoryBroker:
    return MemoryBroker(answer, topics=(DEAD_LETTERS,))


def write_to(asked: Asked) -> str:
    return f"Dear {asked.request_id}"


async def served(broker: MemoryBroker, store: Store, leads: list[Lead]) -> None:
    service = LeadIngest(store, broker.connection)
    service.add(leads)
    async with asyncio.timeout(20):
        await service.run(until_done=True)


async def test_every_lead_gets_its_copy(tmp_path: Path) -> None:
    async with broker_of(write_to) as broker:
        with Store(tmp_path / "leads.db") as store:
            await served(broker, store, LEADS)
            assert store.counts() == {"written": 6}
            assert store.copy_of(3) == "Dear lead-3-first-email"
            assert broker.calls[0].request_id in {request_id(lead.id) for lead in LEADS if lead.urgent}


async def test_what_the_model_will_not_or_cannot_write_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Answer:
        match lead_of(asked.request_id):
            case 1:
                return Said(400, {"error": {"message": "Invalid prompt", "code": "invalid_prompt", "type": "x"}})
            case 2:
                return {"choices": [{"message": {"refusal": "No.", "content": None}, "finish_reason": "stop"}]}
            case 3:
                return {"choices": [{"message": {"content": "Dear"}, "finish_reason": "length"}]}
        return "Dear Ada"

    async with broker_of(answer) as broker:
        with Store(tmp_path / "leads.db") as store:
            await served(broker, store, LEADS)
            assert store.counts() == {"written": 3, "failed": 3}
            assert [(lead, reason) for lead, reason, _ in store.failures()] == [
                (1, "rejected"),
                (2, "refused"),
                (3, "cut"),
            ]


async def test_started_again_it_asks_for_nothing_twice(tmp_path: Path) -> None:
    async with broker_of(write_to) as broker:
        for leads in (LEADS[:3], LEADS, LEADS):
            with Store(tmp_path / "leads.db") as store:
                await served(broker, store, leads)
        assert len(broker.calls) == len(LEADS)


async def test_a_service_that_died_before_it_noted_what_it_asked_pays_nothing_twice(tmp_path: Path) -> None:
    async with broker_of(write_to) as broker:
        async with GenerationClient(connection=broker.connection) as generations:
            for lead in LEADS:  # asked for, and not noted: the store says "new"
                await generations.submit(body_of(lead), lane="bulk", tenant=TENANT, id=request_id(lead.id))
        with Store(tmp_path / "leads.db") as store:
            await served(broker, store, LEADS)
            assert store.counts() == {"written": 6}
        assert len(broker.calls) == len(LEADS)


async def test_a_dispatcher_that_dies_meanwhile_changes_nothing(tmp_path: Path) -> None:
    async with broker_of(write_to) as broker:
        with Store(tmp_path / "leads.db") as store:
            serving = asyncio.create_task(served(broker, store, LEADS))
            await asyncio.sleep(0.02)
            await broker.crash()
            await serving
            assert store.counts() == {"written": 6}
        assert len(broker.outcomes) == len(LEADS)


async def test_a_store_that_fails_for_a_while_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written, failures = Store.written, iter([OSError(), OSError()])

    def flaky(store: Store, *what: object) -> bool:
        for error in failures:
            raise error
        return written(store, *what)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "written", flaky)
    async with broker_of(write_to) as broker:
        with Store(tmp_path / "leads.db") as store:
            await served(broker, store, LEADS)
            assert store.counts() == {"written": 6}
        assert broker.kafka.committed(DEAD_LETTERS) == []


def test_a_later_run_wins_and_an_earlier_one_is_no_news() -> None:
    with Store(":memory:") as store:
        store.add(LEADS[0])
        assert store.failed(1, 0, "exhausted", "OpenAI failed too often.")
        assert store.written(1, 1, "Dear Ada")
        assert not store.failed(1, 0, "exhausted", "OpenAI failed too often.")
        assert store.copy_of(1) == "Dear Ada"


def test_a_conflict_with_what_was_asked_in_other_words_hides_no_answer(tmp_path: Path) -> None:
    with Store(tmp_path / "leads.db") as store:
        store.add(LEADS[0])
        assert store.failed(1, 0, "id_conflict", "The id is known with another body.")
        assert store.written(1, 0, "Dear Ada")
        assert not store.failed(1, 0, "id_conflict", "The id is known with another body.")
        assert store.counts() == {"written": 1}


def test_a_file_of_leads_is_read_and_a_bad_line_is_named(tmp_path: Path) -> None:
    assert [lead.urgent for lead in read_leads(Path(__file__).with_name("leads.csv"))].count(True) == 2
    bad = tmp_path / "bad.csv"
    bad.write_text("id,company,contact,language,note,urgent\n1,A,B,en,,no\nx,A,B,en,,no\n")
    with pytest.raises(BadLeads, match=r"line 3: this is not a lead"):
        list(read_leads(bad))


async def test_what_another_service_with_the_same_ids_was_answered_is_not_written(tmp_path: Path) -> None:
    async with broker_of(write_to) as broker:
        async with GenerationClient(connection=broker.connection) as generations:
            await generations.generate(body_of(LEADS[0]), lane="urgent", tenant="another", id=request_id(1))
        with Store(tmp_path / "leads.db") as store:
            await served(broker, store, LEADS)
            assert store.counts() == {"written": 5, "failed": 1}
            assert [(lead, reason) for lead, reason, _ in store.failures()] == [(1, "id_conflict")]
