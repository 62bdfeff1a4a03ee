"""What is kept of an attempt for its outcome: times, ids, usage, errors."""

from collections.abc import Callable, Mapping

import pytest

from headrace.broker.core.answers.verdict import Answer, Meaning
from headrace.broker.core.pricing.references import references
from headrace.broker.ports import UpstreamReply
from headrace.broker.service.calls.caller import Calling
from headrace.broker.service.calls.streaming import Streaming
from headrace.broker.testing.kafka import KafkaLink
from headrace.broker.testing.kafka_doors import MemoryChunks
from headrace.broker.testing.upstream import Asked, Said, ScriptedUpstream, completion
from headrace.schemas.delta import Delta, Head
from headrace.schemas.outcome import Finish
from tests.unit.service.calls.test_caller import ASKED, Rig
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME


async def test_an_answer_is_kept_with_the_time_it_came_and_how_it_ended() -> None:
    rig = Rig()
    begun = rig.clock.utc_now()
    await rig.call()
    assert rig.cargo.called_at == begun
    assert rig.cargo.finished_at == rig.clock.utc_now()
    assert rig.cargo.finished_at > begun
    assert rig.cargo.finish is Finish.STOP


@pytest.mark.parametrize(
    ("headers", "kept"),
    [
        ({"X-Request-Id": "req_1"}, "req_1"),
        ({"x-request-id": "my secret prompt\n"}, None),
        ({"x-request-id": ""}, None),
        ({}, None),
    ],
)
async def test_the_id_by_which_openai_finds_a_call_is_kept_if_it_is_a_word(
    headers: Mapping[str, str], kept: str | None
) -> None:
    rig = Rig(Said(body=completion(ASKED), headers=headers))
    await rig.call()
    assert rig.cargo.upstream_request_id == kept


class Odd(ScriptedUpstream):
    """Answers with an error whose texts are long and no text."""

    async def call(
        self,
        endpoint: str,
        body: Mapping[str, object],
        client_request_id: str,
        on_delta: Callable[[Delta], None] | None = None,
        *,
        on_head: Callable[[Head], None] | None = None,
    ) -> UpstreamReply:
        text = "\ud83d" + "x" * 5_000
        return UpstreamReply(Answer(400, {}, text, text, text, text), None)


async def test_the_texts_of_an_error_are_kept_to_their_bounds_and_as_text() -> None:
    rig = Rig()
    log = MemoryChunks(KafkaLink(rig.kafka), topic="chunks")
    streaming = Streaming(log, rig.clock, lambda: None, contained=rig.telemetry.contained)
    rig.calling = Calling(Odd(), rig.clock, rig.telemetry, streaming, rig.strangers)
    verdict, _ = await rig.call()
    assert verdict.meaning is Meaning.REJECTED
    assert rig.cargo.error == {
        "status": 400,
        "message": "?" + "x" * 1_999,
        **dict.fromkeys(("type", "param", "code"), "?" + "x" * 199),
    }


async def test_what_ends_a_streamed_call_is_what_is_raised() -> None:
    rig = Rig(stream=True)

    def broken(_: Asked) -> Said:
        raise RuntimeError("a defect")

    rig.upstream.script = broken
    with pytest.raises(RuntimeError, match="a defect"):
        await rig.call()


@pytest.mark.parametrize(("store", "is_kept"), [(None, True), (True, True), (False, False)])
async def test_the_mark_of_a_stored_response_is_kept_for_requests_that_name_it(
    store: bool | None,  # noqa: FBT001 — one of the values that an answer may state
    is_kept: bool,  # noqa: FBT001 — likewise
) -> None:
    asked = Asked("responses", {"model": "gpt-4o-mini"}, "lead-1", nth=1, number=1)
    rig = Rig(Said(body=completion(asked) | {"id": "resp_7", "store": store}), endpoint="responses")
    await rig.call()
    named = references("responses", {"previous_response_id": "resp_7"})[0].mark
    assert rig.cargo.answer_mark == (named if is_kept else b"")


@pytest.mark.parametrize("identity", [7, None, ["resp_7"], "", "x" * 300_000])
async def test_an_id_of_any_kind_is_no_obstacle(identity: object) -> None:
    asked = Asked("responses", {"model": "gpt-4o-mini"}, "lead-1", nth=1, number=1)
    rig = Rig(Said(body=completion(asked) | {"id": identity}), endpoint="responses")
    verdict, _ = await rig.call()
    assert verdict.meaning is Meaning.OK
    assert len(rig.cargo.answer_mark) in {0, 8}
