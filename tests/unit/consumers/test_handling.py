"""Handlers that raise: how often an outcome is tried, what is given up, and what comes again."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from headrace.broker.client_ports import Appended, Arrived, Pending
from headrace.broker.errors import LogUnavailable
from headrace.consumers.deliveries import Delivery
from headrace.consumers.handling import Handler, Handling, Letters, Patience, Refused
from headrace.schemas import headers as names
from headrace.schemas.codec import decode_dead_letter
from headrace.schemas.outcome import Completed, Outcome
from headrace.schemas.record import Record
from headrace.schemas.topics import BATCH_OVERHEAD_BYTES, MESSAGE_BYTES_MAX
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

TOPIC = "mailer.dead-letters"


def delivery(name: str = "a", *, run: int = 0, value: bytes = b"{}") -> Delivery:
    arrived = Arrived(3, 7, 0, Record(name.encode(), value, (("x", b"y"),)), 1)
    return Delivery(Completed(id=name, run=run, response={}), [arrived])


@dataclass
class Outcomes:
    """An `OutcomeSource` that ends."""

    left: list[Delivery]
    handled: list[str] = field(default_factory=list)
    given_back: list[str] = field(default_factory=list)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def delivery(self) -> Delivery | None:
        return self.left.pop(0) if self.left else None

    def done(self, delivery: Delivery) -> None:
        self.handled.append(delivery.outcome.id)

    def give_back(self, delivery: Delivery) -> None:
        self.given_back.append(delivery.outcome.id)


@dataclass
class Log:
    """A `SubmitLog` that cannot be reached for some attempts."""

    away: int = 0
    written: list[Record] = field(default_factory=list)
    timeouts_s: list[float] = field(default_factory=list)

    async def append(self, topic: str, record: Record, *, timeout_s: float) -> Appended:
        assert topic == TOPIC
        self.timeouts_s.append(timeout_s)
        if self.away:
            self.away -= 1
            raise LogUnavailable("No answer.")
        self.written.append(record)
        return Appended(topic, 0, 0, 0)

    async def begin(self, topic: str, record: Record, *, timeout_s: float) -> Pending:
        raise NotImplementedError

    async def check(self, topic: str) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


def failing(times: int, error: Exception) -> tuple[Handler, list[float]]:
    """A handler that raises so often, and when it was called, in seconds from now."""
    loop = asyncio.get_running_loop()
    begun, called = loop.time(), list[float]()

    async def handle(_: Outcome) -> None:
        called.append(round(loop.time() - begun, 3))
        if len(called) <= times:
            raise error

    return handle, called


def handling(
    source: Outcomes,
    handler: Handler | Callable[[Outcome], Awaitable[None]],
    log: Log | None = None,
    patience: Patience | None = None,
    concurrency: int = 1,
) -> Handling:
    letters = None if log is None else Letters(log, "results", TOPIC)
    return Handling(source, handler, letters, patience or Patience(), concurrency=concurrency)


def counts(made: Handling) -> tuple[int, int, int]:
    return made.handled, made.failed_attempts, made.dead_lettered


@pytest.mark.parametrize("values", [{"attempts_max": 0}, {"pause_s": -0.1}])
def test_less_than_one_attempt_or_a_negative_pause_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="attempts_max must be at least 1"):
        Patience(**values)  # type: ignore[arg-type]  # the settings of a service


def test_one_attempt_and_no_pause_are_allowed() -> None:
    patience = Patience(attempts_max=1, pause_s=0)
    assert patience.pause_after_s(1) == 0


def test_each_pause_is_twice_the_one_before_up_to_the_longest() -> None:
    patience = Patience(pause_s=0.5, pause_max_s=3)
    assert [patience.pause_after_s(attempt) for attempt in range(1, 6)] == [0.5, 1, 2, 3, 3]


async def test_what_fails_twice_is_handled_at_the_third_attempt() -> None:
    source, (handler, called) = Outcomes([delivery("a"), delivery("b")]), failing(2, ValueError())
    made = handling(source, handler, Log())
    assert counts(made) == (0, 0, 0)
    await made.run()
    assert called == [0, 0.5, 1.5, 1.5]
    assert counts(made) == (2, 2, 0)
    assert (source.handled, source.given_back) == (["a", "b"], [])


async def test_what_fails_every_time_becomes_a_dead_letter_that_says_where_it_stood() -> None:
    source, log = Outcomes([delivery(run=2)]), Log()
    handler, called = failing(9, ValueError("secret"))
    made = handling(source, handler, log, Patience(attempts_max=3, pause_s=1))
    await made.run()
    assert called == [0, 1, 3]
    assert counts(made) == (0, 3, 1)
    assert source.handled == ["a"]
    (record,) = log.written
    letter = decode_dead_letter(record.key, record.value, record.headers)
    assert (letter.reason, letter.attempts, letter.run) == ("handler_failed", 3, 2)
    assert (record.key, record.value, letter.headers) == (b"a", b"{}", (("x", b"y"),))
    assert (names.ERROR_TYPE, b"ValueError") in record.headers


async def test_a_refusal_is_not_tried_again() -> None:
    source, log = Outcomes([delivery()]), Log()
    handler, called = failing(9, Refused())
    await handling(source, handler, log).run()
    assert called == [0]
    assert (source.handled, source.given_back) == (["a"], []), "its offset is done"
    (record,) = log.written
    assert decode_dead_letter(record.key, record.value, record.headers).reason == "handler_refused"


async def test_a_dead_letter_waits_for_a_kafka_that_is_away() -> None:
    source, log = Outcomes([delivery()]), Log(away=2)
    handler, _ = failing(9, Refused())
    made = handling(source, handler, log)
    await made.run()
    assert (len(log.written), log.timeouts_s, made.dead_lettered) == (1, [30.0] * 3, 1)


async def test_a_dead_letter_fits_a_message_whatever_its_outcome_weighs() -> None:
    heaviest = b"x" * (MESSAGE_BYTES_MAX - BATCH_OVERHEAD_BYTES)
    source, log = Outcomes([delivery(value=heaviest)]), Log()
    handler, _ = failing(9, Refused())
    await handling(source, handler, log).run()
    (record,) = log.written
    assert record.value is not None
    assert (record.value == heaviest[: len(record.value)], len(record.value) < len(heaviest)) == (True, True)
    assert record.bytes_max <= MESSAGE_BYTES_MAX


async def test_without_a_topic_for_them_the_last_exception_ends_the_run_and_the_outcome_comes_again() -> None:
    source = Outcomes([delivery("a"), delivery("b")])
    handler, _ = failing(9, KeyError("gone"))
    with pytest.raises(KeyError, match="gone"):
        await handling(source, handler, patience=Patience(attempts_max=2)).run()
    assert (source.handled, source.given_back) == ([], ["a"])


async def test_what_waits_for_its_next_attempt_when_the_reader_stops_comes_again() -> None:
    source = Outcomes([delivery()])
    handler, called = failing(9, ValueError())
    made = handling(source, handler, Log(), Patience(pause_s=10))
    running = asyncio.create_task(made.run())
    await asyncio.sleep(1)
    source.stopping.set()
    await running
    assert (called, source.handled, source.given_back) == ([0], [], ["a"])
    assert counts(made) == (0, 1, 0)


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_no_more_are_handled_at_once_than_allowed(concurrency: int) -> None:
    source, at_once, most, named = Outcomes([delivery(name) for name in "abcdef"]), 0, 0, set[str]()

    async def handle(_: Outcome) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        task = asyncio.current_task()
        assert task is not None
        named.add(task.get_name())
        await asyncio.sleep(1)
        at_once -= 1

    begun = asyncio.get_running_loop().time()
    await handling(source, handle, concurrency=concurrency).run()
    assert most == concurrency
    assert asyncio.get_running_loop().time() - begun == pytest.approx(6 / concurrency)
    assert named == {f"handle {name}" for name in "abcdef"}
    assert sorted(source.handled) == [*"abcdef"]


def test_fewer_than_one_at_once_is_refused() -> None:
    handler: Handler = delivery  # type: ignore[assignment]  # never called
    with pytest.raises(ValueError, match="concurrency"):
        handling(Outcomes([]), handler, concurrency=0)
