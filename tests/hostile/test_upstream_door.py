"""The door to OpenAI before a server that says anything: each odd answer is data, within bounds, and nobody else's."""

import asyncio
import json
import time
import zlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from headrace.broker.adapters.openai import transport as answer_transport
from headrace.broker.adapters.openai.calls import (
    LARGE_AT_ONCE,
    SMALL_BYTES,
    WRITTEN_OUT_PARTS,
    OpenAIAccess,
    OpenAICalls,
)
from headrace.broker.adapters.openai.transport import HEADERS_MAX, INTERIM_MAX, REFUSAL_BYTES_MAX
from headrace.broker.core.answers.verdict import Meaning, judge
from headrace.broker.ports import UpstreamReply
from headrace.schemas.delta import Delta
from tests.hostile.upstream_pieces import MIB, Asked, Step, chunks, completion, event, head, proper, stream, whole
from tests.hostile.upstream_saying import SayingServer, listening_server

HELLO: dict[str, Any] = {"model": "m", "messages": []}
ASKED = Asked("lead-1", "m", streamed=False)
TIMEOUT_S = 1.0
OUTCOME_BYTES = 64 * 1024


@pytest.fixture
async def saying() -> AsyncIterator[SayingServer]:
    async with listening_server() as server:
        yield server


@pytest.fixture
async def door(saying: SayingServer) -> AsyncIterator[OpenAICalls]:
    access = OpenAIAccess("sk-any", f"http://127.0.0.1:{saying.port}/v1", None, None, TIMEOUT_S, 8, OUTCOME_BYTES)
    door = OpenAICalls(access)
    yield door
    await door.close()


async def called(door: OpenAICalls, told: list[Delta] | None = None) -> UpstreamReply:
    """One call; streamed if there is a list to be told to."""
    return await door.call("chat.completions", HELLO, "lead-1", None if told is None else told.append)


async def meaning(door: OpenAICalls, told: list[Delta] | None = None) -> Meaning:
    return judge((await called(door, told)).answer).meaning


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.7\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"HTTP/1.1 200 " + b"x" * 20_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}",
        b"HTTP/1.1 200 OK\r\nx: a\x00b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * (HEADERS_MAX + 20) + b"\r\n",
        b"HTTP/1.1 204 No\r\ncontent-length: 9\r\n\r\n{'a': 1}x",
    ],
)
async def test_what_is_no_http_is_a_connection_that_failed(
    saying: SayingServer, door: OpenAICalls, said: bytes
) -> None:
    saying.script = lambda _: [said, "close"]
    assert await meaning(door) in {Meaning.CONNECTION, Meaning.OK}
    reply = await called(door)
    assert not reply.body, "and never an answer"


@pytest.mark.parametrize(
    "charset", ["hex", "base64", "rot13", "zlib", "undefined", "idna", "utf-16", "unicode_escape", "x" * 3_000]
)
async def test_json_is_utf_8_whatever_charset_is_named(saying: SayingServer, door: OpenAICalls, charset: str) -> None:
    text = json.dumps(completion(ASKED, note="Grüße, 世界"), ensure_ascii=False)
    saying.script = lambda _: whole(text.encode("utf-8-sig"), kind=f"application/json; charset={charset}")
    assert json.loads((await called(door)).body or "") == json.loads(text)


async def test_bytes_that_are_no_utf_8_become_marks_since_the_rest_is_paid_for(
    saying: SayingServer, door: OpenAICalls
) -> None:
    saying.script = lambda _: whole(b'{"text": "\xff\xfe"}')
    assert json.loads((await called(door)).body or "") == {"text": "\ufffd\ufffd"}


@pytest.mark.parametrize("status", [200, 429])
async def test_a_cookie_is_not_kept_and_stops_no_later_request(
    saying: SayingServer, door: OpenAICalls, status: int
) -> None:
    """One with a control character made every later request of the process unsendable."""
    cookies = [("set-cookie", "\x01=;;;"), ("set-cookie", "a=b; path=/")]
    saying.script = lambda number: whole(completion(ASKED), 200 if number else status, cookies)
    await called(door)
    assert await meaning(door) is Meaning.OK
    assert "cookie" not in saying.heads[1].lower()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(saying: SayingServer, door: OpenAICalls, status: int) -> None:
    saying.script = lambda number: [] if number else whole("", status, [("location", "/v1/elsewhere")])
    verdict = judge((await called(door)).answer)
    assert (verdict.meaning, verdict.counts_as_attempt) == (Meaning.UPSTREAM_ERROR, True)
    assert len(saying.heads) == 1


