"""The client for services without an event loop: the same methods, arguments and errors, from any thread."""

import asyncio
import gc
import inspect
import signal
import threading
import time
from collections.abc import AsyncIterable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.background.thread import background
from headrace.broker.client import GenerationClient, submission
from headrace.broker.errors import (
    Disconnected,
    GenerationFailed,
    InvalidRequest,
    LogUnavailable,
    NotSubmitted,
    SettingsError,
    WaitTimedOut,
)
from headrace.broker.submission import Submission
from headrace.broker.sync_client import SyncGenerationClient
from headrace.broker.sync_submissions import PORTION_MAX
from headrace.broker.testing import Asked, Said, SyncMemoryBroker
from headrace.consumers.chunks import ChunkReader
from headrace.consumers.dead_letters import DeadLetterReader
from headrace.consumers.results import ResultReader
from headrace.consumers.sync_chunks import SyncChunkReader
from headrace.consumers.sync_dead_letters import SyncDeadLetterReader
from headrace.consumers.sync_results import SyncResultReader
from headrace.schemas.outcome import Failed
from tests.unit.background.echo import BODY, EchoDoors

SILENT = EchoDoors(silent=frozenset({"slow"}))


def answer(asked: Asked) -> str | Said:
    if asked.request_id == "refused":
        return Said(400, {"error": {"message": "No.", "type": "invalid_request_error", "code": "invalid_prompt"}})
    return f"Dear {asked.request_id}"


def numbered(count: int) -> Iterator[Submission]:
    return (submission({"id": f"lead-{number}", "body": BODY}, lane="urgent") for number in range(count))


def until(holds: Callable[[], bool]) -> None:
    """Wait for the background loop, a step at a time."""

    async def step() -> None:
        await asyncio.sleep(0)

    ends = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < ends
        background().result(step)


# ---------------------------------------------------------------------- the same as the async one


@pytest.mark.parametrize(
    ("sync", "of"),
    [
        (SyncGenerationClient, GenerationClient),
        (SyncResultReader, ResultReader),
        (SyncChunkReader, ChunkReader),
        (SyncDeadLetterReader, DeadLetterReader),
    ],
)
def test_each_method_of_the_async_one_is_there_with_its_arguments(sync: type, of: type) -> None:
    one_by_one = {"delivery", "done", "give_back", "commit", "contradicted", "stopping"}  # what `handle` is made of
    scanned = {"next", "leave", "at", "offsets", "offsets_done"}
    methods = {name for name in dir(of) if not name.startswith("_")} - one_by_one - scanned
    assert methods <= set(dir(sync))
    for name in ["__init__", *methods]:
        if not inspect.isfunction(getattr(of, name)):
            continue
        given, expected = (inspect.signature(getattr(each, name)).parameters for each in (sync, of))
        assert {key: given[key].default for key in expected} == {key: each.default for key, each in expected.items()}
        assert [given[key].kind for key in expected] == [each.kind for each in expected.values()]


def test_a_wrong_argument_is_refused_when_the_client_is_made() -> None:
    with pytest.raises(SettingsError):
        SyncGenerationClient(connection=KafkaConnection("localhost:9092", username="only"))


def test_requests_are_submitted_answered_and_cancelled() -> None:
    with SyncMemoryBroker(answer) as broker, SyncGenerationClient(connection=broker.connection) as client:
        assert client.submit(BODY, lane="bulk", id="lead-1", tenant="acme").topic == "generation.requests.bulk"
        assert client.generate(BODY, lane="urgent", id="lead-2").text == "Dear lead-2"
        assert client.outcome_of(submission({"id": "lead-3", "body": BODY}, lane="urgent")).id == "lead-3"
        assert client.cancel("lead-4", tenant="acme").id == "lead-4"
        client.submit(BODY, lane="bulk", id="lead-4", tenant="acme")
        outcome = client.outcome_of_cancelled("lead-4", tenant="acme")
        assert isinstance(outcome, Failed)
        assert outcome.reason == "cancelled"
        assert broker.calls_by_id["lead-2"] == 1
        assert {each.id for each in broker.outcomes} >= {"lead-2", "lead-3", "lead-4"}
        assert broker.dead_letters == []


def test_the_errors_are_those_of_the_async_client() -> None:
    with SyncMemoryBroker(answer) as broker, SyncGenerationClient(connection=broker.connection) as client:
        with pytest.raises(GenerationFailed, match="refused failed"):
            client.generate(BODY, lane="urgent", id="refused")
        with pytest.raises(InvalidRequest, match="model"):
            client.submit({"messages": []})
        with pytest.raises(NotSubmitted, match="lane"):
            client.submit(BODY, lane="urgnt")
        with pytest.raises(TypeError, match="a request takes no colour"):
            client.submit(BODY, colour="red")  # type: ignore[call-arg]  # the point of the test
        broker.broker.kafka.is_up = False
        with pytest.raises(LogUnavailable):
            client.submit(BODY, timeout_s=0.01)


def test_a_deadline_may_be_a_timedelta() -> None:
    with SyncMemoryBroker(answer) as broker, SyncGenerationClient(connection=broker.connection) as client:
        assert client.generate(BODY, lane="urgent", deadline=timedelta(minutes=5)).text
        with pytest.raises(InvalidRequest, match="above zero"):
            client.generate(BODY, deadline=timedelta(0))
        with pytest.raises(InvalidRequest, match="no time zone"):
            client.submit(BODY, deadline=datetime.now(UTC).replace(tzinfo=None))


# ---------------------------------------------------------------------- many


