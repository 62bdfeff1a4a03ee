import asyncio
import gc
import os
import platform
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.broker.service.gc_tuning import GIVES_BACK_EVERY_S, OBJECTS_BETWEEN, collect_rarely, give_back, trimming
from headrace.broker.tasks import ended
from tests.virtual_time import VIRTUAL_TIME

MIB = 1_048_576


class Ring:
    """Refers to itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def _usual_pace() -> Iterator[None]:
    before, frozen = gc.get_threshold(), gc.get_freeze_count() > 0
    yield
    if not frozen:
        gc.unfreeze()
    gc.set_threshold(*before)


def objects_until(lost: weakref.ref[Ring], at_most: int) -> int:
    """How many more objects there are when it is found."""
    kept: list[list[int]] = []
    while lost() is not None:
        kept.append([])
        assert len(kept) <= at_most
    return len(kept)


@pytest.mark.usefixtures("_usual_pace")
def test_what_was_loaded_is_never_looked_at_again() -> None:
    loaded = Ring()
    collect_rarely()
    assert not any(each is loaded for each in gc.get_objects())


@pytest.mark.usefixtures("_usual_pace")
def test_a_cycle_is_found_before_many_more_objects_are_made() -> None:
    collect_rarely()
    lost = weakref.ref(Ring())
    assert lost() is not None
    assert objects_until(lost, OBJECTS_BETWEEN) > OBJECTS_BETWEEN // 2


@pytest.mark.usefixtures("_usual_pace")
def test_a_cycle_that_was_used_for_long_is_found_as_well() -> None:
    collect_rarely()
    used = Ring()
    gc.collect()  # as after many looks: it is among the oldest
    lost = weakref.ref(used)
    del used
    assert objects_until(lost, 10 * OBJECTS_BETWEEN) > OBJECTS_BETWEEN


@VIRTUAL_TIME
async def test_memory_is_given_back_now_and_then() -> None:
    given: list[int] = []
    giving = asyncio.create_task(give_back(given.append))
    await asyncio.sleep(2.5 * GIVES_BACK_EVERY_S)
    await ended(giving)
    assert given == [0, 0]


async def test_a_c_library_that_cannot_is_not_asked() -> None:
    await give_back(None)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc says that it can")
def test_what_was_freed_before_what_is_still_used_is_given_back() -> None:
    trim = trimming()
    assert trim is not None
    freed = [bytes(2_000) for _ in range(30_000)]
    used = bytes(2_000)  # behind them: what is freed cannot simply be cut off the end
    before = resident_bytes()
    del freed
    assert before - resident_bytes() < 10 * MIB, "nothing to give back: this test shows nothing"
    trim(0)
    assert before - resident_bytes() > 40 * MIB
    assert len(used) == 2_000
