from hypothesis import given
from hypothesis import strategies as st

from headrace.broker.gateway.batches.batch_object import batch_object, status_of
from headrace.broker.gateway.batches.records import (
    AnswerLine,
    AnswersPiece,
    BatchCancelAsked,
    BatchEnded,
    BatchProgress,
    BatchRecord,
    BatchValidated,
    LineComplaint,
    Tokens,
)
from headrace.broker.gateway.batches.state import BatchState, LineSet
from tests.unit.gateway.batches.batches import created


def folded(*records: BatchRecord) -> BatchState:
    state = BatchState(created())
    for offset, record in enumerate(records):
        state.apply(record, 1_000_000 + offset * 1_000, offset)
    return state


def answer(number: int, *, is_output: bool = True, text: bytes = b"{}") -> AnswerLine:
    return AnswerLine(number, is_output, text, Tokens(10, 5, 15, 2, 1))


@given(st.lists(st.integers(min_value=0, max_value=300)))
def test_a_set_of_lines_is_a_set(numbers: list[int]) -> None:
    lines, plain = LineSet(), set[int]()
    for number in numbers:
        assert lines.add(number) is (number not in plain)
        plain.add(number)
    assert lines.count == len(plain)
    assert list(lines.missing(0, 310)) == [number for number in range(310) if number not in plain]


def test_a_negative_line_is_none() -> None:
    assert not LineSet().add(-1)


def test_a_line_counts_once_by_its_first_record() -> None:
    state = folded(BatchValidated(lines=2))
    assert state.apply(AnswersPiece((answer(0, text=b"first"),)), 0, 1) == [answer(0, text=b"first")]
    again = AnswersPiece((answer(0, is_output=False, text=b"second"), answer(1), answer(1)))
    assert state.apply(again, 0, 2) == [answer(1)]
    assert (state.completed, state.failed, state.is_answered) == (2, 0, True)
    assert state.output_bytes == len(b"first\n{}\n")
    assert state.tokens == Tokens(20, 10, 30, 4, 2)


def test_a_line_that_the_batch_has_not_counts_for_nothing() -> None:
    state = folded(BatchValidated(lines=2), AnswersPiece((answer(2), answer(-1))))
    assert state.answered.count == 0


def test_nothing_counts_behind_the_end() -> None:
    state = folded(
        BatchValidated(lines=1),
        BatchEnded(status="cancelled"),
        AnswersPiece((answer(0),)),
        BatchCancelAsked(),
        BatchEnded(status="completed"),
    )
    assert (state.completed, state.cancel_ms, state.end) == (0, None, 1)
    assert status_of(state) == "cancelled"


def test_a_file_is_validated_once() -> None:
    state = folded(BatchValidated(lines=2), BatchValidated(lines=3))
    assert (state.lines, state.validated_ms) == (2, 1_000_000)


def test_progress_only_grows() -> None:
    state = folded(BatchProgress(done=2, upto=4, seen={1: 9}), BatchProgress(done=1, upto=3, seen={1: 5, 2: 1}))
    assert (state.done, state.upto, state.seen) == (2, 4, {1: 9, 2: 1})


def test_the_status_goes_as_openais_does() -> None:
    steps: list[BatchRecord] = [
        BatchValidated(lines=2),
        AnswersPiece((answer(0),)),
        AnswersPiece((answer(1, is_output=False),)),
        BatchEnded(status="completed"),
    ]
    seen = [status_of(folded(*steps[:count])) for count in range(len(steps) + 1)]
    assert seen == ["validating", "in_progress", "in_progress", "finalizing", "completed"]


def test_the_object_has_what_the_records_say() -> None:
    steps: list[BatchRecord] = [
        BatchValidated(lines=2, model="gpt-4o"),
        BatchCancelAsked(),
        AnswersPiece((answer(0), answer(1, is_output=False))),
        BatchEnded(status="cancelled"),
    ]
    seen = batch_object(folded(*steps))
    assert {name: seen[name] for name in ("created_at", "in_progress_at", "cancelling_at", "finalizing_at")} == {
        "created_at": 1_000,
        "in_progress_at": 1_000,
        "cancelling_at": 1_001,
        "finalizing_at": 1_002,
    }
    assert (seen["cancelled_at"], seen["completed_at"], seen["failed_at"], seen["expired_at"]) == (
        1_003,
        None,
        None,
        None,
    )
    assert seen["request_counts"] == {"total": 2, "completed": 1, "failed": 1}
    assert seen["output_file_id"] != seen["error_file_id"]
    assert seen["usage"]["total_tokens"] == 30
    assert seen["model"] == "gpt-4o"


def test_a_file_without_lines_is_not_there() -> None:
    seen = batch_object(folded(BatchValidated(lines=1), AnswersPiece((answer(0),)), BatchEnded(status="completed")))
    assert seen["error_file_id"] is None
    assert seen["output_file_id"] is not None


def test_a_failed_batch_says_why_and_has_no_files() -> None:
    complaint = LineComplaint(code="invalid_json_line", message="No JSON.", line=3)
    seen = batch_object(folded(BatchEnded(status="failed", errors=(complaint,))))
    row = {"code": "invalid_json_line", "message": "No JSON.", "param": None, "line": 3}
    assert seen["errors"] == {"object": "list", "data": [row]}
    assert (seen["status"], seen["output_file_id"], seen["error_file_id"]) == ("failed", None, None)
