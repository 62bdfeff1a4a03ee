"""One record's way in: whatever reading it raises ends that record alone; what is large is read beside the loop."""

import asyncio
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NoReturn, TypeVar

import pytest

from headrace.broker.core.ticket import CONTROL, Candidate, Garbage, LanePartition, Source
from headrace.broker.ports import TokenCounter
from headrace.broker.service.intake.control import ControlReader
from headrace.broker.service.intake.entry import OFFLOADED_ABOVE_BYTES, Entry, Reader, is_large
from headrace.broker.service.intake.pricer import DEFECT, Pricer
from headrace.broker.service.intake.weight import RECORD_BYTES, Weight, weigh
from headrace.broker.service.offload import OneThread, at_once
from headrace.broker.testing.counter import RoughCounter
from headrace.schemas.ids import fingerprint, id_hash
from headrace.schemas.record import Record
from headrace.schemas.request_codec import DecodedRequest, InputLimits, Undecodable
from tests.unit.service.intake.test_pricer import pricer
from tests.unit.service.rig import PREFIX, Process, World, led, settings_of, until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

T = TypeVar("T")
AT = datetime(2026, 12, 1, 9, tzinfo=UTC)
SOURCE = Source(LanePartition("standard", 3), 99)
DEADLY = "this text shows a defect"
LANES = ("urgent", "standard", "bulk")
DEFECTS = [RuntimeError(DEADLY), MemoryError(), RecursionError(), OverflowError("int too large"), KeyError("x")]


