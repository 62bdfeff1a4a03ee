"""What a process does about memory that nobody uses any more: it looks for it rarely, and gives it back.

All that stands for a request is freed when the last reference to it goes. Cycles come from libraries: each connection
of asyncio refers to itself, and dies old. Python's usual pace is a look at the young objects whenever there are 700
more of them, which takes the core 3 % of its time, and a look at all after a hundred such. Ours is a look at the young
ones a tenth as often, but every ninth is at all, unless hardly any have grown old since the last (Python's own rule:
less than a quarter). What has been loaded stays for as long as the process, so it is never looked at again.

The C library keeps what is freed between what is not, so that a process would stay as large as it has ever been. Once
in a while it gives whole pages of that back.
"""

import asyncio
import ctypes
import gc
from collections.abc import Callable
from typing import Final

OBJECTS_BETWEEN: Final = 10_000
"""So many more, and no others, may lie in cycles before the young ones are found: a few megabytes."""
LOOKS_BETWEEN: Final = 1
"""More looks at the young than this, then one at those that outlived a look; more of these, then one at all."""
GIVES_BACK_EVERY_S: Final = 60.0


def collect_rarely() -> None:
    """From now on, in this process; call it once everything is loaded."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(OBJECTS_BETWEEN, LOOKS_BETWEEN, LOOKS_BETWEEN)


def trimming() -> Callable[[int], object] | None:
    """What takes how many bytes to keep at the end, and gives the rest back: glibc has it; None where nothing does."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None)


async def give_back(trim: Callable[[int], object] | None) -> None:
    """Give back what lies idle, now and then, until cancelled. It takes milliseconds, in a thread beside the loop."""
    while trim is not None:
        await asyncio.sleep(GIVES_BACK_EVERY_S)
        await asyncio.to_thread(trim, 0)
