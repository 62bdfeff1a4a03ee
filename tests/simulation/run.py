"""Runs by the thousand, and one again when it has failed.

python -m tests.simulation.run --seeds 2000 --from 0
python -m tests.simulation.run --seeds 1 --from 1234 --trace
python -m tests.simulation.run --seeds 100 --crowded
"""

import argparse
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter

from tests.simulation.checkers import (
    answers_are_real,
    buffers_are_bounded,
    calls_are_needed,
    cancels_hold,
    caps_hold,
    deadlines_are_kept,
    it_ends,
    ledger_agrees,
    memory_empties,
    one_outcome,
    order_holds,
    progress_is_true,
    published_once,
    refusals_are_few,
    shares_hold,
)
from tests.simulation.history import History
from tests.simulation.scenario import Scenario
from tests.simulation.world import SimulatedWorld

PROMISES: dict[str, Callable[[History], Iterator[str]]] = {
    module.__name__.rpartition(".")[2]: module.check
    for module in (
        it_ends,
        published_once,
        one_outcome,
        progress_is_true,
        memory_empties,
        ledger_agrees,
        answers_are_real,
        calls_are_needed,
        cancels_hold,
        deadlines_are_kept,
        refusals_are_few,
        order_holds,
        caps_hold,
        buffers_are_bounded,
        shares_hold,
    )
}


@dataclass(frozen=True, slots=True)
class Report:
    """What a seed came to; `broken` is empty if every promise was kept."""

    seed: int
    digest: str
    events: int
    virtual_ms: int
    calls: int
    broken: tuple[str, ...]
    trace: str

    def sentence(self) -> str:
        """One line, or as many as there are broken promises."""
        head = f"seed {self.seed}, digest {self.digest}, {self.events} events in {self.virtual_ms} ms"
        return "\n  ".join((head, *self.broken))


def simulate(
    seed: int, *, crowded: bool = False, seen: Callable[[Scenario, History], None] = lambda *_: None
) -> Report:
    """One run and what the checkers say of it; `seen` gets what they judge, so that nobody need run it again."""
    scenario = Scenario.crowded(seed) if crowded else Scenario.drawn(seed)
    world = SimulatedWorld(scenario)
    try:
        history = world.run()
    except Exception:  # noqa: BLE001 — a defect of the machine, to be reported with its seed
        history = world.history
        world.defect(traceback.format_exc())
    seen(scenario, history)
    broken: list[str] = []
    for promise, check in PROMISES.items():
        broken += [f"{promise}: {sentence}" for sentence in check(history)]
        if broken and promise == it_ends.__name__.rpartition(".")[2]:
            break  # what follows from a broken run says nothing
    return Report(
        seed,
        world.trace.digest(),
        world.trace.length,
        world.now_ms,
        len(history.calls),
        tuple(broken),
        world.trace.last(),
    )


def main(arguments: list[str] | None = None) -> int:
    """The command; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description="Simulate the core.")
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--from", type=int, default=0, dest="first")
    parser.add_argument("--trace", action="store_true", help="print the last lines of each run")
    parser.add_argument("--digest", action="store_true", help="print each run's digest")
    parser.add_argument("--crowded", action="store_true", help="far more work than quota")
    options = parser.parse_args(arguments)
    began, broken = perf_counter(), 0
    for seed in range(options.first, options.first + options.seeds):
        report = simulate(seed, crowded=options.crowded)
        broken += bool(report.broken)
        if report.broken or options.digest:
            print(report.sentence())
        if options.trace:
            print(report.trace)
    took_s = perf_counter() - began
    print(f"{options.seeds} seeds, {broken} with a broken promise, {options.seeds / took_s:.0f} seeds/s")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
