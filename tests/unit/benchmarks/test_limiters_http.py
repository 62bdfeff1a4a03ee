"""Seeds over HTTP beside virtual time: the choice, the calls, the server's record, and what is printed of a pair."""

import asyncio
import json
import tomllib
from dataclasses import replace

import aiohttp
import looptime
import pytest

from benchmarks.limiters.beside import CALLS_PER_MINUTE_MAX, chosen
from benchmarks.limiters.over_http import as_answered, raise_failure, record_of
from benchmarks.limiters.pairs import HEAD, Pair, agreement, line, pairs_as_json
from benchmarks.limiters.play import (
    Played,
    calls_of,
    end_of,
    id_of,
    number_of,
    operator_settings,
    play_calls,
    upstream_of,
)
from benchmarks.limiters.prompts import body_of
from benchmarks.limiters.served import RecordingUpstream
from benchmarks.limits.processes import settings_text
from headrace.broker.adapters.tiktoken_counter import TiktokenCounter
from headrace.broker.core.pricing.laws import framing_tokens, texts
from headrace.broker.planner.arrivals import chat_sizes
from headrace.broker.settings.whole import Settings
from headrace.broker.simulator.drawn_server import drawn_server
from headrace.broker.simulator.pricing import Endpoint, size_of
from headrace.broker.simulator.settings import UpstreamSettings


def played(share: float, refused: int = 0) -> Played:
    return Played(17, share, refused, 1_000, 0, 0.2, 0.1, tells_all=False)


def pair(http: float, *virtual: float) -> Pair:
    own, *others = [played(share) for share in virtual]
    return Pair(played(http, refused=3), own, others, 4.0, 71.0)


def test_seeds_are_chosen_by_the_number_of_their_calls_alone() -> None:
    seeds = chosen(0, 4, 120)
    assert seeds == sorted(seeds)
    for seed in range(seeds[-1] + 1):
        few = len(calls_of(drawn_server(seed), 120)) <= 2 * CALLS_PER_MINUTE_MAX
        assert few == (seed in seeds), seed
    assert chosen(seeds[1], 2, 120) == seeds[1:3]


def test_the_calls_of_a_shorter_span_are_fewer_and_end_with_it() -> None:
    server = drawn_server(14)
    calls = calls_of(server, 120)
    assert max(call.at_ms for call in calls) < 120_000
    assert len(calls) < len(calls_of(server)) / 2
    assert end_of(server, 120) == end_of(server) - 240_000_000


def test_a_play_by_another_random_seed_is_another_play_of_the_same_calls() -> None:
    server = drawn_server(13)
    calls, end_us = calls_of(server, 120), end_of(server, 120)
    own, same, other = (play_calls(server, calls, end_us, random_seed) for random_seed in (None, server.seed, 1))
    assert own == same != other


def test_the_dispatcher_counts_as_many_input_tokens_over_http_as_the_server_charges() -> None:
    """Before: a sixth fewer, and the law `usage` was identified in virtual time alone (random:2)."""
    [call] = calls_of(drawn_server(2), 120)[:1]
    counter = TiktokenCounter()
    for text_bytes in range(240, 4_801, 19):
        body = body_of(replace(call.asked, id=id_of(text_bytes), text_bytes=text_bytes))
        size = size_of(Endpoint.CHAT, body)
        assert (size.text_bytes, size.input_tokens) == (text_bytes, chat_sizes(text_bytes)[1].input_tokens)
        counted = sum(counter.count(call.asked.model, text) or 0 for text in texts("chat.completions", body))
        assert counted + framing_tokens("chat.completions", body) == size.input_tokens, text_bytes


def test_an_id_names_the_number_of_its_call_in_both_records() -> None:
    assert [number_of(id_of(number)) for number in (0, 17)] == [0, 17]
    assert number_of("1") == 0  # as virtual time spells it


async def test_the_server_notes_each_call_with_the_tokens_that_the_plan_of_it_knows() -> None:
    server = drawn_server(14)
    [call] = as_answered(server, calls_of(server, 120)[:1])
    settings = replace(upstream_of(server), behaviours=(), requests_per_minute=1, latency_s=(0.0, 0.0))
    async with RecordingUpstream(settings) as upstream, aiohttp.ClientSession() as session:
        headers = {"Authorization": "Bearer x", "X-Client-Request-Id": call.asked.id}
        statuses, usage = list[int](), dict[str, int]()
        for _ in range(2):
            url = f"{upstream.base_url}/chat/completions"
            async with session.post(url, json=body_of(call.asked), headers=headers) as answer:
                statuses.append(answer.status)
                usage = usage or (await answer.json())["usage"]
        told = json.loads(json.dumps(upstream.record()))
        upstream.reset()
        assert upstream.record() == {"admitted": [], "refused": [], "late_us": []}
    record = record_of(told)
    assert statuses == [200, 429]
    assert [number for _, number in record.admitted] == [0]
    assert len(record.refused) == 1
    assert 0 <= record.admitted[0][0] < record.refused[0]
    assert usage["prompt_tokens"] == call.asked.size.input_tokens
    assert usage["completion_tokens"] == call.asked.output_tokens


