"""What the loops of virtual time give in place of asyncio's handles."""

from typing import Any


class Handle(list[Any]):
    """A callback that waits for its turn or its time: callback, arguments, context, and what its loop adds.

    As much of `asyncio.TimerHandle` as is asked for. A list, which C makes, since a run makes thousands. The callback
    of one that was given up is None; the heap of timers finds that out when its time comes.
    """

    __slots__ = ()

    def cancel(self) -> None:
        """See `asyncio.Handle.cancel`."""
        self[0] = self[1] = None

    def cancelled(self) -> bool:
        """See `asyncio.Handle.cancelled`."""
        return self[0] is None
