"""Running seeds with a planted fault until a checker finds it."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

from tests.simulation.service.mutants.table import MUTANTS
from tests.simulation.service.run import simulate

SEEDS_MAX = 500


@dataclass(frozen=True, slots=True)
class Verdict:
    """After how many seeds a planted fault was found, and by which sentence.

    `seeds` is None where it was not found within `tried`.
    """

    name: str
    seeds: int | None
    tried: int
    sentence: str
    trace: str

    def line(self) -> str:
        """A row of the table."""
        if self.seeds is None:
            return f"{self.name:<48} NOT CAUGHT within {self.tried} seeds"
        return f"{self.name:<48} caught after {self.seeds:>3} seeds: {self.sentence}"


def hunt(name: str, seeds_max: int = SEEDS_MAX) -> Verdict:
    """Run seed after seed until the fault shows.

    Raises:
        ValueError: A seed breaks a promise without a planted fault too.
    """
    for seed in range(seeds_max):
        with MUTANTS[name].plant():
            report = simulate(seed)
        if report.broken:
            if simulate(seed).broken:
                raise ValueError(f"seed {seed} is broken without a planted fault: find out why first")
            return Verdict(name, seed + 1, seed + 1, report.broken[0].splitlines()[-1][:160], report.trace)
    return Verdict(name, None, seeds_max, "", "")


def verdicts(names: Sequence[str], processes: int, seeds_max: int = SEEDS_MAX) -> Iterator[Verdict]:
    """The verdict on each, in the order of the names."""
    if processes == 1:
        yield from (hunt(name, seeds_max) for name in names)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(partial(hunt, seeds_max=seeds_max), names)
