"""What an answer of OpenAI means: one word, one sentence, and whether the request is tried again.

Status and code decide; text is read only where neither tells, since OpenAI says quite different things with one code:
`rate_limit_exceeded` is a full bucket, a request no bucket could ever hold, or a busy server (facts/openai.md §4).
The axis is what the caller does next: an operator's mistake (quota, key, region) never fails a request, a request
that OpenAI refuses for what it is fails at once, and only trouble that repeating makes worse counts as an attempt.

Errors inside an HTTP 200 stream arrive here with status 200 and a code, errors without any answer with status None.
Nothing here raises, whatever the bytes were. A sentence carries numbers, names and codes, never the server's message:
that may quote the prompt.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from broker.core.reading import Reading, Snapshot, readings, retry_after_ms, snapshot, wait_in_ms

UNSTATED_WAIT_MS: Final = 1_000  # a 429 that says neither why nor how long: the smallest `retry-after` there is


class Meaning(StrEnum):
    """What an answer means; the axis is what the caller does next."""

    OK = "ok"
    RATE_LIMITED = "rate_limited"
    TOO_LARGE = "too_large"
    QUOTA = "quota"
    OVERLOADED = "overloaded"
    UPSTREAM_ERROR = "upstream_error"
    AUTH = "auth"
    REJECTED = "rejected"
    TIMEOUT = "timeout"
    CONNECTION = "connection"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the door saw of one attempt. No answer at all: status None, error_code `timeout` or `connection`."""

    status: int | None
    headers: Mapping[str, str]
    error_code: str | None
    error_type: str | None
    error_param: str | None
    message: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What it means, what it says of the limits, and a sentence for a person."""

    meaning: Meaning
    retryable: bool
    wait_ms: int | None
    readings: tuple[Reading, ...]
    snapshot: Snapshot | None
    counts_as_attempt: bool
    sentence: str


_FINAL: Final = frozenset({Meaning.OK, Meaning.TOO_LARGE, Meaning.REJECTED})
_COUNTED: Final = frozenset({Meaning.OVERLOADED, Meaning.UPSTREAM_ERROR, Meaning.TIMEOUT, Meaning.CONNECTION})

# Decided on the code, whatever the status: billing_hard_limit_reached comes as a 400, model_not_found as 400 or 404.
_BY_CODE: Final = {
    "timeout": Meaning.TIMEOUT,
    "connection": Meaning.CONNECTION,
    "insufficient_quota": Meaning.QUOTA,
    "credit_balance_exhausted": Meaning.QUOTA,
    "organization_spend_limit_exceeded": Meaning.QUOTA,
    "project_spend_limit_exceeded": Meaning.QUOTA,
    "organization_usage_limit_exceeded": Meaning.QUOTA,
    "billing_hard_limit_reached": Meaning.QUOTA,
    "billing_not_active": Meaning.QUOTA,
    "slow_down": Meaning.OVERLOADED,
    "server_is_overloaded": Meaning.OVERLOADED,
    "token_limit_exceeded": Meaning.RATE_LIMITED,
    "invalid_api_key": Meaning.AUTH,
    "unsupported_country_region_territory": Meaning.AUTH,
    "model_not_found": Meaning.REJECTED,
    "context_length_exceeded": Meaning.REJECTED,
    "content_policy_violation": Meaning.REJECTED,
    "content_filter": Meaning.REJECTED,
    "invalid_prompt": Meaning.REJECTED,
    "bio_policy": Meaning.REJECTED,
    "misalignment_policy_violation": Meaning.REJECTED,
    "data_residency_mismatch": Meaning.REJECTED,
}
_BY_TYPE: Final = {
    "insufficient_quota": Meaning.QUOTA,
    "service_unavailable_error": Meaning.OVERLOADED,
    "request_forbidden": Meaning.AUTH,
    "authentication_error": Meaning.AUTH,
}
_BY_STATUS: Final = {
    401: Meaning.AUTH,
    402: Meaning.QUOTA,  # no OpenAI status, but what gateways say for an empty account
    403: Meaning.AUTH,
    408: Meaning.UPSTREAM_ERROR,
    409: Meaning.UPSTREAM_ERROR,
    503: Meaning.OVERLOADED,
}
_RATE_LIMIT_WORDS: Final = ("rate_limit_exceeded", "rate_limit_error", "tokens", "requests")  # codes and types
_TOO_LARGE: Final = re.compile(r"\brequest too large\b", re.IGNORECASE)
_OVERLOADED: Final = re.compile(
    r"processing too many requests|\boverloaded\b|high demand|resource unavailable|\bat capacity\b", re.IGNORECASE
)
_RATE_LIMITED: Final = re.compile(r"\brate limit\b", re.IGNORECASE)
_QUOTA: Final = re.compile(r"\bexceeded your current quota\b", re.IGNORECASE)
_WORD: Final = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}")
_CHARS_READ_MAX: Final = 2_000


def judge(answer: Answer) -> Verdict:
    """What this answer means. Never raises."""
    meaning = _meaning(answer)
    stated = snapshot(answer.message) if meaning in {Meaning.RATE_LIMITED, Meaning.TOO_LARGE} else None
    wait_ms = _wait_ms(answer, meaning, stated)
    return Verdict(
        meaning=meaning,
        retryable=meaning not in _FINAL,
        wait_ms=wait_ms,
        readings=readings(answer.headers),
        snapshot=stated,
        counts_as_attempt=meaning in _COUNTED,
        sentence=_sentence(meaning, answer, stated, wait_ms),
    )


def _meaning(answer: Answer) -> Meaning:
    status = answer.status
    if status is not None and 200 <= status < 300 and not (answer.error_code or answer.error_type or answer.message):
        return Meaning.OK
    code, kind = (answer.error_code or "").lower(), (answer.error_type or "").lower()
    if (meaning := _BY_CODE.get(code) or _BY_TYPE.get(kind)) is not None:
        return meaning
    if status is None or 200 <= status < 300 or status == 429:
        return _by_text(answer, known_throttle=status == 429 or code in _RATE_LIMIT_WORDS or kind in _RATE_LIMIT_WORDS)
    return _BY_STATUS.get(status) or (Meaning.REJECTED if 400 <= status < 500 else Meaning.UPSTREAM_ERROR)


def _by_text(answer: Answer, *, known_throttle: bool) -> Meaning:
    """A 429, or an error without a status of its own: in a stream, or pasted by a person."""
    text = answer.message[:_CHARS_READ_MAX]
    for pattern, meaning in (
        (_TOO_LARGE, Meaning.TOO_LARGE),
        (_QUOTA, Meaning.QUOTA),
        (_OVERLOADED, Meaning.OVERLOADED),
        (_RATE_LIMITED, Meaning.RATE_LIMITED),
    ):
        if pattern.search(text):
            return meaning
    if (answer.error_type or "").lower() == "server_error" or not known_throttle:
        return Meaning.UPSTREAM_ERROR
    return Meaning.RATE_LIMITED


def _wait_ms(answer: Answer, meaning: Meaning, stated: Snapshot | None) -> int | None:
    """The server's own words first: headers, then text, then the refill law on the numbers it gave."""
    if meaning not in {Meaning.RATE_LIMITED, Meaning.OVERLOADED, Meaning.UPSTREAM_ERROR}:
        return None
    wait_ms = retry_after_ms(answer.headers) or wait_in_ms(answer.message)
    if wait_ms or meaning is not Meaning.RATE_LIMITED:
        return wait_ms
    if stated is not None and stated.used is not None and stated.requested is not None:
        short = stated.used + stated.requested - stated.capacity
        return max(1, -(-short * stated.period_ms // stated.capacity))
    return UNSTATED_WAIT_MS


_SENTENCES: Final = {
    Meaning.OK: "OpenAI answered",
    Meaning.RATE_LIMITED: "OpenAI's rate limit is used up; the request waits and is called again",
    Meaning.TOO_LARGE: "The request alone is larger than the limit; it can never pass and is not tried again",
    Meaning.QUOTA: "The account has no credit or has reached its spend limit; calls rest until an operator mends it",
    Meaning.OVERLOADED: "OpenAI is overloaded or asks to slow down; the request is tried again more slowly",
    Meaning.UPSTREAM_ERROR: "OpenAI or something on the way to it failed; the request is tried again",
    Meaning.AUTH: "OpenAI refused the key, the account or the region; calls rest until an operator mends it",
    Meaning.REJECTED: "OpenAI refused this request for what it is; it is not tried again",
    Meaning.TIMEOUT: "OpenAI did not answer in time; the request is tried again",
    Meaning.CONNECTION: "The connection to OpenAI failed; the request is tried again",
}


def _sentence(meaning: Meaning, answer: Answer, stated: Snapshot | None, wait_ms: int | None) -> str:
    facts = [f"HTTP {answer.status}"] if answer.status is not None else []
    facts += [
        f"{name} {word}"
        for name, word in (("code", answer.error_code), ("type", answer.error_type), ("param", answer.error_param))
        if word and _WORD.fullmatch(word)
    ]
    if stated is not None:
        facts += _numbers(stated)
    if wait_ms is not None:
        facts.append(f"wait {wait_ms} ms")
    return f"{_SENTENCES[meaning]} ({', '.join(facts)})." if facts else f"{_SENTENCES[meaning]}."


def _numbers(stated: Snapshot) -> list[str]:
    facts = [f"limit {stated.capacity} {stated.metric} per {stated.period_ms // 1_000} s"]
    if stated.limit_name is not None:
        facts.append(f"of {stated.limit_name}")
    if stated.used is not None:
        facts.append(f"used {stated.used}")
    if stated.requested is not None:
        facts.append(f"requested {stated.requested}")
    return facts
