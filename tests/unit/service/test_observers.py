"""What only observes ends nothing: metrics, status, probes and logs survive whatever they are given."""

import io
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
import structlog
from structlog.testing import capture_logs

from headrace.broker.core.answers.verdict import Answer, judge
from headrace.broker.core.commands import Batch, BreakerClosed, BreakerOpened, Call, Complete, Publish, Settlement
from headrace.broker.core.events import Committed
from headrace.broker.core.ticket import CallNumber
from headrace.broker.ports import ReplyTopic
from headrace.broker.service.health import Health
from headrace.broker.service.metrics.logs import Printer, Sparingly, Unfailing
from headrace.broker.service.metrics.telemetry import MS_MAX, in_seconds
from headrace.broker.service.status.presentable import json_text
from headrace.broker.service.status.web import Web
from headrace.broker.testing.kafka_doors import MemoryReplyTopics
from tests.unit.service.rig import Process, World, led, settings_of, until, warmed
from tests.virtual_time import VIRTUAL_TIME

NUMBERS: tuple[Any, ...] = (10**400, 10**5_000, -(10**400), float("nan"), float("inf"), -1)
ABSURD: tuple[Any, ...] = (*NUMBERS, None, "\ud800", "x" * 100_000, object(), [])


NAMES = ("10^400", "10^5000", "-10^400", "nan", "inf", "-1", "None", "surrogate", "long", "object", "list")


class Rotten(Mapping[str, Any]):
    """Raises whatever it is asked."""

    def __getitem__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError

    def __len__(self) -> int:
        raise RuntimeError


# ---------------------------------------------------------------------------------------------------- telemetry


@VIRTUAL_TIME
@pytest.mark.parametrize("absurd", ABSURD, ids=NAMES)
async def test_no_figure_of_an_answer_makes_telemetry_raise(absurd: Any) -> None:
    world = World()
    process = Process(world, "me").start()
    await led(process)
    await warmed(world)
    world.submit("r")
    await until(lambda: bool(process.hold.cargo))
    cargo = next(iter(process.hold.cargo.values()))
    number = next(iter(process.hold.cargo))
    cargo.charge = cargo.taken_ms = cargo.limit = cargo.usage = cargo.error = cargo.finish = absurd
    verdict = replace(judge(Answer(429, {}, None, None, None, "")), sentence=absurd, wait_ms=absurd, shape=absurd)
    telemetry = process.telemetry
    telemetry.record_attempt(cargo, judge(Answer(200, {}, None, None, None, "")), absurd)
    telemetry.record_attempt(cargo, verdict, absurd)
    telemetry.observe_command(Call(CallNumber(1), number, absurd, 1, repeated=True), cargo)
    telemetry.observe_command(BreakerOpened(absurd, absurd, number, verdict, absurd), cargo)
    telemetry.observe_command(BreakerClosed(absurd, absurd), None)
    telemetry.observe_command(absurd, absurd)
    telemetry.observe_command(
        Publish(Batch(1, (Settlement(number, Complete()), Settlement(absurd, absurd)), {}, (), (), ())), None
    )
    telemetry.observe_event(Committed(1, absurd))
    telemetry.observe_event(absurd)
    telemetry.chunks_dropped(absurd)
    telemetry.contained("call", absurd)
    telemetry.gauges(absurd, absurd, absurd)
    telemetry.gauges(process.core, process.health, 10**400)
    assert process.meter.render()
    assert json.loads(json_text(process.status.snapshot(10**400)))


@VIRTUAL_TIME
async def test_a_price_without_a_float_takes_neither_the_gauges_nor_the_status_away() -> None:
    """Incident: with 10^400 tokens waiting `backlog_ms / 1_000` raised in the gauges' task, and the process ended."""
    world = World()
    process = Process(world, "me").start()
    await led(process)
    await warmed(world)
    world.upstream.is_cut = True
    world.submit("r", "standard")
    await until(lambda: bool(process.core.registry.tickets()))
    (ticket,) = process.core.registry.tickets()
    ticket.charge = 10**5_000
    queue = process.core.limits.limit_queues()["gpt-4o-mini"].lanes.queue("standard")
    queue.count, queue.waiting_tokens = 1, 10**5_000
    now_ms = process.clock.now_ms()
    process.telemetry.gauges(process.core, process.health, now_ms)
    told = json.loads(json_text(process.status.snapshot(now_ms)))
    assert told["lanes"]["standard"]["waiting_seconds"] == MS_MAX / 1_000
    assert told["limits"]["gpt-4o-mini"]["believed"]
    assert "unshown" not in told
    await process.kill()


@VIRTUAL_TIME
async def test_a_part_of_the_status_that_fails_is_named_and_the_others_are_shown() -> None:
    world = World()
    process = Process(world, "me").start()
    await led(process)
    await warmed(world)
    process.follower.outcome_counts.counts = Rotten()  # what a defect would do
    with capture_logs() as lines:
        told = process.status.snapshot(process.clock.now_ms())
    assert told["unshown"] == ["outcomes"]
    assert (told["outcomes"], told["role"], told["lanes"]["urgent"]["waiting"]) == ({}, "leader", 0)
    assert process.metric("headrace_contained_total", {"step": "status"}) == 1
    assert [(line["event"], line["step"]) for line in lines] == [("observation_failed", "status")]
    await process.end()


