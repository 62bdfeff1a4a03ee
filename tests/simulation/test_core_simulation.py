"""The core against a world of trouble: every promise, seed by seed; a failing seed prints itself.

More of them: `make test-long`, and `python -m tests.simulation.run --seeds 2000 --from 1000`.
"""

import os
import subprocess
import sys

import pytest

from tests.long_proofs import with_long
from tests.simulation.run import simulate

SEEDS, AT_ONCE = 120, 10
EACH_TIME = 40
"""So many of them belong to every `make test`; the others, to `make test-long`."""


@pytest.mark.timeout(60)
@pytest.mark.parametrize("first", with_long(range(0, SEEDS, AT_ONCE), EACH_TIME // AT_ONCE))
def test_every_promise_is_kept(first: int) -> None:
    broken = [report for seed in range(first, first + AT_ONCE) if (report := simulate(seed)).broken]
    assert not broken, "\n".join(report.sentence() for report in broken) + "\n" + broken[0].trace


@pytest.mark.timeout(30)
def test_a_seed_is_the_same_run_each_time() -> None:
    first, second = simulate(7), simulate(7)
    assert first.events > 100
    assert (first.digest, first.events, first.virtual_ms) == (second.digest, second.events, second.virtual_ms)
    assert simulate(8).digest != first.digest


@pytest.mark.timeout(30)
def test_a_seed_is_the_same_run_in_another_process_whose_hashes_differ() -> None:
    command = [sys.executable, "-m", "tests.simulation.run", "--seeds", "1", "--from", "7", "--digest"]
    told = [
        subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True
        ).stdout.splitlines()[0]
        for hash_seed in ("1", "2")
    ]
    assert told == [simulate(7).sentence()] * 2
