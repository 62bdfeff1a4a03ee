"""What came with a 200 and is no answer that could be published: too deep, not there yet, figures beyond belief."""

from typing import Any

import pytest

from headrace.broker.adapters.openai.stream_assembly import assembly
from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.testing.upstream import Said
from headrace.schemas.bounded_json import NESTING_MAX
from headrace.schemas.codec import decode_outcome
from headrace.schemas.outcome import Completed
from tests.unit.service.calls.test_caller import Rig
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME


@pytest.mark.parametrize(("levels", "meaning"), [(NESTING_MAX - 1, Meaning.OK), (NESTING_MAX, Meaning.UPSTREAM_ERROR)])
async def test_no_answer_is_published_that_our_own_readers_could_not_read(levels: int, meaning: Meaning) -> None:
    inner = "[" * (levels - 2) + "]" * (levels - 2)
    rig = Rig(Said(200, f'{{"choices":[{{"x":{inner}}}]}}'))
    verdict, _ = await rig.call()
    assert verdict.meaning is meaning
    if meaning is Meaning.OK:
        written = rig.outcome()
        assert isinstance(decode_outcome(written.value, written.headers), Completed)


@pytest.mark.parametrize(
    ("status", "meaning"),
    [("completed", Meaning.OK), ("incomplete", Meaning.OK), (None, Meaning.UPSTREAM_ERROR),
     ("failed", Meaning.UPSTREAM_ERROR), ("queued", Meaning.UPSTREAM_ERROR), ("in_progress", Meaning.UPSTREAM_ERROR),
     ("cancelled", Meaning.UPSTREAM_ERROR), ("a word to come", Meaning.UPSTREAM_ERROR)],
)  # fmt: skip
async def test_a_response_that_is_not_there_yet_is_no_answer(status: str | None, meaning: Meaning) -> None:
    rig = Rig(Said(200, {"object": "response", "status": status, "output": []}), endpoint="responses")
    verdict, weight = await rig.call()
    assert (verdict.meaning, verdict.retryable) == (meaning, meaning is not Meaning.OK)
    assert (rig.cargo.response is None) == (weight == 0) == (meaning is not Meaning.OK)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("status", ["queued", "in_progress", "cancelled", "failed", "incomplete", "completed"])
@pytest.mark.parametrize("event", ["response.completed", "response.incomplete", "response.failed", "response.queued"])
async def test_only_a_response_that_has_ended_is_completed_whatever_its_last_event_is_called(
    event: str, status: str, *, stream: bool
) -> None:
    response = {"object": "response", "status": status, "output": [], "background": True}
    assembled = assembly("responses")
    assembled.add({"type": "response.created", "response": {"object": "response", "status": "in_progress"}})
    assembled.add({"type": event, "response": response})
    whole = assembled.whole() if stream else response
    if whole is None:
        assert event == "response.queued", "the door takes a stream without an end for a connection that broke"
        return
    rig = Rig(Said(200, whole), endpoint="responses")
    verdict, _ = await rig.call()
    is_answer = status in {"completed", "incomplete"}
    assert (verdict.meaning is Meaning.OK) == (rig.cargo.response is not None) == is_answer
    assert verdict.counts_as_attempt == (not is_answer)


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("chat.completions", {"id": "r1"}),
        ("chat.completions", {"object": "response", "status": "queued", "output": []}),
        ("chat.completions", {"object": "list", "data": []}),
        ("responses", {"request_id": "deferred"}),
        ("embeddings", {"choices": []}),
        ("chat.completions", {"choices": None}),
        ("chat.completions", {"choices": "many"}),
        ("responses", {"output": None}),
        ("embeddings", {"data": {}}),
        ("chat.completions", {"object": "chat.completion", "choices": [], "usage": {"total_tokens": 3}}),
        ("chat.completions", {"choices": [None]}),
        ("embeddings", {"object": "list", "data": [], "model": "text-embedding-3-small"}),
        ("embeddings", {"data": [1]}),
        ("responses", {"output": []}),
        ("responses", {"object": "response", "output": []}),
        ("responses", {"object": "response", "status": "completed", "output": ["text"]}),
    ],
)
async def test_another_object_than_the_endpoint_answers_with_is_no_answer(endpoint: str, body: dict[str, Any]) -> None:
    rig = Rig(Said(200, body), endpoint=endpoint)
    verdict, weight = await rig.call()
    assert (verdict.meaning, weight, rig.cargo.response) == (Meaning.UPSTREAM_ERROR, 0, None)


async def test_no_usage_is_believed_that_a_metric_could_not_count() -> None:
    huge = {"prompt_tokens": 10**400, "completion_tokens": 10**400, "total_tokens": 1}
    rig = Rig(Said(200, {"choices": [{}], "usage": huge}))
    await rig.call()
    assert rig.cargo.usage is not None
    assert rig.cargo.usage.input_tokens == rig.cargo.usage.output_tokens == 0
