"""How late a hundred thousand retries come back to their lanes, and what a million that wait take.

The first is played in virtual time: a transaction takes 20 ms of it, processor time none. Prints how much later than
due each was committed to its lane, and whether each came once and in order. The second is what the retrier keeps of
those that wait, and what that adds to this process.

    python -m tests.simulation.retries.run [--failures 100000] [--over-s 3600] [--fresh-per-s 100] [--waiting 1000000]
"""

import argparse
import asyncio
import gc
import random
import resource
import time
import tracemalloc
from pathlib import Path

import looptime

from benchmarks.lanes.findings import quantile
from headrace.consumers.retries.releases import Releases, choose
from tests.simulation.retries.play import PARTITIONS, SHARES, Played, play
from tests.unit.consumers.rig import LANES

_LATE_MS = 1_000
_NOW_MS = 1_800_000_000_000


def told(played: Played, failures: int) -> str:
    """The figures in sentences."""
    twice = sum(each > 1 for each in played.back.values())
    lines = [
        (
            f"{len(played.back):,} of {failures:,} back, {twice} more than once, {played.backwards} after one that was "
            f"due later; {played.processor_s:.0f} s of processor time"
        )
    ]
    for lane, late_ms in sorted(played.late_ms.items()):
        over = sum(each > _LATE_MS for each in late_ms)
        lines.append(
            f"{lane}: {len(late_ms):,}, late by {quantile(late_ms, 0.5)} ms in the middle, {quantile(late_ms, 0.99)} "
            f"ms (p99), {max(late_ms)} ms at most, {min(late_ms)} ms at least; {over:,} by more than a second"
        )
    return "\n".join(lines)


def seen(count: int, over_s: int = 3_600) -> dict[int, Releases]:
    """So many wait, each seen once, due at random."""
    dice, partitions = random.Random(8), {number: Releases(0) for number in range(PARTITIONS)}
    for offset in range(count // PARTITIONS):
        for releases in partitions.values():
            releases.see(offset, dice.choices(LANES, SHARES)[0], _NOW_MS + dice.randrange(over_s * 1_000))
    return partitions


def bytes_a_record(count: int) -> float:
    """What each of so many that wait takes, without its body."""
    gc.collect()
    tracemalloc.start()
    partitions = seen(count)
    traced, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return traced / sum(releases.waiting for releases in partitions.values())


def waiting(count: int, over_s: int = 3_600) -> str:
    """What so many take, and how long they do: then a thousand of them leave."""
    traced = bytes_a_record(count)
    gc.collect()
    before, began_s = _resident(), time.process_time()
    partitions = seen(count, over_s)
    seen_s, resident = time.process_time() - began_s, _resident() - before
    end_ms, began_s = _NOW_MS + over_s * 1_000, time.process_time()
    left = choose(partitions, end_ms, 1_000, lambda _: True)
    left_s = time.process_time() - began_s
    began_s = time.process_time()
    due = sum(each.count_due(lane, end_ms) for each in partitions.values() for lane in LANES)
    due_s = time.process_time() - began_s
    return (
        f"{count:,} wait: {traced:.1f} bytes each as traced, {resident / count:.1f} resident; "
        f"{seen_s / count * 1e6:.1f} µs to see one, {left_s / len(left) * 1e6:.0f} µs to choose one of {len(left):,}; "
        f"{due:,} that are due are counted in {due_s * 1e3:.0f} ms"
    )


def _resident() -> int:
    """Bytes of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--failures", type=int, default=100_000)
    parser.add_argument("--over-s", type=float, default=3_600)
    parser.add_argument("--fresh-per-s", type=float, default=100)
    parser.add_argument("--waiting", type=int, default=1_000_000)
    asked = parser.parse_args()
    print(waiting(asked.waiting))
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        played = runner.run(play(asked.failures, over_s=asked.over_s, fresh_per_s=asked.fresh_per_s))
    print(told(played, asked.failures))


if __name__ == "__main__":
    main()
