"""The task that owns the core: it sleeps to the exact instant, and every call it starts ends in an answer."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from broker.clock import WallClock
from broker.core.commands import Batch, Call, CancelCall, Command, Contained, Forget, Publish, StartedEntry
from broker.core.dispatch import Dispatch
from broker.core.events import Answered, Committed, Crashed, Draining, Event, Refused, Renewed
from broker.core.identity import Identity
from broker.core.notes import Notes
from broker.core.ticket import CallNumber, LanePartition, Source, TicketNumber
from broker.core.verdict import Answer, Meaning, Verdict, judge
from broker.service.cargo import Cargo, Hold
from broker.service.driver import Driver
from broker.service.rules import budget_maker, dispatch_rules
from schemas.record import Record
from tests.unit.core.specimens import candidate, ticket
from tests.unit.service.rig import settings_of
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

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
            self.trust.renewed(event.sent_at_ms)
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

    def posted(self, event: Event) -> None:
        self.seen.append((type(event).__name__, False))

    def watch(self, command: Command, cargo: Cargo | None) -> None:
        self.seen.append((type(command).__name__, cargo is not None))

    def contained(self, step: str, error: BaseException | None = None, **where: str | int | None) -> None:
        self.contained_steps.append((step, type(error), where))


class Rig:
    def __init__(
        self, caller: Callable[[Call, Cargo], Awaitable[tuple[Verdict, int]]], core: ScriptedCore | None = None
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.clock = WallClock(self.loop.time, lambda: datetime(2026, 1, 1, tzinfo=UTC))
        self.core, self.hold, self.watched = core or ScriptedCore(), Hold(), Watched()
        self.driver = Driver(self.core, self.hold, self.clock, caller=caller, watcher=self.watched)

    def stow(self) -> None:
        source = Source(LanePartition("urgent", 0), 0)
        now = self.clock.utc_now()
        self.hold.stow(Cargo(source, "topic", Record(None, b""), None, now, now, self.clock.now_ms()))

    def do(self, *commands: Command) -> None:
        """Let the driver carry these out now."""
        self.core.to_do.append(list(commands))
        self.driver.post(Draining(0))

    def trusted(self) -> None:
        self.driver.post(Renewed(self.clock.now_ms()))

    @property
    def answers(self) -> list[Event]:
        return [event for _, event in self.core.heard if isinstance(event, Answered | Refused | Crashed)]


async def _ok(_call: Call, _cargo: Cargo) -> tuple[Verdict, int]:
    await asyncio.sleep(2)
    return OK, 123


@asynccontextmanager
async def driving(
    caller: Callable[[Call, Cargo], Awaitable[tuple[Verdict, int]]] = _ok,
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


async def test_it_sleeps_to_the_exact_instant_and_not_a_moment_longer() -> None:
    async with driving() as rig:
        start_ms = rig.clock.now_ms()
        rig.core.wakes.extend([start_ms + 7, start_ms + 1_234])
        rig.driver.post(Draining(0))
        await asyncio.sleep(10)
        assert rig.core.asked_ms[1:] == [start_ms, start_ms + 7, start_ms + 1_234]


async def test_without_an_instant_it_sleeps_until_something_happens() -> None:
    async with driving() as rig:
        asked = len(rig.core.asked_ms)
        await asyncio.sleep(100_000)
        assert len(rig.core.asked_ms) == asked
        rig.driver.post(Draining(0))
        await asyncio.sleep(0.001)
        assert len(rig.core.asked_ms) == asked + 1


async def test_an_event_is_heard_at_once_and_in_order() -> None:
    async with driving() as rig:
        for number in range(3):
            rig.driver.post(Draining(number))
        now_ms = rig.clock.now_ms()
        assert rig.core.heard == [(now_ms, Draining(number)) for number in range(3)]


async def test_an_answer_comes_with_its_weight_when_the_call_is_over() -> None:
    async with driving() as rig:
        rig.trusted()
        start_ms = rig.clock.now_ms()
        rig.do(CALL)
        await asyncio.sleep(3)
        assert rig.core.heard[1:] == [(start_ms + 2_000, Answered(CallNumber(1), OK, 123))]
        assert ("Call", True) in rig.watched.seen


async def test_a_call_is_refused_at_the_door_when_trust_has_lapsed() -> None:
    async with driving() as rig:
        rig.do(CALL)
        await asyncio.sleep(3)
        assert rig.answers == [Refused(CallNumber(1))]
        assert ("Call", True) not in rig.watched.seen, "what has not left is not counted"


def awaiting_its_line(rig: Rig) -> Call:
    line = rig.core.batches.started(StartedEntry(Identity(bytes(16), 0, bytes(8)), 1), awaited=True)
    return Call(CallNumber(1), TicketNumber(1), 10, 1, repeated=False, line=line)


def commit(rig: Rig) -> None:
    now_ms = rig.clock.now_ms()
    batch = rig.core.batches.begin(1, rig.core.limits, Notes(), now_ms)
    rig.core.batches.end(batch.serial)
    rig.driver.post(Committed(batch.serial, now_ms))


async def test_a_call_that_waits_for_its_line_begins_with_the_commit() -> None:
    async with driving() as rig:
        rig.do(awaiting_its_line(rig))
        await asyncio.sleep(5)
        rig.driver.post(Committed(0, 0))
        await asyncio.sleep(5)
        assert rig.answers == []
        assert ("Call", True) not in rig.watched.seen, "what has not left is not counted"
        rig.trusted()
        began_ms = rig.clock.now_ms()
        commit(rig)
        await asyncio.sleep(3)
        assert rig.core.heard[-1] == (began_ms + 2_000, Answered(CallNumber(1), OK, 123))
        assert rig.watched.seen.count(("Call", True)) == 1


async def test_a_call_that_waited_for_its_line_is_refused_when_trust_has_lapsed_meanwhile() -> None:
    async with driving() as rig:
        rig.trusted()
        rig.do(awaiting_its_line(rig))
        await asyncio.sleep(5)
        commit(rig)
        await asyncio.sleep(0.1)
        assert rig.answers == [Refused(CallNumber(1))]


async def test_a_call_that_waits_for_its_line_does_not_pass_one_of_its_ordering_key_that_was_not_sent() -> None:
    async with driving() as rig:
        core, now_ms = rig.core, rig.clock.now_ms()
        pair = [ticket(candidate(name, limit=name, order=b"k")) for name in "ab"]
        for each in pair:
            core.limits.enqueue(each, now_ms)
        for number, each in enumerate(pair, start=1):
            paid_by, account = core.limits.serve(each, now_ms), core.limits.account.breaker
            call = core.flights.start(each, paid_by, now_ms, account=account)
            rig.do(replace(awaiting_its_line(rig), call=call))
            await asyncio.sleep(1)
            if number == 1:
                batch = core.batches.begin(1, core.limits, Notes(), now_ms)
        core.batches.end(batch.serial)
        rig.driver.post(Committed(batch.serial, now_ms))
        await asyncio.sleep(0.1)
        assert rig.answers == [Refused(CallNumber(1))]
        core.batches.turned_back(pair[0])
        rig.trusted()
        commit(rig)
        await asyncio.sleep(3)
        assert rig.answers == [Refused(CallNumber(1)), Refused(CallNumber(2))]


async def test_calls_whose_lines_are_told_wait_for_a_place_in_their_order_however_many_are_admitted() -> None:
    begun: list[CallNumber] = []

    async def caller(call: Call, cargo: Cargo) -> tuple[Verdict, int]:
        begun.append(call.call)
        return await _ok(call, cargo)

    async with driving(caller) as rig:
        places = rig.core.rules.inflight_max
        calls = [CallNumber(number) for number in range(1, places + 4)]
        rig.trusted()
        rig.do(*(replace(awaiting_its_line(rig), call=call) for call in calls))
        await asyncio.sleep(0.1)
        commit(rig)
        await asyncio.sleep(0.1)
        assert begun == calls[:places]
        rig.do(CancelCall(calls[0]), CancelCall(calls[places]))
        await asyncio.sleep(0.1)
        assert begun == [*calls[:places], calls[places + 1]], "one that is cancelled meanwhile gives its turn away"
        for _ in range(8):
            rig.trusted()
            await asyncio.sleep(0.5)
        assert begun == [*calls[:places], *calls[places + 1 :]]
        assert len(rig.answers) == len(calls)


async def test_a_call_cancelled_while_it_waits_for_its_line_never_begins() -> None:
    seen = []

    async def caller(call: Call, cargo: Cargo) -> tuple[Verdict, int]:
        seen.append(call)
        return await _ok(call, cargo)

    async with driving(caller) as rig:
        rig.do(awaiting_its_line(rig))
        await asyncio.sleep(1)
        rig.do(CancelCall(CallNumber(1)))
        rig.trusted()
        commit(rig)
        await asyncio.sleep(3)
        assert [type(answer) for answer in rig.answers] == [Answered]
        assert seen == []
        assert ("Call", True) not in rig.watched.seen, "what has not left is not counted"


async def test_a_cancelled_call_is_answered_as_abandoned() -> None:
    async with driving() as rig:
        rig.trusted()
        rig.do(CALL)
        await asyncio.sleep(1)
        rig.do(CancelCall(CallNumber(1)))
        await asyncio.sleep(1)
        (answer,) = rig.answers
        assert isinstance(answer, Answered)
        assert (answer.verdict.meaning, answer.bytes) == (Meaning.CONNECTION, 0)
        assert not answer.verdict.counts_as_attempt


async def test_a_call_cancelled_before_its_first_step_is_answered_as_well() -> None:
    async with driving() as rig:
        rig.trusted()
        rig.do(CALL, CancelCall(CallNumber(1)))
        await asyncio.sleep(1)
        assert len(rig.answers) == 1, "a reservation without an end: its charge and its place are gone for good"
        assert rig.driver.cancel_calls() == 0


async def test_all_calls_can_be_cancelled_at_once() -> None:
    async with driving() as rig:
        rig.trusted()
        rig.stow()
        rig.do(CALL, Call(CallNumber(2), TicketNumber(2), 10, 1, repeated=False))
        await asyncio.sleep(1)
        assert rig.driver.cancel_calls() == 2
        await asyncio.sleep(0.1)
        assert len(rig.answers) == 2
        assert rig.driver.cancel_calls() == 0


async def test_cancelling_a_call_that_is_over_changes_nothing() -> None:
    async with driving() as rig:
        rig.trusted()
        rig.do(CALL)
        await asyncio.sleep(3)
        rig.do(CancelCall(CallNumber(1)))
        await asyncio.sleep(1)
        assert len(rig.answers) == 1


async def test_what_is_forgotten_is_let_go_and_whoever_waits_for_room_is_woken() -> None:
    async with driving() as rig:
        waiting = asyncio.create_task(rig.driver.room_changed.wait())
        rig.do(Forget(TicketNumber(1)), Forget(TicketNumber(77)))
        await asyncio.sleep(0.001)
        assert rig.hold.get(TicketNumber(1)) is None
        assert waiting.done()


async def test_a_batch_waits_for_whoever_owns_the_producer_or_is_dropped() -> None:
    batch = Batch(1, (), {}, (), (), ())
    async with driving() as rig:
        rig.do(Publish(batch))
        await asyncio.sleep(0.001)
        assert rig.driver.publish_queue.qsize() == 1
        rig.driver.drop_batches()
        assert rig.driver.publish_queue.empty()
        rig.do(Publish(batch))
        await asyncio.sleep(0.001)
        assert rig.driver.publish_queue.get_nowait() is batch


async def test_calls_end_with_the_driver() -> None:
    rig: Rig
    async with driving() as rig:
        rig.trusted()
        rig.do(CALL)
        await asyncio.sleep(1)
    assert len(rig.answers) == 1


async def _broken(_call: Call, _cargo: Cargo) -> tuple[Verdict, int]:
    await asyncio.sleep(1)
    raise ValueError("broken")


async def test_a_call_that_raises_is_told_to_the_core_and_the_driver_goes_on() -> None:
    async with driving(_broken) as rig:
        rig.trusted()
        rig.do(CALL)
        await asyncio.sleep(2)
        rig.trusted()
        rig.do(replace(CALL, call=CallNumber(2)))
        await asyncio.sleep(2)
        assert rig.answers == [Crashed(CallNumber(1)), Crashed(CallNumber(2))]
        where = {"request_id": None, "topic": "topic", "partition": 0, "offset": 0}
        assert rig.watched.contained_steps == [("call", ValueError, where)] * 2


async def _cancelled_by_nobody(_call: Call, _cargo: Cargo) -> tuple[Verdict, int]:
    raise asyncio.CancelledError


async def test_a_cancellation_that_nobody_asked_for_is_a_defect_of_the_call_and_not_repeated() -> None:
    async with driving(_cancelled_by_nobody) as rig:
        rig.trusted()
        rig.do(CALL)
        await asyncio.sleep(1)
        assert rig.answers == [Crashed(CallNumber(1))]
        assert [step for step, _, _ in rig.watched.contained_steps] == ["call"]


class RottenCore(ScriptedCore):
    """Raises when it is told that a call ended."""

    def on(self, event: Event, now_ms: int) -> None:
        super().on(event, now_ms)
        if type(event) is Answered:
            raise LookupError("rotten")


async def test_an_exception_of_the_core_ends_the_driver_though_a_callback_has_posted_the_event() -> None:
    rig = Rig(_ok, RottenCore())
    rig.stow()
    running = asyncio.create_task(rig.driver.run())
    rig.trusted()
    rig.do(CALL)
    loop, said = asyncio.get_running_loop(), list[str]()
    loop.set_exception_handler(lambda _, context: said.append(context["message"]))
    await asyncio.wait({running}, timeout=5)
    with pytest.raises(ExceptionGroup) as caught:
        running.result()
    assert caught.group_contains(LookupError, match="rotten")
    assert len(said) == 1


async def test_an_exception_of_the_core_is_raised_to_the_task_that_posted_as_well() -> None:
    rig = Rig(_ok, RottenCore())
    with pytest.raises(LookupError):
        rig.driver.post(Answered(CallNumber(1), OK, 0))


async def test_what_the_core_has_contained_is_counted_and_named() -> None:
    async with driving() as rig:
        rig.do(Contained(TicketNumber(1), "take", ValueError()), Contained(TicketNumber(9), "answer", KeyError()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        where = {"request_id": None, "topic": "topic", "partition": 0, "offset": 0}
        assert rig.watched.contained_steps == [("take", ValueError, where), ("answer", KeyError, {})]
