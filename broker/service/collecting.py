"""How often Python looks for cycles of objects that nobody else refers to: rarely.

All that stands for a request is freed when the last reference to it goes; cycles come from libraries, now and then a
few. Python's usual pace is a look at the young objects whenever there are 700 more of them, which takes the core 3 % of
its time. What has been loaded stays for as long as the process, so it is never looked at again.
"""

import gc
from typing import Final

OBJECTS_BETWEEN: Final = 10_000
"""So many more, and no others, may lie in cycles before they are found: a few megabytes."""


def collect_rarely() -> None:
    """From now on, in this process; call it once everything is loaded."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(OBJECTS_BETWEEN, 10, 10)
