"""Verdict on an answer of OpenAI: one word, one sentence, and whether the request is tried again.

The words are decided in `headrace.broker.core.answers.classification`; here they become a verdict: how long to wait,
which limit refused, what else the headers state. The axis is what the caller does next: an operator's mistake (quota,
key, region) never fails a request, a request that OpenAI refuses for its content fails at once, and only trouble that
repetition makes worse counts as an attempt.

Errors inside an HTTP 200 stream arrive here with status 200 and a code, errors without any answer with status None.
Nothing here raises, whatever the bytes were. A sentence carries numbers, names and codes, never the server's message,
which may quote the prompt. An answer that was not understood is described by its shape alone.
"""

import re
from collections.abc import Mapping
from typing import Final

from headrace.broker.core.answers.answer import Answer, Details
from headrace.broker.core.answers.classification import is_page, meaning_of
from headrace.broker.core.answers.dialect_headers import NONE, OtherLimits, other_limits
from headrace.broker.core.answers.dialect_table import STATED_HEADERS
from headrace.broker.core.answers.meaning import FAULTS, OK, Basis, Fault, Meaning
from headrace.broker.core.answers.rate_limit_headers import (
    DAY_MS,
    LimitMetric,
    Reading,
    SideReading,
    Snapshot,
    lowered,
    readings,
    retry_after_ms,
    side_readings,
)
from headrace.broker.core.answers.rate_limit_messages import (
    StatedLimit,
    Statement,
    side_limit_of,
    snapshot_of,
    stated_in,
    wait_in_ms,
)
from headrace.broker.core.answers.unasked_tier import refuses_unasked_tier
from headrace.broker.core.value import value

__all__ = [
    "OK",
    "UNSTATED_WAIT_MS",
    "Answer",
    "Fault",
    "Meaning",
    "Verdict",
    "error_words",
    "is_word",
    "judge",
    "success",
    "unknown_server",
    "wrong_server",
]

UNSTATED_WAIT_MS: Final = 1_000  # for a 429 that states neither reason nor wait: the smallest possible `retry-after`
WAIT_MS_MAX: Final = DAY_MS
"""The longest wait that a refusal may ask for: the longest real one is a day's limit.

A pause is never shortened, so a header of a thousand years would end the limit; after a day one call asks again.
"""
SERVER_WAIT_MS_MAX: Final = 15 * 60_000
"""The longest wait that a server in trouble may ask for.

Its limit pauses that long, and one call in that time costs the server nothing.
"""
QUEUE_WAIT_MS: Final = 60_000  # batches end in minutes or hours, and nothing states when


@value
class Verdict:
    """The meaning of an answer, what it states of the limits, and a sentence for a person.

    Attributes:
        snapshot: The organisation's or a project's bucket that refused, where the answer states it exactly.
        limit: All that is known of the limit that refused, for people: also what no budget can believe.
        side_readings: Buckets that headers describe beside `readings`: a project's, those of images and of input
            tokens, which the budget pays as well; others are for people.
        early: The readings are as of the call's admission, whatever is charged when it ends.
        charge: Tokens that the server says it charged for the answered call; None: it does not say.
        side_limit: The limit that refused, where it counts input tokens or images and the answer states it exactly.
        shape: Set if the answer was not understood and its meaning is a guess: its appearance, without its text.
    """

    meaning: Meaning
    retryable: bool
    wait_ms: int | None
    readings: tuple[Reading, ...]
    snapshot: Snapshot | None
    counts_as_attempt: bool
    sentence: str
    limit: StatedLimit | None = None
    side_readings: tuple[SideReading, ...] = ()
    shape: str | None = None
    early: bool = False
    charge: int | None = None
    side_limit: StatedLimit | None = None

    @property
    def states_limits(self) -> bool:
        """Whether a budget can believe anything that it states."""
        return bool(self.readings or self.snapshot or self.side_limit)

    @property
    def fault(self) -> Fault:
        """The party that must act; ACCOUNT and SERVER are what breakers open for."""
        return FAULTS[self.meaning]


