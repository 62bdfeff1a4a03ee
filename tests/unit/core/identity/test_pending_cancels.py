import tracemalloc

import pytest

from headrace.broker.core.bounds import CANCEL_SLACK_MS
from headrace.broker.core.identity.outcome_index import RENEWALS_MAX, STRIDES
from headrace.broker.core.identity.pending_cancels import CancelRecord, PendingCancels

WINDOW = 64_000  # a stride is one second
PATIENCE = 1_000_000
ID = b"i" * 16
AT = 500_000


def waiting(*cancels: CancelRecord, stated_ms: int = AT) -> PendingCancels:
    made = PendingCancels(window_ms=WINDOW, patience_ms=PATIENCE)
    for cancel in cancels:
        made.record(cancel, stated_ms)
    return made


def numbered(number: int) -> CancelRecord:
    return CancelRecord(number.to_bytes(16, "big"), AT)


@pytest.mark.parametrize(
    ("timestamp_ms", "answered"), [(AT + CANCEL_SLACK_MS, True), (AT + CANCEL_SLACK_MS + 1, False)]
)
def test_a_cancel_answers_what_is_older_or_a_minute_younger(timestamp_ms: int, *, answered: bool) -> None:
    assert waiting(CancelRecord(ID, AT)).covers(ID, timestamp_ms) is answered


def test_a_record_without_a_time_is_older_than_any_cancel() -> None:
    assert waiting(CancelRecord(ID, 0)).covers(ID, -1)


def test_a_cancel_of_an_id_that_failed_answers_what_is_older_and_nothing_younger() -> None:
    cancels = waiting(CancelRecord(ID, AT).for_replays())
    assert cancels.covers(ID, AT)
    assert not cancels.covers(ID, AT + 1)
    assert CancelRecord(ID, 5).for_replays() == CancelRecord(ID, 0)


def test_no_cancel_answers_another_id() -> None:
    assert not waiting(CancelRecord(ID, AT)).covers(b"o" * 16, AT)


def test_one_that_is_only_expected_answers_too_until_it_is_forgotten() -> None:
    cancels = waiting()
    cancels.expect(CancelRecord(ID, AT))
    cancels.expect(CancelRecord(ID, AT - 5))
    assert cancels.covers(ID, AT + CANCEL_SLACK_MS)
    assert len(cancels) == 0
    cancels.forget_expected()
    assert not cancels.covers(ID, AT)


def test_a_committed_cancel_answers_after_the_expected_ones_are_forgotten() -> None:
    cancels = waiting()
    cancels.expect(CancelRecord(ID, AT))
    cancels.record(CancelRecord(ID, AT), AT)
    cancels.forget_expected()
    assert cancels.covers(ID, AT)


def test_what_is_expected_is_over_once_its_like_or_a_later_one_is_committed() -> None:
    cancels = waiting()
    cancels.expect(CancelRecord(ID, AT + 5))
    cancels.record(CancelRecord(ID, AT), AT)
    assert cancels._expected == {ID: AT + 5}
    cancels.record(CancelRecord(ID, AT + 5), AT)
    assert cancels._expected == {}


def test_the_latest_of_several_cancels_counts_in_whatever_order_they_are_told() -> None:
    for told in ((AT, AT + 9), (AT + 9, AT)):
        cancels = waiting(*(CancelRecord(ID, at_ms) for at_ms in told))
        assert len(cancels) == 1
        assert cancels.covers(ID, AT + 9 + CANCEL_SLACK_MS)


