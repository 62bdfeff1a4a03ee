from dataclasses import dataclass

import pytest

from broker.core.bounds import OVERDUE_AFTER_MS
from broker.core.cancels import Cancel
from broker.core.identity import Awaited, Fate, Identities, Identity, Judgement, Overdue

TAKE, JOIN, WAIT, DONE, CONFLICT = Judgement

ID = b"i" * 16
BODY = b"b" * 8
OTHER_BODY = b"o" * 8
HOUR = 3_600_000


def run(number: int, fingerprint: bytes = BODY) -> Identity:
    return Identity(ID, number, fingerprint)


def identities(ids_max: int = 1_000) -> Identities:
    return Identities(window_ms=HOUR, ids_max=ids_max)


@dataclass(frozen=True)
class Open:
    run: int


@dataclass(frozen=True)
class Settled:
    fate: Fate
    run: int
    attempt: int = 0


PARKED_1 = Settled(Fate.PARKED, 0, 1)
PARKED_1_OF_RUN_2 = Settled(Fate.PARKED, 2, 1)
COMPLETED = Settled(Fate.COMPLETED, 0)
COMPLETED_RUN_2 = Settled(Fate.COMPLETED, 2)
FAILED = Settled(Fate.FAILED, 0)
FAILED_RUN_2 = Settled(Fate.FAILED, 2)
WITHDRAWN = Settled(Fate.WITHDRAWN, 0, 1)

# PROTOCOL 5, row by row: (run, attempt) of the record that arrives, then cell by cell.
TABLE: dict[str, tuple[tuple[int, int], dict[Open | Settled | None, Judgement]]] = {
    "first submission": (
        (0, 0),
        {
            None: TAKE,
            Open(0): JOIN,
            Open(2): JOIN,
            PARKED_1: DONE,
            Settled(Fate.PARKED, 0, 0): DONE,
            PARKED_1_OF_RUN_2: DONE,
            COMPLETED: DONE,
            COMPLETED_RUN_2: DONE,
            FAILED: DONE,
            FAILED_RUN_2: DONE,
            WITHDRAWN: DONE,
        },
    ),
    "retry, attempt 2": (
        (0, 2),
        {
            None: TAKE,
            Open(0): JOIN,
            Open(2): JOIN,
            Settled(Fate.PARKED, 0, 0): TAKE,
            PARKED_1: TAKE,
            Settled(Fate.PARKED, 0, 2): DONE,
            Settled(Fate.PARKED, 0, 3): DONE,
            PARKED_1_OF_RUN_2: DONE,
            COMPLETED: DONE,
            COMPLETED_RUN_2: DONE,
            FAILED: DONE,
            FAILED_RUN_2: DONE,
            WITHDRAWN: DONE,
        },
    ),
    "replay, run 1": (
        (1, 0),
        {
            None: TAKE,
            Open(1): JOIN,
            Open(0): WAIT,
            Open(2): WAIT,
            Settled(Fate.PARKED, 1, 1): DONE,
            PARKED_1: WAIT,
            PARKED_1_OF_RUN_2: WAIT,
            COMPLETED: DONE,
            COMPLETED_RUN_2: DONE,
            FAILED: TAKE,
            Settled(Fate.FAILED, 1): DONE,
            FAILED_RUN_2: DONE,
            WITHDRAWN: TAKE,
        },
    ),
    "retry of a replay, run 1, attempt 2": (
        (1, 2),
        {
            None: TAKE,
            Open(1): JOIN,
            Open(0): WAIT,
            Settled(Fate.PARKED, 1, 1): TAKE,
            Settled(Fate.PARKED, 1, 2): DONE,
            PARKED_1: WAIT,
            COMPLETED: DONE,
            FAILED: TAKE,
            Settled(Fate.FAILED, 1): DONE,
        },
    ),
}
CELLS = [
    pytest.param(arriving, known, judgement, id=f"{row}, {known}")
    for row, (arriving, cells) in TABLE.items()
    for known, judgement in cells.items()
]


