"""Streams through a real Kafka: how soon the first words are heard, and what becomes of many and of those cut."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from headrace.broker.client import GenerationClient
from headrace.broker.local.services import LocalServices
from headrace.broker.simulator import writing
from headrace.broker.simulator.chat_pieces import chat_pieces
from headrace.broker.simulator.streams import AnswerStream, Break, Manner, TimedText
from headrace.broker.simulator.upstream import Scripted, Upstream, UpstreamSettings
from headrace.consumers.chunks import ChunkReader, Told
from headrace.schemas.outcome import Completed
from tests.integration.fleet import Fleet

SETTINGS = {"HEADRACE_LIMITS": '{"gpt-4o-mini": {}}', "HEADRACE_RETRY__IN_PLACE_MAX_S": "30"}
FIRST_WITHIN_S = 0.060
ROUNDS = 4
"""The first one connects, and others may meet a machine that is busy with something else; the best one counts."""
CUT, MANY = 20, 200


def body(number: int) -> dict[str, Any]:
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": f"Company: Acme\nlead {number}"}]}


@asynccontextmanager
async def serving(
    services: LocalServices, prefix: str, directory: Path, latency_s: tuple[float, float]
) -> AsyncIterator[tuple[Upstream, Fleet, ChunkReader, GenerationClient]]:
    """One dispatcher that has heard how much it may send, a reader of all chunks, and a client."""
    settings = UpstreamSettings(
        tokens_per_minute=6_000_000, requests_per_minute=600_000, law="chat-2025", latency_s=latency_s, seed=7
    )
    async with Upstream(settings) as upstream:
        fleet = Fleet(services, prefix, upstream.base_url, directory, SETTINGS)
        async with (
            fleet,
            ChunkReader(connection=fleet.connection, topic_prefix=prefix) as chunks,
            GenerationClient(connection=fleet.connection, topic_prefix=prefix) as generations,
        ):
            await fleet.start()
            await generations.generate(body(-1), lane="urgent", id="first", timeout_s=60)
            upstream.reset()
            yield upstream, fleet, chunks, generations


async def told_by_id(chunks: ChunkReader, whole: int) -> dict[str, list[tuple[float, Told]]]:
    """What was heard, and when, until so many answers are whole."""
    heard: dict[str, list[tuple[float, Told]]] = {}
    async for told in chunks:
        heard.setdefault(told.chunk.id, []).append((monotonic(), told))
        whole -= told.chunk.final
        if not whole:
            return heard
    raise AssertionError


def text_of(done: Completed) -> str:
    return str(done.response["choices"][0]["message"]["content"])


@pytest.mark.timed
async def test_the_first_words_of_twenty_streams_are_heard_within_sixty_milliseconds(
    services: LocalServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on_the_wire: dict[str, float] = {}
    pieces_of = chat_pieces

    def noted(stream: AnswerStream) -> Iterator[TimedText]:
        for number, piece in enumerate(pieces_of(stream)):
            yield piece
            if number == 0:
                on_the_wire[stream.body["id"]] = monotonic()

    monkeypatch.setattr(writing, "chat_pieces", noted)
    rounds_s: list[list[float]] = []
    async with serving(services, "streams", tmp_path, (1.0, 2.0)) as (_, _, chunks, generations):
        for turn in range(ROUNDS):
            ids = {f"lead-{turn}-{n}": body(100 * turn + n) for n in range(20)}
            hearing = asyncio.create_task(told_by_id(chunks, 20))
            done = await asyncio.gather(
                *(generations.generate(ids[each], lane="urgent", id=each, stream=True) for each in ids)
            )
            heard = await asyncio.wait_for(hearing, 30)
            for each in done:
                assert "".join(told.text for _, told in heard[each.id]) == text_of(each)
            rounds_s.append(sorted(heard[each.id][0][0] - on_the_wire[each.response["id"]] for each in done))
    with capsys.disabled():
        for late_s in rounds_s:
            shown = (
                f"{name} {late_s[place] * 1e3:.1f} ms" for name, place in (("median", 10), ("p95", 18), ("max", 19))
            )
            print("\nfirst delta:", ", ".join(shown), end="")
    assert min(late_s[18] for late_s in rounds_s) <= FIRST_WITHIN_S


async def test_two_hundred_streams_at_once_are_whole_and_so_are_those_that_are_cut_midway(
    services: LocalServices, tmp_path: Path
) -> None:
    async with serving(services, "manystreams", tmp_path, (1.0, 3.0)) as (upstream, fleet, chunks, generations):
        calls: Counter[str] = Counter()
        cut = {body(n)["messages"][0]["content"] for n in range(CUT)}

        def script(_: int, asked: Mapping[str, Any]) -> Scripted | None:
            prompt = str(asked["messages"][0]["content"])
            calls[prompt] += 1
            return Scripted(broken=Break(Manner.CUT, 3)) if prompt in cut and calls[prompt] == 1 else None

        upstream.script(script)
        hearing = asyncio.create_task(told_by_id(chunks, MANY))
        done = await asyncio.gather(
            *(
                generations.generate(body(n), lane="urgent", id=f"lead-{n}", stream=True, timeout_s=60)
                for n in range(MANY)
            )
        )
        heard = await asyncio.wait_for(hearing, 30)
        books = upstream.books()
        _, metrics = await fleet.get(fleet.processes[0], "/metrics")
    assert [each.attempts for each in done] == [2] * CUT + [1] * (MANY - CUT)
    for each in done:
        last = [told for _, told in heard[each.id] if told.attempt == (0, each.term, each.attempts)]
        assert "".join(told.text for told in last) == text_of(each)
        assert [told.missing for told in last] == [0] * len(last)
        assert [told.chunk.final for told in last] == [False] * (len(last) - 1) + [True]
        assert each.usage is not None
        assert each.usage.output_tokens == -(-len(text_of(each).encode()) // 4)
        assert each.usage.total_tokens == each.usage.input_tokens + each.usage.output_tokens
    assert (books.streams.started, books.streams.completed, books.streams.cut) == (MANY + CUT, MANY, CUT)
    assert "headrace_chunks_dropped_total 0.0" in metrics
    used = sum(each.usage.output_tokens for each in done if each.usage is not None)
    first = next(line for line in metrics.splitlines() if 'usage_tokens_total{kind="output"' in line)
    assert used < float(first.split()[-1]) < used + 1_000  # the first request's are among them
