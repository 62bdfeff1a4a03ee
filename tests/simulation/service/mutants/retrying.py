"""Faults of the retrier, which puts back what was parked."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from unittest.mock import patch

from headrace.broker.ports import Fetched, Outgoing, StoredOffset, TransactionLog
from headrace.consumers.retries.releases import Releases
from headrace.consumers.retries.retrier import Retrier
from headrace.consumers.retries.rewriting import Rewriting
from headrace.schemas import headers as names
from headrace.schemas.codec import encode_retry
from headrace.schemas.dead_letter import Origin
from headrace.schemas.failure import RetryableFailure
from headrace.schemas.record import Record
from tests.simulation.service.mutants.committing import Patch
from tests.simulation.service.mutants.planting import WAITS, planted

RETRIER = "a retrier is killed"


@planted(3, RETRIER)
def a_retriers_progress_is_not_stored() -> Patch:
    """What was put back is put back again by the next retrier."""
    whole = Retrier._commit

    async def commit(
        self: Retrier, producer: TransactionLog, outgoing: Sequence[Outgoing], touched: Mapping[int, Releases]
    ) -> None:
        await whole(self, producer, outgoing, {} if outgoing else touched)

    return patch.object(Retrier, "_commit", commit)


@planted(2, RETRIER)
def a_retriers_progress_runs_ahead() -> Patch:
    """What was read counts as put back."""
    whole = Releases.stored

    def stored(self: Releases, term: int) -> StoredOffset:
        return whole(Releases(self.next_offset), term)

    return patch.object(Releases, "stored", stored)


@planted(WAITS)
def copies_come_back_too_early() -> Patch:
    """What is parked is due at once."""
    whole = Rewriting.read

    def read(self: Rewriting, number: int, fetched: Fetched) -> tuple[RetryableFailure | None, int]:
        return whole(self, number, fetched)[0], 0

    return patch.object(Rewriting, "read", read)


@planted(2)
def a_copy_says_no_attempt() -> Patch:
    """A copy looks like a duplicate of what was parked."""
    whole = encode_retry

    def encode(failure: RetryableFailure, origin: Origin) -> Record:
        record = whole(failure, origin)
        return replace(record, headers=tuple(each for each in record.headers if each[0] != names.ATTEMPT))

    return patch("headrace.consumers.retries.rewriting.encode_retry", encode)


@planted(2)
def what_is_parked_again_keeps_its_number() -> Patch:
    """A request that is parked once more does not raise its attempt, so that its next copy looks like its last."""
    whole = encode_retry

    def encode(failure: RetryableFailure, origin: Origin) -> Record:
        return whole(failure.model_copy(update={"attempt": min(failure.attempt, 1)}), origin)

    return patch("headrace.consumers.retries.rewriting.encode_retry", encode)


@planted(2)
def a_copy_goes_to_another_lane() -> Patch:
    """A copy is put on the first lane, whatever lane it came from."""
    return patch.object(Rewriting, "lane", lambda self, _named: self._rules.lanes[0])