_Exact = Snapshot | StatedLimit
"""The limit that refused, stated with its size and period: a bucket of tokens or requests, or a side limit."""
_USUAL_READINGS: Final = len(LimitMetric)
_FINAL: Final = frozenset({Meaning.OK, Meaning.TOO_LARGE, Meaning.REJECTED})
_COUNTED: Final = frozenset({Meaning.OVERLOADED, Meaning.UPSTREAM_ERROR, Meaning.TIMEOUT, Meaning.CONNECTION})
_MAY_ASK_TO_WAIT: Final = frozenset(
    (Meaning.RATE_LIMITED, Meaning.OVERLOADED, Meaning.TIER_UNAVAILABLE, Meaning.UPSTREAM_ERROR)
)
_LIMITS: Final = frozenset({Meaning.RATE_LIMITED, Meaning.TOO_LARGE})
_MAY_STATE_A_LIMIT: Final = _LIMITS | {Meaning.REJECTED}
_WORD: Final = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}")
_METRIC_WORDS: Final = frozenset({"tokens", "requests", "input-images"})


def judge(answer: Answer, body: Mapping[str, object] | None = None) -> Verdict:
    """Return the verdict on this answer. Never raises.

    `body` is what was sent, None if it is not known: a request that cannot have asked for a service tier is not at
    fault if the server refuses its tier.
    """
    meaning, evidence = _meaning(answer)
    if (
        meaning is Meaning.REJECTED
        and body is not None
        and refuses_unasked_tier(answer.error_param, answer.message, body)
    ):
        meaning, evidence = Meaning.TIER_UNAVAILABLE, Basis.TEXT
    headers = lowered(answer.headers)
    buckets = readings(headers)
    is_usual = len(buckets) == _USUAL_READINGS
    if is_usual and meaning is OK:
        return success(answer.status, buckets, side_readings(headers), early=answer.early)
    other = NONE if is_usual else other_limits(headers)
    if meaning is OK:
        side = side_readings(headers) + other.side_readings
        return success(answer.status, buckets + other.readings, side, early=answer.early, charge=other.charge)
    buckets += other.readings
    details = _details(answer, headers)
    words_ms = wait_in_ms(answer.message, details, headers.get("date", ""))
    statement = stated_in(answer.message, details) if meaning in _MAY_STATE_A_LIMIT else None
    stated = snapshot_of(statement, words_ms) if meaning in _LIMITS else None
    limit = _limit(answer, statement, buckets) if meaning in _MAY_STATE_A_LIMIT else None
    said_ms = retry_after_ms(headers) or words_ms
    if meaning is Meaning.RATE_LIMITED and not said_ms:
        said_ms = _until_refilled_ms(details, other, headers)
    side_limit = side_limit_of(statement) if meaning in _LIMITS else None
    named = stated or side_limit
    wait_ms = _wait_ms(answer, meaning, named, buckets, said_ms)
    return Verdict(
        meaning=meaning,
        retryable=meaning not in _FINAL,
        wait_ms=wait_ms,
        readings=buckets,
        snapshot=stated,
        counts_as_attempt=meaning in _COUNTED,
        sentence=_sentence(meaning, answer, named, wait_ms),
        limit=limit,
        side_readings=side_readings(headers) + other.side_readings,
        shape=_shape(answer) if evidence is Basis.GUESS else None,
        side_limit=side_limit,
    )


def success(
    status: int | None,
    buckets: tuple[Reading, ...],
    side: tuple[SideReading, ...] = (),
    *,
    early: bool = False,
    charge: int | None = None,
) -> Verdict:
    """Return the verdict on a success: nothing is tried again, and only its headers concern limits."""
    sentence = f"OpenAI answered (HTTP {status})."
    return Verdict(
        OK, False, None, buckets, None, False, sentence, None, side, None, early, charge
    )  # no keywords: faster


def wrong_server(answer: Answer) -> Verdict:
    """Return the verdict on an answer that the API did not write: wait until an operator corrects the base URL."""
    sentence = _sentence(Meaning.NOT_THE_API, answer, None, None)
    return Verdict(Meaning.NOT_THE_API, True, None, (), None, False, sentence)


