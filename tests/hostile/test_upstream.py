"""A dispatcher before a hostile upstream, in short: `make hostile-upstream` is the long form.

`make test` runs it beside nothing else. Its times are those of `undisturbed_s` all the same: a busy core makes it
longer, and changes no verdict.
"""

import pytest

from tests.hostile.upstream import Plan, run
from tests.hostile.upstream_clock import undisturbed_s
from tests.hostile.upstream_found import told

LAG_S_MAX = 0.3
"""What the loop may stand still at most: three times what it does, and less than what a lease could notice."""


@pytest.mark.timeout(240)  # twenty seconds where the processors are free, a minute where two others want them
async def test_a_dispatcher_outlives_whatever_is_answered_and_others_do_not_notice() -> None:
    plan = Plan(answers=1_000, seed=20_261_128, per_s=85, baseline_s=3, clock=undisturbed_s, lag_s_max=LAG_S_MAX)
    found = await run(plan)
    assert not found.broken, told(found)
    assert found.served >= 1_000
    assert len(found.ends) > 35, "nearly every kind came"
