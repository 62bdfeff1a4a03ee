"""Recent failures for the log and the status: the reason of each, its request, and whether all of a kind fail.

A line of the log names id, position, model, reason, OpenAI's request id and the sentence of the outcome, which is in
our own words (`headrace.broker.core.answers.verdict`): never a prompt, an answer or a server's text. Lines are bounded
in rate, figures in size. Figures are this process's own: a successor begins at zero.
"""

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from headrace.broker.clock import WallClock
from headrace.broker.core.commands import DeadLetterOnly, Fail
from headrace.broker.core.identity.dedupe import Overdue
from headrace.broker.service.payloads import Payload
from headrace.schemas.request_codec import DecodedRequest, Undecodable

SAID_MAX: Final = 20
SAID_EVERY_MS: Final = 10_000
"""At most `SAID_MAX` lines in this time; the rest are counted."""
HOUR_MINUTES: Final = 60
LATELY_MINUTES: Final = 5
FAILED_MIN: Final = 3
"""Fewer failures are no pattern."""
KINDS_MAX: Final = 100
"""Models, lanes and reasons that are counted separately in a minute."""
_NAME_CHARS_MAX: Final = 100
_MINUTE_MS: Final = 60_000
_NO_FAILURE: Final = "cancelled"

_log = structlog.get_logger("failures")


@dataclass(slots=True)
class _Minute:
    """Counts of one minute: dead letters by reason, outcomes by what they have in common."""

    number: int
    dead_letters: Counter[str] = field(default_factory=Counter)
    answered: Counter[tuple[str, str]] = field(default_factory=Counter)
    failed: Counter[tuple[str, str, str]] = field(default_factory=Counter)