def unknown_server(answer: Answer) -> Verdict:
    """Return the verdict on an answer that the API may not have written: call again, and count no attempt."""
    sentence = _sentence(Meaning.UPSTREAM_ERROR, answer, None, None)
    return Verdict(Meaning.UPSTREAM_ERROR, True, None, (), None, False, sentence)


def _meaning(answer: Answer) -> tuple[Meaning, Basis]:
    status = answer.status
    if status is not None and 200 <= status < 300 and not (answer.error_code or answer.error_type or answer.message):
        return OK, Basis.STATUS
    return meaning_of(status, answer.error_code, answer.error_type, answer.message, answer.details)


def _details(answer: Answer, headers: Mapping[str, str]) -> Details:
    """Return the details of a refusal, and the headers that some servers use like them."""
    stated = [(name, headers[name]) for name in STATED_HEADERS if name in headers] if answer.status == 429 else []
    return answer.details + tuple(stated) if stated else answer.details


def _limit(answer: Answer, statement: Statement | None, buckets: tuple[Reading, ...]) -> StatedLimit | None:
    """Return the limit that refused: by the text, else by the error's type, else the one that headers show empty."""
    stated = None if statement is None else statement.limit
    metric = stated.metric if stated is not None else (answer.error_type or "").lower()
    empty = [reading for reading in buckets if reading.remaining == 0] if answer.status == 429 else []
    if stated is None and metric not in _METRIC_WORDS:
        return _of_reading(empty[0]) if len(empty) == 1 else None
    if stated is None or (stated.capacity is None and stated.name is None and answer.status == 429):
        shown = _shown(metric, None if stated is None else stated.period_ms, buckets)
        return stated or StatedLimit(metric) if shown is None else _of_reading(shown)
    return stated


def _shown(metric: str, period_ms: int | None, buckets: tuple[Reading, ...]) -> Reading | None:
    """Return the bucket in headers of that metric and period, one that is empty before others."""
    alike = [bucket for bucket in buckets if bucket.metric.value == metric and period_ms in {None, bucket.period_ms}]
    return min(alike, key=lambda bucket: bucket.remaining > 0, default=None)


def _of_reading(reading: Reading) -> StatedLimit:
    used = reading.capacity - reading.remaining
    return StatedLimit(reading.metric.value, period_ms=reading.period_ms, capacity=reading.capacity, used=used)


def _until_refilled_ms(details: Details, other: OtherLimits, headers: Mapping[str, str]) -> int | None:
    """Return the time until a bucket that headers show empty has refilled, or one in the headers of a server behind."""
    if other.wait_ms or not details:
        return other.wait_ms
    return other_limits({**dict(details), "date": headers.get("date", "")}).wait_ms


def _wait_ms(
    answer: Answer, meaning: Meaning, stated: _Exact | None, buckets: tuple[Reading, ...], said_ms: int | None
) -> int | None:
    """Return the wait that the answer states, within bounds; `said_ms` is what it says itself."""
    if meaning not in _MAY_ASK_TO_WAIT:
        return None
    wait_ms = _stated_wait_ms(answer, meaning, stated, buckets, said_ms)
    return (
        None
        if wait_ms is None
        else min(wait_ms, WAIT_MS_MAX if meaning is Meaning.RATE_LIMITED else SERVER_WAIT_MS_MAX)
    )


def _stated_wait_ms(
    answer: Answer, meaning: Meaning, stated: _Exact | None, buckets: tuple[Reading, ...], said_ms: int | None
) -> int | None:
    """Return the wait in the server's own words first, then by the refill law on its numbers."""
    if said_ms or meaning is not Meaning.RATE_LIMITED:
        return said_ms
    if stated is not None and stated.used is not None and stated.requested is not None:
        return max(1, _flows_in_ms(stated.used + stated.requested, stated))
    return max(UNSTATED_WAIT_MS, _unstated_wait_ms(answer, stated, buckets))


