"""Driver: the one task that owns the core. Events go in, commands come out, one timer.

All other tasks post events. The core processes a post at once and in order, in the loop's own thread; the commands that
follow from it are carried out by the driver's task, which sleeps until the exact instant that the core names.

An exception in a call ends that call's request (`Crashed`). One that leaves the core ends the process, from whatever
task or callback it was posted: the core's state may be wrong, and a wrong core could publish wrong outcomes.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, assert_never

import structlog

from headrace.broker.clock import WallClock
from headrace.broker.core import commands
from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.core.dispatch import Dispatch
from headrace.broker.core.events import Answered, CallNotSent, Committed, Crashed, Event, Suspected
from headrace.broker.core.pricing.law_identification import TokenUsage
from headrace.broker.core.ticket import CallNumber, LanePartition, Source
from headrace.broker.service.payloads import Payload, PayloadStore
from headrace.broker.tasks import ended
from headrace.broker.traces import traced
from headrace.schemas.request_codec import DecodedRequest

Caller = Callable[[commands.Call, Payload], Awaitable[tuple[Verdict, int]]]
"""Makes one call; returns its verdict and the weight of its outcome."""


_log = structlog.get_logger("driver")


class CoreObserver(Protocol):
    """Observer of what goes in and out of the core; metrics implement it."""

    def observe_event(self, event: Event) -> None:
        """Observe an event that is posted."""

    def observe_command(self, command: commands.Command, cargo: Payload | None) -> None:
        """Observe a command that is about to be carried out; a call leaves now, after all that it had to wait for."""

    def contained(self, step: str, error: BaseException | None = None, **where: str | int | None) -> None:
        """See `headrace.broker.service.containment.ContainmentReporter`."""


class Driver:
    """Runs the core."""

    def __init__(
        self, core: Dispatch, hold: PayloadStore, clock: WallClock, *, caller: Caller, watcher: CoreObserver
    ) -> None:
        """`publish_queue` gets every batch; the owner of the producer takes it from there."""
        self.core = core
        self.hold = hold
        self.clock = clock
        self.publish_queue: asyncio.Queue[commands.Batch] = asyncio.Queue(maxsize=1)
        self._caller = caller
        self._watcher = watcher
        self._stirred = asyncio.Event()
        self._calls: dict[CallNumber, asyncio.Task[Answered | CallNotSent | Crashed]] = {}
        self.room_changed = asyncio.Event()
        self.cautious: set[LanePartition] = set()  # partitions in which records are named before they are read
        self.naming = asyncio.Lock()
        self._once_struck_off: list[Callable[[], None]] = []
        self._committed = asyncio.Event()
        self._defect: Exception | None = None

    def post(self, event: Event) -> None:
        """Pass an event to the core, now."""
        self._watcher.observe_event(event)
        try:
            self.core.on(event, self.clock.now_ms())
        except Exception as error:
            self._end(error)  # a callback of the loop may have posted it: there it would be logged and forgotten
            raise
        self._stirred.set()
        if type(event) is Committed:
            self._committed.set()

    def contained(self, step: str, error: BaseException | None = None, **where: str | int | None) -> None:
        """Count and log that an exception at `step` ended one request, and nothing else."""
        self._watcher.contained(step, error, **where)

    def _end(self, error: Exception) -> None:
        """End the driver, and the process with it, since the core raised: its state may be wrong."""
        if self._defect is None:
            self._defect = error
            _log.error("core_failed", **traced(error))
        self._stirred.set()

    async def name(self, *sources: Source) -> None:
        """Have the ledger name these records and no other; return when it does. Hold `naming` meanwhile."""
        self.post(Suspected(sources))
        await self._until(lambda: self.core.batches.suspects.is_written(sources))
        due, self._once_struck_off = self._once_struck_off, []
        for then in due:
            then()

    def on_struck_off(self, then: Callable[[], None]) -> None:
        """Call `then` when the ledger no longer names the records it names now: in the next `name`, of any intake."""
        self._once_struck_off.append(then)

    async def _until(self, written: Callable[[], bool]) -> None:
        """Return when a commit has made that true."""
        while not written():
            self._committed.clear()
            await self._committed.wait()

    async def run(self) -> None:
        """Carry out commands until cancelled; calls in flight are cancelled with it."""
        async with asyncio.TaskGroup() as calls:
            try:
                while True:
                    self._stirred.clear()
                    if self._defect is not None:
                        raise self._defect
                    for command in self.core.commands(self.clock.now_ms()):
                        self._carry_out(command, calls)
                    await self._sleep_until(self.core.wake_at())
            finally:
                await ended(*self._calls.values())

    async def _sleep_until(self, at_ms: int | None) -> None:
        """Sleep until an event or that instant; such a timer costs a third of an `asyncio.timeout`."""
        if self._stirred.is_set():
            return
        if at_ms is None:
            await self._stirred.wait()
            return
        timer = asyncio.get_running_loop().call_later(max(0, at_ms - self.clock.now_ms()) / 1_000, self._stirred.set)
        try:
            await self._stirred.wait()
        finally:
            timer.cancel()

    def _carry_out(self, command: commands.Command, calls: asyncio.TaskGroup) -> None:
        match command:
            case commands.Call():
                cargo = self.hold[command.number]
                task = calls.create_task(self._call(command, cargo), name=f"call {command.call}")
                self._calls[command.call] = task
                task.add_done_callback(lambda ended: self._ended(command.call, cargo, ended))
            case commands.Publish():
                self._watcher.observe_command(command, None)
                self.publish_queue.put_nowait(command.batch)
            case commands.CancelCall():
                if command.call in self._calls:
                    self._calls[command.call].cancel()
            case commands.BreakerOpened():
                self._watcher.observe_command(command, self.hold.get(command.number))
            case commands.BreakerClosed():
                self._watcher.observe_command(command, None)
            case commands.Contained():
                held = self.hold.get(command.number)
                self.contained(command.step, command.error, **({} if held is None else _named(held)))
            case commands.Forget():
                self._watcher.observe_command(command, self.hold.drop(command.number))
                self.room_changed.set()
            case _:
                assert_never(command)

    async def _call(self, command: commands.Call, cargo: Payload) -> Answered | CallNotSent | Crashed:
        """Make one call; an exception that ends it, of whatever kind, ends its request alone.

        After deaths it waits until the ledger says that the call begins; a call cancelled meanwhile counts as begun. If
        the call of an earlier request of its ordering key was not sent meanwhile, neither is this one.
        """
        if command.line:
            await self._until(lambda: self.core.batches.has_written(command.line))
        if not self.core.trust.holds(self.clock.now_ms()) or self._overtakes(command):
            return CallNotSent(command.call)
        self._watcher.observe_command(command, cargo)
        try:
            verdict, weight = await self._caller(command, cargo)
            return Answered(command.call, verdict, weight, _usage(cargo) if verdict.meaning is Meaning.OK else None)
        except Exception as error:  # noqa: BLE001 — any defect in a call is that request's, and not the process's
            self.contained("call", error, **_named(cargo))
            return Crashed(command.call)

    def _overtakes(self, command: commands.Call) -> bool:
        """Whether it would start before a request of its ordering key that was turned back while it waited."""
        flights = self.core.flights
        return flights.holds(command.call) and self.core.batches.overtakes(
            command.line, flights.find(command.call).ticket
        )

    def _ended(self, call: CallNumber, cargo: Payload, task: asyncio.Task[Answered | CallNotSent | Crashed]) -> None:
        """Post the end of a call, also of one that was cancelled before its first step and never ran a line.

        A CancelledError though the task was not cancelled is a defect too, perhaps of the client library: taken for a
        cancellation of our own, it would be called and paid again without end.
        """
        del self._calls[call]
        if not task.cancelled():
            if task.exception() is None:
                self.post(task.result())
        elif task.cancelling():
            self.post(Answered(call, ABANDONED, 0))
        else:
            self.contained("call", asyncio.CancelledError(), **_named(cargo))
            self.post(Crashed(call))

    def cancel_calls(self) -> int:
        """Cancel every call in flight; return their number."""
        for task in self._calls.values():
            task.cancel()
        return len(self._calls)

    def drop_batches(self) -> None:
        """Drop batches that will not be committed: the producer they were meant for is gone."""
        while not self.publish_queue.empty():
            self.publish_queue.get_nowait()


def _named(cargo: Payload) -> dict[str, str | int | None]:
    """Name the request for the log: its id and the position of its record, and none of its content."""
    content = cargo.content
    return {
        "request_id": content.request.id if isinstance(content, DecodedRequest) else None,
        "topic": cargo.topic,
        "partition": cargo.source.partition.number,
        "offset": cargo.source.offset,
    }


def _usage(cargo: Payload) -> TokenUsage | None:
    """Return the usage that the answer reports, unless it leaves out the input."""
    told = cargo.usage
    if told is None or not told.input_tokens:
        return None
    return TokenUsage(told.input_tokens, told.output_tokens, told.reasoning_tokens, cargo.answer_mark)


ABANDONED = Verdict(
    meaning=Meaning.CONNECTION,
    retryable=True,
    wait_ms=None,
    readings=(),
    snapshot=None,
    counts_as_attempt=False,
    sentence="The call was cancelled.",
)
"""Verdict on a cancelled call: no answer will come, and its charge is kept."""
