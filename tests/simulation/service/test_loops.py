"""Virtual time: processes on loops of their own that stop, die at any await, and take turns as they are drawn."""

import asyncio
import gc
from collections.abc import Iterator
from random import Random
from weakref import ref

import pytest

from tests.simulation.service.loops import Conductor, VirtualLoop


class Play(Conductor):
    """`said` is what everybody said."""

    def __init__(self, seed: int = 1) -> None:
        super().__init__(Random(seed))
        self.said: list[str] = []


@pytest.fixture
def play() -> Iterator[Play]:
    made = Play()
    yield made
    made.close()


async def ticking(said: list[str], name: str, times: int, every_s: float = 1.0) -> None:
    for number in range(times):
        said.append(f"{name}{number}")
        await asyncio.sleep(every_s)


def started(play: Play, name: str, times: int = 3, every_s: float = 1.0) -> VirtualLoop:
    loop = play.loop()
    loop.inside(lambda: loop.create_task(ticking(play.said, name, times, every_s)))
    return loop


def test_sleeping_takes_virtual_time_and_no_other(play: Play) -> None:
    started(play, "a", every_s=1_000)
    play.run(1_500)
    assert (play.said, play.now_s) == (["a0", "a1"], 1_500)


def test_whoever_is_stopped_goes_on_where_it_was_and_is_late(play: Play) -> None:
    loop = started(play, "a")
    play.plan(0.5, lambda: play.stop(loop, 5))
    play.run(5.4)
    assert play.said == ["a0"]
    play.run(5.6)
    assert play.said == ["a0", "a1"]


def test_whoever_is_killed_never_runs_again_though_a_callback_is_ready(play: Play) -> None:
    loop = started(play, "a", every_s=0)
    play.doom(loop, 2, lambda: play.remove(loop))
    play.run(1)
    assert play.said == ["a0", "a1"]
    loop.bury()
    assert loop.is_closed()


def test_who_goes_first_in_one_instant_is_drawn() -> None:
    firsts = set()
    for seed in range(20):
        play = Play(seed)
        started(play, "a", 1)
        started(play, "b", 1)
        play.run(1)
        firsts.add(play.said[0])
        play.close()
    assert firsts == {"a0", "b0"}


def test_a_cancelled_timer_moves_no_clock(play: Play) -> None:
    loop = play.loop()
    loop.inside(lambda: loop.call_later(1, play.said.append, "never")).cancel()
    play.plan(3, lambda: play.said.append(f"at {play.now_s}"))
    play.run(10)
    assert play.said == ["at 3.0"]


def test_what_nobody_catches_is_kept(play: Play) -> None:
    loop = play.loop()
    loop.inside(lambda: loop.call_soon(lambda: 1 // 0))
    play.run(1)
    assert isinstance(loop.broken[0]["exception"], ZeroDivisionError)


def test_a_timer_that_was_given_up_neither_rings_nor_keeps_what_it_would_have_rung(play: Play) -> None:
    loop = play.loop()
    kept = Play()
    there = ref(kept)
    given_up, other = loop.call_later(1, id, kept), loop.call_later(1, play.said.append, "other")
    given_up.cancel()
    del kept
    gc.collect()
    assert (there(), given_up.cancelled(), other.cancelled()) == (None, True, False)
    play.run(2)
    assert play.said == ["other"]
