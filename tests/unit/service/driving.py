"""A `Driver` with a core that does as it is told."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from headrace.broker.clock import WallClock
from headrace.broker.core.answers.verdict import Answer, Verdict, judge
from headrace.broker.core.commands import Call, Command
from headrace.broker.core.dispatch import Dispatch
from headrace.broker.core.events import Answered, CallNotSent, Crashed, Draining, Event, Renewed
from headrace.broker.core.ticket import CallNumber, LanePartition, Source, TicketNumber
from headrace.broker.service.core_config import budget_maker, dispatch_rules
from headrace.broker.service.driver import Driver
from headrace.broker.service.payloads import Payload, PayloadStore
from headrace.schemas.record import Record
from tests.unit.service.rig import settings_of

OK = judge(Answer(200, {}, None, None, None, ""))
CALL = Call(CallNumber(1), TicketNumber(1), 10, 1, repeated=False)


class ScriptedCore(Dispatch):
    """Hands out commands as it is told, and remembers what it was told itself and when."""

    def __init__(self) -> None:
        settings = settings_of()
        super().__init__(dispatch_rules(settings), make_budget=budget_maker(settings), dice=lambda: 0.5)
        self.heard: list[tuple[int, Event]] = []
        self.asked_ms: list[int] = []
        self.to_do: deque[list[Command]] = deque()
        self.wakes: deque[int] = deque()

    def on(self, event: Event, now_ms: int) -> None:
        if isinstance(event, Renewed):
            self.trust.extend_by_renewal(event.sent_at_ms)
        else:
            self.heard.append((now_ms, event))

    def commands(self, now_ms: int) -> list[Command]:
        self.asked_ms.append(now_ms)
        if self.wakes and self.wakes[0] <= now_ms:
            self.wakes.popleft()
        return self.to_do.popleft() if self.to_do else []

    def wake_at(self) -> int | None:
        return self.wakes[0] if self.wakes else None


class Watched:
    def __init__(self) -> None:
        self.seen: list[tuple[str, bool]] = []
        self.contained_steps: list[tuple[str, type, dict[str, str | int | None]]] = []

    def observe_event(self, event: Event) -> None:
        self.seen.append((type(event).__name__, False))

    def observe_command(self, command: Command, cargo: Payload | None) -> None:
        self.seen.append((type(command).__name__, cargo is not None))

    def contained(self, step: str, error: BaseException | None = None, **where: str | int | None) -> None:
        self.contained_steps.append((step, type(error), where))


class Rig:
    def __init__(
        self, caller: Callable[[Call, Payload], Awaitable[tuple[Verdict, int]]], core: ScriptedCore | None = None
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.clock = WallClock(self.loop.time, lambda: datetime(2026, 1, 1, tzinfo=UTC))
        self.core, self.hold, self.watched = core or ScriptedCore(), PayloadStore(), Watched()
        self.driver = Driver(self.core, self.hold, self.clock, caller=caller, watcher=self.watched)

    def stow(self) -> None:
        source = Source(LanePartition("urgent", 0), 0)
        now = self.clock.utc_now()
        self.hold.put(Payload(source, "topic", Record(None, b""), None, now, now, self.clock.now_ms()))

    def do(self, *commands: Command) -> None:
        """Let the driver carry these out now."""
        self.core.to_do.append(list(commands))
        self.driver.post(Draining(0))

    def trusted(self) -> None:
        self.driver.post(Renewed(self.clock.now_ms()))

    @property
    def answers(self) -> list[Event]:
        return [event for _, event in self.core.heard if isinstance(event, Answered | CallNotSent | Crashed)]


async def ok(_call: Call, _cargo: Payload) -> tuple[Verdict, int]:
    await asyncio.sleep(2)
    return OK, 123


@asynccontextmanager
async def driving(
    caller: Callable[[Call, Payload], Awaitable[tuple[Verdict, int]]] = ok,
) -> AsyncIterator[Rig]:
    rig = Rig(caller)
    rig.stow()
    running = asyncio.create_task(rig.driver.run())
    await asyncio.sleep(0)
    try:
        yield rig
    finally:
        running.cancel()
        await asyncio.wait({running})
