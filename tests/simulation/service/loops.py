"""Event loops in virtual time, one for each process, stepped from outside one callback at a time.

A process that is stopped is simply not stepped, one that is killed never again: between any two of its callbacks, that
is at any of its awaits, without a chance to say good-bye. Which process goes on next is drawn, so that what happens in
one instant happens in every order.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from functools import partial
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any, TypeAlias, TypeVar, TypeVarTuple

from headrace.broker.testing import kafka
from tests.loop_handle import Handle

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")
_ASKED = count()
_SLEPT: Any = vars(asyncio.futures)["_set_result_unless_cancelled"]
"""What `asyncio.sleep` plans."""
_WAKES = frozenset({_SLEPT, vars(kafka)["_ring"]})
"""Callbacks that only wake a task: it is the task that waits for its turn."""
_BURSTS = (1, 1, 2, 4, 12)
"""How many callbacks of a process run before another may go on."""
_AGE_S = 1_000.0
"""How old the machine is when the world begins: a loop's time begins with the machine."""
_NO_CONTEXT = Context()
"""Of a callback that only wakes a task: the task has one of its own."""


Timers: TypeAlias = list[tuple[float, int, Handle]]
"""When, asked for as which, and what: callback, arguments, context, loop."""


class Now:
    """What time it is, in seconds since the machine began."""

    __slots__ = ("loop_s",)

    def __init__(self) -> None:
        self.loop_s = _AGE_S


