"""A dispatcher before a hostile upstream, in short: `make hostile-upstream` is the long form."""

import pytest

from tests.hostile.upstream import Plan, run, told


@pytest.mark.timeout(120)  # twenty seconds where the processors are free
async def test_a_dispatcher_outlives_whatever_is_answered_and_others_do_not_notice() -> None:
    found = await run(Plan(answers=1_000, seed=20_261_128, per_s=85, baseline_s=3))
    assert not found.broken, told(found)
    assert found.served >= 1_000
    assert len(found.ends) > 35, "nearly every kind came"
