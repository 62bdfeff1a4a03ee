"""Tests of the tasks, run eagerly, and of the reader, on the real dispatcher in memory."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from celery.result import AsyncResult

from celery_app.app import app
from celery_app.emails import body_of, request_id_of
from celery_app.reader import hand_over, reader
from celery_app.tasks import generations, request_email, write_email
from headrace import InvalidRequest, SyncGenerationClient
from headrace.broker.testing import Answer, Asked, Said, SyncMemoryBroker

EAGER = {
    "task_always_eager": True,
    "task_eager_propagates": True,
    "task_store_eager_result": True,
    "result_backend": "cache+memory://",
}


@contextmanager
def celery_on(answer: Callable[[Asked], Answer] | None = None) -> Iterator[SyncMemoryBroker]:
    with SyncMemoryBroker(answer) as broker:
        app.conf.update(EAGER, headrace_connection=broker.connection)
        generations.cache_clear()
        yield broker
        generations().close()


def handed_over() -> None:
    """All outcomes that there are now."""
    with reader(follow=False) as results:
        hand_over(results)


def test_a_task_that_waits_returns_the_email() -> None:
    with celery_on(lambda _asked: "Dear Ada") as broker:
        assert write_email.delay("17", "Ada").get() == {"text": "Dear Ada", "reason": None}
        assert len(broker.calls) == 1


def test_a_task_that_runs_again_after_its_worker_died_costs_no_second_call() -> None:
    with celery_on(lambda _asked: "Dear Ada") as broker:
        found = [write_email.delay("17", "Ada").get() for _ in range(3)]
        request_email.delay("17", "Ada").get()
        assert found == 3 * [{"text": "Dear Ada", "reason": None}]
        assert len(broker.calls) == 1


def test_a_request_ends_in_a_task_with_its_result() -> None:
    def answer(asked: Asked) -> Answer:
        error = {"error": {"message": "Invalid prompt", "code": "invalid_prompt", "type": "x"}}
        return Said(400, error) if asked.request_id.endswith("/18") else "Dear Ada"

    with celery_on(answer) as broker:
        for lead_id in ("17", "18"):
            request_email.delay(lead_id, "Ada")
        wait_for(lambda: len(broker.outcomes) == 2)
        handed_over()
        results = [AsyncResult(f"{request_id_of(lead_id)}.0", app=app).get() for lead_id in ("17", "18")]
    assert results == [
        {"lead": "17", "run": 0, "text": "Dear Ada", "reason": None},
        {"lead": "18", "run": 0, "text": None, "reason": "rejected"},
    ]


def test_a_celery_broker_that_is_away_loses_no_outcome() -> None:
    with celery_on() as broker:
        request_email.delay("19", "Ada")
        wait_for(lambda: len(broker.outcomes) == 1)
        with reader(follow=False) as results, pytest.raises(ConnectionError):
            results.handle(_away, dead_letters=None, attempts_max=2, pause_s=0.001)
        handed_over()
        assert AsyncResult(f"{request_id_of('19')}.0", app=app).get()["lead"] == "19"


def _away(_outcome: object) -> None:
    raise ConnectionError


def test_an_outcome_of_another_service_starts_no_task() -> None:
    with celery_on() as broker, SyncGenerationClient(connection=broker.connection) as others:
        others.generate(body_of("Bob"), lane="urgent", tenant="acme", id="something-else")
        others.generate(body_of("Bob"), lane="urgent", tenant="acme", id=request_id_of("20"))
        handed_over()
        assert AsyncResult(f"{request_id_of('20')}.0", app=app).state == "PENDING"


def test_what_is_refused_before_it_is_sent_is_not_retried() -> None:
    with celery_on() as broker:
        with pytest.raises(InvalidRequest):
            write_email.delay("x" * 200, "Ada").get()
        assert broker.calls == []


def wait_for(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.005)  # a poll: the reader works in a thread of its own, and gives no notice