class Defective(RoughCounter):
    """Raises for one text."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def count(self, model: str, text: str) -> int | None:
        if DEADLY in text:
            raise self._error
        return super().count(model, text)


def record(text: str = "hello", headers: tuple[tuple[str, bytes], ...] = (), **fields: Any) -> Record:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]}
    return Record(b"acme", json.dumps({"id": "lead-1", "body": body, "tenant": "acme"} | fields).encode(), headers)


def entry(reader: Reader, said: list[tuple[str, dict[str, Any]]] | None = None) -> Entry:
    def contained(step: str, error: BaseException | None = None, **where: Any) -> None:
        if said is not None:
            said.append((step, {"error": error, **where}))

    return Entry(reader, at_once, contained)


@pytest.mark.parametrize("error", DEFECTS)
async def test_an_exception_of_any_kind_ends_its_record_alone_and_is_told(error: Exception) -> None:
    said: list[tuple[str, dict[str, Any]]] = []
    read = await entry(pricer(Defective(error)), said).read(SOURCE, record(DEADLY), AT)
    assert said == [("read", {"error": error, "lane": "standard", "partition": 3, "offset": 99})]
    assert isinstance(read.content, Undecodable)
    assert (read.content.request_id, read.content.tenant, read.content.message) == ("lead-1", "acme", DEFECT)
    assert isinstance(read.known, Garbage)
    assert read.known.identity is not None
    assert (read.known.identity.id_hash, read.known.reason) == (id_hash("lead-1"), "crashed")
    request = json.loads(record(DEADLY).value or b"")
    mark = fingerprint("acme", "chat.completions", request["body"])
    assert read.known.identity.fingerprint == mark, "so the copy of a parked request is known by its content"
    assert read.weight.held >= RECORD_BYTES + len(record(DEADLY).value or b"")


class Hopeless:
    """Raises whatever it is asked."""

    def read(self, *_: object) -> Any:
        raise MemoryError

    def defect(self, *_: object) -> Any:
        raise RecursionError

    def unread(self, *_: object) -> Any:
        raise MemoryError


async def test_of_an_unread_record_its_reader_says_what_is_known_without_its_value() -> None:
    """Without that a request whose record ended two terms would have no outcome, though its headers name its id."""
    taken = record(DEADLY, headers=(("ce_subject", b"lead-7"),))
    read = entry(pricer(Defective(MemoryError()))).unread(taken)
    assert isinstance(read.content, Undecodable)
    assert isinstance(read.known, Garbage)
    assert (read.content, read.known) == pricer().unread(taken)
    assert read.known.identity is not None
    assert (read.known.identity.id_hash, read.known.reason) == (id_hash("lead-7"), "crashed")
    assert read.weight == weigh(taken, read.content)


async def test_a_defect_in_what_is_told_of_an_unread_record_leaves_a_dead_letter() -> None:
    read = entry(Hopeless()).unread(record())
    assert (read.content, read.known) == (Undecodable(DEFECT), Garbage(None, DEFECT, "crashed"))


async def test_a_defect_that_strikes_twice_leaves_a_dead_letter() -> None:
    read = await entry(Hopeless()).read(SOURCE, record(), AT)
    assert (read.content, read.known) == (Undecodable(DEFECT), Garbage(None, DEFECT, "crashed"))


async def test_where_decoding_itself_raises_the_headers_tell_the_id() -> None:
    reader = pricer()
    reader._input = None  # type: ignore[assignment]  # a defect: whatever is decoded raises
    read = await entry(reader).read(SOURCE, record(headers=(("ce_subject", b"lead-7"), ("headrace-attempt", b"3"))), AT)
    assert isinstance(read.known, Garbage)
    assert read.known.identity is not None
    assert (read.known.identity.id_hash, read.known.attempt) == (id_hash("lead-7"), 3)
    assert (await entry(reader).read(SOURCE, record(), AT)).known == Garbage(None, DEFECT, "crashed")


async def test_a_defect_in_a_cancel_is_a_dead_letter_and_no_outcome() -> None:
    control = ControlReader(InputLimits())
    control._limits = None  # type: ignore[assignment]  # a defect
    source = Source(LanePartition(CONTROL, 0), 0)
    read = await entry(control).read(source, Record(None, b"{}", (("ce_subject", b"a"),)), AT)
    assert read.known == Garbage(None, DEFECT, "crashed")


async def test_what_is_large_is_read_in_another_thread_and_comes_back_whole() -> None:
    threads: list[str] = []

    class Noting(Pricer):
        def read(self, *args: Any) -> Any:
            threads.append(threading.current_thread().name)
            return super().read(*args)

    known = pricer()
    reader = Noting(known._settings, RoughCounter(), known._clock, known._grants)
    large, small = record("x" * OFFLOADED_ABOVE_BYTES, metadata={"a": 1}), record()
    reading = Entry(reader, OneThread("decode"), lambda *_, **__: None)
    for each in (large, small):
        read = await reading.read(SOURCE, each, AT)
        assert isinstance(read.content, DecodedRequest)
        assert isinstance(read.known, Candidate)
        assert read == await entry(known).read(SOURCE, each, AT)
    assert threads[0].startswith("decode")
    assert threads[1] == threading.current_thread().name


async def test_what_raises_in_the_other_thread_ends_its_record_alone() -> None:
    said: list[str] = []
    reading = Entry(pricer(Defective(MemoryError())), OneThread("decode"), lambda step, *_, **__: said.append(step))
    read = await reading.read(SOURCE, record(DEADLY + "x" * 60_000, metadata={"a": "y" * 60_000}), AT)
    assert said == ["read"]
    assert isinstance(read.known, Garbage)


@pytest.mark.slow
def test_what_is_decoded_is_weighed_and_not_only_its_bytes() -> None:
    bomb = record(metadata={str(number): {} for number in range(30_000)})
    content = pricer().read("standard", bomb, AT)[0]
    weight = weigh(bomb, content)
    assert weight.held > 5 * len(bomb.value or b"")
    assert len(bomb.value or b"") < weight.written < 1.1 * len(bomb.value or b"")
    assert weigh(bomb, Undecodable("x")).held < len(bomb.value or b"") + 2 * RECORD_BYTES


# -------------------------------------------------------------------------------------------------- whole dispatchers


class DefectiveProcess(Process):
    def counter(self) -> TokenCounter:
        return Defective(OverflowError("a defect"))


@pytest.mark.parametrize("copies", [1, 3])
async def test_a_record_that_shows_a_defect_is_failed_with_a_dead_letter_and_the_process_goes_on(copies: int) -> None:
    world = World()
    process = DefectiveProcess(world, "p").start()
    await led(process)
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": DEADLY}]}
    for _ in range(copies):
        world.submit("deadly", "standard", partition=0, body=body)
    world.submit("good", "standard", partition=0)
    await until(lambda: len(world.outcomes()) == 2 and len(world.dead_letters()) == copies)
    assert world.counts() == {("deadly", 0): 1, ("good", 0): 1}
    failed = next(one for one in world.outcomes() if one["id"] == "deadly")
    assert (failed["status"], failed["reason"]) == ("failed", "crashed")
    assert {dict(letter.headers)["headrace-reason"] for letter in world.dead_letters()} == {b"crashed"}
    assert process.metric("headrace_contained_total", {"step": "read"}) == copies
    assert world.upstream.asked[-1].request_id == "good"
    await process.end()


async def test_null_headers_and_extreme_numbers_are_answered_or_refused_and_nobody_dies() -> None:
    world = World()
    process = Process(world, "p").start()
    await led(process)
    odd: Any = (("x", None), ("", None), ("traceparent", b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01-" + b"x" * 900))
    topic = f"{PREFIX}.requests.standard"
    body = {"model": "gpt-4o-mini", "messages": []}
    world.kafka.append(topic, Record(None, json.dumps({"id": "null", "body": body}).encode(), odd))
    for name, huge in {"int": int("9" * 4_200), "product": 10**300, "float": 1.79e308}.items():
        world.submit(name, "standard", body=body | {"max_tokens": huge, "n": huge})
    world.kafka.append(f"{PREFIX}.control", Record(b"x", b'{"type":"cancel","id":"null"}', odd))
    await until(lambda: len(world.outcomes()) == 4)
    reasons = {one["id"]: one.get("reason", one["status"]) for one in world.outcomes()}
    assert reasons.pop("null") in {"completed", "cancelled"}
    assert set(reasons.values()) == {"invalid_request"}
    assert len(world.dead_letters()) == 3
    process.telemetry.gauges(process.core, process.health, world.clock.now_ms())
    json.dumps(process.status.snapshot(world.clock.now_ms()))
    await process.end()


@pytest.mark.slow
async def test_a_lane_holds_no_more_decoded_bytes_than_its_buffer_and_one_record() -> None:
    world = World(latency_s=10_000, partitions=1)
    buffer_max = 2_000_000
    lanes = {name: {"order": place, "buffer_bytes_max": buffer_max} for place, name in enumerate(LANES, 1)}
    process = Process(world, "p", settings=settings_of(lanes=lanes)).start()
    await led(process)
    for number in range(40):
        world.submit(f"r{number}", "standard", metadata={str(key): {} for key in range(9_000)})
    await asyncio.sleep(30)
    held = process.core.registry._held_bytes["standard"]
    heaviest = max(ticket.buffer_bytes for ticket in process.core.registry.tickets())
    assert heaviest > 1_000_000
    assert held <= buffer_max + heaviest
    await process.kill()


class Held:
    """An offload that answers when it is told to."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.begun = 0

    async def __call__(self, work: Callable[[], T], /) -> T:
        self.begun += 1
        await self.release.wait()
        return work()


