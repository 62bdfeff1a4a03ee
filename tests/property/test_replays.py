"""However a replay is interrupted, whatever comes meanwhile: each dead letter goes back once, and none is forgotten."""

import asyncio
from collections import Counter
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.broker.errors import ProducerDead
from headrace.broker.testing.kafka import CommitFault
from headrace.consumers.replays.job import ReplayRequest
from tests.unit.consumers.replays.rig import EVERYTHING, World, killed_at

_FAST = 1_000_000.0
_REASONS = ("exhausted", "rejected", "undecodable")
_JOBS = (EVERYTHING, ReplayRequest(reasons=("exhausted",)), ReplayRequest(tenant="acme", lane="urgent"))

more = st.tuples(st.just("more"), st.lists(st.sampled_from(_REASONS), min_size=1, max_size=60))
kill = st.tuples(st.just("kill"), st.integers(1, 60))
fault = st.tuples(st.just("fault"), st.sampled_from(CommitFault))
some = st.tuples(st.just("some"), st.integers(1, 30))
fenced = st.tuples(st.just("fenced"), st.integers(1, 30))
steps = st.lists(st.one_of(more, kill, kill, fault, some, fenced), min_size=2, max_size=12)


async def play(asked: ReplayRequest, script: list[tuple[str, object]], *, lagging: bool) -> None:
    world = World()
    world.kafka.offsets_lag = lagging
    meant: list[str] = []
    for what, how in script:
        if what == "more":
            assert isinstance(how, list)
            for reason in how:
                name = f"lead-{len(meant)}-{reason}"
                world.bury(name, reason=reason, value=b"\xff" if reason == "undecodable" else None)
                meant.append(name)
        elif what == "kill":
            assert isinstance(how, int)
            await killed_at(world.replay(asked, per_s=_FAST), how)
        elif what == "some":
            await world.replay(asked, per_s=_FAST, limit=how)()
        elif what == "fault":
            await with_fault(world, asked, how)
        else:
            assert isinstance(how, int)
            await fenced_by_itself(world, asked, how)
    await world.replay(asked, per_s=_FAST)()
    wanted = [name for name in meant if not asked.reasons or name.endswith(asked.reasons)]
    assert world.counts() == Counter((name, 1) for name in wanted if not name.endswith("undecodable"))


async def with_fault(world: World, asked: ReplayRequest, how: object) -> None:
    """The answer to its first commit is lost, with the commit or without."""
    run = world.replay(asked, per_s=_FAST)
    await run.work.open()
    assert isinstance(how, CommitFault)
    world.kafka.commit_faults.append(how)
    with suppress(ProducerDead):
        await run.work.run()
    world.kafka.commit_faults.clear()
    await run.work.close()


async def fenced_by_itself(world: World, asked: ReplayRequest, turns: int) -> None:
    """The same command is given a second time while the first is at work."""
    first = asyncio.create_task(world.replay(asked, per_s=_FAST)())
    for _ in range(turns):
        await asyncio.sleep(0)
    await world.replay(asked, per_s=_FAST, limit=7)()
    with suppress(ProducerDead):
        await first


@pytest.mark.slow
@settings(max_examples=150)
@given(st.sampled_from(_JOBS), steps, st.booleans())
def test_each_goes_back_once(asked: ReplayRequest, script: list[tuple[str, object]], lagging: bool) -> None:  # noqa: FBT001  # drawn
    asyncio.run(play(asked, script, lagging=lagging))