def test_a_length_of_time_is_shown_up_to_a_bound() -> None:
    assert (in_seconds(1_500), in_seconds(10**400)) == (1.5, MS_MAX / 1_000)


# ---------------------------------------------------------------------------------------------------- the gauges' task


class RottenReplies(MemoryReplyTopics):
    async def look(self, topics: Any) -> Mapping[str, ReplyTopic]:
        raise RuntimeError


class WithRottenReplies(Process):
    replies_type = RottenReplies


@VIRTUAL_TIME
async def test_a_reply_topic_that_cannot_even_be_looked_at_costs_its_copies_and_no_outcome() -> None:
    """Before, an exception that the door did not expect ended leadership, in every process in turn."""
    world = World()
    process = WithRottenReplies(world, "me", settings=settings_of(replies={"allow": ["acme.answers"]}))
    process.start()
    await led(process)
    world.submit("r", reply_to="acme.answers")
    world.submit("s")
    await until(lambda: len(world.outcomes()) == 2)
    assert {outcome["status"] for outcome in world.outcomes()} == {"completed"}
    assert process.metric("headrace_reply_copies_total", {"topic": "acme.answers", "result": "dropped"}) == 1
    await process.end()


# ---------------------------------------------------------------------------------------------------- the web


@pytest.mark.parametrize("path", ["/metrics", "/status", "/status?id=lead-1"])
async def test_a_page_that_cannot_be_shown_is_an_answer_and_counted(path: str) -> None:
    def rotten(*_: Any) -> Any:
        raise RuntimeError("a prompt")

    seen = []
    serving = Web(
        host="127.0.0.1",
        port=0,
        setting="dispatcher.http_port",
        health=Health(),
        scrape=rotten,
        status=rotten,
        whereabouts=rotten,
        observed=lambda step, error: seen.append((step, type(error))),
    )
    async with serving, aiohttp.ClientSession(f"http://127.0.0.1:{serving.port}") as session:
        async with session.get(path) as answer:
            told = await answer.text()
            assert answer.status == 500
        async with session.get("/nothing") as answer:
            assert answer.status == 404
        async with session.get("/healthz") as answer:
            assert answer.status == 200
    assert seen == [("web", RuntimeError)]
    assert "prompt" not in told


@pytest.mark.parametrize("absurd", ABSURD, ids=NAMES)
async def test_whatever_stands_in_a_status_it_can_be_shown(absurd: Any) -> None:
    serving = Web(
        host="127.0.0.1",
        port=0,
        setting="dispatcher.http_port",
        health=Health(),
        scrape=lambda accept: (b"", "text/plain"),
        status=lambda: {"role": "leader", "models": {"\ud800": {"tokens": absurd}}, "list": [absurd]},
        observed=lambda *_: None,
    )
    async with serving:
        url = f"http://127.0.0.1:{serving.port}/status"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            assert answer.status == 200
            assert (await answer.json())["role"] == "leader"


def test_what_can_be_written_is_written_as_it_is_and_the_rest_is_cut() -> None:
    plain = {"name": "Zürich", "n": 10**18, "f": 0.5, "t": True, "none": None, "list": [1, {"a": "b"}]}
    assert json.loads(json_text(plain)) == plain
    told = json.loads(json_text({"n": 10**5_000, "f": float("nan"), "s": "a\ud800", "l": (1, {2: None}), "t": True}))
    assert told == {"n": "a number of 16610 bits", "f": "nan", "s": "a\ud800", "l": [1, {"2": None}], "t": True}
    endless: list[Any] = []
    endless.append(endless)
    assert json.loads(json_text(endless))


# ---------------------------------------------------------------------------------------------------- logs


class Broken(io.StringIO):
    def write(self, _: str) -> int:
        raise BrokenPipeError


def test_a_line_that_cannot_be_written_raises_nothing() -> None:
    printer = Printer(Broken())
    for name in ("debug", "info", "warning", "error", "critical", "exception", "msg"):
        getattr(printer, name)("x")
    closed = io.StringIO()
    closed.close()
    Printer(closed).error("x")


def test_a_line_that_cannot_be_rendered_is_named() -> None:
    render = Unfailing(structlog.processors.JSONRenderer(ensure_ascii=False))
    line = render(None, "info", {"timestamp": "t", "level": "error", "event": "breaker_opened", "rest": 10**5_000})
    assert json.loads(line) == {
        "timestamp": "t",
        "level": "error",
        "event": "breaker_opened",
        "unrendered": "ValueError",
    }
    assert json.loads(render(None, "info", {"event": "leading", "term": 7})) == {"event": "leading", "term": 7}


def test_a_library_that_speaks_nonsense_is_not_hit_by_the_filter() -> None:
    sparingly = Sparingly()

    def record(at_s: float) -> logging.LogRecord:
        made = logging.LogRecord("aiokafka", logging.ERROR, __file__, 1, "%d of %d", ("not a number",), None)
        made.created = at_s
        return made

    assert sparingly.filter(record(0))
    assert not sparingly.filter(record(1))
    assert sparingly.filter(record(100)), "with a count of what was held back, which cannot be put into words"
