"""Whatever bytes come back, there is a verdict, and it is one a dispatcher can act on."""

import json
import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.broker.core.answers.base_url import AnswerForm, form_of
from headrace.broker.core.answers.error_body import answer_of, error_in
from headrace.broker.core.answers.numbers import http_date_s, parse_duration_ms
from headrace.broker.core.answers.rate_limit_headers import (
    Reading,
    SideReading,
    readings,
    retry_after_ms,
    side_readings,
)
from headrace.broker.core.answers.rate_limit_messages import snapshot_of, stated_in, wait_in_ms
from headrace.broker.core.answers.verdict import Answer, Meaning, Verdict, judge, unknown_server, wrong_server
from tests.long_proofs import with_long
from tests.unit.core import recorded

VARIANTS = with_long([4_000, 12_000], 1)
PROMPT = "«geheim 4711»"  # what a prompt would be that a message quotes

WORDS = st.one_of(
    st.none(),
    st.text(max_size=80),
    st.sampled_from(["rate_limit_exceeded", "tokens", "insufficient_quota", "server_error", "timeout", "slow_down"]),
)
NUMBERS = st.one_of(
    st.text(max_size=30), st.from_regex(r"-?[0-9,.]{1,20}(ms|s|m|h)?", fullmatch=True), st.just("9" * 5_000)
)
NAMES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            f"X-RateLimit-{what}-{metric}"
            for what in ("Limit", "Remaining", "Reset")
            for metric in ("Tokens", "Requests")
        ]
        + ["retry-after", "Retry-After-Ms"]
    ),
)
MESSAGES = st.one_of(
    st.text(max_size=200),
    st.builds(
        "{} for {} in organization o on {} per {} (TPM): Limit {}, Used {}, Requested {}. try again in {}.".format,
        st.sampled_from(["Rate limit reached", "Request too large"]),
        st.text(max_size=10),
        st.sampled_from(["tokens", "requests", "images"]),
        st.sampled_from(["min", "day", "fortnight"]),
        NUMBERS,
        NUMBERS,
        NUMBERS,
        NUMBERS,
    ),
)


@settings(deadline=None, max_examples=60)
@given(
    status=st.one_of(st.none(), st.integers(), st.sampled_from([200, 400, 401, 403, 404, 429, 500, 503])),
    headers=st.dictionaries(NAMES, NUMBERS, max_size=8),
    words=st.tuples(WORDS, WORDS, WORDS),
    message=MESSAGES,
)
def test_any_answer_is_judged_without_raising(
    status: int | None, headers: dict[str, str], words: tuple[str | None, str | None, str | None], message: str
) -> None:
    answer = Answer(status, headers, *words, message)
    check(judge(answer))
    assert form_of(answer) is not AnswerForm.ANSWER


def check(verdict: Verdict) -> None:
    """What a dispatcher relies on, whatever was said."""
    assert verdict.wait_ms is None or verdict.wait_ms >= 0
    assert verdict.sentence.endswith(".")
    told: list[Reading | SideReading] = [*verdict.readings, *verdict.side_readings]
    for reading in told:
        assert 0 <= reading.remaining <= reading.capacity
        assert reading.period_ms is None or reading.period_ms > 0
    assert verdict.snapshot is None or verdict.snapshot.capacity > 0
    assert verdict.limit is None or verdict.limit.capacity is None or verdict.limit.capacity > 0


def variants(dice: random.Random, count: int) -> Iterator[Answer]:
    """Recorded errors and headers, cut, shuffled, doubled and wrapped, with a prompt quoted somewhere in the text."""
    errors, header_sets = recorded.errors(), recorded.header_sets()
    for _ in range(count):
        row, headers = dice.choice(errors), dict(dice.choice(header_sets)["headers"])
        text = mangled(row["message"], dice)
        code, kind = (dice.choice([row[key], None, text, PROMPT]) for key in ("code", "type"))
        name = dice.choice([*headers, "retry-after", "date"])
        headers[name] = mangled(headers.get(name, "Wed, 21 Oct 2026 07:28:00 GMT"), dice)
        status = dice.choice([row["status"], None, 200, 400, 429, 500, dice.randrange(1_000)])
        error = {"message": text, "type": kind, "code": code, "param": dice.choice([None, PROMPT])}
        body = json.dumps(dice.choice([error, {"error": error}, {"error": text}, {"error": {"message": str(error)}}]))
        yield answer_of(status, headers, dice.choice([body, json.loads(body), mangled(body, dice)]))


