"""From a record to what the core must know of it; nothing raises, whatever a producer sent."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headrace.broker.adapters.tiktoken_counter import TiktokenCounter
from headrace.broker.clock import WallClock
from headrace.broker.core.endpoints import ENDPOINT_TABLE, Law
from headrace.broker.core.identity.dedupe import Identity
from headrace.broker.core.pricing.references import ReferenceKind
from headrace.broker.core.ticket import Candidate, Garbage
from headrace.broker.ports import TokenCounter
from headrace.broker.service.intake.pricer import Pricer
from headrace.broker.testing.counter import RoughCounter
from headrace.schemas.ids import fingerprint, id_hash
from headrace.schemas.instants import to_wire
from headrace.schemas.record import Record
from headrace.schemas.request_codec import DecodedRequest, Undecodable
from tests.unit.service.rig import grants_of, settings_of

WALL = datetime(2026, 12, 1, 9, tzinfo=UTC)
LOOP_MS = 1_000_000
DAY = timedelta(days=1)


def pricer(counter: TokenCounter | None = None, **groups: Any) -> Pricer:
    """Every run is believed."""
    clock = WallClock(lambda: LOOP_MS / 1_000, lambda: WALL)
    return Pricer(settings_of(**groups), counter or RoughCounter(), clock, grants_of(clock, every_run=True))


def record(headers: tuple[tuple[str, bytes], ...] = (), **fields: Any) -> Record:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "12345678"}]}
    return Record(None, json.dumps({"id": "lead-1", "body": body} | fields).encode(), headers)


def read(
    taken: Record, lane: str = "standard", submitted_at: datetime = WALL, priced: Pricer | None = None
) -> tuple[DecodedRequest | Undecodable, Candidate | Garbage]:
    return (priced or pricer()).read(lane, taken, submitted_at)


def candidate(taken: Record, **how: Any) -> Candidate:
    _, known = read(taken, **how)
    assert isinstance(known, Candidate)
    return known


# ---------------------------------------------------------------------------------------------------- who


def test_a_request_is_known_by_id_run_and_content() -> None:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "12345678"}]}
    known = candidate(
        record((("headrace-run", b"2"), ("headrace-attempt", b"3"), ("headrace-failures", b"1")), tenant="acme")
    )
    assert known.identity == Identity(id_hash("lead-1"), 2, fingerprint("acme", "chat.completions", body))
    assert (known.calls_before, known.failures) == (2, 1)
    assert (known.attempt, known.model, known.limit, known.refusal) == (3, "gpt-4o-mini", "gpt-4o-mini", None)


@pytest.mark.parametrize("tier", ["flex", None])
def test_a_request_belongs_to_the_service_tier_that_it_asks_for(tier: str | None) -> None:
    asked = {} if tier is None else {"service_tier": tier}
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "12345678"}], **asked}
    assert candidate(record(body=body)).tier == (tier or "")


def test_a_dated_model_draws_from_the_limit_that_claims_it() -> None:
    body = {"model": "gpt-4o-mini-2024-07-18"}
    assert candidate(record(body=body)).limit == "gpt-4o-mini"
    assert candidate(record(body=body)).model == "gpt-4o-mini-2024-07-18"


def test_a_long_context_draws_from_a_limit_of_its_own_and_carries_its_input() -> None:
    long = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "lead " * 140_000}]}
    known = candidate(record(body=long), priced=pricer(limits={"gpt-4.1": {"charge_law": "documented"}}))
    assert known.limit == "gpt-4.1:long-context"
    assert known.prices.laws == (Law.DOCUMENTED,)
    assert known.prices.input_tokens > 128_000
    pictures = [{"type": "image_url", "image_url": {"url": "https://x.example/1.png"}}] * 2
    seen = candidate(record(body={"model": "gpt-4.1", "messages": [{"role": "user", "content": pictures}]}))
    assert seen.prices.images == 2
    assert seen.prices.input_tokens > 2 * 500


def test_bytes_that_are_no_request_are_garbage_without_an_identity() -> None:
    content, known = read(Record(None, b"\xff{"))
    assert isinstance(content, Undecodable)
    assert isinstance(known, Garbage)
    assert known.identity is None
    assert "ÿ" not in known.sentence


def test_garbage_with_an_id_is_known_by_its_bytes() -> None:
    first, second = (read(Record(None, b'{"id": "lead-1", "body": %d}' % number))[1] for number in (1, 2))
    again = read(Record(None, b'{"id": "lead-1", "body": 1}'))[1]
    assert isinstance(first, Garbage)
    assert isinstance(second, Garbage)
    assert first.identity is not None
    assert second.identity is not None
    assert first.identity.id_hash == second.identity.id_hash == id_hash("lead-1")
    assert first.identity != second.identity
    assert first == again


# ---------------------------------------------------------------------------------------------------- until when


def deadline(taken: Record, **how: Any) -> datetime:
    return WALL + timedelta(milliseconds=candidate(taken, **how).deadline_ms - LOOP_MS)


def test_without_a_deadline_the_lanes_own_counts_from_the_submission() -> None:
    submitted_at = WALL - timedelta(hours=2)
    assert deadline(record(), lane="standard", submitted_at=submitted_at) == submitted_at + DAY
    assert deadline(record(), lane="urgent", submitted_at=submitted_at) == submitted_at + timedelta(hours=1)


def test_a_requests_own_deadline_counts_up_to_the_lanes_longest() -> None:
    soon, late = WALL + timedelta(minutes=5), WALL + timedelta(days=400)
    assert deadline(record(deadline=to_wire(soon))) == soon
    assert deadline(record(deadline=to_wire(late))) == WALL + 6 * DAY, "a day less than the lane retains"


def test_a_deadline_in_the_past_stays_there() -> None:
    past = WALL - timedelta(days=4_000)
    assert deadline(record(deadline=to_wire(past))) == past


def test_the_header_of_a_replay_beats_the_body_and_is_bounded_as_well() -> None:
    soon = WALL + timedelta(minutes=7)
    body_says = to_wire(WALL - DAY)
    assert deadline(record((("headrace-deadline", to_wire(soon).encode()),), deadline=body_says)) == soon
    for_ever = (("headrace-deadline", b"9999-12-31T23:59:59Z"),)
    assert deadline(record(for_ever)) == WALL + 6 * DAY, "anybody can write a header"


# ---------------------------------------------------------------------------------------------------- how much


def test_a_request_carries_the_price_of_every_law_or_of_the_one_that_is_configured() -> None:
    body = {"model": "gpt-4o-mini", "max_tokens": 500, "messages": [{"role": "user", "content": "12345678"}]}
    every = candidate(record(body=body)).prices
    assert every.laws == ENDPOINT_TABLE["chat.completions"].laws
    for law, tokens in zip(every.laws, every.tokens, strict=True):
        configured = pricer(limits={"gpt-4o-mini": {"charge_law": law.value}})
        alone = candidate(record(body=body), priced=configured).prices
        assert (alone.laws, alone.tokens) == ((law,), (tokens,))
    assert dict(zip(every.laws, every.tokens, strict=True))[Law.CHAT_LEGACY] == 503


def test_a_model_the_tokenizer_cannot_tell_is_priced_by_bytes() -> None:
    priced = pricer(RoughCounter(unknown=frozenset({"strange"})))
    content, _ = read(record(body={"model": "strange", "messages": [{"role": "user", "content": "ü" * 100}]}))
    assert isinstance(content, DecodedRequest)
    known = priced.input_tokens(content.request, "strange")
    assert 50 < known < 70


def test_a_long_text_is_priced_by_bytes_without_counting_it() -> None:
    class Impatient(RoughCounter):
        def count(self, model: str, text: str) -> int | None:
            assert len(text) < 100_000, "this takes milliseconds, in which nobody renews the lease"
            return super().count(model, text)

    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "x" * 200_000}]}
    assert min(candidate(record(body=body), priced=pricer(Impatient())).prices.tokens) > 0


@pytest.mark.slow
def test_text_that_breaks_the_tokenizer_is_priced_all_the_same() -> None:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": " " * 64_000}]}
    priced = pricer(TiktokenCounter(), input={"request_bytes_max": 900_000})
    assert min(candidate(record(body=body), priced=priced).prices.tokens) > 0


# ---------------------------------------------------------------------------------------------------- what may not


@pytest.mark.parametrize(
    ("fields", "reason", "told"),
    [
        ({"body": {"messages": []}}, "invalid_request", "must name a model"),
        ({"body": {"model": 7}}, "invalid_request", "must name a model"),
        ({"body": {"model": "m" * 257}}, "invalid_request", "at most 256 characters"),
        ({"body": {"model": "gpt-4o", "max_tokens": int("9" * 4_000)}}, "invalid_request", "body.max_tokens is above"),
        ({"body": {"model": "gpt-4o", "max_tokens": 1.79e308, "n": 2}}, "invalid_request", "body.max_tokens is above"),
        ({"body": {"model": "gpt-4o", "max_tokens": 10**9, "n": 10**9}}, "invalid_request", "times body.n is above"),
        (
            {"endpoint": "responses", "body": {"model": "gpt-4o", "background": True}},
            "invalid_request",
            "body.background must not be set",
        ),
        (
            {"endpoint": "embeddings", "body": {"model": "text-embedding-3-small", "input": ["text"] * 1_000}},
            "invalid_request",
            "send at most 47 inputs at once",
        ),
        ({"body": {"model": "gpt-5"}}, "rejected", "'gpt-5' is not on this dispatcher's list"),
        ({"reply_to": "acme.answers"}, "rejected", "'acme.answers' is not on this dispatcher's list replies.allow"),
    ],
)
def test_what_a_producer_may_not_ask_is_refused_with_a_reason(fields: dict[str, Any], reason: str, told: str) -> None:
    known = candidate(record(**fields), priced=pricer(models={"allow": ["gpt-4o*"]}))
    assert known.refusal is not None
    assert known.refusal[0] == reason
    assert told in known.refusal[1]
    assert len(known.refusal[1]) < 500
    assert len(known.limit) <= 256


def test_a_reply_topic_is_allowed_by_its_exact_name() -> None:
    allowed = pricer(replies={"allow": ["acme.answers"]})
    assert candidate(record(reply_to="acme.answers"), priced=allowed).refusal is None
    for other in ("acme.answers2", "acme", "ACME.answers"):
        refusal = candidate(record(reply_to=other), priced=allowed).refusal
        assert refusal is not None
        assert refusal[0] == "rejected"


def test_every_model_is_allowed_unless_there_is_a_list() -> None:
    assert candidate(record(body={"model": "anything"})).refusal is None
    allowed = pricer(models={"allow": ["gpt-4o-mini", "ft:*"]})
    assert candidate(record(), priced=allowed).refusal is None
    assert candidate(record(body={"model": "ft:gpt-4o:acme"}), priced=allowed).refusal is None


@pytest.mark.parametrize(
    "body",
    [
        {"model": "m", "messages": "no list"},
        {"model": "m", "messages": [None, 7, {"content": [{"type": "text"}, {"type": "image_url"}, 9]}]},
        {"model": "m", "n": 10**30, "max_tokens": -(10**30)},
        {"model": "m", "input": [[1, 2, 3], [True]], "tools": {"type": "function"}},
        {"model": ""},
        {"model": "[", "messages": [{"content": {"deep": []}}]},
    ],
)
@pytest.mark.parametrize("endpoint", ["chat.completions", "responses", "embeddings"])
def test_no_body_is_too_odd_to_be_priced(body: dict[str, Any], endpoint: str) -> None:
    assert min(candidate(record(body=body, endpoint=endpoint)).prices.tokens) >= 1


def test_a_stream_of_an_answer_is_served_and_one_of_an_embedding_is_refused_in_a_sentence() -> None:
    assert candidate(record(stream=True)).refusal is None
    body = {"model": "text-embedding-3-small", "input": "x"}
    decoded, garbage = read(record(stream=True, endpoint="embeddings", body=body))
    assert isinstance(decoded, Undecodable)
    assert isinstance(garbage, Garbage)
    assert garbage.reason == "invalid_request"
    assert "embeddings cannot be streamed" in garbage.sentence


@pytest.mark.parametrize("value", [b"{", None])
def test_without_a_grant_no_run_is_believed_neither_of_a_request_nor_of_garbage(value: bytes | None) -> None:
    clock = WallClock(lambda: LOOP_MS / 1_000, lambda: WALL)
    strict = Pricer(settings_of(), RoughCounter(), clock, grants_of(clock))
    headers = (("headrace-run", b"7"), ("ce_subject", b"lead-1"))
    decoded, _ = read(record(headers) if value is None else Record(None, value, headers), priced=strict)
    assert decoded.run == 0


COPY = (("headrace-run", b"1"), ("headrace-deadline", to_wire(WALL + timedelta(seconds=9)).encode()))


def copied(stated: bytes, attempt: bytes = b"1") -> Record:
    """A request whose header names run 1, with what the retrier writes beside it."""
    return record((*COPY, ("headrace-attempt", attempt), ("headrace-identity", stated)))


@pytest.mark.parametrize(
    ("taken", "run"),
    [
        (copied(b"00112233aabbccdd 0 lead-1"), 0),
        (copied(b"00112233aabbccdd 1 lead-1"), 1),
        (copied(b"00112233aabbccdd 0 lead-2"), 1),
        (copied(b"00112233aabbccdd 0 lead-1", attempt=b"0"), 1),
        (copied(b"0 lead-1"), 1),
    ],
    ids=["not believed at first", "a replay", "of another id", "no copy", "malformed"],
)
def test_a_copy_is_of_the_run_that_was_parked_whatever_its_header_names(taken: Record, run: int) -> None:
    """Every run is believed here. The deadline beside a run that was not believed is none."""
    known = candidate(taken)
    assert known.identity.run == run
    assert deadline(taken) == WALL + (timedelta(seconds=9) if run else DAY)
    told, garbage = pricer().defect(taken)
    assert garbage.identity is not None
    assert (told.run, garbage.identity.run) == (run, run)


def test_the_run_that_a_copy_states_needs_a_grant_as_any_other() -> None:
    clock = WallClock(lambda: LOOP_MS / 1_000, lambda: WALL)
    strict = Pricer(settings_of(), RoughCounter(), clock, grants_of(clock))
    decoded, _ = read(copied(b"00112233aabbccdd 3 lead-1"), priced=strict)
    assert decoded.run == 0


def test_input_that_a_body_only_names_is_priced_in_its_turn() -> None:
    body = {"model": "gpt-4o", "input": "Go on.", "previous_response_id": "resp_1"}
    known = candidate(record(endpoint="responses", body=body))
    assert known.prices.unshown is not None
    assert [reference.kind for reference in known.prices.unshown.references] == [ReferenceKind.RESPONSE]
    assert candidate(record()).prices.unshown is None


def test_a_template_is_known_with_its_model_and_only_by_a_mark() -> None:
    def mark(model: str, **fields: Any) -> bytes:
        body = {"model": model, "messages": [{"role": "user", "content": "12345678"}]}
        return candidate(record(body=body, **fields)).prices.template

    marks = [mark(model, template=name) for model in ("gpt-4o", "gpt-4.1") for name in ("sort", "write")]
    assert (len({*marks}), {len(each) for each in marks}) == (4, {8})
    assert mark("gpt-4o", template="sort") == marks[0]
    assert mark("gpt-4o") == b""


@pytest.mark.parametrize("wrong", [5, None, ["resp_1"], {"id": 7}, "x" * 200_000, "\ud800"])
def test_ids_of_any_kind_and_size_raise_nothing(wrong: object) -> None:
    named = {"previous_response_id": wrong, "conversation": wrong, "prompt": {"id": wrong, "version": wrong}}
    part = {"type": "input_file", "file_id": wrong, "file_url": wrong, "file_data": wrong}
    body = {"model": "gpt-4o", "input": [{"role": "user", "content": [part, wrong]}], "tools": [wrong]} | named
    decoded, known = read(record(endpoint="responses", body=body))
    assert isinstance(known, Candidate | Garbage), decoded