def _unstated_wait_ms(answer: Answer, stated: _Exact | None, buckets: tuple[Reading, ...]) -> int:
    """Return the time until the bucket holds one unit, as far as numbers show it; 0 if they do not."""
    if (answer.error_code or "").lower() == "token_limit_exceeded":
        return QUEUE_WAIT_MS
    if stated is not None and stated.used is not None:
        return max(0, _flows_in_ms(stated.used + 1, stated))
    empty = (reading for reading in buckets if reading.remaining == 0 and reading.metric is LimitMetric.REQUESTS)
    return max((-(-(reading.full_in_ms or 0) // reading.capacity) for reading in empty), default=0)


def _flows_in_ms(used: int, limit: _Exact) -> int:
    """Return the time until a limit of which so much is used has room, by the refill law."""
    assert limit.capacity is not None, "a limit that is stated exactly has a size"
    assert limit.period_ms is not None, "and a period"
    return -(-(used - limit.capacity) * limit.period_ms // limit.capacity)


_SENTENCES: Final = {
    Meaning.RATE_LIMITED: "OpenAI's rate limit is used up; the request waits and is called again",
    Meaning.TOO_LARGE: "The request alone is larger than the limit; it can never pass and is not tried again",
    Meaning.QUOTA: "The account has no credit or has reached its spend limit; calls wait until an operator fixes it",
    Meaning.OVERLOADED: "OpenAI is overloaded or asks to slow down; the request is tried again more slowly",
    Meaning.TIER_UNAVAILABLE: "The service tier has no capacity now; the request is tried again more slowly",
    Meaning.UPSTREAM_ERROR: "OpenAI or something on the way to it failed; the request is tried again",
    Meaning.AUTH: "OpenAI refused the key, the account or the region; calls wait until an operator fixes it",
    Meaning.NOT_THE_API: "What answers at openai.base_url is not OpenAI's API; calls wait until an operator fixes it",
    Meaning.REJECTED: "OpenAI refused this request for what it is; it is not tried again",
    Meaning.TIMEOUT: "OpenAI did not answer in time; the request is tried again",
    Meaning.CONNECTION: "The connection to OpenAI failed; the request is tried again",
}


def _sentence(meaning: Meaning, answer: Answer, stated: _Exact | None, wait_ms: int | None) -> str:
    facts = error_words(answer)
    if stated is not None:
        facts += _numbers(stated)
    if wait_ms is not None:
        facts.append(f"wait {wait_ms} ms")
    return f"{_SENTENCES[meaning]} ({', '.join(facts)})." if facts else f"{_SENTENCES[meaning]}."


def error_words(answer: Answer) -> list[str]:
    """Return status, code, type and param, as far as they are words and not sentences: those may quote the prompt."""
    facts = [f"HTTP {answer.status}"] if answer.status is not None else []
    return facts + [
        f"{name} {word}"
        for name, word in (("code", answer.error_code), ("type", answer.error_type), ("param", answer.error_param))
        if word and is_word(word)
    ]


def is_word(text: str) -> bool:
    """Return whether a text may be shown: a code, a type, the path of a parameter."""
    return _WORD.fullmatch(text) is not None


def _numbers(stated: _Exact) -> list[str]:
    """Return the numbers of a limit that is stated exactly, with its size and period."""
    assert stated.period_ms is not None, "a limit without a period is not stated exactly"
    name = stated.limit_name if isinstance(stated, Snapshot) else stated.name
    facts = [f"limit {stated.capacity} {stated.metric} per {stated.period_ms // 1_000} s"]
    if name is not None:
        facts.append(f"of {name}")
    if stated.used is not None:
        facts.append(f"used {stated.used}")
    if stated.requested is not None:
        facts.append(f"requested {stated.requested}")
    return facts


def _shape(answer: Answer) -> str:
    kind = "a page" if is_page(answer.message) else "a text"
    text = f"{kind} of {len(answer.message)} characters" if answer.message else "no text"
    return ", ".join([*error_words(answer), text])
