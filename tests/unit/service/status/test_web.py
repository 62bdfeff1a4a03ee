"""What probes, scrapes and people see of a process; of a prompt they see nothing."""

import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from headrace.broker.core.commands import (
    Batch,
    Complete,
    DeadLetterOnly,
    Decision,
    Discard,
    Fail,
    Park,
    Publish,
    Settlement,
)
from headrace.broker.core.events import Committed
from headrace.broker.core.ticket import LanePartition, Source
from headrace.broker.errors import SettingsError
from headrace.broker.service.health import Health
from headrace.broker.service.status.web import Web
from headrace.broker.testing.kafka import CommitFault
from headrace.broker.testing.upstream import Asked, Said
from headrace.schemas.record import Record
from tests.unit.service.rig import Process, World, led, until, warmed

SECRET = "confidential-prompt-text"


# ---------------------------------------------------------------------------------------------------- probes


@asynccontextmanager
async def web(
    health: Health, whereabouts: Callable[[str, int | None], dict[str, Any]] | None = None
) -> AsyncIterator[tuple[Web, aiohttp.ClientSession]]:
    serving = Web(
        host="127.0.0.1",
        port=0,
        setting="dispatcher.http_port",
        health=health,
        scrape=lambda accept: (b"headrace_leader 1.0\n", "text/plain; version=0.0.4"),
        status=lambda: {"role": health.role, "name": "Zürich"},
        observed=lambda step, error: None,
        whereabouts=whereabouts,
    )
    async with serving, aiohttp.ClientSession(f"http://127.0.0.1:{serving.port}") as session:
        yield serving, session


@pytest.mark.parametrize(
    ("role", "kafka", "status"),
    [
        ("leader", None, 200),
        ("standby", None, 200),
        ("leader", "Kafka does not answer.", 503),
        ("standby", "Kafka does not answer.", 503),
        ("promoting", None, 503),
        ("suspended", None, 503),
        ("starting", None, 503),
    ],
)
async def test_ready_is_who_leads_or_could_and_reaches_kafka(role: str, kafka: str | None, status: int) -> None:
    health = Health(role=role)
    health.kafka(kafka)
    health.redis(None)
    async with web(health) as (_, session):
        async with session.get("/readyz") as answer:
            told = await answer.json()
            assert answer.status == status
            assert told.get("trouble") == kafka
        async with session.get("/healthz") as answer:
            assert answer.status == 200, "a pod must not be killed because Kafka is away"


async def test_a_redis_that_is_away_is_told_and_leaves_a_process_ready() -> None:
    health = Health(role="leader")
    health.kafka(None)
    health.redis("Redis does not answer.")
    async with web(health) as (_, session), session.get("/readyz") as answer:
        assert answer.status == 200
        assert await answer.json() == {
            "ready": True,
            "role": "leader",
            "kafka": True,
            "redis": False,
            "trouble": "Redis does not answer.",
        }


async def test_metrics_and_status_come_in_their_own_types() -> None:
    async with web(Health(role="standby")) as (_, session):
        async with session.get("/metrics") as answer:
            assert (await answer.text(), answer.headers["Content-Type"]) == (
                "headrace_leader 1.0\n",
                "text/plain; version=0.0.4",
            )
        async with session.get("/status") as answer:
            assert (answer.status, await answer.json()) == (200, {"role": "standby", "name": "Zürich"})
        async with session.get("/elsewhere") as answer:
            assert answer.status == 404


def told_of(request_id: str, run: int | None) -> dict[str, Any]:
    return {"id": request_id, "run": run, "tenant": "Zürich"}


@pytest.mark.parametrize(
    ("query", "request_id", "run"),
    [
        ("id=lead-1", "lead-1", None),
        ("id=lead-1&run=0", "lead-1", 0),
        ("run=65535&id=a%20b%26c", "a b&c", 65_535),
        (f"id={'x' * 128}", "x" * 128, None),
    ],
)
async def test_one_request_is_asked_about_by_its_id_and_perhaps_its_run(
    query: str, request_id: str, run: int | None
) -> None:
    async with web(Health(), told_of) as (_, session), session.get(f"/status?{query}") as answer:
        assert (answer.status, await answer.json()) == (200, {"id": request_id, "run": run, "tenant": "Zürich"})


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("lead-1", "knows no parameter 'lead-1': it takes id, and run beside it."),
        ("id=lead-1&follow=1", "knows no parameter 'follow'"),
        (f"{'x' * 100}=1", f"knows no parameter '{'x' * 40}'"),
        ("id=a&id=b", "takes one id, and 2 were given"),
        ("id=a&run=1&run=1", "takes one run, and 2 were given"),
        ("run=1", "A run belongs to an id: ask /status?id=ID&run=N."),
        ("id=", "An id is 1 to 128 printable ASCII characters."),
        ("id=Z%C3%BCrich", "An id is 1 to 128 printable ASCII characters."),
        (f"id={'x' * 129}", "An id is 1 to 128 printable ASCII characters."),
        *(
            (f"id=a&run={run}", "A run is a whole number from 0 to 65535")
            for run in ("", "-1", "x", "65536", "²", "1.0")
        ),
        (f"id=a&run={'1' * 50}", "A run is a whole number from 0 to 65535"),
    ],
)
async def test_a_question_that_cannot_be_understood_is_answered_with_how_to_ask(query: str, sentence: str) -> None:
    async with web(Health(), told_of) as (_, session), session.get(f"/status?{query}") as answer:
        assert (answer.status, list(told := await answer.json())) == (400, ["error"])
        assert sentence in told["error"]