class Failures:
    """Outcomes of the last hour; each settlement is counted once it is committed."""

    def __init__(self, clock: WallClock) -> None:
        """Nothing has failed."""
        self._clock = clock
        self._begun_ms = clock.now_ms()
        self._minutes: deque[_Minute] = deque(maxlen=HOUR_MINUTES + 1)
        self._said: deque[int] = deque(maxlen=SAID_MAX)
        self._unsaid: Counter[str] = Counter()

    # ------------------------------------------------------------------ recording

    def count_completed(self, cargo: Payload) -> None:
        """Count a completed request."""
        _count(self._now().answered, *_kinds(cargo))

    def count_failed(self, cargo: Payload, fail: Fail) -> None:
        """Count and log a request with the outcome Failed. A cancelled one is no failure."""
        if fail.reason == _NO_FAILURE:
            return
        minute = self._now()
        _count(minute.dead_letters, fail.reason)
        _count(minute.failed, *((kind, name, fail.reason) for kind, name in _kinds(cargo)))
        self._say("request_failed", fail.reason, {**_named(cargo), "reason": fail.reason, "sentence": fail.sentence})

    def count_overdue(self, overdue: Overdue, fail: Fail) -> None:
        """Count and log a parked request that was Failed, since no retrier has put it back."""
        _count(self._now().dead_letters, fail.reason)
        told = {"id": overdue.name, "run": overdue.identity.run, "calls": overdue.attempts}
        self._say("request_failed", fail.reason, {**told, "reason": fail.reason, "sentence": fail.sentence})

    def count_dead_letter(self, cargo: Payload, bury: DeadLetterOnly) -> None:
        """Count and log a record that has a dead letter and no outcome."""
        _count(self._now().dead_letters, bury.reason)
        self._say(
            "dead_lettered", bury.reason, {**_named(cargo, bury.lost), "reason": bury.reason, "sentence": bury.sentence}
        )

    def count_late_letter(self, reason: str) -> None:
        """Count the dead letter of a request that was Failed before."""
        _count(self._now().dead_letters, reason)

    # ------------------------------------------------------------------ reporting

    def log_omitted(self) -> None:
        """Log how many lines were left out, once their interval is over; to be called now and then."""
        if self._unsaid and self._clock.now_ms() - self._said[-1] >= SAID_EVERY_MS:
            self._say_unsaid()

    def shown(self) -> dict[str, Any]:
        """Return for the status the hour's dead letters, and the models and lanes whose requests all failed lately."""
        first = self._now().number - HOUR_MINUTES + 1
        letters: Counter[str] = Counter()
        for minute in self._minutes:
            if minute.number >= first:
                letters.update(minute.dead_letters)
        whole_s = min(HOUR_MINUTES * 60, (self._clock.now_ms() - self._begun_ms) // 1_000)
        return {"seconds": whole_s, "dead_letters": dict(letters.most_common()), "all_failing": list(self._failing())}

    def _failing(self) -> Iterator[dict[str, Any]]:
        """Yield models and lanes with no answer in the last minutes, and at least `FAILED_MIN` failures."""
        first, answered, failed = self._now().number - LATELY_MINUTES + 1, Counter[tuple[str, str]](), Counter[Any]()
        for minute in self._minutes:
            if minute.number >= first:
                answered.update(minute.answered)
                failed.update(minute.failed)
        for of in dict.fromkeys((kind, name) for kind, name, _ in failed):
            reasons = {reason: count for (*other, reason), count in failed.most_common() if tuple(other) == of}
            if not answered[of] and sum(reasons.values()) >= FAILED_MIN:
                yield {"kind": of[0], "name": of[1], "minutes": LATELY_MINUTES, "reasons": reasons}

    # ------------------------------------------------------------------ internals

    def _now(self) -> _Minute:
        number = self._clock.now_ms() // _MINUTE_MS
        if not self._minutes or self._minutes[-1].number != number:
            self._minutes.append(_Minute(number))
        return self._minutes[-1]

    def _say(self, event: str, reason: str, told: dict[str, Any]) -> None:
        now_ms = self._clock.now_ms()
        if len(self._said) == SAID_MAX and now_ms - self._said[0] < SAID_EVERY_MS:
            self._unsaid[reason] += 1
            return
        if self._unsaid:
            self._say_unsaid()
        self._said.append(now_ms)
        _log.warning(event, **{name: value for name, value in told.items() if value is not None})

    def _say_unsaid(self) -> None:
        unsaid, self._unsaid = self._unsaid, Counter()
        _log.warning("failures_left_out", lines=unsaid.total(), reasons=dict(unsaid.most_common(KINDS_MAX)))


def _count(counter: Counter[Any], *kinds: Any) -> None:
    """Count one more of each kind; beyond `KINDS_MAX` kinds, new ones are not counted."""
    for kind in kinds:
        if kind in counter or len(counter) < KINDS_MAX:
            counter[kind] += 1


def _kinds(cargo: Payload) -> Iterator[tuple[str, str]]:
    """Yield what a request has in common with others: its lane and its model."""
    yield "lane", cargo.source.partition.lane
    if isinstance(cargo.content, DecodedRequest):
        yield "model", str(cargo.content.request.model or "")[:_NAME_CHARS_MAX]


def _named(cargo: Payload, lost: range | None = None) -> dict[str, Any]:
    """Name the record by names, numbers and positions; a lost range by its first offset, as its dead letter does."""
    content, place = cargo.content, cargo.source.partition
    told: dict[str, Any] = {"id": None, "run": None, "lane": place.lane, "tenant": None, "model": None}
    if isinstance(content, DecodedRequest):
        request = content.request
        told |= {"id": request.id, "run": content.run, "tenant": request.tenant, "model": request.model}
        told["calls"] = content.calls_before + cargo.calls
    elif isinstance(content, Undecodable):
        told |= {"id": content.request_id, "tenant": content.tenant, "model": content.model}
    told["origin"] = f"{cargo.topic}/{place.number}/{cargo.source.offset if lost is None else lost.start}"
    trace_id = None if cargo.trace is None else cargo.trace.process.trace_name
    return told | {"upstream_request_id": cargo.upstream_request_id, "trace_id": trace_id}
