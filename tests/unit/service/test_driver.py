"""The task that owns the core: it sleeps to the exact instant, and every call it starts ends in an answer."""

import asyncio
from dataclasses import replace

import pytest

from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.core.commands import Batch, Call, CancelCall, Contained, Forget, Publish
from headrace.broker.core.events import Answered, CallNotSent, Crashed, Draining, Event
from headrace.broker.core.ticket import CallNumber, TicketNumber
from headrace.broker.service.payloads import Payload
from tests.unit.service.driving import CALL, OK, Rig, ScriptedCore, driving, ok
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME


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
        assert rig.answers == [CallNotSent(CallNumber(1))]
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


async def _broken(_call: Call, _cargo: Payload) -> tuple[Verdict, int]:
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


async def _cancelled_by_nobody(_call: Call, _cargo: Payload) -> tuple[Verdict, int]:
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
    rig = Rig(ok, RottenCore())
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
    rig = Rig(ok, RottenCore())
    with pytest.raises(LookupError):
        rig.driver.post(Answered(CallNumber(1), OK, 0))


async def test_what_the_core_has_contained_is_counted_and_named() -> None:
    async with driving() as rig:
        rig.do(Contained(TicketNumber(1), "take", ValueError()), Contained(TicketNumber(9), "answer", KeyError()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        where = {"request_id": None, "topic": "topic", "partition": 0, "offset": 0}
        assert rig.watched.contained_steps == [("take", ValueError, where), ("answer", KeyError, {})]