def test_a_cancel_is_said_again_after_half_a_window_until_that_is_committed() -> None:
    cancels = waiting(CancelRecord(ID, AT))
    assert cancels.renewals(AT + WINDOW // 2 - 1) == []
    later = AT + WINDOW // 2 + WINDOW // STRIDES
    assert cancels.renewals(later) == [CancelRecord(ID, AT)]
    assert cancels.renewals(later) == [CancelRecord(ID, AT)]
    cancels.record(CancelRecord(ID, AT), later)
    assert cancels.renewals(later + 1) == []
    cancels.record(CancelRecord(ID, AT), AT)  # the ledger, read again from further back
    assert cancels.renewals(later + WINDOW // 2 - 1) == []


def test_ages_are_looked_at_once_in_a_stride() -> None:
    cancels = waiting()
    assert cancels.renewals(AT) == []
    cancels.record(CancelRecord(ID, AT), AT - WINDOW)
    assert cancels.renewals(AT + WINDOW // STRIDES - 1) == []
    assert cancels.renewals(AT + WINDOW // STRIDES) == [CancelRecord(ID, AT)]


def test_renewals_come_in_batches_the_oldest_first() -> None:
    cancels = waiting(*(numbered(number) for number in range(RENEWALS_MAX + 1)))
    batch = cancels.renewals(AT + WINDOW)
    assert batch == [numbered(number) for number in range(RENEWALS_MAX)]
    for cancel in batch:
        cancels.record(cancel, AT + WINDOW)
    assert cancels.renewals(AT + WINDOW) == [numbered(RENEWALS_MAX)]


def test_a_cancel_whose_request_can_come_no_more_is_forgotten_and_not_said_again() -> None:
    cancels = waiting(CancelRecord(ID, AT))
    assert cancels.renewals(AT + PATIENCE) == [CancelRecord(ID, AT)]
    assert cancels.renewals(AT + PATIENCE + 1) == []
    assert not cancels.covers(ID, AT)
    assert (len(cancels), cancels.evicted) == (0, 0)


def test_above_the_bound_the_oldest_go_and_are_counted() -> None:
    cancels = waiting(*(numbered(number) for number in range(5)))
    cancels.shrink(5)
    assert len(cancels) == 5
    cancels.shrink(3)
    assert [cancels.covers(numbered(number).id_hash, AT) for number in range(5)] == [False, False, True, True, True]
    cancels.shrink(-1)
    assert (len(cancels), cancels.evicted) == (0, 5)


@pytest.mark.parametrize(("window_ms", "patience_ms"), [(0, 1), (1, -1)])
def test_a_book_without_extent_is_a_mistake_of_ours(window_ms: int, patience_ms: int) -> None:
    with pytest.raises(AssertionError):
        PendingCancels(window_ms=window_ms, patience_ms=patience_ms)


def test_an_id_takes_two_hundred_bytes_at_most() -> None:
    ids = [number.to_bytes(16, "big") for number in range(10_923)]  # where a dict grows, and wastes most
    tracemalloc.start()
    cancels = PendingCancels(window_ms=WINDOW, patience_ms=PATIENCE)
    for id_hash in ids:
        cancels.record(CancelRecord(id_hash, 1_760_000_000_000), 1_760_000_000_000)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken / len(ids) + 49 <= 200  # and the id itself


def test_where_the_ledger_is_gone_every_cancel_is_said_again() -> None:
    cancels = waiting(numbered(1), numbered(2))
    assert cancels.renewals(AT + 1) == []
    cancels.rewrite_all()
    assert cancels.renewals(AT + 2) == [numbered(1), numbered(2)]
    for cancel in cancels.renewals(AT + 2):
        cancels.record(cancel, AT + 2)
    assert cancels.renewals(AT + 3) == []
    assert cancels.covers(numbered(1).id_hash, AT)


@pytest.mark.parametrize("stated_ms", [AT, AT + 1])
def test_when_the_ledger_told_of_a_cancel_does_not_change_what_it_answers(stated_ms: int) -> None:
    cancels = waiting(CancelRecord(ID, AT), stated_ms=stated_ms)
    assert not cancels.covers(ID, AT + CANCEL_SLACK_MS + 1)
    assert cancels.renewals(stated_ms + WINDOW // 2 - 1) == []
    assert cancels.renewals(stated_ms + WINDOW // 2 + WINDOW // STRIDES) == [CancelRecord(ID, AT)]


ACME, ZENITH = b"acme....", b"zenith.."


def test_a_cancel_that_names_a_tenant_answers_for_that_tenant_alone() -> None:
    cancels = waiting(CancelRecord(ID, AT, ACME))
    assert cancels.covers(ID, AT, ACME)
    assert not cancels.covers(ID, AT, ZENITH)
    assert not cancels.covers(ID, AT)


def test_a_cancel_that_names_no_tenant_answers_for_each() -> None:
    cancels = waiting(CancelRecord(ID, AT))
    assert cancels.covers(ID, AT, ACME)
    assert cancels.covers(ID, AT)


def test_cancels_of_two_tenants_wait_side_by_side_and_are_told_again_as_they_were() -> None:
    asked = [CancelRecord(ID, AT, ACME), CancelRecord(ID, AT + 1, ZENITH)]
    cancels = waiting(*asked)
    assert len(cancels) == 2
    cancels.expect(CancelRecord(ID, AT + 2, ZENITH))
    assert cancels.covers(ID, AT + 2 + CANCEL_SLACK_MS, ZENITH)
    assert not cancels.covers(ID, AT + 2 + CANCEL_SLACK_MS, ACME)
    cancels.rewrite_all()
    assert cancels.renewals(AT) == asked
    assert asked[0].for_replays() == CancelRecord(ID, AT - CANCEL_SLACK_MS, ACME)


@pytest.mark.parametrize(
    ("named", "known", "spares"),
    [
        (b"", ACME, False),
        (ACME, b"", False),
        (ACME, ACME, False),
        (ACME, ZENITH, True),
    ],
)
def test_only_a_request_that_is_known_to_be_another_tenants_is_spared(
    named: bytes, known: bytes, *, spares: bool
) -> None:
    assert CancelRecord(ID, AT, named).spares(known) is spares
