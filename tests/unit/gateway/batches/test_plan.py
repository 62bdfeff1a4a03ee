from collections.abc import Sequence

import pytest

from headrace.broker.gateway.batches.plan import (
    GRACE_MS,
    UNANSWERED_MAX,
    RunMemory,
    Step,
    ending_of,
    first_given_up,
    next_step,
    stop_code,
)
from headrace.broker.gateway.batches.records import (
    AnswerLine,
    AnswersPiece,
    BatchCancelAsked,
    BatchEnded,
    BatchProgress,
    BatchRecord,
    BatchValidated,
)
from headrace.broker.gateway.batches.state import BatchState
from tests.unit.gateway.batches.batches import created

EXPIRES_MS = created().expires_s * 1_000
NOW_MS = EXPIRES_MS - 1


def after(*records: BatchRecord) -> BatchState:
    state = BatchState(created())
    for offset, record in enumerate(records):
        state.apply(record, NOW_MS, offset)
    return state


def answers(*numbers: int, is_expired: bool = False) -> AnswersPiece:
    return AnswersPiece(tuple(AnswerLine(number, not is_expired, b"{}", is_expired=is_expired) for number in numbers))


LOOKED = {"has_looked": True}
VALID = BatchValidated(lines=3)
ALL = BatchProgress(done=3, upto=3)


@pytest.mark.parametrize(
    ("records", "memory", "now_ms", "step"),
    [
        ((), {}, NOW_MS, Step.VALIDATE),
        ((BatchEnded(status="failed"),), {}, NOW_MS, Step.FINISH),
        ((VALID,), {}, NOW_MS, Step.LOOK),
        ((VALID,), LOOKED, NOW_MS, Step.SUBMIT),
        ((VALID, ALL), {**LOOKED, "submitted": 3}, NOW_MS, Step.COLLECT),
        ((VALID, answers(0, 1)), {**LOOKED, "submitted": 3}, NOW_MS, Step.COLLECT),
        ((VALID, answers(0, 1, 2)), {}, NOW_MS, Step.END),
        ((VALID, answers(0, 1, 2), BatchEnded(status="completed")), {}, NOW_MS, Step.FINISH),
        ((VALID, ALL, BatchCancelAsked()), {}, NOW_MS, Step.LOOK),
        ((VALID, ALL, BatchCancelAsked()), LOOKED, NOW_MS, Step.CANCEL),
        ((VALID, ALL), LOOKED, EXPIRES_MS, Step.CANCEL),
        ((VALID, ALL, BatchCancelAsked()), {**LOOKED, "cancelled_ms": NOW_MS}, NOW_MS, Step.COLLECT),
        ((VALID, ALL, BatchCancelAsked()), {**LOOKED, "cancelled_ms": NOW_MS}, NOW_MS + GRACE_MS, Step.GIVE_UP),
        (
            (VALID, BatchProgress(done=0, upto=2), BatchCancelAsked()),
            {**LOOKED, "cancelled_ms": NOW_MS},
            NOW_MS,
            Step.GIVE_UP,
        ),
    ],
)
def test_the_next_step(records: Sequence[BatchRecord], memory: dict[str, int], now_ms: int, step: Step) -> None:
    assert next_step(after(*records), RunMemory(**memory), now_ms) is step  # type: ignore[arg-type]  # as the rows have it


def test_no_more_is_submitted_while_too_much_has_no_answer() -> None:
    state = after(BatchValidated(lines=UNANSWERED_MAX + 2), answers(0))
    assert next_step(state, RunMemory(UNANSWERED_MAX, has_looked=True), NOW_MS) is Step.SUBMIT
    assert next_step(state, RunMemory(UNANSWERED_MAX + 1, has_looked=True), NOW_MS) is Step.COLLECT


def test_a_cancel_says_more_than_an_expiry() -> None:
    assert stop_code(after(), EXPIRES_MS - 1) is None
    assert stop_code(after(), EXPIRES_MS) == "batch_expired"
    assert stop_code(after(BatchCancelAsked()), EXPIRES_MS) == "batch_cancelled"


def test_what_may_be_on_its_lane_is_given_up_last() -> None:
    state = after(VALID, BatchProgress(done=0, upto=2), answers(0))
    assert first_given_up(state, is_over=False) == 2
    assert first_given_up(state, is_over=True) == 1
    assert first_given_up(after(VALID, answers(0, 1, 2)), is_over=True) is None


def test_a_batch_ends_as_what_became_of_its_lines() -> None:
    assert ending_of(after(VALID, answers(0, 1, 2))) == "completed"
    assert ending_of(after(VALID, answers(0, 1), answers(2, is_expired=True))) == "expired"
    assert ending_of(after(VALID, BatchCancelAsked(), answers(0, 1, 2))) == "cancelled"
    assert ending_of(after(VALID, answers(0, 1, 2), BatchCancelAsked())) == "completed", "it came too late"