def knowing(known: Open | Settled | None) -> Identities:
    ids = identities()
    match known:
        case Open():
            ids.open(run(known.run), 0)
        case Settled():
            ids.settle(run(known.run), known.attempt, known.fate, 0)
        case None:
            ids.settle(Identity(b"another id......", 0, BODY), 0, Fate.COMPLETED, 0)
    return ids


@pytest.mark.parametrize(("arriving", "known", "judgement"), CELLS)
def test_a_record_is_judged_by_the_table(
    arriving: tuple[int, int], known: Open | Settled | None, judgement: Judgement
) -> None:
    number, attempt = arriving
    ids = knowing(known)
    assert ids.judge(run(number), attempt) is judgement
    assert ids.is_settled(run(number), attempt) == (judgement is DONE)


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("attempt", [0, 2])
@pytest.mark.parametrize(
    "known", [Open(0), Open(2), PARKED_1, PARKED_1_OF_RUN_2, COMPLETED, COMPLETED_RUN_2, FAILED, FAILED_RUN_2]
)
def test_another_content_under_a_known_id_is_a_conflict(number: int, attempt: int, known: Open | Settled) -> None:
    assert knowing(known).judge(run(number, OTHER_BODY), attempt) is CONFLICT


@pytest.mark.parametrize(("arriving", "known", "judgement"), CELLS)
def test_what_the_table_takes_is_open_from_then_on_and_nothing_else(
    arriving: tuple[int, int], known: Open | Settled | None, judgement: Judgement
) -> None:
    number, attempt = arriving
    ids = knowing(known)
    assert ids.recognise(run(number), attempt) is judgement
    assert ids.judge(run(number), attempt) is (JOIN if judgement is TAKE else judgement)


def test_what_is_open_comes_before_what_was_settled() -> None:
    ids = knowing(PARKED_1)
    ids.open(run(0), 2)
    assert ids.judge(run(0), 3) is JOIN
    assert ids.fate(ID) == (Fate.PARKED, 0, 1)
    ids.forget_open(run(0))
    assert ids.judge(run(0), 3) is TAKE


def test_opening_what_the_table_does_not_take_is_a_mistake_of_ours() -> None:
    with pytest.raises(AssertionError):
        knowing(COMPLETED).open(run(0), 0)


def test_only_the_run_that_is_open_is_closed() -> None:
    ids = knowing(FAILED)
    ids.open(run(1), 0)
    ids.forget_open(run(0))
    ids.settle(run(0), 0, Fate.FAILED, 5)
    assert ids.judge(run(1), 0) is JOIN
    ids.forget_open(run(1))
    assert ids.judge(run(1), 0) is TAKE


@pytest.mark.parametrize("fate", Fate)
def test_settling_closes_what_is_open(fate: Fate) -> None:
    ids = knowing(Open(0))
    ids.settle(run(0), 0, fate, 0)
    ids.clear_open()
    assert ids.fate(ID) == (fate, 0, 0)
    assert ids.judge(run(0), 0) is DONE


def test_an_answer_closes_its_run_whatever_attempt_it_names() -> None:
    ids = knowing(PARKED_1)
    ids.open(run(0), 2)
    ids.settle(run(0), 1, Fate.WITHDRAWN, 0)
    assert ids.judge(run(0), 2) is DONE


def test_forgetting_what_is_not_open_changes_nothing() -> None:
    ids = knowing(PARKED_1)
    ids.forget_open(run(0))
    assert ids.fate(ID) == (Fate.PARKED, 0, 1)


def test_a_retry_that_parks_again_is_closed() -> None:
    ids = knowing(PARKED_1)
    ids.open(run(0), 2)
    ids.settle(run(0), 2, Fate.PARKED, 9)
    assert ids.judge(run(0), 3) is TAKE


def test_a_renewed_entry_does_not_close_the_retry_that_came_meanwhile() -> None:
    ids = knowing(PARKED_1)
    ids.open(run(0), 2)
    ids.settle(run(0), 1, Fate.PARKED, 9)
    assert ids.judge(run(0), 2) is JOIN


def test_clearing_forgets_what_is_open_and_nothing_else() -> None:
    ids = knowing(PARKED_1)
    ids.open(run(0), 2)
    ids.clear_open()
    assert ids.knows(ID)
    assert ids.judge(run(0), 2) is TAKE


