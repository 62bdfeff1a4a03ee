"""Event loops in virtual time, one for each process, stepped from outside one callback at a time.

A process that is stopped is simply not stepped, one that is killed never again: between any two of its callbacks, that
is at any of its awaits, without a chance to say good-bye. Which process goes on next is drawn, so that what happens in
one instant happens in every order.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from itertools import count
from random import Random
from typing import Any, TypeAlias, TypeVar, TypeVarTuple

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")
Timers: TypeAlias = list[tuple[float, int, asyncio.TimerHandle]]
"""When, asked for as which, and what."""
_ASKED = count()
_SLEPT: Any = vars(asyncio.futures)["_set_result_unless_cancelled"]
"""What `asyncio.sleep` plans."""
_BURSTS = (1, 1, 2, 4, 12)
"""How many callbacks of a process run before another may go on."""
_AGE_S = 1_000.0
"""How old the machine is when the world begins: a loop's time begins with the machine."""


def _nothing() -> None:
    """What is left of a callback that was given up."""


class _Handle(asyncio.Handle):
    """A callback that waits for its turn; made quickly, since a run makes thousands."""

    __slots__ = ()

    def __init__(
        self, callback: Callable[..., Any], args: tuple[Any, ...], loop: "VirtualLoop", context: Context | None
    ) -> None:
        self._callback, self._args, self._loop = callback, args, loop
        self._context = copy_context() if context is None else context
        self._cancelled = False
        self._repr = self._source_traceback = None


class _Timer(asyncio.TimerHandle):
    """A callback that waits for its time; made and given up quickly, since most of a run's are given up."""

    __slots__ = ()

    def __init__(
        self,
        when: float,
        callback: Callable[..., Any],
        args: tuple[Any, ...],
        loop: "VirtualLoop",
        context: Context | None,
    ) -> None:
        self._when = when
        self._callback, self._args, self._loop = callback, args, loop
        self._context = copy_context() if context is None else context
        self._cancelled = False
        self._scheduled = True
        self._repr = self._source_traceback = None

    def cancel(self) -> None:
        """See `asyncio.TimerHandle.cancel`; the heap finds out when the time comes."""
        self._cancelled = True
        self._callback, self._args = _nothing, ()


