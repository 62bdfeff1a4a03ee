"""Small runs: one model, an even stream of equal requests."""

from collections.abc import Iterator, Sequence
from typing import Any

from headrace.broker.planner.arrivals import NEVER_MS, Arrival, chat_sizes
from headrace.broker.planner.engine import VirtualRun
from headrace.broker.planner.record import RunObserver
from headrace.broker.planner.stage import Stage, Times
from headrace.broker.settings.whole import Settings
from headrace.broker.simulator.settings import UpstreamSettings
from headrace.broker.simulator.virtual import VirtualUpstream

MODEL = "gpt-4o-mini"
TOKENS = 60_000
SIZES = chat_sizes(3_992)  # 998 tokens of text, one of its message, one for its one answer
CHARGE = 1_000


def stream(
    count: int,
    *,
    every_ms: int = 0,
    lanes: Sequence[str] = ("urgent", "standard", "bulk"),
    deadline_ms: int = NEVER_MS,
    model: str = MODEL,
) -> Iterator[Arrival]:
    for number in range(count):
        size, asked = SIZES
        yield Arrival(
            number * every_ms,
            lanes[number % len(lanes)],
            model,
            size,
            asked,
            partition=number % 6,
            output_tokens=50,
            deadline_ms=deadline_ms,
        )


def run_of(
    arrivals: Iterator[Arrival],
    *,
    tokens: int = TOKENS,
    times: Times | None = None,
    watcher: RunObserver | None = None,
    groups: dict[str, Any] | None = None,
    **upstream: Any,
) -> VirtualRun:
    limits = {MODEL: {"tokens_per_minute": tokens, "requests_per_minute": 100_000}}
    chosen: dict[str, Any] = {"limits": limits}
    settings = Settings(**(chosen | (groups or {})))
    usual: dict[str, Any] = {"tokens_per_minute": tokens, "requests_per_minute": 100_000, "latency_s": (0.5, 1.5)}
    played = VirtualUpstream(UpstreamSettings(**(usual | upstream)))
    return VirtualRun(Stage.of(settings), played, arrivals, times, watcher=watcher)
