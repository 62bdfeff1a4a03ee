"""A sender that waits is handed the outcome of its own request, or told of the conflict; never another's outcome.

For each record of a request a client is played that waits for it and compares as `GenerationClient` does: it follows
what is committed after it has sent the record, and reads back what was there before. Of every run the record is also
what a reader expects. A sender that cancels an id waits for its outcome as the tenant of each of its requests.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from headrace.broker.errors import IdConflict
from headrace.broker.outcome_wait import OutcomeWait
from headrace.schemas.codec import decode_outcome
from headrace.schemas.expectation import Expectation
from headrace.schemas.outcome import Completed, Outcome
from headrace.schemas.request_codec import DecodedRequest, decode_request
from tests.simulation.service.checkers.answers_belong_to_their_requests import number_of
from tests.simulation.service.checkers.conflicts_are_told import told_of_conflict
from tests.simulation.service.history import RESULTS, History
from tests.simulation.service.producers import Sent

Published = list[tuple[float, Outcome]]


def check(history: History) -> Iterator[str]:
    """A sender that is handed another's outcome, or that is neither answered nor told."""
    published, told = _published(history), told_of_conflict(history)
    tenants: dict[str, set[str]] = defaultdict(set)
    for sent in history.sent:
        decoded = _decoded(history, sent)
        if decoded is None:
            continue
        outcomes = published.get(decoded.request.id, [])
        if decoded.request.tenant is not None:
            tenants[decoded.request.id].add(decoded.request.tenant)
        yield from _reading(history, outcomes, sent, decoded)
        if sent.run == 0:
            yield from _waiting(history, outcomes, sent, decoded, told)
    yield from _cancelling(history, published, tenants)


def _reading(history: History, outcomes: Published, sent: Sent, decoded: DecodedRequest) -> Iterator[str]:
    """A reader that expects the outcome of this record, and takes another one for it."""
    expected = Expectation.of(decoded.request)
    for _, outcome in outcomes:
        if not expected.differences(outcome) and (reason := _why_not_of(history, outcome, sent, decoded)):
            yield f"a reader that expects the outcome of {_place(sent)} reads {reason}"


def _waiting(
    history: History, outcomes: Published, sent: Sent, decoded: DecodedRequest, told: set[str]
) -> Iterator[str]:
    """The sender of this record, which waits."""
    waiting = OutcomeWait(Expectation.of(decoded.request), "request", "", known_before=True)
    sender = f"the sender of {_place(sent)} ({sent.id})"
    try:
        handed = _handed(outcomes, sent, waiting)
    except IdConflict:
        if not (history.trimmed or _places_of_its_like(history, waiting.expected) & told):
            yield f"{sender} is told of a conflict that there is none of"
        return
    if handed is None:
        is_excused = sent.id in history.excused or (sent.id, sent.run) in history.convicted()
        if not (is_excused or history.trimmed):
            yield f"{sender} is neither answered nor told of a conflict"
    elif reason := _why_not(history, handed, sent, decoded):
        yield f"{sender} is handed {reason}"


def _places_of_its_like(history: History, expected: Expectation) -> set[str]:
    """Where this request stands, and those of the same id, tenant, endpoint and body, which no outcome tells apart."""
    alike = ((sent, _decoded(history, sent)) for sent in history.sent if sent.id == expected.id)
    return {_place(sent) for sent, each in alike if each is not None and Expectation.of(each.request) == expected}


def _cancelling(history: History, published: Mapping[str, Published], tenants: Mapping[str, set[str]]) -> Iterator[str]:
    """A sender that cancels as one tenant and is handed the answer of another one."""
    for sent in history.sent:
        for tenant in sorted(tenants.get(sent.id or "", ())) if sent.is_cancel else ():
            waiting = OutcomeWait(Expectation(str(sent.id), tenant), "cancel", "", known_before=True)
            with suppress(IdConflict):
                handed = _handed(published.get(str(sent.id), []), sent, waiting)
                if isinstance(handed, Completed) and handed.tenant != tenant:
                    yield f"the sender that cancels {sent.id} as {tenant} is handed an answer to {handed.tenant}"


def _place(sent: Sent) -> str:
    return f"{sent.topic}/{sent.partition}/{sent.offset}"


def _decoded(history: History, sent: Sent) -> DecodedRequest | None:
    """The request in a record; None if there is none, or of another id."""
    if sent.id is None or sent.body is None:
        return None
    record = history.kafka.logs(sent.topic)[sent.partition].slots[sent.offset].record
    decoded = None if record is None else decode_request(record.value, record.headers)
    return decoded if isinstance(decoded, DecodedRequest) and decoded.request.id == sent.id else None


def _handed(published: Sequence[tuple[float, Outcome]], sent: Sent, waiting: OutcomeWait) -> Outcome | None:
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
    return _why_not_of(history, handed, sent, decoded)


def _why_not_of(history: History, handed: Outcome, sent: Sent, decoded: DecodedRequest) -> str | None:
    """Why an answer is not to what this record asks for."""
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
