"""Files and batches as the official SDK sees them, on a Headrace in memory."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp
import openai
import pytest
from openai.types import Batch

from headrace.broker.testing.upstream import Asked, Said
from headrace.schemas.topics import batches_topic
from tests.unit.gateway.batches.world import (
    PREFIX,
    Replica,
    World,
    custom_ids,
    jsonl,
    line,
    numbered,
    rows,
    unled,
    uploaded,
    world,
)

pytestmark = pytest.mark.slow  # each starts a dispatcher, and waits for a batch

CHAT: Final = "/v1/chat/completions"


def said(asked: Asked) -> dict[str, Any] | Said | str:
    """Answer all but what is to be refused."""
    if "refuse" in json.dumps(asked.body):
        error = {"message": "It is too long.", "type": "invalid_request_error", "param": "messages", "code": "too_long"}
        return Said(status=400, body=json.dumps({"error": error}))
    return "Dear Ada"


@pytest.fixture
async def one() -> AsyncIterator[tuple[World, Replica]]:
    async with world(answer=said) as there, there.replica() as replica:
        yield there, replica


async def begun(client: openai.AsyncOpenAI, content: bytes, **options: Any) -> Batch:
    asked: dict[str, Any] = {"endpoint": CHAT, "completion_window": "24h", **options}
    return await client.batches.create(input_file_id=await uploaded(client, content), **asked)


async def ended(client: openai.AsyncOpenAI, batch: Batch) -> Batch:
    async with asyncio.timeout(30):
        while batch.status in {"validating", "in_progress", "finalizing", "cancelling"}:
            await asyncio.sleep(0.05)
            batch = await client.batches.retrieve(batch.id)
    return batch


async def counted(client: openai.AsyncOpenAI, batch: Batch, completed: int) -> None:
    """Wait until so many lines are answered."""
    async with asyncio.timeout(20):
        counts = batch.request_counts
        while counts is None or counts.completed < completed:
            await asyncio.sleep(0.05)
            counts = (await client.batches.retrieve(batch.id)).request_counts


async def test_a_batch_comes_back_with_each_line_once(one: tuple[World, Replica]) -> None:
    client = one[1].client()
    batch = await begun(client, jsonl(*numbered(30), line("bad", user="refuse")), metadata={"for": "leads"})
    assert (batch.status, batch.request_counts and batch.request_counts.total) == ("validating", 0)
    batch = await ended(client, batch)
    assert batch.status == "completed", batch.errors
    assert batch.request_counts is not None
    assert batch.request_counts.to_dict() == {"total": 31, "completed": 30, "failed": 1}
    assert batch.metadata == {"for": "leads"}
    assert batch.usage is not None
    assert batch.usage.total_tokens == 30 * 15
    assert batch.output_file_id is not None
    assert batch.error_file_id is not None
    output = (await client.files.content(batch.output_file_id)).content
    assert sorted(custom_ids(output)) == sorted(f"lead-{number}" for number in range(30))
    row = rows(output)[0]
    assert row["id"].startswith("batch_req_")
    assert (row["error"], row["response"]["status_code"]) == (None, 200)
    assert row["response"]["body"]["choices"][0]["message"]["content"] == "Dear Ada"
    (failed,) = rows((await client.files.content(batch.error_file_id)).content)
    assert (failed["custom_id"], failed["error"], failed["response"]["status_code"]) == ("bad", None, 400)
    assert failed["response"]["body"]["error"]["code"] == "too_long"
    about = await client.files.retrieve(batch.output_file_id)
    assert (about.bytes, about.purpose) == (len(output), "batch_output")


@pytest.mark.parametrize(
    ("endpoint", "model"), [("/v1/responses", "gpt-4o-mini"), ("/v1/embeddings", "text-embedding-3-small")]
)
async def test_other_endpoints_have_batches_too(one: tuple[World, Replica], endpoint: Any, model: str) -> None:
    client = one[1].client()
    batch = await begun(client, jsonl(line("a", url=endpoint, model=model)), endpoint=endpoint)
    batch = await ended(client, batch)
    assert batch.output_file_id is not None
    assert custom_ids((await client.files.content(batch.output_file_id)).content) == ["a"]


async def test_requests_go_onto_the_bulk_lane_under_the_keys_tenant(one: tuple[World, Replica]) -> None:
    there, replica = one
    await ended(replica.client(), await begun(replica.client(), jsonl(line("a"))))
    (outcome,) = there.broker.outcomes
    assert (outcome.lane, outcome.tenant, outcome.metadata) == ("bulk", "acme", {"custom_id": "a"})


async def test_an_invalid_file_fails_the_batch_with_its_lines_and_calls_nothing(one: tuple[World, Replica]) -> None:
    there, replica = one
    content = jsonl(line("a")) + b"no json\n" + jsonl(line("a"), line("b", model="o1"), {**line("c"), "url": "/v1/x"})
    batch = await ended(replica.client(), await begun(replica.client(), content))
    assert batch.status == "failed"
    assert batch.failed_at is not None
    assert batch.errors is not None
    told = [(error.line, error.code) for error in batch.errors.data or ()]
    assert told == [(2, "invalid_json_line"), (3, "duplicate_custom_id"), (4, "model_not_found"), (5, "invalid_url")]
    assert not there.broker.calls


async def test_another_tenant_finds_nothing_and_another_key_of_the_tenant_everything(
    one: tuple[World, Replica],
) -> None:
    ada, bob, eve = (one[1].client(key) for key in ("ada", "bob", "eve"))
    batch = await ended(ada, await begun(ada, jsonl(line("a"))))
    assert batch.output_file_id is not None
    for file_id in (batch.input_file_id, batch.output_file_id):
        for ask in (eve.files.retrieve, eve.files.content, eve.files.delete):
            with pytest.raises(openai.NotFoundError):
                await ask(file_id)
        assert (await bob.files.retrieve(file_id)).id == file_id
    for look in (eve.batches.retrieve, eve.batches.cancel):
        with pytest.raises(openai.NotFoundError):
            await look(batch.id)
    with pytest.raises(openai.BadRequestError):
        await eve.batches.create(input_file_id=batch.input_file_id, endpoint=CHAT, completion_window="24h")
    assert [each.id async for each in eve.files.list()] == []
    assert [each.id async for each in eve.batches.list()] == []
    assert [each.id async for each in bob.batches.list()] == [batch.id]


async def test_lists_are_paged_newest_first(alone: Replica) -> None:
    client = alone.client()
    batches = [await begun(client, jsonl(line("a"))) for _ in range(5)]
    page = await client.batches.list(limit=2)
    assert ([each.id for each in page.data], page.has_more) == ([batches[4].id, batches[3].id], True)
    assert [each.id async for each in client.batches.list(limit=2)] == [each.id for each in reversed(batches)]
    files = [each.id async for each in client.files.list(limit=2, purpose="batch", order="asc")]
    assert files == [each.input_file_id for each in batches]
    with pytest.raises(openai.BadRequestError):
        await client.batches.list(after="batch_that_is_not_there")
    with pytest.raises(openai.BadRequestError):
        await client.batches.list(limit=101)


async def test_what_was_uploaded_comes_back_whole_and_can_be_deleted(alone: Replica) -> None:
    client = alone.client()
    content = jsonl(*({"custom_id": str(number), "pad": "x" * 1_000} for number in range(1_500)))  # three parts
    file_id = await uploaded(client, content)
    assert (await client.files.content(file_id)).content == content
    about = await client.files.retrieve(file_id)
    assert (about.bytes, about.filename, about.status) == (len(content), "in.jsonl", "processed")
    assert (await client.files.delete(file_id)).deleted
    with pytest.raises(openai.NotFoundError):
        await client.files.retrieve(file_id)


async def test_a_batch_outlives_its_input_file(one: tuple[World, Replica]) -> None:
    client = one[1].client()
    batch = await begun(client, jsonl(*numbered(5)))
    await client.files.delete(batch.input_file_id)
    assert (await ended(client, batch)).status == "completed"


async def test_content_that_the_topic_no_longer_keeps_is_not_found() -> None:
    async with unled() as there, there.replica() as replica:
        client, kafka = replica.client(), there.broker.kafka
        file_id = await uploaded(client, jsonl(line("a")))
        for log in kafka.logs(batches_topic(PREFIX))[1:]:
            log.trim(log.end)
        with pytest.raises(openai.NotFoundError):
            await client.files.content(file_id)


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"endpoint": "/v1/moderations"}, "endpoint"),
        ({"endpoint": None}, "endpoint"),
        ({"completion_window": "soon"}, "completion_window"),
        ({"completion_window": "30d"}, "completion_window"),
        ({"input_file_id": "file-none"}, "input_file_id"),
        ({"input_file_id": 7}, "input_file_id"),
        ({"metadata": {"tags": ["a"]}}, "metadata.tags"),
        ({"metadata": {"a": "x" * 600}}, "metadata"),
        ({"metadata": [1]}, "metadata"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 1}}, "expires_after.seconds"),
        ({"output_expires_after": {"anchor": "later"}}, "output_expires_after"),
    ],
    ids=range(11),
)
async def test_a_wrong_batch_is_refused(alone: Replica, changed: dict[str, Any], param: str) -> None:
    client = alone.client()
    file_id = await uploaded(client, jsonl(line("a")))
    asked = {"input_file_id": file_id, "endpoint": CHAT, "completion_window": "24h", **changed}
    with pytest.raises(openai.BadRequestError) as refused:
        await client.batches.create(**asked)
    assert refused.value.param == param


async def test_a_body_that_is_no_json_object_is_refused(alone: Replica) -> None:
    assert alone.server is not None
    url, headers = alone.server.make_url("/v1/batches"), {"Authorization": "Bearer ada"}
    async with aiohttp.ClientSession(headers=headers) as http:
        for body, status in ((b"[1]", 400), (b"{", 400), (b"", 400), (b"x" * 100_000, 413)):
            async with http.post(url, data=body) as answer:
                assert answer.status == status
                assert "error" in await answer.json()


async def test_while_kafka_is_away_the_sdk_is_told_to_come_again(one: tuple[World, Replica]) -> None:
    there, replica = one
    client = replica.client()
    file_id = await uploaded(client, jsonl(line("a")))
    replica.link.cut()
    with pytest.raises(openai.InternalServerError) as refused:
        await client.files.retrieve(file_id)
    assert (refused.value.status_code, refused.value.response.headers["retry-after"]) == (503, "2")
    replica.link.mend()
    assert (await client.files.retrieve(file_id)).id == file_id
    assert not there.broker.calls


async def test_a_cancelled_batch_ends_with_what_was_answered_and_an_error_for_each_other_line() -> None:
    def slowly(asked: Asked) -> Said | str:
        number = int(asked.request_id.split("-")[1])
        return "Dear Ada" if number < 10 else Said(after_s=60.0)

    async with world(answer=slowly) as there, there.replica() as replica:
        client = replica.client()
        batch = await begun(client, jsonl(*numbered(40)))
        await counted(client, batch, 10)
        batch = await client.batches.cancel(batch.id)
        assert batch.status == "cancelling"
        assert (await client.batches.cancel(batch.id)).status in {"cancelling", "cancelled"}
        batch = await ended(client, batch)
        assert (batch.status, batch.cancelled_at is not None) == ("cancelled", True)
        assert batch.request_counts is not None
        assert batch.request_counts.to_dict() == {"total": 40, "completed": 10, "failed": 30}
        assert batch.error_file_id is not None
        errors = rows((await client.files.content(batch.error_file_id)).content)
        assert {(row["response"], row["error"]["code"]) for row in errors} == {(None, "batch_cancelled")}
        with_status = await client.batches.cancel(batch.id)
        assert with_status.status == "cancelled"


async def test_an_expired_batch_ends_with_an_error_for_each_line_without_an_answer() -> None:
    async with world(answer=lambda _: Said(after_s=60.0)) as there, there.replica() as replica:
        client = replica.client()
        batch = await ended(client, await begun(client, jsonl(*numbered(5)), completion_window="2s"))
        assert (batch.status, batch.expired_at is not None) == ("expired", True)
        assert batch.error_file_id is not None
        errors = rows((await client.files.content(batch.error_file_id)).content)
        assert [row["error"]["code"] for row in errors] == ["batch_expired"] * 5


async def test_a_batch_that_has_ended_cannot_be_cancelled(one: tuple[World, Replica]) -> None:
    client = one[1].client(max_retries=5)
    batch = await ended(client, await begun(client, jsonl(line("a"))))
    with pytest.raises(openai.ConflictError, match="Cannot cancel a batch with status 'completed'"):
        await client.batches.cancel(batch.id)
