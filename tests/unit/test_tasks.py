"""Tasks end, also those that do not hear of it the first time."""

import asyncio
import contextlib

from headrace.broker.tasks import ended, set_within
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME


async def deaf(times: int) -> str:
    for _ in range(times):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(1_000)
    await asyncio.sleep(1_000)
    return "slept on"


async def answers() -> str:
    return "an answer"


async def fails() -> None:
    raise ValueError("of its own")


async def test_whoever_does_not_hear_it_is_told_again() -> None:
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    tasks = [asyncio.create_task(deaf(times)) for times in (0, 1, 3)]
    await asyncio.sleep(0)
    await ended(*tasks)
    assert all(task.cancelled() for task in tasks)
    assert loop.time() - begun_s < 1


async def test_what_a_task_ended_with_stands_in_it() -> None:
    done, failed = asyncio.create_task(answers()), asyncio.create_task(fails())
    await asyncio.wait({done, failed})
    await ended(done, failed)
    assert done.result() == "an answer"
    assert str(failed.exception()) == "of its own"


async def test_nothing_to_end_takes_no_time() -> None:
    await ended()


async def test_a_wait_ends_when_the_event_is_set_or_when_its_time_is_up() -> None:
    loop = asyncio.get_running_loop()
    event, begun_s = asyncio.Event(), loop.time()
    assert not await set_within(event, 2)
    assert loop.time() - begun_s == 2
    loop.call_later(1, event.set)
    assert await set_within(event, 2)
    assert loop.time() - begun_s == 3