def drip(answer: Sequence[Step]) -> list[Step]:
    data = b"".join(step for step in answer if isinstance(step, bytes))
    return [step for at in range(len(data)) for step in (data[at : at + 1], 0.1)]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("part", ["head", "body"])
async def test_a_drip_ends_by_the_time_out(
    saying: SayingServer, door: OpenAICalls, part: str, *, streamed: bool
) -> None:
    """Each byte set a time-out of silences back: a byte a second held a place for ever."""
    answer = proper(Asked("lead-1", "m", streamed=streamed))
    saying.script = lambda _: drip(answer) if part == "head" else [answer[0], *drip(answer[1:])]
    begun_s = asyncio.get_running_loop().time()
    assert await meaning(door, [] if streamed else None) is Meaning.TIMEOUT
    assert asyncio.get_running_loop().time() - begun_s == pytest.approx(TIMEOUT_S, abs=0.5)


async def test_an_answer_that_no_outcome_can_carry_is_not_read_to_its_end(
    saying: SayingServer, door: OpenAICalls
) -> None:
    saying.script = lambda _: whole(completion(ASKED, note="x" * 10 * MIB))
    reply = await called(door)
    assert (judge(reply.answer).meaning, reply.body) == (Meaning.OK, None)
    assert WRITTEN_OUT_PARTS * OUTCOME_BYTES < (reply.too_large or 0) < WRITTEN_OUT_PARTS * OUTCOME_BYTES + 70_000


@pytest.mark.parametrize(("coding", "wrapper"), [("gzip", 31), ("deflate", 15), ("deflate", -15), ("GZIP", 31)])
async def test_what_is_compressed_is_inflated(
    saying: SayingServer, door: OpenAICalls, coding: str, wrapper: int
) -> None:
    made = zlib.compressobj(9, zlib.DEFLATED, wrapper)
    data = made.compress(json.dumps(completion(ASKED, note="x" * 90_000)).encode()) + made.flush()
    saying.script = lambda _: whole(data, 200, [("content-encoding", coding)])
    assert json.loads((await called(door)).body or "")["model"] == "m"


@pytest.mark.parametrize("status", [200, 500])
async def test_a_bomb_is_inflated_to_its_bound(saying: SayingServer, door: OpenAICalls, status: int) -> None:
    made = zlib.compressobj(9, zlib.DEFLATED, 31)
    data = b"".join(made.compress(b" " * MIB) for _ in range(64)) + made.flush()
    saying.script = lambda _: whole(data, status, [("content-encoding", "gzip")])
    reply = await called(door)
    if status == 200:
        assert (reply.too_large or 0) < WRITTEN_OUT_PARTS * OUTCOME_BYTES + 70_000
    else:
        assert len(reply.answer.message) <= REFUSAL_BYTES_MAX


@pytest.mark.parametrize(("data", "coding"), [(b"{}", "gzip"), (b"\x78\x9c\xff\xff", "deflate"), (b"\x1f\x8b", "gzip")])
async def test_what_does_not_inflate_is_no_answer(
    saying: SayingServer, door: OpenAICalls, data: bytes, coding: str
) -> None:
    saying.script = lambda _: whole(data, 200, [("content-encoding", coding)])
    assert not (await called(door)).body


async def test_layers_of_compression_are_not_undone(saying: SayingServer, door: OpenAICalls) -> None:
    """A kilobyte may be a gigabyte of empty blocks inside, which inflate to nothing and take seconds."""
    text = b"{}"
    for _ in range(3):
        made = zlib.compressobj(9, zlib.DEFLATED, 31)
        text = made.compress(text) + made.flush()
    saying.script = lambda _: whole(text, 200, [("content-encoding", "gzip, gzip, gzip")])
    assert (await called(door)).body not in {None, "{}"}


