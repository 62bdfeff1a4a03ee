"""Tests of the application over its ASGI interface, on the real dispatcher in memory."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx

from fastapi_app.app import create_app
from fastapi_app.emails import TENANT, request_id_of
from fastapi_app.results import DEAD_LETTERS
from fastapi_app.store import Store
from headrace import GenerationClient
from headrace.broker.testing import Answer, Asked, MemoryBroker, Said

LEAD = {"id": "17", "company": "Lakeshore Trust", "contact": "Ada"}
REFUSAL = Said(400, {"error": {"message": "Invalid prompt", "code": "invalid_prompt", "type": "x"}})


@asynccontextmanager
async def serving(broker: MemoryBroker, store: Store, *, wait_s: float = 5.0) -> AsyncIterator[httpx.AsyncClient]:
    """The application between its start and its shutdown."""
    app = create_app(broker.connection, store, wait_s=wait_s)
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://emails") as http,
    ):
        yield http


@asynccontextmanager
async def service(
    answer: Callable[[Asked], Answer] | None = None, *, latency_s: float = 0.0, wait_s: float = 5.0
) -> AsyncIterator[tuple[httpx.AsyncClient, MemoryBroker]]:
    async with MemoryBroker(answer, latency_s=latency_s, topics=(DEAD_LETTERS,)) as broker:
        with Store(":memory:") as store:
            async with serving(broker, store, wait_s=wait_s) as http:
                yield http, broker


async def result(http: httpx.AsyncClient, lead: str = "17") -> httpx.Response:
    async with asyncio.timeout(10):
        while (answer := await http.get(f"/emails/{lead}")).status_code == 202:
            await asyncio.sleep(0.005)
    return answer


async def test_who_waits_gets_the_email() -> None:
    async with service(lambda _asked: "Dear Ada") as (http, _):
        answer = await http.post("/emails?wait=true", json=LEAD)
    assert (answer.status_code, answer.json()["text"]) == (200, "Dear Ada")


async def test_without_waiting_the_request_is_accepted_and_its_result_is_stored_by_the_reader() -> None:
    async with service(lambda _asked: "Dear Ada", latency_s=0.05) as (http, _):
        accepted = await http.post("/emails", json=LEAD)
        assert (accepted.status_code, accepted.json()["state"]) == (202, "accepted")
        assert accepted.headers["location"] == "/emails/17"
        assert (await http.get("/emails/17")).status_code == 202
        found = await result(http)
    assert (found.status_code, found.json()["text"]) == (200, "Dear Ada")


async def test_a_wait_that_takes_too_long_is_answered_202_and_the_result_comes_later() -> None:
    async with service(lambda _asked: "Dear Ada", latency_s=0.3, wait_s=0.05) as (http, broker):
        assert (await http.post("/emails?wait=true", json=LEAD)).status_code == 202
        assert (await result(http)).json()["text"] == "Dear Ada"
        assert len(broker.calls) == 1


async def test_however_often_it_is_requested_it_is_called_once() -> None:
    async with service(lambda _asked: "Dear Ada", latency_s=0.05) as (http, broker):
        both = [http.post("/emails?wait=true", json=LEAD) for _ in range(3)] + [http.post("/emails", json=LEAD)]
        await asyncio.gather(*both)
        assert (await http.post("/emails", json=LEAD)).json()["text"] == "Dear Ada"
        assert len(broker.calls) == 1


async def test_the_same_lead_with_other_data_is_a_conflict() -> None:
    async with service() as (http, broker):
        await http.post("/emails?wait=true", json=LEAD)
        assert (await http.post("/emails", json=LEAD | {"contact": "Bob"})).status_code == 409
        assert len(broker.calls) == 1


async def test_a_request_that_fails_says_why_waiting_or_not() -> None:
    async with service(lambda _asked: REFUSAL) as (http, _):
        waited = await http.post("/emails?wait=true", json=LEAD)
        await http.post("/emails", json=LEAD | {"id": "18"})
        later = await result(http, "18")
    for answer in (waited, later):
        assert (answer.status_code, answer.json()["state"], answer.json()["reason"]) == (200, "failed", "rejected")


async def test_while_kafka_is_away_a_request_is_told_to_come_again_and_is_then_called_once() -> None:
    async with service(lambda _asked: "Dear Ada", wait_s=0.05) as (http, broker):
        broker.kafka.stop()
        refused = await http.post("/emails?wait=true", json=LEAD)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert (await http.get("/healthz")).status_code == 200
        broker.kafka.start_again()
        await http.post("/emails", json=LEAD)
        assert (await result(http)).json()["text"] == "Dear Ada"
        assert len(broker.calls) == 1


async def test_a_result_that_came_while_the_service_was_down_is_stored_after_its_start() -> None:
    async with MemoryBroker(lambda _asked: "Dear Ada", latency_s=0.2, topics=(DEAD_LETTERS,)) as broker:
        with Store(":memory:") as store:
            async with serving(broker, store) as http:
                await http.post("/emails", json=LEAD)
            while not broker.outcomes:
                await asyncio.sleep(0.005)
            async with serving(broker, store) as http:
                assert (await result(http)).json()["text"] == "Dear Ada"


async def test_an_outcome_of_another_service_with_our_id_is_not_stored() -> None:
    async with service(lambda _asked: "Dear Ada") as (http, broker):
        body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
        async with GenerationClient(connection=broker.connection) as others:
            await others.generate(body, lane="urgent", tenant=f"not-{TENANT}", id=request_id_of("17"))
        assert (await http.post("/emails?wait=true", json=LEAD)).status_code == 409
        assert (await http.get("/emails/17")).json()["text"] is None


async def test_the_probe_fails_once_results_are_no_longer_stored() -> None:
    async with service() as (http, _):
        assert (await http.get("/healthz")).status_code == 200
    async with MemoryBroker() as broker:  # the topic for dead letters is missing
        with Store(":memory:") as store:
            app = create_app(broker.connection, store)
            lifespan = app.router.lifespan_context(app)
            await lifespan.__aenter__()
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://emails") as http:
                while (await http.get("/healthz")).status_code == 200:
                    await asyncio.sleep(0.005)


async def test_what_is_no_lead_is_refused_and_an_unknown_one_is_not_found() -> None:
    async with service() as (http, broker):
        assert (await http.post("/emails", json=LEAD | {"id": "../x"})).status_code == 422
        assert (await http.get("/emails/99")).status_code == 404
        assert broker.calls == []
