"""Whatever bytes come back, there is a verdict, and it is one a dispatcher can act on."""

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.core.reading import parse_duration_ms, readings, retry_after_ms, snapshot
from broker.core.verdict import Answer, judge

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
    verdict = judge(Answer(status, headers, *words, message))
    assert verdict.wait_ms is None or verdict.wait_ms >= 0
    assert verdict.sentence.endswith(".")
    for reading in verdict.readings:
        assert 0 <= reading.remaining <= reading.capacity
        assert reading.period_ms is None or reading.period_ms > 0
    assert verdict.snapshot is None or verdict.snapshot.capacity > 0


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
    snapshot(f"on tokens per min {text}")
    retry_after_ms({"retry-after": text})
    readings({"x-ratelimit-limit-tokens": text, "x-ratelimit-remaining-tokens": text})
