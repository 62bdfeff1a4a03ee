"""Plants faults: each must break a promise within 500 seeds, or the simulation proves less than it says.

python -m tests.simulation.service.mutants
python -m tests.simulation.service.mutants --processes 1 --only "skip the fence" "drop the map" --trace
"""

import argparse
import os
import sys
from time import perf_counter

from tests.simulation.service.mutants.hunting import SEEDS_MAX, verdicts
from tests.simulation.service.mutants.table import MUTANTS


def main(arguments: list[str] | None = None) -> int:
    """The command; 1 if a planted fault was not caught."""
    parser = argparse.ArgumentParser(description="Plant faults and see whether the simulation finds them.")
    parser.add_argument("--only", choices=MUTANTS, nargs="+", metavar="NAME", help="these faults, by name")
    parser.add_argument("--from", dest="first", type=int, default=0, help="begin with this fault of the table")
    parser.add_argument("--count", type=int, help="as many faults of the table")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seeds", type=int, default=SEEDS_MAX, help="seeds tried for each")
    parser.add_argument("--trace", action="store_true", help="print the last lines of the run that shows the fault")
    parser.add_argument("--list", action="store_true", help="print the table: fault, what it breaks, what goes wrong")
    options = parser.parse_args(arguments)
    if options.list:
        for each in MUTANTS.values():
            print(f"{each.name:<48} {', '.join(map(str, each.breaks)):<24} {each.tells}")
        return 0
    names = options.only or list(MUTANTS)[options.first :][: options.count]
    began, missed = perf_counter(), 0
    for number, verdict in enumerate(verdicts(names, options.processes, options.seeds), start=1):
        missed += verdict.seeds is None
        print(f"{number:>3}/{len(names)} {perf_counter() - began:>5.0f} s  {verdict.line()}", flush=True)
        if options.trace:
            print(verdict.trace)
    print(f"{len(names) - missed} of {len(names)} planted faults caught in {perf_counter() - began:.0f} s")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