class VirtualLoop(asyncio.BaseEventLoop):
    """As much of an event loop as coroutines need that meet nobody but each other: no files, no threads, no sockets.

    `broken` holds what nobody has caught.
    """

    _ready: deque[asyncio.Handle]

    def __init__(self, now_s: Callable[[], float], timers: Timers) -> None:
        """`timers` is a heap that all loops share."""
        super().__init__()
        self.set_debug(False)
        self._now_s = now_s
        self._timers = timers
        self.broken: list[dict[str, Any]] = []

    def time(self) -> float:
        """Seconds of virtual time."""
        return self._now_s()

    def call_soon(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """See `asyncio.loop.call_soon`."""
        handle = _Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """See `asyncio.loop.call_later`."""
        when = self._now_s() + delay
        timer = _Timer(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(_ASKED), timer))
        return timer

    def call_at(
        self, when: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """See `asyncio.loop.call_at`; of two at one time, the one asked for first comes first."""
        timer = _Timer(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(_ASKED), timer))
        return timer

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what nobody has caught."""
        self.broken.append(context)

    # ------------------------------------------------------------------ what the conductor asks for

    def step(self) -> None:
        """Run one callback, inside of this loop."""
        handle: Any = self._ready.popleft()
        if not handle._cancelled:
            try:
                handle._context.run(handle._callback, *handle._args)
            except Exception as error:  # noqa: BLE001 — as a real loop: kept, and the next callback runs
                self.call_exception_handler({"message": "A callback failed.", "exception": error, "handle": handle})

    def inside(self, work: Callable[[], _T]) -> _T:
        """Do something as if a callback of this loop did it."""
        outside = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            return work()
        finally:
            asyncio._set_running_loop(outside)

    def bury(self) -> None:
        """Let the tasks of a dead process unwind, which nobody sees: Python insists on it."""
        self._timers = []
        self.inside(self._unwind)
        self.close()

    def _unwind(self) -> None:
        for _ in range(20):
            for task in asyncio.all_tasks(self):
                task.cancel()
            while self._ready:
                self.step()
            if not asyncio.all_tasks(self):
                break


class Conductor:
    """Virtual time, whose turn it is, and what the world has planned."""

    def __init__(self, dice: Random) -> None:
        self._dice = dice
        self._loops: list[VirtualLoop] = []
        self._timers: Timers = []
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

    @property
    def is_left_alone(self) -> bool:
        """Whether the world has nothing more in mind, and nobody is stopped."""
        return not self._agenda and not self._stopped

    def stop(self, loop: VirtualLoop, seconds: float) -> None:
        """SIGSTOP now, SIGCONT then."""
        self._stopped[loop] = max(self._stopped.get(loop, 0.0), self._loop_s + seconds)

    def doom(self, loop: VirtualLoop, callbacks: int, kill: Callable[[], None]) -> None:
        """Let it run so many callbacks more."""
        self._doomed[loop] = callbacks, kill

    def is_doomed(self, loop: VirtualLoop) -> bool:
        """Whether its end is near."""
        return loop in self._doomed

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
        dice, loops, stopped, doomed = self._dice, self._loops, self._stopped, self._doomed
        try:
            while True:
                ready = [loop for loop in loops if loop._ready and loop not in stopped]
                if not ready:
                    return True
                if len(ready) == 1:
                    loop = ready[0]
                    turns = len(loop._ready)
                else:
                    loop = dice.choice(ready)
                    turns = _BURSTS[int(dice.random() * len(_BURSTS))]
                asyncio._set_running_loop(loop)
                if loop in doomed:
                    self._burst_of_the_doomed(loop, turns)
                else:
                    self._burst(loop, turns)
        finally:
            asyncio._set_running_loop(None)

    def _burst(self, loop: VirtualLoop, turns: int) -> None:
        """Let that process run so many callbacks, if it has them; one may stop it, or doom it."""
        stopped, doomed, waiting, step = self._stopped, self._doomed, loop._ready, loop.step
        for turn in range(turns):
            step()
            if not waiting or loop in stopped or loop in doomed:
                self.steps += turn + 1
                return
        self.steps += turns

    def _burst_of_the_doomed(self, loop: VirtualLoop, turns: int) -> None:
        for _ in range(turns):
            if self._dies(loop):
                return
            loop.step()
            self.steps += 1
            if not loop._ready or loop in self._stopped:
                return

    def _dies(self, loop: VirtualLoop) -> bool:
        left, kill = self._doomed[loop]
        if left > 0:
            self._doomed[loop] = left - 1, kill
            return False
        del self._doomed[loop]
        kill()
        return True

    def _move_on(self, until_s: float) -> None:
        """To the next instant at which anything happens."""
        timers, agenda = self._timers, self._agenda
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
        next_s = timers[0][0] if timers else until_s
        if agenda and agenda[0][0] < next_s:
            next_s = agenda[0][0]
        if self._stopped:
            next_s = min(next_s, *self._stopped.values())
        now_s = self._loop_s = max(self._loop_s, min(next_s, until_s))
        if self._stopped:
            for loop in [loop for loop, wakes_s in self._stopped.items() if wakes_s <= now_s]:
                del self._stopped[loop]
        while agenda and agenda[0][0] <= now_s:
            heapq.heappop(agenda)[2]()
        while timers and timers[0][0] <= now_s:
            timer: Any = heapq.heappop(timers)[2]
            if timer._cancelled:
                continue
            if timer._callback is _SLEPT and timer._loop not in self._stopped:
                timer._callback(*timer._args)  # all it does is to wake a task: that is what waits for its turn
            else:
                timer._loop._ready.append(timer)
