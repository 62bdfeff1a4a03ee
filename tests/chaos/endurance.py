"""An hour of chaos at 50 calls a second: memory and descriptors of every process stay where they were."""

import asyncio
import random
import re
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import psutil

from tests.chaos.arena import DISPATCHER, RETRIER, Arena, arena
from tests.chaos.faults import FAULTS
from tests.chaos.figures import Figure, settled

_T = TypeVar("_T")
Say = Callable[[str], None]
SAMPLED_EVERY_S = 5.0
FAULT_EVERY_S = 20.0
CALLS_PER_S = 50.0
SETTINGS = {
    "HEADRACE_DISPATCHER__INFLIGHT_MAX": "256",
    "HEADRACE_LIMITS": '{"gpt-4o-mini": {}}',
    "HEADRACE_RETRY__IN_PLACE_MAX_S": "2",
    "HEADRACE_DEDUPE__WINDOW_S": "300",
}
LASTING = [name for name in FAULTS if not re.search(r"told to leave|(leader|standby|retrier) killed|leader and", name)]
"""Faults that end no process of ours: whose memory is looked at must live as long as the run."""


async def endurance(directory: Path, say: Say, *, minutes: float) -> list[Figure]:
    """Flat: of what lies after the warm-up, the last third is not above the first third."""
    dice, samples = random.Random(13), defaultdict[str, list[tuple[float, float, int]]](list)
    async with arena(directory, 13, settings=SETTINGS, inflight=20) as scene:
        scene.traffic.rate_per_s = CALLS_PER_S
        begun_s = time.monotonic()
        sampling = asyncio.create_task(_sample(scene, samples, begun_s))
        played = 0
        while time.monotonic() - begun_s < minutes * 60:
            await asyncio.sleep(FAULT_EVERY_S)
            name = dice.choice(LASTING)
            fault_s = time.monotonic()
            whom = await FAULTS[name](scene, dice)
            await scene.whole()
            silent_s, _ = scene.outcomes.longest_pause(fault_s, time.monotonic())
            played += 1
            newest = {each: f"{found[-1][1]:.0f} MB {found[-1][2]} fd" for each, found in samples.items() if found}
            say(
                f"{(time.monotonic() - begun_s) / 60:5.1f} min: {name}, {whom}: no outcome for {silent_s:.1f} s;"
                f" {len(scene.outcomes.said)} answered, {scene.traffic.unanswered} not yet; {newest}"
            )
        sampling.cancel()
        with suppress(asyncio.CancelledError):
            await sampling
        rate = len(scene.answers.at) / (time.monotonic() - begun_s)
        say(f"{played} faults, {rate:.1f} calls a second")
        warm_s = min(600.0, minutes * 60 * 0.4)
        figures = [Figure("calls a second", rate, 0.9 * CALLS_PER_S, "", at_least=True)]
        for name, found in samples.items():
            figures.append(_memory(name, [each for each in found if each[0] >= warm_s]))
        for verb in (DISPATCHER, RETRIER):
            of = [samples[place.name] for place in scene.at(verb)]
            together = [(first[0], first[2] + second[2]) for first, second in zip(*of, strict=False)]
            figures.append(_descriptors(verb, [each for each in together if each[0] >= warm_s]))
        return [*figures, *await settled(scene)]


def _memory(name: str, found: list[tuple[float, float, int]]) -> Figure:
    first, last = (statistics.median(each[1] for each in part) for part in _thirds(found))
    return Figure(f"{name}: memory {first:.0f} MB, then {last:.0f} MB, grown", last - first, 8, "MB")


def _descriptors(verb: str, found: list[tuple[float, int]]) -> Figure:
    """Leader and standby together, since who leads holds most; the fewest, since calls come and go."""
    first, last = (min(each[1] for each in part) for part in _thirds(found))
    return Figure(f"both {verb}s: descriptors {first}, then {last}, grown", last - first, 16, "")


def _thirds(found: Sequence[_T]) -> tuple[Sequence[_T], Sequence[_T]]:
    """The first and the last."""
    third = max(1, len(found) // 3)
    return found[:third], found[-third:]


async def _sample(scene: Arena, samples: dict[str, list[tuple[float, float, int]]], begun_s: float) -> None:
    while True:
        for name, process in scene.members.items():
            with suppress(psutil.Error):
                seen = psutil.Process(process.pid)
                memory_mb = seen.memory_info().rss / 1_048_576
                samples[name].append((time.monotonic() - begun_s, memory_mb, seen.num_fds()))
        await asyncio.sleep(SAMPLED_EVERY_S)
