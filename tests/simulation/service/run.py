"""Runs by the thousand, and one again when it has failed.

python -m tests.simulation.service.run --seeds 2000 --from 0
python -m tests.simulation.service.run --seeds 1 --from 1234 --trace
"""

import argparse
import copy
import gc
import importlib
import logging
import os
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

import structlog

from tests.simulation.service import checkers
from tests.simulation.service.checkers import it_ends
from tests.simulation.service.history import History
from tests.simulation.service.scenario import Scenario
from tests.simulation.service.world import World

SEEDS_A_BATCH = 20
SAID_EVERY = 1_000
PRIVATE = ("word word", "Answer ")
"""Parts of every prompt, and of every answer."""


def _promises() -> dict[str, Callable[[History], Iterator[str]]]:
    names = sorted(module.name for module in pkgutil.iter_modules(checkers.__path__))
    return {name: importlib.import_module(f"{checkers.__name__}.{name}").check for name in names}


PROMISES = _promises()


@dataclass(frozen=True, slots=True)
class Report:
    """What a seed came to; `broken` is empty if every promise was kept."""

    seed: int
    digest: str
    events: int
    virtual_s: float
    steps: int
    calls: int
    broken: tuple[str, ...]
    trace: str

    def sentence(self) -> str:
        """One line, or as many as there are broken promises."""
        head = f"seed {self.seed}, digest {self.digest}, {self.events} events, {self.calls} calls in {self.virtual_s} s"
        return "\n  ".join((head, *self.broken))


@contextmanager
def _in_silence(history: History) -> Iterator[None]:
    """Nothing is printed: what happens stands in the trace. Lines that hold what is private are kept."""

    def listen(_logger: object, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        line = repr(event)
        if any(private in line for private in PRIVATE):
            history.logged.append(line)
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[listen], wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    try:
        yield
    finally:
        structlog.configure(**before)


def run(scenario: Scenario) -> History:
    """One run."""
    world = World(scenario)
    with _in_silence(world.history):
        return world.run()


def copied(history: History) -> History:
    """A copy to be spoilt; all that is but read, its Kafka, is shared."""
    return copy.deepcopy(history, {id(history.kafka): history.kafka})


def simulate(seed: int, make: Callable[[Scenario], World] = World) -> Report:
    """One run and what the checkers say of it."""
    world = make(Scenario.drawn(seed))
    try:
        with _in_silence(world.history):
            history = world.run()
    except Exception:  # noqa: BLE001 — a defect of the simulation, to be reported with its seed
        history = world.history
        history.defects.append(traceback.format_exc())
    broken = [f"{it_ends.__name__.rpartition('.')[2]}: {sentence}" for sentence in it_ends.check(history)]
    if not broken:  # what follows from a broken run says nothing
        broken = [f"{promise}: {sentence}" for promise, check in PROMISES.items() for sentence in check(history)]
    trace = world.trace
    return Report(
        seed,
        trace.digest(),
        trace.length,
        round(world.conductor.now_s, 1),
        world.conductor.steps,
        len(history.calls),
        tuple(broken),
        trace.last() if broken else "",
    )


def simulate_some(first: int, count: int) -> list[Report]:
    """A batch, in another process.

    What a run leaves is collected at its end and not meanwhile: searching for it all the time costs an eighth.
    """
    frozen = gc.get_freeze_count() > 0  # as under pytest
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        return [simulate(seed) for seed in range(first, first + count)]
    finally:
        gc.enable()
        if not frozen:
            gc.unfreeze()


def reports(first: int, seeds: int, processes: int) -> Iterator[Report]:
    """All of them, in order."""
    batches = [(at, min(SEEDS_A_BATCH, first + seeds - at)) for at in range(first, first + seeds, SEEDS_A_BATCH)]
    if processes == 1:
        for at, count in batches:
            yield from simulate_some(at, count)
        return
    with ProcessPoolExecutor(processes) as pool:
        for done in pool.map(simulate_some, *zip(*batches, strict=True)):
            yield from done


def main(arguments: list[str] | None = None) -> int:
    """The command; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description="Simulate the processes.")
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--from", type=int, default=0, dest="first")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--trace", action="store_true", help="print the last lines of each broken run")
    parser.add_argument("--digest", action="store_true", help="print each run's digest")
    options = parser.parse_args(arguments)
    began, broken, calls, virtual_s = perf_counter(), 0, 0, 0.0
    for number, report in enumerate(reports(options.first, options.seeds, options.processes), start=1):
        broken += bool(report.broken)
        calls += report.calls
        virtual_s += report.virtual_s
        if report.broken or options.digest:
            print(report.sentence(), flush=True)
        if options.trace and report.broken:
            print(report.trace, flush=True)
        if number % SAID_EVERY == 0 and number < options.seeds:
            rate = number / (perf_counter() - began)
            print(
                f"{number:,} seeds, {broken} with a broken promise, {rate:.1f} seeds/s …", file=sys.stderr, flush=True
            )
    took_s = perf_counter() - began
    print(
        f"{options.seeds:,} seeds, {broken} with a broken promise; {calls:,} calls in {virtual_s / 3_600:.1f} hours of "
        f"virtual time, {options.seeds / took_s:.1f} seeds/s"
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
