"""Ids that are parked, withdrawn, overdue or told again."""

import pytest

from headrace.broker.core.bounds import OVERDUE_AFTER_MS
from headrace.broker.core.identity.dedupe import Awaited, DedupeTable, Fate, Identity, Overdue
from headrace.broker.core.identity.pending_cancels import CancelRecord
from tests.unit.core.identities import (
    BODY,
    COMPLETED,
    DONE,
    FAILED,
    HOUR,
    ID,
    JOIN,
    PARKED_1,
    PARKED_1_OF_RUN_2,
    TAKE,
    WITHDRAWN,
    Open,
    Settled,
    identities,
    knowing,
    run,
)


def test_a_withdrawn_id_ages_once_its_copy_has_come_back() -> None:
    ids = knowing(PARKED_1)
    ids.settle(run(0), 1, Fate.WITHDRAWN, 0)
    assert ids.parked_count == 1
    assert ids.judge(run(0), 2) is DONE
    ids.settle(run(0), 2, Fate.FAILED, 0)
    assert ids.parked_count == 0
    assert ids.fate(ID) == (Fate.FAILED, 0, 2)


def test_a_retry_beyond_the_last_attempt_a_ledger_can_write_is_taken_never_lost() -> None:
    ids = identities()
    ids.settle(run(0), 400, Fate.PARKED, 0)
    assert ids.judge(run(0), 401) is TAKE
    ids.open(run(0), 401)
    ids.settle(run(0), 255, Fate.PARKED, 0)
    assert ids.judge(run(0), 402) is TAKE


def test_parking_ends_at_half_of_the_ids() -> None:
    ids = identities(ids_max=4)
    for number in range(2):
        assert ids.may_park
        ids.settle(Identity(bytes([number] * 16), 0, BODY), 1, Fate.PARKED, 0)
    assert not ids.may_park
    assert ids.parked_count == len(ids) == 2


