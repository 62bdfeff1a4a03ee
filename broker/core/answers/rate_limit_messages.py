"""Rate limits and waits in a refusal's text and details: name, numbers, wait.

A 429 of OpenAI gives an exact snapshot of the bucket that refused, in one of a few templates (facts/openai.md §4.2);
other servers have sentences and fields of their own. All of them are in `headrace.broker.core.answers.dialect_table`;
here they are applied. `stated_in` returns any mention of a limit, for people: also a context window, the queue of
batches, images, input tokens, a gateway's own limits. `snapshot_of` returns what a budget may believe of it: metric,
period and capacity, stated of the bucket that refused. Where the message stands in the body is the subject of
`headrace.broker.core.answers.error_body`.

A message may quote a prompt. Only numbers, known words and the limit's name are returned, and the name only from its
place in the template.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from headrace.broker.core.answers.answer import Details
from headrace.broker.core.answers.classification import TEXT_CHARS_MAX
from headrace.broker.core.answers.dialect_table import TABLE
from headrace.broker.core.answers.dialects import Template
from headrace.broker.core.answers.numbers import parse_count, parse_duration_ms, parse_span_ms, until_ms
from headrace.broker.core.answers.rate_limit_headers import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    MONTH_MS,
    RESET_MS_MAX,
    SECOND_MS,
    LimitMetric,
    Snapshot,
    span_ms,
)

STATEMENTS_MAX: Final = 4
"""The number of statements of one template that are read."""

_PERIODS_MS: Final = {
    "s": SECOND_MS,
    "sec": SECOND_MS,
    "second": SECOND_MS,
    "m": MINUTE_MS,
    "min": MINUTE_MS,
    "minute": MINUTE_MS,
    "h": HOUR_MS,
    "hour": HOUR_MS,
    "hourly": HOUR_MS,
    "d": DAY_MS,
    "day": DAY_MS,
    "daily": DAY_MS,
    "week": 7 * DAY_MS,
    "weekly": 7 * DAY_MS,
    "month": MONTH_MS,
}
_METRICS: Final = {
    "token": "tokens",
    "request tokens": "tokens",
    "t": "tokens",
    "request": "requests",
    "call": "requests",
    "calls": "requests",
    "query": "requests",
    "queries": "requests",
    "r": "requests",
    "input tokens": "input-tokens",
    "input_token": "input-tokens",
    "output tokens": "output-tokens",
}
_METRICS_IN_IDS: Final = (
    ("uncachedinputtoken", "uncached-input-tokens"),
    ("inputtoken", "input-tokens"),
    ("outputtoken", "output-tokens"),
    ("token", "tokens"),
    ("concurrentrequest", "concurrent-requests"),
    ("request", "requests"),
)
_PERIOD_IN_ID: Final = re.compile(r"(?:per|by)(second|minute|hour|day)")
_BUDGETED: Final = frozenset(metric.value for metric in LimitMetric)
SIDE_LIMITS: Final = {
    "input-tokens": "input-tokens",
    "uncached-input-tokens": "uncached-input-tokens",
    "input-images": "input-images",
    "images": "input-images",
}
"""What a budget can count besides, by the words of refusals."""


@dataclass(frozen=True, slots=True)
class StatedLimit:
    """All that an answer states of the limit that refused; None for each value that it does not state.

    Attributes:
        metric: `tokens`, `requests`, or another word, such as `input-tokens`, `concurrent-requests`, `neurons`.
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


@dataclass(frozen=True, slots=True)
class Statement:
    """A limit as a refusal states it; `exact`: of the bucket that refused, in numbers that a budget may believe."""

    limit: StatedLimit
    exact: bool


@dataclass(frozen=True, slots=True)
class _Reader:
    """A template, compiled."""

    template: Template
    sentence: re.Pattern[str]
    further: tuple[re.Pattern[str], ...]


def _compiled(expression: str) -> re.Pattern[str]:
    return re.compile(expression, re.IGNORECASE)


_READERS: Final = tuple(
    _Reader(template, _compiled(template.sentence), tuple(map(_compiled, template.further)))
    for dialect in TABLE
    for template in dialect.templates
)
_WAITS: Final = tuple(_compiled(expression) for dialect in TABLE for expression in dialect.waits)
_WAIT_FIELDS: Final = frozenset(name for dialect in TABLE for name in dialect.wait_fields.split())


def stated_in(message: str, details: Details = ()) -> Statement | None:
    """Return what a refusal states of a limit, by the first template of the table that applies, or None."""
    text = _flat(message, details)
    for reader in _READERS:
        if (match := reader.sentence.search(text)) is None:
            continue
        further: dict[str, str] = {}
        for pattern in reader.further:
            if (fact := pattern.search(text)) is not None:
                further |= _given(fact)
        matches = islice(reader.sentence.finditer(text, match.start()), STATEMENTS_MAX)
        limit = _the_one_used_up(_statement(reader.template, further | _given(match)) for match in matches)
        if limit is not None:
            return Statement(limit, reader.template.exact)
    return None