@pytest.mark.parametrize("count", [0, 1, PORTION_MAX, 3 * PORTION_MAX + 1])
def test_receipts_of_many_come_in_order(count: int) -> None:
    doors = EchoDoors()
    client = SyncGenerationClient(connection=doors)
    receipts = list(client.submit_many(numbered(count), in_flight_max=7))
    assert [each.id for each in receipts] == [f"lead-{number}" for number in range(count)]
    assert len(doors.topics) == count


def test_an_error_comes_behind_the_receipts_of_the_requests_before_it() -> None:
    def bad() -> Iterator[Submission]:
        yield from numbered(5)
        raise InvalidRequest("the sixth line is no request")

    receipts = SyncGenerationClient(connection=EchoDoors()).submit_many(bad())
    assert [next(receipts).id for _ in range(5)] == [f"lead-{number}" for number in range(5)]
    with pytest.raises(InvalidRequest, match="the sixth line"):
        next(receipts)


def test_submissions_are_taken_in_the_calling_thread() -> None:
    threads = set()

    def noting() -> Iterator[Submission]:
        for each in numbered(100):
            threads.add(threading.get_ident())
            yield each

    list(SyncGenerationClient(connection=EchoDoors()).submit_many(noting()))
    assert threads == {threading.get_ident()}


def test_nothing_more_is_taken_once_the_receipts_are_left() -> None:
    taken = []

    def noting() -> Iterator[Submission]:
        for each in numbered(100 * PORTION_MAX):
            taken.append(each)
            yield each

    doors = EchoDoors()
    receipts = SyncGenerationClient(connection=doors).submit_many(noting(), in_flight_max=1)
    next(receipts)
    receipts.close()  # type: ignore[attr-defined]  # it is a generator
    assert len(taken) <= 3 * PORTION_MAX
    sent = len(doors.topics)
    until(lambda: True)
    assert len(doors.topics) == sent


def test_a_slow_iterator_does_not_hold_back_what_came_before() -> None:
    doors, seen = EchoDoors(), []

    def slow() -> Iterator[Submission]:
        first, second = numbered(2)
        yield first
        ends = time.monotonic() + 0.02  # longer than a portion waits
        while time.monotonic() < ends:
            pass
        yield second
        until(lambda: len(doors.topics) == 2)
        seen.append(len(doors.topics))

    list(SyncGenerationClient(connection=doors).submit_many(slow()))
    assert seen == [2]


def test_an_interrupt_in_the_iterator_ends_the_submitting() -> None:
    def interrupted() -> Iterator[Submission]:
        yield from numbered(2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(SyncGenerationClient(connection=EchoDoors()).submit_many(interrupted()))


# ---------------------------------------------------------------------- threads, interrupts, ends


def test_many_threads_use_one_client_and_one_loop() -> None:
    client = SyncGenerationClient(connection=EchoDoors())
    with ThreadPoolExecutor(32) as threads:
        asked = [threads.submit(client.generate, BODY, id=f"lead-{number}") for number in range(300)]
        assert {each.result().id for each in asked} == {f"lead-{number}" for number in range(300)}
    assert [thread.name for thread in threading.enumerate()].count("headrace") == 1


def test_an_interrupted_wait_is_over_in_the_loop_too() -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(KeyboardInterrupt):
            SyncGenerationClient(connection=SILENT).generate(BODY, id="slow")
    finally:
        signal.signal(signal.SIGALRM, before)
    until(lambda: not SILENT.waits)


def test_a_wait_that_takes_too_long_is_over_in_the_loop_too() -> None:
    with pytest.raises(WaitTimedOut, match=r"No outcome of slow within 0\.01 s"):
        SyncGenerationClient(connection=SILENT).generate(BODY, id="slow", timeout_s=0.01)
    assert not SILENT.waits


def test_a_close_ends_the_waits_of_other_threads_and_the_client_may_be_used_again() -> None:
    client = SyncGenerationClient(connection=SILENT)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(client.generate, BODY, id="slow")
        until(lambda: "slow" in SILENT.waits)
        client.close()
        with pytest.raises(Disconnected, match="ask again with the same id"):
            waiting.result(10)
    client.close()
    assert client.generate(BODY, id="quick").id == "quick"


def test_a_client_that_was_never_used_is_closed_without_a_loop() -> None:
    with SyncGenerationClient(connection=SILENT) as client:
        pass
    client.close()


async def test_inside_a_running_loop_it_works_and_blocks_that_loop() -> None:
    assert SyncGenerationClient(connection=EchoDoors()).generate(BODY, id="lead-1").id == "lead-1"


def test_inside_the_background_loop_it_is_refused_instead_of_waiting_for_itself() -> None:
    client = SyncGenerationClient(connection=EchoDoors())

    async def misused() -> None:
        client.generate(BODY)

    with pytest.raises(RuntimeError, match="use the async one there"):
        background().result(misused)


def test_a_client_that_is_dropped_is_closed() -> None:
    doors = EchoDoors()
    client = SyncGenerationClient(connection=doors)
    client.submit(BODY)
    del client
    gc.collect()
    until(lambda: doors.closes == 1)


def test_a_task_that_exits_does_not_end_the_loop() -> None:
    async def exits() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        background().result(exits)
    assert SyncGenerationClient(connection=EchoDoors()).generate(BODY).text


def test_an_async_iterable_is_no_iterable_for_it() -> None:
    async def many() -> AsyncIterable[Submission]:
        yield submission({"body": BODY}, lane="bulk")

    with pytest.raises(TypeError):
        list(SyncGenerationClient(connection=EchoDoors()).submit_many(many()))  # type: ignore[arg-type]  # on purpose


def test_a_client_that_was_closed_connects_again() -> None:
    with SyncMemoryBroker() as broker:
        client = SyncGenerationClient(connection=broker.connection)
        first = client.generate(BODY, id="a", timeout_s=10).text
        client.close()
        assert client.generate(BODY, id="b", timeout_s=10).text != first
        client.close()
