"""A debit history of one limit of 60,000 tokens a minute, and what its spans show."""

from headrace.broker.core.answers.refill_detection import RefillPattern
from headrace.broker.core.pricing.debit_history import DebitHistory, DebitSpan

CAPACITY, MINUTE = 60_000, 60_000


def spans(course: DebitHistory, number: int) -> list[DebitSpan]:
    return list(course.spans(number, CAPACITY, MINUTE))


def excess(course: DebitHistory, number: int, column: int = 0) -> int:
    return spans(course, number)[0].excess(column)


def steady(
    pattern: RefillPattern | None, *, count: int = 2, every_ms: int = 1_000, of_all: bool = True
) -> DebitHistory:
    """Calls of 400 at equal distances, and a window that refills by the pattern."""
    course = DebitHistory(1, of_all=of_all)
    course.refill_by(pattern)
    for number in range(count):
        course.debit(number * every_ms, (400,))
    return course