def snapshot_of(statement: Statement | None, wait_ms: int | None) -> Snapshot | None:
    """Return the bucket of tokens or requests that a refusal describes exactly, or None if it describes none.

    `wait_ms` is the wait that the refusal states in words.
    """
    if statement is None or not statement.exact:
        return None
    stated = statement.limit
    if stated.metric not in _BUDGETED or not stated.capacity or stated.period_ms is None:
        return None
    return Snapshot(
        metric=LimitMetric(stated.metric),
        period_ms=stated.period_ms,
        capacity=stated.capacity,
        used=stated.used,
        requested=stated.requested,
        limit_name=stated.name,
        wait_ms=wait_ms,
        project=stated.project,
    )


def side_limit_of(statement: Statement | None) -> StatedLimit | None:
    """Return the limit of `SIDE_LIMITS` that a refusal describes exactly, with size and period; None if it is none."""
    if statement is None or not statement.exact or not statement.limit.capacity or statement.limit.period_ms is None:
        return None
    kind = SIDE_LIMITS.get(statement.limit.metric)
    return None if kind is None else replace(statement.limit, metric=kind)


def wait_in_ms(message: str, details: Details = (), date: str = "") -> int | None:
    """Return the wait that a refusal states: in a field of its details, else in words.

    `date` is the response's own, with which instants are compared; without one they are ignored.
    """
    for name, text in details:
        if name in _WAIT_FIELDS and (wait_ms := span_ms(text, date)):
            return wait_ms
    text = _flat(message, details)
    for pattern in _WAITS:
        if (match := pattern.search(text)) is not None:
            facts = match.groupdict()
            if go := facts.get("go"):
                return parse_duration_ms(go)
            if words := facts.get("span"):
                return parse_span_ms(words)
            if wait_ms := until_ms(match["at"], date):
                return wait_ms
    return None


def _given(match: re.Match[str]) -> dict[str, str]:
    return {name: text for name, text in match.groupdict().items() if text is not None}


def _the_one_used_up(statements: Iterable[StatedLimit | None]) -> StatedLimit | None:
    """Return the statement whose limit is used up; where none says so, the first."""
    read = [stated for stated in statements if stated is not None]
    spent = (
        stated for stated in read if stated.capacity and stated.used is not None and stated.used >= stated.capacity
    )
    return next(spent, read[0] if read else None)


def _statement(template: Template, facts: Mapping[str, str]) -> StatedLimit | None:
    capacity, used, requested = (_count(facts.get(name)) for name in ("capacity", "used", "requested"))
    metric, period_ms = _counted(template, facts)
    if metric is None or (template.sized and not capacity):
        return None
    left, more = _count(facts.get("left")), _count(facts.get("more"))
    if left is not None and capacity is not None:
        used = max(0, capacity - left)
    if more is not None and requested is not None:
        requested += more
    shared, model = _name(facts.get("name")), _name(facts.get("model"))
    return StatedLimit(
        metric=metric,
        name=shared or model,
        period_ms=period_ms,
        capacity=capacity or None,
        used=used,
        requested=requested,
        model=model if shared and shared != model else None,
        project="project" in facts,
    )


def _counted(template: Template, facts: Mapping[str, str]) -> tuple[str | None, int | None]:
    """Return what is counted and in which period, by the statement's words, else by the template."""
    metric, period_ms = template.metric, template.period_ms
    if unit := facts.get("unit", "").lower():  # `TPM`
        metric, period_ms = _METRICS[unit[0]], _PERIODS_MS[unit[2]]
    if name := facts.get("id", "").lower().replace("_", ""):
        metric = next((word for part, word in _METRICS_IN_IDS if part in name), metric)
        period_ms = _PERIODS_MS[match[1]] if (match := _PERIOD_IN_ID.search(name)) is not None else period_ms
    if word := facts.get("metric", "").lower():
        metric = _METRICS.get(word, word)
    if word := facts.get("period", "").lower():
        period_ms = _PERIODS_MS[word] * int(facts.get("times", "1"))
    if seconds := facts.get("seconds"):
        period_ms = int(seconds) * SECOND_MS
    return metric, period_ms if period_ms and period_ms <= RESET_MS_MAX else None


def _flat(message: str, details: Details) -> str:
    """Return message and details as one line of bounded length."""
    text = " ".join(message[:TEXT_CHARS_MAX].split())
    if not details:
        return text
    fields = "; ".join(f"{name}: {value}" for name, value in details)
    return f"{text} | {' '.join(fields[:TEXT_CHARS_MAX].split())}"


def _count(text: str | None) -> int | None:
    return None if text is None else parse_count(text.rstrip(","))


def _name(text: str | None) -> str | None:
    return text.rstrip(".:") or None if text else None