def test_an_id_is_known_whether_open_parked_or_answered() -> None:
    assert not knowing(None).knows(ID)
    assert all(knowing(known).knows(ID) for known in (Open(0), PARKED_1, COMPLETED))


def test_the_fate_of_an_unknown_or_merely_open_id_is_none() -> None:
    assert knowing(Open(0)).fate(ID) is None


@pytest.mark.parametrize(
    ("known", "number", "answered"),
    [
        (None, 0, False),
        (Open(0), 0, False),
        (PARKED_1, 0, False),
        (PARKED_1_OF_RUN_2, 1, True),  # run 2 exists only because run 1 was answered
        (PARKED_1_OF_RUN_2, 2, False),
        (COMPLETED, 0, True),
        (COMPLETED, 1, True),
        (FAILED, 0, True),
        (FAILED, 1, False),
        (FAILED_RUN_2, 1, True),
        (WITHDRAWN, 0, True),
    ],
)
def test_answered_is_a_run_with_an_outcome_or_ruled_out_by_one(
    known: Open | Settled | None, number: int, *, answered: bool
) -> None:
    assert knowing(known).is_answered(run(number)) is answered


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
    assert knowing(known).returns(run(number), attempt) is returned


def test_parked_ids_and_waiting_cancels_share_half_of_the_ids_and_the_oldest_cancel_goes() -> None:
    ids = identities(ids_max=6)
    for number in range(2):
        ids.wait_for_request(Cancel(bytes([100 + number] * 16), 5), 10 + number)
    assert (ids.kept, ids.may_park) == (2, True)
    ids.settle(run(0), 1, Fate.PARKED, 20)
    assert (ids.kept, ids.may_park) == (3, False)
    ids.wait_for_request(Cancel(bytes([102] * 16), 5), 30)
    assert (ids.kept, ids.cancels.evicted, len(ids.cancels)) == (3, 1, 2)
    assert not ids.cancels.covers(bytes([100] * 16), 0)
    assert ids.cancels.covers(bytes([102] * 16), 0)
    assert ids.parked_count == 1


def test_the_ids_that_are_open_can_be_told() -> None:
    identities = Identities(window_ms=1_000, ids_max=10)
    assert identities.open_ids() == []
    identities.open(run(0), 0)
    assert identities.open_ids() == [run(0).id_hash]


def test_what_is_overdue_is_open_while_it_is_failed() -> None:
    ids = identities()
    ids.settle(run(0), 1, Fate.PARKED, 0)
    told = Awaited(run(0), 100, "x")
    ids.awaits(told)
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
    ids.awaits(told._replace(overdue=True))
    assert ids.was_overdue(ID)
    assert not ids.is_failing(ID)
    assert ids.judge(run(0), 2) is DONE
    assert ids.returns(run(0), 2)


def test_a_run_is_known_once_it_or_a_later_one_is_open_or_settled() -> None:
    ids = identities()
    assert not ids.knows_run(ID, 0)
    ids.open(run(1), 0)
    assert [ids.knows_run(ID, number) for number in (0, 1, 2)] == [True, True, False]
    ids.settle(run(1), 0, Fate.FAILED, 0)
    assert [ids.knows_run(ID, number) for number in (0, 1, 2)] == [True, True, False]


def test_a_parked_id_is_kept_until_its_copy_can_come_no_more() -> None:
    """By the longest deadline, where its own is not known, and the time that a copy may take after it."""
    ids = Identities(window_ms=10_000, ids_max=1_000, patience_ms=30_000, copy_within_ms=20_000)
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
    index.wait_for_request(Cancel(b"c" * 16, HOUR), HOUR)
    assert not index.retells
    index.retell(HOUR + 5_000)
    assert index.retells
    assert index.renewals(HOUR + 5_000) == [(run(0), 1, Fate.COMPLETED)]
    assert index.cancels.renewals(HOUR + 5_000) == [Cancel(b"c" * 16, HOUR)]
    index.settle(run(0), 1, Fate.COMPLETED, HOUR + 6_000)
    assert index.renewals(HOUR + 6_000) == []
    assert not index.retells