@pytest.mark.parametrize("moment", ["while it is read", "after it was read"])
async def test_a_halt_while_a_large_record_is_read_loses_and_doubles_nothing(moment: str) -> None:
    world = World(partitions=1)
    process = Process(world, "p").start()
    offload = process.intakes["standard"]._handover._entry._offload = Held()
    await led(process)
    for name in "abc":
        world.submit(name, "standard", metadata={"x": "y" * (2 * OFFLOADED_ABOVE_BYTES)})
    await until(lambda: offload.begun == 1)
    if moment == "after it was read":
        offload.release.set()
        await asyncio.sleep(0)
    await process.kill()
    offload.release.set()
    successor = Process(world, "q").start()
    await until(lambda: len(world.outcomes()) == 3)
    assert world.counts() == {(name, 0): 1 for name in "abc"}
    await successor.end()


async def test_large_records_of_a_partition_are_handed_over_in_their_order() -> None:
    world = World(latency_s=10_000, partitions=1)
    process = Process(world, "p").start()
    process.intakes["standard"]._handover._entry._offload = OneThread("decode")
    await led(process)
    for number in range(12):
        size = 2 * OFFLOADED_ABOVE_BYTES if number % 2 else 10
        world.submit(f"r{number}", "standard", metadata={"x": "y" * size})
    await until(lambda: len(process.core.registry.tickets()) == 12)
    taken = sorted(process.core.registry.tickets(), key=lambda ticket: ticket.number)
    assert [ticket.source.offset for ticket in taken] == list(range(12))
    await process.kill()


class Raising:
    """A `Reader` with a defect, in telling of it too."""

    def read(self, lane: str, record: Record, submitted_at: datetime, /) -> NoReturn:
        raise RuntimeError

    def unread(self, record: Record, /) -> NoReturn:
        raise RuntimeError

    def defect(self, record: Record, /) -> NoReturn:
        raise RuntimeError


async def test_of_a_record_that_nothing_can_be_told_of_its_weight_is_known() -> None:
    for taken, size in ((Record(b"key", b"value"), 8), (Record(None, None), 0), (Record(b"key", None), 3)):
        told = await entry(Raising()).read(SOURCE, taken, AT)
        assert told.weight == entry(Raising()).unread(taken).weight == Weight(size, size + RECORD_BYTES)


async def test_large_is_a_value_above_the_bound_and_none_is_not() -> None:
    bound = OFFLOADED_ABOVE_BYTES
    for value, large in ((None, False), (b"x" * bound, False), (b"x" * (bound + 1), True)):
        assert is_large(Record(None, value)) is large
