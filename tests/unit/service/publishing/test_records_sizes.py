"""What is published fits its topic, in the form that it needs: whole, without its copy, or smaller."""

from dataclasses import replace

import pytest

from headrace.broker.core.answers.rate_limit_headers import LimitMetric
from headrace.broker.core.bounds import (
    CAUTIOUS_BATCH_MAX,
    LEVELS_A_LINE_MAX,
    OUTCOMES_PER_TRANSACTION_MAX,
    STARTED_A_LINE_MAX,
)
from headrace.broker.core.budget.budget import Checkpoint
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.commands import (
    AttemptEntry,
    Complete,
    DeadLetterOnly,
    Decision,
    Discard,
    Fail,
    Form,
    SettledEntry,
    Settlement,
    Withdraw,
)
from headrace.broker.core.endpoints import Law
from headrace.broker.core.identity import pending_cancels as cancels
from headrace.broker.core.identity.dedupe import Fate, Identity
from headrace.broker.core.identity.outcome_index import RENEWALS_MAX
from headrace.broker.core.pricing.laws import PRICE_MAX
from headrace.broker.core.pricing.references import ReferenceKind
from headrace.broker.core.ticket import Source
from headrace.broker.ports import SENT_BYTES_MAX, Outgoing
from headrace.broker.settings.fitting import OUTCOME_BYTES_MIN
from headrace.schemas.codec import decode_dead_letter, decode_outcome
from headrace.schemas.control import Cancel
from headrace.schemas.outcome import Failed
from headrace.schemas.request_codec import DecodedRequest
from tests.unit.service.publication_rig import BATCH, LANE, Rig, headers


