"""The smallest true form of a settlement whose records could not be made, since our own code raised.

What should have been Completed or parked is Failed (`crashed`), in the results and in the ledger, with a dead letter.
What has failed anyway says so in fewer words. Where not even that can be made, a dead letter without content is left;
only if that cannot be made either the exception ends the process.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from broker.core.commands import Complete, DeadLetterOnly, Decision, Fail, Park, Settlement, Withdraw
from broker.ports import Outgoing
from broker.service.containment import Contained
from broker.service.payloads import Payload
from broker.service.publishing.outcomes import identity_of
from schemas import topics
from schemas.codec import encode_dead_letter, encode_outcome
from schemas.control import Cancel
from schemas.ids import request_digest
from schemas.outcome import Failed
from schemas.request_codec import DecodedRequest, Undecodable

ENCODE_CRASHED = Fail("crashed", "A defect in the dispatcher kept the outcome of this request from being written.")
"""In place of a decision whose record cannot be made; a call that it took is paid, and is not repeated."""

OVERDUE = Fail("deadline_exceeded", "The request was parked, and had not come back long after its deadline.")
"""Of a parked request whose copy did not come back."""

_ANY_TIME: Final = datetime(2026, 1, 1, tzinfo=UTC)
_PLENTY_BYTES = 64 * 1024
"""Far above what a dead letter without content weighs."""

Letter = Callable[[Payload, Fail, datetime], Outgoing]
"""Makes the dead letter of a record as it was, with reason and sentence."""


class ShortForms:
    """Makes them for one dispatcher."""

    def __init__(self, prefix: str, contained: Contained, letter: Letter) -> None:
        """`contained` is told of the exceptions."""
        self._results = topics.results_topic(prefix)
        self._dead_letters = topics.dead_letters_topic(prefix)
        self._contained = contained
        self._letter = letter

    def of(
        self, settlement: Settlement, cargo: Payload, error: Exception, *, term: int, now: datetime
    ) -> list[Outgoing]:
        """The records in place of those that raised `error`."""
        partition, offset = cargo.source.partition.number, cargo.source.offset
        self._contained("encode", error, topic=cargo.topic, partition=partition, offset=offset)
        decision = ENCODE_CRASHED if fails_instead(settlement.decision) else settlement.decision
        try:
            return [*self._shortened(cargo, decision, term, now)]
        except Exception as second:  # noqa: BLE001 — see the module: the place of the record can still be told
            self._contained("encode", second, topic=cargo.topic, partition=partition, offset=offset)
            return [self._empty_letter(cargo, now)]

    def _shortened(self, cargo: Payload, decision: Decision, term: int, now: datetime) -> Iterator[Outgoing]:
        match decision:
            case Fail():
                yield Outgoing(self._results, encode_outcome(_failed(cargo, decision, term), time=now))
                if decision.reason != "cancelled":
                    yield self._letter_or_place(cargo, decision, now)
            case Withdraw():
                yield Outgoing(self._results, encode_outcome(withdrawn(cargo, decision, term), time=now))
            case DeadLetterOnly():
                yield self._empty_letter(cargo, now, decision.lost)
            case _:
                return  # nothing but the copy of an outcome that stands in the results

    def _letter_or_place(self, cargo: Payload, fail: Fail, now: datetime) -> Outgoing:
        try:
            return self._letter(cargo, fail, now)
        except Exception:  # noqa: BLE001 — the outcome stands; of the record its place is told
            return self._empty_letter(cargo, now)

    def _empty_letter(self, cargo: Payload, now: datetime, lost: range | None = None) -> Outgoing:
        """Where the record stands, or the first of those that were lost, and no more."""
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
    """Whether a settlement is Failed (`crashed`) if its records cannot be made; else it says in short what it was."""
    return isinstance(decision, Complete | Park)


def _failed(cargo: Payload, fail: Fail, term: int) -> Failed:
    """A failed outcome of nothing but ids, words of our own, and whose request it is.

    Its sender knows the outcome of a conflict by that alone; without it the conflict would be told when a wait is over.
    """
    content = cargo.content
    assert isinstance(content, DecodedRequest | Undecodable)  # noqa: S101 — programmer error: no cancel fails
    named = content.request.id if isinstance(content, DecodedRequest) else content.request_id or ""
    request_id, submitted_id = identity_of(cargo, named, fail)
    return Failed(
        **_whose(content),
        id=request_id,
        run=0 if fail.apart else content.run,
        submitted_id=submitted_id,
        lane=cargo.source.partition.lane,
        reason=fail.reason,
        message=fail.sentence,
        attempts=cargo.calls,
        term=term,
    )


def _whose(content: DecodedRequest | Undecodable) -> dict[str, Any]:
    """Tenant, endpoint and digest; nothing where they cannot be made either, or make no outcome."""
    with suppress(Exception):  # what could not be written may be just these
        if isinstance(content, DecodedRequest):
            asked = content.request
            digest = request_digest(asked.endpoint, asked.body)
            told = {"tenant": asked.tenant, "endpoint": asked.endpoint, "request_digest": digest}
            encode_outcome(Failed(id="x", reason="crashed", **told), time=_ANY_TIME)
            return told
    return {}


def withdrawn(cargo: Payload, withdraw: Withdraw, term: int) -> Failed:
    """The outcome of a parked request that was cancelled: what it asked for stands in the failures topic, not here."""
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
