"""The dead letters of the retrier."""

from datetime import UTC, datetime

from headrace.broker.clock import WallClock
from headrace.consumers.retries.dead_letter_writer import DeadLetterWriter
from headrace.schemas.codec import decode_dead_letter
from headrace.schemas.dead_letter import DeadLetter, Origin
from headrace.schemas.record import Record

NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
ORIGIN = Origin("t.failures", 1, 7)
RECORD = Record(b"key", b"value", (("x", b"y"),))


def letters() -> DeadLetterWriter:
    return DeadLetterWriter("t", WallClock(lambda: 0.0, lambda: NOW), bytes_max=1_000_000)


def read(record: Record) -> DeadLetter:
    return decode_dead_letter(record.key, record.value, record.headers)


def test_a_rotten_record_is_kept_as_it_was_and_without_content_if_that_is_refused() -> None:
    letter = read(letters().undecodable(ORIGIN, RECORD).record)
    assert (letter.reason, letter.origin, letter.key, letter.value) == ("undecodable", ORIGIN, b"key", b"value")
    bare = read(letters().undecodable(ORIGIN, RECORD, bare=True).record)
    assert (bare.reason, bare.origin, bare.value) == ("undecodable", ORIGIN, b"")


def test_a_request_that_its_lane_refuses_says_its_run_and_attempts() -> None:
    for bare, value in ((False, b"value"), (True, b"")):
        made = letters().unpublishable(ORIGIN, RECORD, run=3, attempts=2, bare=bare)
        letter = read(made.record)
        assert (letter.reason, letter.run, letter.attempts, letter.value) == ("unpublishable", 3, 2, value)
        assert letters().reason_of(made) == "unpublishable"


def test_what_is_lost_names_its_first_offset() -> None:
    letter = read(letters().lost(ORIGIN).record)
    assert (letter.reason, letter.origin, letter.value, letter.run) == ("lost_by_retention", ORIGIN, None, 0)


def test_each_says_what_was_wrong() -> None:
    made = letters()
    refused = made.unpublishable(ORIGIN, RECORD, run=0, attempts=0, bare=True)
    every = [made.undecodable(ORIGIN, RECORD), refused, made.lost(ORIGIN), made.lost(ORIGIN, "undecodable")]
    said = [read(each.record).message for each in every]
    assert len(set(said)) == len(said)
    assert all(each.endswith(".") for each in said)
    assert ["Retention" in each for each in said] == [False, False, True, False]
    assert ["cannot be read" in each for each in said] == [False, False, False, True]
