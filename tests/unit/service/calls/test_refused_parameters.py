"""What OpenAI refuses of a request ends it at once, `rejected`, with OpenAI's own words, as recorded."""

from typing import Any

import pytest

from headrace.broker.core.answers.error_body import answer_of
from headrace.broker.core.answers.verdict import Meaning, judge
from headrace.broker.testing.upstream import Said
from headrace.schemas.codec import decode_outcome
from headrace.schemas.outcome import Failed
from tests.unit.core import recorded
from tests.unit.service.rig import MODEL, Process, World, led, until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

BODIES: dict[str, dict[str, Any]] = {
    "chat.completions": {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "stop": ["."]},
    "responses": {"model": MODEL, "input": "Hi", "stop": ["."]},
    "embeddings": {"model": MODEL, "input": ["Hi", "you"], "stop": ["."]},
}


def errors() -> list[dict[str, Any]]:
    """Every recorded 400 that is about the request itself."""
    told = [row for row in recorded.errors() if row["status"] == 400]
    return [
        error
        for row in told
        for error in [{"message": row["message"], "type": row["type"], "param": row.get("param"), "code": row["code"]}]
        if judge(answer_of(400, {}, {"error": error})).meaning is Meaning.REJECTED
    ]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("endpoint", BODIES)
async def test_a_refused_parameter_is_rejected_in_openais_words_and_called_once(endpoint: str, streamed: bool) -> None:  # noqa: FBT001
    if streamed and endpoint == "embeddings":
        return  # is refused before any call
    refusals = {f"r{number}": error for number, error in enumerate(errors())}
    assert any(error["code"] == "unsupported_parameter" for error in refusals.values())
    world = World(script=lambda asked: Said(400, {"error": refusals[asked.request_id]}))
    process = Process(world, "one").start()
    await led(process)
    for request_id in refusals:
        world.submit(request_id, endpoint=endpoint, body=BODIES[endpoint], stream=streamed)
    await until(lambda: len(world.outcomes()) == len(refusals))
    await process.end()
    for fetched in world.kafka.committed("t.results"):
        outcome = decode_outcome(fetched.record.value, fetched.record.headers)
        assert isinstance(outcome, Failed)
        assert (outcome.reason, outcome.attempts) == ("rejected", 1)
        assert outcome.error == {"status": 400, **refusals[outcome.id]}
    assert set(world.upstream.calls.values()) == {1}
    assert len(world.dead_letters()) == len(refusals)