async def test_of_a_refusal_only_the_beginning_is_read(saying: SayingServer, door: OpenAICalls) -> None:
    saying.script = lambda _: whole("x" * 10 * MIB, 500)
    answer = (await called(door)).answer
    assert (answer.status, judge(answer).meaning) == (500, Meaning.UPSTREAM_ERROR)
    assert len(answer.message) <= REFUSAL_BYTES_MAX


async def test_a_refusal_that_breaks_off_is_the_refusal(saying: SayingServer, door: OpenAICalls) -> None:
    saying.script = lambda _: [head(429, [("content-length", "500"), ("retry-after", "7")]), b'{"err', "close"]
    answer = (await called(door)).answer
    assert (answer.status, answer.headers["retry-after"], judge(answer).wait_ms) == (429, "7", 7_000)


async def test_a_flood_of_interim_answers_ends_the_connection(saying: SayingServer, door: OpenAICalls) -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    saying.script = lambda number: [interim * (INTERIM_MAX if number else INTERIM_MAX + 1), *proper(ASKED)]
    assert await meaning(door) is Meaning.CONNECTION
    assert await meaning(door) is Meaning.OK, "a few are passed over"


@pytest.mark.parametrize("apart", [False, True])
async def test_a_second_answer_is_nobodys(saying: SayingServer, door: OpenAICalls, *, apart: bool) -> None:
    first, second = (
        b"".join(step for step in whole(completion(Asked(name, "m", streamed=False))) if isinstance(step, bytes))
        for name in ("lead-1", "another")
    )
    poisoned: list[Step] = [first[:-7], 0.05, first[-7:] + second] if apart else [first + second]
    saying.script = lambda number: proper(ASKED) if number else poisoned
    for _ in range(2):
        assert "Answer to lead-1." in ((await called(door)).body or "")
    assert saying.connections == 2


async def test_bytes_on_an_idle_connection_end_it(saying: SayingServer, door: OpenAICalls) -> None:
    second = b"".join(step for step in whole("{}") if isinstance(step, bytes))
    late: list[Step] = [0.05, second]
    saying.script = lambda number: proper(ASKED) if number else [*proper(ASKED), *late]
    await called(door)
    await asyncio.sleep(0.2)
    assert "Answer to lead-1." in ((await called(door)).body or "")
    assert saying.connections == 2


async def test_a_connection_is_used_again_after_an_answer_in_order(saying: SayingServer, door: OpenAICalls) -> None:
    saying.script = lambda number: whole({"error": {}}, 500) if number == 1 else proper(ASKED)
    for _ in range(3):
        await called(door)
    assert saying.connections == 1


@pytest.mark.parametrize("status", [204, 205, 304])
async def test_a_connection_is_not_used_again_after_a_status_without_a_body(
    saying: SayingServer, door: OpenAICalls, status: int
) -> None:
    saying.script = lambda number: proper(ASKED) if number else [head(status, [("content-length", "0")])]
    await called(door)
    assert await meaning(door) is Meaning.OK
    assert saying.connections == 2


# ------------------------------------------------------------------------------------------------ streams


async def test_an_event_without_an_end_is_read_to_its_bound(saying: SayingServer, door: OpenAICalls) -> None:
    saying.script = lambda _: stream([], after=["flood", b"data: " + b"x" * 60_000])
    reply = await called(door, [])
    assert (judge(reply.answer).meaning, reply.body) == (Meaning.OK, None)
    assert (reply.too_large or 0) > WRITTEN_OUT_PARTS * OUTCOME_BYTES


async def test_a_stream_that_grows_beyond_what_an_outcome_carries_is_too_large(
    saying: SayingServer, door: OpenAICalls
) -> None:
    word = event({"choices": [{"index": 0, "delta": {"content": "x" * 2_000}}]})
    saying.script = lambda _: stream([word] * 90)
    assert (await called(door, [])).too_large is not None


async def test_a_long_stream_of_short_words_is_no_large_answer(saying: SayingServer, door: OpenAICalls) -> None:
    word = event({"choices": [{"index": 0, "delta": {"content": "x"}}], "obfuscation": "y" * 500})
    end = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    saying.script = lambda _: stream([*[word] * 500, end, "data: [DONE]\n\n"])
    body = json.loads((await called(door, [])).body or "")
    assert body["choices"][0]["message"]["content"] == "x" * 500


