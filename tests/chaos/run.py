"""Faults one after the other, at random instants under load, and the report of what each did."""

import asyncio
import json
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.arena import DISPATCHER, Arena, NotWholeError, arena, logged_s
from tests.chaos.faults import FAULTS
from tests.chaos.traffic import blamed_innocents, verdicts
from tests.hostile.fates import BROKEN_BATCH
from tests.hostile.records import FATES
from tests.integration.fleet import read_all

WHOLE_WITHIN_S = 60.0
DRAINED_WITHIN_S = 90.0
HOSTILE_SHARE = 0.08
PAUSED_S = 1.0
"""Less than this without an outcome is no pause: they come in transactions."""


HEADING = (
    f"{'':4} {'at':>8}  {'fault':<53} {'whom, how long':<28} {'in flight':>9} {'silence':>8} {'flows after':>11}"
    f" {'well after':>10}"
)
"""`silence` is the longest time without an outcome, `flows after` when it ended, if it was one; `well after` is when
everybody did their part again with so many calls in flight; both are counted from the fault."""


@dataclass
class Played:
    """One fault: whom it hit, what was in flight, and how outcomes flowed afterwards.

    `pause_s` is the longest time without an outcome, `flows_after_s` when that ended, counted from the fault.
    A repeated call may wait its turn for long, so their number is only known when the run has ended.
    """

    number: int
    fault: str
    whom: str
    at_s: float
    inflight: int
    pause_s: float
    flows_after_s: float
    whole_after_s: float
    repeated_calls: int = 0

    def line(self) -> str:
        again = f"{self.flows_after_s:.1f} s" if self.paused else "at once"
        return (
            f"{self.number:4} {self.at_s:6.0f} s  {self.fault:<53} {self.whom:<28} {self.inflight:9}"
            f" {self.pause_s:6.1f} s {again:>11} {self.whole_after_s:8.1f} s"
        )

    @property
    def paused(self) -> bool:
        return self.pause_s >= PAUSED_S


@dataclass
class Report:
    """What a run showed; `wrong` is empty if every promise was kept.

    `hostile` is how many hostile records ended as their kind says, by fate.
    """

    seed: int
    played: list[Played] = field(default_factory=list)
    wrong: dict[str, list[str]] = field(default_factory=dict)
    totals: dict[str, Any] = field(default_factory=dict)
    hostile: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    def summary(self) -> list[str]:
        by_fault: dict[str, list[Played]] = {}
        for each in self.played:
            by_fault.setdefault(each.fault, []).append(each)
        rows = [f"{'fault':<53} times {'outcomes flow after':>21} {'calls made again':>17}"]
        for fault in FAULTS:
            of = by_fault.get(fault, [])
            if of:
                again = [each.flows_after_s if each.paused else 0.0 for each in of]
                calls = [each.repeated_calls for each in of]
                times = f"{statistics.median(again):.1f} s, worst {max(again):.1f} s"
                rows.append(f"{fault:<53} {len(of):5} {times:>21} {f'{sum(calls)}, worst {max(calls)}':>17}")
        rows.append(_listed(self.totals))
        rows.append(
            f"{sum(self.hostile.values())} hostile records ended once, as their kind says: {_listed(self.hostile)}"
        )
        rows += [f"WRONG, {what}: {len(found)}: {found[:5]}" for what, found in self.wrong.items() if found]
        rows.append(
            f"seed {self.seed}: {len(self.played)} faults, "
            + ", ".join(f"{len(self.wrong.get(what, ()))} {what}" for what in ("lost", "doubled", "stuck"))
            + (": every promise was kept" if self.is_fine else ": PROMISES WERE BROKEN")
        )
        return rows

    @property
    def is_fine(self) -> bool:
        return not any(self.wrong.values())


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def chosen(dice: random.Random, count: int, names: Sequence[str]) -> list[str]:
    """Every fault before any comes a second time, in an order of its own each time."""
    order: list[str] = []
    while len(order) < count:
        order += dice.sample(names, len(names))
    return order[:count]


async def play(
    directory: Path,
    seed: int,
    count: int,
    *,
    say: Callable[[str], None],
    names: Sequence[str] = tuple(FAULTS),
    hostile_share: float = HOSTILE_SHARE,
) -> Report:
    """Start everything, play so many faults, let everything be answered, and judge.

    `hostile_share` of all records are hostile ones.
    """
    report, dice = Report(seed), random.Random(seed)
    begun_s = time.monotonic()
    async with arena(directory, seed, hostile_share=hostile_share) as scene:
        say(f"seed {seed}; logs in {directory}; all well {time.monotonic() - begun_s:.1f} s after the start")
        say(HEADING)
        first_s = time.monotonic()
        for number, name in enumerate(chosen(dice, count, names), start=1):
            try:
                played = await _one(scene, dice, number, name, first_s)
            except (NotWholeError, AssertionError, TimeoutError) as error:
                report.wrong["stuck"] = [f"fault {number}, {name}: {type(error).__name__}: {error}"]
                say(f"{number:4}  {name}: {report.wrong['stuck'][0]}")
                await scene.mend()
                break
            report.played.append(played)
            say(played.line())
            if wrong := verdicts(scene.traffic, scene.letters)["doubled"] + scene.ended_by_themselves():
                say(f"      wrong from here on: {wrong[:3]}")
                break
        await _end(scene, report)
        repeated = [(before_s - first_s, again_s - first_s) for before_s, again_s in scene.answers.repeated]
        _attribute(report, repeated, [at_s - first_s for at_s in _led_s(scene)])
    return report


