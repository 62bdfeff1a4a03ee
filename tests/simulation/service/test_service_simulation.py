"""The whole service against a world of trouble: every promise, seed by seed; a failing seed prints itself.

More of them: `make test-long`, and `make sim SEEDS=20000`. One of them again:
`python -m tests.simulation.service.run --seeds 1 --from 1234 --trace`.
"""

import os
import subprocess
import sys
import time

import pytest

from tests.long_proofs import with_long
from tests.simulation.service.run import Report, simulate, simulate_some
from tests.simulation.service.world import SummingWorld

REGRESSIONS = (
    95,
    1307,
    1733,
    12670,
    20217,
    80181,
    520072,
    520083,
    520228,
    530412,
    530982,
    531320,
    531861,
    600128,
    610326,
    614453,
    700538,
    900345,
    1000049,
    2006637,
    9200623,
    99824050,
    3004197,
    3004410,
    4005499,
    4006427,
    5007716,
    5012149,
    9014782,  # at the end a leader that was frozen does not know yet that it was deposed
    9019153,  # the same, and no other leads
    10002969,  # the ledger forgets deaths five times
    11002747,  # the copy of a parked request with a key stands in another partition
    10007134,  # a candidate stood still between two questions of its promotion, and another led meanwhile
    13329,  # a record is convicted, and a marker stands before it
)
"""Seeds that have shown a fault of the service or of a checker, since mended; a test of its own says what it was."""
FIXED, FRESH, AT_ONCE = 40, 120, 10
EACH_TIME = 20
"""So many of the fixed ones, and of the fresh ones, belong to every `make test`; the others, to `make test-long`."""
FRESH_FROM = 1_000_000 + int(time.time()) // 3_600 % 100_000 * 1_000
"""Others each hour. Should the hour end while workers begin, they run other seeds, and no fewer."""


def _kept(reports: list[Report]) -> None:
    broken = [report for report in reports if report.broken]
    assert not broken, "\n".join(report.sentence() for report in broken) + "\n" + broken[0].trace


@pytest.mark.timeout(120)
@pytest.mark.parametrize("first", with_long(range(0, FIXED, AT_ONCE), EACH_TIME // AT_ONCE))
def test_every_promise_is_kept(first: int) -> None:
    _kept(simulate_some(first, AT_ONCE))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("batch", with_long(range(FRESH // AT_ONCE), EACH_TIME // AT_ONCE))
def test_every_promise_is_kept_by_fresh_seeds(batch: int) -> None:
    _kept(simulate_some(FRESH_FROM + batch * AT_ONCE, AT_ONCE))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("batch", with_long(range(FRESH // AT_ONCE), 1))
def test_every_promise_is_kept_where_outcomes_are_summed_up(batch: int) -> None:
    first = FRESH_FROM + FRESH + batch * AT_ONCE
    _kept([simulate(seed, SummingWorld) for seed in range(first, first + AT_ONCE)])


@pytest.mark.parametrize("seed", REGRESSIONS)
def test_what_was_mended_stays_mended(seed: int) -> None:
    _kept(simulate_some(seed, 1))


def test_a_seed_is_the_same_run_each_time() -> None:
    first, second = simulate(7), simulate(7)
    assert first.events > 20
    assert (first.digest, first.steps, first.virtual_s) == (second.digest, second.steps, second.virtual_s)
    assert simulate(8).digest != first.digest


@pytest.mark.timeout(60)
def test_a_seed_is_the_same_run_in_another_process_whose_hashes_differ() -> None:
    command = [sys.executable, "-m", "tests.simulation.service.run", "--seeds", "2", "--processes", "1", "--digest"]
    environment = {**os.environ, "PYTHONHASHSEED": "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert told.splitlines()[:-1] == [simulate(seed).sentence() for seed in range(2)]
