"""Records that no client of ours would write, through all that a record passes before and after its call.

Nothing raises, everything is bounded, and each record becomes what its kind says.
"""

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime
from random import Random

import pytest

from headrace.broker.clock import WallClock
from headrace.broker.core.pricing.laws import PRICE_MAX
from headrace.broker.core.ticket import Candidate
from headrace.broker.service.intake.pricer import Pricer
from headrace.broker.service.intake.weight import RECORD_BYTES, weigh
from headrace.broker.testing.counter import RoughCounter
from headrace.schemas.codec import decode_dead_letter, decode_failure, encode_dead_letter, encode_failure, encode_retry
from headrace.schemas.dead_letter import Origin
from headrace.schemas.failure import RetryableFailure, header_fields, key_fields
from headrace.schemas.record import Record, present
from headrace.schemas.request_codec import DecodedRequest, binary_headers, decode_request
from tests.hostile.records import ANSWERED, DEAD_LETTER, FAILED, KINDS, NAMES, Specimen, specimen
from tests.unit.service.rig import PREFIX, Process, World, grants_of, led, settings_of, until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
MIB = 1024 * 1024


def pricer() -> Pricer:
    clock = WallClock(lambda: 1_000.0, lambda: NOW)
    return Pricer(settings_of(), RoughCounter(), clock, grants_of(clock, every_run=True))


def specimens(seed: int, count: int) -> list[Specimen]:
    dice = Random(seed)
    return [specimen(dice, number) for number in range(count)]


def fate_of(known: object) -> str:
    if isinstance(known, Candidate):
        return ANSWERED if known.refusal is None else FAILED
    return DEAD_LETTER if known.identity is None else FAILED  # type: ignore[attr-defined]  # then it is Garbage


def told_apart(each: Specimen) -> str:
    """What reading alone can tell: that a deadline has passed is found out later."""
    return ANSWERED if each.kind == "deadline long ago" else each.fate


@pytest.mark.slow
@pytest.mark.parametrize("kind", NAMES)
def test_every_kind_is_read_as_it_says(kind: str) -> None:
    dice, reader = Random(kind), pricer()
    for number in range(3):
        each = specimen(dice, number, kinds=[kind])
        for record in (each.record, Record(each.key, each.value, present(each.headers))):
            content, known = reader.read("standard", record, NOW)
            assert fate_of(known) == told_apart(each), (kind, content)
            told = content.request.id if isinstance(content, DecodedRequest) else content.request_id
            assert told == each.id
            assert content.run == each.run


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_what_is_made_of_a_record_is_bounded_and_never_raises(seed: int) -> None:
    reader = pricer()
    for each in specimens(seed, 40):
        record = each.record
        assert record.bytes_max < MIB, "Kafka takes it"
        content, known = reader.read("standard", record, NOW)
        if isinstance(known, Candidate):
            assert all(1 <= tokens <= PRICE_MAX for tokens in known.prices.tokens)
            assert len(json.dumps([known.deadline_ms, known.failures, known.attempt, known.limit])) < 1_000
        weight = weigh(record, content)
        assert RECORD_BYTES < weight.held < 20 * MIB
        letter = encode_dead_letter(
            record.key, record.value, record.headers, reason="rejected", origin=("t", 0, 0), attempts=1, run=each.run,
            failed_at=NOW, max_bytes=MIB,
        )  # fmt: skip
        assert letter.bytes_max <= MIB
        decode_dead_letter(letter.key, letter.value, letter.headers)
        if isinstance(content, DecodedRequest) and each.fate == ANSWERED:
            parked_and_back(record, content)


def parked_and_back(record: Record, content: DecodedRequest) -> None:
    """What the dispatcher parks and the retrier puts back is still the same request, also to stricter eyes."""
    failure = RetryableFailure(
        id=content.request.id, kind="quota", attempt=1, not_before=NOW, lane="bulk", submitted_at=NOW,
        headers=header_fields(binary_headers(content, record.headers)),
        request=content.request.model_dump(mode="json", exclude_unset=True), **key_fields(record.key),
    )  # fmt: skip
    parked = encode_failure(failure, time=NOW)
    again = encode_retry(decode_failure(parked.value, parked.headers), Origin("failures", 0, 0))
    back = decode_request(again.value, again.headers, key=again.key)
    assert isinstance(back, DecodedRequest), back
    assert (back.request.id, back.request.body) == (content.request.id, content.request.body)
    assert back.ordering_key == content.ordering_key


@pytest.mark.slow
async def test_a_dispatcher_makes_of_each_what_its_kind_says_and_goes_on() -> None:
    dice, world = Random(7), World(latency_s=0.2)
    process = Process(world, "p").start()
    await led(process)
    everyone = [specimen(dice, number, kinds=[kind]) for number, kind in enumerate([*NAMES, *NAMES])]
    for each in everyone:
        world.kafka.append(f"{PREFIX}.requests.standard", each.record)
        await asyncio.sleep(0.1)
    awaited = {(each.id, 0) for each in everyone if each.id is not None}  # no forged run is believed
    letters = sum(each.fate != ANSWERED for each in everyone)
    await until(lambda: len(world.counts()) >= len(awaited) and len(world.dead_letters()) >= letters, 600)
    assert world.counts() == dict.fromkeys(awaited, 1)
    assert len(world.dead_letters()) == letters
    status = {outcome["id"]: outcome["status"] for outcome in world.outcomes()}
    ends = Counter((each.kind, status[each.id] == "completed") for each in everyone if each.id is not None)
    assert {kind for kind, completed in ends if completed} == {kind for kind in NAMES if KINDS[kind][0] == ANSWERED}
    assert {kind for kind, completed in ends if not completed} == {kind for kind in NAMES if KINDS[kind][0] == FAILED}
    assert process.metric("headrace_contained_total", {"step": "read"}) == 0
    await process.end()
