"""Who sent a request and waits for it is handed its own outcome, or told of the conflict; never what is another's.

Each record of a request is waited for by a client of its own, which compares as `GenerationClient` does: it follows
what is committed from when it sent the record on, and reads back what was there before.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from broker.client import _Waiting
from broker.errors import IdConflict
from schemas.codec import decode_outcome
from schemas.expectation import Expectation
from schemas.outcome import Completed, Outcome
from schemas.request_codec import DecodedRequest, decode_request
from tests.simulation.service.checkers.answers_belong_to_their_requests import number_of
from tests.simulation.service.checkers.conflicts_are_told import told_of_conflict
from tests.simulation.service.history import RESULTS, History
from tests.simulation.service.producers import Sent

Published = list[tuple[float, Outcome]]


def check(history: History) -> Iterator[str]:
    """A sender that is handed another's outcome, or that is neither answered nor told."""
    published, told = _published(history), told_of_conflict(history)
    for sent in history.sent:
        if sent.id is None or sent.body is None or sent.run:
            continue
        record = history.kafka.logs(sent.topic)[sent.partition].slots[sent.offset].record
        decoded = None if record is None else decode_request(record.value, record.headers)
        if not isinstance(decoded, DecodedRequest) or decoded.request.id != sent.id:
            continue
        waiting = _Waiting(Expectation.of(decoded.request), "request", "", known_before=True)
        place = f"{sent.topic}/{sent.partition}/{sent.offset}"
        try:
            handed = _handed(published.get(sent.id, []), sent, waiting)
        except IdConflict:
            if place not in told and not history.trimmed:
                yield f"who sent {place} as {sent.id} is told of a conflict that there is none of"
            continue
        if handed is None:
            if sent.id not in history.excused and not history.trimmed:
                yield f"who sent {place} as {sent.id} is neither answered nor told of a conflict"
        elif reason := _why_not(history, handed, sent, decoded):
            yield f"who sent {place} as {sent.id} is handed {reason}"


def _handed(published: Sequence[tuple[float, Outcome]], sent: Sent, waiting: _Waiting) -> Outcome | None:
    """What the client returns: the first that concerns it from then on, else the last run that was there before."""
    for at_s, outcome in published:
        if at_s >= sent.at_s and waiting.expected.concerns(outcome):
            return waiting.checked(outcome)
    earlier = [each for at_s, each in published if at_s < sent.at_s and each.id == sent.id]
    last = max(reversed(earlier), key=lambda each: each.run, default=None)
    return None if last is None or not waiting.accepts(last) else waiting.checked(last)


def _why_not(history: History, handed: Outcome, sent: Sent, decoded: DecodedRequest) -> str | None:
    """Why an outcome is not of this very request."""
    if handed.id != sent.id:
        return f"the outcome of {handed.id}"
    if isinstance(handed, Completed):
        if handed.tenant != decoded.request.tenant:
            return f"the answer to a request of {handed.tenant}"
        told: dict[str, Any] = {"response": handed.response}
        number = number_of(told)
        if number is not None and history.calls[number - 1].body != sent.body:
            return "the answer to another body"
    return None


def _published(history: History) -> dict[str, Published]:
    """Every outcome by the key of its record, and when it was committed."""
    found: dict[str, Published] = {}
    for commit in history.commits:
        for record in commit.records.get(RESULTS, ()):
            told = commit.at_s, decode_outcome(record.value, record.headers)
            found.setdefault((record.key or b"").decode(), []).append(told)
    return found
