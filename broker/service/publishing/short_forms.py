"""Smallest true form of a settlement whose records could not be made, since our own code raised.

A settlement that would have been Completed or parked is Failed (`crashed`), in the results and in the ledger, with a
dead letter. One that has failed anyway is published in shorter form. Where not even that can be made, a dead letter
without content is left; only if that cannot be made either does the exception end the process.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from headrace.broker.core.commands import Complete, DeadLetterOnly, Decision, Fail, Park, Settlement, Withdraw
from headrace.broker.ports import Outgoing
from headrace.broker.service.containment import ContainmentReporter
from headrace.broker.service.payloads import Payload
from headrace.broker.service.published import PublishedOutcome
from headrace.broker.service.publishing.costing import Costing
from headrace.broker.service.publishing.outcomes import bill_of, identity_of, timings_of
from headrace.schemas import topics
from headrace.schemas.codec import encode_dead_letter, encode_outcome
from headrace.schemas.control import Cancel
from headrace.schemas.ids import request_digest
from headrace.schemas.outcome import Failed
from headrace.schemas.request_codec import DecodedRequest, Undecodable

ENCODE_CRASHED = Fail("crashed", "A defect in the dispatcher kept the outcome of this request from being written.")
"""Replaces a decision whose record cannot be made; its call, if any, is paid for and not repeated."""

OVERDUE = Fail("deadline_exceeded", "The request was parked, and had not come back long after its deadline.")
"""Failure of a parked request whose copy did not come back."""

_ANY_TIME: Final = datetime(2026, 1, 1, tzinfo=UTC)
_PLENTY_BYTES = 64 * 1024
"""Far above the weight of a dead letter without content."""

Letter = Callable[[Payload, Fail, datetime], Outgoing]
"""Maker of the dead letter of an unchanged record, with reason and sentence."""


class ShortForms:
    """Maker of the short forms of one dispatcher."""

    def __init__(self, prefix: str, contained: ContainmentReporter, letter: Letter, costing: Costing) -> None:
        """`contained` reports the exceptions; `costing` says what a call cost that was paid."""
        self._costing = costing
        self._results = topics.results_topic(prefix)
        self._dead_letters = topics.dead_letters_topic(prefix)
        self._contained = contained
        self._letter = letter

    def of(
        self, settlement: Settlement, cargo: Payload, error: Exception, *, term: int, now: datetime
    ) -> list[Outgoing]:
        """Return the records in place of those that raised `error`."""
        partition, offset = cargo.source.partition.number, cargo.source.offset
        self._contained("encode", error, topic=cargo.topic, partition=partition, offset=offset)
        decision = ENCODE_CRASHED if fails_instead(settlement.decision) else settlement.decision
        try:
            return [*self._shortened(cargo, decision, term, now)]
        except Exception as second:  # noqa: BLE001 — see the module: the record's position can still be reported
            self._contained("encode", second, topic=cargo.topic, partition=partition, offset=offset)
            return [self._empty_letter(cargo, now)]

    def _shortened(self, cargo: Payload, decision: Decision, term: int, now: datetime) -> Iterator[Outgoing]:
        match decision:
            case Fail():
                yield self._result(self._failed(cargo, decision, term), now)
                if decision.reason != "cancelled":
                    yield self._letter_or_place(cargo, decision, now)
            case Withdraw():
                yield self._result(withdrawn(cargo, decision, term), now)
            case DeadLetterOnly():
                yield self._empty_letter(cargo, now, decision.lost)
            case _:
                return  # only the copy of an outcome that is in the results already

    def _failed(self, cargo: Payload, fail: Fail, term: int) -> Failed:
        """Make a failed outcome of nothing but ids, a sentence of our own, and the identity of its request.

        By that alone the sender recognises the outcome of a conflict; without it, the sender would learn of the
        conflict only when its wait is over.
        """
        content = cargo.content
        assert isinstance(content, DecodedRequest | Undecodable)  # noqa: S101 — programmer error: no cancel fails
        request_id, submitted_id = identity_of(cargo, fail)
        return Failed(
            **_whose(content),
            **self._bill(cargo),
            id=request_id,
            run=0 if fail.apart else content.run,
            submitted_id=submitted_id,
            lane=cargo.source.partition.lane,
            reason=fail.reason,
            message=fail.sentence,
            attempts=cargo.calls,
            upstream_request_id=cargo.upstream_request_id,
            term=term,
        )

    def _bill(self, cargo: Payload) -> dict[str, Any]:
        """Return what the last call used and when, if it was paid; of that what can be made and written."""
        told: dict[str, Any] = {}
        if not cargo.paid or not isinstance(cargo.content, DecodedRequest):
            return told
        request, cost = cargo.content.request, self._costing.cost(cargo)
        for part in (lambda: bill_of(cargo, request, cost), lambda: {"timings": timings_of(cargo)}):
            with suppress(Exception):  # it may be just what could not be written
                more = told | part()
                encode_outcome(Failed(id="x", reason="crashed", **more), time=_ANY_TIME)
                told = more
        return told

    def _result(self, outcome: Failed, now: datetime) -> Outgoing:
        return PublishedOutcome(self._results, encode_outcome(outcome, time=now), outcome=outcome)

    def _letter_or_place(self, cargo: Payload, fail: Fail, now: datetime) -> Outgoing:
        try:
            return self._letter(cargo, fail, now)
        except Exception:  # noqa: BLE001 — the outcome stands; the record's position is reported
            return self._empty_letter(cargo, now)

    def _empty_letter(self, cargo: Payload, now: datetime, lost: range | None = None) -> Outgoing:
        """Make a letter with only the position of the record, or of the first lost one."""
        offset = cargo.source.offset if lost is None else lost.start
        origin = (cargo.topic, cargo.source.partition.number, offset)
        record = encode_dead_letter(
            None,
            None,
            (),
            reason="crashed",
            origin=origin,
            attempts=0,
            run=0,
            failed_at=now,
            max_bytes=_PLENTY_BYTES,
            message=ENCODE_CRASHED.sentence,
        )
        return Outgoing(self._dead_letters, record)


def fails_instead(decision: Decision) -> bool:
    """Whether a settlement is Failed (`crashed`) if its records cannot be made; any other keeps its decision."""
    return isinstance(decision, Complete | Park)


def _whose(content: DecodedRequest | Undecodable) -> dict[str, Any]:
    """Return tenant, template, endpoint and digest; nothing where they cannot be made, or make no outcome."""
    with suppress(Exception):  # these may be just what could not be written
        if isinstance(content, DecodedRequest):
            asked = content.request
            digest = request_digest(asked.endpoint, asked.body)
            told = {"tenant": asked.tenant, "template": asked.template, "endpoint": asked.endpoint}
            told |= {"request_digest": digest}
            encode_outcome(Failed(id="x", reason="crashed", **told), time=_ANY_TIME)
            return told
    return {}


def withdrawn(cargo: Payload, withdraw: Withdraw, term: int) -> Failed:
    """Make the outcome of a cancelled parked request: its body is in the failures topic, not here."""
    assert isinstance(cargo.content, Cancel)  # noqa: S101 — programmer error: only a cancel withdraws
    return Failed(
        id=cargo.content.id,
        run=withdraw.run,
        tenant=cargo.content.tenant if withdraw.of_tenant else None,
        reason="cancelled",
        message=withdraw.sentence,
        attempts=withdraw.attempts,
        term=term,
    )