def test_the_server_notes_how_late_its_loop_wakes() -> None:
    upstream = RecordingUpstream(UpstreamSettings())

    async def noticed() -> None:
        noticing = asyncio.create_task(upstream.notice_delays())
        await asyncio.sleep(0.12)
        noticing.cancel()

    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        runner.run(noticed())
    assert upstream.late_us == [0, 0]


def test_the_delay_that_is_shown_is_the_highest_but_one_in_a_hundred() -> None:
    told = {"admitted": [], "refused": [], "late_us": [*range(200_000, 0, -1_000)]}
    assert (record_of(told).late_p99_ms, record_of(told).late_max_ms) == (199.0, 200.0)
    assert record_of(told | {"late_us": []}).late_p99_ms == record_of(told | {"late_us": []}).late_max_ms == 0.0


@pytest.mark.parametrize("seed", range(8))
def test_the_dispatcher_gets_the_settings_of_the_play_in_virtual_time(seed: int) -> None:
    server = drawn_server(seed)
    text = settings_text(
        operator_settings(server), "bench", "http://127.0.0.1:1/v1", "127.0.0.1:2", "redis://127.0.0.1:3/0"
    )
    read = Settings.model_validate(tomllib.loads(text))
    assert read.limits == operator_settings(server).limits
    assert read.dispatcher.inflight_max == operator_settings(server).dispatcher.inflight_max


@pytest.mark.parametrize(("http", "apart"), [(0.90, 0.0), (0.95, 0.0), (0.87, -1.0), (0.93, 0.0), (0.985, 3.5)])
def test_a_share_is_apart_by_its_distance_to_the_range_of_virtual_time(http: float, apart: float) -> None:
    one = pair(http, 0.90, 0.88, 0.95)
    assert one.range == (0.88, 0.95)
    assert one.apart == pytest.approx(apart)
    assert one.points == pytest.approx(100 * (http - 0.90))
    assert agreement([pair(0.9, 0.9), one]).kept == (abs(apart) <= 2)


def test_a_row_has_both_shares_and_how_to_measure_it_again() -> None:
    row = line(pair(0.985, 0.90, 0.88))
    shown, again = row.split("make ")
    assert shown.split() == [
        "random:17",
        "98.5",
        "90.0",
        "88.0-90.0",
        "+8.5",
        "3.0",
        "0.0",
        "0.20",
        "0.20",
        "1000",
        "4",
        "71",
    ]
    assert again == "bench-limiters-http ONLY=17"
    assert row.index("make") == HEAD.splitlines()[1].index("measure")


def test_machines_get_every_play() -> None:
    told = json.loads(json.dumps(pairs_as_json([pair(0.985, 0.90, 0.88)])))
    assert told["promises"][0]["kept"] is False
    [seed] = told["seeds"]
    assert (seed["seed"], seed["points"], seed["apart"]) == (17, 8.5, 8.5)
    assert seed["http"]["refused_per_1000"] == 3.0
    assert [each["share"] for each in (seed["virtual"], *seed["by_other_seeds"])] == [0.90, 0.88]


def test_plays_for_which_the_machine_was_too_busy_are_told_and_do_not_count() -> None:
    quiet, apart = pair(0.9, 0.9), pair(0.81, 0.9)
    busy = replace(apart, late_p99_ms=20.1)
    halted = replace(apart, late_max_ms=501.0)
    assert "too busy" not in agreement([quiet]).sentence
    assert agreement([quiet, apart]).kept is False
    promise = agreement([quiet, busy, halted])
    assert (promise.measured, promise.kept) == ("0.00", True)
    assert "farthest of 1 servers" in promise.sentence
    assert promise.sentence.endswith("; 2 do not count, since the machine was too busy")


def test_where_no_play_counts_nothing_is_promised() -> None:
    assert agreement([replace(pair(0.9, 0.9), late_p99_ms=20.1)]).kept is False


async def test_what_has_ended_a_submission_ends_the_measurement() -> None:
    async def failing() -> None:
        raise OSError("Kafka is gone")

    async def grouped() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(failing())

    async def submitted() -> None:
        pass

    waiting = asyncio.create_task(asyncio.Event().wait())
    for fault in (failing, grouped):
        tasks = [asyncio.create_task(submitted()), asyncio.create_task(fault())]
        await asyncio.wait(tasks)
        with pytest.raises(OSError, match="Kafka is gone"):
            raise_failure([waiting, *tasks])
        raise_failure([waiting, tasks[0]])
    waiting.cancel()


async def test_the_server_notes_no_error_as_admitted_nor_a_call_that_does_not_name_itself() -> None:
    settings = UpstreamSettings(latency_s=(0.0, 0.0))
    async with RecordingUpstream(settings) as upstream, aiohttp.ClientSession() as session:
        url, good = (
            f"{upstream.base_url}/chat/completions",
            {"model": "m", "messages": [{"role": "user", "content": "x"}]},
        )
        for body, name in (({"model": "m"}, "a-1"), (good, None), (good, "a-3")):
            headers = {"Authorization": "Bearer x"} | ({} if name is None else {"X-Client-Request-Id": name})
            async with session.post(url, json=body, headers=headers) as answer:
                await answer.read()
        assert [number for _, number in upstream.admitted] == [2]
        assert upstream.refused == []
