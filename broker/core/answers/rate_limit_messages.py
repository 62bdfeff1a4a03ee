"""Rate limits in error messages: name, numbers, wait.

A 429 of OpenAI gives an exact snapshot of the bucket that refused, in one of a few templates (facts/openai.md §4.2);
`snapshot` reads those and nothing else, since a budget believes it. `stated_limit` reads any other mention of a limit,
for people: a context window, the queue of batches, images, a gateway's own limits. Where the message stands in the body
is the subject of `headrace.broker.core.answers.error_body`.

A message may quote a prompt. Only numbers, known words and the limit's name are returned, and the name only from its
place in the template.
"""

import re
from dataclasses import dataclass
from typing import Final

from headrace.broker.core.answers.classification import TEXT_CHARS_MAX
from headrace.broker.core.answers.numbers import parse_count, parse_decimal_ms, parse_duration_ms
from headrace.broker.core.answers.rate_limit_headers import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, LimitMetric, Snapshot

_PERIODS_MS: Final = {"sec": SECOND_MS, "min": MINUTE_MS, "hour": HOUR_MS, "day": DAY_MS}

_METRICS: Final = frozenset(metric.value for metric in LimitMetric)

_PERIOD: Final = re.compile(r"\bon (tokens|requests|input-images|images) per (sec|min|hour|day)(?:ond|ute)?\b")
_PERIOD_2022: Final = re.compile(r"\bfor (tokens|requests)\. Limit: [0-9.]+ / (sec|min|hour|day)\b")
_LIMIT: Final = re.compile(r"\bLimit:? ([0-9,]+)")
_USED: Final = re.compile(r"\b(?:Used|Current):? ([0-9,]+)")
_REQUESTED: Final = re.compile(r"\bRequested:? ([0-9,]+)")
_SHARED_NAME: Final = re.compile(r"\(for limit `?([A-Za-z0-9_.:/-]{1,128})`?\)")
_NAME: Final = re.compile(r"\b(?:reached|large) for (?:model )?`?([A-Za-z0-9_.:/-]{1,128})`? (?:in|on|\()")
_WAIT: Final = re.compile(r"\b(?:try again|retry) in ([0-9][0-9a-zµμ.]*[a-zµμ])(?![\w])", re.IGNORECASE)
_WAIT_WORDS: Final = re.compile(
    r"\b(?:try again|retry) (?:in|after) ([0-9.]+) (sec|min|hour|day)(?:ond|ute)?s?\b", re.IGNORECASE
)

_QUEUE: Final = re.compile(r"\bEnqueued token limit reached for ([A-Za-z0-9_.:/-]{1,128}) .{0,200}?Limit: ([0-9,]+)")
_CONTEXT: Final = re.compile(r"\b(?:maximum context length is|the configured limit of) ([0-9,]+) tokens")
_CONTEXT_ASKED: Final = re.compile(r"\b(?:resulted in|requested|has) ([0-9,]+) (?:input )?tokens")
_PER_REQUEST: Final = re.compile(r"\bRequested ([0-9,]+) tokens, max ([0-9,]+) tokens per request")
_AZURE: Final = re.compile(r"\bexceeded (?:the )?(token|call) rate limit\b")
_SCALEWAY: Final = re.compile(
    r"\bexceeded your current limit of (tokens|requests) per (sec|min|hour|day)", re.IGNORECASE
)
_LITELLM: Final = re.compile(r"\bLimit type: (tokens|requests)\. Current limit: ([0-9]+), Remaining: ([0-9]+)")
_LITELLM_OLD: Final = re.compile(
    r"\bcurrent rpm: ([0-9]+), rpm limit: ([0-9]+), current tpm: ([0-9]+), tpm limit: ([0-9]+)"
)


@dataclass(frozen=True, slots=True)
class StatedLimit:
    """All that an answer states of the limit that refused; None for each value that it does not state.

    Attributes:
        metric: `tokens`, `requests`, or another word of the server's.
        name: The limit's name; a model usually has a limit of its own name.
        model: The model, where it draws from a limit of another name.
        project: Whether it is a project's.
        period_ms: Also None where the limit has no period: a model's context window, the queue of batches.
    """

    metric: str
    name: str | None = None
    period_ms: int | None = None
    capacity: int | None = None
    used: int | None = None
    requested: int | None = None
    model: str | None = None
    project: bool = False