@pytest.mark.parametrize("size", [10, 900_000, 5_000_000])
def test_a_dead_letter_fits_its_topic_whatever_was_taken(size: int) -> None:
    rig = Rig()
    rig.cargo(b"x" * size, b"k" * (size // 10), (("h", b"v" * (size // 10)),))
    (letter,) = rig.published(DeadLetterOnly("undecodable", "No."))
    assert letter.record.bytes_max <= 1024 * 1024
    dead = decode_dead_letter(letter.record.key, letter.record.value, letter.record.headers)
    assert dead.original_length in {None, size}


def test_a_failed_outcome_is_small_however_large_the_request_was() -> None:
    rig = Rig()
    cargo = rig.request(metadata={"x": "y" * 400_000}, body={"model": "m" * 300_000})
    cargo.error = {"message": "z" * 2_000}
    outcome, _ = rig.published(Fail("invalid_request", "No."))
    assert outcome.record.bytes_max < 16_000


def test_an_outcome_that_does_not_fit_its_topic_is_one_that_says_so() -> None:
    rig = Rig(topics={"results": {"max_message_bytes": 100_000}})
    cargo = rig.request()
    cargo.response = {"text": "ü" * 60_000}
    (outgoing,) = rig.published(Complete())
    failed = decode_outcome(outgoing.record.value, outgoing.record.headers)
    assert isinstance(failed, Failed)
    assert failed.reason == "too_large_for_topic"
    assert (failed.id, failed.lane, failed.attempts, failed.term) == ("lead-1", "standard", 2, 7)


def reduced(rig: Rig, decision: Decision, form: Form) -> list[Outgoing]:
    (number,) = rig.hold.cargo
    *outgoing, _ = rig.publication.records(replace(BATCH, settlements=(Settlement(number, decision, form),)), 7)
    return outgoing


HEAVY = Fail("exhausted", "Gave up. " * 1_000)


@pytest.mark.parametrize(
    ("form", "topics_written"),
    [
        (Form.SMALL, ["t.results", "t.dead-letters"]),
        (Form.BARE, ["t.results", "t.dead-letters"]),
        (Form.LETTER, ["t.dead-letters"]),
    ],
)
def test_a_failure_in_a_smaller_form_says_no_more_than_it_must(form: Form, topics_written: list[str]) -> None:
    rig = Rig()
    cargo = rig.request(metadata={"x": "y" * 1_000}, body={"model": "m" * 200})
    cargo.error = {"message": "z" * 1_000}
    written = reduced(rig, HEAVY, form)
    assert [each.topic for each in written] == topics_written
    letter = written[-1].record
    told = decode_dead_letter(letter.key, letter.value, letter.headers)
    assert told.reason == ("unpublishable" if form is Form.LETTER else "exhausted")
    assert (told.value == cargo.record.value) is (form is Form.SMALL)
    assert form is Form.SMALL or (told.key, told.original_length) == (None, len(cargo.record.value or b""))
    if form is not Form.LETTER:
        outcome = written[0].record
        failed = decode_outcome(outcome.value, outcome.headers)
        assert isinstance(failed, Failed)
        assert (failed.id, failed.reason, failed.metadata, failed.error) == ("lead-1", "exhausted", {}, None)
        assert (failed.attempts, failed.term, failed.lane) == (2, 7, "standard")
        assert outcome.bytes_max < 2_500


@pytest.mark.parametrize("form", [Form.SMALL, Form.BARE, Form.LETTER])
def test_a_dead_letter_in_a_smaller_form_has_no_content(form: Form) -> None:
    rig = Rig()
    rig.cargo(b"no request", b"key", (("h", b"v"),))
    (letter,) = reduced(rig, DeadLetterOnly("undecodable", "No."), form)
    told = decode_dead_letter(letter.record.key, letter.record.value, letter.record.headers)
    assert (told.key, told.value, told.headers, told.original_length) == (None, b"", (), 10)
    assert told.reason == "undecodable"


def test_a_cancelled_request_in_a_smaller_form_has_a_dead_letter_only_if_it_has_no_outcome() -> None:
    rig = Rig()
    rig.request()
    cancelled = Fail("cancelled", "Cancelled.")
    assert [each.topic for each in reduced(rig, cancelled, Form.SMALL)] == ["t.results"]
    assert [each.topic for each in reduced(rig, cancelled, Form.LETTER)] == ["t.dead-letters"]


def test_a_withdrawal_in_a_smaller_form_is_still_one() -> None:
    rig = Rig()
    cargo = rig.cargo(b"{}")
    cargo.content = Cancel(id="lead-1")
    (outcome,) = reduced(rig, Withdraw(0, 3, "Cancelled."), Form.SMALL)
    failed = decode_outcome(outcome.record.value, outcome.record.headers)
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.attempts) == ("cancelled", 3)


def test_what_writes_nothing_but_a_copy_writes_nothing_without_it() -> None:
    rig = Rig(replies={"allow": ["acme.answers"]})
    rig.request(reply_to="acme.answers")
    for form in (Form.UNCOPIED, Form.SMALL):
        assert reduced(rig, Discard(returned=True), form) == []


def test_an_outcome_without_its_copy_says_so() -> None:
    rig = Rig(replies={"allow": ["acme.answers"]})
    rig.request(reply_to="acme.answers").response = {}
    (outcome,) = reduced(rig, Complete(), Form.UNCOPIED)
    assert outcome.topic == "t.results"
    assert headers(outcome)["headrace-reply-dropped"] == "acme.answers refused the copy"


@pytest.mark.slow
def test_an_outcome_is_sized_with_its_last_header() -> None:
    rig = Rig(topics={"results": {"max_message_bytes": 100_000}}, replies={"allow": ["acme.answers"]})
    cargo = rig.request(reply_to="acme.answers")
    room = 100_000 - 1_024
    for text in range(room - 1_500, room):
        cargo.response = {"text": "x" * text}
        (outgoing,) = rig.published(Complete())
        assert outgoing.record.bytes_max <= room
        if decode_outcome(outgoing.record.value, outgoing.record.headers).status == "failed":
            return
    raise AssertionError("none was too large")


def test_no_header_of_a_request_makes_its_outcome_too_large() -> None:
    rig = Rig(topics={"results": {"max_message_bytes": OUTCOME_BYTES_MIN}})
    cargo = rig.request()
    assert isinstance(cargo.content, DecodedRequest)
    cargo.content = replace(cargo.content, traceparent="x" * OUTCOME_BYTES_MIN)
    cargo.response = {}
    (outgoing,) = rig.published(Complete())
    assert outgoing.record.bytes_max <= OUTCOME_BYTES_MIN - 1_024
    assert "traceparent" not in headers(outgoing)


def test_no_record_is_larger_than_the_client_sends() -> None:
    rig = Rig(topics={"results": {"max_message_bytes": 10_000_000}, "dead_letters": {"max_message_bytes": 10_000_000}})
    cargo = rig.request()
    cargo.response = {"text": "x" * 3_000_000}
    (outgoing,) = rig.published(Complete())
    assert outgoing.record.bytes_max <= SENT_BYTES_MAX
    rig = Rig(topics={"dead_letters": {"max_message_bytes": 10_000_000}})
    rig.cargo(b"x" * 3_000_000)
    (letter,) = rig.published(DeadLetterOnly("undecodable", "No."))
    assert letter.record.bytes_max <= SENT_BYTES_MAX


def test_the_largest_line_of_the_ledger_fits_its_topic() -> None:
    rig = Rig()
    everybody = Identity(b"\xff" * 16, 65_535, b"\xff" * 8)
    name = "\U0001f4a9" * 256  # written as two escapes, twelve bytes
    level = LevelBounds(LimitMetric.TOKENS, 10**18, 10**18, 10**18, 10**18)
    checkpoint = Checkpoint(
        limit=name,
        at_ms=0,
        levels=(level, replace(level, metric=LimitMetric.REQUESTS)),
        charged_last_minute=10**18,
        pause_ms=10**18,
        markup_ppm=10**18,
        laws={
            endpoint: max(Law, key=lambda law: len(law.value))
            for endpoint in ("chat/completions", "responses", "embeddings")
        },
        tolerated_burst_tokens=10**18,
        burst_ceiling_tokens=10**18,
        measured_tokens_per_minute=10**18,
        unshown={kind.value: PRICE_MAX for kind in ReferenceKind},
    )
    batch = replace(
        BATCH,
        settled=(SettledEntry(everybody, 255, Fate.WITHDRAWN),) * (OUTCOMES_PER_TRANSACTION_MAX + RENEWALS_MAX),
        started=(AttemptEntry(everybody, 255),) * STARTED_A_LINE_MAX,
        levels=(checkpoint,) * LEVELS_A_LINE_MAX,
        cancels=(cancels.CancelRecord(b"\xff" * 16, 2**63),) * (OUTCOMES_PER_TRANSACTION_MAX + RENEWALS_MAX),
        suspects=(Source(LANE, 10**18),) * CAUTIOUS_BATCH_MAX,
        ended=(AttemptEntry(everybody, 255),) * STARTED_A_LINE_MAX,
    )
    (line,) = rig.publication.records(batch, 10**9)
    assert line.record.bytes_max <= 1024 * 1024 - 1_024
