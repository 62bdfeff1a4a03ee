"""A dispatcher before a hostile upstream, in short: `make hostile-upstream` is the long form."""

from tests.hostile.upstream import Plan, run, told


async def test_a_dispatcher_outlives_whatever_is_answered_and_others_do_not_notice() -> None:
    found = await run(Plan(answers=1_200, seed=20_261_128, per_s=85, baseline_s=3))
    assert not found.broken, told(found)
    assert found.served >= 1_200
    assert len(found.ends) > 35, "nearly every kind came"
