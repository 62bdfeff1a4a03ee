"""One seed over real HTTP: a real dispatcher on Kafka and Valkey, the simulated OpenAI in a process of its own.

The dispatcher is `headrace dispatcher`, the server `benchmarks.limiters.served`. Bulk is submitted as fast as Kafka
takes it, urgent calls at their instants. The server's own record has the instant of every call, so the figures come
from the same code as in virtual time.
"""

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any, Final

from benchmarks.limiters.play import Call, id_of, is_storm, operator_settings, percentile
from benchmarks.limiters.prompts import body_of
from benchmarks.limits.calls import Asked
from benchmarks.limits.processes import Stage, settings_text, started, stop, until_it_leads
from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.topics import create_missing
from headrace.broker.client import GenerationClient, Submission, submission
from headrace.broker.settings.lanes import LANE_DEFAULTS
from headrace.broker.simulator.answers import AnswerIngredients, answer_body
from headrace.broker.simulator.chance import Chance
from headrace.broker.simulator.drawn_server import DrawnServer
from headrace.broker.simulator.pricing import Endpoint
from headrace.schemas.topics import topics

LOOK_S: Final = 2.0
RECORD_WITHIN_S: Final = 20.0
SUBMITTED_AT_ONCE: Final = 100  # submissions under way

Progress = Callable[[int, float], None]
"""Gets the number of calls admitted so far, and the seconds since the play began."""


@dataclass(frozen=True, slots=True)
class Record:
    """What a server admitted and refused over HTTP.

    Attributes:
        admitted: Instant in microseconds since the play began and number of each call, in order.
        refused: The instant of each 429.
        late_us: How much too late the server's event loop woke, twenty times a second, in order of size.
    """

    admitted: Sequence[tuple[int, int]]
    refused: Sequence[int]
    late_us: Sequence[int]

    @property
    def late_p99_ms(self) -> float:
        """The 99th percentile of the server's delays: it shows whether the machine had time for the play."""
        return percentile(self.late_us, 99) / 1_000

    @property
    def late_max_ms(self) -> float:
        """The longest of them."""
        return self.late_us[-1] / 1_000 if self.late_us else 0.0


def as_answered(server: DrawnServer, calls: Iterable[Call]) -> list[Call]:
    """Return the calls with ids of their own, and with the tokens that the server writes over HTTP as an answer."""
    chance, answered = Chance(server.seed), []
    for number, call in enumerate(calls):
        asked = replace(call.asked, id=id_of(number))
        answered.append(replace(call, asked=replace(asked, output_tokens=_written(asked, chance))))
    return answered


def _written(asked: Asked, chance: Chance) -> int:
    body = body_of(asked)
    words = chance.number(chance.content_of(Endpoint.CHAT, body), "words")
    usage: Mapping[str, int] = answer_body(Endpoint.CHAT, AnswerIngredients(body, asked.model, words, ""))["usage"]
    return usage["completion_tokens"]


async def record_over_http(
    on: Stage, server: DrawnServer, calls: Sequence[Call], end_us: int, progress: Progress
) -> Record:
    """Play the calls; return the record of the server.

    Raises:
        HeadraceError: The calls could not be submitted; or what else has ended their submission.
        OSError: The server or the dispatcher has ended.
        TimeoutError: One of them does not start in time.
    """
    name = f"random-{server.seed}"
    async with AsyncExitStack() as stack:
        served = await started(
            on, f"{name}-upstream", [str(server.seed)], module="benchmarks.limiters.served", output=PIPE
        )
        stack.push_async_callback(stop, served)
        urls = await _printed(served)
        connection = KafkaConnection(on.services.endpoints.bootstrap_servers)
        await create_missing(connection, topics(f"bench-{name}", LANE_DEFAULTS, nodes=1))
        config = on.directory / f"{name}.toml"
        endpoints = on.services.endpoints
        known = operator_settings(server)
        text = settings_text(known, f"bench-{name}", urls["base_url"], endpoints.bootstrap_servers, endpoints.redis_url)
        config.write_text(text, encoding="utf-8")
        dispatcher = await started(on, f"{name}-dispatcher", ["dispatcher", "--config", str(config)])
        stack.push_async_callback(stop, dispatcher)
        await until_it_leads(on, f"{name}-dispatcher", dispatcher)
        client = GenerationClient(connection.bootstrap_servers, topic_prefix=f"bench-{name}")
        await stack.enter_async_context(client)
        async with on.http.post(f"{urls['root_url']}/reset") as answer:
            answer.raise_for_status()
        begun_s = asyncio.get_running_loop().time()
        submitting = [
            asyncio.create_task(each, name=f"submit {name}")
            for each in (_submit_bulk(client, calls), _submit_urgent(client, calls, begun_s))
        ]
        for task in submitting:
            stack.callback(task.cancel)
        await _watch(on, f"{urls['root_url']}/stats", begun_s, end_us / 1_000_000, progress)
        raise_failure(submitting)
        served.terminate()
        record = await asyncio.wait_for(_printed(served), RECORD_WITHIN_S)
    return record_of(record)


def raise_failure(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Raise what has ended a task, or one of the group that has ended it; one that goes on has not failed."""
    for task in tasks:
        error = task.exception() if task.done() else None
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if error is not None:
            raise error


def record_of(printed: Mapping[str, Any]) -> Record:
    """Return what the process of a server printed as a record."""
    admitted = [(at_us, number) for at_us, number in printed["admitted"]]
    return Record(admitted, printed["refused"], sorted(printed["late_us"]))


async def _printed(served: Process) -> Mapping[str, Any]:
    """Return the next object that a server prints."""
    assert served.stdout is not None
    pieces = [await served.stdout.read(1 << 16)]
    while pieces[-1] and not pieces[-1].endswith(b"\n"):
        pieces.append(await served.stdout.read(1 << 16))
    if not pieces[-1]:
        raise OSError("the simulated server has ended")
    found: Mapping[str, Any] = json.loads(b"".join(pieces))
    return found


async def _submit_bulk(client: GenerationClient, calls: Sequence[Call]) -> None:
    async for _ in client.submit_many(_bulk(calls), in_flight_max=SUBMITTED_AT_ONCE):
        pass


def _bulk(calls: Sequence[Call]) -> Iterable[Submission]:
    for call in calls:
        if call.lane == "bulk":
            yield submission({"id": call.asked.id, "body": body_of(call.asked)}, lane="bulk")


async def _submit_urgent(client: GenerationClient, calls: Sequence[Call], begun_s: float) -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        for call in calls:
            if call.lane == "urgent":
                await asyncio.sleep(begun_s + call.at_ms / 1_000 - loop.time())
                submitting = client.submit(body_of(call.asked), lane="urgent", id=call.asked.id)
                group.create_task(submitting, name=f"submit {call.asked.id}")


async def _watch(on: Stage, stats_url: str, begun_s: float, span_s: float, progress: Progress) -> None:
    """Look at the server's counts until the time is over or refusals are a storm."""
    loop = asyncio.get_running_loop()
    while (left_s := begun_s + span_s - loop.time()) > 0:
        await asyncio.sleep(min(LOOK_S, left_s))
        async with on.http.get(stats_url) as answer:
            stats: Mapping[str, Any] = await answer.json()
        progress(stats["admitted"], loop.time() - begun_s)
        if is_storm(stats["throttled"], stats["admitted"]):
            return