def _led_s(scene: Arena) -> list[float]:
    """When each term of a dispatcher began, monotonic seconds: its log has the same clock as we."""
    processes = [process for process in scene.fleet.processes if process.verb == DISPATCHER]
    return sorted(at_s for process in processes for at_s in logged_s(process, "leading"))


async def _one(scene: Arena, dice: random.Random, number: int, name: str, first_s: float) -> Played:
    await asyncio.sleep(dice.uniform(0, 1.5))  # at a random instant of whatever goes on
    await scene.whole(WHOLE_WITHIN_S)
    inflight = await scene.inflight()
    begun_s = time.monotonic()
    whom = await FAULTS[name](scene, dice)
    await scene.whole(WHOLE_WITHIN_S)
    whole_s = time.monotonic()
    pause_s, flows_after_s = scene.outcomes.longest_pause(begun_s, whole_s)
    return Played(
        number,
        name,
        whom,
        round(begun_s - first_s, 1),
        inflight,
        round(pause_s, 2),
        round(flows_after_s, 2),
        round(whole_s - begun_s, 2),
    )


def _attribute(report: Report, repeated: Sequence[tuple[float, float]], led_s: Sequence[float]) -> None:
    """Every repetition to its fault: the last one before the next leader led; without a next leader, one that cut
    calls off meanwhile, or else the first that was not over yet. All are seconds since the first fault.
    """
    for before_s, again_s in repeated:
        next_s = next((at_s for at_s in led_s if before_s < at_s < again_s), None)
        if next_s is None:
            within = [
                each for each in report.played if each.at_s < again_s and each.at_s + each.whole_after_s > before_s
            ]
            at_fault = ([each for each in within if "OpenAI" in each.fault] or within)[:1]
        else:
            at_fault = [each for each in report.played if each.at_s < next_s][-1:]
        for each in at_fault:
            each.repeated_calls += 1


async def _end(scene: Arena, report: Report) -> None:
    """Everything is answered, read once more from the beginning by another reader, and judged."""
    traffic, outcomes, letters = scene.traffic, scene.outcomes, scene.letters
    await traffic.stop()
    try:
        await _ended(scene)
    except TimeoutError:
        left = f"{traffic.unanswered} unanswered, {len(traffic.hostile(letters).lost)} hostile records without an end"
        report.wrong.setdefault("stuck", []).append(f"{left}: {await scene.statuses()}")
    report.wrong |= verdicts(traffic, letters, scene.answers.calls)
    again = await read_all(scene.fleet, "results", until=outcomes.counts.total())
    if again.counts() != outcomes.counts:
        report.wrong["two readers differ"] = [str(again.counts() - outcomes.counts)]
    report.wrong["ended by themselves"] = scene.ended_by_themselves()
    report.wrong["bad lines in logs"] = scene.bad_lines()
    report.wrong["exceptions at users"] = [*traffic.troubles, *outcomes.troubles, *letters.troubles]
    parked = await read_all(scene.fleet, "failures")
    kinds = [each.partition("-")[0] for each in traffic.acknowledged]
    report.totals = {
        "requests": len(traffic.acknowledged),
        "outcomes": sum(outcomes.counts.values()),
        "calls": sum(scene.answers.calls.values()),
        "called again": len(scene.answers.repeated),
        "parked": len(parked.records),
        "sent twice": kinds.count("twice"),
        "cancels": kinds.count("cancelled"),
        "cancelled": sum(outcome["reason"] == "cancelled" for outcome in outcomes.said.values()),
        "with deadlines": kinds.count("deadline"),
        "blamed for three deaths": len(blamed_innocents(traffic, scene.answers.calls)),
        "too late": sum(str(outcome["reason"]).startswith("deadline") for outcome in outcomes.said.values()),
    }
    report.hostile = {fate: traffic.hostile(letters).kept[fate] for fate in (*FATES, BROKEN_BATCH)}


async def _ended(scene: Arena) -> None:
    """Wait until nothing is unanswered, and every hostile record has ended."""
    async with asyncio.timeout(DRAINED_WITHIN_S):
        await scene.traffic.answered(DRAINED_WITHIN_S)
        while scene.traffic.hostile(scene.letters).lost:
            await asyncio.sleep(0.5)