async def test_a_retrier_knows_no_request_and_says_whom_to_ask() -> None:
    async with web(Health()) as (_, session), session.get("/status?id=lead-1") as answer:
        told = await answer.json()
        assert (answer.status, told["error"]) == (
            400,
            "This process knows no request by its id: ask a dispatcher, at its own port.",
        )


async def test_no_answer_is_taken_for_a_page_and_no_name_in_one_acts_on_a_terminal() -> None:
    hostile = "gpt\u202e\x9b31m\u2028<script>"

    def told(request_id: str, run: int | None) -> dict[str, Any]:
        return {"id": request_id, "run": run, "model": hostile}

    async with web(Health(), told) as (_, session):
        for path in ("/status?id=a", "/status", "/metrics", "/healthz", "/readyz", "/elsewhere", "/status?no=1"):
            async with session.get(path) as answer:
                assert answer.headers["X-Content-Type-Options"] == "nosniff", path
                assert answer.headers["Content-Security-Policy"] == "default-src 'none'", path
        async with session.get("/status?id=a") as answer:
            text = await answer.text()
    assert json.loads(text)["model"] == hostile
    assert text.isprintable()


async def test_a_port_that_is_taken_is_one_sentence_for_a_person() -> None:
    async with web(Health()) as (first, _):
        second = Web(
            host="127.0.0.1",
            port=first.port,
            setting="retrier.http_port",
            health=Health(),
            scrape=lambda accept: (b"", ""),
            status=dict,
            observed=lambda *_: None,
        )
        with pytest.raises(SettingsError, match=rf"HTTP port {first.port} .* retrier.http_port to a free one"):
            await second.__aenter__()


def test_what_is_wrong_is_forgotten_when_it_is_right_again() -> None:
    health = Health()
    health.kafka("Kafka is away.")
    health.redis("Redis is away.")
    assert health.trouble == "Kafka is away. Redis is away."
    health.kafka(None)
    assert (health.trouble, health.kafka_ready, health.redis_ready) == ("Redis is away.", True, False)
    health.redis(None)
    assert health.trouble is None


# ---------------------------------------------------------------------------------------------------- status


def _answers(asked: Asked) -> Said | None:
    if asked.request_id == "refused":
        return Said(400, {"error": {"message": SECRET, "code": "bad"}})
    return Said(503, {"error": {"message": SECRET}}) if asked.request_id == "waits" else None


@pytest.mark.looptime(start=1_000)
async def test_the_status_tells_numbers_and_never_a_prompt() -> None:
    world = World(latency_s=1, script=_answers)
    process = Process(world, "a").start()
    await led(process)
    await warmed(world)
    body: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": SECRET}]}
    for request_id in ("answered", "refused", "waits"):
        world.submit(request_id, "bulk", body=body, metadata={"note": SECRET})
    world.submit("answered", "bulk", body=body)
    await until(lambda: len(world.outcomes()) == 3)
    await until(lambda: bool(process.status.snapshot(world.clock.now_ms())["lanes"]["bulk"]["waiting"]))
    told = process.status.snapshot(world.clock.now_ms())
    assert (told["role"], told["leader"], told["term"], told["trouble"]) == ("leader", "a", 1, None)
    assert (told["lanes"]["bulk"]["waiting"], told["lanes"]["bulk"]["calling"]) == (1, 0)
    assert told["lanes"]["bulk"]["oldest_s"] > 0
    assert told["outcomes"] == {"completed": 2, "rejected": 1}
    assert told["models"]["gpt-4o-mini"]["requests"] == 2
    assert told["limits"]["gpt-4o-mini"]["believed"]
    assert told["limits"]["gpt-4o-mini"]["next_call_s"] is None, "who waits for another attempt stands in no line"
    assert told["leading_since"].startswith("2026-12-01T09:")
    assert (told["pid"], told["url"]) == (os.getpid(), None), "nothing listens here"
    assert told["dedupe"]["ids"] == 3
    text = json.dumps(told) + process.meter.render().decode()
    assert SECRET not in text
    await process.end()


