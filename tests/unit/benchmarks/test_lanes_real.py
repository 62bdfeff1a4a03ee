"""What the rows with real services are made of, as far as it needs none; and the desk that decisions are timed at."""

import os
from datetime import UTC, datetime, timedelta

from benchmarks.lanes.backlog import PLACE, template
from benchmarks.lanes.cost import Desk
from benchmarks.lanes.pair import Leader, status_url
from benchmarks.lanes.really import Seen, note
from headrace.schemas.outcome import Failed, FailureReason, Timings
from headrace.schemas.request_codec import DecodedRequest, decode_request


def test_records_of_the_backlog_are_requests_with_ids_of_their_own() -> None:
    value, headers = template()
    assert value.count(PLACE) == 1
    for number in (0, 999_999):
        read = decode_request(value.replace(PLACE, b"%010d" % number), headers)
        assert isinstance(read, DecodedRequest)
        assert read.request.id == f"backlog-{number:010}"


def test_where_a_dispatcher_listens_is_read_from_its_log_whatever_else_stands_there() -> None:
    log = 'Traceback\n{"event": "starting"}\n{"event": "listening", "port": 8123}\n'
    assert status_url(log) == "http://127.0.0.1:8123/status"
    assert status_url(log.replace("listening", "leading")) is None


def test_memory_is_that_of_the_process() -> None:
    assert 1_000_000 < Leader(os.getpid(), "").resident_bytes < 1 << 40


def test_a_wait_is_from_the_kafka_timestamp_to_the_first_call_and_none_without_a_call() -> None:
    seen, came = Seen(), datetime(2026, 1, 2, tzinfo=UTC)
    failed = Failed(id="x", reason=FailureReason.CANCELLED, message="")
    for called in (came + timedelta(milliseconds=40), None):
        timings = Timings(submitted_at=came, taken_at=came + timedelta(milliseconds=5), called_at=called)
        note(failed.model_copy(update={"timings": timings}), seen)
    assert (seen.waits_ms, seen.taken_ms) == ([40.0], [5.0])


def test_as_many_wait_after_a_decision_as_before() -> None:
    desk = Desk(60, 7)
    assert desk.decide(50) > 0
    assert desk.limits.waiting() == 60