def mangled(text: str, dice: random.Random) -> str:
    """A prompt between two words; then perhaps cut at either end, or with a piece twice, lost or backwards."""
    words = text.split(" ")
    words.insert(dice.randrange(len(words) + 1), PROMPT)
    text = " ".join(words)
    start, end = sorted(dice.randrange(len(text) + 1) for _ in range(2))
    piece = text[start:end]
    return dice.choice(
        [
            text,
            text[start:],
            text[:end],
            text[:end] + piece,
            text[:start] + text[end:],
            text.replace(piece, piece[::-1], 1),
        ]
    )


@pytest.mark.slow
@pytest.mark.parametrize("count", VARIANTS)
def test_thousands_of_mangled_answers_are_judged_and_none_gives_its_text_away(count: int) -> None:
    meanings, looks = set(), set()
    for answer in variants(random.Random(7), count):
        looks.add(form_of(answer))
        for verdict in (judge(answer), wrong_server(answer), unknown_server(answer)):
            check(verdict)
            told = f"{verdict.sentence} {verdict.shape} {verdict.limit}"
            assert not any(word in told for word in ("geheim", "mieheg", "«", "»")), answer
            meanings.add(verdict.meaning)
    assert meanings >= set(Meaning) - {Meaning.TIMEOUT, Meaning.CONNECTION, Meaning.TIER_UNAVAILABLE}
    assert looks == set(AnswerForm) - {AnswerForm.ANSWER}


@given(
    status=st.one_of(st.none(), st.integers()),
    body=st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=20)),
        lambda deeper: st.one_of(
            st.lists(deeper, max_size=3),
            st.dictionaries(
                st.sampled_from(["error", "message", "code", "type", "response", "detail", "status", "object"]),
                deeper,
                max_size=4,
            ),
        ),
        max_leaves=12,
    ),
)
@settings(deadline=None, max_examples=60)
def test_any_json_is_searched_for_its_error_without_raising(status: int | None, body: object) -> None:
    found = error_in(body)
    assert found is None or isinstance(found.message, str)
    check(judge(answer_of(status, {}, body)))
    check(judge(answer_of(status, {}, json.dumps(body))))


@given(hours=st.integers(0, 999), minutes=st.integers(0, 59), milliseconds=st.integers(0, 59_999))
def test_every_duration_that_go_prints_is_read_back(hours: int, minutes: int, milliseconds: int) -> None:
    seconds = f"{milliseconds // 1_000}.{milliseconds % 1_000:03}".rstrip("0").rstrip(".")
    text = (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{seconds}s"
    assert parse_duration_ms(text) == (hours * 60 + minutes) * 60_000 + milliseconds
    assert parse_duration_ms(f"{milliseconds}ms") == milliseconds


@settings(deadline=None, max_examples=60)
@given(text=st.text(alphabet="0123456789hmsnuµ.-, Limit:Used", max_size=200))
def test_no_text_makes_the_parsers_raise(text: str) -> None:
    parse_duration_ms(text)
    snapshot_of(stated_in(f"on tokens per min {text}"), wait_in_ms(f"retry in {text}"))
    retry_after_ms({"retry-after": text})
    readings({"x-ratelimit-limit-tokens": text, "x-ratelimit-remaining-tokens": text})
    side_readings({"x-ratelimit-limit-project-tokens": text, "x-ratelimit-remaining-project-tokens": text})
    stated_in(f"current rpm: {text}, rpm limit: {text}, current tpm: {text}, tpm limit: {text}")
    http_date_s(f"Wed, 21 Oct {text} GMT")
