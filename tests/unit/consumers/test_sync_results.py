"""The readers for services without an event loop: the same rules about what is handled, in threads."""

import contextvars
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from headrace.broker.background.thread import background
from headrace.broker.errors import IdConflict, MissingTopic, WaitTimedOut
from headrace.broker.submission import submission
from headrace.broker.sync_client import SyncGenerationClient
from headrace.broker.testing import Asked, Said, SyncMemoryBroker
from headrace.consumers.handling import Refused
from headrace.consumers.sync_chunks import SyncChunkReader
from headrace.consumers.sync_dead_letters import SyncDeadLetterReader
from headrace.consumers.sync_results import SyncResultReader
from headrace.schemas.expectation import Expectation
from headrace.schemas.outcome import Outcome
from tests.unit.background.echo import BODY

LETTERS = "lead-mailer.dead-letters"


def answer(asked: Asked) -> str | Said:
    if asked.request_id == "refused":
        return Said(400, {"error": {"message": "No.", "type": "invalid_request_error", "code": "invalid_prompt"}})
    return "Dear Ada"


@pytest.fixture
def broker() -> Iterator[SyncMemoryBroker]:
    with SyncMemoryBroker(answer, topics=(LETTERS,)) as broker:
        yield broker


def ask(broker: SyncMemoryBroker, *ids: str) -> None:
    with SyncGenerationClient(connection=broker.connection) as client:
        for each in ids:
            client.outcome_of(submission({"id": each, "body": BODY}, lane="urgent"))


def reader(broker: SyncMemoryBroker, group: str | None = "mailer", **given: Any) -> SyncResultReader:
    return SyncResultReader(connection=broker.connection, group=group, **{"follow": False, **given})


def test_the_iteration_returns_each_outcome_once_and_ends_where_the_topic_did(broker: SyncMemoryBroker) -> None:
    ask(broker, "a", "b", "c")
    with reader(broker) as results:
        assert results.published_at is None
        assert sorted(outcome.id for outcome in results) == ["a", "b", "c"]
        assert (results.duplicates, results.undecodable, results.conflicts, results.made_anew) == (0, 0, 0, 0)


def test_iterating_opens_a_reader_that_is_not_open(broker: SyncMemoryBroker) -> None:
    ask(broker, "a")
    results = reader(broker)
    outcome = next(results)
    assert outcome.id == "a"
    assert results.published_at is not None
    results.close()
    results.close()


def test_an_outcome_in_hand_comes_again_and_those_before_it_do_not(broker: SyncMemoryBroker) -> None:
    ask(broker, "a")
    ask(broker, "b")
    with reader(broker) as results:
        first = next(results).id
        second = next(results).id
    with reader(broker) as again:
        assert [outcome.id for outcome in again] == [second]
    with reader(broker) as nothing:
        assert list(nothing) == []
    assert {first, second} == {"a", "b"}


def test_a_missing_topic_is_named_when_the_reader_is_opened(broker: SyncMemoryBroker) -> None:
    with pytest.raises(MissingTopic, match="acme"), reader(broker, topic="acme"):
        pass


def test_an_outcome_of_another_request_is_not_handed_out(broker: SyncMemoryBroker) -> None:
    ask(broker, "a")
    with reader(broker, expected={"a": Expectation("a", "acme")}.get) as results:
        with pytest.raises(IdConflict):
            next(results)
        assert list(results) == []
        assert results.conflicts == 1


def test_stop_in_another_thread_ends_a_wait(broker: SyncMemoryBroker) -> None:
    with reader(broker, follow=True) as results:
        timer = threading.Timer(0.05, results.stop)
        timer.start()
        assert list(results) == []
        timer.join()


def test_stop_in_a_signal_handler_ends_a_wait(broker: SyncMemoryBroker) -> None:
    with reader(broker, follow=True) as results:
        before = signal.signal(signal.SIGALRM, lambda *_: results.stop())
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        try:
            assert list(results) == []
        finally:
            signal.signal(signal.SIGALRM, before)


def test_close_in_another_thread_ends_handle_and_leaves_the_group(broker: SyncMemoryBroker) -> None:
    ask(broker, "a")
    results, handled = reader(broker, follow=True), list[str]()
    timer = threading.Timer(0.3, results.close)
    timer.start()
    done = results.handle(lambda outcome: handled.append(outcome.id), dead_letters=None)
    assert (done.handled, handled) == (1, ["a"])
    ask(broker, "b")
    with reader(broker) as another:  # of the same group: it would get no more than a share
        assert [outcome.id for outcome in another] == ["b"]


def test_close_in_another_thread_ends_following_a_stream(broker: SyncMemoryBroker) -> None:
    chunks = SyncChunkReader(connection=broker.connection)
    threading.Timer(0.3, chunks.close).start()
    assert list(chunks.follow("never", timeout_s=20)) == []


def test_close_in_another_thread_ends_a_wait(broker: SyncMemoryBroker) -> None:
    results = reader(broker, follow=True)
    timer = threading.Timer(0.05, results.close)
    timer.start()
    assert list(results) == []
    timer.join()


def test_an_interrupted_wait_loses_no_outcome(broker: SyncMemoryBroker) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with reader(broker, follow=True) as results:
        before = signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        try:
            with pytest.raises(KeyboardInterrupt):
                next(results)
        finally:
            signal.signal(signal.SIGALRM, before)
        ask(broker, "a")  # it comes to the wait that was interrupted
        assert next(results).id == "a"


# ---------------------------------------------------------------------- handle


