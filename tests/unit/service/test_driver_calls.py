"""What the driver tells of a call, and what is left of it when it ends: no timer, no task, no unnamed request."""

import asyncio
from dataclasses import replace

import pytest

from headrace.broker.core.answers.verdict import Verdict
from headrace.broker.core.commands import AttemptEntry, Call
from headrace.broker.core.events import Answered, Crashed, Draining
from headrace.broker.core.pricing.law_identification import TokenUsage as Reported
from headrace.broker.core.ticket import CallNumber, LanePartition, Source
from headrace.broker.service.payloads import Payload
from headrace.schemas.outcome import Usage
from headrace.schemas.record import Record
from headrace.schemas.request_codec import decode_request
from tests.unit.core.specimens import candidate, ticket
from tests.unit.service.driving import CALL, OK, Rig, driving
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME


@pytest.mark.parametrize(
    ("told", "reported"),
    [
        (Usage(input_tokens=10, output_tokens=5, total_tokens=15), Reported(10, 5)),
        (Usage(input_tokens=10, output_tokens=5, total_tokens=15, reasoning_tokens=3), Reported(10, 5, 3, b"named")),
        (Usage(input_tokens=0, output_tokens=5, total_tokens=5), None),
        (None, None),
    ],
    ids=["both", "the reasoning too", "the input is left out", "nothing"],
)
async def test_what_an_answer_reports_of_its_tokens_is_told(told: Usage | None, reported: Reported | None) -> None:
    async def answered(_call: Call, cargo: Payload) -> tuple[Verdict, int]:
        cargo.usage = told
        cargo.answer_mark = b"" if reported is None else reported.mark
        return OK, 1

    async with driving(answered) as rig:
        rig.trusted()
        rig.do(CALL)
        await asyncio.sleep(1)
        assert rig.answers == [Answered(CallNumber(1), OK, 1, reported)]


async def test_a_request_whose_call_broke_is_named_by_its_id() -> None:
    async def broken(_call: Call, _cargo: Payload) -> tuple[Verdict, int]:
        raise ValueError("a defect")

    async with driving(broken) as rig:
        value = b'{"id": "lead-1", "body": {"model": "m"}}'
        now = rig.clock.utc_now()
        source = Source(LanePartition("urgent", 3), 4)
        content = decode_request(value, ())
        number = rig.hold.put(Payload(source, "t", Record(None, value), content, now, now, rig.clock.now_ms()))
        rig.trusted()
        rig.do(Call(CallNumber(1), number, 10, 1, repeated=False))
        await asyncio.sleep(1)
        assert rig.answers == [Crashed(CallNumber(1))]
        where = {"request_id": "lead-1", "topic": "t", "partition": 3, "offset": 4}
        assert rig.watched.contained_steps == [("call", ValueError, where)]


async def test_an_instant_that_the_core_names_no_more_wakes_nothing() -> None:
    async with driving() as rig:
        rig.core.wakes.append(rig.clock.now_ms() + 5_000)
        rig.driver.post(Draining(0))
        await asyncio.sleep(1)
        rig.core.wakes.clear()
        rig.driver.post(Draining(0))
        await asyncio.sleep(1)
        asked = len(rig.core.asked_ms)
        await asyncio.sleep(10)
        assert len(rig.core.asked_ms) == asked


async def test_a_call_that_does_not_hear_of_its_end_is_told_again() -> None:
    """A library may lose a cancellation (`headrace.broker.tasks`)."""

    async def deaf(_call: Call, _cargo: Payload) -> tuple[Verdict, int]:
        try:
            await asyncio.sleep(1_000)
        except asyncio.CancelledError:
            await asyncio.sleep(1_000)
        return OK, 1

    rig = Rig(deaf)
    rig.stow()
    running = asyncio.create_task(rig.driver.run())
    rig.trusted()
    rig.do(CALL)
    await asyncio.sleep(1)
    running.cancel()
    await asyncio.wait({running}, timeout=5)
    assert running.done()


async def test_a_call_that_waits_for_no_line_is_sent_though_one_before_it_in_its_ordering_key_was_not() -> None:
    """So it is with a second call: the first one left in order, and of another nothing is promised."""
    async with driving() as rig:
        core, now_ms = rig.core, rig.clock.now_ms()
        pair = [ticket(candidate(name, limit=name, order=b"k")) for name in "ab"]
        for each in pair:
            core.limits.enqueue(each, now_ms)
        for each in pair:
            core.limits.serve(each, now_ms)
        core.batches.add_start(AttemptEntry(pair[0].candidate.identity, 1), awaited=True)
        core.batches.add_unsent(pair[0])
        second = core.limits.limit_queue("b", now_ms).budget
        call = core.flights.start(pair[1], second, now_ms, account=core.limits.account.breaker)
        assert core.batches.overtakes(1, pair[1])
        rig.trusted()
        rig.do(replace(CALL, call=call))
        await asyncio.sleep(3)
        assert rig.answers == [Answered(call, OK, 123)]
