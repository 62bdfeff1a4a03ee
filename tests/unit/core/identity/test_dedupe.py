import pytest

from headrace.broker.core.identity.dedupe import DedupeDecision, Fate
from tests.unit.core.identities import (
    COMPLETED,
    CONFLICT,
    DONE,
    FAILED,
    ID,
    JOIN,
    PARKED_1,
    PARKED_1_OF_RUN_2,
    TAKE,
    WAIT,
    WITHDRAWN,
    Open,
    Settled,
    knowing,
    run,
)

OTHER_BODY = b"o" * 8


COMPLETED_RUN_2 = Settled(Fate.COMPLETED, 2)
FAILED_RUN_2 = Settled(Fate.FAILED, 2)

# PROTOCOL 5, row by row: (run, attempt) of the record that arrives, then cell by cell.
TABLE: dict[str, tuple[tuple[int, int], dict[Open | Settled | None, DedupeDecision]]] = {
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


@pytest.mark.parametrize(("arriving", "known", "judgement"), CELLS)
def test_a_record_is_judged_by_the_table(
    arriving: tuple[int, int], known: Open | Settled | None, judgement: DedupeDecision
) -> None:
    number, attempt = arriving
    ids = knowing(known)
    assert ids.judge(run(number), attempt) is judgement


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("attempt", [0, 2])
@pytest.mark.parametrize(
    "known", [Open(0), Open(2), PARKED_1, PARKED_1_OF_RUN_2, COMPLETED, COMPLETED_RUN_2, FAILED, FAILED_RUN_2]
)
def test_another_content_under_a_known_id_is_a_conflict(number: int, attempt: int, known: Open | Settled) -> None:
    assert knowing(known).judge(run(number, OTHER_BODY), attempt) is CONFLICT


@pytest.mark.parametrize(("arriving", "known", "judgement"), CELLS)
def test_what_the_table_takes_is_open_from_then_on_and_nothing_else(
    arriving: tuple[int, int], known: Open | Settled | None, judgement: DedupeDecision
) -> None:
    number, attempt = arriving
    ids = knowing(known)
    assert ids.judge_and_open(run(number), attempt) is judgement
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


def test_an_id_is_known_whether_open_parked_or_answered() -> None:
    assert not knowing(None).knows(ID)
    assert all(knowing(known).knows(ID) for known in (Open(0), PARKED_1, COMPLETED))


def test_the_fate_of_an_unknown_or_merely_open_id_is_none() -> None:
    assert knowing(Open(0)).fate(ID) is None
