"""Chunks of one call: how they are numbered and gathered, and when none leaves any more."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from headrace.broker.clock import WallClock
from headrace.broker.service.calls.streaming import Streaming
from headrace.schemas.chunk import Chunk
from headrace.schemas.codec import decode_chunk
from headrace.schemas.record import Record
from headrace.schemas.request import GenerationRequest
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME


class Log:
    def __init__(self) -> None:
        self.dropped = 0
        self.prepared = 0
        self.sent: list[tuple[int, Record]] = []
        self._began_s = asyncio.get_running_loop().time()

    def prepare(self) -> None:
        self.prepared += 1

    def send(self, record: Record) -> None:
        self.sent.append((round((asyncio.get_running_loop().time() - self._began_s) * 1_000), record))

    async def close(self) -> None:
        pass


class RottenLog(Log):
    """Raises at every `nth` record that is handed over, and if told so, when it is prepared."""

    def __init__(self, nth: int, *, unprepared: bool = False) -> None:
        super().__init__()
        self.nth, self.unprepared = nth, unprepared

    def prepare(self) -> None:
        if self.unprepared:
            raise RuntimeError

    def send(self, record: Record) -> None:
        super().send(record)
        if len(self.sent) == self.nth:
            self.sent.pop()
            self.nth = 0
            raise RuntimeError


REQUEST = GenerationRequest(id="lead-1", body={"model": "gpt-4o-mini", "messages": []}, tenant="acme", stream=True)


class Rig:
    def __init__(self, log: Log | None = None) -> None:
        self.log, self.term = log or Log(), 7
        self.contained: list[tuple[str, type[BaseException | None], dict[str, str | int | None]]] = []
        clock = WallClock(asyncio.get_running_loop().time, lambda: datetime(2026, 12, 1, 9, tzinfo=UTC))
        self.streaming = Streaming(self.log, clock, lambda: self.term or None, contained=self.note)
        self.telling = self.streaming.begin(REQUEST, 3, 2)

    def note(self, step: str, error: BaseException | None = None, **where: str | int | None) -> None:
        self.contained.append((step, type(error), where))

    @property
    def chunks(self) -> list[Chunk]:
        return [decode_chunk(record.value, record.headers) for _, record in self.log.sent]

    @property
    def told(self) -> list[tuple[int, Any, bool]]:
        """When, what, and whether it was the last."""
        chunks = zip(self.log.sent, self.chunks, strict=True)
        return [(at_ms, _text(chunk.delta), chunk.final) for (at_ms, _), chunk in chunks]


def word(text: str) -> list[Any]:
    return [{"index": 0, "delta": {"content": text}}]


def _text(delta: Any) -> Any:
    return delta[0]["delta"]["content"] if isinstance(delta, list) else delta


async def test_the_first_delta_leaves_at_once_and_the_others_gather_for_fifty_milliseconds() -> None:
    rig = Rig()
    for text in "abcdefghij":
        rig.telling.delta(word(text))
        await asyncio.sleep(0.021)
    rig.telling.end(whole=True)
    whole = [(0, "a"), (50, "bc"), (100, "de"), (150, "fgh"), (200, "ij"), (210, None)]
    assert rig.told == [(at_ms, text, text is None) for at_ms, text in whole]


async def test_the_way_to_kafka_is_prepared_when_a_call_begins() -> None:
    rig = Rig()
    assert rig.log.prepared == 1
    rig.telling.delta(word("a"))
    assert rig.log.prepared == 1


async def test_a_delta_after_a_silence_leaves_at_once() -> None:
    rig = Rig()
    rig.telling.delta(word("a"))
    await asyncio.sleep(0.060)
    rig.telling.delta(word("b"))
    assert rig.told == [(0, "a", False), (60, "b", False)]


async def test_chunks_name_the_attempt_and_are_numbered_from_zero() -> None:
    rig = Rig()
    for text in "abc":
        rig.telling.delta(word(text))
        await asyncio.sleep(0.060)
    rig.telling.end(whole=True)
    assert [(c.id, c.run, c.term, c.attempt, c.seq) for c in rig.chunks] == [
        ("lead-1", 3, 7, 2, seq) for seq in range(4)
    ]
    headers = [dict(record.headers) for _, record in rig.log.sent]
    assert [each["ce_id"] for each in headers] == [f"lead-1#7.2.{seq}".encode() for seq in range(4)]
    assert {record.key for _, record in rig.log.sent} == {b"lead-1"}


async def test_the_last_chunk_says_so_also_if_nothing_is_left_to_tell() -> None:
    rig = Rig()
    rig.telling.delta(word("a"))
    rig.telling.end(whole=True)
    assert rig.told == [(0, "a", False), (0, None, True)]


async def test_what_was_gathered_when_the_answer_is_whole_leaves_as_the_last_chunk() -> None:
    rig = Rig()
    for text in "abc":
        rig.telling.delta(word(text))
    rig.telling.end(whole=True)
    await asyncio.sleep(1)
    assert rig.told == [(0, "a", False), (0, "bc", True)]


async def test_an_answer_that_is_not_whole_has_no_last_chunk_and_what_was_gathered_is_dropped() -> None:
    rig = Rig()
    rig.telling.delta(word("a"))
    rig.telling.delta(word("b"))
    rig.telling.end(whole=False)
    await asyncio.sleep(1)
    assert rig.told == [(0, "a", False)]


async def test_what_cannot_be_put_together_leaves_one_by_one_and_in_order() -> None:
    rig = Rig()
    sound = {"type": "response.audio.delta", "delta": "AAA="}
    for _ in range(3):
        rig.telling.delta(dict(sound))
    await asyncio.sleep(0.050)
    rig.telling.delta(dict(sound))
    rig.telling.end(whole=True)
    assert [(at_ms, final) for at_ms, _, final in rig.told] == [(0, False), (50, False), (50, False), (50, True)]
    assert [chunk.seq for chunk in rig.chunks] == [0, 1, 2, 3]


async def test_only_the_very_last_of_several_chunks_is_final() -> None:
    rig = Rig()
    for _ in range(4):
        rig.telling.delta({"type": "response.audio.delta", "delta": "AAA="})
    rig.telling.end(whole=True)
    assert [chunk.final for chunk in rig.chunks] == [False, False, False, True]


async def test_nothing_leaves_once_the_term_has_ended() -> None:
    rig = Rig()
    rig.telling.delta(word("a"))
    rig.telling.delta(word("b"))
    rig.term = 0
    await asyncio.sleep(1)
    rig.telling.delta(word("c"))
    rig.term = 8
    rig.telling.delta(word("d"))
    rig.telling.end(whole=True)
    assert rig.told == [(0, "a", False)]


async def test_what_was_said_while_the_term_was_in_doubt_is_a_gap() -> None:
    rig = Rig()
    rig.telling.delta(word("a"))
    rig.term = 0
    for text in "bcd":
        rig.telling.delta(word(text))
        await asyncio.sleep(0.060)
    rig.term = 7
    rig.telling.delta(word("e"))
    rig.telling.end(whole=True)
    assert [(text, final) for _, text, final in rig.told] == [("a", False), ("e", True)]
    assert [chunk.seq for chunk in rig.chunks] == [0, 4]


async def test_a_call_that_begins_in_no_term_tells_nothing() -> None:
    rig = Rig()
    rig.term = 0
    telling = rig.streaming.begin(REQUEST, 0, 1)
    telling.delta(word("a"))
    telling.end(whole=True)
    assert not rig.log.sent


@pytest.mark.parametrize(("text", "told"), [("a\ud83d", "a?"), ("ok", "ok")])
async def test_half_a_surrogate_pair_becomes_a_question_mark(text: str, told: str) -> None:
    rig = Rig()
    rig.telling.delta(word(text))
    assert rig.told == [(0, told, False)]


async def test_what_json_has_no_word_for_is_dropped_and_leaves_a_gap() -> None:
    rig = Rig()
    rig.telling.delta([{"index": 0, "delta": {"content": object()}}])
    rig.telling.end(whole=True)
    assert rig.log.dropped == 1
    assert [(chunk.seq, chunk.final) for chunk in rig.chunks] == [(1, True)]


async def test_a_defect_at_a_delta_ends_the_chunks_without_a_last_one_and_not_the_call() -> None:
    rig = Rig(RottenLog(1))
    for text in "ab":
        rig.telling.delta(word(text))
        await asyncio.sleep(0.1)
    rig.telling.end(whole=True)
    assert rig.told == []
    assert rig.contained == [("stream", RuntimeError, {"request_id": "lead-1"})]


async def test_a_defect_when_gathered_deltas_leave_is_contained_in_the_timer_too() -> None:
    rig = Rig(RottenLog(2))
    for text in "abcd":
        rig.telling.delta(word(text))
        await asyncio.sleep(0.04)
    rig.telling.end(whole=True)
    assert rig.told == [(0, "a", False)]
    assert len(rig.contained) == 1


async def test_a_defect_at_the_last_chunk_leaves_the_answer_whole() -> None:
    rig = Rig(RottenLog(2))
    rig.telling.delta(word("a"))
    rig.telling.end(whole=True)
    assert rig.told == [(0, "a", False)]
    assert len(rig.contained) == 1


async def test_a_stream_that_cannot_be_prepared_is_none_and_its_call_goes_on() -> None:
    rig = Rig(RottenLog(0, unprepared=True))
    rig.telling.delta(word("a"))
    rig.telling.end(whole=True)
    assert (rig.told, len(rig.contained)) == ([], 1)


async def test_a_head_goes_with_the_next_chunk_and_is_not_repeated() -> None:
    rig = Rig()
    rig.telling.head({"id": "chatcmpl-1"})
    assert not rig.log.sent, "a head alone is no chunk"
    rig.telling.delta(word("a"))
    rig.telling.delta(word("b"))
    rig.telling.end(whole=True)
    assert [chunk.head for chunk in rig.chunks] == [{"id": "chatcmpl-1"}, None]
    assert [b'"head"' in (record.value or b"") for _, record in rig.log.sent] == [True, False]


async def test_heads_that_gather_are_one_with_the_items_of_all() -> None:
    rig = Rig()
    rig.telling.delta(word("a"))
    rig.telling.head({"response": {"id": "resp_1"}, "items": [1]})
    rig.telling.head({"items": [2]})
    rig.telling.delta(word("b"))
    rig.telling.end(whole=True)
    assert [chunk.head for chunk in rig.chunks] == [None, {"response": {"id": "resp_1"}, "items": [1, 2]}]


async def test_half_a_surrogate_pair_in_a_head_becomes_a_question_mark() -> None:
    rig = Rig()
    rig.telling.head({"model": "m\ud83d"})
    rig.telling.delta(word("a"))
    assert (rig.told, rig.chunks[0].head) == ([(0, "a", False)], {"model": "m?"})


async def test_a_head_that_cannot_be_merged_ends_the_chunks_and_not_the_call() -> None:
    rig = Rig()
    rig.telling.head({"items": [1]})
    rig.telling.head({"items": None})
    rig.telling.delta(word("a"))
    assert (rig.told, len(rig.contained)) == ([], 1)
    rig.telling.head({})
    rig.telling.end(whole=True)
    assert (rig.told, len(rig.contained)) == ([], 1)
