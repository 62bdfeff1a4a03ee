"""Some seeds over real HTTP and in virtual time, side by side: whether one tells what the other would.

A seed is chosen by the number of its calls alone, never by a result: the first from a number on that ask at most
`CALLS_PER_MINUTE_MAX`, so that a machine with two cores can carry several plays at once.
"""

import asyncio
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import count, islice
from multiprocessing import get_context
from typing import Final

import aiohttp

from benchmarks.limiters.over_http import Record, as_answered, record_over_http
from benchmarks.limiters.pairs import HEAD, Pair, line
from benchmarks.limiters.play import Call, Played, calls_of, end_of, measured, play_calls
from benchmarks.limits.processes import Stage, stage
from headrace.broker.errors import HeadraceError
from headrace.broker.simulator.drawn_server import DrawnServer, drawn_server

SPAN_S: Final = 300
"""Of a play over HTTP: twelve of them, four at once, take a quarter of an hour."""
TOGETHER: Final = 4
CALLS_PER_MINUTE_MAX: Final = 1_000
OTHER_SEEDS: Final = (1, 2, 3, 4)
_TELL_EVERY_S: Final = 60.0


def chosen(first: int, many: int, span_s: int) -> list[int]:
    """Return the first seeds from `first` on whose calls a machine can carry beside others."""
    return list(islice(_carried(first, span_s), many))


def _carried(first: int, span_s: int) -> Iterator[int]:
    for seed in count(first):
        if len(calls_of(drawn_server(seed), span_s)) * 60 <= CALLS_PER_MINUTE_MAX * span_s:
            yield seed


@dataclass(slots=True)
class _Work:
    """One seed, its calls, and what is known of it so far."""

    server: DrawnServer
    calls: Sequence[Call]
    end_us: int
    admitted: int = 0
    since_s: float = 0.0


@dataclass(slots=True)
class _Progress:
    """The plays under way, as one line that is overwritten; in a log one line a minute."""

    of: int
    done: int = 0
    playing: dict[int, _Work] = field(default_factory=dict)
    told_s: float = field(default_factory=time.monotonic)

    def tell(self) -> None:
        is_watched = sys.stderr.isatty()
        if not is_watched and time.monotonic() - self.told_s < _TELL_EVERY_S:
            return
        self.told_s = time.monotonic()
        each = (
            f"random:{seed} {work.admitted:,} calls in {work.since_s:.0f} of {work.end_us / 1_000_000:.0f} s"
            for seed, work in self.playing.items()
        )
        text = f"{self.done} of {self.of} measured; {', '.join(each)}"
        print(
            f"\r\x1b[K{text[:150]}" if is_watched else text, end="" if is_watched else "\n", file=sys.stderr, flush=True
        )

    def clear(self) -> None:
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


async def measure(seeds: Sequence[int], span_s: int, together: int) -> tuple[list[Pair], list[str]]:
    """Measure the seeds, some at once; return the pairs in the order of `seeds`, and why others are missing.

    What is computed from a record is computed between the plays, and what plays in virtual time before them all: it
    would take the processor from those that play in real time.
    """
    progress, pairs, failed = _Progress(len(seeds)), dict[int, Pair](), list[str]()
    works = [_work(seed, span_s) for seed in seeds]
    virtual = _in_virtual_time(works)
    print(HEAD, flush=True)
    async with stage() as on:
        for place in range(0, len(works), together):
            some = works[place : place + together]
            records = await asyncio.gather(*(_record(on, work, progress) for work in some), return_exceptions=True)
            progress.clear()
            for work, record in zip(some, records, strict=True):
                seed = work.server.seed
                if isinstance(record, HeadraceError | OSError | TimeoutError | aiohttp.ClientError):
                    failed.append(f"random:{seed} could not be measured: {record!r}")
                elif isinstance(record, BaseException):
                    raise record
                else:
                    figures = measured(work.server, work.calls, record.admitted, record.refused, work.end_us)
                    pairs[seed] = Pair(
                        figures, virtual[seed][0], virtual[seed][1:], record.late_p99_ms, record.late_max_ms
                    )
                    print(line(pairs[seed]), flush=True)
    return [pairs[seed] for seed in seeds if seed in pairs], failed


def _work(seed: int, span_s: int) -> _Work:
    server = drawn_server(seed)
    return _Work(server, as_answered(server, calls_of(server, span_s)), end_of(server, span_s))


def _in_virtual_time(works: Sequence[_Work]) -> dict[int, list[Played]]:
    """Return the plays of each seed: by its own random seed, and by others."""
    plays = [
        (work.server, work.calls, work.end_us, random_seed) for work in works for random_seed in (None, *OTHER_SEEDS)
    ]
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        played = list(pool.map(play_calls, *zip(*plays, strict=True)))
    found: dict[int, list[Played]] = {}
    for each in played:
        found.setdefault(each.seed, []).append(each)
    return found


async def _record(on: Stage, work: _Work, progress: _Progress) -> Record:
    def told(admitted: int, since_s: float) -> None:
        work.admitted, work.since_s = admitted, since_s
        progress.tell()

    seed = work.server.seed
    progress.playing[seed] = work
    try:
        return await record_over_http(on, work.server, work.calls, work.end_us, told)
    finally:
        del progress.playing[seed]
        progress.done += 1
