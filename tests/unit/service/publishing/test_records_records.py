"""What stands in the records of a transaction, field by field: copies, parked requests, dead letters."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from headrace.broker.clock import WallClock
from headrace.broker.core.answers.base_url import Addressee
from headrace.broker.core.commands import (
    Complete,
    DeadLetterOnly,
    Decision,
    Discard,
    Fail,
    Form,
    Park,
    Settlement,
    Withdraw,
)
from headrace.broker.core.identity.dedupe import Overdue
from headrace.broker.core.requests.triage import WITHDRAWN
from headrace.broker.ports import Outgoing
from headrace.broker.service.calls.base_url_proof import Proof
from headrace.broker.service.intake.grants import GrantKey
from headrace.broker.service.publishing.records import _fits
from headrace.schemas import topics
from headrace.schemas.codec import decode_dead_letter, decode_failure, decode_outcome
from headrace.schemas.dead_letter import DeadLetter
from headrace.schemas.outcome import Failed, Outcome
from headrace.schemas.record import Record
from headrace.schemas.request_codec import DecodedRequest, Undecodable
from tests.unit.core.specimens import identity
from tests.unit.service.publication_rig import BATCH, NOW, Rig, headers, publication_of
from tests.unit.service.publishing.test_records import asked
from tests.unit.service.rig import bookkeeping_of

REPLIES = "crm.replies"
KEY = GrantKey("c2VjcmV0", 5)


class Granting:
    """`Grants` that say what they were asked."""

    def for_step(self) -> GrantKey:
        return KEY

    def grant(self, request_id: str, run: int) -> str:
        return f"{request_id}#{run}"


class Copying:
    """`Replies` that serve one topic, which is in no trouble."""

    def serves(self, topic: str | None) -> bool:
        return topic == REPLIES

    def hindrance(self, topic: str, record: Record, *, copied: bool = True) -> str:
        assert (topic, record.bytes_max > 0) == (REPLIES, True)
        return "" if copied else "refused the copy"


class Bench(Rig):
    def __init__(self, **groups: Any) -> None:
        super().__init__(**groups)
        self.loop_s = 100.0
        self.told: list[BaseException] = []
        clock = WallClock(lambda: self.loop_s, lambda: NOW)
        replies, grants, self.addressee = Copying(), Granting(), Addressee()
        self.publication = publication_of(
            self.settings,
            self.hold,
            clock,
            replies,
            contained=self._contained,
            grants=grants,
            proof=Proof(self.addressee, "https://api.openai.com/v1", clock, window_ms=4),
            bookkeeping=bookkeeping_of(self.kafka, clock),
        )

    def _contained(self, step: str, error: BaseException | None = None, **_place: str | int | None) -> None:
        assert error is not None, step
        self.told.append(error)

    def made(self, decision: Decision, form: Form = Form.WHOLE) -> list[Outgoing]:
        """What one decision on the only cargo writes, in that form, with no exception contained."""
        outgoing = self.contained_or_made(decision, form)
        assert not self.told
        return outgoing

    def contained_or_made(self, decision: Decision, form: Form = Form.WHOLE) -> list[Outgoing]:
        (number,) = self.hold.cargo
        *outgoing, _ = self.publication.records(replace(BATCH, settlements=(Settlement(number, decision, form),)), 7)
        return outgoing


def outcome_of(outgoing: Outgoing) -> Outcome:
    return decode_outcome(outgoing.record.value, outgoing.record.headers)


def letter_of(outgoing: Outgoing) -> DeadLetter:
    assert outgoing.topic == "t.dead-letters"
    return decode_dead_letter(outgoing.record.key, outgoing.record.value, outgoing.record.headers)


# ---------------------------------------------------------------------------------------------------- copies


@pytest.mark.parametrize("asked_for", [REPLIES, "crm.elsewhere", None])
def test_an_outcome_has_a_copy_where_its_request_asked_for_one_that_is_served(asked_for: str | None) -> None:
    bench = Bench()
    fields = {} if asked_for is None else {"reply_to": asked_for}
    bench.request(**fields).response = {}
    written = bench.made(Complete())
    assert [each.topic for each in written] == ([REPLIES] if asked_for == REPLIES else []) + ["t.results"]
    assert written[0].record == written[-1].record


@pytest.mark.parametrize(("asked_for", "copies"), [(REPLIES, 1), ("crm.elsewhere", 0), (None, 0)])
def test_so_has_that_of_a_record_that_is_no_request(asked_for: str | None, copies: int) -> None:
    bench = Bench()
    cargo = bench.request()
    cargo.content = Undecodable("No body.", "lead-1", run=2, reply_to=asked_for)
    assert [each.topic for each in bench.made(Fail("invalid_request", "No body."))].count(REPLIES) == copies


def test_without_its_copy_an_outcome_says_why_in_each_kind() -> None:
    for decision in (Complete(), Fail("rejected", "No.")):
        bench = Bench()
        bench.request(reply_to=REPLIES).response = {}
        written = bench.made(decision, Form.UNCOPIED)
        assert headers(written[0])["headrace-reply-dropped"] == f"{REPLIES} refused the copy"
        assert REPLIES not in [each.topic for each in written]


def test_a_withdrawal_has_no_copy_for_the_cancel_does_not_know_where() -> None:
    bench = Bench()
    asked(bench)
    (outgoing,) = bench.made(Withdraw(2, 3, "Cancelled."))
    assert outgoing.topic == "t.results"
    expected = Failed(id="lead-1", run=2, reason="cancelled", message="Cancelled.", attempts=3, term=7)
    assert outcome_of(outgoing) == expected


@pytest.mark.parametrize(("overdue", "reason"), [(False, "cancelled"), (True, "deadline_exceeded")])
def test_a_copy_that_comes_back_late_tells_the_topic_that_its_request_asked_for(overdue: bool, reason: str) -> None:  # noqa: FBT001 — the row of a table
    bench = Bench()
    bench.request(reply_to=REPLIES)
    copy, *letters = bench.made(Discard(returned=True, overdue=overdue))
    assert copy.topic == REPLIES
    told = outcome_of(copy)
    assert isinstance(told, Failed)
    assert (told.id, told.reason, told.term) == ("lead-1", reason, 7)
    assert overdue or told.message == WITHDRAWN
    assert [letter_of(each).reason for each in letters] == ([reason] if overdue else [])


def test_a_copy_that_comes_back_late_leaves_its_dead_letter_where_the_topic_refuses() -> None:
    bench = Bench()
    bench.request(reply_to=REPLIES)
    assert bench.made(Discard(returned=True), Form.UNCOPIED) == []
    (letter,) = bench.made(Discard(returned=True, overdue=True), Form.UNCOPIED)
    assert letter_of(letter).reason == "deadline_exceeded"


# ---------------------------------------------------------------------------------------------------- smaller forms


def test_a_withdrawal_in_a_smaller_form_says_the_same() -> None:
    bench = Bench()
    asked(bench)
    (whole,) = bench.made(Withdraw(2, 3, "Cancelled."))
    (small,) = bench.made(Withdraw(2, 3, "Cancelled."), Form.SMALL)
    assert outcome_of(small) == outcome_of(whole)


def test_what_is_buried_in_a_smaller_form_leaves_one_letter_and_what_is_discarded_nothing() -> None:
    bench = Bench()
    bench.request()
    (letter,) = bench.made(DeadLetterOnly("id_conflict", "Taken."), Form.SMALL)
    assert (letter_of(letter).reason, letter_of(letter).value) == ("id_conflict", b"")
    assert letter_of(letter).message == "Taken."
    assert bench.made(Discard(returned=True, overdue=True), Form.SMALL) == []


# ---------------------------------------------------------------------------------------------------- sizes


def with_trace(results_bytes: int) -> tuple[Bench, Any]:
    bench = Bench(topics={"results": {"max_message_bytes": results_bytes}})
    trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    cargo = bench.cargo(b'{"id": "lead-1", "body": {"model": "m"}}', None, (("traceparent", trace),))
    cargo.response = {"text": ""}
    return bench, cargo


def test_an_outcome_may_be_as_large_as_its_topic_takes_and_no_larger() -> None:
    bench, cargo = with_trace(100_000)
    (empty,) = bench.made(Complete())
    results_max = _fits(bench.settings.topics.results.max_message_bytes)
    room = results_max - empty.record.bytes_max
    cargo.response = {"text": "x" * room}
    (full,) = bench.made(Complete())
    assert (full.record.bytes_max, outcome_of(full).status) == (results_max, "completed")
    cargo.response = {"text": "x" * (room + 1)}
    (short,) = bench.made(Complete())
    assert outcome_of(short).status == "failed"
    assert "traceparent" in headers(short)


# ---------------------------------------------------------------------------------------------------- what is parked


def test_a_parked_request_says_which_run_it_is_and_why_it_waits() -> None:
    bench = Bench()
    deadline = datetime(2026, 12, 2, 9, tzinfo=UTC)
    cargo = bench.request(deadline=deadline.isoformat())
    assert isinstance(cargo.content, DecodedRequest)
    cargo.content = replace(cargo.content, run=3)
    (outgoing,) = bench.made(Park("rate_limited", "Full.", 160_000, attempts=3, failures=1))
    failure = decode_failure(outgoing.record.value, outgoing.record.headers)
    assert (failure.run, failure.message, failure.lane) == (3, "Full.", "standard")
    assert datetime.fromisoformat(failure.request["deadline"]) == deadline


# ---------------------------------------------------------------------------------------------------- dead letters


def test_a_dead_letter_says_run_and_calls_and_grants_the_next_run() -> None:
    bench = Bench()
    cargo = bench.request()
    assert isinstance(cargo.content, DecodedRequest)
    cargo.content = replace(cargo.content, run=3, attempt=2)
    letter = letter_of(bench.made(Fail("rejected", "No."))[-1])
    assert (letter.run, letter.attempts, letter.grant, letter.message) == (3, 3, "lead-1#4", "No.")
    cargo.content, cargo.calls = Undecodable("No body.", "lead-1", run=3), 0
    letter = letter_of(bench.made(Fail("invalid_request", "No."))[-1])
    assert (letter.run, letter.attempts, letter.grant) == (3, 0, "lead-1#4")
    cargo.content = Undecodable("No id.")
    letter = letter_of(bench.made(DeadLetterOnly("undecodable", "No."))[-1])
    assert (letter.run, letter.attempts, letter.grant) == (0, 0, None)


def test_that_of_a_control_record_or_a_lost_range_is_of_no_run() -> None:
    for lost in (False, True):
        bench = Bench()
        cargo = asked(bench)
        cargo.content = None if lost else cargo.content
        letter = letter_of(bench.made(DeadLetterOnly("undecodable", "No.", range(3, 7) if lost else None))[0])
        assert (letter.run, letter.attempts, letter.grant) == (0, 0, None)


def test_an_overdue_request_has_an_outcome_and_a_letter_by_its_id_alone() -> None:
    bench = Bench()
    overdue = Overdue(identity("lead-1", run=3), 2, 900, "lead-1")
    outcome, letter, _ = bench.publication.records(replace(BATCH, overdue=(overdue,)), 7)
    told = outcome_of(outcome)
    assert isinstance(told, Failed)
    assert (told.id, told.run, told.reason, told.attempts, told.term) == ("lead-1", 3, "deadline_exceeded", 2, 7)
    assert told.message == "The request was parked, and had not come back long after its deadline."
    read = letter_of(letter)
    assert (read.reason, read.run, read.attempts, read.value) == ("deadline_exceeded", 3, 2, None)
    assert str(read.origin) == f"{topics.failures_topic('t')}/-1/-1"
    assert read.message == told.message
