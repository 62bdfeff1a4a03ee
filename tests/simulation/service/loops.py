"""Event loops in virtual time, one for each process, stepped from outside one callback at a time.

A process that is stopped is simply not stepped, one that is killed never again: between any two of its callbacks, that
is at any of its awaits, without a chance to say good-bye. Which process goes on next is drawn, so that what happens in
one instant happens in every order.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any, TypeVar

_T = TypeVar("_T")
_BURSTS = (1, 1, 2, 4, 12)
"""How many callbacks of a process run before another may go on."""
_AGE_S = 1_000.0
"""How old the machine is when the world begins: a loop's time begins with the machine."""


class VirtualLoop(asyncio.BaseEventLoop):
    """As much of an event loop as coroutines need that meet nobody but each other: no files, no threads, no sockets.

    `broken` holds what nobody has caught.
    """

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self, now_s: Callable[[], float], timers: list[asyncio.TimerHandle]) -> None:
        """`timers` is a heap that all loops share."""
        super().__init__()
        self.set_debug(False)
        self._now_s = now_s
        self._scheduled = timers
        self.broken: list[dict[str, Any]] = []

    def time(self) -> float:
        """Seconds of virtual time."""
        return self._now_s()

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what nobody has caught."""
        self.broken.append(context)

    # ------------------------------------------------------------------ what the conductor asks for

    @property
    def is_ready(self) -> bool:
        """Whether a callback waits to run."""
        return bool(self._ready)

    def step(self) -> None:
        """Run one callback."""
        handle = self._ready.popleft()
        if not handle.cancelled():
            asyncio._set_running_loop(self)
            try:
                handle._run()
            finally:
                asyncio._set_running_loop(None)

    def inside(self, work: Callable[[], _T]) -> _T:
        """Do something as if a callback of this loop did it."""
        asyncio._set_running_loop(self)
        try:
            return work()
        finally:
            asyncio._set_running_loop(None)

    def bury(self) -> None:
        """Let the tasks of a dead process unwind, which nobody sees: Python insists on it."""
        self._scheduled = []
        for _ in range(20):
            for task in asyncio.all_tasks(self):
                self.inside(task.cancel)
            while self._ready:
                self.step()
            if not asyncio.all_tasks(self):
                break
        self.close()


class Conductor:
    """Virtual time, whose turn it is, and what the world has planned."""

    def __init__(self, dice: Random) -> None:
        self._dice = dice
        self._loops: list[VirtualLoop] = []
        self._timers: list[asyncio.TimerHandle] = []
        self._stopped: dict[VirtualLoop, float] = {}
        self._doomed: dict[VirtualLoop, tuple[int, Callable[[], None]]] = {}
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._planned = 0
        self._loop_s = _AGE_S
        self.steps = 0

    @property
    def now_s(self) -> float:
        """Seconds since the world began."""
        return self._loop_s - _AGE_S

    def _time(self) -> float:
        return self._loop_s

    def loop(self) -> VirtualLoop:
        """One more process's loop."""
        made = VirtualLoop(self._time, self._timers)
        self._loops.append(made)
        return made

    def close(self) -> None:
        """Nobody goes on."""
        for loop in self._loops:
            loop.bury()

    def plan(self, at_s: float, event: Callable[[], None]) -> None:
        """Something the world does then."""
        self._planned += 1
        heapq.heappush(self._agenda, (max(at_s + _AGE_S, self._loop_s), self._planned, event))

    def after(self, delay_s: float, event: Callable[[], None]) -> None:
        """Something the world does after so many seconds."""
        self.plan(self.now_s + delay_s, event)

    def stop(self, loop: VirtualLoop, seconds: float) -> None:
        """SIGSTOP now, SIGCONT then."""
        self._stopped[loop] = max(self._stopped.get(loop, 0.0), self._loop_s + seconds)

    def doom(self, loop: VirtualLoop, callbacks: int, kill: Callable[[], None]) -> None:
        """Let it run so many callbacks more."""
        self._doomed[loop] = callbacks, kill

    def remove(self, loop: VirtualLoop) -> None:
        """It never runs again."""
        self._loops.remove(loop)  # its timers go on into a queue that nobody empties
        self._stopped.pop(loop, None)
        self._doomed.pop(loop, None)

    def run(self, until_s: float) -> None:
        """Let everything happen that happens until then."""
        until_s += _AGE_S
        while self._happen() and self._loop_s < until_s:
            self._move_on(until_s)

    def _happen(self) -> bool:
        """All of this instant."""
        dice, stopped = self._dice, self._stopped
        while True:
            ready = [loop for loop in self._loops if loop._ready and loop not in stopped]
            if not ready:
                return True
            loop = ready[0] if len(ready) == 1 else dice.choice(ready)
            for _ in range(_BURSTS[int(dice.random() * len(_BURSTS))] if len(ready) > 1 else len(loop._ready)):
                if loop in self._doomed and self._dies(loop):
                    break
                loop.step()
                self.steps += 1
                if not loop._ready or loop in stopped:
                    break

    def _dies(self, loop: VirtualLoop) -> bool:
        left, kill = self._doomed[loop]
        if left > 0:
            self._doomed[loop] = left - 1, kill
            return False
        kill()
        return True

    def _move_on(self, until_s: float) -> None:
        """To the next instant at which anything happens."""
        timers, agenda = self._timers, self._agenda
        while timers and timers[0].cancelled():
            heapq.heappop(timers)
        next_s = timers[0].when() if timers else until_s
        if agenda and agenda[0][0] < next_s:
            next_s = agenda[0][0]
        if self._stopped:
            next_s = min(next_s, *self._stopped.values())
        now_s = self._loop_s = max(self._loop_s, min(next_s, until_s))
        for loop, wakes_s in list(self._stopped.items()):
            if wakes_s <= now_s:
                del self._stopped[loop]
        while agenda and agenda[0][0] <= now_s:
            heapq.heappop(agenda)[2]()
        while timers and timers[0].when() <= now_s:
            timer = heapq.heappop(timers)
            if not timer.cancelled():
                timer._loop._ready.append(timer)  # type: ignore[attr-defined]  # a handle knows its loop