async def test_bytes_behind_the_last_event_hold_up_nobody(saying: SayingServer, door: OpenAICalls) -> None:
    saying.script = lambda _: [*stream([*chunks(ASKED), "data: [DONE]\n\n"])[:2], "flood", b": more\n\n" * 500]
    begun_s = asyncio.get_running_loop().time()
    assert "Answer to lead-1." in ((await called(door, [])).body or "")
    assert asyncio.get_running_loop().time() - begun_s < TIMEOUT_S / 2


async def test_the_rest_behind_the_last_event_is_read_so_that_the_connection_serves_again(
    saying: SayingServer, door: OpenAICalls
) -> None:
    data = "".join([*chunks(ASKED), "data: [DONE]\n\n"]).encode()
    start = head(200, [("transfer-encoding", "chunked")], kind="text/event-stream")
    saying.script = lambda _: [start, b"%x\r\n%s\r\n" % (len(data), data), 0.02, b"0\r\n\r\n"]
    for _ in range(2):
        assert await meaning(door, []) is Meaning.OK
    assert saying.connections == 1


async def test_a_flood_of_lines_leaves_the_processor_to_others(saying: SayingServer, door: OpenAICalls) -> None:
    saying.script = lambda _: stream([], after=["flood", b":\n\n" * 20_000])
    before_s = time.process_time()
    assert await meaning(door, []) is Meaning.TIMEOUT
    assert time.process_time() - before_s < TIMEOUT_S / 2


async def test_deltas_no_reader_could_put_together_are_no_answer(saying: SayingServer, door: OpenAICalls) -> None:
    deep = '{"choices": [{"index": 0, "delta": {"content": ' + "[" * 800 + "]" * 800 + "}}]}"
    saying.script = lambda _: stream([event(deep)] * 200)
    assert (await called(door, [])).body is None


async def test_whatever_aiohttp_raises_is_data(saying: SayingServer, door: OpenAICalls) -> None:
    saying.script = lambda _: [head(200, [("content-length", "90")]), b"{", "abort"]
    answer = (await called(door)).answer
    assert (answer.status, answer.error_code) == (None, "connection")
    assert len(answer.message) <= answer_transport._REASON_CHARS_MAX


@pytest.mark.parametrize("streamed", [False, True])
async def test_large_answers_are_read_in_turn_and_small_ones_meanwhile(saying: SayingServer, *, streamed: bool) -> None:
    """Bounded memory: each place is worth the largest answer, and there are fewer of them than calls in flight."""
    access = OpenAIAccess("sk-any", f"http://127.0.0.1:{saying.port}/v1", None, None, 25.0, 100, MIB)
    door = OpenAICalls(access)
    word = event({"choices": [{"index": 0, "delta": {"content": "x" * 2_000}}]}).encode()
    large: list[Step] = [word * 400] if streamed else [b'{"note": "' + b"x" * 2 * SMALL_BYTES]
    kind = "text/event-stream" if streamed else "application/json"
    start = head(200, [("connection", "close")], kind=kind)
    ending: list[Step] = [] if streamed else [b'"}']
    go_on = asyncio.Event()
    saying.script = lambda number: [start, *large, go_on, *ending, "close"] if number < 40 else proper(ASKED)
    calls = [asyncio.create_task(called(door, [] if streamed else None)) for _ in range(40)]
    async with asyncio.timeout(20):
        while not (door._places.locked() and len(saying.heads) == 40):
            await asyncio.sleep(0.01)
    assert await meaning(door) is Meaning.OK, "small ones need no place"
    go_on.set()
    replies = await asyncio.gather(*calls)
    assert {judge(reply.answer).meaning for reply in replies} == {Meaning.CONNECTION if streamed else Meaning.OK}
    assert door._places._value == LARGE_AT_ONCE
    await door.close()


async def test_a_proxy_of_the_environment_is_used(saying: SayingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{saying.port}")
    monkeypatch.setenv("NO_PROXY", "")
    saying.script = lambda _: proper(ASKED)
    door = OpenAICalls(OpenAIAccess("sk-any", "http://openai.invalid/v1", None, None, TIMEOUT_S, 8))
    assert await meaning(door) is Meaning.OK
    assert saying.heads[0].startswith("POST http://openai.invalid/v1/chat/completions ")
    await door.close()
