"""What a run of a batch does next: a table, decided from the records alone and from what this run has done itself.

A run may die between any two steps, and another may run the same batch at the same time: each step may be taken twice.
The requests that a step submits are announced before it (`BatchProgress.upto`), so a successor knows which ones may be
on their lane.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from headrace.broker.gateway.batches.answer_lines import CANCELLED, EXPIRED
from headrace.broker.gateway.batches.records import Ending
from headrace.broker.gateway.batches.state import BatchState

CHUNK: Final = 200
"""Requests that are submitted in one step: a successor submits at most so many a second time."""
UNANSWERED_MAX: Final = 10_000
"""Requests of one batch that may wait on their lane. The lane's topic keeps them for days, not for the weeks that a
large batch may take, and a cancel needs a record for each."""
GRACE_MS: Final = 600_000
"""Time that calls in flight have to end after their batch was cancelled or has expired; OpenAI says ten minutes."""


class Step(Enum):
    """The next step of a run."""

    FINISH = "finish"  # note the end in the catalogue
    VALIDATE = "validate"  # read the input file
    LOOK = "look"  # read the outcomes published before this run began
    END = "end"  # write the last record
    CANCEL = "cancel"  # cancel the requests that have no answer
    GIVE_UP = "give up"  # answer the requests that get none
    SUBMIT = "submit"  # put more requests on their lane
    COLLECT = "collect"  # read the next outcomes


@dataclass(slots=True)
class RunMemory:
    """What one run has done itself.

    Attributes:
        submitted: Requests below it were acknowledged by Kafka.
        has_looked: It has read all outcomes published before it began.
        cancelled_ms: When it has cancelled what had no answer.
    """

    submitted: int = 0
    has_looked: bool = False
    cancelled_ms: int | None = None


def next_step(state: BatchState, memory: RunMemory, now_ms: int) -> Step:  # noqa: PLR0911  # a table: one return a row
    """Return what to do now."""
    if state.ended is not None:
        return Step.FINISH
    if state.lines is None:
        return Step.VALIDATE
    if state.is_answered:
        return Step.END
    if not memory.has_looked:
        return Step.LOOK
    if stop_code(state, now_ms) is not None:
        if memory.cancelled_ms is None:
            return Step.CANCEL
        is_over = now_ms >= memory.cancelled_ms + GRACE_MS
        return Step.GIVE_UP if first_given_up(state, is_over=is_over) is not None else Step.COLLECT
    if memory.submitted < state.lines and memory.submitted - state.answered.count < UNANSWERED_MAX:
        return Step.SUBMIT
    return Step.COLLECT


def stop_code(state: BatchState, now_ms: int) -> str | None:
    """Return the code for requests that get no answer any more; None while the batch goes on."""
    if state.cancel_ms is not None:
        return CANCELLED
    return EXPIRED if now_ms >= state.created.expires_s * 1_000 else None


def first_given_up(state: BatchState, *, is_over: bool) -> int | None:
    """Return the first request of a stopped batch that will have no outcome; None if each may still have one.

    A request that is not on its lane has none. One that is has, unless the time for that `is_over`.
    """
    return next(state.answered.missing(0 if is_over else state.upto, state.lines or 0), None)


def ending_of(state: BatchState) -> Ending:
    """Return how a batch ends each of whose lines is answered."""
    if state.cancel_ms is not None:
        return "cancelled"
    return "expired" if state.expired else "completed"
