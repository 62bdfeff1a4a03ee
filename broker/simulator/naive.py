"""The bad example: uncoordinated workers that each keep their own request rate and ignore tokens.

Services work like this before they have one dispatcher, and the demo compares with it. Every worker paces itself to a
number of requests a minute, calls through the OpenAI SDK with its default retries, and marks a lead as failed when the
SDK gives up. Together they spend more tokens than the account has, and urgent leads wait in the same queue as the rest.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openai import AsyncOpenAI, DefaultAsyncHttpxClient, OpenAIError


@dataclass(frozen=True, slots=True)
class NaiveRequest:
    """One lead's call. `at_s` is when it becomes available, in seconds after the start."""

    id: str
    body: Mapping[str, Any]
    urgent: bool = False
    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class NaiveReport:
    """Final counts; `throttled` counts every 429 received, those that the SDK retried included.

    `urgent_waits_s` run from a lead's `at_s` to its answer; a failed lead has none.
    """

    answered: int
    failed: int
    failed_ids: tuple[str, ...]
    urgent_waits_s: tuple[float, ...]
    throttled: int
    elapsed_s: float
    error_example: str | None


async def run_naive(
    requests: Sequence[NaiveRequest],
    *,
    base_url: str,
    workers: int = 4,
    requests_per_minute: float = 60,
    on_progress: Callable[[], object] = lambda: None,
) -> NaiveReport:
    """Serve `requests` with `workers` workers of `requests_per_minute` each, until every one is answered or failed.

    `on_progress` is called whenever a count has changed.
    """
    tally = _Tally(on_progress)
    queue: asyncio.Queue[NaiveRequest | None] = asyncio.Queue(maxsize=len(requests) + workers)
    async with asyncio.TaskGroup() as group:
        group.create_task(_feed(requests, queue, workers, tally), name="naive feeder")
        for number in range(workers):
            worker = _work(queue, base_url, 60 / requests_per_minute, tally)
            group.create_task(worker, name=f"naive worker {number}")
    return tally.report()


class _Tally:
    """The counts that all workers share; the only shared state beside the queue."""

    def __init__(self, on_progress: Callable[[], object]) -> None:
        self.on_progress = on_progress
        self._began_s = asyncio.get_running_loop().time()
        self._answered = 0
        self._throttled = 0
        self._failed: list[NaiveRequest] = []
        self._urgent_waits_s: list[float] = []
        self._error_example: str | None = None

    @property
    def elapsed_s(self) -> float:
        return asyncio.get_running_loop().time() - self._began_s

    def throttle(self) -> None:
        self._throttled += 1
        self.on_progress()

    def answer(self, request: NaiveRequest) -> None:
        self._answered += 1
        if request.urgent:
            self._urgent_waits_s.append(self.elapsed_s - request.at_s)
        self.on_progress()

    def fail(self, request: NaiveRequest, error: OpenAIError) -> None:
        self._failed.append(request)
        self._error_example = self._error_example or str(error)
        self.on_progress()

    def report(self) -> NaiveReport:
        return NaiveReport(
            answered=self._answered,
            failed=len(self._failed),
            failed_ids=tuple(request.id for request in self._failed),
            urgent_waits_s=tuple(self._urgent_waits_s),
            throttled=self._throttled,
            elapsed_s=self.elapsed_s,
            error_example=self._error_example,
        )


async def _feed(
    requests: Sequence[NaiveRequest], queue: asyncio.Queue[NaiveRequest | None], workers: int, tally: _Tally
) -> None:
    for request in sorted(requests, key=lambda request: request.at_s):  # stable: the order given, else
        await asyncio.sleep(max(0.0, request.at_s - tally.elapsed_s))
        queue.put_nowait(request)
    for _ in range(workers):
        queue.put_nowait(None)


async def _work(queue: asyncio.Queue[NaiveRequest | None], base_url: str, interval_s: float, tally: _Tally) -> None:
    async def watch(response: Any) -> None:
        if response.status_code == 429:
            tally.throttle()

    transport = DefaultAsyncHttpxClient(event_hooks={"response": [watch]})
    async with (
        AsyncOpenAI(base_url=base_url, api_key="naive", http_client=transport) as client,
        asyncio.TaskGroup() as calls,
    ):
        while (request := await queue.get()) is not None:
            calls.create_task(_call(client, request, tally), name=f"naive call {request.id}")
            await asyncio.sleep(interval_s)


async def _call(client: AsyncOpenAI, request: NaiveRequest, tally: _Tally) -> None:
    tally.on_progress()
    try:
        await client.chat.completions.create(**request.body, extra_headers={"x-client-request-id": request.id})
    except OpenAIError as error:
        tally.fail(request, error)
    else:
        tally.answer(request)