@pytest.mark.parametrize("concurrency", [1, 4])
def test_each_outcome_is_handled_once_in_the_threads_of_the_service(broker: SyncMemoryBroker, concurrency: int) -> None:
    ask(broker, *"abcdefgh")
    threads, handled = set(), []

    def handler(outcome: Outcome) -> None:
        threads.add(threading.get_ident())
        handled.append(outcome.id)

    with reader(broker) as results:
        counts = results.handle(handler, dead_letters=None, concurrency=concurrency)
    assert (sorted(handled), counts.handled) == ([*"abcdefgh"], 8)
    assert len(threads) <= concurrency
    assert concurrency > 1 or threads == {threading.get_ident()}
    assert not any(thread.name.startswith("handle ") for thread in threading.enumerate())
    with reader(broker) as results:
        assert list(results) == []


def test_as_many_handlers_run_at_once_as_were_asked_for(broker: SyncMemoryBroker) -> None:
    ask(broker, *"abc")
    together, seen = threading.Barrier(3), list[int]()
    with reader(broker) as results:
        assert results.handle(lambda _: seen.append(together.wait(10)), dead_letters=None, concurrency=3).handled == 3


def test_a_handler_that_raises_is_called_again_and_then_the_outcome_is_a_dead_letter(broker: SyncMemoryBroker) -> None:
    ask(broker, "a", "b", "c")
    seen: list[str] = []

    def handler(outcome: Outcome) -> None:
        seen.append(outcome.id)
        if outcome.id == "a":
            raise Refused
        if outcome.id == "b":
            raise StopIteration  # no future would take it

    with reader(broker) as results:
        counts = results.handle(handler, dead_letters=LETTERS, attempts_max=2, pause_s=0)
    assert (counts.handled, counts.dead_lettered) == (1, 2)
    assert sorted(seen) == ["a", "b", "b", "c"]
    with SyncDeadLetterReader(connection=broker.connection, topic=LETTERS) as letters:
        assert (letters.topic, letters.unreadable) == (LETTERS, 0)
        assert sorted(found.letter.reason or "" for found in letters) == ["handler_failed", "handler_refused"]


def test_without_dead_letters_the_last_exception_is_raised_and_the_outcome_comes_again(
    broker: SyncMemoryBroker,
) -> None:
    ask(broker, "a")

    def handler(outcome: Outcome) -> None:
        raise ValueError(outcome.id)

    with reader(broker) as results, pytest.raises(ValueError, match="a"):
        results.handle(handler, dead_letters=None, attempts_max=1)
    with reader(broker) as results:
        assert [outcome.id for outcome in results] == ["a"]


@pytest.mark.parametrize("concurrency", [1, 2])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_exit_in_a_handler_ends_the_run_and_the_outcome_comes_again(
    broker: SyncMemoryBroker, error: type[BaseException], concurrency: int
) -> None:
    ask(broker, "a")

    def handler(_: Outcome) -> None:
        raise error

    with reader(broker) as results, pytest.raises(error):
        results.handle(handler, dead_letters=None, concurrency=concurrency)
    with reader(broker) as results:
        assert [outcome.id for outcome in results] == ["a"]


def test_stop_in_a_handler_ends_the_run_behind_it(broker: SyncMemoryBroker) -> None:
    ask(broker, "a")
    with reader(broker, follow=True) as results:
        assert results.handle(lambda _: results.stop(), dead_letters=None).handled == 1


def test_an_async_handler_is_refused_as_it_would_never_run(broker: SyncMemoryBroker) -> None:
    async def handler(outcome: Outcome) -> None:
        pass

    with pytest.raises(TypeError, match="use ResultReader"):
        reader(broker).handle(handler, dead_letters=None)  # type: ignore[arg-type]  # the point of the test
    with pytest.raises(ValueError, match="concurrency"):
        reader(broker).handle(lambda _: None, dead_letters=None, concurrency=0)


def test_a_handler_has_the_context_of_its_caller(broker: SyncMemoryBroker) -> None:
    ask(broker, "a")
    tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant")
    tenant.set("acme")
    seen: list[str] = []
    with reader(broker) as results:
        results.handle(lambda _: seen.append(tenant.get()), dead_letters=None, concurrency=2)
    assert seen == ["acme"]


# ---------------------------------------------------------------------- streams, dead letters


def test_a_stream_is_followed_to_its_end(broker: SyncMemoryBroker) -> None:
    with (
        SyncGenerationClient(connection=broker.connection) as client,
        SyncChunkReader(connection=broker.connection, ids={"lead-1"}) as chunks,
    ):
        client.submit(BODY, lane="urgent", id="lead-1", stream=True)
        assert "".join(told.text for told in chunks.follow("lead-1", timeout_s=10)) == "Dear Ada"
        assert (chunks.conflicts, chunks.undecodable, chunks.duplicates) == (0, 0, 0)
        client.submit(BODY, lane="urgent", id="lead-1b", stream=True)
        with pytest.raises(WaitTimedOut, match=r"The stream of lead-1b was not complete within 0\.05 s"):
            list(chunks.follow("lead-1b", timeout_s=0.05))


def test_all_streams_are_read_until_stop(broker: SyncMemoryBroker) -> None:
    client = SyncGenerationClient(connection=broker.connection)
    with SyncChunkReader(connection=broker.connection) as chunks:
        client.submit(BODY, lane="urgent", id="lead-1", stream=True)
        told = next(chunks)
        assert (told.chunk.id, told.begins) == ("lead-1", True)
        chunks.stop()
        assert list(chunks) == []


def test_dead_letters_are_read_to_their_end(broker: SyncMemoryBroker) -> None:
    ask(broker, "a", "refused")
    with SyncDeadLetterReader(connection=broker.connection) as letters:
        assert [found.original().id for found in letters] == ["refused"]
    assert not background().is_here
