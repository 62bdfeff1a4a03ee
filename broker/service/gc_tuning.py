"""Garbage collection and heap trimming of a process: unused memory is looked for rarely, and given back.

All objects of a request are freed when the last reference to them goes. Cycles come from libraries: each connection of
asyncio refers to itself, and dies old. Python's usual pace is a collection of the young objects whenever there are 700
more of them, which takes the core 3 % of its time, and a full one after a hundred such. Ours is a collection of the
young ones a tenth as often, but every ninth is a full one, unless hardly any have grown old since the last (Python's
own rule: less than a quarter). What is loaded at the start stays for as long as the process, so it is never examined
again.

The C library keeps freed memory that lies between used memory, so that a process would stay as large as it has ever
been. At intervals whole pages of it are given back.
"""

import asyncio
import ctypes
import gc
from collections.abc import Callable
from typing import Final

OBJECTS_BETWEEN: Final = 10_000
"""Number of new objects after which the young ones are collected; no more may lie in cycles: a few megabytes."""
LOOKS_BETWEEN: Final = 1
"""After more collections of the young than this, one of those that survived; after more of these, a full one."""
GIVES_BACK_EVERY_S: Final = 60.0


def collect_rarely() -> None:
    """Collect rarely from now on, in this process; call it once everything is loaded."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(OBJECTS_BETWEEN, LOOKS_BETWEEN, LOOKS_BETWEEN)


def trimming() -> Callable[[int], object] | None:
    """Return glibc's `malloc_trim`, which takes the bytes to keep at the heap's end; None where there is none."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None)


async def give_back(trim: Callable[[int], object] | None) -> None:
    """Trim the heap at intervals, until cancelled. It takes milliseconds, in a thread beside the loop."""
    while trim is not None:
        await asyncio.sleep(GIVES_BACK_EVERY_S)
        await asyncio.to_thread(trim, 0)