class VirtualLoop(asyncio.BaseEventLoop):
    """As much of an event loop as coroutines need that meet nobody but each other: no files, no threads, no sockets.

    `broken` holds what nobody has caught. What is asked for thousands of times a run is done by C where it can be.
    """

    _ready: deque[Handle]

    get_debug = staticmethod(bool)

    def __init__(self, now: Now, timers: Timers, awake: set[Any]) -> None:
        """`timers` is a heap that all loops share; those with callbacks are put into `awake`."""
        super().__init__()
        self._now = now
        self.time = partial(getattr, now, "loop_s")  # type: ignore[method-assign] # see the class
        self.create_future = partial(asyncio.Future, loop=self)  # type: ignore[method-assign] # see the class
        self._timers = timers
        self._awake = awake
        self.broken: list[dict[str, Any]] = []

    def call_soon(  # type: ignore[override] # see `Handle`
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> Handle:
        """See `asyncio.loop.call_soon`."""
        handle = Handle((callback, args, copy_context() if context is None else context, self))
        waiting = self._ready
        if not waiting:
            self._awake.add(self)
        waiting.append(handle)
        return handle

    def call_later(  # type: ignore[override] # see `Handle`
        self, delay: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> Handle:
        """See `asyncio.loop.call_later`."""
        return self.call_at(self._now.loop_s + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override] # see `Handle`
        self, when: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> Handle:
        """See `asyncio.loop.call_at`; of two at one time, the one asked for first comes first."""
        if context is None:
            context = _NO_CONTEXT if callback in _WAKES else copy_context()
        timer = Handle((callback, args, context, self))
        heappush(self._timers, (when, next(_ASKED), timer))
        return timer

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what nobody has caught."""
        self.broken.append(context)

    # ------------------------------------------------------------------ what the conductor asks for

    def fall_asleep(self) -> None:
        """For good: whatever callbacks it gets, nobody is told."""
        self._awake.discard(self)
        self._awake = set()

    def step(self) -> None:
        """Run one callback, inside of this loop."""
        callback, args, context, _ = self._ready.popleft()
        if callback is not None:
            try:
                context.run(callback, *args)
            except Exception as error:  # noqa: BLE001 — as a real loop: kept, and the next callback runs
                self.call_exception_handler({"message": "A callback failed.", "exception": error, "handle": callback})

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
        self._awake: set[VirtualLoop] = set()  # those with callbacks
        self._stopped: dict[VirtualLoop, float] = {}
        self._doomed: dict[VirtualLoop, tuple[int, Callable[[], None]]] = {}
        self._agenda: list[tuple[float, int, Callable[[], object]]] = []
        self._planned = 0
        self._now = Now()
        self.steps = 0

    @property
    def now_s(self) -> float:
        """Seconds since the world began."""
        return self._now.loop_s - _AGE_S

    def loop(self) -> VirtualLoop:
        """One more process's loop."""
        made = VirtualLoop(self._now, self._timers, self._awake)
        self._loops.append(made)
        return made

    def close(self) -> None:
        """Nobody goes on."""
        for loop in self._loops:
            loop.bury()

    def plan(self, at_s: float, event: Callable[[], object]) -> None:
        """Something the world does then."""
        self._planned += 1
        heappush(self._agenda, (max(at_s + _AGE_S, self._now.loop_s), self._planned, event))

    def after(self, delay_s: float, event: Callable[[], object]) -> None:
        """Something the world does after so many seconds."""
        self.plan(self._now.loop_s - _AGE_S + delay_s, event)

    @property
    def is_left_alone(self) -> bool:
        """Whether the world has nothing more in mind, and nobody is stopped."""
        return not self._agenda and not self._stopped

    def stop(self, loop: VirtualLoop, seconds: float) -> None:
        """SIGSTOP now, SIGCONT then."""
        self._stopped[loop] = max(self._stopped.get(loop, 0.0), self._now.loop_s + seconds)

    def doom(self, loop: VirtualLoop, callbacks: int, kill: Callable[[], None]) -> None:
        """Let it run so many callbacks more."""
        self._doomed[loop] = callbacks, kill

    def is_doomed(self, loop: VirtualLoop) -> bool:
        """Whether its end is near."""
        return loop in self._doomed

    def remove(self, loop: VirtualLoop) -> None:
        """It never runs again."""
        self._loops.remove(loop)  # its timers go on into a queue that nobody empties
        loop.fall_asleep()
        self._stopped.pop(loop, None)
        self._doomed.pop(loop, None)

    def run(self, until_s: float) -> None:
        """Let everything happen that happens until then."""
        until_s += _AGE_S
        now = self._now
        try:
            self._happen()
            while now.loop_s < until_s:
                self._move_on(until_s)
                self._happen()
        finally:
            asyncio._set_running_loop(None)

    def _happen(self) -> None:
        """All of this instant."""
        dice, awake, stopped, doomed = self._dice, self._awake, self._stopped, self._doomed
        while awake:
            if len(awake) == 1 and not stopped:
                (loop,) = awake
                turns = len(loop._ready)
            else:
                ready = [loop for loop in self._loops if loop in awake and loop not in stopped]
                if not ready:
                    return
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
            if not loop._ready:
                awake.discard(loop)

    def _burst(self, loop: VirtualLoop, turns: int) -> None:
        """Let that process run so many callbacks, if it has them; one may stop it, or doom it."""
        stopped, doomed, waiting = self._stopped, self._doomed, loop._ready
        for turn in range(turns):
            callback, args, context, _ = waiting.popleft()  # as `VirtualLoop.step`
            if callback is not None:
                try:
                    context.run(callback, *args)
                except Exception as error:  # noqa: BLE001 — as a real loop: kept, and the next callback runs
                    loop.call_exception_handler({"exception": error, "handle": callback})
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
        timers, agenda, stopped, now = self._timers, self._agenda, self._stopped, self._now
        while timers and timers[0][2][0] is None:
            heappop(timers)
        next_s = timers[0][0] if timers else until_s
        if agenda and agenda[0][0] < next_s:
            next_s = agenda[0][0]
        if stopped:
            next_s = min(next_s, *stopped.values())
        now_s = now.loop_s = max(now.loop_s, min(next_s, until_s))
        if stopped:
            for loop in [loop for loop, wakes_s in stopped.items() if wakes_s <= now_s]:
                del stopped[loop]
        if agenda and agenda[0][0] <= now_s:
            asyncio._set_running_loop(None)  # the world is no process
            while agenda and agenda[0][0] <= now_s:
                heappop(agenda)[2]()
        self._ring(now_s)

    def _ring(self, now_s: float) -> None:
        """Every timer that is due."""
        timers, stopped = self._timers, self._stopped
        while timers and timers[0][0] <= now_s:
            timer = heappop(timers)[2]
            callback, args, _, loop = timer
            if callback is None:
                continue
            if callback in _WAKES and loop not in stopped:
                callback(*args)
            else:
                loop._ready.append(timer)
                loop._awake.add(loop)


def nap(seconds: float) -> Awaitable[None]:
    """As `asyncio.sleep`; in a `VirtualLoop` a future, and no coroutine around it.

    A timer of a nap that was cancelled stays, and finds its future done.
    """
    loop: Any = asyncio._get_running_loop()
    if seconds <= 0 or not isinstance(loop, VirtualLoop):
        return asyncio.sleep(max(0.0, seconds))
    woken = loop.create_future()
    timer = Handle((_SLEPT, (woken, None), _NO_CONTEXT, loop))
    heappush(loop._timers, (loop._now.loop_s + seconds, next(_ASKED), timer))
    return woken
