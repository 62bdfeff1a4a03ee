"""Calls that wait until the ledger says that they begin."""

import asyncio
from dataclasses import replace

from headrace.broker.core.answers.verdict import Verdict
from headrace.broker.core.commands import AttemptEntry, Call, CancelCall
from headrace.broker.core.events import Answered, CallNotSent, Committed
from headrace.broker.core.identity.dedupe import Identity
from headrace.broker.core.requests.ledger_notes import LedgerNotes
from headrace.broker.core.ticket import CallNumber, TicketNumber
from headrace.broker.service.payloads import Payload
from tests.unit.core.specimens import candidate, ticket
from tests.unit.service.driving import OK, Rig, driving, ok
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME


def awaiting_its_line(rig: Rig) -> Call:
    line = rig.core.batches.add_start(AttemptEntry(Identity(bytes(16), 0, bytes(8)), 1), awaited=True)
    return Call(CallNumber(1), TicketNumber(1), 10, 1, repeated=False, line=line)


def commit(rig: Rig) -> None:
    now_ms = rig.clock.now_ms()
    batch = rig.core.batches.begin(1, rig.core.limits, LedgerNotes(), now_ms)
    rig.core.batches.end(batch.serial, 0)
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
        assert rig.answers == [CallNotSent(CallNumber(1))]


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
                batch = core.batches.begin(1, core.limits, LedgerNotes(), now_ms)
        core.batches.end(batch.serial, 0)
        rig.driver.post(Committed(batch.serial, now_ms))
        await asyncio.sleep(0.1)
        assert rig.answers == [CallNotSent(CallNumber(1))]
        core.batches.add_unsent(pair[0])
        rig.trusted()
        commit(rig)
        await asyncio.sleep(3)
        assert rig.answers == [CallNotSent(CallNumber(1)), CallNotSent(CallNumber(2))]


async def test_a_call_cancelled_while_it_waits_for_its_line_never_begins() -> None:
    seen = []

    async def caller(call: Call, cargo: Payload) -> tuple[Verdict, int]:
        seen.append(call)
        return await ok(call, cargo)

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