def test_ageing_counting_and_renewing_are_those_of_the_fates() -> None:
    ids = identities(ids_max=2)
    ids.settle(run(0), 1, Fate.PARKED, 0)
    for number in range(2):
        ids.settle(Identity(bytes([number] * 16), 0, BODY), 0, Fate.COMPLETED, 1_000)
    assert (ids.evicted, len(ids), ids.window_reached_ms(3_000)) == (1, 2, 2_000)
    assert ids.renewals(HOUR // 2) == [(run(0), 1, Fate.PARKED)]
    ids.expire(HOUR + 1_000)
    assert len(ids) == 1


@pytest.mark.parametrize("known", [None, Open(0), COMPLETED, FAILED, WITHDRAWN])
def test_only_what_is_parked_can_be_withdrawn(known: Open | Settled | None) -> None:
    assert knowing(known).parked(ID) is None
    assert knowing(PARKED_1_OF_RUN_2).parked(ID) == (run(2), 1)


@pytest.mark.parametrize(
    ("known", "number", "attempt", "returned"),
    [
        (None, 0, 2, False),
        (PARKED_1, 0, 2, False),
        (FAILED, 0, 2, False),
        (WITHDRAWN, 0, 0, False),
        (WITHDRAWN, 0, 1, False),
        (WITHDRAWN, 0, 2, True),
        (WITHDRAWN, 1, 2, False),
    ],
)
def test_a_copy_returns_if_its_request_was_withdrawn_and_it_is_the_one_still_out(
    known: Settled | None, number: int, attempt: int, *, returned: bool
) -> None:
    assert knowing(known).is_returning_copy(run(number), attempt) is returned


def test_parked_ids_and_waiting_cancels_share_half_of_the_ids_and_the_oldest_cancel_goes() -> None:
    ids = identities(ids_max=6)
    for number in range(2):
        ids.record_cancel(CancelRecord(bytes([100 + number] * 16), 5), 10 + number)
    assert (ids.kept, ids.may_park) == (2, True)
    ids.settle(run(0), 1, Fate.PARKED, 20)
    assert (ids.kept, ids.may_park) == (3, False)
    ids.record_cancel(CancelRecord(bytes([102] * 16), 5), 30)
    assert (ids.kept, ids.cancels.evicted, len(ids.cancels)) == (3, 1, 2)
    assert not ids.cancels.covers(bytes([100] * 16), 0)
    assert ids.cancels.covers(bytes([102] * 16), 0)
    assert ids.parked_count == 1


def test_the_ids_that_are_open_can_be_told() -> None:
    identities = DedupeTable(window_ms=1_000, ids_max=10)
    assert identities.open_ids() == []
    identities.open(run(0), 0)
    assert identities.open_ids() == [run(0).id_hash]


def test_what_is_overdue_is_open_while_it_is_failed() -> None:
    ids = identities()
    ids.settle(run(0), 1, Fate.PARKED, 0)
    told = Awaited(run(0), 100, "x")
    ids.record_awaited(told)
    assert ids.awaited(ID) == told
    late_ms = 100_000 + OVERDUE_AFTER_MS
    assert ids.fail_overdue(late_ms - 1) == []
    assert not ids.is_failing(ID)
    assert ids.fail_overdue(late_ms) == [Overdue(run(0), 1, 100, "x")]
    assert ids.is_failing(ID)
    assert ids.judge(run(0), 2) is JOIN
    assert ids.fail_overdue(late_ms) == [], "it is under way"
    ids.forget_expected()
    assert not ids.is_failing(ID)
    assert ids.judge(run(0), 2) is TAKE
    assert len(ids.fail_overdue(late_ms)) == 1
    assert not ids.was_overdue(ID)
    ids.settle(run(0), 1, Fate.WITHDRAWN, 0)
    ids.record_awaited(told._replace(overdue=True))
    assert ids.was_overdue(ID)
    assert not ids.is_failing(ID)
    assert ids.judge(run(0), 2) is DONE
    assert ids.is_returning_copy(run(0), 2)


def test_a_run_is_known_once_it_or_a_later_one_is_open_or_settled() -> None:
    ids = identities()
    assert not ids.knows_run(ID, 0)
    ids.open(run(1), 0)
    assert [ids.knows_run(ID, number) for number in (0, 1, 2)] == [True, True, False]
    ids.settle(run(1), 0, Fate.FAILED, 0)
    assert [ids.knows_run(ID, number) for number in (0, 1, 2)] == [True, True, False]


def test_a_parked_id_is_kept_until_its_copy_can_come_no_more() -> None:
    """By the longest deadline, where its own is not known, and the time that a copy may take after it."""
    ids = DedupeTable(window_ms=10_000, ids_max=1_000, patience_ms=30_000, copy_within_ms=20_000)
    ids.settle(run(0), 1, Fate.PARKED, 0)
    told = ids.awaited(ID)
    assert told is not None
    assert told.deadline_s == 30
    assert ids.renewals(49_999)
    assert ids.knows(ID)
    assert not ids.renewals(50_000)
    assert not ids.knows(ID)


def test_where_the_ledger_is_gone_fates_and_cancels_are_told_again() -> None:
    index = identities()
    index.settle(run(0), 1, Fate.COMPLETED, HOUR)
    index.record_cancel(CancelRecord(b"c" * 16, HOUR), HOUR)
    assert not index.rewrites
    index.rewrite_all(HOUR + 5_000)
    assert index.rewrites
    assert index.renewals(HOUR + 5_000) == [(run(0), 1, Fate.COMPLETED)]
    assert index.cancels.renewals(HOUR + 5_000) == [CancelRecord(b"c" * 16, HOUR)]
    index.settle(run(0), 1, Fate.COMPLETED, HOUR + 6_000)
    assert index.renewals(HOUR + 6_000) == []
    assert not index.rewrites


def test_whose_request_is_parked_is_known_where_the_ledger_has_told_it() -> None:
    ids = DedupeTable(window_ms=HOUR, ids_max=100)
    assert ids.tenant_of_parked(run(0).id_hash) == b""
    ids.settle(run(0), 1, Fate.PARKED, 0)
    assert ids.tenant_of_parked(run(0).id_hash) == b""
    ids.record_awaited(Awaited(run(0), 100, "x", tenant_mark=b"acme...."))
    assert ids.tenant_of_parked(run(0).id_hash) == b"acme...."
