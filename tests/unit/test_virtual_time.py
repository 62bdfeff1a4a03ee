"""The loop in virtual time behaves as asyncio's, but that its clock jumps."""

import asyncio
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from tests.virtual_time import START_S, VIRTUAL_TIME, virtual_time

SAID: ContextVar[str] = ContextVar("SAID")


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


@VIRTUAL_TIME
async def test_time_jumps_to_the_next_timer_and_sums_are_exact() -> None:
    loop = asyncio.get_running_loop()
    assert loop.time() == START_S
    for _ in range(10):
        await asyncio.sleep(0.1)
    assert loop.time() == START_S + 1
    await asyncio.sleep(3 * 86_400)
    assert loop.time() == START_S + 1 + 3 * 86_400
    await asyncio.sleep(1e-7)
    assert loop.time() == START_S + 1 + 3 * 86_400 + 1e-6, "a tick is the least"


@VIRTUAL_TIME
async def test_timers_come_by_their_time_and_of_one_time_in_the_order_asked_for() -> None:
    loop, came = asyncio.get_running_loop(), list[str]()
    for name, delay_s in (("late", 2.0), ("first", 1.0), ("second", 1.0), ("at once", 0.0), ("never", 0.5)):
        timer = loop.call_later(delay_s, came.append, name)
    timer.cancel()
    assert timer.cancelled()
    loop.call_soon(came.append, "soon")
    loop.call_soon(came.append, "nor this").cancel()
    await asyncio.sleep(3)
    assert came == ["soon", "at once", "first", "second", "late"]


@VIRTUAL_TIME
async def test_a_callback_has_the_context_in_which_it_was_asked_for() -> None:
    loop, came = asyncio.get_running_loop(), list[str]()
    SAID.set("then")
    loop.call_soon(lambda: came.append(SAID.get()))
    loop.call_later(1, lambda: came.append(SAID.get()))
    SAID.set("now")
    await asyncio.sleep(2)
    assert came == ["then", "then"]


@VIRTUAL_TIME
async def test_a_callback_that_fails_is_told_and_the_next_one_runs() -> None:
    loop, told, came = asyncio.get_running_loop(), list[dict[str, Any]](), list[int]()
    loop.set_exception_handler(lambda _loop, context: told.append(context))
    loop.call_soon(lambda: 1 // 0)
    loop.call_soon(came.append, 1)
    await asyncio.sleep(1)
    assert isinstance(told[0]["exception"], ZeroDivisionError)
    assert came == [1]


@VIRTUAL_TIME
async def test_while_a_thread_works_no_timer_is_jumped_to() -> None:
    loop, timeouts = asyncio.get_running_loop(), list[int]()
    works = threading.Event()
    loop.call_later(3_600, timeouts.append, 1)
    loop.call_later(0.01, works.set)
    assert await asyncio.to_thread(works.wait, 30)
    assert timeouts == []
    assert loop.time() < START_S + 30
    await asyncio.sleep(3_600)
    assert timeouts == [1]


@pytest.mark.parametrize("start_s", [START_S, 1_000_000_000])  # the second is later than any machine's uptime
def test_what_waits_when_virtual_time_ends_keeps_its_delay_or_is_given_up(loop: Any, start_s: int) -> None:
    came = list[str]()
    with virtual_time(loop, start_s):
        loop.run_until_complete(asyncio.sleep(5))
        loop.call_soon(came.append, "ready")
        loop.call_later(0, came.append, "timer")
        given_up = loop.call_later(0, came.append, "given up")
        later = loop.call_later(30, came.append, "too early")
    given_up.cancel()
    loop.run_until_complete(asyncio.sleep(0.001))
    assert came == ["ready", "timer"]
    assert loop.time() != start_s + 5, "its time is real again"
    later.cancel()