@pytest.mark.looptime(start=1_000)
async def test_the_status_of_a_standby_names_the_leader() -> None:
    world = World()
    first, second = Process(world, "a").start(), Process(world, "b").start()
    await led(first)
    await until(lambda: second.health.holder == "a")
    told = second.status.snapshot(world.clock.now_ms())
    assert (told["role"], told["leader"], told["owner"], told["inflight"]) == ("standby", "a", "b", 0)
    await first.end()
    await second.end()


# ---------------------------------------------------------------------------------------------------- metrics


@pytest.mark.looptime(start=1_000)
async def test_metrics_parse_and_count_what_happened() -> None:
    world = World(latency_s=1, script=_answers)
    process = Process(world, "a").start()
    await led(process)
    await warmed(world)
    world.submit("warm", "urgent")
    world.submit("refused", "bulk")
    await until(lambda: len(world.outcomes()) == 2)
    await until(lambda: process.metric("headrace_duplicates_total", {"lane": "urgent"}) == 1)
    process.telemetry.gauges(process.core, process.health, world.clock.now_ms())
    families = {family.name for family in text_string_to_metric_families(process.meter.render().decode())}
    assert {"headrace_outcomes", "headrace_leader", "headrace_backlog_requests", "headrace_transactions"} <= families
    assert process.metric("headrace_requests_taken_total", {"lane": "urgent"}) == 2
    completed = {"lane": "urgent", "model": "gpt-4o-mini", "status": "completed", "reason": ""}
    failed = {"lane": "bulk", "model": "gpt-4o-mini", "status": "failed", "reason": "rejected"}
    assert process.metric("headrace_outcomes_total", completed) == 1
    assert process.metric("headrace_outcomes_total", failed) == 1
    assert process.metric("headrace_dead_letters_total", {"reason": "rejected"}) == 1
    assert process.metric("headrace_leader") == 1
    assert process.metric("headrace_term") == 1
    assert process.metric("headrace_transactions_total", {"result": "committed"}) > 0
    assert process.metric("headrace_outcome_seconds_count", {"lane": "urgent"}) == 1
    await process.end()
    process.telemetry.gauges(process.core, process.health, world.clock.now_ms())
    assert process.metric("headrace_leader") == 0


@pytest.mark.looptime(start=1_000)
async def test_an_outcome_is_counted_when_it_is_final_and_once() -> None:
    world = World(latency_s=1)
    process = Process(world, "a").start()
    await led(process)
    await warmed(world)
    world.kafka.commit_faults.append(CommitFault.LOST)
    world.submit("again")
    await until(lambda: len(world.outcomes()) == 2)
    await until(lambda: not process.hold.cargo)
    completed = {"lane": "urgent", "model": "gpt-4o-mini", "status": "completed", "reason": ""}
    assert process.metric("headrace_outcomes_total", completed) == 2
    assert process.metric("headrace_transactions_total", {"result": "unknown"}) == 1
    await process.end()


@pytest.mark.looptime(start=1_000)
@pytest.mark.parametrize(
    ("decision", "dead_letters", "outcomes", "duplicates"),
    [
        (Complete(), 0, 1, 0),
        (Fail("rejected", ""), 1, 1, 0),
        (Fail("cancelled", ""), 0, 1, 0),
        (DeadLetterOnly("undecodable", ""), 1, 0, 0),
        (Discard(), 0, 0, 1),
        (Park("quota", "", 0, 1, 1), 0, 0, 0),
    ],
)
async def test_each_decision_is_counted_as_what_it_published(
    decision: Decision, dead_letters: int, outcomes: int, duplicates: int
) -> None:
    world = World()
    process = Process(world, "a")
    handover, place = process.intakes["bulk"]._handover, LanePartition("bulk", 0)
    number = process.hold.put(handover._cargo(Source(place, 0), Record(None, b""), world.clock.utc_now()))
    batch = Batch(1, (Settlement(number, decision),), {}, (), (), ())
    process.telemetry.observe_command(Publish(batch), None)
    process.telemetry.observe_event(Committed(1, 0))
    process.telemetry.observe_event(Committed(1, 0))
    text = process.meter.render().decode()
    totals = {
        name: sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == f"headrace_{name}_total"
        )
        for name in ("dead_letters", "outcomes", "duplicates")
    }
    assert totals == {"dead_letters": dead_letters, "outcomes": outcomes, "duplicates": duplicates}


async def test_metrics_come_in_the_form_that_is_asked_for() -> None:
    async with web(Health(role="standby")) as (served, session):
        served.scrape = lambda accept: (accept.encode(), "text/x-asked")
        async with session.get("/metrics", headers={"Accept": "application/openmetrics-text"}) as answer:
            assert await answer.text() == "application/openmetrics-text"
            assert answer.headers["Content-Type"] == "text/x-asked"