def snapshot(message: str) -> Snapshot | None:
    """Return the bucket of tokens or requests that a 429 message describes, or None if it states no limit."""
    stated = _templated(_flat(message))
    if stated is None or stated.metric not in _METRICS or not stated.capacity or stated.period_ms is None:
        return None
    return Snapshot(
        metric=LimitMetric(stated.metric),
        period_ms=stated.period_ms,
        capacity=stated.capacity,
        used=stated.used,
        requested=stated.requested,
        limit_name=stated.name,
        wait_ms=wait_in_ms(message),
        project=stated.project,
    )


def stated_limit(message: str) -> StatedLimit | None:
    """Return what any message states of a limit, or None."""
    text = _flat(message)
    return _templated(text) or _of_one_request(text) or _of_other_servers(text)


def wait_in_ms(message: str) -> int | None:
    """Return the wait that a message states in words: `try again in 1m2.5s`, `retry after 7 seconds`."""
    text = _flat(message)
    if match := _WAIT.search(text):
        return parse_duration_ms(match[1])
    if match := _WAIT_WORDS.search(text):
        return parse_decimal_ms(match[1], _PERIODS_MS[match[2].lower()])
    return None


def _templated(text: str) -> StatedLimit | None:
    """Read OpenAI's own templates, of 2022 and since."""
    period = _PERIOD.search(text) or _PERIOD_2022.search(text)
    if period is None:
        return None
    named, shared = _NAME.search(text), _SHARED_NAME.search(text)
    return StatedLimit(
        metric=period[1],
        name=(shared or named or [None, None])[1],
        period_ms=_PERIODS_MS[period[2]],
        capacity=_number(_LIMIT, text) or None,
        used=_number(_USED, text),
        requested=_number(_REQUESTED, text),
        model=named[1] if named and shared and named[1] != shared[1] else None,
        project=" in project " in text,
    )


def _of_one_request(text: str) -> StatedLimit | None:
    """Read caps that no waiting resolves: a context window, one request's tokens, the enqueued tokens of batches."""
    if match := _PER_REQUEST.search(text):
        return StatedLimit("tokens", capacity=_count(match[2]), requested=_count(match[1]))
    if match := _CONTEXT.search(text):
        return StatedLimit("tokens", capacity=_count(match[1]), requested=_number(_CONTEXT_ASKED, text))
    if match := _QUEUE.search(text):
        return StatedLimit("tokens", name=match[1], capacity=_count(match[2]))
    return None


def _of_other_servers(text: str) -> StatedLimit | None:
    if match := _AZURE.search(text):
        return StatedLimit("tokens" if match[1] == "token" else "requests")
    if match := _SCALEWAY.search(text):
        return StatedLimit(match[1].lower(), period_ms=_PERIODS_MS[match[2].lower()])
    if match := _LITELLM.search(text):
        capacity, remaining = _count(match[2]), _count(match[3])
        used = None if capacity is None or remaining is None else max(0, capacity - remaining)
        return StatedLimit(match[1], capacity=capacity, used=used)
    if match := _LITELLM_OLD.search(text):
        rpm, rpm_max, tpm, tpm_max = (_count(number) or 0 for number in match.groups())
        if tpm >= tpm_max:
            return StatedLimit("tokens", period_ms=MINUTE_MS, capacity=tpm_max, used=tpm)
        return StatedLimit("requests", period_ms=MINUTE_MS, capacity=rpm_max, used=rpm)
    return None


def _flat(message: str) -> str:
    return " ".join(message[:TEXT_CHARS_MAX].split())


def _number(pattern: re.Pattern[str], text: str) -> int | None:
    match = pattern.search(text)
    return _count(match[1]) if match else None


def _count(text: str) -> int | None:
    return parse_count(text.rstrip(","))
